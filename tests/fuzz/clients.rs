//! One connection to the status server with any client: octets in any parts, closes, resets, slow reading, and the passing of
//! time. Every request gets its whole response, no turn does more than its part, and nothing waits for what has happened.

use std::time::Duration;

use vrrp_init::serve::exchange::{Claim, Exchange, MOST_DRAINED, Poll, ReadBudget, Transport};
use vrrp_init::serve::http::{LONGEST_REQUEST, Parsed, parse, rejection};
use vrrp_init::serve::request::Endpoint;
use vrrp_init::sys::listener::Progress;
use vrrp_init::sys::poller::Interest;
use vrrp_init::time::Instant;

use super::Choices;

/// What a client may send before the test leaves it alone, in octets.
const MOST_SENT: usize = MOST_DRAINED + 1_000_000;

/// The other end, as a socket shows it.
#[derive(Default)]
struct Client {
    /// What it has sent so far, and how much of that was read.
    sent: Vec<u8>,
    read: usize,
    /// It sends no more.
    has_finished: bool,
    /// It reset the connection.
    is_broken: bool,
    /// The octets that the socket takes before it is full.
    room: usize,
    received: Vec<u8>,
    /// How often our direction was shut down.
    shut_down: usize,
}

impl Transport for Client {
    fn read(&mut self, buffer: &mut [u8]) -> Progress {
        let waiting = &self.sent[self.read..];
        let count = waiting.len().min(buffer.len());
        if self.is_broken || (count == 0 && self.has_finished) {
            return Progress::Ended;
        }
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.read += count;
        if count == 0 { Progress::Later } else { Progress::Some(count) }
    }

    fn write(&mut self, octets: &[u8]) -> Progress {
        assert_eq!(self.shut_down, 0, "written after the end");
        let count = octets.len().min(self.room);
        if self.is_broken {
            return Progress::Ended;
        }
        self.room -= count;
        self.received.extend(&octets[..count]);
        if count == 0 { Progress::Later } else { Progress::Some(count) }
    }

    fn finish(&mut self) {
        self.shut_down += 1;
    }
}

impl Client {
    /// Whether the poller reports it.
    fn is_ready(&self, interest: Interest) -> bool {
        let can_read = self.read < self.sent.len();
        self.is_broken
            || match interest {
                Interest::Readable => can_read || self.has_finished,
                Interest::Writable => self.room > 0,
                Interest::Closed => self.has_finished,
            }
    }
}

struct World {
    endpoint: Endpoint,
    now: Instant,
    exchange: Exchange,
    client: Client,
    last: Poll,
    /// The whole response, once it is known.
    response: Option<Vec<u8>>,
    length: usize,
}

pub(super) fn run(choices: &mut Choices<'_>) {
    let kind = choices.octet();
    let endpoint = [Endpoint::Http, Endpoint::Http, Endpoint::Http, Endpoint::Document, Endpoint::Health]
        [usize::from(kind) % 5];
    let now = Instant::START + Duration::from_secs(1);
    let mut world = World {
        endpoint,
        now,
        exchange: Exchange::new(endpoint, now),
        client: Client::default(),
        last: Poll::Requested,
        response: None,
        length: 1 + usize::from(choices.octet()) * 300,
    };
    let mut open = world.turn();
    while open && !choices.0.is_empty() {
        world.change(choices);
        open = world.turn();
    }
    if open {
        world.ends_well();
    }
}

impl World {
    /// The client does something, or time passes.
    fn change(&mut self, choices: &mut Choices<'_>) {
        let (kind, amount) = (choices.octet(), choices.octet());
        match kind % 8 {
            0 => self.client.has_finished = true,
            1 => self.client.is_broken = amount > 200,
            2 => self.client.room += usize::from(amount) * 40,
            3 => self.now = self.now + Duration::from_millis(u64::from(amount)),
            4 => self.send(&vec![b'x'; usize::from(amount) * 196]),
            5 => {
                let (own, rest) = choices.0.split_at(usize::from(amount).min(choices.0.len()));
                choices.0 = rest;
                self.send(own);
            }
            _ => {
                let parts: [&[u8]; 6] = [
                    b"GET /metrics HTTP/1.1\r\n",
                    b"\r\n",
                    b"HEAD /healthz HTTP/1.0\n",
                    b"\n",
                    b"A: b\r\n",
                    b"G",
                ];
                self.send(parts[usize::from(amount) % parts.len()]);
            }
        }
    }

    fn send(&mut self, octets: &[u8]) {
        if !self.client.has_finished && self.client.sent.len() < MOST_SENT {
            self.client.sent.extend(octets);
        }
    }

    /// One turn of the event loop. Returns whether the connection is still open.
    fn turn(&mut self) -> bool {
        if self.now >= self.exchange.deadline() {
            return false;
        }
        let is_ready = matches!(self.last, Poll::Pending(interest) if self.client.is_ready(interest));
        let has_rested = self.exchange.rests_until().is_some_and(|until| until <= self.now);
        if is_ready || has_rested {
            self.exchange.end_rest();
        }
        let before = self.client.read;
        let mut budget = ReadBudget::full();
        self.last = self.exchange.poll(self.now, &mut budget, &mut self.client);
        if self.last == Poll::Requested {
            assert!(self.exchange.request().is_some() && self.response.is_none());
            let response = vec![b'r'; self.length];
            self.exchange.respond(response.clone());
            self.response = Some(response);
            self.last = self.exchange.poll(self.now, &mut budget, &mut self.client);
        }
        let read = self.client.read - before;
        assert!(read <= ReadBudget::PER_TURN, "{read} octets in one turn");
        self.holds(read == ReadBudget::PER_TURN);
        self.last != Poll::Closed
    }

    /// What is true after every turn. `spent`: the turn has read all that it may.
    fn holds(&mut self, spent: bool) {
        let client = &self.client;
        // Before the first byte of a rejection nothing tells that there is one.
        if self.response.is_none() && !client.received.is_empty() {
            let Parsed::Rejected(status) = parse(&client.sent[..client.read.min(LONGEST_REQUEST)]) else {
                panic!("a response without a request");
            };
            self.response = Some(rejection(status));
        }
        let whole = self.response.clone().unwrap_or_default();
        assert!(whole.starts_with(&client.received));
        assert!(client.shut_down <= 1);
        let is_answered = client.shut_down == 1;
        assert!(!is_answered || client.received == whole, "shut down before the end of the response");
        assert!(client.read <= LONGEST_REQUEST + MOST_DRAINED + 16 * 1_024);
        match self.last {
            Poll::Requested => panic!("it was answered"),
            Poll::Closed => {
                let drained = client.read + 16 * 1_024 >= MOST_DRAINED;
                let done = is_answered && self.endpoint != Endpoint::Http;
                assert!(
                    client.is_broken || client.has_finished || drained || done,
                    "closed without a reason"
                );
            }
            Poll::Pending(Interest::Closed) => {
                assert!(self.exchange.rests_until().is_some(), "it would wait for the close alone");
            }
            Poll::Pending(interest) => {
                assert!(spent || !client.is_ready(interest), "it waits for what is there: {interest:?}");
            }
        }
        assert_eq!(self.exchange.claim(self.now) == Claim::Answered, is_answered);
    }

    /// The client behaves from now on: whoever has sent a whole request gets the whole response.
    fn ends_well(&mut self) {
        self.client.room = usize::MAX;
        let mut turns = 0;
        while self.client.shut_down == 0 && matches!(self.last, Poll::Pending(_)) && turns < 100 {
            turns += 1;
            if !self.turn() {
                break;
            }
        }
        let client = &self.client;
        let request = &client.sent[..client.sent.len().min(LONGEST_REQUEST)];
        let has_asked = self.response.is_some() || parse(request) != Parsed::Incomplete;
        assert!(client.is_broken || !has_asked || client.shut_down == 1, "no response in {turns} turns");
    }
}
