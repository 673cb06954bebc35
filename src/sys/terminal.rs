//! The size of the terminal that standard output is. Writes nothing to it.

use rustix::termios::tcgetwinsize;

/// How many lines it shows; `None` if it does not know, or is no terminal.
pub fn lines() -> Option<usize> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|lines| *lines > 0)
}
