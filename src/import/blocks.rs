//! The lines of a keepalived.conf and of the files that it includes to a tree of directives; knows no directive but
//! `include`, and opens no file.

use std::mem::take;

use super::notes::{Notes, Place};
use super::words::{Token, tokens};

/// The most bytes that are read in all.
pub const MOST_BYTES: usize = 4 << 20;
/// The most files that are read.
pub const MOST_FILES: usize = 1_000;
const DEEPEST_INCLUDE: usize = 16;
const DEEPEST_BLOCK: usize = 16;

/// Where included files come from.
pub trait Files {
    /// The names of what the file `from` includes as `what`.
    fn find(&self, from: &str, what: &str) -> Result<Vec<String>, String>;

    /// The text of the file of this name.
    fn read(&self, name: &str) -> Result<String, String>;
}

/// A directive: its words, at least one, and the content of its braces.
#[derive(Debug, Default)]
pub(super) struct Directive {
    pub(super) words: Vec<String>,
    pub(super) block: Vec<Directive>,
    pub(super) place: Place,
}

impl Directive {
    /// The word at `at`, or nothing.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

/// The directives of a file.
///
/// # Errors
/// With its place: braces or quotes that do not match, and what is too large or too deep.
pub(super) fn parse(
    name: &str,
    text: &str,
    files: &dyn Files,
    notes: &mut Notes,
) -> Result<Vec<Directive>, String> {
    let mut parser = Parser { files, notes, bytes: 0, blocks: vec![Directive::default()] };
    parser.file(name, text, 0)?;
    if let [_, .., unclosed] = &parser.blocks[..] {
        return Err(parser.error(unclosed.place, &["the { after ", unclosed.word(0), " is never closed"]));
    }
    Ok(parser.blocks.pop().map_or(vec![], |root| root.block))
}

struct Parser<'a> {
    files: &'a dyn Files,
    notes: &'a mut Notes,
    bytes: usize,
    /// The root, and the directives whose braces are open.
    blocks: Vec<Directive>,
}

impl Parser<'_> {
    fn error(&self, place: Place, parts: &[&str]) -> String {
        format!("{}: {}", self.notes.place(place), parts.concat())
    }

    fn file(&mut self, name: &str, text: &str, depth: usize) -> Result<(), String> {
        let mut place = Place { file: self.notes.files.len(), line: 0 };
        self.notes.files.push(name.to_owned());
        let mut is_definition = false;
        for line in text.lines() {
            place.line += 1;
            self.count(place, line.len() + 1)?;
            let line = line.trim();
            let is_continued = take(&mut is_definition);
            if is_continued || line.starts_with('$') {
                if !is_continued {
                    let what = line.trim_end_matches('\\');
                    self.notes.lost(place, what, "write what it stands for where it is used");
                }
                is_definition = line.ends_with('\\');
                continue;
            }
            if let Some(id) = line.strip_prefix('@') {
                let what = id.split_whitespace().next().unwrap_or_default();
                self.notes.lost(place, &["the line for @", what].concat(), CONDITIONAL);
                continue;
            }
            let Some(tokens) = tokens(line) else {
                return Err(self.error(place, &["a quote is not closed"]));
            };
            match &tokens[..] {
                // A letter after `include` says which missing files keepalived tolerates.
                [Token::Word(word), Token::Word(what), ..]
                    if word.starts_with("include") && word.len() <= "include".len() + 1 =>
                {
                    self.include(place, what, depth)?;
                }
                _ => self.line(place, tokens)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, place: Place, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > MOST_BYTES {
            return Err(self.error(place, &["more than 4 MiB"]));
        }
        Ok(())
    }

    fn include(&mut self, place: Place, what: &str, depth: usize) -> Result<(), String> {
        let found = self.files.find(&self.notes.files[place.file], what);
        for name in found.unwrap_or_else(|why| self.not_included(place, what, &why)) {
            if depth == DEEPEST_INCLUDE || self.notes.files.len() == MOST_FILES {
                return Err(self.error(place, &[what, " is included too often; does a file include itself?"]));
            }
            match self.files.read(&name) {
                Ok(text) => self.file(&name, &text, depth + 1)?,
                Err(why) => _ = self.not_included(place, &name, &why),
            }
        }
        Ok(())
    }

    fn not_included(&mut self, place: Place, what: &str, why: &str) -> Vec<String> {
        self.notes.lost(place, &["include ", what].concat(), why);
        vec![]
    }

    /// A line may begin a directive, open and close blocks, and begin further directives after each brace.
    fn line(&mut self, place: Place, tokens: Vec<Token>) -> Result<(), String> {
        let mut words = vec![];
        for token in tokens {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    self.add(place, take(&mut words));
                    let last = self.blocks.last_mut().and_then(|block| block.block.pop());
                    match last {
                        Some(last) if last.block.is_empty() && self.blocks.len() <= DEEPEST_BLOCK => {
                            self.blocks.push(last);
                        }
                        _ => return Err(self.error(place, &["this { belongs to nothing, or is too deep"])),
                    }
                }
                Token::Close => {
                    self.add(place, take(&mut words));
                    let closed = self.blocks.pop();
                    let Some((closed, outer)) = closed.zip(self.blocks.last_mut()) else {
                        return Err(self.error(place, &["this } closes nothing"]));
                    };
                    outer.block.push(closed);
                }
            }
        }
        self.add(place, words);
        Ok(())
    }

    fn add(&mut self, place: Place, words: Vec<String>) {
        if let Some(block) = self.blocks.last_mut().filter(|_| !words.is_empty()) {
            block.block.push(Directive { words, block: vec![], place });
        }
    }
}

const CONDITIONAL: &str =
    "it is for the host of that name only; write it without the mark in that host's file";
