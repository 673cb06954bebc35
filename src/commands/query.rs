//! The commands `status`, `why` and `healthcheck`: query the running daemon over its socket and show the answer. Knows
//! no router; the daemon writes the text.

use std::fmt;
use std::io::{self, Read as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::cli::{HealthQuery, RequiredState};
use super::environment::status_socket;
use super::output;
use crate::columns::join;
use crate::config::health_socket;
use crate::status::{DOWN, Document, OK, Part, recent};
use crate::sys::poller::wall_clock;

/// The daemon's loop never blocks. If it does not answer in this time, it hangs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a query got no answer.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error("STATUS_SOCKET=off: the daemon cannot be queried without its socket")]
    Off,
    #[error("no daemon answers at {}: {source}; is vrrp-init running in this container, with this STATUS_SOCKET?", .path.display())]
    NoAnswer { path: PathBuf, source: io::Error },
    #[error("the daemon at {} did not answer within {} s: it hangs, or is stopped, as by docker pause", .path.display(), TIMEOUT.as_secs())]
    TimedOut { path: PathBuf },
    #[error("the answer from {} is incomplete", .path.display())]
    Incomplete { path: PathBuf },
}

/// Prints one part of the daemon's answer.
pub(super) fn show(part: Part) -> ExitCode {
    match ask_status(part) {
        Ok(document) => {
            let text = document.part(part);
            match part {
                Part::Text | Part::Why => output::print_in_color(text),
                Part::Json => output::print(&format!("{text}\n")),
                Part::Health | Part::Drain => output::print(text),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::print_error(&format_args!("vrrp-init: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One part of the daemon's answer.
pub(super) fn ask_daemon(part: Part) -> Result<String, String> {
    let document = ask_status(part);
    document.map(|document| document.part(part).to_owned()).map_err(|error| error.to_string())
}

/// Prints whether the addresses serve, and the transitions from `since` ago until now.
pub(super) fn why_since(since: Duration) -> ExitCode {
    match ask_status(Part::Why) {
        Ok(document) => {
            output::print_in_color(&recent(document.part(Part::Why), wall_clock(), since));
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::print_error(&format_args!("vrrp-init: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The text of `status`, or why there is none.
pub(super) fn status_text() -> String {
    match ask_status(Part::Text) {
        Ok(document) => document.part(Part::Text).to_owned(),
        Err(error @ QueryError::NoAnswer { .. }) => {
            format!("no daemon is running; this asks again each second\n\n{error}")
        }
        Err(error) => error.to_string(),
    }
}

fn ask_status(part: Part) -> Result<Document, QueryError> {
    status_socket().ok_or(QueryError::Off).and_then(|path| ask(path, part))
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
    let routers = routers.lines().filter_map(RouterLine::parse);
    let is_selected = |line: &RouterLine<'_>| query.router.as_ref().is_none_or(|router| router == line.name);
    let selected: Vec<_> = routers.filter(is_selected).collect();
    if let (Some(router), []) = (&query.router, selected.as_slice()) {
        return (false, format!("no router is named {router}"));
    }
    let (required, satisfies): (_, fn(&RouterLine<'_>) -> bool) = match query.state {
        RequiredState::Any => ("alive", |_| true),
        RequiredState::Ready => ("ready", |line| matches!(line.state, "BACKUP" | "MASTER")),
        RequiredState::Master => ("master", |line| line.state == "MASTER"),
        RequiredState::Serving => ("serving", |line| line.serves != DOWN),
    };
    let healthy = verdict == "healthy";
    let failing: Vec<_> = selected.iter().filter(|line| !satisfies(line)).collect();
    if healthy && !failing.is_empty() {
        return (false, format!("not {required}: {}", join(failing, ", ")));
    }
    let quiet = !healthy || selected.iter().all(|line| line.serves == OK);
    let first = if quiet { verdict } else { required };
    (healthy, join(iter::once(first.to_owned()).chain(selected.iter().map(ToString::to_string)), ", "))
}

/// One router in [`Part::Health`]. Displays with what is wrong.
struct RouterLine<'a> {
    name: &'a str,
    state: &'a str,
    serves: &'a str,
    why: &'a str,
}

impl<'a> RouterLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split('\t');
        let (name, state) = fields.next()?.rsplit_once(' ')?;
        Some(Self {
            name,
            state,
            serves: fields.next().unwrap_or(OK),
            why: fields.next().unwrap_or_default(),
        })
    }
}

impl fmt::Display for RouterLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, state, serves, why } = self;
        // A sentence about a FAULT begins with it.
        let why = why.strip_prefix(state).map_or(*why, |rest| rest.trim_start_matches([':', ' ', ',']));
        write!(f, "{name} {state}")?;
        if *serves == OK { Ok(()) } else { write!(f, ": {why}") }
    }
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
    let unanswered = |e: io::Error| {
        let is_time_out = e.kind() == io::ErrorKind::WouldBlock;
        if is_time_out { QueryError::TimedOut { path: path.to_owned() } } else { no_answer(e) }
    };
    let address = SockAddr::unix(path).map_err(no_answer)?;
    let mut stream = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(no_answer)?;
    // Connecting can block as well, if earlier clients fill the queue of a daemon that hangs.
    for limit in [Socket::set_write_timeout, Socket::set_read_timeout] {
        limit(&stream, Some(TIMEOUT)).map_err(no_answer)?;
    }
    stream.connect(&address).map_err(unanswered)?;
    let mut octets = vec![];
    stream.read_to_end(&mut octets).map_err(unanswered)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(health: &str, state: RequiredState, router: Option<&str>) -> (bool, String) {
        judge(health, &HealthQuery { state, router: router.map(str::to_owned) })
    }

    #[test]
    fn the_text_says_what_the_exit_code_says_and_what_is_wrong() {
        const FAULT: &str = "VI_2 FAULT\tdown\tFAULT: eth1 has no carrier; no master is heard";
        const SHOWN: &str = "VI_2 FAULT: eth1 has no carrier; no master is heard";
        let (any, ready) = (RequiredState::Any, RequiredState::Ready);
        let (master, serving) = (RequiredState::Master, RequiredState::Serving);
        let both = format!("healthy\nVI_1 MASTER\tok\t10.0.0.2 is served here by haproxy\n{FAULT}");
        let backup = "healthy\nVI_1 BACKUP\ttrouble\thaproxy is DOWN here for 3 s; 10.0.0.12 is master";
        let lone = "healthy\nVI_1 MASTER\tdown\tMASTER without a working haproxy";
        let (alive, named) = (format!("alive, VI_1 MASTER, {SHOWN}"), |name| Some(name));
        for (health, state, router, passed, text) in [
            (&*both, any, None, true, &*alive),
            (&both, ready, None, false, &format!("not ready: {SHOWN}")),
            (&both, serving, None, false, &format!("not serving: {SHOWN}")),
            (&both, ready, named("VI_1"), true, "healthy, VI_1 MASTER"),
            (&both, master, named("VI_1"), true, "healthy, VI_1 MASTER"),
            (&both, any, named("VI_9"), false, "no router is named VI_9"),
            (
                backup,
                any,
                None,
                true,
                "alive, VI_1 BACKUP: haproxy is DOWN here for 3 s; 10.0.0.12 is master",
            ),
            (
                backup,
                ready,
                None,
                true,
                "ready, VI_1 BACKUP: haproxy is DOWN here for 3 s; 10.0.0.12 is master",
            ),
            (
                backup,
                serving,
                None,
                true,
                "serving, VI_1 BACKUP: haproxy is DOWN here for 3 s; 10.0.0.12 is master",
            ),
            (
                backup,
                master,
                None,
                false,
                "not master: VI_1 BACKUP: haproxy is DOWN here for 3 s; 10.0.0.12 is master",
            ),
            (lone, any, None, true, "alive, VI_1 MASTER: without a working haproxy"),
            (lone, serving, None, false, "not serving: VI_1 MASTER: without a working haproxy"),
            ("healthy\nVI 1 BACKUP", any, None, true, "healthy, VI 1 BACKUP"),
        ] {
            assert_eq!(judged(health, state, router), (passed, text.into()), "{health} {state:?}");
        }
    }

    #[test]
    fn a_problem_is_printed() {
        let health = "VI_1 is MASTER, but 10.0.0.2 is not on eth0\nVI_1 MASTER";
        let line = "VI_1 is MASTER, but 10.0.0.2 is not on eth0, VI_1 MASTER";
        assert_eq!(judged(health, RequiredState::Any, None), (false, line.into()));
    }
}
