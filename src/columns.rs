//! Many things as one text, in columns under headings or one behind the other; knows no meaning of any.

use std::fmt::{Display, Write as _};

/// Cells row by row. Not a type for each row: eight or ten strings built at once are kilobytes of clearing up.
pub(crate) struct Columns {
    /// How many a row has.
    count: usize,
    cells: Vec<String>,
}

impl Columns {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { count: headings.len(), cells: headings.iter().map(ToString::to_string).collect() }
    }

    #[inline(never)] // dozens of calls
    pub(crate) fn add(&mut self, cell: &dyn Display) {
        self.cells.push(cell.to_string());
    }

    /// Each row a line, ended.
    pub(crate) fn text(&self) -> String {
        let width = |column| {
            let cells = self.cells.iter().skip(column).step_by(self.count);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.count).map(width).collect();
        let mut text = String::new();
        for row in self.cells.chunks(self.count) {
            for (cell, width) in row.iter().zip(&widths) {
                _ = write!(text, "{cell:width$}  ");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}

/// One behind the other, with `between` in between. One short loop for each kind of thing, where a list of texts to
/// join would be half a kilobyte.
pub(crate) fn listed<T: Display>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut text = String::new();
    for item in items {
        add(&mut text, between, &item);
    }
    text
}

#[inline(never)]
fn add(text: &mut String, between: &str, item: &dyn Display) {
    if !text.is_empty() {
        text.push_str(between);
    }
    _ = write!(text, "{item}");
}
