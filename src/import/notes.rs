//! What has to be said about a keepalived.conf beside its variables: each line with its place in a file. Knows no
//! directive.

use crate::{printable, sorted};

/// A line of a file, by the number of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: usize,
}

/// What was found, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The names of the files, by their numbers.
    pub(super) files: Vec<String>,
    said: Vec<(Place, String)>,
    /// How many more there are.
    unsaid: usize,
    judged: Vec<String>,
    unneeded: Vec<String>,
    /// Something that changes behavior was lost.
    pub(super) is_lossy: bool,
}

/// More lines than these would only hide the others.
const MOST: usize = 200;
/// Characters of a line: a word of the file may have a million.
const LONGEST: usize = 300;

impl Notes {
    /// A directive that no variable can express.
    pub(super) fn lost(&mut self, place: Place, what: &str, why: &str) {
        self.is_lossy = true;
        self.say(place, &[what, " is lost: ", why]);
    }

    /// Something that needs no action, such as what keepalived itself ignores. Several routers share global_defs and
    /// checks, so each line is kept once, in the order of the files.
    pub(super) fn say(&mut self, place: Place, parts: &[&str]) {
        sorted::insert(&mut self.said, (place, printable::shortened(parts.concat(), LONGEST)));
        if self.said.len() > MOST {
            self.said.pop();
            self.unsaid += 1;
        }
    }

    /// Something about the variables as a whole.
    pub(super) fn judged(&mut self, parts: &[&str]) {
        // A router has few variables, but there may be many routers.
        if self.judged.len() < MOST {
            self.judged.push(printable::shortened(parts.concat(), LONGEST) + "\n");
        }
    }

    /// A directive that changes nothing here.
    pub(super) fn unneeded(&mut self, word: &str) {
        if self.unneeded.len() < MOST && !self.unneeded.iter().any(|known| known == word) {
            self.unneeded.push(printable::shortened(word.to_owned(), LONGEST));
        }
    }

    /// `FILE:LINE`.
    pub(super) fn place(&self, place: Place) -> String {
        format!("{}:{}", self.files[place.file], place.line)
    }

    /// As lines, each ended.
    pub(super) fn report(&self) -> String {
        let mut text = String::new();
        for (place, what) in &self.said {
            text += &[&self.place(*place), ": ", what, "\n"].concat();
        }
        if self.unsaid > 0 {
            text += &["and ", &self.unsaid.to_string(), " more\n"].concat();
        }
        text += &self.judged.concat();
        if !self.unneeded.is_empty() {
            text += &["not needed here: ", &self.unneeded.join(" "), "\n"].concat();
        }
        text
    }
}
