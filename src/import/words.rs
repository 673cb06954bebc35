//! One line of a keepalived.conf to its words and braces, without comments and quotes; knows no directive.

use std::mem::take;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Open,
    Close,
}

/// The tokens of a line; `None` if a quote is not closed.
///
/// `#` and `!` begin a comment and braces stand alone, both even inside a word; only quotes protect them. Where a line names a
/// program, a quoted part of either kind continues the word before it, and a backslash protects the next character. Elsewhere
/// only `"` is a quote, its content is a word by itself, and a backslash means nothing.
pub(super) fn tokens(line: &str) -> Option<Vec<Token>> {
    let (mut tokens, mut word, mut is_word) = (vec![], String::new(), false);
    let (mut quote, mut has_program) = (None, false);
    // What ends the last word, even if a backslash is before it.
    let mut chars = line.chars().chain("  ".chars()).peekable();
    while let Some(c) = chars.next() {
        let is_edge = quote == Some(c) || (quote.is_none() && (c == '"' || (c == '\'' && has_program)));
        if is_edge {
            quote = quote.xor(Some(c));
            is_word |= has_program || quote.is_none();
            if has_program {
                continue;
            }
        } else if c == '\\' && quote.is_none() && chars.peek().is_some_and(|next| "#!".contains(*next)) {
            continue;
        } else if quote.is_some() || !(c.is_whitespace() || "{}#!".contains(c)) {
            is_word = true;
            if c == '\\' && has_program {
                word.extend(chars.next());
            } else {
                word.push(c);
            }
            continue;
        }
        // The end of a word.
        if take(&mut is_word) {
            has_program |= is_of_program(&word) && !matches!(tokens.last(), Some(Token::Word(_)));
            tokens.push(Token::Word(take(&mut word)));
        }
        match c {
            '#' | '!' => break,
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            _ => continue,
        }
        has_program = false;
    }
    quote.is_none().then_some(tokens)
}

fn is_of_program(directive: &str) -> bool {
    directive == "script" || directive.starts_with("notify")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a line, with braces as they are.
    fn words(line: &str) -> Option<Vec<String>> {
        let tokens = tokens(line)?.into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Open => "{".into(),
            Token::Close => "}".into(),
        });
        Some(tokens.collect())
    }

    #[test]
    fn words_comments_quotes_and_braces_are_those_of_keepalived() {
        for (line, expected) in [
            ("  priority 101\t# master\r", &["priority", "101"][..]),
            ("! a comment", &[]),
            ("10.0.0.4#x", &["10.0.0.4"]),
            ("a!b", &["a"]),
            ("chk{", &["chk", "{"]),
            ("interval 2}", &["interval", "2", "}"]),
            ("virtual_ipaddress { 10.0.0.1 }", &["virtual_ipaddress", "{", "10.0.0.1", "}"]),
            ("auth_pass \"a#b!c'd{e}\"", &["auth_pass", "a#b!c'd{e}"]),
            ("notify abcd\" efg h jkl \"mnop", &["notify", "abcd efg h jkl mnop"]),
            ("abcd\" efg h jkl \"mnop", &["abcd", " efg h jkl ", "mnop"]),
            ("abcd \"efg h jkl\" mnop", &["abcd", "efg h jkl", "mnop"]),
            ("auth_pass 'a b' it's", &["auth_pass", "'a", "b'", "it's"]),
            (r#"auth_pass "a\b\#c" a\b\#c"#, &["auth_pass", r"a\b\#c", r"a\b"]),
            (r"notify_master '/x y' a\ b\\ # c", &["notify_master", "/x y", r"a b\"]),
            ("s { script 'a b' } x 'c d'", &["s", "{", "script", "a b", "}", "x", "'c", "d'"]),
            (r#"script "sh -c \"killall -0 x\"""#, &["script", "sh -c \"killall -0 x\""]),
            ("auth_pass \"\"", &["auth_pass", ""]),
            ("script ''", &["script", ""]),
            ("script a\\", &["script", "a "]),
            ("24\\", &["24\\"]),
            ("", &[]),
        ] {
            assert_eq!(words(line).as_deref().unwrap(), expected, "{line}");
        }
        for line in ["auth_pass \"a{b}c", "script it's", "script \"a\\\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
