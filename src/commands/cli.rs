//! The command line: parses the arguments into a [`Command`], and has the texts of `help` and `version`. Knows no
//! environment.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::config;
use crate::time::parse_span;

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon until a signal stops it. The default.
    Run,
    /// Print the effective configuration and the preflight.
    Check {
        /// With this file of variables, by absolute path, instead of `ENV_FILE`.
        file: Option<PathBuf>,
    },
    /// Print the status of the running daemon.
    Status {
        /// As JSON instead of text.
        json: bool,
    },
    /// Show the status on the terminal until a signal stops it.
    Watch,
    /// Print the last transitions of the running daemon.
    Why {
        /// Only those of this time until now.
        since: Option<Duration>,
    },
    /// Query the health of the running daemon.
    Healthcheck(HealthQuery),
    /// List the VRRP routers on this network.
    Scan {
        /// How long to listen, from 1 to 3600 seconds; `None` for [`SCAN_SECONDS`].
        seconds: Option<u16>,
    },
    /// Take this node out of service.
    Drain(DrainOptions),
    /// Put this node back into service.
    Undrain,
    /// Own a process namespace for other containers until a signal stops it.
    Hold,
    /// Print the variables for a keepalived.conf.
    Import {
        /// Its path, `-` for standard input; `None` for the usual places.
        file: Option<String>,
        /// As a compose file instead of `NAME=VALUE` lines.
        compose: bool,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The condition that `healthcheck` tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthQuery {
    pub state: RequiredState,
    /// The name of one router; `None` for all.
    pub router: Option<String>,
}

/// How to drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainOptions {
    /// After this time the drain ends by itself.
    pub time: Option<Duration>,
    /// Go even if nobody takes over.
    pub force: bool,
}

/// The states that pass a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredState {
    /// Any, even FAULT: a restart of the container would not help.
    Any,
    /// BACKUP or MASTER.
    Ready,
    Master,
    /// Every virtual address is served, as far as this node knows.
    Serving,
}

/// One row per command: its name, its arguments in the help, what it does, and its value without arguments.
struct Row {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    command: Command,
}

/// In the order of the documentation.
static COMMANDS: [Row; 12] = [
    Row { name: "run", arguments: "", help: "run the daemon (default)", command: Command::Run },
    Row {
        name: "check",
        arguments: "[--file FILE]",
        help: "print every value with its origin and the problems on this machine; change nothing; --file: as if ENV_FILE named this file, and what of it needs a restart",
        command: Command::Check { file: None },
    },
    Row {
        name: "status",
        arguments: "[--json | --watch]",
        help: "print the state of the running daemon and of its addresses in the kernel; --watch: on the whole terminal, again each second",
        command: Command::Status { json: false },
    },
    Row {
        name: "why",
        arguments: "[--since TIME]",
        help: "print the last transitions with cause and timing; --since: only those of a TIME until now, such as 90s, 10m, 1h or 2d",
        command: Command::Why { since: None },
    },
    Row {
        name: "healthcheck",
        arguments: "[--ready | --master | --serving] [ROUTER]",
        help: "exit 0 if the addresses in the kernel match the state, else 1; --ready also requires BACKUP or MASTER, --master requires MASTER, --serving that some host serves as far as this one knows",
        command: Command::Healthcheck(HealthQuery { state: RequiredState::Any, router: None }),
    },
    Row {
        name: "scan",
        arguments: "[SECONDS]",
        help: "listen for 1 to 3600 seconds (default 5), then list the VRRP routers on this network and a free VRID",
        command: Command::Scan { seconds: None },
    },
    Row {
        name: "drain",
        arguments: "[--for TIME] [--force]",
        help: "hand over and take no part until undrain, or for a TIME such as 10m; exit 1 and stay if no other router takes over, unless --force",
        command: Command::Drain(DrainOptions { time: None, force: false }),
    },
    Row { name: "undrain", arguments: "", help: "take part again", command: Command::Undrain },
    Row {
        name: "hold",
        arguments: "",
        help: "own a process namespace that other containers join, and reap their orphans; needs no variable",
        command: Command::Hold,
    },
    Row {
        name: "import",
        arguments: "[FILE] [--format env|compose]",
        help: "print the variables for a keepalived.conf, and on standard error what is lost, with exit code 1",
        command: Command::Import { file: None, compose: false },
    },
    Row { name: "help", arguments: "", help: "print this help", command: Command::Help },
    Row { name: "version", arguments: "", help: "print the version", command: Command::Version },
];

/// How long `scan` listens by default.
pub const SCAN_SECONDS: u16 = 5;

/// An invalid command line. Displays with the program's name and the list of commands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("vrrp-init: {problem}\nusage: vrrp-init [{}]", names())]
pub struct UsageError {
    problem: String,
}

impl UsageError {
    fn unknown(kind: &str, text: &str) -> Self {
        Self { problem: format!("unknown {kind} {text:?}") }
    }
}

fn names() -> String {
    COMMANDS.iter().map(|row| row.name).collect::<Vec<_>>().join(" | ")
}

impl Command {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// The first argument that is invalid.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut parser = Parser::from_args(args);
        let mut command: Option<Self> = None;
        while let Some(arg) = parser.next().map_err(|error| UsageError { problem: error.to_string() })? {
            match (arg, &mut command) {
                (Arg::Short('h') | Arg::Long("help"), _) => return Ok(Self::Help),
                (Arg::Short('V') | Arg::Long("version"), _) => return Ok(Self::Version),
                (Arg::Short(letter), _) => return Err(UsageError::unknown("option", &format!("-{letter}"))),
                (Arg::Long("file"), Some(Self::Check { file: file @ None })) => {
                    *file = Some(path(&mut parser)?);
                }
                (Arg::Long("for"), Some(Self::Drain(options))) => {
                    options.time = Some(span(&mut parser, "--for")?);
                }
                (Arg::Long("since"), Some(Self::Why { since: since @ None })) => {
                    *since = Some(span(&mut parser, "--since")?);
                }
                (Arg::Long("format"), Some(Self::Import { compose, .. })) => {
                    *compose = is_compose(&mut parser)?;
                }
                (Arg::Long(name), Some(command)) => command.set_option(name)?,
                (Arg::Long(name), None) => return Err(UsageError::unknown("option", &format!("--{name}"))),
                (Arg::Value(name), None) => command = Some(Self::by_name(&name.to_string_lossy())?),
                (Arg::Value(value), Some(command)) => command.set_argument(&value.to_string_lossy())?,
            }
        }
        Ok(command.unwrap_or(Self::Run))
    }

    fn by_name(name: &str) -> Result<Self, UsageError> {
        let row = COMMANDS.iter().find(|row| row.name == name);
        row.map(|row| row.command.clone()).ok_or_else(|| UsageError::unknown("command", name))
    }

    fn set_option(&mut self, name: &str) -> Result<(), UsageError> {
        match (self, name) {
            (Self::Status { json: true }, "watch") | (Self::Watch, "json") => {
                return Err(UsageError { problem: "status takes --json or --watch, not both".into() });
            }
            (command @ Self::Status { json: false }, "watch") => *command = Self::Watch,
            (Self::Status { json }, "json") => *json = true,
            (Self::Drain(options), "force") => options.force = true,
            (Self::Healthcheck(query), "ready") => query.state = RequiredState::Ready,
            (Self::Healthcheck(query), "serving") => query.state = RequiredState::Serving,
            (Self::Healthcheck(query), "master") => query.state = RequiredState::Master,
            _ => return Err(UsageError::unknown("option", &format!("--{name}"))),
        }
        Ok(())
    }

    fn set_argument(&mut self, text: &str) -> Result<(), UsageError> {
        if let Self::Healthcheck(HealthQuery { router: router @ None, .. }) = self {
            *router = Some(text.to_owned());
        } else if let Self::Scan { seconds: seconds @ None } = self {
            *seconds = Some(scan_seconds(text)?);
        } else if let Self::Import { file: file @ None, .. } = self {
            *file = Some(text.to_owned());
        } else {
            return Err(UsageError::unknown("argument", text));
        }
        Ok(())
    }
}

/// The path after an option.
fn path(parser: &mut Parser) -> Result<PathBuf, UsageError> {
    let path = parser.value().map_err(|error| UsageError { problem: error.to_string() })?;
    std::path::absolute(&path).map_err(|_| UsageError::unknown("file", &path.to_string_lossy()))
}

/// The time after `option`.
fn span(parser: &mut Parser, option: &str) -> Result<Duration, UsageError> {
    let text = parser.value().unwrap_or_default();
    let text = text.to_string_lossy();
    parse_span(&text).map_err(|right| UsageError { problem: format!("{option} takes {right}, not {text:?}") })
}

fn is_compose(parser: &mut Parser) -> Result<bool, UsageError> {
    match &*parser.value().unwrap_or_default().to_string_lossy() {
        "env" => Ok(false),
        "compose" => Ok(true),
        other => Err(UsageError { problem: format!("--format takes env or compose, not {other:?}") }),
    }
}

fn scan_seconds(text: &str) -> Result<u16, UsageError> {
    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    let problem = || format!("scan takes whole seconds from 1 to 3600, not {text:?}");
    seconds.ok_or_else(|| UsageError { problem: problem() })
}

/// The output of `help`: commands and variables, each line ended.
pub fn help() -> String {
    let mut text =
        format!("{}\nusage: vrrp-init [{}]\n\ncommands:\n", env!("CARGO_PKG_DESCRIPTION"), names());
    for Row { name, arguments, help, .. } in &COMMANDS {
        let gap = if arguments.is_empty() { "" } else { " " };
        _ = writeln!(text, "  {name}{gap}{arguments}\n      {help}");
    }
    text.push_str(
        "\nvariables (NAME_FILE is the path of a file with the value of NAME; NAME_2, NAME_3 and so on\n\
         configure further virtual routers; an empty one counts as unset):\n",
    );
    text.push_str(&config::as_help());
    text
}

/// The output of `version`, line ended.
pub const VERSION: &str = concat!("vrrp-init ", env!("CARGO_PKG_VERSION"), "\n");

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, String> {
        Command::parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn run_is_the_default() {
        assert_eq!(parse(&[]), Ok(Command::Run));
        assert_eq!(parse(&["run"]), Ok(Command::Run));
    }

    #[test]
    fn help_and_version_have_their_usual_spellings() {
        for args in [&["help"][..], &["--help"], &["-h"], &["run", "--help"], &["-h", "nonsense"]] {
            assert_eq!(parse(args), Ok(Command::Help), "{args:?}");
        }
        for args in [&["version"][..], &["--version"], &["-V"]] {
            assert_eq!(parse(args), Ok(Command::Version), "{args:?}");
        }
    }

    #[test]
    fn a_scan_takes_seconds_or_has_a_default() {
        assert_eq!(parse(&["scan"]), Ok(Command::Scan { seconds: None }));
        for (word, seconds) in [("1", 1), ("3600", 3600), ("007", 7)] {
            assert_eq!(parse(&["scan", word]), Ok(Command::Scan { seconds: Some(seconds) }));
        }
        for word in ["0", "3601", "abc", "1.5", "", "65537", "5s"] {
            let error = parse(&["scan", word]).unwrap_err();
            let what = format!("vrrp-init: scan takes whole seconds from 1 to 3600, not {word:?}\n");
            assert!(error.starts_with(&what), "{error}");
        }
        assert!(parse(&["scan", "5", "6"]).unwrap_err().contains("unknown argument \"6\""));
        assert!(parse(&["scan", "-1"]).unwrap_err().contains("unknown option \"-1\""));
    }

    #[test]
    fn a_drain_may_end_by_itself_and_be_forced() {
        let drain = |seconds: Option<u64>, force| {
            Ok(Command::Drain(DrainOptions { time: seconds.map(Duration::from_secs), force }))
        };
        assert_eq!(parse(&["drain"]), drain(None, false));
        assert_eq!(parse(&["drain", "--for", "10m"]), drain(Some(600), false));
        assert_eq!(parse(&["drain", "--force", "--for=90s"]), drain(Some(90), true));
        assert_eq!(parse(&["undrain"]), Ok(Command::Undrain));
        for time in ["0", "0s", "forever", "1e9", "10", ""] {
            let error = parse(&["drain", "--for", time]).unwrap_err();
            let what = format!(
                "vrrp-init: --for takes a time from 1s to 365d, such as 90s, 10m, 2h or 1d, not {time:?}\n"
            );
            assert!(error.starts_with(&what), "{error}");
        }
        for args in
            [&["drain", "--for"][..], &["drain", "10m"], &["undrain", "--force"], &["status", "--for", "1s"]]
        {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn a_command_takes_its_own_options() {
        let check = |state, router: Option<&str>| {
            Ok(Command::Healthcheck(HealthQuery { state, router: router.map(str::to_owned) }))
        };
        assert_eq!(parse(&["status"]), Ok(Command::Status { json: false }));
        assert_eq!(parse(&["status", "--json"]), Ok(Command::Status { json: true }));
        assert_eq!(parse(&["status", "--watch"]), Ok(Command::Watch));
        assert_eq!(parse(&["why"]), Ok(Command::Why { since: None }));
        let since = Some(Duration::from_hours(1));
        assert_eq!(parse(&["why", "--since", "1h"]), Ok(Command::Why { since }));
        assert_eq!(parse(&["why", "--since=3600s"]), Ok(Command::Why { since }));
        assert_eq!(parse(&["healthcheck"]), check(RequiredState::Any, None));
        assert_eq!(parse(&["healthcheck", "--ready"]), check(RequiredState::Ready, None));
        assert_eq!(parse(&["healthcheck", "--master", "VI_2"]), check(RequiredState::Master, Some("VI_2")));
    }

    #[test]
    fn a_wrong_time_is_answered_with_an_example() {
        for args in [&["why", "--since"][..], &["why", "--since", "1"], &["why", "--since=yesterday"]] {
            let error = parse(args).unwrap_err();
            let right = "vrrp-init: --since takes a time from 1s to 365d, such as 90s, 10m, 2h or 1d, not \"";
            assert!(error.starts_with(right), "{error}");
        }
        assert!(parse(&["why", "--since", "1h", "--since", "2h"]).is_err());
        assert!(parse(&["status", "--since", "1h"]).is_err());
        for args in [["status", "--json", "--watch"], ["status", "--watch", "--json"]] {
            assert!(parse(&args).unwrap_err().contains("--json or --watch, not both"), "{args:?}");
        }
    }

    #[test]
    fn a_check_takes_a_file_by_any_path() {
        let file = |path: &str| Ok(Command::Check { file: Some(path.into()) });
        assert_eq!(parse(&["check"]), Ok(Command::Check { file: None }));
        assert_eq!(parse(&["check", "--file", "/env"]), file("/env"));
        let relative = std::env::current_dir().unwrap().join("env");
        assert_eq!(parse(&["check", "--file=env"]), file(relative.to_str().unwrap()));
    }

    #[test]
    fn an_import_takes_a_file_and_a_format() {
        let import =
            |file: Option<&str>, compose| Ok(Command::Import { file: file.map(str::to_owned), compose });
        assert_eq!(parse(&["import"]), import(None, false));
        assert_eq!(parse(&["import", "-"]), import(Some("-"), false));
        assert_eq!(parse(&["import", "--format", "compose", "k.conf"]), import(Some("k.conf"), true));
        assert_eq!(parse(&["import", "k.conf", "--format=env"]), import(Some("k.conf"), false));
        for (args, what) in [
            (&["import", "a", "b"][..], "unknown argument \"b\""),
            (&["import", "--format", "json"], "--format takes env or compose, not \"json\""),
            (&["import", "--format"], "--format takes env or compose, not \"\""),
            (&["check", "--format", "env"], "unknown option \"--format\""),
        ] {
            assert!(parse(args).unwrap_err().starts_with(&format!("vrrp-init: {what}\n")), "{args:?}");
        }
    }

    #[test]
    fn every_command_of_the_help_exists() {
        for Row { name, .. } in &COMMANDS {
            assert!(parse(&[name]).is_ok(), "{name}");
        }
    }

    #[test]
    fn readme_lists_every_command() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (_, section) = readme.split_once("\n## Commands\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("| ")).collect();
        for Row { name, arguments, .. } in &COMMANDS {
            let invocation = format!("{name} {arguments}").trim_end().replace('|', "\\|");
            let listed =
                rows.iter().any(|row| row.split(" | ").next().unwrap().contains(&format!("`{invocation}`")));
            assert!(listed, "README does not list `{invocation}`");
        }
    }

    #[test]
    fn an_unknown_argument_is_named_with_the_usage() {
        for (args, what) in [
            (&["start"][..], "unknown command \"start\""),
            (&[""], "unknown command \"\""),
            (&["run", "haproxy"], "unknown argument \"haproxy\""),
            (&["--foreground"], "unknown option \"--foreground\""),
            (&["-n"], "unknown option \"-n\""),
            (&["hold", "haproxy"], "unknown argument \"haproxy\""),
            (&["run", "--json"], "unknown option \"--json\""),
            (&["--json", "status"], "unknown option \"--json\""),
            (&["check", "--file"], "missing argument for option '--file'"),
            (&["check", "--file", ""], "unknown file \"\""),
            (&["check", "--file", "a", "--file", "b"], "unknown option \"--file\""),
            (&["status", "VI_1"], "unknown argument \"VI_1\""),
            (&["healthcheck", "--fast"], "unknown option \"--fast\""),
            (&["healthcheck", "VI_1", "VI_2"], "unknown argument \"VI_2\""),
        ] {
            let expected = format!("vrrp-init: {what}\nusage: vrrp-init [{}]", names());
            assert_eq!(parse(args), Err(expected), "{args:?}");
        }
    }

    #[test]
    fn an_argument_that_is_not_utf8_is_rejected_like_any_other() {
        use std::os::unix::ffi::OsStringExt as _;
        let argument = OsString::from_vec(vec![0xff]);
        assert_eq!(Command::parse([argument]), Err(UsageError::unknown("command", "\u{fffd}")));
    }

    #[test]
    fn help_lists_commands_and_variables() {
        let help = help();
        for Row { name, help: does, .. } in &COMMANDS {
            assert!(
                help.contains(&format!("\n  {name}")) && help.contains(&format!("      {does}\n")),
                "{help}"
            );
        }
        assert!(help.contains(&config::as_help()), "{help}");
    }
}
