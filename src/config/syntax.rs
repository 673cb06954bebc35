//! What was written around a value and is not part of it, as in keepalived's parser: outer quotes, surrounding blanks
//! and comments.

/// The marks before the arrays of osixia's images, which begin like a comment.
pub(super) const ARRAY_MARKS: [&str; 2] = ["#PYTHON2BASH:", "#JSON2BASH:"];

/// The text of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned {
    pub(super) text: String,
    /// Quotes or a comment were removed, and the operator should know.
    pub(super) changed: bool,
}

/// A value without comments, surrounding blanks and one pair of outer quotes. A secret loses only the quotes:
/// everything else may be part of it, unless it is blank.
pub(super) fn clean(written: &str, secret: bool) -> Cleaned {
    if secret {
        let inside = unquoted(written);
        let text = inside.unwrap_or(written);
        let text = if text.trim().is_empty() { "" } else { text };
        return Cleaned { text: text.to_owned(), changed: inside.is_some() };
    }
    let trimmed = written.trim();
    let quoted = quoted(trimmed);
    let (text, cut) = without_comments(quoted.unwrap_or(trimmed));
    Cleaned { text: text.trim().to_owned(), changed: cut || quoted.is_some() }
}

const QUOTES: [char; 2] = ['"', '\''];

/// What is between the quotes around a text, if it has them.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|c| QUOTES.contains(c))?;
    text.strip_prefix(mark)?.strip_suffix(mark)
}

/// What is between quotes, if nothing but comments follows them.
fn quoted(text: &str) -> Option<&str> {
    let mark = text.chars().next().filter(|c| QUOTES.contains(c))?;
    let (inside, rest) = text.strip_prefix(mark)?.split_once(mark)?;
    // A comment may touch the quotes. On further lines there may be more values.
    without_comments(rest.trim_start()).0.trim().is_empty().then_some(inside)
}

/// The lines without their comments, and whether one of these followed something.
fn without_comments(text: &str) -> (String, bool) {
    let (mut kept, mut cut) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        let value = &line[..comment(line).unwrap_or(line.len())];
        kept += value;
        if value.len() < line.len() {
            kept.push('\n');
            cut |= !value.trim().is_empty();
        }
    }
    (kept, cut)
}

/// Where the comment of a line begins: at a mark after a blank, or at the start.
fn comment(line: &str) -> Option<usize> {
    let mut marks = line.match_indices(['#', '!']).map(|(at, _)| at);
    marks.find(|&at| {
        let (before, rest) = line.split_at(at);
        let apart = before.is_empty() || before.ends_with(char::is_whitespace);
        apart && !ARRAY_MARKS.iter().any(|mark| rest.starts_with(mark))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cleaned_value_is_clean(text in "[a#!\"' \n]{0,12}|\\PC{0,12}") {
            let once = clean(&text, false);
            prop_assert!(once.text.trim() == once.text && once.text.len() <= text.len() + 1);
            _ = clean(&text, true);
        }

        #[test]
        fn a_plain_value_stays_as_it_is(text in "[a-z0-9./:,-]{1,12}") {
            for secret in [true, false] {
                prop_assert_eq!(clean(&text, secret), Cleaned { text: text.clone(), changed: false });
            }
        }
    }
}
