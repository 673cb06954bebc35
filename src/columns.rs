//! Text layout: aligned columns under headings, and lists with separators. Does not know what it formats.

use std::fmt::{Display, Write as _};

use crate::printable;

/// A table that is filled cell by cell, row by row.
pub(crate) struct Columns {
    /// The number of columns.
    count: usize,
    cells: Vec<String>,
}

impl Columns {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { count: headings.len(), cells: headings.iter().map(ToString::to_string).collect() }
    }

    pub(crate) fn add(&mut self, cell: &dyn Display) {
        self.cells.push(printable::line(&cell.to_string()));
    }

    /// One line per row, without trailing spaces.
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

/// The items in order, with `separator` between them.
pub(crate) fn join<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut text = String::new();
    for (n, item) in items.into_iter().enumerate() {
        let separator = if n == 0 { "" } else { separator };
        _ = write!(text, "{separator}{item}");
    }
    text
}
