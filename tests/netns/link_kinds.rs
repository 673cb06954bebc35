//! The lifeline and the guard on links that are more than an Ethernet port: a macvlan, a bridge, and one that is renamed
//! while in use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::asker::Asker;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::query::command;
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const VIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);

struct Nodes {
    a: Router,
    b: Router,
    /// Answered by whoever has an address.
    client: Asker,
    _lab: Lab,
}

/// Two routers, each on its host as `prepare` leaves it.
fn nodes(prepare: fn(Host) -> Host, variables: &[(&str, &str)]) -> Nodes {
    let lab = Lab::new();
    let [a, b, client] = [("a", 1), ("b", 2), ("client", 250)].map(|(name, n)| prepare(lab.host(name, n)));
    client.ip(&format!("address add fd00::250/64 nodad dev {}", client.interface));
    let router = |host, priority| {
        // The dead host keeps its addresses for longer than the test runs.
        let node = Node { advert_int: "0.1", ..Node::plain(priority) }.with("VIP_LEASE", "60");
        let with = |node: Node, (name, value): &(&str, &str)| node.with(name, *value);
        Router::start(Kind::Ours, host, &variables.iter().fold(node, with))
    };
    let (a, b) = (router(&a, 200), router(&b, 100));
    a.run.log.wait_for("(VI_1) Entering MASTER STATE", START);
    Nodes { a, b, client: Asker::new(&client), _lab: lab }
}

/// Each of so many virtual routers of the backup has a lifeline to a host with a guard.
fn is_covered(backup: &Router, routers: usize) {
    wait_until("the backup has its lifelines", seconds(9), || {
        let status = command(backup, &["status"]).1;
        let lines = || status.lines().filter(|line| line.trim_start().starts_with("lifeline:"));
        lines().filter(|line| line.contains(" connected ") && !line.contains("no address guard")).count()
            == routers
    });
}

/// Kills the master: the backup has every address at once, and the dead host answers for none.
fn is_replaced_at_once(nodes: &mut Nodes, addresses: &[IpAddr]) {
    is_covered(&nodes.b, addresses.len());
    let Nodes { a, b, client, .. } = nodes;
    let mark = b.run.log.mark();
    a.run.signal(Signal::SIGKILL);
    a.run.wait_exit(seconds(1));
    for name in ["VI_1", "VI_1_v6"].iter().take(addresses.len()) {
        let line =
            b.run.log.wait_for_after(mark, &format!("({name}) Entering MASTER STATE"), seconds(5)).text;
        assert!(line.ends_with(" died"), "{line}");
    }
    for address in addresses {
        assert!(a.host.holds(*address), "{address} is on the dead host until its lease ends");
        let mut question = client.question(*address);
        let mac: Vec<u8> =
            a.host.mac().split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
        question[..6].copy_from_slice(&mac);
        let until = Instant::now() + millis(300);
        assert_eq!(
            client.last_answer(&question, *address, until),
            None,
            "the dead host is silent for {address}"
        );
        assert!(client.is_answered(*address, millis(500)), "the backup answers for {address}");
    }
}

/// An interface of its own beside the host's, as containers get it.
fn on_macvlan(mut host: Host) -> Host {
    let address = Ipv4Addr::new(10, 78, 0, host.address.octets()[3]);
    host.batch(&format!(
        "link add lan0 link enp0s3 type macvlan mode bridge\nlink set lan0 up\naddress add {address}/24 dev lan0\n"
    ));
    (host.interface, host.address) = ("lan0".into(), address);
    host
}

#[test]
fn on_a_macvlan_a_killed_master_is_replaced_at_once_and_its_host_is_silent() {
    let vip = Ipv4Addr::new(10, 78, 0, 100);
    let mut nodes = nodes(on_macvlan, &[("VIP", "10.78.0.100 fd00::100")]);
    is_replaced_at_once(&mut nodes, &[vip.into(), VIP_V6.into()]);
}

/// The host's address is on a bridge, and its interface a port of that, as on hosts of virtual machines.
fn on_bridge(mut host: Host) -> Host {
    let address = host.address;
    host.batch(&format!(
        "address flush dev enp0s3\nlink add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         link set enp0s3 master br0\nlink set br0 up\naddress add {address}/24 dev br0\n"
    ));
    host.interface = "br0".into();
    host
}

#[test]
fn on_a_bridge_a_killed_master_is_replaced_at_once_and_its_host_is_silent() {
    let mut nodes = nodes(on_bridge, &[("VIP", "10.77.0.100 fd00::100")]);
    is_replaced_at_once(&mut nodes, &[Node::VIP.into(), VIP_V6.into()]);
}

/// `auto` means the link and not its name.
#[test]
fn on_a_link_that_was_renamed_a_killed_master_is_replaced_at_once_and_its_host_is_silent() {
    let mut nodes = nodes(|host| host, &[("INTERFACE", "auto"), ("VIP", "10.77.0.100 fd00::100")]);
    is_covered(&nodes.b, 2);
    for router in [&mut nodes.a, &mut nodes.b] {
        router.host.ip("link set enp0s3 name wan0");
        router.host.interface = "wan0".into();
        router.run.log.wait_for("VRID 51 on wan0", seconds(1));
    }
    // Backups that connect from now on find the listener as well.
    nodes.b = Router::start(Kind::Ours, &nodes.b.host, &nodes.b.node);
    nodes.b.run.log.wait_for("(VI_1) Entering BACKUP STATE", START);
    is_replaced_at_once(&mut nodes, &[Node::VIP.into(), VIP_V6.into()]);
}
