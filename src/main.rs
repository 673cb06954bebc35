//! The program: arguments to a command, the command's outcome to an exit code. Everything else is the library.

use std::io::Write as _;
use std::process::ExitCode;

use vrrp_init::cli::{self, Command};
use vrrp_init::status::Part;
use vrrp_init::{check, inquiry, run, scan};

/// sysexits: the command line is wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run) => run::run(),
        Ok(Command::Check) => check::check(),
        Ok(Command::Scan { seconds }) => scan::scan(seconds.unwrap_or(cli::SCAN_SECONDS)),
        Ok(Command::Status { json: true }) => inquiry::show(Part::Json),
        Ok(Command::Status { json: false }) => inquiry::show(Part::Text),
        Ok(Command::Why) => inquiry::show(Part::Why),
        Ok(Command::Healthcheck(wanted)) => inquiry::healthcheck(&wanted),
        Ok(Command::Help) => print(&cli::help()),
        Ok(Command::Version) => print(cli::VERSION),
        Err(error) => {
            run::complain(&error);
            ExitCode::from(USAGE)
        }
    }
}

/// A reader that goes away early, such as `head`, is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
