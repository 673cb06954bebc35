//! What a host or an environment can be that no one planned: sizes at their limits, names and prefixes that change
//! under a master, and lists that contain what they should not. Adverts keep their schedule, and messages say what is
//! wrong.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::process::{Launch, Running, children_of};
use crate::support::query::command;
use crate::support::router::{Kind, Node, OURS, Router};
use crate::support::schedule::{fast_pair, fast_pair_on, keeps_its_schedule};
use crate::support::{machine, millis, seconds, wait_until};

fn fast(priority: u8) -> Node {
    Node { advert_int: "0.1", ..Node::plain(priority) }
}

fn set_mtu(hosts: &[&Host], mtu: u16) {
    for host in hosts {
        host.ip(&format!("link set enp0s3 mtu {mtu}"));
    }
}

#[test]
fn mtus_of_68_and_9000_move_nothing() {
    let _machine = machine::alone();
    let pair = fast_pair(&[200, 100].map(fast));
    let hosts = [&pair.a.host, &pair.b.host];
    keeps_its_schedule(&pair, millis(100), millis(50), || {
        for mtu in [68, 9_000, 68, 1_500] {
            set_mtu(&hosts, mtu);
            std::thread::sleep(millis(1_000));
        }
    });
    set_mtu(&hosts, 68);
    let marks = pair.marks();
    pair.a.run.signal(Signal::SIGTERM);
    pair.b.wait_master(marks[1], seconds(1));
}

#[test]
fn the_longest_advert_is_whole_at_an_mtu_of_9000_and_heard_at_1500() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let client = lab.host("client", 250);
    set_mtu(&[&hosts[0], &client], 9_000);
    let vips: Vec<_> = (1..=255).map(|n| format!("10.77.1.{n}")).collect();
    let node = |priority| fast(priority).with("VIP", vips.join(" "));
    let b = Router::start(Kind::Ours, &hosts[1], &node(100));
    let a = Router::start(Kind::Ours, &hosts[0], &node(200));
    a.run.log.wait_for("Entering MASTER STATE", START);
    b.run.log.wait_for("Master is 10.77.0.1", seconds(2));
    let mark = b.run.log.mark();
    let capture = Capture::start(&client, "long", "proto 112");
    std::thread::sleep(millis(1_000));
    let captured = capture.finish();
    let lengths: Vec<_> = captured.frames.iter().map(|frame| frame.packet().len()).collect();
    assert!(lengths.len() > 5 && lengths.iter().all(|length| *length == 20 + 8 + 4 * 255), "{lengths:?}");
    assert_eq!(b.run.log.since(mark, "STATE"), [""; 0]);
}

#[test]
fn a_renamed_interface_is_missed_by_its_name_and_used_again_under_it() {
    let pair = fast_pair(&[200, 100].map(fast));
    let (a, b, marks) = (&pair.a, &pair.b, pair.marks());
    a.host.ip("link set enp0s3 name wan0");
    let missing = "Interface enp0s3 is not there: waiting for it (there are: wan0)";
    a.run.log.wait_for_after(marks[0], missing, seconds(1));
    a.run.log.wait_for_after(marks[0], "Entering FAULT STATE: interface enp0s3 does not exist", seconds(1));
    b.wait_master(marks[1], seconds(1));
    assert!(command(a, &["status"]).1.contains(missing));
    assert!(!a.host.ip("address show dev wan0").contains("10.77.0.100/"), "it left nothing behind");
    let marks = pair.marks();
    a.host.ip("link set wan0 name enp0s3");
    a.wait_master(marks[0], seconds(2));
    b.wait_backup(marks[1], seconds(1));
    wait_until("one host has the address", seconds(1), || !b.holds_vip());
}

/// `auto`, and an altname that stays, mean the link and not its name.
#[test]
fn a_rename_moves_nothing_where_the_link_is_still_the_one_that_is_meant() {
    let _machine = machine::alone();
    for interface in ["auto", "lan"] {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        for host in &hosts {
            host.ip("link property add dev enp0s3 altname lan");
        }
        let pair = fast_pair_on(
            lab,
            &hosts,
            &[200, 100].map(|priority| fast(priority).with("INTERFACE", interface)),
        );
        keeps_its_schedule(&pair, millis(100), millis(50), || {
            pair.a.host.ip("link set enp0s3 name wan0");
            pair.a.run.log.wait_for("VRID 51 on wan0", seconds(1));
            std::thread::sleep(millis(1_200));
        });
        // And the backup announces on the renamed link.
        let (marks, filter) = (pair.marks(), format!("arp and ether src {}", pair.b.host.mac()));
        pair.b.host.ip("link set enp0s3 name wan0");
        let announced = Capture::start(&pair.client, "announced", &filter);
        pair.a.run.signal(Signal::SIGTERM);
        pair.b.run.log.wait_for_after(marks[1], "Entering MASTER STATE", seconds(1));
        std::thread::sleep(millis(200));
        let frames = announced.finish().frames;
        assert!(frames.iter().any(|frame| frame.gratuitous_arp(Node::VIP).is_some()), "{interface}");
    }
}

/// An administrator widens the subnet: first the new prefix is added, then the old one removed.
#[test]
fn a_master_whose_address_gets_another_prefix_stays_master() {
    let _machine = machine::alone();
    for vip in ["10.77.0.100", "10.77.0.100/24"] {
        let pair = fast_pair(&[200, 100].map(|priority| fast(priority).with("VIP", vip)));
        let sampler = pair.sample();
        keeps_its_schedule(&pair, millis(100), millis(50), || {
            for (new, old) in [(16, 24), (24, 16)] {
                pair.a.host.ip(&format!("address add 10.77.0.1/{new} dev enp0s3"));
                pair.a.host.ip(&format!("address delete 10.77.0.1/{old} dev enp0s3"));
                std::thread::sleep(millis(600));
            }
        });
        let seen = sampler.finish();
        assert!(seen.none < millis(100), "the address is there: {seen:?}");
        let addresses = pair.a.host.ip("-o -4 address show dev enp0s3");
        assert!(addresses.contains("10.77.0.1/24") && addresses.contains("10.77.0.100/"), "{addresses}");
    }
}

/// The other way round there is a moment without an address to send from.
#[test]
fn a_master_whose_address_goes_before_it_comes_with_another_prefix_is_master_again() {
    for vip in ["10.77.0.100", "10.77.0.100/24"] {
        let pair = fast_pair(&[200, 100].map(|priority| fast(priority).with("VIP", vip)));
        let marks = pair.marks();
        pair.a.host.batch("address delete 10.77.0.1/24 dev enp0s3\naddress add 10.77.0.1/16 dev enp0s3\n");
        let fault = "Entering FAULT STATE: interface enp0s3 has no IPv4 address to send from";
        if pair.a.run.log.since(marks[0], fault).is_empty() {
            // Both changes were seen at once.
            wait_until("one master", seconds(2), || pair.a.holds_vip() && !pair.b.holds_vip());
        } else {
            pair.a.wait_master(marks[0], seconds(3));
        }
        wait_until("one master", seconds(3), || pair.a.holds_vip() && !pair.b.holds_vip());
        let addresses = pair.a.host.ip("-o -4 address show dev enp0s3");
        assert!(addresses.contains(" 10.77.0.1/16") && !addresses.contains(" 10.77.0.1/24"), "{addresses}");
    }
}

const ADDRESSES: usize = 5_000;

/// Commands that add so many addresses, or with `delete` that remove them.
fn many_addresses(command: &str) -> String {
    let address = |n: usize| format!("address {command} 10.80.{}.{}/32 dev enp0s3\n", n / 250, 1 + n % 250);
    (0..ADDRESSES).map(address).collect()
}

fn count_addresses(host: &Host) -> usize {
    host.ip("-o -4 address show dev enp0s3").matches(" 10.80.").count()
}

#[test]
fn five_thousand_addresses_come_and_go_beside_a_master() {
    let _machine = machine::alone();
    let pair = fast_pair(&[200, 100].map(fast));
    // Without optimization, a turn that lists all of them takes up to 100 ms.
    keeps_its_schedule(&pair, millis(100), millis(150), || {
        pair.a.host.batch(&many_addresses("add"));
        assert_eq!(command(&pair.a, &["healthcheck", "--master"]).0, 0);
        assert!(command(&pair.a, &["status"]).1.contains("10.77.0.100/32 on enp0s3: here"));
        pair.a.host.batch(&many_addresses("delete"));
        // A quick machine is done before there are enough adverts to judge.
        std::thread::sleep(seconds(1));
    });
    // The notifications to a program that does not run are lost, and everything is listed again.
    pair.b.run.signal(Signal::SIGSTOP);
    pair.b.host.batch(&many_addresses("add"));
    pair.b.run.signal(Signal::SIGCONT);
    let marks = pair.marks();
    pair.a.run.signal(Signal::SIGTERM);
    pair.b.wait_master(marks[1], seconds(1));
    assert_eq!(count_addresses(&pair.b.host), ADDRESSES);
}

#[test]
fn a_host_of_five_thousand_addresses_takes_part_and_keeps_them() {
    let _machine = machine::alone();
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    hosts[0].batch(&many_addresses("add"));
    let mut pair = fast_pair_on(lab, &hosts, &[200, 100].map(fast));
    keeps_its_schedule(&pair, millis(100), millis(50), || {
        pair.a.host.ip("address add 10.77.0.99/32 dev enp0s3");
        std::thread::sleep(seconds(1));
    });
    let marks = pair.marks();
    pair.a.run.signal(Signal::SIGTERM);
    pair.b.wait_master(marks[1], seconds(1));
    assert_eq!(pair.a.run.wait_exit(seconds(2)), 0);
    assert_eq!((count_addresses(&pair.a.host), pair.a.holds_vip()), (ADDRESSES, false));
}

/// At most 10,000, if half of the free memory is enough for them.
fn processes() -> usize {
    const KB_EACH: usize = 400;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: usize = line.split_whitespace().next().unwrap().parse().unwrap();
    (available / 2 / KB_EACH).min(10_000)
}

#[test]
fn ten_thousand_processes_beside_the_service_delay_no_advert_and_not_its_check() {
    let _machine = machine::alone();
    let node = |priority| {
        fast(priority).with("SERVICE", "service").with("CHECK_INTERVAL", "1").with("CHECK_WEIGHT", "2")
    };
    let pair = fast_pair(&[200, 100].map(node));
    let (host, init) = (&pair.a.host, &pair.a.run);
    let (count, fifo, service) = (processes(), host.file("fifo"), host.file("bin/service"));
    std::fs::create_dir_all(service.parent().unwrap()).unwrap();
    std::fs::copy("/bin/sleep", &service).unwrap();
    // Each waits for input that never comes.
    let script = format!(
        "renice -n 19 -p $$; mkfifo $0; exec 3<>$0; i=0; while [ $i -lt {count} ]; do {{ read x <&3; }} & i=$((i+1)); \
         done; echo started; wait"
    );
    let shell = |script: &str| {
        let args = ["-c", script, fifo.to_str().unwrap()];
        Running::start(host, Launch::Joining(init), Path::new("/bin/dash"), &args, &[])
    };
    keeps_its_schedule(&pair, millis(100), millis(50), || {
        let _all = shell(&script).log.wait_for("started", seconds(90));
        let running = Running::start(host, Launch::Joining(init), &service, &["600"], &[]);
        init.log.wait_for("Check of service succeeded", seconds(5));
        let mark = init.log.mark();
        let killed = std::time::Instant::now();
        running.signal(Signal::SIGKILL);
        let gone = init.log.wait_for_after(mark, "service … is gone", seconds(5)).at - killed;
        println!("{count} processes; the end of the service was noticed after {gone:?}");
        // All of them end at once, and PID 1 reaps them.
        shell("kill -9 -1");
        wait_until("all are reaped", seconds(30), || children_of(init.pid()).is_empty());
    });
}

#[test]
fn a_virtual_address_among_the_peers_is_ignored_with_a_warning() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let client = lab.host("client", 250);
    let nodes =
        [200, 100].map(|priority| fast(priority).with("UNICAST_PEERS", "10.77.0.1 10.77.0.2 10.77.0.100"));
    let b = Router::start(Kind::Ours, &hosts[1], &nodes[1]);
    let a = Router::start(Kind::Ours, &hosts[0], &nodes[0]);
    a.wait_master(0, START);
    b.run.log.wait_for("Master is 10.77.0.1", seconds(2));
    for router in [&a, &b] {
        router.run.log.wait_for("warning: UNICAST_PEERS 10.77.0.100 is in VIP", seconds(1));
    }
    // An address that the host gets has every router look for its source and its routes again.
    hosts[0].ip("address add 10.77.0.99/24 dev enp0s3");
    std::thread::sleep(millis(500));
    assert!(a.holds_vip() && !b.holds_vip());
    assert_eq!(a.run.log.since(0, "no route"), [""; 0]);
    a.run.log.wait_for("Unicast adverts go from 10.77.0.1 to 10.77.0.2", seconds(1));
    assert_eq!(a.run.log.since(0, "Unicast adverts go … 10.77.0.100"), [""; 0]);
    drop(client);
}

#[test]
fn a_peer_that_is_no_address_of_the_family_is_refused_or_ignored_by_its_name() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let start = |peers: &str| {
        let env = fast(200).with("UNICAST_PEERS", peers).environment(&host);
        Running::start::<&str>(&host, Launch::PidOne, Path::new(OURS), &[], &env)
    };
    for (peers, problem) in [
        ("10.77.0.1 node2", "UNICAST_PEERS=node2  must be an IP address such as 10.0.0.11 or fd00::11"),
        ("fd00::1", "UNICAST_PEERS=fd00::1  contains no IPv4 address, which VIP needs"),
    ] {
        let mut run = start(peers);
        assert_eq!(run.wait_exit(seconds(5)), 78);
        assert!(run.log.whole(seconds(1)).contains(problem));
    }
    let run = start("10.77.0.1 10.77.0.2 fd00::2");
    run.log.wait_for("warning: UNICAST_PEERS fd00::2 is ignored: VIP has only IPv4 addresses", seconds(2));
    run.log.wait_for("Entering MASTER STATE", START);
}
