//! The response to a client's request. Knows no connection.

use super::pages::Cached;
use super::routers::Routers;
use super::snapshot::{self, ProcessStatus};
use crate::checks::Checks;
use crate::serve::{Page, Request, response};
use crate::status::{Brief, Document, metrics};
use crate::time::Instant;
use crate::vrrp::Role;

/// The pages that take long to write, for clients that the operator does not choose.
#[derive(Debug, Default)]
pub(super) struct Pages {
    metrics: Cached,
    status: Cached,
}

impl Pages {
    /// The whole response, and whether it took long: then no other request is answered in this turn.
    pub(super) fn respond(
        &mut self,
        request: Request,
        routers: &mut Routers,
        checks: &Checks,
        now: Instant,
        process: ProcessStatus<'_>,
    ) -> (Vec<u8>, bool) {
        let mut status = || snapshot::status(routers, checks, now, process);
        match request {
            Request::Document => {
                let status = status();
                (Document::write(&status, routers.history()).into_bytes(), true)
            }
            Request::Health => (Document::write_health(&snapshot::brief(routers)).into_bytes(), true),
            Request::Http { page: Page::Metrics, body } => {
                let (text, rendered) = self.metrics.get(now, || metrics::text(&status()));
                (response("200 OK", metrics::CONTENT_TYPE, text, body), rendered)
            }
            Request::Http { page: Page::Status, body } => {
                let (text, rendered) = self.status.get(now, || status().json());
                (response("200 OK", "application/json", text, body), rendered)
            }
            Request::Http { page: page @ (Page::Health | Page::Ready | Page::Master), body } => {
                let (status, text) = verdict(page, &snapshot::brief(routers));
                (response(status, "text/plain", &text, body), true)
            }
        }
    }
}

/// The status line, and the problems if there are any.
fn verdict(page: Page, brief: &Brief) -> (&'static str, String) {
    let all = |wanted: &[Role]| brief.states.iter().all(|(_, state)| wanted.contains(state));
    let ok = match page {
        Page::Ready => all(&[Role::Backup, Role::Master]),
        Page::Master => all(&[Role::Master]),
        Page::Health | Page::Metrics | Page::Status => brief.health.healthy,
    };
    if ok {
        return ("200 OK", "ok\n".into());
    }
    let line = |text: String, (name, state): &(String, Role)| text + name + " is " + state.as_str() + "\n";
    let text = match page {
        Page::Ready | Page::Master => brief.states.iter().fold(String::new(), line),
        Page::Health | Page::Metrics | Page::Status => brief.health.problems.join("\n") + "\n",
    };
    ("503 Service Unavailable", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::status;

    #[test]
    fn each_probe_has_its_verdict() {
        let mut brief = status().brief();
        assert_eq!(verdict(Page::Health, &brief), ("200 OK", "ok\n".into()));
        for page in [Page::Ready, Page::Master] {
            let (status, text) = verdict(page, &brief);
            assert_eq!((status, &*text), ("503 Service Unavailable", "VI_1 is MASTER\nVI_2 is FAULT\n"));
        }
        brief.health.healthy = false;
        brief.health.problems = vec!["it is not".into()];
        assert_eq!(verdict(Page::Health, &brief), ("503 Service Unavailable", "it is not\n".into()));
    }
}
