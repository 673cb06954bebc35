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
/// `#` and `!` begin a comment and braces stand alone, both even inside a word; only quotes protect them. A quoted part
/// continues the word before it, and a backslash in it protects the next character.
pub(super) fn tokens(line: &str) -> Option<Vec<Token>> {
    let (mut tokens, mut word, mut is_word) = (vec![], String::new(), false);
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if quote.is_some() {
            match c {
                _ if quote == Some(c) => quote = None,
                '\\' => word.extend(chars.next()),
                _ => word.push(c),
            }
            continue;
        }
        let ends = match c {
            '#' | '!' => break,
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            _ => None,
        };
        if ends.is_none() && !c.is_whitespace() {
            is_word = true;
            if c == '"' || c == '\'' {
                quote = Some(c);
            } else {
                word.push(c);
            }
            continue;
        }
        if take(&mut is_word) {
            tokens.push(Token::Word(take(&mut word)));
        }
        tokens.extend(ends);
    }
    if is_word {
        tokens.push(Token::Word(word));
    }
    quote.is_none().then_some(tokens)
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
            ("abcd\" efg h jkl \"mnop", &["abcd efg h jkl mnop"]),
            ("abcd \"efg h jkl\" mnop", &["abcd", "efg h jkl", "mnop"]),
            (r#"s "sh -c \"killall -0 x\"""#, &["s", "sh -c \"killall -0 x\""]),
            ("auth_pass ''", &["auth_pass", ""]),
            ("24\\", &["24\\"]),
            ("", &[]),
        ] {
            assert_eq!(words(line).as_deref().unwrap(), expected, "{line}");
        }
        for line in ["auth_pass \"a{b}c", "it's", "\"a\\\""] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
