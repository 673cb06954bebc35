//! Command line: words to a [`Command`] and the texts that need nothing else; knows no environment.

use std::ffi::OsString;
use std::fmt::Write as _;

use lexopt::{Arg, Parser};

use crate::config;

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Be the router until told to stop: also what no word at all means.
    Run,
    /// Print the effective configuration and the preflight.
    Check,
    /// List who speaks VRRP on this network; `None`: for [`SCAN_SECONDS`].
    Scan {
        seconds: Option<u16>,
    },
    Help,
    Version,
}

/// Each command's word and what it does, in the order of the documentation.
const COMMANDS: [(Command, &str, &str); 5] = [
    (Command::Run, "run", "be the virtual router until SIGTERM (the default)"),
    (
        Command::Check,
        "check",
        "print every value with its origin and what is amiss on this machine, change nothing",
    ),
    (
        Command::Scan { seconds: None },
        "scan",
        "list who speaks VRRP here and a free VRID; takes the seconds to listen, 1 to 3600 (5)",
    ),
    (Command::Help, "help", "print this"),
    (Command::Version, "version", "print the version"),
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
    COMMANDS.map(|(_, word, _)| word).join(" | ")
}

impl Command {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// The first word that is not understood.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut parser = Parser::from_args(args);
        let mut command = None;
        while let Some(arg) = parser.next().map_err(|error| UsageError { what: error.to_string() })? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Self::Version),
                Arg::Short(letter) => return Err(UsageError::unknown("option", &format!("-{letter}"))),
                Arg::Long(word) => return Err(UsageError::unknown("option", &format!("--{word}"))),
                Arg::Value(word) if command.is_none() => {
                    command = Some(Self::named(&word.to_string_lossy())?);
                }
                Arg::Value(word) if let Some(Self::Scan { seconds: seconds @ None }) = &mut command => {
                    *seconds = Some(scan_seconds(&word.to_string_lossy())?);
                }
                Arg::Value(word) => return Err(UsageError::unknown("argument", &word.to_string_lossy())),
            }
        }
        Ok(command.unwrap_or(Self::Run))
    }

    fn named(word: &str) -> Result<Self, UsageError> {
        let known = COMMANDS.into_iter().find(|(_, name, _)| *name == word);
        known.map(|(command, ..)| command).ok_or_else(|| UsageError::unknown("command", word))
    }
}

fn scan_seconds(word: &str) -> Result<u16, UsageError> {
    let seconds = word.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    let what = || format!("scan takes whole seconds from 1 to 3600, not {word:?}");
    seconds.ok_or_else(|| UsageError { what: what() })
}

/// What `vrrp-init help` prints: commands and variables, each line ended.
pub fn help() -> String {
    let mut text =
        format!("{}\nusage: vrrp-init [{}]\n\ncommands:\n", env!("CARGO_PKG_DESCRIPTION"), words());
    for (_, word, does) in COMMANDS {
        _ = writeln!(text, "  {word:9}{does}");
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
    fn what_is_not_understood_is_named_with_what_would_be() {
        for (args, what) in [
            (&["start"][..], "unknown command \"start\""),
            (&[""], "unknown command \"\""),
            (&["run", "haproxy"], "unknown argument \"haproxy\""),
            (&["--foreground"], "unknown option \"--foreground\""),
            (&["-n"], "unknown option \"-n\""),
        ] {
            let expected =
                format!("vrrp-init: {what}\nusage: vrrp-init [run | check | scan | help | version]");
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
        for (_, word, does) in COMMANDS {
            assert!(help.contains(&format!("  {word:9}{does}\n")), "{help}");
        }
        assert!(help.contains(&config::as_help()), "{help}");
    }
}
