//! Text that may come from outside (a name of a process or an interface, another program's answer), made safe to show on a
//! terminal or in a log. Does not know where it is shown.

use std::fmt::Write as _;

/// `text` as a part of one line.
pub(crate) fn line(text: &str) -> String {
    escaped(text, is_safe, rust)
}

/// `text` as whole lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c == '\n' || is_safe(c), rust)
}

/// `text`, which is JSON, with JSON's own escapes.
pub(crate) fn json(text: &str) -> String {
    escaped(text, is_safe, |c, out| _ = write!(out, "\\u{:04x}", u32::from(c)))
}

/// A text of at most so many characters.
pub(crate) fn shortened(text: String, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn rust(c: char, out: &mut String) {
    out.extend(c.escape_default());
}

fn escaped(text: &str, is_safe: fn(char) -> bool, escape: fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_safe(c) { out.push(c) } else { escape(c, &mut out) }
    }
    out
}

/// Whether a character neither controls a terminal, nor ends a line, nor changes the order in which others are shown. What
/// lies beyond the Basic Multilingual Plane cannot.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        for (text, shown) in [
            ("haproxy é 漢 \u{1f600}", "haproxy é 漢 \u{1f600}"),
            ("\u{1b}[31mred\u{1b}]0;title\u{7}", "\\u{1b}[31mred\\u{1b}]0;title\\u{7}"),
            ("C1: \u{9b}31m \u{90}", "C1: \\u{9b}31m \\u{90}"),
            ("\r\u{8}\u{7f}\t", "\\r\\u{8}\\u{7f}\\t"),
            ("one\ntwo", "one\\ntwo"),
            ("gpj.\u{202e}exe\u{2028}", "gpj.\\u{202e}exe\\u{2028}"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\u{1b}\r\nb\n"), "a\\u{1b}\\r\nb\n");
    }

    proptest! {
        #[test]
        fn json_stays_the_same_value(text: String) {
            let value = serde_json::Value::String(text);
            let shown = json(&value.to_string());
            prop_assert!(shown.chars().all(is_safe));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }

        #[test]
        fn nothing_that_is_shown_is_escaped_again(text: String) {
            prop_assert_eq!(line(&line(&text)), line(&text));
            prop_assert_eq!(lines(&line(&text)), line(&text));
        }
    }
}
