//! `ENV_FILE` and SIGHUP: what is applied while the daemon runs, and that no advert is lost meanwhile.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::process::{Launch, Running};
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

/// A router at ten adverts a second whose settings are in a file, alone in a folder.
struct Live {
    router: Router,
    file: PathBuf,
}

const BASE: &str = "VRRP_VERSION=3\nADVERT_INT=0.1\n";

impl Live {
    fn start(host: &Host, text: &str) -> Self {
        let folder = host.file("settings");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("env");
        fs::write(&file, format!("{BASE}{text}")).unwrap();
        let node =
            Node::plain(100).with("ENV_FILE", file.clone()).with("PRIORITY", "").with("VIP", "10.77.0.100");
        let node = node.with("METRICS_LISTEN", ":9165");
        Self { router: Router::start(Kind::Ours, host, &node), file }
    }

    /// As master, alone in its network.
    fn alone(text: &str) -> (Self, Lab) {
        let lab = Lab::new();
        let live = Self::start(&lab.host("a", 1), text);
        live.router.wait_master(0, START);
        (live, lab)
    }

    /// Another content, in place; waits for `answer` in the log. Returns the time that it took.
    fn write(&self, text: &str, answer: &str) -> Duration {
        let mark = self.router.run.log.mark();
        let began = Instant::now();
        fs::write(&self.file, format!("{BASE}{text}")).unwrap();
        let line = self.router.run.log.wait_for_after(mark, answer, seconds(3));
        line.at.duration_since(began)
    }

    /// A process to watch.
    fn service(&self) -> Running {
        Running::start(
            &self.router.host,
            Launch::Joining(&self.router.run),
            Path::new("/bin/sleep"),
            &["1000"],
            &[],
        )
    }

    fn json(&self) -> serde_json::Value {
        let (code, text) = command(&self.router, &["status", "--json"]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// The longest time between two adverts of this host, and how many came.
fn gaps(capture: Capture, from: &Host) -> (Duration, usize) {
    let captured = capture.finish();
    let adverts = captured.adverts(Some(from.address));
    let longest = adverts.windows(2).map(|two| two[1].at.saturating_sub(two[0].at)).max().unwrap_or_default();
    (longest, adverts.len())
}

/// Every change that is applied live, on a master, one after the other: no advert is missed or late.
#[test]
fn each_setting_is_applied_without_a_missed_advert() {
    let lab = Lab::new();
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, number)| lab.host(name, number));
    let backup = Node::plain(50).with("VRRP_VERSION", "3").with("ADVERT_INT", "0.1");
    let other = Router::start(Kind::Ours, &b, &backup);
    let live = Live::start(&a, "PRIORITY=100\n");
    live.router.wait_master(0, START);
    let _service = live.service();
    let capture = Capture::start(&b, "settings", "vrrp or arp");
    let log = &other.run.log;
    let mark = log.mark();
    let mut times = vec![];
    for (text, answer) in [
        ("PRIORITY=120", "Reload: applied PRIORITY 100 -> 120"),
        ("PRIORITY=110", "Changing effective priority from 120 to 110"),
        ("PRIORITY=110\nPREEMPT=no", "Reload: applied PREEMPT true -> no"),
        ("PRIORITY=110\nPREEMPT_DELAY=3", "applied PREEMPT no -> true, PREEMPT_DELAY 0 -> 3"),
        ("PRIORITY=110\nGARP_REFRESH=1", "GARP_REFRESH 0 -> 1"),
        ("PRIORITY=110\nLOG_LEVEL=trace", "LOG_LEVEL debug -> trace"),
        ("PRIORITY=110\nLOG_FORMAT=json", "LOG_FORMAT text -> json"),
        ("PRIORITY=110", "Reload: applied LOG_FORMAT json -> text"),
        ("PRIORITY=110\nCHECK_TCP=127.0.0.1:9165", "tcp 127.0.0.1:9165: answers"),
        ("PRIORITY=110\nCHECK_TCP=127.0.0.1:9165\nCHECK_WEIGHT=5", "effective priority from 110 to 115"),
        ("PRIORITY=110\nSERVICE=sleep\nCHECK_WEIGHT=5", "sleep runs"),
        (
            "PRIORITY=110\nSERVICE=sleep\nCHECK_WEIGHT=7\nCHECK_INTERVAL=0.2",
            "effective priority from 115 to 117",
        ),
        ("PRIORITY=110", "effective priority from 117 to 110"),
        ("PRIORITY=110\nVIP=10.77.0.100 10.77.0.101", "VIP 10.77.0.100 -> 10.77.0.100 10.77.0.101"),
        ("PRIORITY=110\nVIP_EXCLUDED=10.77.0.102", "VIP_EXCLUDED unset -> 10.77.0.102"),
        ("PRIORITY=110", "VIP_EXCLUDED 10.77.0.102 -> unset"),
    ] {
        times.push(live.write(&format!("{text}\n"), answer));
        std::thread::sleep(millis(300));
    }
    let (gap, count) = gaps(capture, &a);
    times.sort_unstable();
    eprintln!(
        "{count} adverts, longest gap {gap:?}; applied after {:?} to {:?}",
        times[0],
        times[times.len() - 1]
    );
    assert!(gap < millis(190), "an advert is missing: {gap:?}");
    assert_eq!(log.since(mark, "Entering"), Vec::<String>::new(), "the other never takes over");
    assert_eq!(live.router.run.log.since(0, "FAULT STATE"), Vec::<String>::new());
    assert!(a.holds(Node::VIP) && !a.holds([10, 77, 0, 101]) && !a.holds([10, 77, 0, 102]));
}

/// A check that cannot pass yet has no effect before its first result.
#[test]
fn a_changed_check_has_no_gap_and_one_that_fails_counts() {
    let (live, _lab) = Live::alone("");
    let _service = live.service();
    let log = &live.router.run.log;
    let mark = log.mark();
    live.write("SERVICE=sleep\n", "Check of sleep succeeded");
    live.write("SERVICE=sleep\nCHECK_RISE=2\nCHECK_FALL=2\nCHECK_INTERVAL=0.3\n", "CHECK_RISE 1 -> 2");
    live.write("SERVICE=sleep\nCHECK_TIMEOUT=5\n", "CHECK_TIMEOUT");
    std::thread::sleep(seconds(1));
    assert_eq!(log.since(mark, "Entering"), Vec::<String>::new());
    live.write("SERVICE=nowhere\n", "Entering FAULT STATE");
    live.write("SERVICE=\n", "Entering BACKUP STATE");
}

#[test]
fn a_file_is_followed_however_it_is_replaced() {
    let (live, _lab) = Live::alone("PRIORITY=100\n");
    let log = &live.router.run.log;
    let folder = live.file.parent().unwrap();
    let after = |change: &dyn Fn(), answer: &str| {
        let mark = log.mark();
        change();
        log.wait_for_after(mark, answer, seconds(3));
    };
    let put = |path: &Path, priority: u8| fs::write(path, format!("{BASE}PRIORITY={priority}\n")).unwrap();
    after(
        &|| {
            // As an editor does it.
            put(&folder.join("new"), 101);
            fs::rename(&live.file, folder.join("env~")).unwrap();
            fs::rename(folder.join("new"), &live.file).unwrap();
        },
        "PRIORITY 100 -> 101",
    );
    after(&|| put(&live.file, 102), "PRIORITY 101 -> 102");
    // As Kubernetes does it.
    let version = |name: &str, priority| {
        fs::create_dir(folder.join(name)).unwrap();
        put(&folder.join(name).join("env"), priority);
        std::os::unix::fs::symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    after(
        &|| {
            version("..1", 103);
            std::os::unix::fs::symlink("..data/env", folder.join("link")).unwrap();
            fs::rename(folder.join("link"), &live.file).unwrap();
        },
        "PRIORITY 102 -> 103",
    );
    after(&|| version("..2", 104), "PRIORITY 103 -> 104");
    // The file behind the link.
    after(&|| put(&folder.join("..2/env"), 105), "PRIORITY 104 -> 105");
    // Another file of the folder is no reason.
    let mark = log.mark();
    fs::write(folder.join("other"), "PRIORITY=1\n").unwrap();
    std::thread::sleep(millis(300));
    assert_eq!(log.since(mark, "Reload"), Vec::<String>::new());
    after(&|| fs::remove_file(&live.file).unwrap(), "ENV_FILE=… cannot be read: No such file");
    after(&|| put(&live.file, 106), "PRIORITY 105 -> 106");
}

#[test]
fn a_wrong_file_changes_nothing_and_says_everything() {
    let (live, _lab) = Live::alone("PRIORITY=100\n");
    let log = &live.router.run.log;
    let mark = log.mark();
    live.write("PRIORITY=300\nexport X=1\nPREEMPT=perhaps\n", "PREEMPT=perhaps must be");
    for words in [
        "Reload failed, the running configuration stays in use",
        "PRIORITY=300 must be 1 to 254 … line 3 of ENV_FILE",
        "line 4 has a space before the =: remove the word export",
    ] {
        log.wait_for_after(mark, words, seconds(1));
    }
    let json = live.json();
    let configuration = &json["configuration"];
    assert_eq!(
        (&configuration["refused"], configuration["problems"].as_array().unwrap().len()),
        (&1.into(), 3)
    );
    assert_eq!(json["routers"][0]["priority"], 100);
    let (_, text) = command(&live.router, &["status"]);
    assert!(text.contains("configuration refused") && text.contains("the one before is in use"), "{text}");
    for (text, words) in [
        (vec![b'#'; 10_000_000], "larger than 256 KiB"),
        (b"PRIORITY=7\0".to_vec(), "line 1 has a NUL byte"),
        (b"VIP=10.77.0.100".to_vec(), "VIP"),
    ] {
        let mark = log.mark();
        fs::write(&live.file, text).unwrap();
        if words != "VIP" {
            log.wait_for_after(mark, words, seconds(3));
            assert_eq!(log.since(mark, "Reload: applied"), Vec::<String>::new());
        }
    }
    live.write(
        "PRIORITY=100\nADVERT_INT=0.2\nAUTH_PASS=s3cret\n",
        "restart this container to apply ADVERT_INT 0.1 -> 0.2, AUTH_PASS unset -> (set, not shown)",
    );
    let configuration = &live.json()["configuration"];
    assert_eq!(
        (&configuration["problems"], configuration["needs_restart"].as_array().unwrap().len()),
        (&serde_json::json!([]), 2)
    );
    assert!(live.router.holds_vip());
    assert_eq!(log.since(mark, "Entering"), Vec::<String>::new());
}

#[test]
fn a_storm_of_changes_is_applied_once_a_second_and_the_last_one_is_in_use() {
    let (live, _lab) = Live::alone("PRIORITY=100\n");
    let log = &live.router.run.log;
    let mark = log.mark();
    let began = Instant::now();
    let mut last = 0;
    while began.elapsed() < seconds(3) {
        last = 1 + last % 200;
        fs::write(live.file.with_extension("new"), format!("{BASE}PRIORITY={last}\n")).unwrap();
        fs::rename(live.file.with_extension("new"), &live.file).unwrap();
        std::thread::sleep(millis(10));
    }
    log.wait_for_after(mark, &format!("PRIORITY … -> {last}"), seconds(3));
    let applied = log.since(mark, "Reload: applied").len();
    assert!((3..=5).contains(&applied), "{applied} in {:?}", began.elapsed());
    std::thread::sleep(millis(1_200));
    assert_eq!(live.json()["routers"][0]["priority"], last);
    // And then it is quiet.
    assert_eq!(log.since(mark, "Reload: applied").len(), applied);
}

/// A second router comes and goes beside one that must not notice, and hands over when it goes.
#[test]
fn routers_come_and_go_beside_others() {
    const SECOND: &str = "VIP_2=10.77.0.101\nVIRTUAL_ROUTER_2=52\nINSTANCE_NAME_2=second\n";
    let lab = Lab::new();
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, number)| lab.host(name, number));
    let live = Live::start(&a, "PRIORITY=200\n");
    let node = Node { vrid: 52, vip: [10, 77, 0, 101].into(), ..Node::plain(50) };
    let spare = Router::start(Kind::Ours, &b, &node.with("VRRP_VERSION", "3").with("ADVERT_INT", "0.1"));
    spare.run.log.wait_for("Entering MASTER STATE", START);
    live.router.wait_master(0, START);
    let capture = Capture::start(&b, "routers", "vrrp");
    for _ in 0..2 {
        live.write(&format!("PRIORITY=200\n{SECOND}"), "(second) Entering MASTER STATE");
        wait_until("the address moves", seconds(2), || {
            a.holds([10, 77, 0, 101]) && !b.holds([10, 77, 0, 101])
        });
        let mark = spare.run.log.mark();
        live.write("PRIORITY=200\n", "(second) Stopped");
        spare.run.log.wait_for_after(mark, "Entering MASTER STATE", millis(500));
        wait_until("the address moves back", seconds(2), || {
            !a.holds([10, 77, 0, 101]) && b.holds([10, 77, 0, 101])
        });
        assert_eq!(live.json()["routers"].as_array().unwrap().len(), 1);
    }
    let captured = capture.finish();
    let firsts: Vec<_> =
        captured.adverts(Some(a.address)).into_iter().filter(|frame| frame.packet()[21] == 51).collect();
    let gap = firsts.windows(2).map(|two| two[1].at.saturating_sub(two[0].at)).max().unwrap();
    assert!(
        firsts.len() > 20 && gap < millis(190),
        "{} adverts of the first router, gap {gap:?}",
        firsts.len()
    );
    assert!(firsts.iter().all(|frame| frame.priority() == 200));
    // Its address goes to the first router, in one step.
    live.write(&format!("PRIORITY=200\n{SECOND}"), "(second) Entering MASTER STATE");
    live.write("PRIORITY=200\nVIP=10.77.0.100,10.77.0.101\n", "VIP_2 10.77.0.101 -> unset");
    wait_until("the first has both", seconds(3), || {
        live.json()["routers"][0]["addresses"].as_array().unwrap().len() == 2
    });
    assert!(a.holds(Node::VIP) && a.holds([10, 77, 0, 101]));
}

/// Both families: the IPv6 router of a list comes and goes.
#[test]
fn a_family_comes_and_goes() {
    let (live, _lab) = Live::alone("");
    live.write("VIP=10.77.0.100 fe80::100\n", "(VI_1_v6) Entering MASTER STATE");
    let mark = live.router.run.log.mark();
    live.write("VIP=10.77.0.100\n", "(VI_1_v6) Stopped");
    wait_until("it is gone", seconds(2), || {
        !live.router.host.ip("address show dev enp0s3").contains("fe80::100/")
    });
    assert_eq!(live.router.run.log.since(mark, "(VI_1) Entering"), Vec::<String>::new());
    assert!(live.router.holds_vip());
}

/// An address comes and goes while the guard is in use and a client uses the other: the client gets each answer.
#[test]
fn a_client_of_the_other_address_notices_nothing() {
    let lab = Lab::new();
    let [a, b, client] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, number)| lab.host(name, number));
    let two = "VIP=10.77.0.100,10.77.0.101\n";
    let one = "VIP=10.77.0.100\n";
    let first = Live::start(&a, &format!("PRIORITY=200\n{one}"));
    first.router.wait_master(0, START);
    let second = Live::start(&b, &format!("PRIORITY=100\n{one}"));
    second.router.wait_backup(0, START);
    std::thread::sleep(seconds(1));
    let capture = Capture::start(&client, "client", "vrrp");
    let requests = std::thread::spawn({
        let client = client.clone();
        move || client.inside(|| (0..200).map(|_| request()).filter(|answered| !answered).count())
    });
    // The backup first.
    second.write(&format!("PRIORITY=100\n{two}"), "Reload: applied VIP");
    std::thread::sleep(millis(500));
    first.write(&format!("PRIORITY=200\n{two}"), "Reload: applied VIP");
    wait_until("it has the new one", seconds(1), || a.holds([10, 77, 0, 101]));
    std::thread::sleep(millis(700));
    second.write(&format!("PRIORITY=100\n{one}"), "Reload: applied VIP");
    first.write(&format!("PRIORITY=200\n{one}"), "Reload: applied VIP");
    wait_until("it has it no longer", seconds(1), || !a.holds([10, 77, 0, 101]));
    assert_eq!(requests.join().unwrap(), 0, "requests without an answer");
    let (gap, _) = gaps(capture, &a);
    assert!(gap < millis(190), "{gap:?}");
    assert_eq!(second.router.run.log.since(0, "Entering MASTER STATE"), Vec::<String>::new());
    assert!(!a.holds([10, 77, 0, 101]) && a.holds(Node::VIP));
}

/// One request, each 20 ms. Returns whether it was answered.
fn request() -> bool {
    let began = Instant::now();
    let to = SocketAddr::from((Node::VIP, 9165));
    let answered = TcpStream::connect_timeout(&to, millis(500)).and_then(|mut stream| {
        stream.set_read_timeout(Some(millis(500)))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)
    });
    std::thread::sleep(millis(20).saturating_sub(began.elapsed()));
    answered.is_ok_and(|octets| octets > 0)
}

/// Unicast: the list of peers changes, and with it the packets; sockets of former channels are closed.
#[test]
fn peers_change() {
    let lab = Lab::new();
    let [host, _b, _c] = [("a", 1), ("b", 2), ("c", 3)].map(|(name, number)| lab.host(name, number));
    let live = Live::start(&host, "PRIORITY=200\n");
    live.router.wait_master(0, START);
    let mark = live.router.run.log.mark();
    let capture = Capture::start(&host, "peers", "vrrp");
    live.write("PRIORITY=200\nUNICAST_PEERS=10.77.0.2\n", "UNICAST_PEERS unset -> 10.77.0.2");
    std::thread::sleep(millis(400));
    live.write(
        "PRIORITY=200\nUNICAST_PEERS=10.77.0.2,10.77.0.3\n",
        "UNICAST_PEERS 10.77.0.2 -> 10.77.0.2,10.77.0.3",
    );
    std::thread::sleep(millis(400));
    live.write("PRIORITY=200\n", "UNICAST_PEERS … -> unset");
    std::thread::sleep(millis(400));
    let captured = capture.finish();
    let to: Vec<[u8; 4]> = captured
        .adverts(Some(host.address))
        .iter()
        .map(|frame| frame.bytes[30..34].try_into().unwrap())
        .collect();
    for address in [[224, 0, 0, 18], [10, 77, 0, 2], [10, 77, 0, 3]] {
        assert!(to.contains(&address), "{address:?}");
    }
    assert_eq!((to.first(), to.last()), (Some(&[224, 0, 0, 18]), Some(&[224, 0, 0, 18])));
    assert_eq!(live.json()["interfaces"].as_array().unwrap().len(), 1, "one socket");
    assert_eq!(live.router.run.log.since(mark, "Entering"), Vec::<String>::new());
}

/// SIGHUP during the handover of a router that leaves, and a stop during it.
#[test]
fn changes_and_a_stop_during_a_handover() {
    let (mut live, _lab) = Live::alone("VIP_2=10.77.0.101\nVIRTUAL_ROUTER_2=52\n");
    live.router.run.log.wait_for("(VI_2) Entering MASTER STATE", START);
    // Nobody takes over, so it waits for over a second.
    live.write("PRIORITY=90\n", "Reload: applied");
    live.router.run.signal(Signal::SIGHUP);
    live.write("PRIORITY=80\nVIP_2=10.77.0.102\nVIRTUAL_ROUTER_2=53\n", "VIP_2 unset -> 10.77.0.102");
    live.router.run.log.wait_for("(VI_2) VRID 53 on enp0s3", seconds(3));
    live.router.run.log.wait_for("effective priority from 100 to 90", seconds(1));
    live.write("PRIORITY=70\n", "Reload: applied");
    live.router.run.signal(Signal::SIGTERM);
    assert_eq!(live.router.run.wait_exit(seconds(5)), 0);
    for last in [100, 101, 102] {
        assert!(!live.router.host.holds([10, 77, 0, last]));
    }
}
