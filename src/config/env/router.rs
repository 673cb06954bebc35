//! The texts of one set of variables to its virtual router, or its two when `VIP` holds both families; knows what
//! the variables mean together.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::checks;
use super::raw::Raw;
use super::report::Report;
use crate::config::address::{self, AddressList};
use crate::config::value::{self, LeaseChoice};
use crate::config::variables::whole_name;
use crate::config::{RouterConfig, VirtualAddress, family};
use crate::health::Weight;
use crate::vrrp::{Family, Interval, Lease, Priority, Settings, Version};

/// Empty once a problem is noted.
pub(super) fn routers(number: u16, raw: &Raw, report: &mut Report<'_>) -> Vec<RouterConfig> {
    let divided = Divided::read(raw, report);
    let common = common(number, raw, report);
    let (Some(divided), Some(common)) = (divided, common) else { return vec![] };
    let families = [Family::V4, Family::V6].into_iter().filter(|family| divided.has(*family));
    let routers: Vec<_> =
        families.map(|family| divided.router(family, common.clone(), raw, report)).collect();
    if !routers.iter().any(|r| r.family() == Family::V4 && r.protocol.version == Version::V3) {
        report.unused("V3_CHECKSUM", "has no effect: nothing here speaks VRRPv3 over IPv4".into());
    }
    routers
}

/// What the routers of both families have in common; what they have not is empty still.
fn common(number: u16, raw: &Raw, report: &mut Report<'_>) -> Option<RouterConfig> {
    let vrid = report.value("VIRTUAL_ROUTER", raw, value::vrid);
    let interface = report.value("INTERFACE", raw, value::interface);
    let state_hint = report.value("STATE", raw, value::state);
    let priority = report.value("PRIORITY", raw, value::priority);
    let check = checks::check(raw, priority, report);
    let interval = report.value("ADVERT_INT", raw, value::advert_interval);
    let checksum = report.value("V3_CHECKSUM", raw, value::v3_checksum);
    let preempt = report.value("PREEMPT", raw, value::boolean);
    let preempt_delay = report.value("PREEMPT_DELAY", raw, value::preempt_delay);
    let auth = report.optional("AUTH_PASS", raw, value::password);
    let track = report.list("TRACK_INTERFACE", raw, "interface", value::interface_name);
    let fast = report.value("FAST_FAILOVER", raw, value::boolean);
    let garp_refresh = report.value("GARP_REFRESH", raw, value::refresh);
    let name = report.value("INSTANCE_NAME", raw, value::instance_name);
    let name = name.map(|name| if report.is_set("INSTANCE_NAME") { name } else { format!("VI_{number}") });
    let notify = report.optional("NOTIFY", raw, value::command);
    if preempt == Some(false) {
        report.unused("PREEMPT_DELAY", "has no effect with PREEMPT=false".into());
        let weight = check.as_ref().map_or(Weight::FAULT, |check| check.weight);
        if weight != Weight::FAULT && priority != Some(Priority::OWNER) {
            report.warn("PREEMPT", stuck(weight));
        }
    }
    Some(RouterConfig {
        number,
        name: name?,
        interface: interface?,
        home: Ipv4Addr::UNSPECIFIED.into(),
        state_hint: state_hint?,
        protocol: Rc::new(Settings {
            vrid: vrid?,
            version: Version::V2,
            priority: priority?,
            interval: interval?,
            preempt: preempt?,
            preempt_delay: preempt_delay?,
            auth,
            checksum: checksum?,
            peers: vec![],
            addresses: vec![],
            fast: fast?,
            refresh: garp_refresh?,
            lease: None,
        }),
        addresses: vec![],
        excluded: vec![],
        track,
        unicast_source: None,
        notify,
        check,
    })
}

/// A master keeps the addresses at any priority, where no backup preempts.
fn stuck(weight: Weight) -> String {
    format!(
        "is false, so CHECK_WEIGHT {weight} never moves the address: no backup replaces a live master, however \
         low it falls; set CHECK_WEIGHT=0, which gives the address up when a check fails, or PREEMPT=true"
    )
}

/// What is divided between the routers of the two families.
struct Divided {
    vip: Vec<VirtualAddress>,
    excluded: Vec<VirtualAddress>,
    peers: Vec<IpAddr>,
    sources: Vec<IpAddr>,
    /// `None`: what the family and the interval need.
    version: Option<Version>,
    lease: LeaseChoice,
}

impl Divided {
    /// `None` once a problem is noted.
    fn read(raw: &Raw, report: &mut Report<'_>) -> Option<Self> {
        let vip = report.required("VIP", raw).map(|text| addresses("VIP", text, report));
        let excluded = raw.text("VIP_EXCLUDED").map(|text| addresses("VIP_EXCLUDED", text, report));
        let peers = report.list("UNICAST_PEERS", raw, "address", value::host_address);
        let sources = match raw.text("UNICAST_SRC_IP").map(str::trim) {
            None | Some("auto") => vec![],
            Some(_) => report.list("UNICAST_SRC_IP", raw, "address", value::host_address),
        };
        if peers.is_empty() && !sources.is_empty() {
            report.unused("UNICAST_SRC_IP", "has no effect without UNICAST_PEERS".into());
        }
        let version = report.value("VRRP_VERSION", raw, value::version);
        let lease = report.value("VIP_LEASE", raw, value::lease);
        let (vip, excluded) = (vip?, excluded.unwrap_or_default());
        Some(Self { vip, excluded, peers, sources, version: version?, lease: lease? })
    }

    fn has(&self, family: Family) -> bool {
        self.vip.iter().any(|vip| of(family, &vip.address))
    }

    /// The first address of `family` that a subnet tells the place of, or the first of all.
    fn home(&self, family: Family) -> Option<IpAddr> {
        let ours = || self.vip.iter().map(|vip| vip.address).filter(|address| of(family, address));
        ours().find(|address| !link_local(address)).or_else(|| ours().next())
    }

    /// The router of `family`, which has an address at least, made from what both have in common.
    fn router(
        &self,
        family: Family,
        mut router: RouterConfig,
        raw: &Raw,
        report: &mut Report<'_>,
    ) -> RouterConfig {
        let mixed = self.has(Family::V4) && self.has(Family::V6);
        let ours = |vip: &&VirtualAddress| of(family, &vip.address);
        router.addresses = self.vip.iter().filter(ours).cloned().collect();
        let known = [Family::V4, family].into_iter().find_map(|family| self.home(family));
        router.home = known.unwrap_or(router.home);
        router.excluded = self.excluded.iter().filter(|vip| !mixed || ours(vip)).cloned().collect();
        if mixed && family == Family::V6 {
            router.name += "_v6";
        }
        let protocol = Rc::make_mut(&mut router.protocol);
        protocol.addresses = router.addresses.iter().map(|vip| vip.address).collect();
        protocol.version = self.version(family, protocol.interval, raw, report);
        if protocol.version == Version::V3 && protocol.auth.take().is_some() {
            report.warn("AUTH_PASS", format!("is not used for {family}: VRRPv3 has no authentication"));
        }
        protocol.peers = self.peers(family, router.number, mixed, raw, report);
        router.unicast_source = self.source(family, mixed, raw, report);
        protocol.lease = match self.lease {
            LeaseChoice::Auto => default_lease(protocol),
            LeaseChoice::Off => None,
            LeaseChoice::For(lease) => Some(lease),
        };
        vip_is_fit(family, &protocol.addresses, report);
        router
    }

    /// The version this family speaks; checks that it can, and that it can carry the interval.
    fn version(&self, family: Family, interval: Interval, raw: &Raw, report: &mut Report<'_>) -> Version {
        let written = |name| raw.text(name).unwrap_or_default();
        let version = match (family, self.version) {
            (Family::V6, Some(Version::V2)) => {
                let why = "cannot carry the IPv6 addresses of VIP; without it they go by VRRPv3";
                report.refuse("VRRP_VERSION", written("VRRP_VERSION"), why.into());
                return Version::V3;
            }
            (Family::V6, None) => {
                report.remark(log::Level::Info, "VIP", "holds IPv6 addresses: they go by VRRPv3".into());
                Version::V3
            }
            (Family::V4, None) if interval.fits(Version::V2) => Version::V2,
            (Family::V4, None) => {
                let why =
                    format!("of {interval} is not for VRRPv2: this is VRRPv3, as it must be on all nodes");
                report.warn("ADVERT_INT", why);
                Version::V3
            }
            (_, Some(version)) => version,
        };
        if !interval.fits(version) {
            let why = match version {
                Version::V2 => "must be whole seconds, 1 to 255, with VRRP_VERSION=2",
                Version::V3 => "must be 0.01 to 40.95 seconds with VRRPv3, which this is",
            };
            report.refuse("ADVERT_INT", written("ADVERT_INT"), why.into());
        }
        version
    }

    fn peers(
        &self,
        family: Family,
        number: u16,
        mixed: bool,
        raw: &Raw,
        report: &mut Report<'_>,
    ) -> Vec<IpAddr> {
        let (ours, others): (Vec<_>, Vec<_>) = self.peers.iter().partition(|peer| of(family, peer));
        if ours.is_empty() && !others.is_empty() {
            let why = format!("holds no {family} address, which {} needs", whole_name("VIP", number));
            report.refuse("UNICAST_PEERS", raw.text("UNICAST_PEERS").unwrap_or_default(), why);
        } else if !mixed {
            for other in others {
                report.unused("UNICAST_PEERS", format!("{other} is ignored: VIP holds {family} alone"));
            }
        }
        ours
    }

    fn source(&self, family: Family, mixed: bool, raw: &Raw, report: &mut Report<'_>) -> Option<IpAddr> {
        let mut ours = None;
        for &source in &self.sources {
            if !of(family, &source) {
                if !mixed {
                    report.unused("UNICAST_SRC_IP", format!("{source} is ignored: VIP holds {family} alone"));
                }
            } else if ours.replace(source).is_some() {
                let text = raw.text("UNICAST_SRC_IP").unwrap_or_default();
                report.refuse("UNICAST_SRC_IP", text, format!("holds more than one {family} address"));
            }
        }
        ours
    }
}

fn of(family: Family, address: &IpAddr) -> bool {
    self::family(address) == family
}

/// What an advert can carry, and what a router of the family should have first.
fn vip_is_fit(family: Family, addresses: &[IpAddr], report: &mut Report<'_>) {
    // IPv4: the count is an octet. IPv6: 40 octets of header, 8 of VRRP and 16 an address in an Ethernet frame's
    // 1500, since an advert is never fragmented.
    let most = if family == Family::V4 { 255 } else { 90 };
    let count = addresses.len();
    if count > most {
        let why = format!("are more than the {most} that one advert can carry; put the rest in VIP_EXCLUDED");
        report.refuse("VIP", &format!("{count} {family} addresses"), why);
    }
    if let Some(IpAddr::V6(v6)) = addresses.first().filter(|first| !link_local(first)) {
        let why =
            format!("{v6}: the first IPv6 address should be link-local, such as fe80::2 (RFC 9568 §5.2.9)");
        report.warn("VIP", why);
    }
}

pub(super) fn link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// As long as the others wait before one of them takes over: shorter, and a short hold-up would cost the
/// address before anybody else has it.
fn default_lease(protocol: &Settings) -> Option<Lease> {
    const LEAST: u32 = 3;
    let wait = protocol.master_down(protocol.priority, protocol.interval);
    let seconds = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).div_ceil(1_000);
    Lease::from_seconds(seconds.max(LEAST))
}

/// The good addresses of a list.
fn addresses(name: &str, text: &str, report: &mut Report<'_>) -> Vec<VirtualAddress> {
    let AddressList { addresses, problems, ignored } = address::parse(text);
    if addresses.is_empty() && problems.is_empty() {
        report.refuse(name, text, "holds no address".into());
    }
    for (value, why) in problems {
        report.refuse(name, &value, why);
    }
    for why in ignored {
        report.warn(name, why);
    }
    addresses
}
