//! The drain file and what it orders: looks at it when it changes, and tells the routers. Knows no router.

use std::path::PathBuf;
use std::time::Duration;

use crate::daemon::routers::Routers;
use crate::drain::{LONGEST, Order};
use crate::sys::limits::Descriptors;
use crate::sys::poller::wall_clock;
use crate::sys::watched_file::{Found, WatchedFile};
use crate::time::Instant;
use crate::token::{Poller, Token};

/// From a notice to the look: whoever creates the file may not have written it yet.
const SETTLE: Duration = Duration::from_millis(20);
/// The time between two looks at a folder that cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct DrainFile {
    descriptors: Descriptors,
    /// `None`: it is off.
    file: Option<WatchedFile>,
    /// The order in effect.
    order: Option<Order>,
    ends_at: Option<Instant>,
    look_at: Option<Instant>,
    /// What is wrong with the file, as logged.
    problem: Option<String>,
    /// It was logged that its folder cannot be watched.
    unwatched: bool,
}

impl DrainFile {
    /// Nothing is looked at before the first [`DrainFile::look`].
    pub(super) fn new(path: Option<PathBuf>, descriptors: Descriptors) -> Self {
        Self {
            descriptors,
            file: path.map(WatchedFile::new),
            order: None,
            ends_at: None,
            look_at: Some(Instant::START),
            problem: None,
            unwatched: false,
        }
    }

    pub(super) fn order(&self) -> Option<Order> {
        self.order
    }

    /// When [`DrainFile::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.file.as_ref().and_then(|_| self.look_at.into_iter().chain(self.ends_at).min())
    }

    /// There are notices.
    pub(super) fn ready(&mut self, now: Instant) {
        if let Some(file) = &mut self.file
            && file.has_changed()
        {
            self.look_at.get_or_insert(now + SETTLE);
        }
    }

    /// Looks at the file, and at the end of its time.
    pub(super) fn expire(&mut self, routers: &mut Routers, now: Instant, poller: &Poller) {
        if self.look_at.take_if(|at| *at <= now).is_some() {
            // First the watch, so that no change goes unseen.
            self.watch(now, poller);
            self.look(routers, now);
        }
        if self.ends_at.take_if(|at| *at <= now).is_some() {
            // The time of day may have been set back.
            let left = self.order.and_then(|order| order.until).map(|until| until.since(wall_clock()));
            match left.filter(|left| !left.is_zero()) {
                Some(left) => self.ends_at = Some(now + left),
                None => self.follow(None, "its time is over", routers),
            }
        }
    }

    fn watch(&mut self, now: Instant, poller: &Poller) {
        let Some(file) = self.file.as_mut().filter(|file| !file.is_watched()) else { return };
        let watched = file.watch(self.descriptors).and_then(|fd| poller.watch(fd, Token::DrainFile));
        let Err(e) = watched else {
            self.unwatched = false;
            return;
        };
        file.unwatch();
        self.look_at = Some(now + UNWATCHED);
        if !std::mem::replace(&mut self.unwatched, true) {
            log::warn!(event = "drain"; "{e}; looking for {} each second instead", file.path().display());
        }
    }

    /// Follows what the file says now.
    pub(super) fn look(&mut self, routers: &mut Routers, now: Instant) {
        let Some(file) = &self.file else { return };
        let path = file.path().display();
        let (mut order, problem) = match file.read(LONGEST + 1) {
            Ok(None) => (None, None),
            Ok(Some(Found { octets: Ok(octets), modified })) => {
                let (order, problem) = Order::read(&octets, modified);
                (Some(order), problem.map(|why| format!("{path} {why}: drained, without end")))
            }
            Ok(Some(Found { octets: Err(e), modified })) => {
                let order = Order { since: modified, ..Order::default() };
                (Some(order), Some(format!("{e}: drained, without end")))
            }
            // Docker makes a folder where it mounts a file that does not exist.
            Err(e) => (self.order, Some(format!("{e}: it changes nothing"))),
        };
        let mut problem = problem;
        let left = order.and_then(|order| order.until).map(|until| until.since(wall_clock()));
        if left.is_some_and(|left| left.is_zero()) && order != self.order {
            problem = Some(format!("The time in {path} is over: not drained"));
            order = None;
        }
        if problem != self.problem
            && let Some(text) = &problem
        {
            log::warn!(event = "drain"; "{text}");
        }
        let removed = format!("{path} was removed");
        self.problem = problem;
        self.ends_at = left.filter(|_| order.is_some()).map(|left| now + left);
        self.follow(order, &removed, routers);
    }

    /// `ended`: why there is no order any more, if there is none.
    fn follow(&mut self, order: Option<Order>, ended: &str, routers: &mut Routers) {
        let before = std::mem::replace(&mut self.order, order);
        match (before, order) {
            (before, Some(order)) if before != Some(order) => {
                let by = if order.by_command { "the command" } else { "the file" };
                let until = order.until.map_or("until undrain".to_owned(), |until| format!("until {until}"));
                log::warn!(event = "drain"; "Drain ordered by {by}, {until}");
                routers.drain(order.force, by);
            }
            (Some(_), None) => {
                log::warn!(event = "drain"; "Drain ended: {ended}");
                routers.undrain();
            }
            _ => {}
        }
    }
}
