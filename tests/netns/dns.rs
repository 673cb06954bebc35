//! `CHECK_DNS` against a resolver of this file, which answers in all the ways that a resolver can.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const RESOLVER: &str = "127.0.0.1:53";

/// What it does with a query.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Answers,
    Servfail,
    Nxdomain,
    Empty,
    Silent,
    Garbage,
    OtherId,
    OtherName,
    /// From another port.
    OtherPeer,
    /// The answer to the query before.
    Late,
}

const MODES: [Mode; 10] = [
    Mode::Answers,
    Mode::Servfail,
    Mode::Nxdomain,
    Mode::Empty,
    Mode::Silent,
    Mode::Garbage,
    Mode::OtherId,
    Mode::OtherName,
    Mode::OtherPeer,
    Mode::Late,
];

struct Resolver {
    mode: Arc<AtomicU8>,
    queries: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Resolver {
    fn start(host: &Host) -> Self {
        let (socket, other) =
            host.inside(|| (UdpSocket::bind(RESOLVER).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()));
        socket.set_read_timeout(Some(millis(20))).unwrap();
        let (mode, queries, stop) =
            (Arc::new(AtomicU8::new(0)), Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let shared = (mode.clone(), queries.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let (mode, queries, stop) = shared;
            let mut before: Option<Vec<u8>> = None;
            while !stop.load(Ordering::Relaxed) {
                let mut octets = [0; 512];
                let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
                let query = octets[..length].to_vec();
                queries.lock().unwrap().push(query.clone());
                let mode = MODES[usize::from(mode.load(Ordering::Relaxed))];
                Self::answer(mode, &query, before.as_deref(), (&socket, &other), from);
                before = Some(query);
            }
        });
        Self { mode, queries, stop, thread: Some(thread) }
    }

    fn answer(
        mode: Mode,
        query: &[u8],
        before: Option<&[u8]>,
        (socket, other): (&UdpSocket, &UdpSocket),
        from: SocketAddr,
    ) {
        let good = |query: &[u8], code: u8, count: u8| {
            let mut answer = query.to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80 | code, count);
            if count > 0 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
            }
            answer
        };
        let answer = match mode {
            Mode::Silent => return,
            Mode::Answers | Mode::OtherPeer => good(query, 0, 1),
            Mode::Servfail => good(query, 2, 0),
            Mode::Nxdomain => good(query, 3, 0),
            Mode::Empty => good(query, 0, 0),
            Mode::Garbage => vec![0xff; 300],
            Mode::OtherId => {
                let mut answer = good(query, 0, 1);
                answer[1] ^= 1;
                answer
            }
            Mode::OtherName => {
                let mut answer = good(query, 0, 1);
                answer[13] ^= 1;
                answer
            }
            Mode::Late => match before {
                Some(before) => good(before, 0, 1),
                None => return,
            },
        };
        let socket = if mode == Mode::OtherPeer { other } else { socket };
        _ = socket.send_to(&answer, from);
    }

    fn set(&self, mode: Mode) {
        let at = MODES.iter().position(|known| *known == mode).unwrap();
        self.mode.store(u8::try_from(at).unwrap(), Ordering::Relaxed);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn each_wrong_answer_of_a_resolver_lowers_the_priority_and_is_named() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let resolver = Resolver::start(&host);
    let node = Node::plain(100).with("CHECK_DNS", "example.com@127.0.0.1").with("CHECK_WEIGHT", "20");
    let node = node.with("CHECK_INTERVAL", "0.2").with("CHECK_TIMEOUT", "0.1");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("Sandbox: … seccomp", START);
    router.wait_master(0, START);
    router.run.log.wait_for("priority from 100 to 120", seconds(2));
    for (mode, reason) in [
        (Mode::Servfail, "answered SERVFAIL"),
        (Mode::Nxdomain, "answered NXDOMAIN (the name does not exist)"),
        (Mode::Empty, "answered without such a record"),
        (Mode::Silent, "no answer within 100 ms"),
        (Mode::Garbage, "no answer within 100 ms (other datagrams: 1)"),
        (Mode::OtherId, "no answer within 100 ms (other datagrams: 1)"),
        (Mode::OtherName, "no answer within 100 ms (other datagrams: 1)"),
        (Mode::OtherPeer, "no answer within 100 ms"),
        (Mode::Late, "no answer within 100 ms (other datagrams: 1)"),
    ] {
        let mark = router.run.log.mark();
        resolver.set(mode);
        let line = format!("dns example.com@127.0.0.1:53: {reason}");
        let line = router.run.log.wait_for_after(mark, &line, seconds(2));
        assert!(line.text.ends_with(reason), "{mode:?}: {}", line.text);
        router.run.log.wait_for_after(mark, "priority from 120 to 100", seconds(1));
        thread::sleep(millis(500));
        assert!(router.run.log.since(mark, "priority from 100").is_empty(), "{mode:?}: it stays failed");
        let mark = router.run.log.mark();
        resolver.set(Mode::Answers);
        router.run.log.wait_for_after(mark, "dns example.com@127.0.0.1:53: answers", seconds(2));
        router.run.log.wait_for_after(mark, "priority from 100 to 120", seconds(1));
    }
    let queries = resolver.queries.lock().unwrap().clone();
    let ids: std::collections::BTreeSet<_> = queries.iter().map(|query| &query[..2]).collect();
    assert!(ids.len() + 5 > queries.len() && ids.len() > 30, "{} of {}", ids.len(), queries.len());
    assert!(queries.iter().all(|query| query[2..] == queries[0][2..]), "nothing else differs");
    let mark = router.run.log.mark();
    drop(resolver);
    let line = "dns example.com@127.0.0.1:53: Connection refused (os error 111)";
    router.run.log.wait_for_after(mark, line, seconds(2));
}

#[test]
fn of_several_checks_the_failed_one_is_named_after_check_fall_looks_and_a_reload_applies_another_name() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let resolver = Resolver::start(&host);
    let folder = host.file("settings");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("env");
    let write = |name: &str| std::fs::write(&file, format!("CHECK_DNS={name}@localhost\n")).unwrap();
    write("a.example");
    let node = Node::plain(100).with("ENV_FILE", &file).with("CHECK_INTERVAL", "0.2");
    let node = node.with("CHECK_FALL", "3").with("CHECK_SCRIPT", "/bin/true");
    let router = Router::start(Kind::Ours, &host, &node);
    router.wait_master(0, START);
    let mark = router.run.log.mark();
    let asked = || resolver.queries.lock().unwrap().len();
    resolver.set(Mode::Servfail);
    let before = asked();
    router.run.log.wait_for_after(mark, "Entering FAULT STATE", seconds(2));
    assert!((3..=5).contains(&(asked() - before)), "after three answers: {}", asked() - before);
    wait_until("the status names it", seconds(2), || {
        let (_, text) = command(&router, &["status"]);
        text.contains("dns a.example@127.0.0.1:53 FAILED for ") && text.contains(": answered SERVFAIL")
    });
    let mark = router.run.log.mark();
    write("b.example/A");
    resolver.set(Mode::Answers);
    router.run.log.wait_for_after(mark, "Reload: applied CHECK_DNS", seconds(2));
    router.wait_master(mark, START);
    assert!(resolver.queries.lock().unwrap().last().unwrap()[12..].starts_with(b"\x01b\x07example\0"));
}
