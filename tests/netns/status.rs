//! The client commands status, why and healthcheck over the socket, metrics over HTTP, and faulty clients.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::lab::{Host, Lab};
use crate::support::many::Many;
use crate::support::pair::{Pair, START};
use crate::support::process::{Launch, Running, children_of};
use crate::support::query::{body, command, command_in_its_environment, connect, get, page, with_metrics};
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

fn json(router: &Router) -> serde_json::Value {
    let (code, text) = command(router, &["status", "--json"]);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn status_shows_role_kernel_addresses_and_cause_on_both_hosts() {
    let pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    let (a, b) = (json(&pair.a), json(&pair.b));
    let (master, backup) = (&a["routers"][0], &b["routers"][0]);
    assert_eq!((&master["state"], &backup["state"]), (&"MASTER".into(), &"BACKUP".into()));
    for side in [master, backup] {
        assert_eq!(side["master"]["address"], "10.77.0.1", "{side}");
        assert_eq!(side["master"]["priority"], 200);
        assert_eq!(side["vrid"], 51);
        assert_eq!(side["interface"], "enp0s3");
    }
    let (here, away) = (&master["addresses"][0], &backup["addresses"][0]);
    assert_eq!((&here["wanted"], &here["present"]), (&true.into(), &true.into()));
    assert!(here["lease_s"].as_u64().is_some_and(|left| (1..=4).contains(&left)), "{here}");
    assert_eq!(
        (&away["wanted"], &away["present"], &away["lease_s"]),
        (&false.into(), &false.into(), &().into())
    );
    assert!(backup["heard"]["ago_ms"].as_u64().is_some_and(|ago| ago < 2_000), "{backup}");
    assert!(backup["deadline_ms"].as_u64().is_some_and(|left| (1_000..4_000).contains(&left)), "{backup}");

    let (code, text) = command(&pair.a, &["status"]);
    assert_eq!(code, 0);
    for part in [
        "VI_1    51    enp0s3     MASTER",
        "10.77.0.100/32 on enp0s3: here, lease ends in",
        ": 10.77.0.100 is here; no check is set\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no color without a terminal");
}

#[test]
fn why_names_who_died_and_who_took_over_when() {
    let nodes = [Node::watching_haproxy(11), Node::watching_haproxy(10)];
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let [a, b] = [0, 1].map(|n| Router::start(Kind::Ours, &hosts[n], &nodes[n]));
    let services = [Haproxy::start(&hosts[0], &a.run), Haproxy::start(&hosts[1], &b.run)];
    a.wait_master(0, START);
    let marks = [a.run.log.mark(), b.run.log.mark()];
    let [first, _second] = services;
    first.kill();
    b.wait_master(marks[1], seconds(2));
    a.run.log.wait_for_after(marks[0], "Entering BACKUP STATE", seconds(1));
    let (code, text) = command(&a, &["why"]);
    assert_eq!(code, 0);
    let last = text.lines().last().unwrap();
    for part in [
        " VI_1 BACKUP after ",
        " as MASTER: haproxy (pid ",
        ") is gone; priority 13 to 11; 10.77.0.2 (priority 12) ranks higher, ",
        " ms later",
    ] {
        assert!(last.contains(part), "{part}\n{text}");
    }
    let (_, text) = command(&b, &["why"]);
    assert!(text.lines().last().unwrap().contains("VI_1 MASTER after "), "{text}");
}

#[test]
fn why_can_be_limited_to_the_recent_past_and_says_since_when_it_knows() {
    let lab = Lab::new();
    let router = Router::start(Kind::Ours, &lab.host("a", 1), &Node::plain(200));
    router.wait_master(0, START);
    let (code, text) = command(&router, &["why", "--since", "1h"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(code, 0);
    assert!(lines[0].starts_with("Now: ") && lines[1].starts_with("Known since "), "{text}");
    assert!(
        lines[1].ends_with(", the start of vrrp-init") && lines[3].contains(" VI_1 MASTER after "),
        "{text}"
    );
    std::thread::sleep(millis(1_100));
    let (code, text) = command(&router, &["why", "--since=1s"]);
    assert!(code == 0 && text.lines().count() == 3, "{text}");
    assert!(text.lines().last().unwrap().starts_with("No transition in the last 1.0 s, since 20"), "{text}");
    let (code, text) = command(&router, &["why", "--since", "1"]);
    assert!(code == 64 && text.contains("such as 90s, 10m, 2h or 1d, not \"1\""), "{text}");
}

/// `status --watch` in a terminal of 6 lines that util-linux' script makes.
fn watch(host: &Host, before: &str, socket: &Path) -> Running {
    let shell = format!("stty rows 6 cols 40; exec {before} {OURS} status --watch");
    let env = [("STATUS_SOCKET".into(), socket.into())];
    let script = Path::new("/usr/bin/script");
    Running::start(host, Launch::NotPidOne, script, &["-qefc", &shell, "/dev/null"], &env)
}

#[test]
fn a_watch_outlives_the_daemon_and_leaves_the_terminal_as_it_was() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let socket = host.file("watched.sock");
    for signal in ["INT", "TERM"] {
        let until = format!("timeout --foreground --preserve-status -s {signal} 7");
        let mut watch = watch(&host, &until, &socket);
        watch.log.wait_for("no daemon is running", seconds(3));
        let node = Node::plain(200).with("STATUS_SOCKET", &socket);
        let mut router = Router::start(Kind::Ours, &host, &node);
        watch.log.wait_for(concat!("vrrp-init ", env!("CARGO_PKG_VERSION"), ", up "), seconds(3));
        watch.log.wait_for(" more lines", seconds(3));
        let mark = watch.log.mark();
        router.run.kill();
        watch.log.wait_for_after(mark, "no daemon is running", seconds(3));
        assert_eq!(watch.wait_exit(seconds(10)), 0);
        let text = watch.log.whole(seconds(1));
        assert!(text.starts_with("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l"), "{text:?}");
        assert!(text.ends_with("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"), "{text:?}");
    }
}

#[test]
fn a_watch_ends_with_its_terminal_and_needs_one() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let socket = host.file("watched.sock");
    let mut watch = watch(&host, "", &socket);
    watch.log.wait_for("no daemon is running", seconds(3));
    let child = children_of(watch.pid())[0];
    assert!(fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|exe| exe == Path::new(OURS)));
    watch.kill();
    wait_until("the watch has ended", seconds(3), || fs::read_link(format!("/proc/{child}/exe")).is_err());
    let args = ["status", "--watch"];
    let mut piped = Running::start(&host, Launch::NotPidOne, Path::new(OURS), &args, &[]);
    assert_eq!(piped.wait_exit(seconds(2)), 64);
    piped.log.wait_for("status --watch needs a terminal … docker exec -it", seconds(1));
}

#[test]
fn healthcheck_distinguishes_alive_ready_and_master() {
    let check =
        Node { check: Some(crate::support::router::Check::each_second("haproxy", 0)), ..Node::plain(200) };
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &check);
    router.run.log.wait_for("Entering FAULT STATE", seconds(2));
    // A FAULT because the service is down: a restart would kill everything else that runs here.
    for (args, code, begin) in [
        (&["healthcheck"][..], 0, "alive, VI_1 FAULT: haproxy is "),
        (&["healthcheck", "--ready"], 1, "not ready: VI_1 FAULT: haproxy is "),
        (&["healthcheck", "--serving"], 1, "not serving: VI_1 FAULT: haproxy is "),
    ] {
        let (exit, text) = command(&router, args);
        assert!(exit == code && text.starts_with(begin) && text.ends_with("; no master is heard"), "{text}");
    }
    let haproxy = Haproxy::start(&host, &router.run);
    router.run.log.wait_for("Entering BACKUP STATE", seconds(3));
    assert_eq!(command(&router, &["healthcheck", "--ready"]).0, 0);
    assert_eq!(command(&router, &["healthcheck", "--master"]).0, 1);
    router.wait_master(0, START);
    for args in [&["healthcheck", "--master", "VI_1"][..], &["healthcheck", "--serving"]] {
        assert_eq!(command(&router, args), (0, "healthy, VI_1 MASTER".into()));
    }
    assert_eq!(command(&router, &["healthcheck", "VI_2"]), (1, "no router is named VI_2".into()));
    drop(haproxy);
}

/// Line 1 of `status` after the uptime.
fn headline(router: &Router) -> String {
    let (_, text) = command(router, &["status"]);
    let line = text.lines().next().unwrap();
    line.split_once(", up ")
        .and_then(|(_, rest)| rest.split_once(": "))
        .map_or("", |(_, rest)| rest)
        .to_owned()
}

fn says(router: &Router, begin: &str, end: &str) {
    wait_until(&format!("line 1 says {begin} … {end}"), seconds(15), || {
        let line = headline(router);
        line.starts_with(begin) && line.contains(end)
    });
}

#[test]
fn the_truth_while_haproxy_dies_on_the_master_and_then_on_its_spare() {
    let nodes = [Node::watching_haproxy(11), Node::watching_haproxy(10)].map(with_metrics);
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let [a, b] = [0, 1].map(|n| Router::start(Kind::Ours, &hosts[n], &nodes[n]));
    let [first, second] = [(0, &a), (1, &b)].map(|(n, router)| Haproxy::start(&hosts[n], &router.run));
    a.wait_master(0, START);
    says(&a, "10.77.0.100 is served here by haproxy", "");
    says(&b, "10.77.0.1 is master; the check of haproxy passes here", "");
    first.kill();
    says(&a, "haproxy is DOWN here for ", "; 10.77.0.2 is master");
    says(&b, "10.77.0.100 is served here by haproxy", "");
    let serving = |host| {
        body(host, "/metrics")
            .lines()
            .any(|line| line.starts_with("keepalived_vrrp_serving{") && line.ends_with(" 1"))
    };
    assert!(serving(&hosts[0]) && serving(&hosts[1]));
    second.kill();
    // Dead on both, the one with the higher PRIORITY is master.
    says(&a, "MASTER without a working haproxy for ", "10.77.0.100 does not answer");
    says(&b, "haproxy is DOWN here for ", "; 10.77.0.1 is master");
    let (_, why) = command(&a, &["why"]);
    assert!(why.starts_with("Now: MASTER without a working haproxy for "), "{why}");
    let (code, text) = command(&a, &["healthcheck", "--serving"]);
    assert!(code == 1 && text.starts_with("not serving: VI_1 MASTER: without a working haproxy"), "{text}");
    assert_eq!(command(&a, &["healthcheck", "--ready"]).0, 0);
    assert_eq!(command(&b, &["healthcheck", "--serving"]).0, 0, "another host is master");
    assert!(page(&hosts[0], "/serving").starts_with("HTTP/1.1 503 "));
    wait_until("the metric says so", seconds(2), || !serving(&hosts[0]));
}

/// Warnings of a router's first virtual router.
fn warnings(router: &Router) -> String {
    json(router)["routers"][0]["warnings"].to_string()
}

#[test]
fn the_truth_while_the_addresses_differ_and_after_that_is_mended() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let a = Router::start(Kind::Ours, &hosts[0], &Node::plain(200));
    let other = Router::start(Kind::Ours, &hosts[1], &Node::plain(100).with("VIP", "10.77.0.101"));
    let dropped = "MASTER: 10.77.0.2 is heard but its adverts are dropped (addresses)";
    says(&a, dropped, "");
    let scan = "or another cluster uses our VRID: run scan (for ";
    wait_until("the warning has its age", seconds(4), || warnings(&a).contains(scan));
    drop(other);
    says(&a, "10.77.0.100 is here; no check is set; 1 warning", "");
    assert!(warnings(&a).contains("run scan (last "), "{}", warnings(&a));
    // One good advert disproves it.
    let mended = Router::start(Kind::Ours, &hosts[1], &Node::plain(250));
    mended.wait_master(0, START);
    says(&a, "10.77.0.2 is master", "");
    assert_eq!(warnings(&a), "[]");
    // Whoever hears nothing but adverts that it drops does not say that it heard nobody.
    drop(a);
    let a = Router::start(Kind::Ours, &hosts[0], &Node::plain(200).with("VIP", "10.77.0.102"));
    a.run.log.wait_for("Entering MASTER STATE", START);
    let (_, why) = command(&a, &["why"]);
    assert!(why.contains("dropped adverts of 10.77.0.2 (addresses); heard no other router"), "{why}");
}

#[test]
fn a_firewall_that_makes_two_masters_is_in_line_1_while_it_is_there() {
    let pair = Pair::plain();
    pair.b.host.nft("add table ip t");
    pair.b.host.nft("add chain ip t i { type filter hook input priority 0 ; }");
    pair.b.host.nft("add rule ip t i ip protocol 112 drop");
    says(&pair.a, "two masters: 10.77.0.2 (priority 100) is one too and does not receive our adverts", "");
    // It stays there, although it is reported only once, and has an age.
    std::thread::sleep(seconds(6));
    says(&pair.a, "two masters: ", "");
    assert!(warnings(&pair.a).contains("IP protocol 112) (for "), "{}", warnings(&pair.a));
    pair.b.host.nft("delete table ip t");
    says(&pair.b, "10.77.0.1 is master", "");
    says(&pair.a, "10.77.0.100 is here; no check is set", " warning");
    assert!(warnings(&pair.a).contains("IP protocol 112) (last "), "{}", warnings(&pair.a));
}

#[test]
fn a_weight_that_is_too_small_is_a_warning_on_the_master_too() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(150).with("CHECK_TCP", "127.0.0.1:81").with("CHECK_WEIGHT", "2");
    let a = Router::start(Kind::Ours, &host, &node);
    a.wait_master(0, START);
    let spare =
        "No spare: the check of tcp 127.0.0.1:81 fails here, and no backup took over from priority 150";
    wait_until("the master warns", seconds(3), || warnings(&a).contains(spare));
    assert!(warnings(&a).contains("(now 2)"), "{}", warnings(&a));
    let (_, text) = command(&a, &["status"]);
    let line = text.lines().find(|line| line.contains("tcp 127.0.0.1:81 FAILED for ")).expect(&text);
    assert!(line.contains(": Connection refused"), "{line}");
}

#[test]
fn an_address_in_no_subnet_is_a_warning_that_stays() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    host.ip("route add default via 10.77.0.254");
    let node = Node::plain(150).with("VIP", "10.99.0.2").with("INTERFACE", "auto");
    let a = Router::start(Kind::Ours, &host, &node);
    let outside = "no interface has the subnet of 10.99.0.2 (there are: enp0s3 10.77.0.1/24): enp0s3 is used";
    a.run.log.wait_for(outside, seconds(2));
    wait_until("it is in the status", seconds(2), || warnings(&a).contains(outside));
}

#[test]
fn the_truth_in_several_routers_and_families_is_about_the_worst() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200)
        .with("VIP", "10.77.0.100 fe80::100")
        .with("VIP_2", "10.77.0.101")
        .with("VIRTUAL_ROUTER_2", "52")
        .with("CHECK_TCP_2", "127.0.0.1:81")
        .with("CHECK_WEIGHT_2", "2");
    let router = Router::start(Kind::Ours, &host, &node);
    says(&router, "VI_2: MASTER without a working tcp 127.0.0.1:81 for ", "10.77.0.101 does not answer");
    let one = || command(&router, &["healthcheck", "--serving", "VI_1_v6"]);
    wait_until("the IPv6 one serves", seconds(5), || one() == (0, "healthy, VI_1_v6 MASTER".into()));
    assert_eq!(command(&router, &["healthcheck", "--serving"]).0, 1);
    let _service = host.inside(|| std::net::TcpListener::bind("127.0.0.1:81").unwrap());
    says(&router, "no problem: 3 MASTER", "");
}

#[test]
fn healthcheck_fails_for_an_address_in_the_wrong_place_and_a_daemon_that_hangs() {
    let pair = Pair::plain();
    pair.b.host.ip("address add 10.77.0.100/32 dev enp0s3");
    let (code, text) = command(&pair.b, &["healthcheck"]);
    assert_eq!((code, text.contains("VI_1 is BACKUP, but 10.77.0.100 is on enp0s3")), (1, true), "{text}");
    pair.a.run.signal(Signal::SIGSTOP);
    let asked = Instant::now();
    let (code, text) = command(&pair.a, &["healthcheck"]);
    pair.a.run.signal(Signal::SIGCONT);
    assert_eq!(
        (code, text.contains("did not answer within 3 s: it hangs, or is stopped")),
        (1, true),
        "{text}"
    );
    assert!(asked.elapsed() < millis(4_500), "{:?}", asked.elapsed());
}

#[test]
fn a_healthcheck_ends_though_many_before_it_were_left_waiting() {
    let lab = Lab::new();
    let router = Router::start(Kind::Ours, &lab.host("a", 1), &Node::plain(200));
    router.wait_master(0, START);
    router.run.signal(Signal::SIGSTOP);
    let socket = format!("/proc/{}/root/run/vrrp-init.sock", router.run.pid());
    // As if they had given up: their connections wait to be accepted.
    for _ in 0..17 {
        drop(UnixStream::connect(&socket).unwrap());
    }
    let (code, text) = command(&router, &["healthcheck"]);
    router.run.signal(Signal::SIGCONT);
    assert_eq!(
        (code, text.contains("did not answer within 3 s: it hangs, or is stopped")),
        (1, true),
        "{text}"
    );
    wait_until("it answers again", seconds(2), || command(&router, &["healthcheck"]).0 == 0);
}

#[test]
fn every_obstacle_is_in_the_status() {
    let lab = Lab::new();
    let router = Router::start(Kind::Ours, &lab.host("a", 1), &Node::plain(200));
    router.wait_master(0, START);
    let warns = |router: &Router, of: &str| json(router)["routers"][0]["warnings"].to_string().contains(of);
    let unsent = "cannot send VRRP from 10.77.0.1 to 224.0.0.18";
    assert!(!warns(&router, unsent));
    for command in [
        "add table ip t",
        "add chain ip t o { type filter hook output priority 0 ; }",
        "add rule ip t o ip protocol 112 drop",
    ] {
        router.host.nft(command);
    }
    wait_until("the master knows that it cannot send", seconds(3), || warns(&router, unsent));
    let sent = |router: &Router| json(router)["routers"][0]["counters"]["adverts_sent"].as_u64();
    let before = sent(&router);
    std::thread::sleep(millis(2_200));
    assert_eq!(sent(&router), before, "refused adverts are not counted as sent");
    router.host.nft("delete table ip t");
    wait_until("it can send", seconds(5), || !warns(&router, unsent));

    let host = lab.bare_host("b", 2);
    let router = Router::start(Kind::Ours, &host, &Node::plain(100));
    router.run.log.wait_for("Entering FAULT STATE", seconds(2));
    assert!(warns(&router, "Interface enp0s3 is not there: waiting for it"));
    host.plug_in();
    router.run.log.wait_for("Entering BACKUP STATE", seconds(2));
    assert!(!warns(&router, "waiting for it"));
}

#[test]
fn client_commands_without_a_daemon_say_so() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let missing = host.file("missing.sock");
    let env = [("STATUS_SOCKET".into(), missing.clone().into_os_string())];
    for words in [&["status"][..], &["why"], &["healthcheck"]] {
        let mut run = Running::start(&host, Launch::NotPidOne, Path::new(OURS), words, &env);
        assert_eq!(run.wait_exit(seconds(2)), 1);
        run.log.wait_for(&format!("no daemon answers at {}", missing.display()), seconds(1));
    }
    // The socket is also found under other names, and while another variable is invalid.
    let file = host.file("socket");
    fs::write(&file, missing.as_os_str().as_encoded_bytes()).unwrap();
    for (name, value) in [("KEEPALIVED_STATUS_SOCKET", missing.clone()), ("STATUS_SOCKET_FILE", file)] {
        let env = [(name.into(), value.into_os_string()), ("PRIORITY".into(), "high".into())];
        let mut run = Running::start(&host, Launch::NotPidOne, Path::new(OURS), &["status"], &env);
        assert_eq!(run.wait_exit(seconds(2)), 1);
        run.log.wait_for(&format!("no daemon answers at {}", missing.display()), seconds(1));
    }
}

#[test]
fn a_socket_that_cannot_be_opened_is_logged_once_and_stops_nothing() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let node = Node::plain(200)
        .with("STATUS_SOCKET", "/proc/nowhere/vrrp.sock")
        .with("METRICS_LISTEN", "192.0.2.1:9165");
    let router = Router::start(Kind::Ours, &host, &node);
    router.run.log.wait_for("cannot listen at /proc/nowhere/vrrp.sock", seconds(1));
    router.run.log.wait_for("cannot listen at 192.0.2.1:9165", seconds(1));
    router.wait_master(0, START);
    assert_eq!(router.run.log.since(0, "cannot listen at").len(), 2);
}

/// As by a program that cleans /run.
#[test]
fn a_socket_whose_path_was_removed_is_opened_again() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let socket = host.file("removed.sock");
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("STATUS_SOCKET", &socket));
    router.wait_master(0, START);
    let answers =
        || [&["status"][..], &["healthcheck"]].map(|words| command_in_its_environment(&router, words).0);
    assert_eq!(answers(), [0, 0]);
    fs::remove_file(&socket).unwrap();
    fs::remove_file(socket.with_extension("sock.health")).unwrap();
    assert_eq!(answers(), [1, 1]);
    wait_until("both answer again", seconds(15), || answers() == [0, 0]);
}

#[test]
fn metrics_and_probes_are_served_over_http() {
    let pair =
        Pair::start([Kind::Ours; 2], &[with_metrics(Node::plain(200)), with_metrics(Node::plain(100))]);
    let text = page(&pair.a.host, "/metrics");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let labels = "iname=\"VI_1\",intf=\"enp0s3\",vrid=\"51\"";
    for line in [
        "keepalived_up 1".to_owned(),
        format!("keepalived_vrrp_state{{{labels},ip_address=\"10.77.0.100\"}} 2"),
        format!("keepalived_vrrp_vip_present{{{labels},ip_address=\"10.77.0.100\"}} 1"),
        format!("keepalived_become_master_total{{{labels}}} 1"),
        format!("keepalived_vrrp_priority{{{labels},kind=\"effective\"}} 200"),
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert!(page(&pair.b.host, "/metrics").contains("ip_address=\"10.77.0.100\"} 1\n"));
    for (host, path, status) in [
        (&pair.a.host, "/healthz", "200"),
        (&pair.a.host, "/master", "200"),
        (&pair.b.host, "/readyz", "200"),
        (&pair.b.host, "/master", "503"),
        (&pair.b.host, "/nothing", "404"),
    ] {
        let text = page(host, path);
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {text}");
    }
    let status: serde_json::Value = serde_json::from_str(&body(&pair.b.host, "/status")).unwrap();
    assert_eq!(status["routers"][0]["state"], "BACKUP");
}

#[test]
fn slow_and_malformed_clients_delay_no_other_client() {
    let pair =
        Pair::start([Kind::Ours; 2], &[with_metrics(Node::plain(200)), with_metrics(Node::plain(100))]);
    let marks = pair.marks();
    let capture = pair.capture("askers");
    let before = memory(&pair.a);
    // Two hundred clients connect to both sockets and send nothing, and one is still served.
    let idle: Vec<TcpStream> = (0..200).map(|_| connect(&pair.a.host)).collect();
    assert!(page(&pair.a.host, "/healthz").ends_with("ok\n"));
    // Clients that disconnect in the middle, and clients that send too much.
    for n in 0..50 {
        let mut stream = connect(&pair.a.host);
        stream.write_all(&b"GET /metrics HTTP/1.1\r\n\r\n"[..n % 25]).unwrap();
    }
    let long = get(&pair.a.host, &vec![b'x'; 1_000_000]).unwrap();
    assert!(long.starts_with("HTTP/1.1 431 "), "{long}");
    // Clients that request a document and never read it, or send data that is never read.
    let socket = format!("/proc/{}/root/run/vrrp-init.sock", pair.a.run.pid());
    let lazy: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    for mut stream in &lazy {
        // The oldest connections have been closed.
        let _ = stream.write_all(&[b'x'; 1_000]);
    }
    assert_eq!(command(&pair.a, &["healthcheck"]).0, 0);
    std::thread::sleep(seconds(3));
    drop((idle, lazy));
    let captured = capture.finish();
    assert_eq!(pair.entered_since(marks), "", "no router changes its state");
    let adverts = captured.adverts(Some(pair.a.host.address));
    let late =
        adverts.windows(2).map(|two| two[1].at.saturating_sub(two[0].at)).max().unwrap_or(Duration::ZERO);
    assert!(adverts.len() >= 3 && late < millis(1_200), "{} adverts, {late:?} apart", adverts.len());
    wait_until("their descriptors are closed", seconds(8), || descriptors(&pair.a) < 40);
    let grown = memory(&pair.a).saturating_sub(before);
    assert!(grown < 600, "grown by {grown} kB");
}

#[test]
fn new_connections_do_not_cut_off_a_slow_reader() {
    const MANY: Many = Many(400);
    let lab = Lab::new();
    let hosts = MANY.hosts(&lab);
    let mut env = MANY.environment(200);
    env.push(("METRICS_LISTEN".into(), format!(":{}", crate::support::query::PORT).into()));
    let run = Running::start::<&str>(&hosts[0], Launch::PidOne, Path::new(OURS), &[], &env);
    run.log.wait_for(&format!("(VI_{}) Entering BACKUP STATE", MANY.0), seconds(5));
    let socket = format!("/proc/{}/root/run/vrrp-init.sock", run.pid());
    wait_until("it listens", seconds(2), || Path::new(&socket).exists());
    let mut slow = UnixStream::connect(socket).unwrap();
    let mut document = vec![0; 1_000];
    slow.read_exact(&mut document).unwrap();
    let scrapers: Vec<TcpStream> = (0..40).map(|_| connect(&hosts[0])).collect();
    assert!(page(&hosts[0], "/healthz").ends_with("ok\n"), "the earlier connections were accepted");
    slow.read_to_end(&mut document).unwrap();
    assert!(document.len() > 250_000, "more than a socket's buffer: {}", document.len());
    assert_eq!(document.split(|octet| *octet == 0).count(), 5, "parts");
    drop(scrapers);
}

fn memory(router: &Router) -> u64 {
    let text = router.run.status("VmRSS");
    text.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap()
}

fn descriptors(router: &Router) -> usize {
    fs::read_dir(format!("/proc/{}/fd", router.run.pid())).unwrap().count()
}
