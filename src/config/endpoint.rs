//! The endpoints of checks, `host:port` and `http://host/path`; resolves no names and opens no connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::model::{DnsTarget, HttpTarget, StatusRange};
use super::value::{self, Value};

const HTTP_PORT: u16 = 80;
const DNS_PORT: u16 = 53;

/// The types of records that can be asked for.
const RECORDS: [(&str, u16); 8] =
    [("A", 1), ("NS", 2), ("SOA", 6), ("PTR", 12), ("MX", 15), ("TXT", 16), ("AAAA", 28), ("SRV", 33)];

/// `127.0.0.1:80`, `[::1]:80` or `localhost:80`.
pub(super) fn tcp(text: &str) -> Value<SocketAddr> {
    address(text, None).ok_or_else(|| {
        "must be host:port, such as 127.0.0.1:80, [::1]:80 or localhost:80; other names are not resolved"
            .into()
    })
}

/// `http://` and a host as in [`tcp`]; port, path and query are optional.
pub(super) fn http(text: &str) -> Value<HttpTarget> {
    let Url { host, path } = url(text, "check a page over plain http, or the port with CHECK_TCP")?;
    let address = address(&host, Some(HTTP_PORT))
        .ok_or("must name an IP address or localhost, and a port if not 80; other names are not resolved")?;
    Ok(HttpTarget { address, host, path })
}

/// A host with or without a port, and a path with its query.
struct Url {
    host: String,
    path: String,
}

/// A URL whose host may be any name.
pub(super) fn receiver(text: &str) -> Value<String> {
    let text = text.trim();
    let instead = "send to a receiver or a proxy that takes plain http, or run a program with NOTIFY";
    let Url { host: name, .. } = url(text, instead)?;
    if address(&name, Some(HTTP_PORT)).is_none() {
        name_and_port(&host(&name)?)?;
    }
    Ok(text.to_owned())
}

fn name_and_port(host: &str) -> Value<(&str, u16)> {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    match value::integer(port) {
        Some(port) if port != 0 && !name.is_empty() && !name.starts_with('[') => Ok((name, port)),
        Some(_) | None => Err("must be a URL such as http://10.0.0.5:9093/hook".into()),
    }
}

/// What [`receiver`] has accepted, with the address of its host, which may be a name in `hosts`, the content of /etc/hosts.
pub(super) fn resolve(text: &str, hosts: impl FnOnce() -> Value<Vec<u8>>) -> Value<HttpTarget> {
    let Url { host, path } = url(text, "")?;
    if let Some(address) = address(&host, Some(HTTP_PORT)) {
        return Ok(HttpTarget { address, host, path });
    }
    let (name, port) = name_and_port(&host)?;
    let ip = find_host(&hosts()?, name).ok_or_else(|| {
        format!(
            "names {name}, which is not in /etc/hosts: set its IP address, or add it there (compose: extra_hosts; \
             Kubernetes: hostAliases); no DNS server is asked, so that no failover waits for one"
        )
    })?;
    Ok(HttpTarget { address: SocketAddr::new(ip, port), host, path })
}

/// hosts(5): an address and its names, a line each, with comments.
fn find_host(hosts: &[u8], name: &str) -> Option<IpAddr> {
    let lines = hosts.split(|octet| *octet == b'\n').filter_map(|line| str::from_utf8(line).ok());
    let mut found = lines.filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|known| known.eq_ignore_ascii_case(name)).then_some(address)
    });
    found.next()
}

fn url(text: &str, instead: &str) -> Value<Url> {
    let scheme =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if scheme("https://") {
        return Err(format!("uses https, which is not supported: {instead}"));
    }
    if !scheme("http://") {
        return Err("must be a URL such as http://localhost:8080/health".into());
    }
    let rest = &text["http://".len()..];
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, _fragment) = path.split_once('#').unwrap_or((path, ""));
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must have a path of ASCII characters; encode others as in %C3%A9".into());
    }
    let root = if path.starts_with('/') { "" } else { "/" };
    Ok(Url { host: host.to_owned(), path: format!("{root}{path}") })
}

/// A name and its resolver, `example.com@127.0.0.1:53`; the port and, after a slash, the type of the record are optional.
pub(super) fn dns(text: &str) -> Value<DnsTarget> {
    let why = "must be name@resolver, such as example.com@127.0.0.1 or example.com/AAAA@[::1]:53";
    let (question, resolver) = text.rsplit_once('@').ok_or(why)?;
    let address = address(resolver, Some(DNS_PORT)).ok_or(
        "must name an IP address or localhost after @, and a port if not 53; other names are not resolved",
    )?;
    let (name, record) = question.split_once('/').unwrap_or((question, RECORDS[0].0));
    let record = RECORDS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(record));
    let record = record.ok_or("must ask for A, AAAA, MX, NS, PTR, SOA, SRV or TXT")?;
    let is_label = |label: &str| {
        let is_octet = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        (1..=63).contains(&label.len()) && label.bytes().all(is_octet)
    };
    let bare = name.strip_suffix('.').filter(|bare| !bare.is_empty()).unwrap_or(name);
    if bare != "." && (bare.len() > 253 || !bare.split('.').all(is_label)) {
        return Err(why.into());
    }
    Ok(DnsTarget { address, name: bare.to_owned(), record })
}

/// The text of a `Host` header: a name or an address, with or without a port.
pub(super) fn host(text: &str) -> Value<String> {
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    if !text.is_empty() && text.bytes().all(is_host) {
        return Ok(text.to_owned());
    }
    Err("must be a name or an address, with a port or without, such as www.example.org".into())
}

/// `204`, or `200-299`.
pub(super) fn status(text: &str) -> Value<StatusRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| value::integer(text).filter(|code| (100..=599).contains(code));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err("must be a status of 100 to 599, or a range such as 200-299".into()),
    }
}

/// `None` for a name other than `localhost`, for port 0, and for a missing port where there is no `usual_port`.
fn address(text: &str, usual_port: Option<u16>) -> Option<SocketAddr> {
    const LOCALHOST: &str = "localhost";
    let local;
    let text = match text.get(..LOCALHOST.len()) {
        Some(name) if name.eq_ignore_ascii_case(LOCALHOST) => {
            local = format!("{}{}", Ipv4Addr::LOCALHOST, &text[LOCALHOST.len()..]);
            &local
        }
        Some(_) | None => text,
    };
    let without_port = |port| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let ip: IpAddr = match bare {
            Some(v6) => IpAddr::V6(v6.parse().ok()?),
            None => IpAddr::V4(text.parse().ok()?),
        };
        Some(SocketAddr::new(ip, port))
    };
    text.parse().ok().or_else(|| without_port(usual_port?)).filter(|address: &SocketAddr| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(text: &str) -> (String, String, String) {
        let HttpTarget { address, host, path } = http(text).unwrap();
        (address.to_string(), host, path)
    }

    fn target(address: &str, host: &str, path: &str) -> (String, String, String) {
        (address.into(), host.into(), path.into())
    }

    #[test]
    fn a_port_is_given_with_its_host() {
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("10.0.0.7:65535", "10.0.0.7:65535"),
            ("[::1]:443", "[::1]:443"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:1", "127.0.0.1:1"),
        ] {
            assert_eq!(tcp(text).map(|a| a.to_string()), Ok(address.into()), "{text}");
        }
        for text in [
            "80",
            ":80",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "::1:80",
            "[::1]",
            "localhost",
            "web:80",
            "localhost.example:80",
            "http://127.0.0.1:80",
            "",
        ] {
            assert_eq!(
                tcp(text).unwrap_err(),
                "must be host:port, such as 127.0.0.1:80, [::1]:80 or localhost:80; other names are not resolved",
                "{text}"
            );
        }
    }

    #[test]
    fn a_page_is_a_url_whose_port_and_path_may_be_missing() {
        assert_eq!(page("http://127.0.0.1"), target("127.0.0.1:80", "127.0.0.1", "/"));
        assert_eq!(
            page("HTTP://localhost:8080/health"),
            target("127.0.0.1:8080", "localhost:8080", "/health")
        );
        assert_eq!(page("http://[::1]/a?b=c#d"), target("[::1]:80", "[::1]", "/a?b=c"));
        assert_eq!(page("http://[::1]:81?b"), target("[::1]:81", "[::1]:81", "/?b"));
        assert_eq!(page("http://10.0.0.7#top"), target("10.0.0.7:80", "10.0.0.7", "/"));
    }

    #[test]
    fn what_is_no_page_that_can_be_asked_for_is_refused() {
        let refused = |text: &str, why: &str| assert_eq!(http(text).unwrap_err(), why, "{text}");
        for text in ["https://localhost/", "HTTPS://web"] {
            refused(
                text,
                "uses https, which is not supported: check a page over plain http, or the port with CHECK_TCP",
            );
        }
        for text in ["localhost:8080", "/health", "ftp://localhost", "http:/localhost", "é"] {
            refused(text, "must be a URL such as http://localhost:8080/health");
        }
        for text in ["http://", "http://web/", "http://u@127.0.0.1/", "http://::1/", "http://127.0.0.1:0/"] {
            refused(
                text,
                "must name an IP address or localhost, and a port if not 80; other names are not resolved",
            );
        }
        for text in ["http://localhost/é", "http://localhost/\u{1}"] {
            refused(text, "must have a path of ASCII characters; encode others as in %C3%A9");
        }
    }

    #[test]
    fn a_query_is_a_name_and_a_resolver() {
        for (text, address, name, record) in [
            ("example.com@127.0.0.1:53", "127.0.0.1:53", "example.com", ("A", 1)),
            ("Example.com.@127.0.0.1", "127.0.0.1:53", "Example.com", ("A", 1)),
            ("_a.b-c/aaaa@[::1]:5353", "[::1]:5353", "_a.b-c", ("AAAA", 28)),
            ("1.0.0.10.in-addr.arpa/PTR@localhost", "127.0.0.1:53", "1.0.0.10.in-addr.arpa", ("PTR", 12)),
            ("./NS@[::1]", "[::1]:53", ".", ("NS", 2)),
        ] {
            let target = DnsTarget { address: address.parse().unwrap(), name: name.into(), record };
            assert_eq!(dns(text), Ok(target), "{text}");
        }
        let long = format!("{}@::1", "a.".repeat(127));
        for text in ["", "example.com", "@127.0.0.1", "a..b@127.0.0.1", "ä@[::1]", "a b@[::1]", &long] {
            assert!(dns(text).is_err(), "{text}");
        }
        let label = |n| dns(&format!("{}@[::1]", "a".repeat(n))).is_ok();
        assert!(label(63) && !label(64));
        assert!(dns("a@resolver").unwrap_err().contains("localhost after @"));
        assert!(dns("a@127.0.0.1:0").unwrap_err().contains("localhost after @"));
        assert!(dns("a/ANY@127.0.0.1").unwrap_err().starts_with("must ask for A, AAAA"));
    }

    #[test]
    fn a_receiver_is_a_url_whose_name_is_in_etc_hosts() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.1 hook\n10.0.0.5\tx hook Alert.example # a\nfe80::1%eth0 hook\n\
                     fd00::5 six\n";
        let resolved = |text: &str| {
            let target = resolve(&receiver(text)?, || Ok(hosts.as_bytes().to_vec()))?;
            Ok::<_, String>((target.address.to_string(), target.host, target.path))
        };
        let target = |address: &str, host: &str, path: &str| Ok((address.into(), host.into(), path.into()));
        assert_eq!(resolved("http://hook:9093/a?b#c"), target("10.0.0.5:9093", "hook:9093", "/a?b"));
        assert_eq!(resolved(" http://alert.Example\n"), target("10.0.0.5:80", "alert.Example", "/"));
        assert_eq!(resolved("http://six:1/"), target("[fd00::5]:1", "six:1", "/"));
        assert_eq!(resolved("http://[::1]:9/"), target("[::1]:9", "[::1]:9", "/"));
        assert_eq!(resolved("http://localhost"), target("127.0.0.1:80", "localhost", "/"));
        assert!(resolved("http://alertmanager:9093/").unwrap_err().starts_with(
            "names alertmanager, which is not in /etc/hosts: set its IP address, or add it there (compose: extra_hosts"
        ));
        let https = resolved("https://hook/").unwrap_err();
        assert!(https.ends_with("or run a program with NOTIFY"), "{https}");
        for text in [
            "",
            "hook:9093",
            "http://",
            "http://hook:0",
            "http://hook:x",
            "http://u:p@hook/",
            "http://:80/",
            "http://a b/",
        ] {
            assert!(receiver(text).is_err(), "{text}");
        }
        let unread = resolve("http://hook", || Err("cannot be read".into()));
        assert_eq!(unread.unwrap_err(), "cannot be read");
    }

    #[test]
    fn statuses_are_numbers_or_ranges() {
        assert_eq!((status("204"), status("200-299")), (Ok(204..=204), Ok(200..=299)));
        for text in ["", "99", "600", "2xx", "299-200", "200-", "-200", "200-299-300"] {
            assert_eq!(
                status(text).unwrap_err(),
                "must be a status of 100 to 599, or a range such as 200-299",
                "{text}"
            );
        }
    }

    #[test]
    fn a_host_header_is_one_word_that_ends_no_line() {
        for text in ["www.example.org", "10.0.0.7:8080", "[::1]:80", "a_b"] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        for text in ["", "a b", "a\r\nX: y", "http://a", "ü", "a/b", "u@a"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_request_of_two_lines(text in "(http://localhost)?\\PC{0,12}[\\r\\n]?\\PC{0,4}") {
            let _ = (tcp(&text), dns(&text), receiver(&text));
            if let Ok(HttpTarget { host, path, .. }) = http(&text) {
                prop_assert!(path.starts_with('/'));
                prop_assert!(host.bytes().chain(path.bytes()).all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
