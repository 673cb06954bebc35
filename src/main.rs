//! The program: passes the arguments to the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    vrrp_init::commands::execute(std::env::args_os().skip(1))
}
