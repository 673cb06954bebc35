//! The address guard in nf_tables against a real kernel, in a network namespace of its own. `nft` shows what is there.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use vrrp_init::sys::nftables::{self, Guard, MOST, Silence, is_gone};

/// Runs `work` on a thread in a network namespace of its own.
fn alone(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("this test makes namespaces and has to run as root");
            work();
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn nft(command: &str) -> String {
    let output =
        Command::new("nft").args(command.split_whitespace()).output().expect("nftables is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "nft {command}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

fn ruleset() -> String {
    nft("list ruleset")
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn both() -> [IpAddr; 2] {
    [address("10.9.0.100"), address("fd00::100")]
}

fn create(addresses: &[IpAddr]) -> Guard {
    Guard::create(nftables::name(addresses[0]), addresses).unwrap()
}

fn silence(text: &str, seconds: u64, known: bool) -> Silence {
    Silence { address: address(text), time: Duration::from_secs(seconds), known }
}

/// The rules of a table in `nft list table`, without white space at their beginning.
fn rules(table: &str) -> Vec<String> {
    let text = nft(&format!("list table {table}"));
    let is_rule = |line: &&str| line.contains(" meta mark ");
    text.lines().map(str::trim).filter(is_rule).map(str::to_owned).collect()
}

#[test]
fn the_tables_read_as_they_are_meant() {
    alone(|| {
        let mut guard = create(&both());
        guard.silence(&[silence("10.9.0.100", 50, false), silence("fd00::100", 60, false)]).unwrap();
        let [arp, ip6] = ["arp vrrp-init-10.9.0.100", "ip6 vrrp-init-10.9.0.100"];
        let packets = [
            (arp, vec!["arp daddr ip @addresses", "arp saddr ip @addresses"]),
            (
                ip6,
                vec![
                    "icmpv6 type nd-neighbor-solicit @th,64,128 @addresses",
                    "icmpv6 type nd-neighbor-solicit ip6 saddr @addresses",
                    "icmpv6 type nd-neighbor-advert @th,64,128 @addresses",
                ],
            ),
        ];
        for (table, packets) in packets {
            let expected = |action: &[&str]| -> Vec<_> {
                packets
                    .iter()
                    .flat_map(|of| action.iter().map(move |action| format!("{of} {action}")))
                    .collect()
            };
            assert_eq!(rules(table), expected(&["meta mark != 0x76727270 drop", "meta mark set 0x00000000"]));
            assert_eq!(rules(&format!("{table}-alive")), expected(&["meta mark set 0x76727270"]));
            assert!(nft(&format!("list table {table}-alive")).contains("flags owner"));
        }
        assert!(
            nft("list set arp vrrp-init-10.9.0.100 addresses").contains("10.9.0.100 timeout 50s expires 49s")
        );
        assert!(
            nft("list set ip6 vrrp-init-10.9.0.100 addresses").contains("fd00::100 timeout 1m expires 59s")
        );
        drop(guard);
        assert_eq!(ruleset(), "");
    });
}

/// In tens of seconds, rounded; `None` if the address is not silenced.
fn left(address: &str) -> Option<u64> {
    let text = nft("list table arp vrrp-init-10.9.0.100");
    let (_, rest) = text.split_once(&format!("{address} timeout "))?;
    let (_, rest) = rest.split_once("expires ")?;
    let seconds: u64 = rest.split(['s', 'm']).next()?.parse().ok()?;
    Some((seconds + 5) / 10)
}

#[test]
fn a_renewal_extends_the_time_and_an_unknown_address_changes_nothing() {
    alone(|| {
        let addresses = ["10.9.0.100", "10.9.0.101"].map(address);
        let mut guard = create(&addresses);
        guard.silence(&[silence("10.9.0.100", 20, false)]).unwrap();
        guard.silence(&[silence("10.9.0.100", 50, true), silence("10.9.0.101", 30, false)]).unwrap();
        assert_eq!([left("10.9.0.100"), left("10.9.0.101")], [Some(5), Some(3)]);
        nft("delete element arp vrrp-init-10.9.0.100 addresses { 10.9.0.101 }");
        // Since Linux 6.12 a renewal puts back what is missing; before, it is refused as a whole.
        match guard.silence(&[silence("10.9.0.100", 10, true), silence("10.9.0.101", 10, true)]) {
            Ok(()) => assert_eq!([left("10.9.0.100"), left("10.9.0.101")], [Some(1), Some(1)]),
            Err(gone) => {
                assert!(is_gone(&gone), "{gone}");
                assert_eq!([left("10.9.0.100"), left("10.9.0.101")], [Some(5), None]);
            }
        }
        guard.restore().unwrap();
        assert_eq!([left("10.9.0.100"), left("10.9.0.101")], [None, None]);
        guard.silence(&[silence("10.9.0.100", 10, false)]).unwrap();
        assert_eq!(left("10.9.0.100"), Some(1));
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the kernel counts the real time")]
fn a_renewal_by_the_same_time_begins_it_anew() {
    alone(|| {
        let mut guard = create(&[address("10.9.0.100")]);
        for known in [false, true, true] {
            guard.silence(&[silence("10.9.0.100", 2, known)]).unwrap();
            std::thread::sleep(Duration::from_millis(1_200));
            let text = nft("list set arp vrrp-init-10.9.0.100 addresses");
            assert!(text.contains("expires"), "{text}");
        }
    });
}

#[test]
fn a_removed_table_is_gone_and_comes_back() {
    alone(|| {
        let mut guard = create(&both());
        nft("flush ruleset");
        assert!(ruleset().contains("-alive"), "it belongs to this process: {}", ruleset());
        let gone = guard.silence(&[silence("10.9.0.100", 10, false)]).unwrap_err();
        assert!(is_gone(&gone), "{gone}");
        guard.restore().unwrap();
        if let Err(gone) = guard.silence(&[silence("10.9.0.100", 10, true)]) {
            assert!(is_gone(&gone), "{gone}");
            guard.silence(&[silence("10.9.0.100", 10, false)]).unwrap();
        }
        assert_eq!(left("10.9.0.100"), Some(1));
    });
}

#[test]
fn as_many_addresses_as_there_can_be_are_let_through() {
    alone(|| {
        let addresses: Vec<IpAddr> =
            (0..2_000_u16).map(|n| [10, 9, n.to_be_bytes()[0], n.to_be_bytes()[1]].into()).collect();
        let mut guard = create(&addresses);
        let silences: Vec<_> = addresses[..MOST]
            .iter()
            .map(|address| Silence { address: *address, time: Duration::from_secs(9), known: false })
            .collect();
        guard.silence(&silences).unwrap();
        let again: Vec<_> = silences.iter().map(|silence| Silence { known: true, ..*silence }).collect();
        guard.silence(&again).unwrap();
        assert_eq!(nft("list table arp vrrp-init-10.9.0.0-alive").matches("10.9.").count(), 2_000 + 1);
    });
}

#[test]
fn examining_changes_nothing_and_says_what_creating_would() {
    alone(|| {
        Guard::examine(&both()).unwrap();
        assert_eq!(ruleset(), "");
        let _guard = create(&both());
        Guard::examine(&both()).unwrap();
        let before = ruleset();
        let refused = Guard::create(nftables::name(both()[0]), &both()).unwrap_err().to_string();
        assert!(refused.ends_with("another vrrp-init on this host has the same first address"), "{refused}");
        assert_eq!(ruleset(), before);
    });
}

#[test]
fn a_guard_is_removed_by_its_name() {
    alone(|| {
        nft("add table arp other");
        let guard = create(&both());
        nftables::remove_guard(&nftables::name(both()[0]));
        assert!(!ruleset().contains("vrrp-init-10.9.0.100 {"), "{}", ruleset());
        drop(guard);
        assert_eq!(ruleset(), "table arp other {\n}\n");
    });
}
