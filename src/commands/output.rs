//! Standard output and standard error. Whatever is printed, it controls no terminal, except by our own colors. A reader
//! that closes early, such as `head`, is not an error and changes no exit code.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use crate::printable;

/// Prints `text` and flushes it.
pub(super) fn print(text: &str) {
    write(&printable::lines(text));
}

/// Prints `text` with states and problems in color if a terminal shows it, unless NO_COLOR is set (no-color.org).
pub(super) fn print_in_color(text: &str) {
    write(&if is_terminal() { painted(text) } else { printable::lines(text) });
}

/// Whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// `text` as a terminal may show it, in color unless NO_COLOR is set.
pub(super) fn painted(text: &str) -> String {
    let text = printable::lines(text);
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { colored(text) } else { text }
}

fn write(text: &str) {
    let _ = write_raw(text);
}

/// Writes what may control a terminal.
///
/// # Errors
/// The terminal is gone.
pub(super) fn write_raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// The text with states and problems in the colors of ECMA-48.
fn colored(text: String) -> String {
    const COLORS: [(&str, u8); 7] = [
        ("MASTER", 32),
        ("BACKUP", 36),
        ("FAULT", 31),
        ("FAILED", 31),
        ("MISSING", 31),
        ("UNHEALTHY", 31),
        ("warning", 33),
    ];
    COLORS
        .iter()
        .fold(text, |text, (word, color)| text.replace(word, &format!("\u{1b}[{color}m{word}\u{1b}[0m")))
}

/// Prints one error as a line on standard error, or as several lines.
pub(super) fn print_error(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "{}", printable::lines(&error.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_colored() {
        assert_eq!(colored("VI_1 MASTER for".into()), "VI_1 \u{1b}[32mMASTER\u{1b}[0m for");
    }
}
