//! The response to a client's request. Knows no connection.

use super::pages::Cached;
use super::routers::Routers;
use super::snapshot::{self, ProcessStatus};
use crate::checks::Checks;
use crate::serve::{Page, Request, response};
use crate::status::{Brief, BriefRouter, DRAINED, Document, metrics};
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
            Request::Health => {
                (Document::write_health(&snapshot::brief(routers, checks, now)).into_bytes(), true)
            }
            Request::Http { page: Page::Metrics, body } => {
                let (text, rendered) = self.metrics.get(now, || metrics::text(&status()));
                (response("200 OK", metrics::CONTENT_TYPE, text, body), rendered)
            }
            Request::Http { page: Page::Status, body } => {
                let (text, rendered) = self.status.get(now, || status().json());
                (response("200 OK", "application/json", text, body), rendered)
            }
            Request::Http {
                page: page @ (Page::Health | Page::Ready | Page::Master | Page::Serving),
                body,
            } => {
                let (status, text) = verdict(page, &snapshot::brief(routers, checks, now));
                (response(status, "text/plain", &text, body), true)
            }
        }
    }
}

/// The status line, and the problems if there are any.
fn verdict(page: Page, brief: &Brief) -> (&'static str, String) {
    let takes_part = |router: &BriefRouter| router.serving.cause != DRAINED;
    let all = |wanted: &[Role]| {
        brief.routers.iter().all(|router| wanted.contains(&router.state) && takes_part(router))
    };
    let ok = match page {
        Page::Ready => all(&[Role::Backup, Role::Master]),
        Page::Master => all(&[Role::Master]),
        Page::Serving => brief.routers.iter().all(|router| router.serving.serves != Some(false)),
        Page::Health | Page::Metrics | Page::Status => brief.health.healthy,
    };
    if ok {
        return ("200 OK", "ok\n".into());
    }
    let line = |text: String, BriefRouter { name, state, serving }: &BriefRouter| {
        let is_reason = serving.trouble || page == Page::Serving || serving.cause == DRAINED;
        let why = if is_reason { &serving.text } else { "" };
        let colon = if why.is_empty() { "" } else { ": " };
        text + name + " is " + state.as_str() + colon + why + "\n"
    };
    let text = match page {
        Page::Ready | Page::Master | Page::Serving => brief.routers.iter().fold(String::new(), line),
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
        for (page, first) in
            [(Page::Ready, ""), (Page::Master, ""), (Page::Serving, ": 10.0.0.2 is served here by haproxy")]
        {
            let (status, text) = verdict(page, &brief);
            let second = "VI_2 is FAULT: FAULT: interface eth1 has no carrier; no master is heard";
            assert_eq!(
                (status, text),
                ("503 Service Unavailable", format!("VI_1 is MASTER{first}\n{second}\n"))
            );
        }
        brief.routers.pop();
        for page in [Page::Ready, Page::Master, Page::Serving] {
            assert_eq!(verdict(page, &brief).0, "200 OK");
        }
        brief.health.healthy = false;
        brief.health.problems = vec!["it is not".into()];
        assert_eq!(verdict(Page::Health, &brief), ("503 Service Unavailable", "it is not\n".into()));
    }
}
