//! The commands of the program: parses the arguments, executes the command and returns its exit code. Knows nothing of
//! what a command does.

mod check;
pub mod cli;
mod drain;
mod environment;
mod failure;
mod hold;
mod import;
mod output;
pub mod panic;
mod query;
mod reload;
mod run;
mod scan;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::status::Part;
use crate::sys::sandbox::trial;
use cli::Command;
#[doc(hidden)]
pub use scan::report_on;

/// Executes the command that the arguments after the program's name ask for.
pub fn execute(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    if trial::is_trial(&args) {
        return ExitCode::SUCCESS;
    }
    match Command::parse(args) {
        Ok(Command::Run) => failure::exit(run::run()),
        Ok(Command::Check { file }) => failure::exit(check::check(file.as_deref())),
        Ok(Command::Scan { seconds }) => failure::exit(scan::scan(seconds.unwrap_or(cli::SCAN_SECONDS))),
        Ok(Command::Status { json: true }) => query::show(Part::Json),
        Ok(Command::Status { json: false }) => query::show(Part::Text),
        Ok(Command::Watch) => watch::watch(),
        Ok(Command::Why { since: None }) => query::show(Part::Why),
        Ok(Command::Why { since: Some(since) }) => query::why_since(since),
        Ok(Command::Healthcheck(query)) => query::healthcheck(&query),
        Ok(Command::Drain(options)) => drain::drain(options),
        Ok(Command::Undrain) => drain::undrain(),
        Ok(Command::Hold) => failure::exit(hold::hold()),
        Ok(Command::Import { file, compose }) => {
            import::import(file.as_deref(), compose).unwrap_or_else(|failure| failure::exit(Err(failure)))
        }
        Ok(Command::Help) => print(&cli::help()),
        Ok(Command::Version) => print(cli::VERSION),
        Err(error) => {
            output::print_error(&error);
            ExitCode::from(failure::USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    output::print(text);
    ExitCode::SUCCESS
}
