//! Command line: words to a [`Command`] and the texts that need nothing else; knows no environment.

use std::ffi::OsString;
use std::fmt::Write as _;

use lexopt::{Arg, Parser};

use crate::config;

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Be the router until told to stop: also what no word at all means.
    Run,
    /// Print the effective configuration and the preflight.
    Check,
    Status {
        json: bool,
    },
    Why,
    Healthcheck(Wanted),
    /// List who speaks VRRP on this network; `None`: for [`SCAN_SECONDS`].
    Scan {
        seconds: Option<u16>,
    },
    Help,
    Version,
}

/// What `healthcheck` is to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub state: WantedState,
    /// Of this router alone; `None`: of all.
    pub router: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedState {
    /// Health alone: FAULT will do, since a restart mends nothing.
    #[default]
    Any,
    /// BACKUP or MASTER.
    Ready,
    Master,
}

/// Each command's word, its options and what it does, in the order of the documentation.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("run", "", "be the virtual router until SIGTERM (the default)"),
    ("check", "", "print every value with its origin and what is amiss on this machine, change nothing"),
    ("status", "[--json]", "tell the state of the running daemon, and what the kernel really has"),
    ("why", "", "tell the last transitions with their cause and timing"),
    (
        "healthcheck",
        "[--ready | --master] [ROUTER]",
        "exit 0 if state and kernel agree (and the state is BACKUP or MASTER, or MASTER), else 1",
    ),
    ("scan", "[SECONDS]", "list who speaks VRRP here and a free VRID; listens for 1 to 3600 seconds (5)"),
    ("help", "", "print this"),
    ("version", "", "print the version"),
];

/// How long a scan listens unless told.
pub const SCAN_SECONDS: u16 = 5;

/// A command line that means nothing. Displays with the program's name and the commands there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("vrrp-init: {what}\nusage: vrrp-init [{}]", words())]
pub struct UsageError {
    what: String,
}

impl UsageError {
    fn unknown(kind: &str, word: &str) -> Self {
        Self { what: format!("unknown {kind} {word:?}") }
    }
}

fn words() -> String {
    COMMANDS.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join(" | ")
}

impl Command {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// The first word that is not understood.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut parser = Parser::from_args(args);
        let mut command: Option<Self> = None;
        while let Some(arg) = parser.next().map_err(|error| UsageError { what: error.to_string() })? {
            match (arg, &mut command) {
                (Arg::Short('h') | Arg::Long("help"), _) => return Ok(Self::Help),
                (Arg::Short('V') | Arg::Long("version"), _) => return Ok(Self::Version),
                (Arg::Short(letter), _) => return Err(UsageError::unknown("option", &format!("-{letter}"))),
                (Arg::Long(word), Some(command)) => command.option(word)?,
                (Arg::Long(word), None) => return Err(UsageError::unknown("option", &format!("--{word}"))),
                (Arg::Value(word), None) => command = Some(Self::named(&word.to_string_lossy())?),
                (Arg::Value(word), Some(command)) => command.argument(&word.to_string_lossy())?,
            }
        }
        Ok(command.unwrap_or(Self::Run))
    }

    fn named(word: &str) -> Result<Self, UsageError> {
        Ok(match word {
            "run" => Self::Run,
            "check" => Self::Check,
            "status" => Self::Status { json: false },
            "why" => Self::Why,
            "healthcheck" => Self::Healthcheck(Wanted::default()),
            "scan" => Self::Scan { seconds: None },
            "help" => Self::Help,
            "version" => Self::Version,
            _ => return Err(UsageError::unknown("command", word)),
        })
    }

    fn option(&mut self, word: &str) -> Result<(), UsageError> {
        match (self, word) {
            (Self::Status { json }, "json") => *json = true,
            (Self::Healthcheck(wanted), "ready") => wanted.state = WantedState::Ready,
            (Self::Healthcheck(wanted), "master") => wanted.state = WantedState::Master,
            _ => return Err(UsageError::unknown("option", &format!("--{word}"))),
        }
        Ok(())
    }

    fn argument(&mut self, word: &str) -> Result<(), UsageError> {
        if let Self::Healthcheck(Wanted { router: router @ None, .. }) = self {
            *router = Some(word.to_owned());
        } else if let Self::Scan { seconds: seconds @ None } = self {
            *seconds = Some(scan_seconds(word)?);
        } else {
            return Err(UsageError::unknown("argument", word));
        }
        Ok(())
    }
}

fn scan_seconds(word: &str) -> Result<u16, UsageError> {
    let seconds = word.parse().ok().and_then(|seconds: i64| seconds.try_into().ok());
    let seconds = seconds.filter(|seconds| (1..=3600).contains(seconds));
    let what = || format!("scan takes whole seconds from 1 to 3600, not {word:?}");
    seconds.ok_or_else(|| UsageError { what: what() })
}

/// What `vrrp-init help` prints: commands and variables, each line ended.
pub fn help() -> String {
    let mut text =
        format!("{}\nusage: vrrp-init [{}]\n\ncommands:\n", env!("CARGO_PKG_DESCRIPTION"), words());
    for (word, options, does) in COMMANDS {
        let gap = if options.is_empty() { "" } else { " " };
        _ = writeln!(text, "  {word}{gap}{options}\n      {does}");
    }
    text.push_str(
        "\nvariables (NAME_FILE names a file that holds the value of NAME; NAME_2, NAME_3 and so on\n\
         are for further virtual routers; empty is unset):\n",
    );
    text.push_str(&config::as_help());
    text
}

/// What `vrrp-init version` prints, line ended.
pub const VERSION: &str = concat!("vrrp-init ", env!("CARGO_PKG_VERSION"), "\n");

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, String> {
        Command::parse(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn no_word_means_run() {
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
    fn a_scan_takes_seconds_or_leaves_them_to_us() {
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
    fn a_command_takes_its_own_options() {
        let check = |state, router: Option<&str>| {
            Ok(Command::Healthcheck(Wanted { state, router: router.map(str::to_owned) }))
        };
        assert_eq!(parse(&["status"]), Ok(Command::Status { json: false }));
        assert_eq!(parse(&["status", "--json"]), Ok(Command::Status { json: true }));
        assert_eq!(parse(&["why"]), Ok(Command::Why));
        assert_eq!(parse(&["healthcheck"]), check(WantedState::Any, None));
        assert_eq!(parse(&["healthcheck", "--ready"]), check(WantedState::Ready, None));
        assert_eq!(parse(&["healthcheck", "--master", "VI_2"]), check(WantedState::Master, Some("VI_2")));
    }

    #[test]
    fn every_command_of_the_help_is_one() {
        for (word, ..) in COMMANDS {
            assert!(parse(&[word]).is_ok(), "{word}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_would_be() {
        for (args, what) in [
            (&["start"][..], "unknown command \"start\""),
            (&[""], "unknown command \"\""),
            (&["run", "haproxy"], "unknown argument \"haproxy\""),
            (&["--foreground"], "unknown option \"--foreground\""),
            (&["-n"], "unknown option \"-n\""),
            (&["run", "--json"], "unknown option \"--json\""),
            (&["--json", "status"], "unknown option \"--json\""),
            (&["status", "VI_1"], "unknown argument \"VI_1\""),
            (&["healthcheck", "--fast"], "unknown option \"--fast\""),
            (&["healthcheck", "VI_1", "VI_2"], "unknown argument \"VI_2\""),
        ] {
            let expected = format!("vrrp-init: {what}\nusage: vrrp-init [{}]", words());
            assert_eq!(parse(args), Err(expected), "{args:?}");
        }
    }

    #[test]
    fn a_word_that_is_not_utf8_is_refused_like_any_other() {
        use std::os::unix::ffi::OsStringExt as _;
        let word = OsString::from_vec(vec![0xff]);
        assert_eq!(Command::parse([word]), Err(UsageError::unknown("command", "\u{fffd}")));
    }

    #[test]
    fn help_lists_commands_and_variables() {
        let help = help();
        for (word, _, does) in COMMANDS {
            assert!(
                help.contains(&format!("\n  {word}")) && help.contains(&format!("      {does}\n")),
                "{help}"
            );
        }
        assert!(help.contains(&config::as_help()), "{help}");
    }
}
