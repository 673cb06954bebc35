//! The commands `status`, `why` and `healthcheck`: ask the daemon that runs here over its socket, and show its answer;
//! knows nothing of what it says.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::cli::{Wanted, WantedState};
use crate::config::health_socket;
use crate::run::{complain, status_socket};
use crate::status::{Document, Part};

/// A daemon that does not answer within this is not well: its loop waits for nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("STATUS_SOCKET=off: the daemon cannot be asked")]
    Off,
    #[error("nobody answers at {}: {source}; does vrrp-init run here, and with this STATUS_SOCKET?", .path.display())]
    Nobody { path: PathBuf, source: io::Error },
    #[error("the daemon at {} did not answer within {} s: {source}", .path.display(), PATIENCE.as_secs())]
    Wedged { path: PathBuf, source: io::Error },
    #[error("the answer at {} is cut short", .path.display())]
    Cut { path: PathBuf },
}

/// Prints one part of what the daemon answers.
pub fn show(part: Part) -> ExitCode {
    match status_socket().ok_or(Silence::Off).and_then(|path| ask(path, part)) {
        Ok(document) => {
            let text = document.part(part);
            let text = match part {
                Part::Why if text.is_empty() => "no transition yet\n".to_owned(),
                Part::Text | Part::Why if in_colour() => coloured(text),
                Part::Json => format!("{text}\n"),
                Part::Text | Part::Why | Part::Health => text.to_owned(),
            };
            // A reader that goes away early, such as `head`, is no failure.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(silence) => {
            complain(&format_args!("vrrp-init: {silence}"));
            ExitCode::FAILURE
        }
    }
}

/// Exit code 0 or 1, and a line that Docker keeps.
pub fn healthcheck(wanted: &Wanted) -> ExitCode {
    let (well, text) = match ask_health() {
        Ok(document) => judge(document.part(Part::Health), wanted),
        Err(silence) => (false, silence.to_string()),
    };
    let _ = writeln!(io::stdout(), "{text}");
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the daemon's word on its health is what is wanted, and what to say.
fn judge(health: &str, wanted: &Wanted) -> (bool, String) {
    let (verdict, routers) = health.split_once('\n').unwrap_or((health, ""));
    let routers = routers.lines().filter_map(|line| line.rsplit_once(' '));
    let mut meant =
        routers.filter(|(name, _)| wanted.router.as_ref().is_none_or(|router| router == name)).peekable();
    if let (Some(router), None) = (&wanted.router, meant.peek()) {
        return (false, format!("there is no router {router} here"));
    }
    let fits = |state: &str| match wanted.state {
        WantedState::Any => true,
        WantedState::Ready => matches!(state, "BACKUP" | "MASTER"),
        WantedState::Master => state == "MASTER",
    };
    let mut well = verdict == "healthy";
    let mut text = verdict.to_owned();
    for (name, state) in meant {
        well &= fits(state);
        text = format!("{text}, {name} {state}");
    }
    (well, text)
}

/// Where the socket for it is not, as where the other alone was mounted, everything is asked for.
fn ask_health() -> Result<Document, Silence> {
    let path = status_socket().ok_or(Silence::Off)?;
    match ask(health_socket(&path), Part::Health) {
        Err(Silence::Nobody { .. }) => ask(path, Part::Health),
        other => other,
    }
}

fn ask(path: PathBuf, part: Part) -> Result<Document, Silence> {
    let octets = read(&path)?;
    Document::read(octets, part).ok_or(Silence::Cut { path })
}

fn read(path: &Path) -> Result<Vec<u8>, Silence> {
    let nobody = |source| Silence::Nobody { path: path.to_owned(), source };
    let wedged = |source| Silence::Wedged { path: path.to_owned(), source };
    let address = SockAddr::unix(path).map_err(nobody)?;
    let mut stream = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(nobody)?;
    // To connect may take for ever as well: where those who gave up before fill the queue of a daemon that hangs.
    for limit in [Socket::set_write_timeout, Socket::set_read_timeout] {
        limit(&stream, Some(PATIENCE)).map_err(nobody)?;
    }
    stream.connect(&address).map_err(|e| if is_time_out(&e) { wedged(e) } else { nobody(e) })?;
    let mut octets = vec![];
    stream.read_to_end(&mut octets).map_err(wedged)?;
    Ok(octets)
}

fn is_time_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Only where a person looks, and did not ask for none (no-color.org).
fn in_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Words that matter, in the colours of ECMA-48: green, yellow, red.
fn coloured(text: &str) -> String {
    const COLOURS: [(&str, u8); 7] = [
        ("MASTER", 32),
        ("BACKUP", 36),
        ("FAULT", 31),
        ("FAILED", 31),
        ("MISSING", 31),
        ("UNHEALTHY", 31),
        ("warning", 33),
    ];
    // Not `str::replace`: the search for words would be here for this alone.
    let (mut line, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        if let Some((word, colour)) = COLOURS.iter().find(|(word, _)| rest.starts_with(word)) {
            _ = write!(line, "\u{1b}[{colour}m{word}\u{1b}[0m");
            rest = &rest[word.len()..];
        } else {
            line.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(health: &str, state: WantedState, router: Option<&str>) -> (bool, String) {
        judge(health, &Wanted { state, router: router.map(str::to_owned) })
    }

    #[test]
    fn a_fault_is_healthy_and_not_ready() {
        let health = "healthy\nVI_1 MASTER\nVI_2 FAULT";
        assert_eq!(judged(health, WantedState::Any, None), (true, "healthy, VI_1 MASTER, VI_2 FAULT".into()));
        assert!(!judged(health, WantedState::Ready, None).0);
        assert!(judged(health, WantedState::Ready, Some("VI_1")).0);
        assert!(judged(health, WantedState::Master, Some("VI_1")).0);
        assert!(!judged("healthy\nVI_1 BACKUP", WantedState::Master, None).0);
        let nobody = (false, "there is no router VI_9 here".into());
        assert_eq!(judged(health, WantedState::Any, Some("VI_9")), nobody);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let health = "VI_1 is MASTER, but 10.0.0.2 is not on eth0\nVI_1 MASTER";
        let said = "VI_1 is MASTER, but 10.0.0.2 is not on eth0, VI_1 MASTER";
        assert_eq!(judged(health, WantedState::Any, None), (false, said.into()));
    }

    #[test]
    fn words_that_matter_are_coloured() {
        assert_eq!(coloured("VI_1 MASTER for"), "VI_1 \u{1b}[32mMASTER\u{1b}[0m for");
    }
}
