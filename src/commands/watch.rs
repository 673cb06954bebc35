//! The command `status --watch`: shows the status of the running daemon on the whole terminal, again each second, until a
//! signal stops it, and leaves the terminal as it was. Does not know what the status says.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use super::failure::{self, Failure};
use super::{output, query};
use crate::sys::signals::{BlockedSignals, Signal};
use crate::sys::terminal;

const EVERY: Duration = Duration::from_secs(1);
/// The lines of a terminal that does not tell.
const USUAL: usize = 24;

// As xterm and all after it: the second screen, the cursor, and whether a long line goes on in the next one.
const OPEN: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const CLOSE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// Shows the status until SIGINT, SIGTERM or SIGQUIT, or until the terminal is gone.
pub(super) fn watch() -> ExitCode {
    if output::is_terminal() {
        return failure::exit(show());
    }
    output::print_error(
        &"vrrp-init: status --watch needs a terminal, and standard output is none: use docker exec -it; in a script, \
          status --json",
    );
    ExitCode::from(failure::USAGE)
}

fn show() -> Result<(), Failure> {
    let signals = BlockedSignals::block()?;
    // A terminal that is gone is the end, and not an error.
    let Ok(_screen) = Screen::open() else { return Ok(()) };
    while draw(&query::status_text()).is_ok() {
        // SIGHUP says that the terminal is gone.
        if let Some(Signal::Stop(_) | Signal::Reload) = signals.wait(Some(EVERY))? {
            break;
        }
    }
    Ok(())
}

/// The second screen of the terminal. The first one returns when this is dropped.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        output::write_raw(OPEN).map(|()| Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may be gone.
        let _ = output::write_raw(CLOSE);
    }
}

fn draw(text: &str) -> io::Result<()> {
    output::write_raw(&frame(&output::painted(text), terminal::lines().unwrap_or(USUAL)))
}

/// Writes over the last frame, in at most this many lines. The terminal cuts the long ones.
fn frame(text: &str, room: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let shown = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
    let mut frame = "\u{1b}[H".to_owned() + &lines[..shown].join("\u{1b}[K\n") + "\u{1b}[K";
    if shown < lines.len() {
        let newline = if shown > 0 { "\n" } else { "" };
        _ = write!(frame, "{newline}… {} more lines\u{1b}[K", lines.len() - shown);
    }
    frame + "\u{1b}[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_last_one_and_never_scrolls() {
        assert_eq!(frame("a\nb\n", 2), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\u{1b}[J");
        assert_eq!(frame("a\nb\nc\n", 2), "\u{1b}[Ha\u{1b}[K\n… 2 more lines\u{1b}[K\u{1b}[J");
        for room in 1..5 {
            assert!(frame("a\nb\nc\nd", room).matches('\n').count() < room, "{room}");
        }
    }
}
