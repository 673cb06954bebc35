//! The variables and their aliases as text: what `help` prints and what README and docs/migration.md list; reads no
//! environment.

use std::fmt::Write as _;

use super::compat::{Conversion, aliases};
use super::variables::{Default, VARIABLES, Variable};

/// The variables as aligned plain text, then the aliases, each line ended.
pub fn as_help() -> String {
    let mut text = String::new();
    for Variable { name, default, help, .. } in VARIABLES {
        _ = writeln!(text, "  {name} ({default})");
        for line in wrapped(&help.replace('`', ""), 92) {
            _ = writeln!(text, "      {line}");
        }
    }
    text + &aliases_as_help()
}

/// The variables in Markdown, each line ended.
pub fn as_markdown() -> String {
    let mut text = String::from("| name | default | meaning |\n|---|---|---|\n");
    for Variable { name, default, help, .. } in VARIABLES {
        let default = match default {
            Default::Value(value) | Default::Same(value) => format!("`{value}`"),
            Default::Required(_) | Default::None => default.to_string(),
        };
        _ = writeln!(text, "| `{name}` | {default} | {help} |");
    }
    text
}

/// The aliases as plain text, a variable a paragraph, each line ended.
fn aliases_as_help() -> String {
    let mut text =
        String::from("\nnames of other images that also work (any name may begin with KEEPALIVED_):\n");
    for variable in VARIABLES {
        let mut names = String::new();
        for alias in aliases().filter(|alias| alias.sets(variable)) {
            let item = if alias.conversion == Conversion::Item { "_1, _2 ..." } else { "" };
            _ = write!(names, " {}{item}", alias.names);
        }
        if !names.is_empty() {
            for (n, line) in wrapped(&format!("{}:{names}", variable.name), 92).iter().enumerate() {
                _ = writeln!(text, "  {}{line}", if n == 0 { "" } else { "    " });
            }
        }
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
pub(super) mod tests {
    use super::super::compat::is_ambiguous;
    use super::*;

    #[test]
    fn readme_holds_exactly_this_table() {
        document_holds("README.md", "variables", &as_markdown());
    }

    /// Exactly `table`, between its markers.
    pub(in crate::config) fn document_holds(document: &str, name: &str, table: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        let markers = ["begin", "end"].map(|end| format!("<!-- {name}:{end} -->\n"));
        let (before, rest) = text.split_once(&markers[0]).expect("the begin marker");
        let (section, after) = rest.split_once(&markers[1]).expect("the end marker");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, format!("{before}{}{table}{}{after}", markers[0], markers[1])).unwrap();
        } else {
            assert_eq!(section, table, "UPDATE=1 writes the table into {document}");
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
    fn no_help_breaks_the_markdown_table() {
        for variable in VARIABLES {
            assert!(!variable.help.contains(['|', '\n']), "{}", variable.name);
        }
    }

    fn aliases_as_markdown() -> String {
        let mut text = String::from("| names | here |\n|---|---|\n");
        for alias in aliases() {
            let number = if alias.conversion == Conversion::Item { "_1` and so on" } else { "`" };
            let star = |name| if is_ambiguous(name) { " \\*" } else { "" };
            let names: Vec<_> = alias.each().map(|name| format!("`{name}{number}{}", star(name))).collect();
            let how = match alias.conversion {
                Conversion::Same | Conversion::Item => "",
                Conversion::Common => ", if `VIP` is not set",
                Conversion::Number => ", if it is a number",
                Conversion::Prefix => ": the prefix length of IPv4 addresses without one",
                Conversion::Port => ": the port to check on `CHECK_IP`, else on this host; 0: no check",
                Conversion::Host => {
                    ": the host of `CHECK_PORT`; `any` is this host, and another host is not checked"
                }
                Conversion::Not => ", inverted",
                Conversion::Preemption => {
                    ": `nopreempt`, or `preempt_delay` and the seconds of `PREEMPT_DELAY`"
                }
                Conversion::AuthType => ": `PASS` requires it, `none` forbids it",
                Conversion::Debug => ": true means `debug`",
                Conversion::Ignored => "has no effect and is ignored",
                Conversion::Autoconf => "has no effect; false: your own keepalived.conf is not read",
                Conversion::Missing(why) => why,
            };
            let of = alias.of.map_or_else(String::new, |variable| format!("`{}`", variable.name));
            _ = writeln!(text, "| {} | {of}{how} |", names.join(" "));
        }
        text
    }

    #[test]
    fn the_document_on_migration_holds_exactly_these_names() {
        document_holds("docs/migration.md", "aliases", &aliases_as_markdown());
    }

    #[test]
    fn help_names_them_beside_what_they_set() {
        let help = aliases_as_help();
        for names in
            ["  VIP: VIPS VIRTUAL_IP ", "  SERVICE: CHECK_PROCESS\n", "KEEPALIVED_UNICAST_PEER_1, _2 ..."]
        {
            assert!(help.contains(names), "{names}\n{help}");
        }
        assert_eq!(help.lines().find(|line| line.len() > 110), None);
    }
}
