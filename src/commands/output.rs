//! Standard output and standard error. A reader that closes early, such as `head`, is not an error and changes no exit
//! code.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints `text` and flushes it.
pub(super) fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints one error as a line on standard error.
pub(super) fn print_error(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "{error}");
}
