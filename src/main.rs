//! The program: arguments to a command, the command's outcome to an exit code. Everything else is the library.

use std::process::ExitCode;

use vrrp_init::cli::{self, Command};
use vrrp_init::run;

/// sysexits: the command line is wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run) => run::run(),
        Ok(Command::Help) => {
            print!("{}", cli::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            print!("{}", cli::VERSION);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(USAGE)
        }
    }
}
