//! Two hosts and a client: failover between our daemons and with Debian's keepalived, when real services die.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::capture::{Capture, Frame};
use crate::support::lab::{Host, Lab};
use crate::support::pair::{LEASE, LEASE_SLACK, OVERLAP, Pair, QUIET, SLACK, START, master_down};
use crate::support::process::{Launch, Running};
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::service::{Haproxy, reload, start_nginx};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

const VIP: std::net::Ipv4Addr = Node::VIP;

/// The longest move of the address by weight: one check, two or three adverts, the skew, and slack.
const MOVE: Duration = seconds(10);
/// How long a stopping master waits for a successor.
const SUCCESSOR_WAIT: Duration = millis(1_100);

/// Priorities 11 and 10, and 2 more while haproxy runs.
fn watching_haproxy() -> [Node; 2] {
    [Node { state: "MASTER", ..Node::watching_haproxy(11) }, Node::watching_haproxy(10)]
}

/// Both routers with their haproxies, settled.
fn start_with_haproxies(kinds: [Kind; 2], nodes: &[Node; 2]) -> (Pair, [Haproxy; 2]) {
    let lab = Lab::new();
    let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let a = Router::start(kinds[0], &host_a, &nodes[0]);
    let web_a = Haproxy::start(&host_a, &a.run);
    // The skews of priorities 11 and 12 differ by 4 ms: if started together, either may become master first.
    std::thread::sleep(millis(500));
    let b = Router::start(kinds[1], &host_b, &nodes[1]);
    let web_b = Haproxy::start(&host_b, &b.run);
    (Pair { kinds, a, b, client, _lab: lab }.settled(), [web_a, web_b])
}

/// Takes over at the start, follows haproxy there and back, stays when both are dead, hands over on SIGTERM.
fn life_of_a_pair(kinds: [Kind; 2], steady: Duration) {
    let (mut pair, [web_a, web_b]) = start_with_haproxies(kinds, &watching_haproxy());
    let answers = |pair: &Pair, name: &str| assert_eq!(pair.client.http_get(VIP).as_deref(), Some(name));
    answers(&pair, "a");
    pair.stays_with(&pair.a, steady);

    // 11 against 10 + 2.
    let (marks, sampler, capture) = (pair.marks(), pair.sample(), pair.capture("moves"));
    // The capture has the last advert that b follows.
    std::thread::sleep(millis(1_100));
    web_a.kill();
    pair.b.wait_master(marks[1], MOVE);
    pair.a.wait_backup(marks[0], seconds(1));
    wait_until("a releases the address", seconds(1), || !pair.a.holds_vip());
    answers(&pair, "b");
    let seen = sampler.finish();
    assert!(seen.several < OVERLAP && seen.none < OVERLAP, "{seen:?}");
    pair.b_took_over_in_time(&capture.finish());
    pair.stays_with(&pair.b, steady);

    // 11 + 2 against 10 + 2.
    let (marks, sampler) = (pair.marks(), pair.sample());
    let web_a = Haproxy::start(&pair.a.host, &pair.a.run);
    pair.a.wait_master(marks[0], MOVE);
    wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
    answers(&pair, "a");
    let seen = sampler.finish();
    assert!(seen.several < OVERLAP && seen.none < OVERLAP, "{seen:?}");

    // 11 against 10, longer than a check and a master-down interval.
    web_b.kill();
    wait_until("b has lost 2", seconds(3), || !pair.b.run.log.since(marks[1], "priority … to 10").is_empty());
    web_a.kill();
    pair.stays_with(&pair.a, seconds(6));

    hands_over_on_sigterm(&mut pair);
}

/// The master `a` gets SIGTERM: it exits with 0 and without the address, and `b` is master in time. Our daemon holds
/// the address until it receives the successor's advert, and then exits.
fn hands_over_on_sigterm(pair: &mut Pair) {
    let (sampler, capture) = (pair.sample(), pair.capture("stop"));
    let mark = pair.b.run.log.mark();
    pair.a.run.signal(Signal::SIGTERM);
    let taken = pair.b.wait_master(mark, seconds(3));
    assert_eq!(pair.a.run.wait_exit(seconds(3)), 0);
    let stayed_on = taken.elapsed();
    assert!(!pair.a.holds_vip(), "no address is left behind");
    let seen = sampler.finish();
    let captured = capture.finish();
    pair.b_took_over_in_time(&captured);
    let last = captured.adverts(Some(pair.a.host.address)).last().map(|frame| frame.priority());
    assert_eq!(last, Some(0), "the last advert of a router that stops has priority 0");
    assert!(seen.several < OVERLAP, "{seen:?}");
    if pair.kinds[0] == Kind::Ours {
        // keepalived advertises before it has added the address.
        let most = if pair.kinds[1] == Kind::Ours { Duration::ZERO } else { OVERLAP };
        assert!(seen.none <= most, "held until the successor is heard: {seen:?}");
        assert!(stayed_on < millis(300), "it exited {stayed_on:?} after its successor");
    }
}

/// OP-05.
#[test]
fn the_address_follows_haproxy_between_two_of_ours() {
    life_of_a_pair([Kind::Ours, Kind::Ours], seconds(3));
}

#[test]
fn two_of_ours_without_fast_failover_keep_the_times_of_the_rfc() {
    life_of_a_pair([Kind::OursByTheRfc, Kind::OursByTheRfc], seconds(3));
}

/// IO-01.
#[test]
fn debian_keepalived_as_backup_takes_over_from_ours_and_gives_back() {
    life_of_a_pair([Kind::Ours, Kind::Keepalived], seconds(6));
}

/// IO-01.
#[test]
fn ours_as_backup_takes_over_from_debian_keepalived_and_gives_back() {
    life_of_a_pair([Kind::Keepalived, Kind::Ours], seconds(6));
}

/// The control: keepalived passes the same checks.
#[test]
fn a_pair_of_debian_keepalived_passes_the_same_checks() {
    life_of_a_pair([Kind::Keepalived, Kind::Keepalived], seconds(3));
}

#[test]
fn haproxy_killed_on_the_master_moves_the_address_in_milliseconds() {
    let nodes = watching_haproxy().map(|node| node.with("CHECK_INTERVAL", "2"));
    let (pair, [mut web_a, _web_b]) = start_with_haproxies([Kind::Ours; 2], &nodes);
    for _ in 0..2 {
        let (marks, sampler, pid) = (pair.marks(), pair.sample(), web_a.run.own_pid());
        let killed = Instant::now();
        web_a.run.signal(Signal::SIGKILL);
        let took = pair.b.wait_master(marks[1], MOVE) - killed;
        assert!(took < SLACK, "b was master {took:?} after haproxy was killed");
        wait_until("a releases the address", seconds(1), || !pair.a.holds_vip());
        let seen = sampler.finish();
        assert!(seen.none.is_zero() && seen.several < OVERLAP, "{seen:?}");
        assert_eq!(pair.client.http_get(VIP).as_deref(), Some("b"));
        pair.a.run.log.wait_for_after(marks[0], &format!("haproxy (pid {pid}) is gone"), seconds(1));

        web_a = Haproxy::start(&pair.a.host, &pair.a.run);
        pair.a.wait_master(marks[0], MOVE);
        pair.b.wait_backup(marks[1], seconds(1));
    }
}

/// NB-01, with the client's own neighbour table.
#[test]
fn a_stopped_master_hands_over_and_the_client_learns_the_new_one_from_gratuitous_arp() {
    let mut pair = Pair::plain();
    pair.client.http_get(VIP);
    wait_until("the client knows a", seconds(1), || pair.client.neighbor(VIP) == Some(pair.a.host.mac()));
    let capture = Capture::start(&pair.client, "arp", "arp");
    hands_over_on_sigterm(&mut pair);
    let learned = || pair.client.neighbor(VIP) == Some(pair.b.host.mac());
    wait_until("the client learned b without asking", seconds(1), learned);
    std::thread::sleep(millis(2_300));
    let captured = capture.finish();
    let announced = |operation| {
        let by_b = |frame: &&Frame| frame.sender() == pair.b.host.mac();
        captured
            .frames
            .iter()
            .filter(by_b)
            .filter(|frame| frame.gratuitous_arp(VIP) == Some(operation))
            .count()
    };
    // At 0, 0.1, 0.5, 1 and 2 seconds.
    assert_eq!((announced(1), announced(2)), (5, 5), "gratuitous requests and replies");
}

/// OP-02: within its second of waiting for a successor.
#[test]
fn a_stopping_master_without_a_successor_waits_its_time_and_exits() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    let stopped = Instant::now();
    router.run.signal(Signal::SIGTERM);
    std::thread::sleep(SUCCESSOR_WAIT.saturating_sub(millis(200)));
    assert!(router.holds_vip() || stopped.elapsed() >= SUCCESSOR_WAIT, "it answers while it waits");
    assert_eq!(router.run.wait_exit(seconds(2)), 0);
    let took = stopped.elapsed();
    assert!((SUCCESSOR_WAIT..SUCCESSOR_WAIT + millis(200)).contains(&took), "it exited after {took:?}");
    assert!(!router.holds_vip());
}

#[test]
fn a_second_signal_ends_the_wait_for_a_successor() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    router.run.signal(Signal::SIGTERM);
    router.run.log.wait_for("Stopping: sent priority 0", seconds(1));
    let stopped = Instant::now();
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(2)), 0);
    let took = stopped.elapsed();
    assert!(took < millis(300), "it left {took:?} after the second signal");
    assert!(!router.holds_vip());
}

/// ST-13.
#[test]
fn a_stopped_backup_exits_at_once_without_an_advert() {
    let mut pair = Pair::plain();
    let capture = pair.capture("leave");
    pair.b.run.signal(Signal::SIGTERM);
    assert_eq!(pair.b.run.wait_exit(millis(300)), 0);
    assert_eq!(capture.finish().adverts(Some(pair.b.host.address)).len(), 0);
    assert!(pair.a.holds_vip());
}

/// The network namespace outlives its PID 1, like a host that runs the container with host networking.
#[test]
fn a_killed_master_is_replaced_and_the_kernel_takes_its_address_away() {
    let mut pair = Pair::plain();
    let (marks, sampler) = (pair.marks(), pair.sample());
    let killed = Instant::now();
    pair.a.run.kill();
    assert!(pair.a.holds_vip(), "the address still exists: the case under test");
    let took = pair.b.wait_master(marks[1], seconds(8)) - killed;
    let due = master_down(pair.b.node.priority) + millis(100);
    assert!(took < due, "b took over after {took:?}, due within {due:?}");
    let left = (LEASE + LEASE_SLACK).saturating_sub(killed.elapsed());
    wait_until("the address is gone from the dead host", left, || !pair.a.holds_vip());
    let seen = sampler.finish();
    assert_eq!(seen.none, Duration::ZERO, "{seen:?}");

    let again = Router::start(Kind::Ours, &pair.a.host, &pair.a.node);
    again.wait_master(0, START);
    wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
}

#[test]
fn a_master_that_was_paused_becomes_backup_first() {
    let pair = Pair::plain();
    let marks = pair.marks();
    pair.a.run.signal(Signal::SIGSTOP);
    wait_until("the address is gone", LEASE + LEASE_SLACK, || !pair.a.holds_vip());
    pair.b.wait_master(marks[1], seconds(1));
    std::thread::sleep(QUIET);
    assert!(!pair.a.holds_vip() && pair.b.holds_vip(), "b alone holds the address");

    let sampler = pair.sample();
    pair.a.run.signal(Signal::SIGCONT);
    pair.a.run.log.wait_for_after(marks[0], "Entering BACKUP STATE … did not run for", seconds(1));
    pair.a.wait_master(marks[0], START);
    pair.b.wait_backup(marks[1], seconds(1));
    wait_until("b releases the address", seconds(1), || !pair.b.holds_vip());
    let woken = sampler.finish();
    assert!(woken.none < OVERLAP && woken.several < OVERLAP, "{woken:?}");
    pair.stays_with(&pair.a, seconds(3));
}

/// A master that watches a service, and a backup that ranks higher as soon as the service is down.
fn start_with_service<S>(
    service: &'static str,
    start: impl FnOnce(&Host, &Running) -> S,
    interval: &str,
) -> (Pair, S) {
    let lab = Lab::new();
    let (host_a, host_b, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let node = Node { check: Some(Check::each_second(service, 2)), ..Node::plain(11) };
    let a = Router::start(Kind::Ours, &host_a, &node.with("CHECK_INTERVAL", interval));
    let service = start(&host_a, &a.run);
    std::thread::sleep(millis(500));
    let b = Router::start(Kind::Ours, &host_b, &Node::plain(12));
    (Pair { kinds: [Kind::Ours; 2], a, b, client, _lab: lab }.settled(), service)
}

/// Does `work` three times while a check runs every second: no transition, and no log line about a missing service.
fn nothing_happens_during(pair: &Pair, mut work: impl FnMut()) {
    let mark = pair.a.run.log.mark();
    pair.stays_during(&pair.a, seconds(3), || {
        for _ in 0..3 {
            work();
            std::thread::sleep(millis(1_100));
        }
    });
    for words in ["gone", "failed", "effective priority"] {
        assert_eq!(pair.a.run.log.since(mark, words), Vec::<String>::new());
    }
}

#[test]
fn a_hitless_reload_of_haproxy_is_no_failure() {
    let (pair, haproxy) = start_with_service("haproxy", Haproxy::start_master_and_worker, "1");
    nothing_happens_during(&pair, || reload(&haproxy.run, Signal::SIGUSR2));
    // The control: this is how a flap would appear.
    let mark = pair.b.run.log.mark();
    haproxy.kill();
    pair.b.wait_master(mark, seconds(1));
}

#[test]
fn a_reload_of_nginx_is_no_failure() {
    let (pair, mut nginx) = start_with_service("nginx", start_nginx, "1");
    nothing_happens_during(&pair, || reload(&nginx, Signal::SIGHUP));
    let mark = pair.b.run.log.mark();
    nginx.signal(Signal::SIGQUIT);
    pair.b.wait_master(mark, seconds(2));
    assert_eq!(nginx.wait_exit(seconds(2)), 0);
}

#[test]
fn only_the_exit_of_the_last_of_several_processes_is_a_failure() {
    let (pair, last) = start_with_service("haproxy", Haproxy::start, "1");
    nothing_happens_during(&pair, || {
        let another = Haproxy::start_another(&pair.a.host, &pair.a.run);
        std::thread::sleep(millis(1_100));
        another.kill();
    });
    let (mark, killed) = (pair.b.run.log.mark(), Instant::now());
    last.kill();
    let took = pair.b.wait_master(mark, seconds(2)) - killed;
    assert!(took < SLACK, "b was master {took:?} after the last one was killed");
}

#[test]
fn a_service_that_keeps_crashing_does_not_move_the_address_each_time() {
    let program = |host: &Host| host.file("flaky");
    let start = |host: &Host, init: &Running| {
        fs::copy("/usr/bin/sleep", program(host)).expect("a temporary file can be written");
        Running::start(host, Launch::Joining(init), &program(host), &["600"], &[])
    };
    let (pair, mut steady) = start_with_service("a-flaky", start, "1");
    let (marks, began) = (pair.marks(), Instant::now());
    steady.kill();
    let text = format!("for i in $(seq 60); do {} 0.15; sleep 0.05; done", program(&pair.a.host).display());
    let beside = Launch::Joining(&pair.a.run);
    let mut shell = Running::start(&pair.a.host, beside, Path::new("/bin/dash"), &["-c", &text], &[]);
    assert_eq!(shell.wait_exit(seconds(30)), 0, "every run has ended");
    let crashes = pair.a.run.log.since(marks[0], "is gone").len();
    assert!(crashes > 5, "only {crashes} crashes were seen");
    let moves = pair.a.run.log.since(marks[0], "Entering MASTER").len()
        + pair.b.run.log.since(marks[1], "Entering MASTER").len();
    let most = began.elapsed().as_millis() / master_down(12).as_millis() + 1;
    assert!(moves as u128 <= most, "{moves} moves in {:?}", began.elapsed());
}

#[test]
fn an_address_whose_lease_ended_in_a_pause_is_restored_without_blaming_others() {
    let lab = Lab::new();
    let node = Node { advert_int: "3", ..Node::plain(200) }.with("VIP_LEASE", "1");
    let router = Router::start(Kind::Ours, &lab.host("a", 1), &node);
    router.wait_master(0, 3 * START);
    router.run.signal(Signal::SIGSTOP);
    wait_until("the kernel removes it", seconds(6), || !router.holds_vip());
    let mark = router.run.log.mark();
    router.run.signal(Signal::SIGCONT);
    let sentence = "A virtual address expired while this process did not run: added it again";
    router.run.log.wait_for_after(mark, sentence, seconds(1));
    assert!(router.holds_vip());
    router.host.ip("address del 10.77.0.100/32 dev enp0s3");
    router.run.log.wait_for_after(
        mark,
        "Another program removed a virtual address: added it again",
        seconds(1),
    );
}
