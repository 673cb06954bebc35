//! The commands `status`, `why` and `healthcheck`: query the running daemon over its socket and show the answer. Knows
//! no router; the daemon writes the text.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::cli::{HealthQuery, RequiredState};
use super::environment::status_socket;
use super::output;
use crate::config::health_socket;
use crate::status::{Document, Part};

/// The daemon's loop never blocks. If it does not answer in this time, it hangs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a query got no answer.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error("STATUS_SOCKET=off: the daemon cannot be queried without its socket")]
    Off,
    #[error("no daemon answers at {}: {source}; is vrrp-init running in this container, with this STATUS_SOCKET?", .path.display())]
    NoAnswer { path: PathBuf, source: io::Error },
    #[error("the daemon at {} did not answer within {} s: {source}", .path.display(), TIMEOUT.as_secs())]
    TimedOut { path: PathBuf, source: io::Error },
    #[error("the answer from {} is incomplete", .path.display())]
    Incomplete { path: PathBuf },
}

/// Prints one part of the daemon's answer.
pub(super) fn show(part: Part) -> ExitCode {
    match status_socket().ok_or(QueryError::Off).and_then(|path| ask(path, part)) {
        Ok(document) => {
            let text = document.part(part);
            match part {
                Part::Why if text.is_empty() => output::print("no transition yet\n"),
                Part::Text | Part::Why => output::print_in_color(text),
                Part::Json => output::print(&format!("{text}\n")),
                Part::Health => output::print(text),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::print_error(&format_args!("vrrp-init: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Exits with 0 or 1, and prints one line, which Docker keeps.
pub(super) fn healthcheck(query: &HealthQuery) -> ExitCode {
    let (passed, text) = match ask_health() {
        Ok(document) => judge(document.part(Part::Health), query),
        Err(error) => (false, error.to_string()),
    };
    output::print(&format!("{text}\n"));
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the daemon's answer satisfies the query, and the line to print.
fn judge(health: &str, query: &HealthQuery) -> (bool, String) {
    let (verdict, routers) = health.split_once('\n').unwrap_or((health, ""));
    let routers = routers.lines().filter_map(|line| line.rsplit_once(' '));
    let mut selected =
        routers.filter(|(name, _)| query.router.as_ref().is_none_or(|router| router == name)).peekable();
    if let (Some(router), None) = (&query.router, selected.peek()) {
        return (false, format!("no router is named {router}"));
    }
    let satisfies = |state: &str| match query.state {
        RequiredState::Any => true,
        RequiredState::Ready => matches!(state, "BACKUP" | "MASTER"),
        RequiredState::Master => state == "MASTER",
    };
    let mut passed = verdict == "healthy";
    let mut text = verdict.to_owned();
    for (name, state) in selected {
        passed &= satisfies(state);
        text = format!("{text}, {name} {state}");
    }
    (passed, text)
}

/// Falls back to the socket for everything: a container may have only that one mounted.
fn ask_health() -> Result<Document, QueryError> {
    let path = status_socket().ok_or(QueryError::Off)?;
    match ask(health_socket(&path), Part::Health) {
        Err(QueryError::NoAnswer { .. }) => ask(path, Part::Health),
        other => other,
    }
}

fn ask(path: PathBuf, part: Part) -> Result<Document, QueryError> {
    let octets = read(&path)?;
    Document::read(octets, part).ok_or(QueryError::Incomplete { path })
}

fn read(path: &Path) -> Result<Vec<u8>, QueryError> {
    let no_answer = |source| QueryError::NoAnswer { path: path.to_owned(), source };
    let timed_out = |source| QueryError::TimedOut { path: path.to_owned(), source };
    let address = SockAddr::unix(path).map_err(no_answer)?;
    let mut stream = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(no_answer)?;
    // Connecting can block as well, if earlier clients fill the queue of a daemon that hangs.
    for limit in [Socket::set_write_timeout, Socket::set_read_timeout] {
        limit(&stream, Some(TIMEOUT)).map_err(no_answer)?;
    }
    stream.connect(&address).map_err(|e| if is_time_out(&e) { timed_out(e) } else { no_answer(e) })?;
    let mut octets = vec![];
    stream.read_to_end(&mut octets).map_err(timed_out)?;
    Ok(octets)
}

fn is_time_out(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(health: &str, state: RequiredState, router: Option<&str>) -> (bool, String) {
        judge(health, &HealthQuery { state, router: router.map(str::to_owned) })
    }

    #[test]
    fn a_fault_is_healthy_and_not_ready() {
        let health = "healthy\nVI_1 MASTER\nVI_2 FAULT";
        assert_eq!(
            judged(health, RequiredState::Any, None),
            (true, "healthy, VI_1 MASTER, VI_2 FAULT".into())
        );
        assert!(!judged(health, RequiredState::Ready, None).0);
        assert!(judged(health, RequiredState::Ready, Some("VI_1")).0);
        assert!(judged(health, RequiredState::Master, Some("VI_1")).0);
        assert!(!judged("healthy\nVI_1 BACKUP", RequiredState::Master, None).0);
        let unknown = (false, "no router is named VI_9".into());
        assert_eq!(judged(health, RequiredState::Any, Some("VI_9")), unknown);
    }

    #[test]
    fn a_problem_is_printed() {
        let health = "VI_1 is MASTER, but 10.0.0.2 is not on eth0\nVI_1 MASTER";
        let line = "VI_1 is MASTER, but 10.0.0.2 is not on eth0, VI_1 MASTER";
        assert_eq!(judged(health, RequiredState::Any, None), (false, line.into()));
    }
}
