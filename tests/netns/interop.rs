//! Our daemon with itself, Debian's keepalived and FRR: versions, address families, unicast and multicast.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running};
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::sampler::Sampler;
use crate::support::service::Haproxy;
use crate::support::{machine, millis, seconds, wait_until, wire};
use nix::sys::signal::Signal;

/// How long both hosts may hold an address while it moves, on a busy machine.
const OVERLAP: Duration = millis(150);
/// The longest move of an address, and the longest start: check, adverts, master-down interval and slack.
const MOVE: Duration = seconds(12);

/// The settings that both routers share.
#[derive(Clone, Default)]
struct Protocol {
    version: u8,
    interval: &'static str,
    /// Virtual addresses.
    vips: &'static [&'static str],
    password: Option<&'static str>,
    unicast: bool,
    /// More variables for ours.
    ours: Vec<(&'static str, &'static str)>,
}

const V4: &[&str] = &["10.77.0.100"];
const V6: &[&str] = &["fe80::100", "fd00::100"];
const MIXED: &[&str] = &["10.77.0.100", "fe80::100", "fd00::100"];

impl Protocol {
    fn new(version: u8, interval: &'static str, vips: &'static [&'static str]) -> Self {
        Self { version, interval, vips, ..Self::default() }
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.vips.iter().map(|vip| vip.parse().expect("an address")).collect()
    }

    /// The node of host 10.77.0.`number`; the other one is 3 - `number`.
    fn node(&self, priority: u8, number: u8) -> Node {
        let Self { version, interval, vips, .. } = self;
        let mut node = Node { advert_int: interval, vips: Some(vips.join("\n  ")), ..Node::plain(priority) };
        node.instance = format!("version {version}\n");
        node = node.with("VIP", vips.join(" "));
        if !self.has_both_families() {
            node = node.with("VRRP_VERSION", version.to_string());
        }
        if let Some(password) = self.password {
            let conf = format!(" authentication {{\n  auth_type PASS\n  auth_pass {password}\n }}\n");
            node.instance.push_str(&conf);
            node = node.with("AUTH_PASS", password);
        }
        if self.unicast {
            let other = 3 - number;
            let conf =
                format!(" unicast_src_ip 10.77.0.{number}\n unicast_peer {{\n  10.77.0.{other}\n }}\n");
            node.instance.push_str(&conf);
            node = node.with("UNICAST_PEERS", "10.77.0.1,10.77.0.2");
        }
        for (name, value) in &self.ours {
            node = node.with(name, *value);
        }
        node
    }

    fn has_both_families(&self) -> bool {
        let v6 = self.addresses().iter().filter(|a| a.is_ipv6()).count();
        v6 != 0 && v6 != self.vips.len()
    }
}

/// `a` of priority 200, 50 without its haproxy; `b` of 100.
struct Duel {
    kinds: [Kind; 2],
    nodes: [Node; 2],
    vips: Vec<IpAddr>,
    a: Router,
    b: Router,
    web: Option<Haproxy>,
    client: Host,
    _lab: Lab,
}

fn wait_link_local(host: &Host) {
    wait_until("the link-local address is no longer tentative", seconds(10), || {
        let text = host.ip("-o -6 address show dev enp0s3 scope link");
        text.contains("fe80::") && !text.contains("tentative")
    });
}

impl Duel {
    fn start(kinds: [Kind; 2], protocol: &Protocol) -> Self {
        Self::of(kinds, [protocol, protocol])
    }

    fn of(kinds: [Kind; 2], protocols: [&Protocol; 2]) -> Self {
        let lab = Lab::new();
        let hosts = [lab.host("a", 1), lab.host("b", 2)];
        let client = lab.host("client", 250);
        hosts.iter().chain([&client]).for_each(wait_link_local);
        let check = Some(Check::each_second("haproxy", -150));
        let nodes = [Node { check, ..protocols[0].node(200, 1) }, protocols[1].node(100, 2)];
        let vips = protocols[0].addresses();
        let a = Router::start(kinds[0], &hosts[0], &nodes[0]);
        let web = Some(Haproxy::start(&hosts[0], &a.run));
        a.run.log.wait_for("succeeded", seconds(5));
        let b = Router::start(kinds[1], &hosts[1], &nodes[1]);
        b.wait_backup(0, seconds(5));
        let duel = Self { kinds, nodes, vips, a, b, web, client, _lab: lab };
        duel.moved(&duel.a, &duel.b);
        duel
    }

    /// Waits until `to` alone has every address.
    fn moved(&self, to: &Router, from: &Router) {
        let what = format!("the addresses are on {}, not on {}", to.host.name, from.host.name);
        let has = |router: &Router| self.vips.iter().filter(|vip| router.host.holds(**vip)).count();
        wait_until(&what, MOVE, || has(to) == self.vips.len() && has(from) == 0);
    }

    /// Does `work` and checks that meanwhile no address is on two hosts for long, or on no host for `none`.
    fn watched(&mut self, what: &str, none: Duration, work: impl FnOnce(&mut Self)) {
        let hosts = [self.a.host.clone(), self.b.host.clone()];
        let samplers: Vec<_> =
            self.vips.iter().map(|vip| Sampler::start(&[&hosts[0], &hosts[1]], *vip)).collect();
        work(self);
        for (sampler, vip) in samplers.into_iter().zip(&self.vips) {
            let seen = sampler.finish();
            assert!(seen.several < OVERLAP, "{what}: {vip} on both for {:?}", seen.several);
            assert!(seen.none < none, "{what}: {vip} nowhere for {:?}", seen.none);
        }
    }

    /// The service dies and comes back.
    fn by_service(&mut self, none: Duration) {
        self.watched("the service dies", none, |duel| {
            duel.web.take().expect("it runs").kill();
            duel.moved(&duel.b, &duel.a);
        });
        self.watched("the service is back", none, |duel| {
            duel.web = Some(Haproxy::start(&duel.a.host, &duel.a.run));
            duel.moved(&duel.a, &duel.b);
        });
    }

    /// The router is stopped and started again.
    fn by_stop(&mut self, none: Duration) {
        self.watched("the router stops", none, |duel| {
            duel.a.run.signal(Signal::SIGTERM);
            duel.a.run.wait_exit(seconds(5));
            duel.moved(&duel.b, &duel.a);
        });
        self.watched("the router is back", none, |duel| {
            duel.web = None;
            duel.a = Router::start(duel.kinds[0], &duel.a.host, &duel.nodes[0]);
            duel.web = Some(Haproxy::start(&duel.a.host, &duel.a.run));
            duel.a.run.log.wait_for("succeeded", seconds(5));
            duel.moved(&duel.a, &duel.b);
        });
    }

    /// Nothing moves for `time`.
    fn rests(&self, time: Duration) {
        let hosts = [&self.a.host, &self.b.host];
        let marks = [self.a.run.log.mark(), self.b.run.log.mark()];
        let sampler = Sampler::start(&hosts, self.vips[0]);
        std::thread::sleep(time);
        let seen = sampler.finish();
        for (router, mark) in [&self.a, &self.b].into_iter().zip(marks) {
            assert_eq!(router.run.log.since(mark, "Entering"), Vec::<String>::new(), "nothing moves");
        }
        assert_eq!(seen.changes, 0, "{seen:?}");
        assert!(seen.none.is_zero() && seen.several.is_zero(), "{seen:?}");
    }

    /// Moves the address in every way; tshark must see `least` adverts and no fault.
    fn life(mut self, none: Duration) {
        self.rests(seconds(2));
        let capture =
            Capture::start(if self.is_unicast() { &self.b.host } else { &self.client }, "life", "proto 112");
        self.by_service(none);
        self.by_stop(none);
        let captured = capture.finish();
        assert_eq!(captured.complaints(), Vec::<Vec<String>>::new());
        for host in [&self.a.host, &self.b.host] {
            let mac = format!("eth.src == {}", host.mac());
            let heard = captured.tshark(&format!("vrrp && {mac}"), &["vrrp.version"]);
            assert!(!heard.is_empty(), "{} advertised", host.name);
        }
        self.rests(seconds(2));
    }

    fn is_unicast(&self) -> bool {
        self.nodes[0].instance.contains("unicast")
    }
}

/// Both roles with keepalived, one after the other.
fn with_keepalived(protocol: &Protocol, none: Duration) {
    for kinds in [[Kind::Ours, Kind::Keepalived], [Kind::Keepalived, Kind::Ours]] {
        eprintln!("{kinds:?}");
        Duel::start(kinds, protocol).life(none);
    }
}

/// IO-01, with the next tests; AU-01 against another implementation.
#[test]
fn with_keepalived_in_version_2_with_a_password() {
    let protocol = Protocol { password: Some("d0cker"), ..Protocol::new(2, "1", V4) };
    with_keepalived(&protocol, seconds(4));
}

/// OP-01.
#[test]
fn with_keepalived_in_version_2_by_unicast() {
    let protocol = Protocol { unicast: true, ..Protocol::new(2, "1", V4) };
    with_keepalived(&protocol, seconds(4));
}

/// IO-01.
#[test]
fn with_keepalived_in_version_3_ten_times_a_second() {
    with_keepalived(&Protocol::new(3, "0.1", V4), seconds(1));
}

/// IO-01.
#[test]
fn with_keepalived_in_version_3_over_ipv6() {
    with_keepalived(&Protocol::new(3, "1", V6), seconds(4));
}

/// IO-02.
#[test]
fn with_keepalived_in_version_3_a_hundred_times_a_second() {
    let _machine = machine::alone();
    for kinds in [[Kind::Ours, Kind::Keepalived], [Kind::Keepalived, Kind::Ours]] {
        let mut duel = Duel::start(kinds, &Protocol::new(3, "0.01", V4));
        duel.rests(seconds(5));
        duel.by_service(millis(300));
        duel.by_stop(millis(300));
    }
}

/// TX-18: a backup that waits only slightly more than three intervals never takes over.
#[test]
fn two_of_ours_a_hundred_times_a_second() {
    let _machine = machine::alone();
    let mut duel = Duel::start([Kind::Ours; 2], &Protocol::new(3, "0.01", V4));
    duel.rests(seconds(5));
    duel.by_service(millis(150));
    duel.by_stop(millis(150));
    // A crash: the master-down interval is 36 ms, and the lease removes the addresses of the dead host.
    duel.a.run.kill();
    wait_until("b takes over", seconds(1), || duel.b.host.holds(duel.vips[0]));
}

#[test]
fn two_of_ours_over_ipv6_are_followed_by_neighbors() {
    let duel = Duel::start([Kind::Ours; 2], &Protocol::new(3, "1", V6));
    duel.client.ip("-6 address add fd00::250/64 dev enp0s3 nodad");
    duel.client.ip("-6 neighbor add fd00::100 lladdr 02:00:00:00:00:01 dev enp0s3 nud stale");
    let mut duel = duel;
    let vip = duel.vips[1];
    duel.watched("the service dies", millis(300), |duel| {
        duel.web.take().expect("it runs").kill();
        duel.moved(&duel.b, &duel.a);
    });
    wait_until("the client has b's hardware address", seconds(1), || {
        duel.client.neighbor(vip) == Some(duel.b.host.mac())
    });
    duel.watched("the service is back", millis(300), |duel| {
        duel.web = Some(Haproxy::start(&duel.a.host, &duel.a.run));
        duel.moved(&duel.a, &duel.b);
    });
    wait_until("the client has a's hardware address", seconds(1), || {
        duel.client.neighbor(vip) == Some(duel.a.host.mac())
    });
    duel.life(millis(1_500));
}

#[test]
fn addresses_of_both_families_move_together() {
    let mut duel = Duel::start([Kind::Ours; 2], &Protocol::new(3, "1", MIXED));
    duel.rests(seconds(2));
    duel.by_service(millis(1_500));
    duel.by_stop(millis(1_500));
    // The IPv6 router cannot send, and the IPv4 router enters FAULT with it.
    duel.watched("a loses IPv6", seconds(6), |duel| {
        duel.a.host.inside(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/enp0s3/disable_ipv6", "1").expect("the host's own");
        });
        duel.moved(&duel.b, &duel.a);
    });
    duel.watched("a has IPv6 again", seconds(6), |duel| {
        duel.a.host.inside(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/enp0s3/disable_ipv6", "0").expect("the host's own");
        });
        duel.moved(&duel.a, &duel.b);
    });
}

/// AX-04.
#[test]
fn either_form_of_the_version_3_checksum_is_understood() {
    let pseudo = Protocol::new(3, "0.1", V4);
    let message = Protocol { ours: vec![("V3_CHECKSUM", "rfc9568")], ..pseudo.clone() };
    for (protocols, others) in
        [([&message, &message], false), ([&message, &pseudo], true), ([&pseudo, &message], true)]
    {
        let mut duel = Duel::of([Kind::Ours; 2], protocols);
        let capture = Capture::start(&duel.client, "checksum", "proto 112");
        duel.rests(seconds(1));
        let captured = capture.finish();
        let adverts = captured.adverts(None);
        assert!(adverts.len() >= 8, "{} adverts", adverts.len());
        for advert in adverts {
            let alone = wire::checksum(&advert.packet()[20..]) == 0;
            assert_eq!(alone, std::ptr::eq(protocols[0], &raw const message), "the configured form");
        }
        assert_eq!(counts_other_checksums(&duel.b), others);
        duel.by_service(millis(500));
    }
}

/// Whether the status on SIGUSR1 counts adverts with the other form.
fn counts_other_checksums(router: &Router) -> bool {
    let mark = router.run.log.mark();
    router.run.signal(Signal::SIGUSR1);
    let line = router.run.log.wait_for_after(mark, "with the other checksum", seconds(1)).text;
    !line.contains("(0 with the other checksum")
}

/// FRR's zebra and vrrpd on their own host, with the macvlan that they need. On a backup the macvlan is down.
struct Frr {
    host: Host,
    run: Option<Running>,
    conf: std::path::PathBuf,
    v6: bool,
}

impl Frr {
    /// A router of priority `priority` for the one address `vip`.
    fn new(host: Host, priority: u8, vip: IpAddr) -> Self {
        let frr = Self { conf: host.file("vrrpd.conf"), host, run: None, v6: vip.is_ipv6() };
        let (name, mac, prefix) = (frr.macvlan(), frr.mac(), if frr.v6 { "64 nodad" } else { "24" });
        let host = &frr.host;
        host.ip(&format!("link add {name} link enp0s3 address {mac} type macvlan mode bridge"));
        host.ip(&format!("address add {vip}/{prefix} dev {name}"));
        host.ip(&format!("link set {name} up"));
        let ip = if frr.v6 { "ipv6" } else { "ip" };
        let text = format!(
            "interface enp0s3\n vrrp 51 version 3\n vrrp 51 priority {priority}\n \
             vrrp 51 advertisement-interval 100\n vrrp 51 {ip} {vip}\n"
        );
        std::fs::write(&frr.conf, text).expect("a temporary file can be written");
        frr
    }

    /// The hardware address that sends its adverts.
    fn mac(&self) -> &'static str {
        if self.v6 { "00:00:5e:00:02:33" } else { "00:00:5e:00:01:33" }
    }

    fn macvlan(&self) -> &'static str {
        if self.v6 { "vrrp6-3-51" } else { "vrrp4-3-51" }
    }

    fn start(&mut self) {
        let script = "mount -t tmpfs tmpfs /var/tmp && mkdir /run/frr && chown frr /run/frr && : >/run/frr/zebra.conf\n\
                      /usr/lib/frr/zebra -f /run/frr/zebra.conf --log stdout &\nsleep 1\n\
                      /usr/lib/frr/vrrpd -f \"$0\" --log stdout";
        let args: [std::ffi::OsString; 3] = ["-c".into(), script.into(), self.conf.clone().into_os_string()];
        self.run = Some(Running::start(&self.host, Launch::PidOne, Path::new("/usr/bin/dash"), &args, &[]));
    }

    /// After a start: the macvlan is up for a moment before vrrpd takes it down.
    fn wait_master(&self) {
        let run = self.run.as_ref().expect("it was started");
        let family = if self.v6 { "IPv6" } else { "IPv4" };
        run.log.wait_for(&format!("[{family}] Backup -> Master"), seconds(8));
    }

    fn wait_holds(&self, wanted: bool) {
        wait_until(&format!("FRR is master: {wanted}"), seconds(8), || {
            let link = self.host.ip(&format!("-d link show {}", self.macvlan()));
            link.contains("state UP") == wanted && link.contains("protodown on") != wanted
        });
    }

    /// The source address of its adverts.
    fn source(&self) -> IpAddr {
        if !self.v6 {
            return self.host.address.into();
        }
        let text = self.host.ip(&format!("-o -6 address show dev {} scope link", self.macvlan()));
        let (_, rest) = text.split_once("inet6 ").expect("a link-local address");
        rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
    }
}

/// FRR first as the preferred router, then as the other one. Each time the preferred router stops and comes back.
fn with_vrrpd(vips: &'static [&'static str]) {
    let protocol = Protocol::new(3, "0.1", vips);
    let vip = protocol.addresses()[0];
    for (ours, theirs) in [(100, 200), (200, 100)] {
        let lab = Lab::new();
        let mut frr = Frr::new(lab.host("a", 1), theirs, vip);
        let host = lab.host("b", 2);
        wait_link_local(&host);
        frr.start();
        frr.wait_master();
        let capture = Capture::start(&host, "frr", "proto 112");
        let mut router = Router::start(Kind::Ours, &host, &protocol.node(ours, 2));
        if ours < theirs {
            router.run.log.wait_for(&format!("Master is {} (priority 200)", frr.source()), seconds(3));
            std::thread::sleep(seconds(1));
            assert!(!host.holds(vip), "FRR ranks higher");
            frr.run = None;
            takes(&router, vip, 0);
            let mark = router.run.log.mark();
            frr.start();
            router.wait_backup(mark, seconds(5));
            wait_until("the address is released", seconds(1), || !host.holds(vip));
            frr.wait_holds(true);
        } else {
            takes(&router, vip, 0);
            frr.wait_holds(false);
            router.run.signal(Signal::SIGTERM);
            router.run.wait_exit(seconds(5));
            assert!(!host.holds(vip));
            frr.wait_holds(true);
            router = Router::start(Kind::Ours, &host, &protocol.node(ours, 2));
            takes(&router, vip, 0);
            frr.wait_holds(false);
        }
        let captured = capture.finish();
        assert_eq!(captured.complaints(), Vec::<Vec<String>>::new());
        for mac in [frr.mac(), &host.mac()] {
            let fields = ["vrrp.version", "vrrp.checksum.status"];
            let adverts = captured.tshark(&format!("vrrp && eth.src == {mac}"), &fields);
            assert!(!adverts.is_empty(), "{mac} advertised");
        }
    }
}

/// Ours has become master and holds the address.
fn takes(router: &Router, vip: IpAddr, mark: usize) {
    router.run.log.wait_for_after(mark, "(VI_1) Entering MASTER STATE", seconds(3));
    wait_until("it holds the address", seconds(1), || router.host.holds(vip));
}

#[test]
fn with_vrrpd_of_frr_in_version_3() {
    with_vrrpd(V4);
}

/// FRR sends from the link-local address of its macvlan and lists only configured addresses, which do not include it.
#[test]
fn with_vrrpd_of_frr_in_version_3_over_ipv6() {
    with_vrrpd(&["fd00::100"]);
}
