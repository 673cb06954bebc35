//! The syntax of virtual addresses, what keepalived's `virtual_ipaddress { }` takes: `10.0.0.2/24 dev eth0 label
//! eth0:1`, any number of them; knows no interfaces and no kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::VirtualAddress;
use super::syntax::unquoted;
use super::value::{self, Parsed, Value};

const NO_ADDRESS: &str = "is not an address such as 10.0.0.2, 10.0.0.2/24 or fd00::2";
const NO_OPTION: &str = "is neither an address nor an option that may follow one, such as dev or label";

/// The content of a list, with everything refused and everything ignored in it.
#[derive(Debug, Default, PartialEq, Eq)]
struct AddressList {
    /// The valid ones, in order, each address once.
    addresses: Vec<VirtualAddress>,
    /// The refused texts, and why.
    problems: Vec<(String, String)>,
    /// The ignored parts, each the rest of a sentence that begins with the variable.
    ignored: Vec<String>,
}

/// An address with its options, as far as they were read.
struct Entry<'a> {
    written: &'a str,
    /// `None` when it was refused; its options are still read, so that they are not taken for addresses.
    address: Option<(IpAddr, u8)>,
    device: Option<String>,
    label: Option<String>,
}

/// Virtual addresses, at least one.
pub(super) fn virtual_addresses(text: &str) -> Parsed<Vec<VirtualAddress>> {
    let AddressList { addresses, mut problems, ignored } = parse(text);
    if addresses.is_empty() && problems.is_empty() {
        problems.push((text.to_owned(), "contains no address".into()));
    }
    Parsed { value: Some(addresses), problems, warnings: ignored }
}

/// The addresses to send from, or `auto`: none.
pub(super) fn sources(text: &str) -> Parsed<Vec<IpAddr>> {
    if text.trim() == "auto" {
        return value::single(text, Ok(vec![]));
    }
    value::list(text, "address", host_address)
}

/// The address of one host.
pub(super) fn host_address(text: &str) -> Value<IpAddr> {
    let address = text.parse().map_err(|_| "must be an IP address such as 10.0.0.11 or fd00::11")?;
    match no_host(address) {
        None => Ok(address),
        Some(what) => Err(format!("must be the address of one host, but this is {what}")),
    }
}

/// Whether every interface has the subnet of `address`.
pub(super) fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Reads a list of addresses separated by comma, space or newline, each followed by its options.
fn parse(text: &str) -> AddressList {
    let mut list = AddressList::default();
    let mut entry: Option<Entry<'_>> = None;
    let words = text.lines().flat_map(|line| value::items(without_comment(line)));
    let mut words = words.map(|word| unquoted(word).unwrap_or(word));
    while let Some(word) = words.next() {
        let takes_value = match word {
            "dev" | "label" | "scope" | "brd" | "broadcast" | "peer" | "preferred_lft" => true,
            "noprefixroute" | "no_track" | "use_vmac" | "home" | "mngtmpaddr" | "autojoin" | "nodad"
            | "-nodad" => false,
            _ => {
                list.finish(entry.take());
                entry = Some(list.start(word));
                continue;
            }
        };
        let argument = if takes_value { words.next() } else { Some("") };
        match (&mut entry, argument) {
            (None, _) => list.refuse(word, "must follow an address"),
            (Some(entry), None) => list.refuse(format!("{} {word}", entry.written), "needs a value"),
            (Some(entry), Some(argument)) => list.apply(entry, word, argument),
        }
    }
    list.finish(entry);
    list
}

/// keepalived's comments: in other images the value is pasted into its configuration file.
fn without_comment(line: &str) -> &str {
    line.split(['#', '!']).next().unwrap_or(line)
}

impl AddressList {
    fn refuse(&mut self, value: impl Into<String>, why: impl Into<String>) {
        self.problems.push((value.into(), why.into()));
    }

    fn start<'a>(&mut self, word: &'a str) -> Entry<'a> {
        let address = match address(word) {
            Ok((address, _)) if self.addresses.iter().any(|known| known.address == address) => {
                self.refuse(word, "is listed twice");
                None
            }
            Ok(address) => Some(address),
            Err(why) => {
                self.refuse(word, why);
                None
            }
        };
        Entry { written: word, address, device: None, label: None }
    }

    fn finish(&mut self, entry: Option<Entry<'_>>) {
        let Some(Entry { address: Some((address, prefix)), device, label, .. }) = entry else { return };
        let (device, label) = (device.map(Into::into), label.map(Into::into));
        self.addresses.push(VirtualAddress { address, prefix, device, label });
    }

    /// Applies an option to its address, or notes why not.
    fn apply(&mut self, entry: &mut Entry<'_>, option: &str, argument: &str) {
        let full = format!("{option} {argument}");
        match entry.apply(option, argument) {
            Effect::Applied => {}
            Effect::Ignored(why) => {
                self.ignored.push(format!("{}: {} is ignored: {why}", entry.written, full.trim_end()));
            }
            Effect::Refused(why) => self.refuse(format!("{} {}", entry.written, full.trim_end()), why),
        }
    }
}

/// What became of an option.
enum Effect {
    Applied,
    /// It makes no difference to a virtual address.
    Ignored(&'static str),
    /// The address would differ from what was asked for.
    Refused(String),
}

impl Effect {
    /// Applied, unless the argument is refused.
    fn of<T>(argument: Value<T>, apply: impl FnOnce(T)) -> Self {
        argument.map_or_else(Self::Refused, |value| {
            apply(value);
            Self::Applied
        })
    }

    fn refused(why: &str) -> Self {
        Self::Refused(why.to_owned())
    }
}

impl Entry<'_> {
    fn apply(&mut self, option: &str, argument: &str) -> Effect {
        let is_host = self.address.is_none_or(|(address, prefix)| prefix == longest(address));
        let is_v6 = self.address.is_some_and(|(address, _)| address.is_ipv6());
        match (option, argument) {
            ("dev", name) => Effect::of(value::interface_name(name), |name| self.device = Some(name)),
            ("label", _) if is_v6 => Effect::Ignored("IPv6 addresses have no label"),
            ("label", text) => Effect::of(label(text), |text| self.label = Some(text)),
            // Every virtual address has these anyway.
            ("preferred_lft", lifetime) if is_v6 && lifetime != "0" => Effect::Ignored(
                "an IPv6 virtual address has preferred_lft 0, so that the host does not send from it",
            ),
            // The kernel sends from the primary IPv4 address whatever its preferred lifetime is.
            ("scope", "global" | "0") | ("preferred_lft", "0" | "forever") => Effect::Applied,
            ("nodad", _) if is_v6 => Effect::Applied,
            ("noprefixroute", _) if is_host => Effect::Applied,
            ("scope", _) => Effect::refused("is not supported: only scope global works"),
            ("noprefixroute", _) if is_v6 => {
                Effect::refused("is not supported: use /128, which adds no prefix route")
            }
            ("noprefixroute", _) => Effect::refused("is not supported: use /32, which adds no prefix route"),
            ("peer", _) => Effect::refused("is not supported: a virtual address has no peer"),
            ("use_vmac", _) => Effect::refused("is not supported: the interface keeps its own MAC address"),
            ("brd" | "broadcast", _) => Effect::Ignored("a virtual address gets no broadcast address"),
            ("no_track", _) => Effect::Ignored("a deleted virtual address is always restored"),
            ("-nodad", _) if is_v6 => {
                Effect::Ignored("there is no duplicate address detection for virtual addresses")
            }
            _ => Effect::Ignored("it does not apply to virtual addresses"),
        }
    }
}

/// The prefix length of a single host.
const fn longest(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `10.0.0.2` or `10.0.0.2/24`, `fd00::2` or `fd00::2/64`.
fn address(word: &str) -> Value<(IpAddr, u8)> {
    let (host, prefix) = word.split_once('/').map_or((word, None), |(host, prefix)| (host, Some(prefix)));
    let Ok(address) = host.parse::<IpAddr>() else {
        let like_an_address =
            word.contains(['.', ':', '/']) || word.starts_with(|c: char| c.is_ascii_digit());
        return Err(if like_an_address { NO_ADDRESS } else { NO_OPTION }.into());
    };
    let longest = longest(address);
    let prefix = match prefix {
        None => longest,
        Some(text) => value::integer(text)
            .filter(|prefix| (1..=longest).contains(prefix))
            .ok_or_else(|| format!("must have a prefix length of 1 to {longest}"))?,
    };
    match no_host(address) {
        None => Ok((address, prefix)),
        Some(what) => Err(format!("cannot be a virtual address: it is {what}")),
    }
}

/// What `address` is, if no host can use it to reach another one.
fn no_host(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("in the unspecified network 0.0.0.0/8"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some("the unspecified address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped IPv6 address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast group"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// A label that the kernel accepts (`IFA_LABEL`): it may be as long as an interface name.
fn label(text: &str) -> Value<String> {
    if text.len() > 15 || text.contains(char::is_control) {
        return Err("must have a label of at most 15 bytes".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good(text: &str) -> Vec<String> {
        let list = parse(text);
        assert_eq!((list.problems, list.ignored), (vec![], vec![]), "{text}");
        list.addresses.iter().map(ToString::to_string).collect()
    }

    /// The refused text and the reason of the only problem.
    fn bad(text: &str) -> (String, String) {
        let mut problems = parse(text).problems;
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        problems.remove(0)
    }

    fn refused(text: &str, value: &str, why: &str) {
        assert_eq!(bad(text), (value.to_owned(), why.to_owned()));
    }

    fn ignored(text: &str) -> Vec<String> {
        let list = parse(text);
        assert_eq!((list.problems, list.addresses.len()), (vec![], 1), "{text}");
        list.ignored
    }

    #[test]
    fn an_address_alone_is_a_host_address() {
        assert_eq!(good("10.0.0.2"), ["10.0.0.2/32"]);
    }

    #[test]
    fn prefix_device_and_label_are_kept() {
        assert_eq!(good("10.0.0.2/24 dev eth0 label eth0:1"), ["10.0.0.2/24 dev eth0 label eth0:1"]);
        assert_eq!(good("  10.0.0.2/24 label a scope global dev eth1 "), ["10.0.0.2/24 dev eth1 label a"]);
    }

    #[test]
    fn addresses_are_separated_by_newline_comma_or_space() {
        let expected = ["10.0.0.2/32", "10.0.0.3/24", "10.0.0.4/32"];
        for text in [
            "10.0.0.2 10.0.0.3/24 10.0.0.4",
            "10.0.0.2,10.0.0.3/24,10.0.0.4",
            "10.0.0.2, 10.0.0.3/24 , 10.0.0.4,",
            "\n10.0.0.2\n  10.0.0.3/24\r\n10.0.0.4\n",
        ] {
            assert_eq!(good(text), expected, "{text:?}");
        }
        assert_eq!(
            good("10.0.0.2/24 dev eth0, 10.0.0.3 dev eth1\n10.0.0.4"),
            ["10.0.0.2/24 dev eth0", "10.0.0.3/32 dev eth1", "10.0.0.4/32"]
        );
    }

    #[test]
    fn comments_of_keepalived_are_skipped() {
        assert_eq!(good("# both\n10.0.0.2 # web\n10.0.0.3 ! 10.0.0.9\n"), ["10.0.0.2/32", "10.0.0.3/32"]);
    }

    #[test]
    fn harmless_options_are_ignored_and_named() {
        assert_eq!(
            ignored("10.0.0.2/24 brd +"),
            ["10.0.0.2/24: brd + is ignored: a virtual address gets no broadcast address"]
        );
        assert_eq!(
            ignored("10.0.0.2 broadcast 10.0.0.255 dev eth0"),
            ["10.0.0.2: broadcast 10.0.0.255 is ignored: a virtual address gets no broadcast address"]
        );
        assert_eq!(
            ignored("10.0.0.2 no_track"),
            ["10.0.0.2: no_track is ignored: a deleted virtual address is always restored"]
        );
        for word in ["-nodad", "nodad", "home", "mngtmpaddr", "autojoin", "preferred_lft 10"] {
            assert_eq!(
                ignored(&format!("10.0.0.2 {word} dev eth0")),
                [format!("10.0.0.2: {word} is ignored: it does not apply to virtual addresses")]
            );
        }
    }

    #[test]
    fn options_that_are_the_default_anyway_make_no_warning() {
        assert_eq!(
            good("10.0.0.2 scope global preferred_lft forever noprefixroute dev eth0"),
            ["10.0.0.2/32 dev eth0"]
        );
        assert_eq!(good("10.0.0.2/24 preferred_lft 0"), ["10.0.0.2/24"]);
        assert_eq!(good("fd00::2/64 preferred_lft 0 dev eth0"), ["fd00::2/64 dev eth0"]);
        assert_eq!(
            ignored("fd00::2/64 preferred_lft forever"),
            [
                "fd00::2/64: preferred_lft forever is ignored: an IPv6 virtual address has preferred_lft 0, so that the \
              host does not send from it"
            ]
        );
    }

    #[test]
    fn options_that_would_change_the_address_are_refused() {
        refused("10.0.0.2 scope link", "10.0.0.2 scope link", "is not supported: only scope global works");
        refused(
            "10.0.0.2/24 noprefixroute",
            "10.0.0.2/24 noprefixroute",
            "is not supported: use /32, which adds no prefix route",
        );
        refused(
            "10.0.0.2 peer 10.0.0.3",
            "10.0.0.2 peer 10.0.0.3",
            "is not supported: a virtual address has no peer",
        );
        refused(
            "10.0.0.2 use_vmac",
            "10.0.0.2 use_vmac",
            "is not supported: the interface keeps its own MAC address",
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["10.0.0.300", "10.0.0", "10.0.0.2.3", "1234", "vip.example/24", "\"10.0.0.2", "10.0.0.02"]
        {
            refused(text, text, NO_ADDRESS);
        }
        assert_eq!(good("\"10.0.0.2\""), ["10.0.0.2/32"]);
        for text in ["localhost", "secondary"] {
            refused(text, text, NO_OPTION);
        }
    }

    #[test]
    fn a_prefix_length_is_1_to_32() {
        for text in ["10.0.0.2/33", "10.0.0.2/0", "10.0.0.2/", "10.0.0.2/-1", "10.0.0.2/255.255.255.0"] {
            refused(text, text, "must have a prefix length of 1 to 32");
        }
        assert_eq!(good("10.0.0.2/1 10.0.0.3/32"), ["10.0.0.2/1", "10.0.0.3/32"]);
    }

    #[test]
    fn an_address_is_listed_once_whatever_its_prefix() {
        refused("10.0.0.2 10.0.0.2", "10.0.0.2", "is listed twice");
        refused("10.0.0.2, 10.0.0.3, 10.0.0.2/24 dev eth0", "10.0.0.2/24", "is listed twice");
    }

    #[test]
    fn an_address_no_host_can_have_is_refused() {
        refused(
            "0.0.0.0",
            "0.0.0.0",
            "cannot be a virtual address: it is in the unspecified network 0.0.0.0/8",
        );
        refused("127.0.0.1/8", "127.0.0.1/8", "cannot be a virtual address: it is a loopback address");
        refused("224.0.0.18", "224.0.0.18", "cannot be a virtual address: it is a multicast group");
        refused(
            "255.255.255.255",
            "255.255.255.255",
            "cannot be a virtual address: it is the broadcast address",
        );
    }

    #[test]
    fn ipv6_addresses_go_in_the_same_list() {
        assert_eq!(
            good("fe80::2, 10.0.0.2/24, FD00::0:2/64 dev eth0\nfd00::3/1 nodad"),
            ["fe80::2/128", "10.0.0.2/24", "fd00::2/64 dev eth0", "fd00::3/1"]
        );
        refused("fd00::2 fd00:0::2/64", "fd00:0::2/64", "is listed twice");
        for text in ["fd00::2/129", "fd00::2/0", "fd00::2/"] {
            refused(text, text, "must have a prefix length of 1 to 128");
        }
        for text in ["fe80::2%eth0", "fd00::2::3", "[fd00::2]"] {
            refused(text, text, NO_ADDRESS);
        }
        for (text, what) in [
            ("::", "the unspecified address"),
            ("::1", "a loopback address"),
            ("ff02::12", "a multicast group"),
            ("::ffff:10.0.0.2", "an IPv4-mapped IPv6 address"),
        ] {
            refused(text, text, &format!("cannot be a virtual address: it is {what}"));
        }
    }

    #[test]
    fn options_that_ipv6_lacks_are_ignored_and_named() {
        assert_eq!(
            ignored("fd00::2 label eth0:1"),
            ["fd00::2: label eth0:1 is ignored: IPv6 addresses have no label"]
        );
        assert_eq!(
            ignored("fd00::2/64 -nodad home"),
            [
                "fd00::2/64: -nodad is ignored: there is no duplicate address detection for virtual addresses",
                "fd00::2/64: home is ignored: it does not apply to virtual addresses",
            ]
        );
        assert_eq!(good("fd00::2 noprefixroute"), ["fd00::2/128"]);
        refused(
            "fd00::2/64 noprefixroute",
            "fd00::2/64 noprefixroute",
            "is not supported: use /128, which adds no prefix route",
        );
    }

    #[test]
    fn device_and_label_names_must_fit_the_kernel() {
        let long = format!("10.0.0.2 dev {}", "x".repeat(128));
        refused(
            &long,
            &long,
            "must be an interface name: 1 to 15 bytes, or an altname of up to 127, without slash, colon, space or \
             quotes",
        );
        refused(
            "10.0.0.2 label eth0:0123456789ab",
            "10.0.0.2 label eth0:0123456789ab",
            "must have a label of at most 15 bytes",
        );
        assert_eq!(good("10.0.0.2 label eth0:0123456789"), ["10.0.0.2/32 label eth0:0123456789"]);
    }

    #[test]
    fn an_option_without_its_address_or_value_is_refused() {
        refused("dev eth0 10.0.0.2", "dev", "must follow an address");
        refused("10.0.0.2 dev", "10.0.0.2 dev", "needs a value");
    }

    #[test]
    fn the_options_of_a_refused_address_make_no_further_problems() {
        let list = parse("10.0.0.300/24 dev eth0 noprefixroute, 10.0.0.3");
        assert_eq!(list.problems.len(), 1);
        assert_eq!(list.addresses.len(), 1);
    }

    proptest! {
        #[test]
        fn a_list_is_read_back_from_how_it_displays(
            entries in prop::collection::btree_map(
                0x0100_0000_u32..0x7f00_0000,
                (1_u8..=32, prop::option::of("[a-z][a-z0-9.]{0,14}"), prop::option::of("[a-z:0-9]{1,15}")),
                1..20,
            ),
            separator in prop_oneof![Just(" "), Just(","), Just("\n"), Just(" ,\n ")],
        ) {
            let addresses: Vec<_> = entries.into_iter().map(|(bits, (prefix, device, label))| VirtualAddress {
                address: IpAddr::V4(Ipv4Addr::from_bits(bits)), prefix, device: device.map(Into::into), label: label.map(Into::into),
            }).collect();
            let text = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator);
            prop_assert_eq!(parse(&text), AddressList { addresses, ..AddressList::default() });
        }

        #[test]
        fn every_text_gives_addresses_or_a_reason(text in "[0-9./,:# a-z\n]{0,60}") {
            let list = parse(&text);
            for vip in &list.addresses {
                prop_assert!((1..=longest(vip.address)).contains(&vip.prefix));
            }
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = (host_address(&text), sources(&text), virtual_addresses(&text));
        }
    }
}
