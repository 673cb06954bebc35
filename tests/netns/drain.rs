//! Drain and undrain: a node hands over without a failed request, takes no part, and comes back; by command and by file.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::lab::{Host, Lab};
use crate::support::pair::{OVERLAP, Pair, QUIET, SLACK, START, master_down};
use crate::support::process::{Launch, Running};
use crate::support::query::{body, command, command_in_its_environment, with_metrics};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::schedule::fast_pair;
use crate::support::service::{Haproxy, PORT};
use crate::support::{machine, millis, seconds, wait_until};

const VIP: Ipv4Addr = Node::VIP;
/// How long a master waits for a successor.
const SUCCESSOR_WAIT: Duration = millis(1_100);
/// The sampler looks at one host after the other: an address that moves in between is at neither.
const BETWEEN_LOOKS: Duration = millis(10);

/// A client that requests a page all the time, and what it did not get.
struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Requests>,
}

#[derive(Debug, Default)]
struct Requests {
    answered: usize,
    /// The connection was made and then lost: the address moved in between.
    in_flight: usize,
    /// Nobody answered, or not in time.
    failed: Vec<String>,
}

impl Client {
    fn start(host: &Host) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, host) = (Arc::clone(&stop), host.clone());
        let thread = std::thread::spawn(move || {
            host.enter();
            let mut requests = Requests::default();
            while !stopped.load(Ordering::Relaxed) {
                match request() {
                    Ok(()) => requests.answered += 1,
                    // The next one reaches the new master.
                    Err((true, _)) if request().is_ok() => requests.in_flight += 1,
                    Err((_, why)) => requests.failed.push(why),
                }
                std::thread::sleep(millis(2));
            }
            requests
        });
        Self { stop, thread }
    }

    fn finish(self) -> Requests {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client does not panic")
    }
}

/// One request; an error says whether the connection was made and then lost.
fn request() -> Result<(), (bool, String)> {
    let limit = seconds(2);
    let made = |e: std::io::Error| (true, e.to_string());
    let refused = |e: std::io::Error| (false, e.to_string());
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((VIP, PORT)), limit).map_err(refused)?;
    stream.set_read_timeout(Some(millis(300))).map_err(refused)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(made)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(made)?;
    if answer.contains(" 200 ") { Ok(()) } else { Err((true, format!("{answer:?}"))) }
}

/// Runs a command that must succeed.
#[track_caller]
fn run(router: &Router, args: &[&str]) -> String {
    let (code, text) = command(router, args);
    assert_eq!(code, 0, "{args:?}: {text}");
    text
}

/// Runs a command that must fail.
#[track_caller]
fn fails(router: &Router, args: &[&str], words: &str) {
    let (code, text) = command(router, args);
    assert!(code == 1 && text.contains(words), "{args:?}: {code} {text}");
}

/// 100 drains and undrains under load: each node in turn hands over to the other, which has just come back.
#[test]
fn a_hundred_drains_and_undrains_lose_no_request() {
    let _machine = machine::alone();
    let node = |priority| Node { advert_int: "0.1", ..Node::plain(priority).with("PREEMPT", "false") };
    let pair = fast_pair(&[node(200), node(100)]);
    let _web = [&pair.a, &pair.b].map(|router| Haproxy::start(&router.host, &router.run));
    let (sampler, client, begun) = (pair.sample(), Client::start(&pair.client), Instant::now());
    let mut moves = 0;
    for n in 0..100 {
        let (from, to) = if n % 2 == 0 { (&pair.a, &pair.b) } else { (&pair.b, &pair.a) };
        let text = run(from, &["drain"]);
        assert!(text.contains(&format!("{} is master", to.host.address)), "{text}");
        assert!(to.holds_vip() && !from.holds_vip());
        moves += 1;
        run(from, &["undrain"]);
    }
    let (requests, seen) = (client.finish(), sampler.finish());
    println!(
        "{moves} drains in {:?}: {requests:?}; no holder {:?}, two {:?}",
        begun.elapsed(),
        seen.none,
        seen.several
    );
    assert_eq!(requests.failed, [""; 0], "{requests:?}");
    assert!(requests.answered > 500 && requests.in_flight <= moves, "{requests:?}");
    assert!(seen.none < BETWEEN_LOOKS, "{seen:?}");
}

/// The preferred node drains and comes back by preemption.
#[test]
fn the_preferred_node_comes_back_after_its_master_down_interval() {
    let _machine = machine::alone();
    let node = |priority| Node { advert_int: "0.1", ..Node::plain(priority) };
    let pair = fast_pair(&[node(200), node(100)]);
    let _web = [&pair.a, &pair.b].map(|router| Haproxy::start(&router.host, &router.run));
    let (sampler, client) = (pair.sample(), Client::start(&pair.client));
    for _ in 0..10 {
        run(&pair.a, &["drain"]);
        assert!(pair.b.holds_vip() && !pair.a.holds_vip());
        let (mark, undrained) = (pair.a.run.log.mark(), Instant::now());
        run(&pair.a, &["undrain"]);
        let back = pair.a.wait_master(mark, seconds(2));
        assert!(back - undrained >= millis(300), "after three intervals, not {:?}", back - undrained);
        wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
    }
    let (requests, seen) = (client.finish(), sampler.finish());
    println!("10 drains and failbacks: {requests:?}");
    assert_eq!(requests.failed, [""; 0], "{requests:?}");
    assert!(requests.in_flight <= 20 && seen.none < BETWEEN_LOOKS, "{requests:?} {seen:?}");
}

#[test]
fn a_drained_node_says_so_everywhere_and_its_death_moves_nothing() {
    let mut pair =
        Pair::start([Kind::Ours; 2], &[with_metrics(Node::plain(200)), with_metrics(Node::plain(100))]);
    pair.b.run.log.wait_for_after(0, "Lifeline to 10.77.0.1: connected", seconds(5));
    let (marks, sampler, begun) = (pair.marks(), pair.sample(), Instant::now());
    let text = run(&pair.a, &["drain", "--for", "1h"]);
    assert!(begun.elapsed() < SLACK + millis(500), "{:?}", begun.elapsed());
    assert!(text.starts_with("drained until 2") && text.contains("VI_1: 10.77.0.2 is master"), "{text}");
    let seen = sampler.finish();
    assert!(seen.none < BETWEEN_LOOKS && seen.several < OVERLAP, "{seen:?}");
    for words in [
        "Drain ordered by the command, until 2",
        "(VI_1) Draining: sent priority 0",
        "(VI_1) Entering BACKUP STATE: drained, 10.77.0.2 (priority 100) took over",
    ] {
        pair.a.run.log.wait_for_after(marks[0], words, seconds(1));
    }

    let status = run(&pair.a, &["status"]);
    assert!(status.lines().next().unwrap().contains(": drained; 10.77.0.2 is master"), "{status}");
    assert!(status.contains("ordered by the command") && status.contains("takes no part"), "{status}");
    let json = run(&pair.a, &["status", "--json"]);
    assert!(
        json.contains("\"drain\":{\"since\":\"2") && json.contains("\"drain\":{\"state\":\"drained\""),
        "{json}"
    );
    let why = run(&pair.a, &["why"]);
    assert!(
        why.contains("drain ordered by the command; drained, 10.77.0.2 (priority 100) took over"),
        "{why}"
    );
    assert!(run(&pair.a, &["healthcheck"]).contains("healthy, VI_1 DRAINED"));
    fails(&pair.a, &["healthcheck", "--ready"], "not ready: VI_1 DRAINED");
    fails(&pair.a, &["healthcheck", "--master"], "not master: VI_1 DRAINED");
    let metrics = body(&pair.a.host, "/metrics");
    assert!(
        metrics.contains("keepalived_vrrp_drained{iname=\"VI_1\"")
            && metrics.contains("keepalived_drain_since_timestamp_seconds"),
        "{metrics}"
    );

    // Asked again, it only changes its end.
    assert!(run(&pair.a, &["drain"]).starts_with("drained until undrain"));
    let mark = pair.a.run.log.mark();
    pair.a.run.signal(Signal::SIGHUP);
    pair.a.run.log.wait_for_after(mark, "Reload", seconds(2));
    assert!(run(&pair.a, &["status"]).contains("takes no part"));

    // The last one that is left does not go.
    let sampler = pair.sample();
    fails(
        &pair.b,
        &["drain"],
        "not drained: VI_1: no router took over within 1.1 s; the drain is taken back",
    );
    let seen = sampler.finish();
    assert!(seen.changes == 0, "{seen:?}");

    let mark = pair.b.run.log.mark();
    pair.a.run.kill();
    std::thread::sleep(QUIET);
    assert_eq!(pair.b.run.log.since(mark, "died"), [""; 0]);
    assert!(pair.b.holds_vip());
}

#[test]
fn alone_it_stays_master_and_goes_only_by_force() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    let (mark, begun) = (router.run.log.mark(), Instant::now());
    fails(&router, &["drain", "--for", "10m"], "no router took over within 1.1 s; the drain is taken back");
    assert!(begun.elapsed() >= SUCCESSOR_WAIT);
    assert!(router.holds_vip());
    assert!(router.run.log.since(mark, "Entering … STATE").is_empty());
    router.run.log.wait_for_after(mark, "(VI_1) Not drained: no router took over", seconds(1));
    assert!(!run(&router, &["status"]).contains("drain:"), "nothing is left of it");

    let text = run(&router, &["drain", "--force"]);
    assert!(text.contains("drained until undrain; VI_1: no master is heard"), "{text}");
    assert!(!router.holds_vip());
    router.run.log.wait_for_after(
        mark,
        "Entering BACKUP STATE: drained by force, nobody took over",
        seconds(1),
    );
    let mark = router.run.log.mark();
    assert!(run(&router, &["undrain"]).contains("undrained"));
    router.wait_master(mark, master_down(200) + seconds(1));
    assert!(run(&router, &["undrain"]).contains("was not drained"));
}

/// A pause of its process while it waits for a successor: other nodes may have elected a master by then.
#[test]
fn paused_while_it_waits_it_is_drained_only_by_force() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let path = host.file("drain");
    let node = Node { advert_int: "0.2", ..Node::plain(200).with("VRRP_VERSION", "3") };
    let router = Router::start(Kind::Ours, &host, &node.with("DRAIN_FILE", path.clone()));
    for (content, outcome) in [("", "(VI_1) Not drained"), ("force\n", "drained by force, nobody took over")]
    {
        router.wait_master(0, START);
        let mark = router.run.log.mark();
        fs::write(&path, content).unwrap();
        router.run.log.wait_for_after(mark, "Drain ordered by the file", seconds(1));
        std::thread::sleep(millis(100));
        router.run.signal(Signal::SIGSTOP);
        // 1.1 s, and a master-down interval of 0.65 s.
        std::thread::sleep(millis(2_500));
        router.run.signal(Signal::SIGCONT);
        router.run.log.wait_for_after(mark, outcome, seconds(1));
        let is_drained = run(&router, &["status"]).contains(": drained; no master is heard");
        assert_eq!(is_drained, !content.is_empty());
        let mark = router.run.log.mark();
        fs::remove_file(&path).unwrap();
        router.wait_master(if is_drained { mark } else { 0 }, seconds(3));
    }
}

/// The order that came last counts, and the command before it does not take it back.
#[test]
fn force_while_a_drain_waits_carries_it_out_for_both_commands() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    let mut first = Running::start(&host, Launch::Joining(&router.run), Path::new(OURS), &["drain"], &[]);
    router.run.log.wait_for("Drain ordered by the command", seconds(2));
    std::thread::sleep(millis(300));
    let text = run(&router, &["drain", "--force"]);
    assert!(text.contains("drained until undrain; VI_1: no master is heard"), "{text}");
    assert_eq!(first.wait_exit(seconds(5)), 0);
    assert!(first.log.whole(seconds(1)).contains("drained until undrain"));
    assert!(run(&router, &["status"]).contains(": drained; no master is heard"));
    assert!(run(&router, &["undrain"]).contains("undrained"));
}

#[test]
fn undrain_while_a_drain_waits_ends_it_at_once() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    let begun = Instant::now();
    let mut first = Running::start(&host, Launch::Joining(&router.run), Path::new(OURS), &["drain"], &[]);
    router.run.log.wait_for("Drain ordered by the command", seconds(2));
    run(&router, &["undrain"]);
    assert_eq!(first.wait_exit(seconds(5)), 1);
    first
        .log
        .wait_for("not drained: 10.77.0.100 is here; no check is set; the drain is taken back", seconds(1));
    assert!(begun.elapsed() < seconds(3) && router.holds_vip(), "{:?}", begun.elapsed());
}

/// Each says that nobody serves, and the first one that takes part again is master, whatever its priority.
#[test]
fn where_all_nodes_are_drained_by_force_nobody_serves_until_one_is_undrained() {
    let pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    run(&pair.a, &["drain"]);
    fails(&pair.b, &["drain"], "no router took over within 1.1 s; the drain is taken back");
    run(&pair.b, &["drain", "--force"]);
    std::thread::sleep(master_down(100) + seconds(1));
    for router in [&pair.a, &pair.b] {
        assert!(!router.holds_vip());
        // A restart mends nothing.
        assert_eq!(run(router, &["healthcheck"]).trim(), "alive, VI_1 DRAINED: drained; no master is heard");
        fails(router, &["healthcheck", "--serving"], "no master is heard");
        let status = run(router, &["status"]);
        assert!(status.lines().next().unwrap().contains(": drained; no master is heard"), "{status}");
    }
    let mark = pair.b.run.log.mark();
    run(&pair.b, &["undrain"]);
    pair.b.wait_master(mark, master_down(100) + seconds(1));
    assert!(!pair.a.holds_vip());
}

#[test]
fn a_file_by_hand_does_the_same_and_what_is_no_such_file_does_not() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    // Neither the folder nor the file exist at the start.
    let folder: PathBuf = hosts[0].file("run");
    let path = folder.join("drain");
    let node = Node { advert_int: "0.2", ..Node::plain(200).with("DRAIN_FILE", path.clone()) };
    let a = Router::start(Kind::Ours, &hosts[0], &node);
    a.run.log.wait_for_after(0, "cannot watch folder", seconds(5));
    a.wait_master(0, START);
    let b = Router::start(Kind::Ours, &hosts[1], &Node { advert_int: "0.2", ..Node::plain(100) });
    b.wait_backup(0, START);
    std::thread::sleep(millis(500));
    fs::create_dir(&folder).unwrap();
    std::thread::sleep(millis(1_500));

    let mark = b.run.log.mark();
    fs::write(&path, "").unwrap();
    let begun = Instant::now();
    b.wait_master(mark, seconds(1));
    println!("a touched file is followed after {:?}", begun.elapsed());
    wait_until("a releases the address", seconds(1), || !a.holds_vip());
    a.run.log.wait_for_after(0, "Drain ordered by the file, until undrain", seconds(1));
    let mark = a.run.log.mark();
    fs::remove_file(&path).unwrap();
    a.run.log.wait_for_after(mark, "(VI_1) Undrained", seconds(1));
    a.wait_master(mark, seconds(3));

    // Whatever it holds, it is there; but a folder is Docker's.
    for (content, words) in [
        (&b"until tomorrow\n"[..], "has a line \"until tomorrow\": drained, without end"),
        (&vec![b'x'; 10 << 20], "is longer than 256 bytes: drained, without end"),
        (b"\0\0", "has a line \"\\0\\0\": drained, without end"),
    ] {
        let mark = a.run.log.mark();
        fs::write(&path, content).unwrap();
        a.run.log.wait_for_after(mark, words, seconds(2));
        a.run.log.wait_for_after(mark, "Entering BACKUP STATE: drained", seconds(2));
        let (code, text) = command_in_its_environment(&a, &["undrain"]);
        assert_eq!(code, 0, "{text}");
        a.wait_master(mark, seconds(3));
    }
    for (make, words) in [
        ((|path| fs::create_dir(path).unwrap()) as fn(&PathBuf), "it is a folder: it changes nothing"),
        (|path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(), "it is no regular file"),
        (
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "it is no regular file: it changes nothing",
        ),
        (|path| fs::write(path, "until 2020-01-01T00:00:00Z\n").unwrap(), "is over: not drained"),
    ] {
        let mark = a.run.log.mark();
        make(&path);
        a.run.log.wait_for_after(mark, words, seconds(2));
        assert!(a.holds_vip());
        fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        std::thread::sleep(millis(100));
    }
    let (code, text) = command_in_its_environment(&a, &["drain", "--for", "2s"]);
    assert_eq!(code, 0, "{text}");
    let (mark, begun) = (a.run.log.mark(), Instant::now());
    a.run.log.wait_for_after(mark, "Drain ended: its time is over", seconds(3));
    assert!(begun.elapsed() > millis(1_500));
    a.wait_master(mark, seconds(3));
}

#[test]
fn a_drain_survives_a_restart() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let mut a = Router::in_container(Kind::Ours, &hosts[0], &Node::plain(200));
    let b = Router::start(Kind::Ours, &hosts[1], &Node::plain(100));
    a.wait_master(0, START);
    run(&a, &["drain"]);
    assert!(b.holds_vip());
    a.run.signal(Signal::SIGTERM);
    assert_eq!(a.run.wait_exit(seconds(2)), 0);
    let a = Router::in_container(Kind::Ours, &hosts[0], &Node::plain(200));
    a.run.log.wait_for_after(0, "(VI_1) Drained: takes no part until undrain", seconds(2));
    a.wait_backup(0, seconds(2));
    std::thread::sleep(master_down(200) + millis(500));
    assert!(b.holds_vip() && !a.holds_vip());
    let mark = a.run.log.mark();
    run(&a, &["undrain"]);
    a.wait_master(mark, master_down(200) + seconds(1));
}

#[test]
fn keepalived_takes_over_from_a_drained_node() {
    let pair = Pair::start([Kind::Ours, Kind::Keepalived], &[Node::plain(200), Node::plain(100)]);
    let (marks, sampler) = (pair.marks(), pair.sample());
    let text = run(&pair.a, &["drain"]);
    assert!(text.contains("10.77.0.2 is master"), "{text}");
    pair.b.wait_master(marks[1], seconds(1));
    let seen = sampler.finish();
    // keepalived advertises before it has added the address.
    assert!(seen.none < OVERLAP && seen.several < OVERLAP, "{seen:?}");
    run(&pair.a, &["undrain"]);
    pair.a.wait_master(marks[0], master_down(200) + seconds(1));
    wait_until("keepalived releases the address", seconds(1), || !pair.b.holds_vip());
}

/// The address of an owner is there whatever it says; of several routers, one that cannot go fails the whole drain.
#[test]
fn several_routers_drain_together_or_not_at_all() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("address add 10.77.0.200/24 dev enp0s3");
    let node = Node::plain(200)
        .with("PRIORITY_2", "255")
        .with("VIRTUAL_ROUTER_2", "52")
        .with("VIP_2", "10.77.0.200");
    let a = Router::start(Kind::Ours, &host, &node);
    let b = Router::start(Kind::Ours, &lab.host("b", 2), &Node::plain(100));
    a.wait_master(0, START);
    b.wait_backup(0, START);
    std::thread::sleep(millis(1_200));
    let mark = a.run.log.mark();
    fails(&a, &["drain"], "not drained: VI_2: its addresses are the host's own");
    a.run.log.wait_for_after(mark, "(VI_2) Not drained: its addresses are the host's own", seconds(1));
    wait_until("VI_1 is back", master_down(200) + seconds(1), || a.holds_vip() && !b.holds_vip());
}

/// By the file as by the command: where one family has a successor and the other has none, the node keeps both.
#[test]
fn a_touched_file_drains_both_families_or_none() {
    let lab = Lab::new();
    let [at_a, at_b, at_c] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, number)| lab.host(name, number));
    let path = at_a.file("drain");
    let both = |priority| Node::plain(priority).with("VIP", "10.77.0.100 fd00::100");
    let a = Router::start(Kind::Ours, &at_a, &both(200).with("DRAIN_FILE", path.clone()));
    let b = Router::start(Kind::Ours, &at_b, &Node::plain(100));
    let v6: std::net::Ipv6Addr = "fd00::100".parse().unwrap();
    let all_at = |router: &Router| router.holds_vip() && router.host.holds(v6);
    wait_until("a has both", START, || all_at(&a));
    b.wait_backup(0, START);
    std::thread::sleep(QUIET);
    let first = a.run.log.mark();
    for _ in 0..2 {
        let (mark, mark_b) = (a.run.log.mark(), b.run.log.mark());
        // Again: it is another order.
        fs::write(&path, "").unwrap();
        b.wait_master(mark_b, seconds(1));
        a.run.log.wait_for_after(mark, "(VI_1_v6) Not drained: no router took over within 1.1 s", seconds(2));
        for line in [
            "(VI_1) Not drained: VI_1_v6 was not, and all routers of a node go together",
            "(VI_1) Undrained: takes part again",
        ] {
            a.run.log.wait_for_after(mark, line, seconds(1));
        }
        wait_until("a has both again", master_down(200) + seconds(1), || all_at(&a));
        wait_until("b has none", seconds(1), || !b.holds_vip());
        let (_, status) = command_in_its_environment(&a, &["status"]);
        for words in [
            "until undrain; not drained, because of VI_1_v6: no router took over within 1.1 s",
            "Not drained: VI_1_v6 was not, and all routers",
        ] {
            assert!(status.contains(words), "{status}");
        }
        assert!(status.lines().next().unwrap().ends_with(" warnings"), "{status}");
    }
    // With a successor for both, a new order is followed.
    let c = Router::start(Kind::Ours, &at_c, &both(150));
    for name in ["VI_1", "VI_1_v6"] {
        c.run.log.wait_for_after(0, &format!("({name}) Master is"), START);
    }
    fs::write(&path, "").unwrap();
    wait_until("c has both", seconds(2), || all_at(&c) && !a.holds_vip() && !a.host.holds(v6));
    assert_eq!(a.run.log.since(first, "Drain ordered by the file").len(), 3);
    fs::remove_file(&path).unwrap();
    wait_until("a has both at the end", master_down(200) + seconds(1), || all_at(&a));
}

/// Both families of one VIP go, and come back; a node whose service is down drains as well.
#[test]
fn both_families_drain_and_so_does_a_node_in_fault() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let node = |priority| Node::plain(priority).with("VIP", "10.77.0.100 fd00::100");
    let [a, b] =
        [(&hosts[0], 200), (&hosts[1], 100)].map(|(host, p)| Router::start(Kind::Ours, host, &node(p)));
    let v6: std::net::Ipv6Addr = "fd00::100".parse().unwrap();
    let all_at = |router: &Router| router.holds_vip() && router.host.holds(v6);
    wait_until("a has both", START, || all_at(&a));
    std::thread::sleep(QUIET);
    let text = run(&a, &["drain"]);
    assert!(text.contains("VI_1: 10.77.0.2 is master; VI_1_v6: fe80:"), "{text}");
    assert!(all_at(&b) && !a.holds_vip() && !a.host.holds(v6));
    assert!(run(&a, &["status"]).lines().next().unwrap().ends_with(": drained: 2 BACKUP"));
    run(&a, &["undrain"]);
    wait_until("a has both again", master_down(200) + seconds(1), || all_at(&a));

    let down = Router::start(Kind::Ours, &lab.host("c", 3), &Node::plain(50).with("SERVICE", "nothing"));
    down.run.log.wait_for_after(0, "Entering FAULT STATE", seconds(2));
    assert!(run(&down, &["drain"]).contains("drained until undrain"));
    assert!(run(&down, &["healthcheck"]).contains("DRAINED"));
    run(&down, &["undrain"]);
}

#[test]
fn a_drain_that_cannot_be_says_why() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200).with("DRAIN_FILE", "/proc/nowhere/drain");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for_after(0, "cannot watch folder /proc/nowhere", seconds(5));
    router.wait_master(0, START);
    let with = |args: &[&str]| command_in_its_environment(&router, args);
    let (code, text) = with(&["drain"]);
    assert!(code == 1 && text.contains("cannot write /proc/nowhere/drain"), "{code} {text}");
    for time in ["0", "0s", "forever", "1e9", "-1m", ""] {
        let (code, text) = with(&["drain", "--for", time]);
        assert!(code == 64 && text.contains("a time from 1s to 365d"), "{time}: {code} {text}");
    }
    assert_eq!(with(&["drain", "--for"]).0, 64);
    assert_eq!(with(&["undrain", "--force"]).0, 64);
    std::thread::sleep(millis(1_500));
    assert_eq!(router.run.log.since(0, "cannot watch folder").len(), 1, "said once");

    // Another file than the daemon's, and no daemon.
    let other = host.file("other");
    let env = [("DRAIN_FILE".into(), other.clone().into_os_string())];
    let program = Path::new(OURS);
    let ask = |launch, env: &[_]| {
        let mut run = Running::start(&host, launch, program, &["drain"], env);
        (run.wait_exit(seconds(8)), run.log.whole(seconds(1)))
    };
    let (code, text) = ask(Launch::Joining(&router.run), &env);
    assert!(code == 1 && text.contains("did not follow within 4 s; is DRAIN_FILE the same there?"), "{text}");
    assert!(!other.exists());
    let (code, text) = ask(Launch::NotPidOne, &env);
    assert!(code == 1 && text.contains("no daemon answers"), "{text}");
    assert!(!other.exists());
    assert!(router.holds_vip());
}
