//! The variables of one virtual router to its configuration, or to two when `VIP` has both families; knows what the
//! variables mean together.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;

use super::address::is_link_local;
use super::environment::ReadFile;
use super::model::{CheckConfig, NotifyConfig, RouterConfig, VirtualAddress, default_name};
use super::reader::Reader;
use super::value::LeaseChoice;
use super::variables::{
    ADVERT_INT, AUTH_PASS, FAST_FAILOVER, GARP_REFRESH, INSTANCE_NAME, INTERFACE, NOTIFY, NOTIFY_BACKUP,
    NOTIFY_FAULT, NOTIFY_MASTER, NOTIFY_STOP, NOTIFY_URL, PREEMPT, PREEMPT_DELAY, PRIORITY, STATE,
    TRACK_INTERFACE, UNICAST_PEERS, UNICAST_SRC_IP, V3_CHECKSUM, VIP, VIP_EXCLUDED, VIP_LEASE,
    VIRTUAL_ROUTER, VRRP_VERSION, full_name,
};
use super::{check, endpoint};
use crate::health::Weight;
use crate::vrrp::{Family, Interval, Lease, Priority, Settings, Version};

/// Where the names of receivers are looked up.
pub const HOSTS: &str = "/etc/hosts";

/// Empty once a problem is noted.
pub(super) fn routers(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Vec<RouterConfig> {
    let per_family = PerFamily::read(reader);
    let common = common(reader, read_file);
    let (Some(per_family), Some(common)) = (per_family, common) else { return vec![] };
    let families = [Family::V4, Family::V6].into_iter().filter(|family| per_family.has(*family));
    let routers: Vec<_> = families.map(|family| per_family.router(family, common.clone(), reader)).collect();
    if !routers.iter().any(|r| r.family() == Family::V4 && r.protocol.version == Version::V3) {
        reader.unused(&V3_CHECKSUM, "has no effect: no router here uses VRRPv3 over IPv4");
    }
    routers
}

/// What the routers of both families have in common; the rest is still empty. `None` once a problem is noted.
fn common(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<RouterConfig> {
    let protocol = protocol(reader);
    let interface = reader.value(&INTERFACE);
    let state_hint = reader.value(&STATE);
    let check = check::check(protocol.as_ref().map(|protocol| protocol.priority), reader, read_file);
    let track = reader.value(&TRACK_INTERFACE).unwrap_or_default();
    let name = reader.value(&INSTANCE_NAME);
    let notify = notify(reader, read_file);
    let protocol = protocol?;
    if !protocol.preempt {
        warn_without_preemption(&protocol, check.as_deref(), reader);
    }
    let number = reader.number();
    Some(RouterConfig {
        number,
        name: if reader.is_set(&INSTANCE_NAME) { name? } else { default_name(number) }.into(),
        interface: interface?,
        subnet_hint: Ipv4Addr::UNSPECIFIED.into(),
        state_hint: state_hint?,
        protocol: Rc::new(protocol),
        addresses: Box::default(),
        excluded: Box::default(),
        track: track.into(),
        unicast_source: None,
        notify,
        check,
    })
}

fn notify(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> NotifyConfig {
    let url = reader.value(&NOTIFY_URL);
    let hosts =
        || read_file(Path::new(HOSTS)).map_err(|e| format!("has a name, and {HOSTS} cannot be read: {e}"));
    let url =
        url.map(|url| endpoint::resolve(&url, hosts).map_err(|why| reader.refuse_text(&NOTIFY_URL, why)));
    let mut program = |row| reader.value(row).map(Into::into);
    NotifyConfig {
        any: program(&NOTIFY),
        master: program(&NOTIFY_MASTER),
        backup: program(&NOTIFY_BACKUP),
        fault: program(&NOTIFY_FAULT),
        stop: program(&NOTIFY_STOP),
        url: url.and_then(Result::ok).map(Rc::new),
    }
}

fn protocol(reader: &mut Reader<'_>) -> Option<Settings> {
    let vrid = reader.value(&VIRTUAL_ROUTER);
    let priority = reader.value(&PRIORITY);
    let interval = reader.value(&ADVERT_INT);
    let checksum = reader.value(&V3_CHECKSUM);
    let preempt = reader.value(&PREEMPT);
    let preempt_delay = reader.value(&PREEMPT_DELAY);
    let auth = reader.value(&AUTH_PASS);
    let fast = reader.value(&FAST_FAILOVER);
    let refresh = reader.value(&GARP_REFRESH);
    Some(Settings {
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
        refresh: refresh?,
        lease: None,
    })
}

fn warn_without_preemption(protocol: &Settings, check: Option<&CheckConfig>, reader: &mut Reader<'_>) {
    reader.unused(&PREEMPT_DELAY, "has no effect with PREEMPT=false");
    let weight = check.map_or(Weight::FAULT, |check| check.weight);
    if weight != Weight::FAULT && protocol.priority != Priority::OWNER {
        // A master keeps the addresses at any priority if no backup preempts.
        let why = format!(
            "is false, so CHECK_WEIGHT {weight} never moves the address: no backup replaces a live master, no \
             matter how low its priority drops; set CHECK_WEIGHT=0 to release the address when a check fails, or PREEMPT=true"
        );
        reader.warn(&PREEMPT, why);
    }
}

/// The values that differ between the routers of the two families.
struct PerFamily {
    vip: Vec<VirtualAddress>,
    excluded: Vec<VirtualAddress>,
    peers: Vec<IpAddr>,
    sources: Vec<IpAddr>,
    /// `None`: what the family and the interval need.
    version: Option<Version>,
    lease: LeaseChoice,
}

impl PerFamily {
    /// `None` once a problem is noted.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let vip = reader.value(&VIP);
        let excluded = reader.value(&VIP_EXCLUDED);
        let peers = reader.value(&UNICAST_PEERS).unwrap_or_default();
        let sources = reader.value(&UNICAST_SRC_IP).unwrap_or_default();
        if peers.is_empty() && !sources.is_empty() {
            reader.unused(&UNICAST_SRC_IP, "has no effect without UNICAST_PEERS");
        }
        let version = reader.value(&VRRP_VERSION);
        let lease = reader.value(&VIP_LEASE);
        let (vip, excluded) = (vip?, excluded.unwrap_or_default());
        Some(Self { vip, excluded, peers, sources, version: version?, lease: lease? })
    }

    fn has(&self, family: Family) -> bool {
        self.vip.iter().any(|vip| Family::of(vip.address) == family)
    }

    /// The first address of `family` that is not link-local, else the first one.
    fn subnet_hint(&self, family: Family) -> Option<IpAddr> {
        let ours = || self.vip.iter().map(|vip| vip.address).filter(|address| Family::of(*address) == family);
        ours().find(|address| !is_link_local(address)).or_else(|| ours().next())
    }

    /// The router of `family`, which has at least one address, completed from what both have in common.
    fn router(&self, family: Family, mut router: RouterConfig, reader: &mut Reader<'_>) -> RouterConfig {
        let mixed = self.has(Family::V4) && self.has(Family::V6);
        let ours = |vip: &&VirtualAddress| Family::of(vip.address) == family;
        router.addresses = self.vip.iter().filter(ours).cloned().collect();
        let known = [Family::V4, family].into_iter().find_map(|family| self.subnet_hint(family));
        router.subnet_hint = known.unwrap_or(router.subnet_hint);
        router.excluded = self.excluded.iter().filter(|vip| !mixed || ours(vip)).cloned().collect();
        if mixed && family == Family::V6 {
            router.name = format!("{}_v6", router.name).into();
        }
        let protocol = Rc::make_mut(&mut router.protocol);
        protocol.addresses = router.addresses.iter().map(|vip| vip.address).collect();
        protocol.version = self.version(family, protocol.interval, reader);
        if protocol.version == Version::V3 && protocol.auth.take().is_some() {
            reader.warn(&AUTH_PASS, format!("is not used for {family}: VRRPv3 has no authentication"));
        }
        protocol.peers = self.peers(family, (router.number, protocol.priority), mixed, reader);
        router.unicast_source = self.source(family, mixed, reader);
        protocol.lease = match self.lease {
            LeaseChoice::Auto => default_lease(protocol),
            LeaseChoice::Off => None,
            LeaseChoice::For(lease) => Some(lease),
        };
        check_addresses(family, &protocol.addresses, reader);
        router
    }

    /// The version this family speaks; checks that it can, and that it can carry the interval.
    fn version(&self, family: Family, interval: Interval, reader: &mut Reader<'_>) -> Version {
        let version = match (family, self.version) {
            (Family::V6, Some(Version::V2)) => {
                let why = "does not support the IPv6 addresses in VIP; unset it to use VRRPv3";
                reader.refuse_text(&VRRP_VERSION, why);
                return Version::V3;
            }
            (Family::V6, None) => {
                reader.inform(&VIP, "contains IPv6 addresses: they use VRRPv3");
                Version::V3
            }
            (Family::V4, None) if interval.fits(Version::V2) => Version::V2,
            (Family::V4, None) => {
                let why = format!(
                    "of {interval} needs VRRPv3, which this router uses; all nodes must use the same version"
                );
                reader.warn(&ADVERT_INT, why);
                Version::V3
            }
            (_, Some(version)) => version,
        };
        if !interval.fits(version) {
            let why = match version {
                Version::V2 => "must be whole seconds, 1 to 255, with VRRP_VERSION=2",
                Version::V3 => "must be 0.01 to 40.95 seconds with VRRPv3, which this router uses",
            };
            reader.refuse_text(&ADVERT_INT, why);
        }
        version
    }

    fn peers(
        &self,
        family: Family,
        (number, priority): (u16, Priority),
        mixed: bool,
        reader: &mut Reader<'_>,
    ) -> Vec<IpAddr> {
        let (ours, others): (Vec<_>, Vec<_>) =
            self.peers.iter().partition(|peer| Family::of(**peer) == family);
        if ours.is_empty() && !others.is_empty() {
            let why = format!("contains no {family} address, which {} needs", full_name(VIP.name, number));
            reader.refuse_text(&UNICAST_PEERS, why);
        } else if !mixed {
            for other in others {
                reader.unused(&UNICAST_PEERS, format!("{other} is ignored: VIP has only {family} addresses"));
            }
        }
        let is_virtual = |peer: &&IpAddr| self.vip.iter().any(|vip| vip.address == **peer);
        if priority != Priority::OWNER
            && let Some(peer) = ours.iter().find(is_virtual)
        {
            let why = format!("{peer} is in VIP: no advert is sent to it; list the nodes' own addresses");
            reader.warn(&UNICAST_PEERS, why);
        }
        ours
    }

    fn source(&self, family: Family, mixed: bool, reader: &mut Reader<'_>) -> Option<IpAddr> {
        let mut ours = None;
        for &source in &self.sources {
            if Family::of(source) != family {
                if !mixed {
                    reader.unused(
                        &UNICAST_SRC_IP,
                        format!("{source} is ignored: VIP has only {family} addresses"),
                    );
                }
            } else if ours.replace(source).is_some() {
                reader.refuse_text(&UNICAST_SRC_IP, format!("contains more than one {family} address"));
            }
        }
        ours
    }
}

/// Checks that the addresses fit in one advert, and that the first one suits the family.
fn check_addresses(family: Family, addresses: &[IpAddr], reader: &mut Reader<'_>) {
    // IPv4: the count is one octet. IPv6: an advert is never fragmented, and 1500 octets of an Ethernet frame have
    // room for 40 of IPv6 header, 8 of VRRP header and 16 per address.
    let most = if family == Family::V4 { 255 } else { 90 };
    let count = addresses.len();
    if count > most {
        let why = format!("are more than the {most} that fit in one advert; move the rest to VIP_EXCLUDED");
        reader.refuse(&VIP, &format!("{count} {family} addresses"), why);
    }
    if let Some(IpAddr::V6(v6)) = addresses.first().filter(|first| !is_link_local(first)) {
        let why =
            format!("{v6}: the first IPv6 address should be link-local, such as fe80::2 (RFC 9568 §5.2.9)");
        reader.warn(&VIP, why);
    }
}

/// As long as the others wait before one of them takes over: with a shorter one, a short pause of this process would
/// remove the address before another node has it.
fn default_lease(protocol: &Settings) -> Option<Lease> {
    const LEAST: u32 = 3;
    let wait = protocol.master_down(protocol.priority, protocol.interval);
    let seconds = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).div_ceil(1_000);
    Lease::from_seconds(seconds.max(LEAST))
}
