//! Parsers from one variable's text to one typed value, or to the sentence that says what would be right; they know
//! no variable names.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::model::{GuardChoice, InterfaceChoice, LogFormat, StateHint};
use crate::health::Weight;
use crate::vrrp::{Interval, Lease, Password, Priority, V3Checksum, Version, Vrid};

/// A value, or the reason why the text is none: the rest of a sentence that begins with the variable.
pub(super) type Value<T> = Result<T, String>;

/// What a parser makes of the whole text of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<T> {
    /// The value, as far as the text gives one.
    pub(super) value: Option<T>,
    /// The refused parts of the text, and why.
    pub(super) problems: Vec<(String, String)>,
    /// The ignored parts, each the rest of a sentence that begins with the variable.
    pub(super) warnings: Vec<String>,
}

/// A text that is one value.
pub(super) fn single<T>(text: &str, value: Value<T>) -> Parsed<T> {
    let (value, problems) = match value {
        Ok(value) => (Some(value), vec![]),
        Err(why) => (None, vec![(text.to_owned(), why)]),
    };
    Parsed { value, problems, warnings: vec![] }
}

/// A text that is a list, each item of which is `what` and is kept once.
pub(super) fn list<T: PartialEq>(text: &str, what: &str, parse: fn(&str) -> Value<T>) -> Parsed<Vec<T>> {
    let mut values = vec![];
    let mut keep = |item: &str| {
        let value = parse(item)?;
        let is_new = !values.contains(&value);
        if is_new {
            values.push(value);
        }
        Ok(is_new)
    };
    let (problems, warnings) = keep_items(text, what, &mut keep);
    Parsed { value: Some(values), problems, warnings }
}

/// Passes each item to `keep`, which returns whether it is a new one. Returns the problems and the warnings of [`Parsed`].
fn keep_items(
    text: &str,
    what: &str,
    keep: &mut dyn FnMut(&str) -> Value<bool>,
) -> (Vec<(String, String)>, Vec<String>) {
    let (mut problems, mut warnings) = (vec![], vec![]);
    for item in items(text) {
        match keep(item) {
            Ok(true) => {}
            Ok(false) => warnings.push(format!("lists {item} twice")),
            Err(why) => problems.push((item.to_owned(), why)),
        }
    }
    if items(text).next().is_none() {
        problems.push((text.to_owned(), format!("contains no {what}")));
    }
    (problems, warnings)
}

/// Disables an endpoint.
const OFF: &str = "off";

/// The items of a list: separated by commas and white space.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

/// A whole number in decimal, with an optional sign.
pub(super) fn integer<N: TryFrom<i64>>(text: &str) -> Option<N> {
    text.trim().parse::<i64>().ok()?.try_into().ok()
}

pub(super) fn vrid(text: &str) -> Value<Vrid> {
    integer(text).and_then(Vrid::new).ok_or_else(|| "must be 1 to 255".into())
}

pub(super) fn priority(text: &str) -> Value<Priority> {
    integer(text)
        .and_then(Priority::new)
        .ok_or_else(|| "must be 1 to 254, or 255 for the address owner".into())
}

pub(super) fn weight(text: &str) -> Value<Weight> {
    integer(text).and_then(Weight::new).ok_or_else(|| "must be -253 to 253".into())
}

pub(super) fn count(text: &str) -> Value<NonZeroU32> {
    integer(text)
        .and_then(NonZeroU32::new)
        .ok_or_else(|| "must be a whole number from 1 to 4294967295".into())
}

pub(super) fn port(text: &str) -> Value<NonZeroU16> {
    integer(text).and_then(NonZeroU16::new).ok_or_else(|| "must be a port from 1 to 65535".into())
}

/// Seconds with up to nine decimals; no sign, no exponent, no unit.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { integer(whole)? };
    Some(Duration::new(seconds, integer(&format!("{fraction:0<9}"))?))
}

/// keepalived reads 0 as 1; here 0 is refused, since its author must have meant something else.
pub(super) fn check_interval(text: &str) -> Value<Duration> {
    const ALLOWED: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(24);
    seconds(text).filter(|time| ALLOWED.contains(time)).ok_or_else(|| "must be 0.001 to 86400 seconds".into())
}

/// An interval that VRRPv2 or VRRPv3 can carry; which of them applies depends on other variables too.
pub(super) fn advert_interval(text: &str) -> Value<Interval> {
    seconds(text)
        .filter(|time| time.subsec_nanos().is_multiple_of(10_000_000))
        .and_then(|time| u32::try_from(time.as_millis()).ok())
        .and_then(|ms| u16::try_from(ms / 10).ok())
        .and_then(Interval::from_centiseconds)
        .filter(|interval| interval.fits(Version::V2) || interval.fits(Version::V3))
        .ok_or_else(|| {
            "must be whole seconds, 1 to 255, or with VRRPv3 0.01 to 40.95 in steps of 0.01".into()
        })
}

/// `None`: the version that the addresses and the interval need.
pub(super) fn version(text: &str) -> Value<Option<Version>> {
    match text.trim().to_ascii_lowercase().as_str() {
        "auto" => Ok(None),
        "2" => Ok(Some(Version::V2)),
        "3" => Ok(Some(Version::V3)),
        _ => Err("must be 2, 3 or auto".into()),
    }
}

pub(super) fn v3_checksum(text: &str) -> Value<V3Checksum> {
    match text.trim().to_ascii_lowercase().as_str() {
        "pseudo-header" => Ok(V3Checksum::PseudoHeader),
        "rfc9568" => Ok(V3Checksum::Message),
        _ => Err("must be pseudo-header or rfc9568".into()),
    }
}

pub(super) fn guard(text: &str) -> Value<GuardChoice> {
    match text.trim().to_ascii_lowercase().as_str() {
        "auto" => Ok(GuardChoice::Auto),
        "nft" => Ok(GuardChoice::Nft),
        OFF => Ok(GuardChoice::Off),
        _ => Err("must be auto, nft or off".into()),
    }
}

pub(super) fn preempt_delay(text: &str) -> Value<Duration> {
    const LONGEST: Duration = Duration::from_secs(1_000);
    seconds(text).filter(|time| *time <= LONGEST).ok_or_else(|| "must be 0 to 1000 seconds".into())
}

/// `None`: never.
pub(super) fn refresh(text: &str) -> Value<Option<Duration>> {
    const ALLOWED: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
    match seconds(text) {
        Some(Duration::ZERO) => Ok(None),
        Some(time) if ALLOWED.contains(&time) => Ok(Some(time)),
        Some(_) | None => Err("must be 1 to 86400 seconds, or 0 for never".into()),
    }
}

/// The whole text, including white space: the other nodes compare octets. Of a longer one, the first octets count, as
/// in keepalived. No reason repeats it.
pub(super) fn password(text: &str) -> Parsed<Password> {
    if text.contains(|c: char| c.is_control()) {
        return single(text, Err("must not contain a line break or another control character".into()));
    }
    let octets = text.as_bytes();
    let password = Password::new(&octets[..octets.len().min(Password::LONGEST)]);
    let mut parsed = single(text, password.ok_or_else(|| "must not be empty".into()));
    if octets.len() > Password::LONGEST {
        let longest = Password::LONGEST;
        parsed.warnings.push(format!(
            "is longer than {longest} bytes: as in keepalived, only the first {longest} are used"
        ));
    }
    parsed
}

/// `None`: there is none.
pub(super) fn status_socket(text: &str) -> Value<Option<PathBuf>> {
    // A unix address has room for 108 octets; the health check's socket has a longer name.
    path_or_off(text, 100)
}

pub(super) fn drain_file(text: &str) -> Value<Option<PathBuf>> {
    // The kernel's limit, with room for the name of a file that replaces it.
    path_or_off(text, 4_000)
}

fn path_or_off(text: &str, longest: usize) -> Value<Option<PathBuf>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case(OFF) {
        return Ok(None);
    }
    if text.starts_with('/') && !text.ends_with('/') && text.len() <= longest {
        Ok(Some(PathBuf::from(text)))
    } else {
        Err(format!("must be the absolute path of a file, at most {longest} bytes, or {OFF}"))
    }
}

/// The path of a file of variables.
pub(super) fn env_file(text: &str) -> Value<PathBuf> {
    let text = text.trim();
    let is_file = text.starts_with('/') && !text.ends_with('/');
    if is_file { Ok(text.into()) } else { Err("must be the absolute path of a file".into()) }
}

/// `None`: there is no metrics server.
pub(super) fn metrics_listen(text: &str) -> Value<Option<SocketAddr>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case(OFF) {
        return Ok(None);
    }
    // As in other exporters: all addresses, of both families.
    let all =
        text.strip_prefix(':').and_then(integer).map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    all.or_else(|| text.parse().ok())
        .filter(|address| address.port() != 0)
        .map(Some)
        .ok_or_else(|| format!("must be address:port such as 127.0.0.1:9165, [::1]:9165 or :9165, or {OFF}"))
}

/// A program and its arguments, separated by white space.
pub(super) fn command(text: &str) -> Value<Vec<String>> {
    if text.contains(['"', '\'']) {
        return Err(
            "contains quotes, but does not run in a shell: arguments are split only at white space".into()
        );
    }
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        Some(_) | None => Err("must begin with the absolute path of a program, such as /notify".into()),
    }
}

/// The same for a check: what only a shell understands would make the check a different one.
pub(super) fn script(text: &str) -> Value<Vec<String>> {
    match text.chars().find(|c| "|&;<>$`".contains(*c)) {
        Some(c) => Err(format!(
            "contains {c}, but does not run in a shell: put the commands into a file that begins with #!, and set its path"
        )),
        None => command(text),
    }
}

pub(super) fn boolean(text: &str) -> Value<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("must be true or false (yes, no, on, off, 1 and 0 also work)".into()),
    }
}

/// The choices of VIP_LEASE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseChoice {
    /// Derived from the intervals.
    Auto,
    Off,
    For(Lease),
}

pub(super) fn lease(text: &str) -> Value<LeaseChoice> {
    const LONGEST: u32 = 86_400;
    if text.trim().eq_ignore_ascii_case("auto") {
        return Ok(LeaseChoice::Auto);
    }
    match integer::<u32>(text) {
        Some(seconds) if seconds <= LONGEST => {
            Ok(Lease::from_seconds(seconds).map_or(LeaseChoice::Off, LeaseChoice::For))
        }
        _ => Err(format!("must be 1 to {LONGEST} whole seconds, 0 for no limit, or auto")),
    }
}

pub(super) fn state(text: &str) -> Value<StateHint> {
    match text.trim().to_ascii_uppercase().as_str() {
        "MASTER" => Ok(StateHint::Master),
        "BACKUP" => Ok(StateHint::Backup),
        _ => Err("must be MASTER or BACKUP".into()),
    }
}

pub(super) fn interface(text: &str) -> Value<InterfaceChoice> {
    if text.trim() == "auto" {
        return Ok(InterfaceChoice::Auto);
    }
    interface_name(text.trim()).map(|name| InterfaceChoice::Named(name.into()))
}

/// A name or an alternative name that the kernel would accept for an interface.
pub(super) fn interface_name(text: &str) -> Value<String> {
    // ALTIFNAMSIZ without the NUL; a name longer than 15 can only be an alternative one.
    const LONGEST: usize = 127;
    // The kernel would take quotes, but they are half a pair that is no part of the name.
    let strange = |c: char| "/:\"'".contains(c) || c.is_whitespace() || c.is_control();
    if text.is_empty() || text.len() > LONGEST || text == "." || text == ".." || text.contains(strange) {
        return Err(format!(
            "must be an interface name: 1 to 15 bytes, or an altname of up to {LONGEST}, without slash, colon, space or \
             quotes"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn one_word(text: &str) -> Value<String> {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be one word".into());
    }
    Ok(text.to_owned())
}

pub(super) fn log_level(text: &str) -> Value<LevelFilter> {
    match text.trim().to_ascii_lowercase().as_str() {
        "error" => Ok(LevelFilter::Error),
        "warn" | "warning" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        "trace" => Ok(LevelFilter::Trace),
        _ => Err("must be error, warn, info, debug or trace".into()),
    }
}

/// The format of a line, and whether it begins with the time.
pub(super) fn log_format(text: &str) -> Value<(LogFormat, bool)> {
    let text = text.trim().to_ascii_lowercase();
    let (shape, time) = text.strip_suffix("+time").map_or((text.as_str(), false), |shape| (shape, true));
    match shape {
        "text" => Ok((LogFormat::Text, time)),
        "json" => Ok((LogFormat::Json, time)),
        _ => Err("must be text or json, or with the time text+time or json+time".into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_are_read_without_floats() {
        let nanos = |text| seconds(text).map(|d| d.as_nanos());
        assert_eq!(nanos("2"), Some(2_000_000_000));
        assert_eq!(nanos(" 0.5\n"), Some(500_000_000));
        assert_eq!(nanos(".25"), Some(250_000_000));
        assert_eq!(nanos("3."), Some(3_000_000_000));
        assert_eq!(nanos("1.000000001"), Some(1_000_000_001));
        for refused in
            ["", ".", "-1", "+1", "1e3", "1s", "1.2.3", "1,5", "1.0000000001", "99999999999999999999"]
        {
            assert_eq!(nanos(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_socket_has_a_path_of_its_own() {
        assert_eq!(status_socket("/run/x.sock"), Ok(Some("/run/x.sock".into())));
        assert_eq!(status_socket("Off"), Ok(None));
        for refused in ["run/x.sock", "/run/", "on", &format!("/{}", "x".repeat(100))] {
            let why = "must be the absolute path of a file, at most 100 bytes, or off";
            assert_eq!(status_socket(refused), Err(why.into()), "{refused}");
        }
    }

    #[test]
    fn the_drain_file_is_a_path_or_off() {
        assert_eq!(drain_file("/run/x"), Ok(Some("/run/x".into())));
        assert_eq!(drain_file("OFF"), Ok(None));
        let why = "must be the absolute path of a file, at most 4000 bytes, or off";
        assert_eq!(drain_file("drain"), Err(why.into()));
        assert!(drain_file(&format!("/{}", "x".repeat(3_999))).is_ok());
    }

    #[test]
    fn metrics_are_served_on_an_address_and_port() {
        let text = |text| metrics_listen(text).map(|address| address.map(|address| address.to_string()));
        assert_eq!(text("127.0.0.1:9165"), Ok(Some("127.0.0.1:9165".into())));
        assert_eq!(text("[::1]:9165"), Ok(Some("[::1]:9165".into())));
        assert_eq!(text(":9165"), Ok(Some("[::]:9165".into())));
        assert_eq!(text("off"), Ok(None));
        for refused in ["9165", ":0", "127.0.0.1", "localhost:9165", ":65536", "on"] {
            assert!(text(refused).is_err_and(|why| why.contains(":9165")), "{refused}");
        }
    }

    #[test]
    fn a_format_may_ask_for_the_time() {
        assert_eq!(log_format("json"), Ok((LogFormat::Json, false)));
        assert_eq!(log_format("Text+Time"), Ok((LogFormat::Text, true)));
        assert!(log_format("time").is_err() && log_format("text+").is_err());
    }

    #[test]
    fn booleans_are_the_words_people_write_in_compose_files() {
        for yes in ["true", "True", "YES", "on", "1"] {
            assert_eq!(boolean(yes), Ok(true), "{yes}");
        }
        for no in ["false", "No", "OFF", "0"] {
            assert_eq!(boolean(no), Ok(false), "{no}");
        }
        assert!(boolean("2").is_err() && boolean("nopreempt").is_err());
    }

    #[test]
    fn a_list_is_split_at_commas_and_any_white_space() {
        assert_eq!(items(" a,b\n\tc ,, d\r\n").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(items(", \n").count(), 0);
    }

    #[test]
    fn an_interval_that_only_looks_fractional_is_whole() {
        assert_eq!(advert_interval("2.0"), Ok(Interval::from_seconds(2).unwrap()));
    }

    proptest! {
        #[test]
        fn milliseconds_survive_being_written_as_seconds(ms in 1_u64..=86_400_000) {
            let text = format!("{}.{:03}", ms / 1000, ms % 1000);
            prop_assert_eq!(check_interval(&text), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = (seconds(&text), check_interval(&text), advert_interval(&text));
            let _ = (interface(&text), one_word(&text));
            let _ = (password(&text), command(&text), refresh(&text));
        }
    }
}
