//! The commands `drain` and `undrain`: write or remove the file that the daemon follows, and wait for what becomes of it.
//! They send the daemon nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::cli::DrainOptions;
use super::environment::drain_file;
use super::output;
use super::query::ask_daemon;
use crate::drain::Order;
use crate::status::{DRAINED, LEAVING, NOT_DRAINED, Part};
use crate::sys::poller::{Clock, Poller, wall_clock};
use crate::sys::watched_file::{WatchedFile, remove, replace};
use crate::token::Token;

/// The time between two queries.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long to wait for the daemon. It waits 1.1 s for a successor, and without inotify looks each second.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Takes this node out of service.
pub(super) fn drain(options: DrainOptions) -> ExitCode {
    exit(try_to_drain(options))
}

/// Puts this node back into service.
pub(super) fn undrain() -> ExitCode {
    exit(try_to_undrain())
}

fn exit(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            output::print(&format!("{text}\n"));
            ExitCode::SUCCESS
        }
        Err(text) => {
            output::print_error(&format_args!("vrrp-init: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn try_to_drain(DrainOptions { time, force }: DrainOptions) -> Result<String, String> {
    let path = path()?;
    // Without a daemon nobody would follow.
    Answer::ask()?;
    let until = time.map(|time| wall_clock().after(time));
    let order = Order { until, force, by_command: true, ..Order::default() };
    let since = replace(&path, &order.to_string())?.to_string();
    // The outcome of a later order, such as one by force, is that of this one too. Without any, somebody undrained.
    let is_over = |answer: &Answer| answer.since >= since || (answer.since.is_empty() && !path.exists());
    let outcome = wait_for(&|answer| is_over(answer) && answer.state != LEAVING);
    let taken_back = || taken_back(&path, &since);
    match outcome {
        Ok(Answer { state, text, .. }) if state == DRAINED => Ok(text),
        Ok(Answer { text, .. }) => Err(format!("not drained: {text}{}", taken_back())),
        Err(why) => Err(format!("{why}; is DRAIN_FILE the same there?{}", taken_back())),
    }
}

/// No other program may find this node half drained. A file that another one has written since stays.
fn taken_back(path: &Path, since: &str) -> String {
    let found = WatchedFile::new(path.to_owned()).read(0);
    if found.is_ok_and(|found| found.is_some_and(|found| found.modified.to_string() != since)) {
        return "; another order came after it".into();
    }
    match remove(path) {
        Ok(_) => {
            // Why it does not follow has been said, if it does not.
            let _ = wait_for(&|answer| answer.state == NOT_DRAINED);
            "; the drain is taken back".into()
        }
        Err(e) => format!("; {e}"),
    }
}

fn try_to_undrain() -> Result<String, String> {
    let path = path()?;
    let was_there = remove(&path)?;
    let Answer { text, .. } = wait_for(&|answer| answer.state == NOT_DRAINED)?;
    Ok(if was_there { format!("undrained: {text}") } else { format!("was not drained: {text}") })
}

fn path() -> Result<PathBuf, String> {
    drain_file().ok_or_else(|| "DRAIN_FILE=off: this node cannot be drained".into())
}

/// What the daemon says of the drain.
struct Answer {
    state: String,
    since: String,
    text: String,
}

impl Answer {
    fn ask() -> Result<Self, String> {
        let answer = ask_daemon(Part::Drain)?;
        let mut fields = answer.splitn(3, '\t').map(str::to_owned);
        let mut next = || fields.next().unwrap_or_default();
        Ok(Self { state: next(), since: next(), text: next() })
    }
}

fn wait_for(is_it: &dyn Fn(&Answer) -> bool) -> Result<Answer, String> {
    let poller: Poller<Token> = Poller::new(Clock::start()?)?;
    let end = poller.now() + TIMEOUT;
    loop {
        let answer = Answer::ask()?;
        if is_it(&answer) {
            return Ok(answer);
        }
        let now = poller.now();
        if end <= now {
            return Err(format!("the daemon did not follow within {} s", TIMEOUT.as_secs()));
        }
        poller.wait(Some(now + BETWEEN))?;
    }
}
