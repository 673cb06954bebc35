//! The table of environment variables as data: what is read, what `help` prints and what README lists; knows no
//! values.

use std::fmt::{self, Write as _};

/// One variable an operator may set; `NAME_FILE` names a file that holds its value instead.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub default: Default,
    /// Meaning and range, for `help` and README.
    pub help: &'static str,
}

/// What holds when a variable is unset or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// Nothing can run without it; what it is, for the problem report.
    Required(&'static str),
    /// What it asks for does not happen.
    None,
    /// As if this had been set.
    Value(&'static str),
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required(_) => "required",
            Self::None => "none",
            Self::Value(value) => value,
        })
    }
}

const fn variable(name: &'static str, default: Default, help: &'static str) -> Variable {
    Variable { name, default, help }
}

/// Every variable, in the order of the documentation.
pub const VARIABLES: &[Variable] = &[
    variable(
        "VIP",
        Default::Required("the virtual addresses, such as 10.0.0.2/24"),
        "the virtual addresses, separated by comma, space or newline; each may say `/24` (else /32), \
         `dev eth0` and `label eth0:1` as in keepalived",
    ),
    variable(
        "VIRTUAL_ROUTER",
        Default::Required("the number that all nodes of one virtual router share, 1 to 255"),
        "virtual router identifier, 1 to 255, the same on all nodes",
    ),
    variable(
        "INTERFACE",
        Default::Value("auto"),
        "interface to speak on; `auto`: the one whose subnet holds the first VIP, else that of the default route",
    ),
    variable(
        "STATE",
        Default::Value("BACKUP"),
        "MASTER or BACKUP; a hint as in keepalived: the election decides",
    ),
    variable(
        "PRIORITY",
        Default::Value("100"),
        "1 to 254, the highest becomes master; 255 is the address owner",
    ),
    variable(
        "SERVICE",
        Default::None,
        "names of the processes to watch, separated by comma, space or newline; every one must run",
    ),
    variable("CHECK_INTERVAL", Default::Value("1"), "seconds between two checks, 0.001 to 86400"),
    variable(
        "CHECK_WEIGHT",
        Default::Value("0"),
        "-253 to 253: added to PRIORITY while healthy if above 0, taken from it while failed if below 0; \
         0: a failure is a FAULT, the address is given up at once",
    ),
    variable("CHECK_RISE", Default::Value("1"), "checks that must pass in a row to be healthy"),
    variable("CHECK_FALL", Default::Value("1"), "checks that must fail in a row to be failed"),
    variable(
        "ADVERT_INT",
        Default::Value("1"),
        "seconds between two advertisements, whole, 1 to 255, the same on all nodes",
    ),
    variable("PREEMPT", Default::Value("true"), "whether to replace a live master of lower priority"),
    variable(
        "FAST_FAILOVER",
        Default::Value("true"),
        "hand over in milliseconds where vrrp-init hears it can; false: the RFC's timing alone",
    ),
    variable(
        "VIP_LEASE",
        Default::Value("auto"),
        "whole seconds after which the kernel itself removes an address that is no longer renewed, to 86400; \
         0: never; `auto`: the time to miss a master, rounded up, at least 3",
    ),
    variable("INSTANCE_NAME", Default::Value("VI_1"), "name in the log"),
    variable("LOG_LEVEL", Default::Value("info"), "error, warn, info, debug or trace"),
    variable("LOG_FORMAT", Default::Value("text"), "text, or json: one object a line"),
];

/// What a required variable is; `None` for the others.
pub(super) fn required(name: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|variable| variable.name == name).and_then(|variable| match variable.default {
        Default::Required(what) => Some(what),
        Default::None | Default::Value(_) => None,
    })
}

/// The table as aligned plain text, two lines a variable, each line ended.
pub fn as_help() -> String {
    let mut text = String::new();
    for Variable { name, default, help } in VARIABLES {
        _ = writeln!(text, "  {name} ({default})");
        for line in wrapped(&help.replace('`', ""), 92) {
            _ = writeln!(text, "      {line}");
        }
    }
    text
}

/// The table in Markdown, each line ended.
pub fn as_markdown() -> String {
    let mut text = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Variable { name, default, help } in VARIABLES {
        let default = match default {
            Default::Value(value) => format!("`{value}`"),
            Default::Required(_) | Default::None => default.to_string(),
        };
        _ = writeln!(text, "| `{name}` | {default} | {help} |");
    }
    text
}

/// `text` in lines of at most `width` bytes, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_holds_exactly_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once("<!-- variables:begin -->\n").expect("the begin marker");
        let (section, after) = rest.split_once("<!-- variables:end -->").expect("the end marker");
        let table = as_markdown();
        if std::env::var_os("UPDATE").is_some() {
            let markers = ["<!-- variables:begin -->\n", "<!-- variables:end -->"];
            std::fs::write(path, format!("{before}{}{table}{}{after}", markers[0], markers[1])).unwrap();
        } else {
            assert_eq!(section, table, "UPDATE=1 writes the table into README.md");
        }
    }

    #[test]
    fn help_names_every_variable_with_its_default_in_lines_for_a_terminal() {
        let help = as_help();
        for Variable { name, default, .. } in VARIABLES {
            assert!(help.contains(&format!("  {name} ({default})\n")), "{name} is missing:\n{help}");
        }
        assert_eq!(help.lines().find(|line| line.len() > 98), None);
        assert!(!help.contains('`'));
    }

    #[test]
    fn names_are_unique_and_none_is_another_ones_file() {
        for (i, variable) in VARIABLES.iter().enumerate() {
            for other in &VARIABLES[..i] {
                assert_ne!(variable.name, other.name);
            }
            assert!(!variable.name.ends_with("_FILE"), "{}", variable.name);
        }
    }

    #[test]
    fn no_help_breaks_the_markdown_table() {
        for variable in VARIABLES {
            assert!(!variable.help.contains(['|', '\n']), "{}", variable.name);
        }
    }
}
