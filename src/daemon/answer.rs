//! What is sent to whoever asks for the state; knows no connection.

use super::Daemon;
use super::http::{Page, response};
use super::serving::Ask;
use crate::metrics;
use crate::status::{Document, History, RouterStatus, State, Status};

impl Daemon {
    pub(super) fn serve(&mut self, token: u64) {
        self.serving.ready(token, self.poller.now(), &self.poller);
        while let Some((asker, ask)) = self.serving.next_ask() {
            let octets = answer(ask, &self.status(), &self.history);
            self.serving.reply(asker, octets, &self.poller);
        }
    }
}

/// The whole of what is to be sent.
fn answer(ask: Ask, status: &Status, history: &History) -> Vec<u8> {
    let Ask::Http { page, body } = ask else { return Document::write(status, history).into_bytes() };
    let all = |states: &[State]| status.routers.iter().all(|router| states.contains(&router.state));
    let is = |holds: bool, no: String| {
        let (line, text) =
            if holds { ("200 OK", "ok\n".to_owned()) } else { ("503 Service Unavailable", no) };
        response(line, "text/plain", &text, body)
    };
    match page {
        Page::Metrics => response("200 OK", metrics::CONTENT_TYPE, &metrics::text(status), body),
        Page::Status => response("200 OK", "application/json", &status.json(), body),
        Page::Health => is(status.health.healthy, format!("{}\n", status.health.problems.join("\n"))),
        Page::Ready => is(all(&[State::Backup, State::Master]), states(status)),
        Page::Master => is(all(&[State::Master]), states(status)),
    }
}

fn states(status: &Status) -> String {
    let line =
        |text: String, router: &RouterStatus| text + &router.name + " is " + router.state.as_str() + "\n";
    status.routers.iter().fold(String::new(), line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::status;

    #[test]
    fn each_page_has_its_answer() {
        let ask = |page| {
            let answer = answer(Ask::Http { page, body: true }, &status(), &History::default());
            String::from_utf8(answer).unwrap()
        };
        assert!(ask(Page::Metrics).contains("\r\n\r\n# HELP keepalived_build_info"));
        assert!(ask(Page::Status).contains("application/json"));
        assert!(
            ask(Page::Health).starts_with("HTTP/1.1 200 OK\r\n")
                && ask(Page::Health).ends_with("\r\n\r\nok\n")
        );
        for page in [Page::Ready, Page::Master] {
            let answer = ask(page);
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("VI_2 is FAULT\n"), "{answer}");
        }
    }
}
