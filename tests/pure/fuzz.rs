//! Runs the bodies of the fuzz targets on random octets: a small part of `make fuzz` in every test run.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use proptest::prelude::*;

/// libFuzzer found that the body, not the parser, took the state for text.
#[test]
fn a_line_of_stat_whose_state_is_no_character() {
    let line = [b"\0" as &[u8], b"4711 (x) \xaa ", "1 ".repeat(18).as_bytes(), b"7 8 0\n"].concat();
    bodies::proc(&line);
}

proptest! {
    #[test]
    fn adverts(data in prop::collection::vec(any::<u8>(), 0..120)) {
        bodies::advert(&data);
    }

    /// With a valid version, type, count and length.
    #[test]
    fn well_formed_adverts(
        kind in 4..8_u8, v3: bool, head in any::<[u8; 7]>(), count in 1..4_u8, rest in any::<[u8; 64]>(),
    ) {
        let first = if v3 { 0x31 } else { 0x21 };
        let family = if kind & 1 == 1 { 16 } else { 4 };
        let length = usize::from(count) * family + if v3 { 0 } else { 8 };
        let mut data = vec![kind, 255, first, head[0], head[1], count, head[2] & 1, head[3], 0, 0];
        data.extend(&rest[..length]);
        bodies::advert(&data);
    }

    #[test]
    fn routers(data in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::instance(&data);
    }

    #[test]
    fn environments(data in "((VIP|VIRTUAL_ROUTER|PRIORITY|KEEPALIVED_[A-Z_]{1,12}|[A-Z]{1,4})(_[0-9]{1,2})?(_FILE)?=[ -~]{0,12}\0){0,6}") {
        bodies::env(data.as_bytes());
    }

    #[test]
    fn files_of_variables(data in "((VIP|VIRTUAL_ROUTER|PRIORITY|CHECK_TCP|ADVERT_INT|export PRIORITY|[A-Z]{1,4})(_[0-9]{1,2})?(_FILE)?[ =][ -~]{0,12}(\n|\r\n)){0,6}") {
        bodies::env_file(data.as_bytes());
    }

    #[test]
    fn files_of_octets(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::env_file(&data);
    }

    #[test]
    fn datagrams_of_the_kernel(data in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::netlink(&data);
    }

    /// Attributes of the right shape: length, kind, value.
    #[test]
    fn datagrams_of_attributes(
        head in any::<[u8; 3]>(), fixed in any::<[u8; 16]>(),
        attributes in prop::collection::vec((0..64_u16, prop::collection::vec(any::<u8>(), 0..24)), 0..8),
    ) {
        let mut data = [&head[..], &fixed].concat();
        for (kind, value) in attributes {
            data.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            data.extend(kind.to_ne_bytes());
            data.extend(&value);
            data.resize(3 + (data.len() - 3).next_multiple_of(4), 0);
        }
        bodies::netlink(&data);
    }

    #[test]
    fn scans(data in prop::collection::vec(any::<u8>(), 0..600)) {
        bodies::scan(&data);
    }

    #[test]
    fn requests(
        step: u8,
        text in "(GET|HEAD|POST|[A-Z]{0,3}) /?(metrics|healthz|readyz|[a-z?]{0,8}) HTTP/1.[01]\r?\n([A-Za-z]{0,4}: [ -~]{0,8}\r?\n){0,3}\r?\n?",
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        bodies::http(&[&[step], text.as_bytes(), &rest].concat());
    }

    #[test]
    fn files_of_proc(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::proc(&data);
    }

    /// Lines of the right shape.
    #[test]
    fn lines_of_proc(
        kind in 0..4_u8,
        line in "[0-9]{1,5} \\([a-z ()]{0,15}\\)( [0-9A-Z]{1,4}){0,22}|(/?[a-z]{1,9}/?\0){0,4}|([0-9] ){3}/ (/proc|/) rw( - proc| [a-z:]{1,9}){0,3} p (rw|hidepid=[0-2],?){0,3}\n",
    ) {
        bodies::proc(&[&[kind], line.as_bytes()].concat());
    }

    #[test]
    fn headers_and_control_messages(data in prop::collection::vec(any::<u8>(), 0..120)) {
        bodies::packet(&data);
    }

    #[test]
    fn datagrams_of_a_resolver(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::dns(&data);
    }

    /// Records of the right shape: a name or a place, the type, the class, the lifetime and the length.
    #[test]
    fn answers_of_a_resolver(
        head in any::<[u8; 2]>(), kind in 0..34_u8, truncated: bool, count in 0..4_u8,
        records in prop::collection::vec((any::<bool>(), 0..34_u8, prop::collection::vec(any::<u8>(), 0..8)), 0..4),
    ) {
        let mut data = [&head[..], &[kind, 0, if truncated { 0x83 } else { 0x81 }, 0x80, count]].concat();
        for (named, kind, value) in records {
            data.extend(if named { &b"\x01a\x00"[..] } else { &[0xc0, 12] });
            data.extend([0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(value.len()).unwrap()]);
            data.extend(value);
        }
        bodies::dns(&data);
    }

    #[test]
    fn clients_of_the_status_server(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::serve(&data);
    }

    /// Lines of the right words.
    #[test]
    fn imports(
        head in "((global_defs|vrrp_script c|vrrp_sync_group g) \\{\n?)?",
        lines in prop::collection::vec(
            "(vrrp_instance [A-Z]{1,2} \\{\nvirtual_router_id [0-9]\nvirtual_ipaddress \\{\n10.0.0.[1-9]\n\\}|\\}|include [a-z/]{1,3}|\\$A=.{0,4}|\\$A|(state|priority|interface|version|advert_int|nopreempt|preempt_delay|auth_pass|track_script \\{|authentication \\{|auth_type|unicast_peer \\{|virtual_ipaddress \\{|script|interval|weight|[a-z_]{1,9}) ?(MASTER|PASS|[0-9]{1,3}|10.0.0.[1-9]|[!-~]{0,6}))", 0..24,
        ),
    ) {
        bodies::import((head + &lines.join("\n") + "\n}").as_bytes());
        bodies::import(lines.join("\n").as_bytes());
    }
}
