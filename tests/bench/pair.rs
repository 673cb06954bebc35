//! Two hosts, each with a router and haproxy, and a client. A pair serves many events and returns to the settled state
//! after each. Does not know what is measured.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::client::Client;
use crate::support::asker::Asker;
use crate::support::lab::{Host, Lab, to_pid};
use crate::support::process::{Running, children_of};
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds};

/// The configuration of both programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    pub(crate) advert_int: &'static str,
    pub(crate) advert: Duration,
    pub(crate) check_interval: u8,
    weight: i16,
    priorities: [u8; 2],
    /// A third of the repetitions, because few people run this configuration.
    pub(crate) seldom: bool,
}

/// Every configuration that is measured. Another one adds a failover table and rows of load.
pub(crate) const CONFIGURATIONS: [&Configuration; 2] = [&SEED, &FAST];

/// The variables of the two-host compose files in the README.
pub(crate) const SEED: Configuration = Configuration {
    name: "VRRPv2, adverts every 1 s, CHECK_INTERVAL 2, CHECK_WEIGHT 2, PRIORITY 11 and 10",
    advert_int: "1",
    advert: seconds(1),
    check_interval: 2,
    weight: 2,
    priorities: [11, 10],
    seldom: false,
};

/// The shortest interval, which VRRPv2 does not have; everything else is the same.
pub(crate) const FAST: Configuration = Configuration {
    name: "VRRPv3, adverts every 10 ms, CHECK_INTERVAL 1, CHECK_WEIGHT 2, PRIORITY 11 and 10",
    advert_int: "0.01",
    advert: millis(10),
    check_interval: 1,
    weight: 2,
    priorities: [11, 10],
    seldom: true,
};

impl Configuration {
    pub(crate) fn node(&self, host: usize) -> Node {
        let check = Check {
            service: "haproxy",
            weight: self.weight,
            interval: self.check_interval,
            command: "/bin/busybox killall -0",
        };
        Node {
            state: ["MASTER", "BACKUP"][host],
            advert_int: self.advert_int,
            check: Some(check),
            ..Node::plain(self.priorities[host])
        }
        .with("LOG_LEVEL", "info")
    }

    /// Skew time of the backup while its service is healthy (RFC 3768 §6.1).
    pub(crate) fn skew(&self) -> Duration {
        let priority = i32::from(self.priorities[1]) + i32::from(self.weight);
        self.advert * u32::try_from(256 - priority).expect("priorities end at 255") / 256
    }

    /// Master-down interval of the backup while its service is healthy.
    pub(crate) fn master_down(&self) -> Duration {
        3 * self.advert + self.skew()
    }

    /// The default lease: the master-down interval rounded up to whole seconds, at least 3.
    pub(crate) fn lease(&self) -> Duration {
        seconds(self.master_down().as_secs() + 1).max(seconds(3))
    }
}

/// First letters of the hosts' names, which the client gets as answers.
pub(crate) const A: u8 = b'a';
pub(crate) const B: u8 = b'b';
/// This many good answers in a row, 150 ms, mean a settled client.
pub(crate) const STEADY: usize = 50;
const SETTLE: Duration = seconds(25);

/// One of the two hosts.
pub(crate) struct Side {
    kind: Kind,
    node: Node,
    pub(crate) host: Host,
    pub(crate) router: Router,
    /// `None`: killed, alone or with its PID namespace.
    web: Option<Haproxy>,
}

impl Side {
    fn start(kind: Kind, host: Host, node: Node) -> Self {
        let router = Router::in_container(kind, &host, &node);
        let web = Some(Haproxy::start(&host, &router.run));
        Self { kind, node, host, router, web }
    }

    pub(crate) fn kill_web(&mut self) -> Instant {
        self.web.take().expect("haproxy runs in the settled state").kill()
    }

    /// Returns when it started.
    pub(crate) fn start_web(&mut self) -> Instant {
        let at = Instant::now();
        self.web = Some(Haproxy::start(&self.host, &self.router.run));
        at
    }

    /// Signals every process of the router, as a container is paused as a whole.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for pid in self.router.run.pids() {
            // A short-lived check may have ended.
            let _ = kill(to_pid(pid), signal);
        }
    }

    /// Starts the dead router again where it died. Returns whether it works.
    pub(crate) fn restart(&mut self) -> bool {
        self.web = None;
        self.router = Router::in_container(self.kind, &self.host, &self.node);
        let start = Instant::now();
        while start.elapsed() < seconds(5) && self.router.run.is_running() {
            if !self.router.run.log.since(0, "Entering BACKUP STATE").is_empty() {
                return true;
            }
            std::thread::sleep(millis(10));
        }
        false
    }

    /// Starts whichever of router and haproxy is not running, the router in a fresh container.
    fn restore(&mut self) {
        if !self.router.run.is_running() {
            let _ = fs::remove_dir_all(self.host.kept_run());
            self.web = None;
            self.router = Router::in_container(self.kind, &self.host, &self.node);
        }
        if self.web.is_none() {
            self.start_web();
        }
    }

    pub(crate) fn holds_vip(&self) -> bool {
        self.router.holds_vip()
    }
}

pub(crate) struct Pair {
    kinds: [Kind; 2],
    pub(crate) configuration: &'static Configuration,
    /// The preferred master.
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) client: Client,
    /// A client that takes part only where one asks for it.
    pub(crate) forgetful: Client,
    /// Asks one host for its hardware address.
    pub(crate) asker: Arc<Asker>,
    /// Last, because the others live in it.
    _lab: Lab,
}

impl Pair {
    pub(crate) fn start(kinds: [Kind; 2], configuration: &'static Configuration) -> Self {
        let lab = Lab::new();
        let clients = [lab.host("client", 250), lab.host("forgetful", 251)];
        let asker = Arc::new(Asker::new(&lab.host("asker", 252)));
        // A bridge passes broadcasts to its newest port first: whoever asks for the address reaches the preferred master
        // first, also when that one is dead.
        let host_b = lab.host("b", 2);
        let host_a = lab.host("a", 1);
        let client = Client::start(&clients[0], Node::VIP);
        let forgetful = Client::forgetful(&clients[1], Node::VIP);
        client.pause();
        forgetful.pause();
        let a = Side::start(kinds[0], host_a, configuration.node(0));
        // Both start with a master-down interval; the preferred one first.
        std::thread::sleep(millis(500));
        let b = Side::start(kinds[1], host_b, configuration.node(1));
        Self { kinds, configuration, a, b, client, forgetful, asker, _lab: lab }
    }

    /// Starts the recovery from an event; [`Pair::settle`] waits for its end.
    pub(crate) fn recover(&mut self) {
        self.client.pause();
        self.forgetful.pause();
        self.a.host.plug_cable();
        self.a.restore();
        self.b.restore();
    }

    /// Waits until the preferred master alone holds the address and answers the client. A pair that does not get there is
    /// replaced. Returns whether that was necessary.
    pub(crate) fn settle(&mut self) -> bool {
        self.client.resume();
        self.client.begin();
        let settled = self.wait_for_a(SETTLE);
        if !settled {
            eprintln!("bench: a pair of {:?} did not settle within {SETTLE:?} and is replaced", self.kinds);
            *self = Self::start(self.kinds, self.configuration);
            self.client.resume();
            assert!(self.wait_for_a(SETTLE), "a new pair of {:?} does not settle", self.kinds);
        }
        !settled
    }

    fn wait_for_a(&self, timeout: Duration) -> bool {
        self.steady(A, STEADY, timeout) && self.a.holds_vip() && !self.b.holds_vip()
    }

    /// Waits until `host` has answered `count` requests in a row. Returns `false` on timeout.
    pub(crate) fn steady(&self, host: u8, count: usize, timeout: Duration) -> bool {
        let start = Instant::now();
        while !self.client.is_answered_by(host, count) {
            if start.elapsed() > timeout {
                return false;
            }
            std::thread::sleep(millis(10));
        }
        true
    }
}

impl Running {
    /// The program's PID and those of all its descendants.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.pid()];
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            pids.extend(children_of(pid));
            next += 1;
        }
        pids
    }
}
