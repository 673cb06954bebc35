//! Whole files: the variables they become, and what is said about the rest.

use std::collections::BTreeMap;

use super::*;

/// Files by their names; an included name is that of a file, or `*` for all but the first.
struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn find(&self, _: &str, what: &str) -> Result<Vec<String>, String> {
        match what {
            "*" => Ok(self.0.keys().map(|name| (*name).to_owned()).collect()),
            _ => Ok(vec![what.to_owned()]),
        }
    }

    fn read(&self, name: &str) -> Result<String, String> {
        self.0.get(name).map(|text| (*text).to_owned()).ok_or_else(|| "not found".into())
    }
}

fn read_with(text: &str, files: &[(&'static str, &'static str)]) -> Result<Imported, String> {
    import("k.conf", text, &Memory(files.iter().copied().collect()))
}

fn read(text: &str) -> Imported {
    let imported = read_with(text, &[]).unwrap();
    // Whatever is left is accepted.
    let vars = imported.env();
    let vars =
        vars.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
    let vars = vars.map(|(name, value)| (name.into(), value.into()));
    if !imported.report.contains("refused: ") {
        Config::from_environment(vars, |_| panic!("no file is named")).unwrap();
    }
    imported
}

/// A router with more lines in its block.
fn router(lines: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{\n10.0.0.2\n}}\n{lines}\n}}\n"
    )
}

/// The value of a variable of the first router.
fn value(imported: &Imported, name: &str) -> Option<String> {
    let line = imported.routers[0].lines.iter().find(|line| line.name == name && !line.is_refused);
    line.map(|line| line.value.clone())
}

#[track_caller]
fn becomes(lines: &str, name: &str, expected: Option<&str>) {
    assert_eq!(value(&read(&router(lines)), name).as_deref(), expected, "{lines}");
}

#[track_caller]
fn says(text: &str, sentence: &str, is_lossy: bool) {
    let Imported { report, is_lossy: found, .. } = read(text);
    assert!(report.contains(sentence), "{report}");
    assert_eq!(found, is_lossy, "{report}");
}

const USUAL: &str = "! Configuration File for keepalived

global_defs {
   router_id LB1           # this host
   script_user root
   enable_script_security
}

vrrp_script chk_haproxy {
    script \"/usr/bin/killall -0 haproxy\"   # cheaper than pidof
    interval 2
    weight 2
    fall 3
}

vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 101
    advert_int 1
    nopreempt
    authentication {
        auth_type PASS
        auth_pass 1234567890
    }
    virtual_ipaddress {
        10.0.0.2/24 dev eth0 label eth0:1
        10.0.0.3
    }
    track_script {
        chk_haproxy
    }
}
";

#[test]
fn a_usual_file_is_expressed_whole() {
    let imported = read(USUAL);
    let expected = "# vrrp_instance VI_1 (k.conf:16)
VIP=10.0.0.2/24 dev eth0 label eth0:1, 10.0.0.3
VIRTUAL_ROUTER=51
INTERFACE=eth0
STATE=MASTER
PRIORITY=101
SERVICE=haproxy
CHECK_INTERVAL=2
CHECK_WEIGHT=2
CHECK_RISE=1
CHECK_FALL=3
ADVERT_INT=1
VRRP_VERSION=2
AUTH_PASS=12345678
INSTANCE_NAME=VI_1
";
    assert_eq!(imported.env(), expected);
    let report =
        "k.conf:22: nopreempt has no effect in keepalived with this state, priority or mode; it is left out
k.conf:25: auth_pass is longer than 8 bytes: the rest has no effect, in keepalived too
not needed here: router_id enable_script_security
";
    assert_eq!(imported.report, report);
    assert!(!imported.is_lossy);
}

#[test]
fn a_compose_file_has_the_values_quoted() {
    let text = router("authentication {\nauth_type PASS\nauth_pass \"a$\\'b\"\n}\nnotify \"/x \\\"a\"");
    let compose = read(&text).compose();
    // The image of the compose files that are shipped.
    let shipped = include_str!("../../compose/master/docker-compose.yml");
    let image = shipped.lines().find(|line| line.contains("/vrrp-init:")).unwrap();
    assert!(compose.starts_with(&format!("services:\n  keepalived:\n{image}\n")), "{compose}");
    for line in [
        "    network_mode: host\n",
        "    cap_add: [NET_ADMIN]\n",
        "      # vrrp_instance VI_1 (k.conf:1)\n",
        "      VIP: \"10.0.0.2\"\n",
        "      AUTH_PASS: \"a$$\\\\'b\"\n",
        "      # refused: NOTIFY: \"/x \\\"a\"\n",
    ] {
        assert!(compose.contains(line), "{line}{compose}");
    }
}

#[test]
fn what_keepalived_makes_of_priority_and_state_counts() {
    for (lines, priority, state) in [
        ("", None, None),
        ("priority 0", None, None),
        ("priority abc", None, None),
        ("state MASTER", Some("255"), Some("MASTER")),
        ("state MASTER\npriority 101", Some("101"), Some("MASTER")),
        ("state foo\npriority 254", Some("254"), Some("BACKUP")),
        ("state Master", None, Some("BACKUP")),
        ("state MASTER\nstate BACKUP\npriority 9", Some("9"), Some("MASTER")),
        ("state BACKUP\nstate MASTER\npriority 9", Some("9"), Some("MASTER")),
        ("strict_mode\nstate MASTER\npriority 101", Some("101"), Some("BACKUP")),
        ("strict_mode off\nstate MASTER\npriority 101", Some("101"), Some("MASTER")),
    ] {
        becomes(lines, "PRIORITY", priority);
        becomes(lines, "STATE", state);
    }
    says(&router("priority 300"), "refused: PRIORITY=300 must be 1 to 254", true);
    for (lines, preempt, delay) in [
        ("nopreempt", Some("false"), None),
        ("preempt_delay 5", None, Some("5")),
        ("preempt_delay 0.5", None, Some("0.5")),
        ("preempt_delay 2000", None, None),
        ("nopreempt\npreempt_delay 5", Some("false"), None),
        ("state MASTER\npriority 9\nnopreempt\npreempt_delay 5", None, None),
        ("priority 255\nnopreempt", None, None),
        ("nopreempt\npreempt", Some("true"), None),
    ] {
        becomes(lines, "PREEMPT", preempt);
        becomes(lines, "PREEMPT_DELAY", delay);
    }
}

#[test]
fn the_version_is_never_chosen_by_the_interval() {
    for (lines, interval, version) in [
        ("advert_int 2", Some("2"), Some("2")),
        ("version 3\nadvert_int .5", Some(".5"), Some("3")),
        ("version 3\nadvert_int 1.10", Some("1.10"), Some("3")),
    ] {
        becomes(lines, "ADVERT_INT", interval);
        becomes(lines, "VRRP_VERSION", version);
    }
    says(
        &router("advert_int 2.5"),
        "refused: ADVERT_INT=2.5 must be whole seconds, 1 to 255, with VRRP_VERSION=2\n",
        true,
    );
    becomes("version 2\nv3_checksum_as_v2", "V3_CHECKSUM", None);
    becomes("version 3\nv3_checksum_as_v2", "V3_CHECKSUM", Some("rfc9568"));
    becomes("version 3\nv3_checksum_as_v2 off", "V3_CHECKSUM", None);
    let v6 =
        "vrrp_instance V {\nversion 2\nvirtual_router_id 1\nvirtual_ipaddress {\nfe80::2/64 dev eth0\n}\n}";
    assert_eq!(value(&read(v6), "VRRP_VERSION"), None);
}

#[test]
fn a_password_counts_as_in_keepalived() {
    let with = |kind: &str, more: &str| {
        format!("authentication {{\nauth_type {kind}\nauth_pass \"secret #\"\n}}\n{more}")
    };
    becomes(&with("PASS", ""), "AUTH_PASS", Some("secret #"));
    becomes(&with("PASS", "version 3"), "AUTH_PASS", None);
    becomes(&with("PASS", "strict_mode"), "AUTH_PASS", None);
    becomes("authentication {\nauth_pass abc\n}", "AUTH_PASS", None);
    becomes("authentication {\nauth_type PASS\nauth_pass \"ab \"\n}", "AUTH_PASS", Some("\"ab \""));
    becomes("authentication {\nauth_type PASS\nauth_pass 'ab'\n}", "AUTH_PASS", Some("\"'ab'\""));
    // Eight bytes, or the end of the character there: the variable has the same limit.
    becomes("authentication {\nauth_type PASS\nauth_pass 1234567éa\n}", "AUTH_PASS", Some("1234567é"));
    says(&router(&with("AH", "")), "k.conf:8: auth_type AH is lost: vrrp-init refuses it", true);
}

#[test]
fn unicast_and_interfaces() {
    let peers = "unicast_peer {\n10.0.0.11\n10.0.0.12 min_ttl 255\n}";
    says(&router(peers), "k.conf:9: min_ttl 255 is lost: a peer on the link", true);
    becomes(peers, "UNICAST_PEERS", Some("10.0.0.11, 10.0.0.12"));
    becomes(&format!("{peers}\nmcast_src_ip 10.0.0.1"), "UNICAST_SRC_IP", Some("10.0.0.1"));
    says(&router("mcast_src_ip 10.0.0.1"), "warning: UNICAST_SRC_IP ", false);
    becomes("track_interface {\neth1\neth2 weight 0\n}", "TRACK_INTERFACE", Some("eth1, eth2"));
    says(&router("track_interface {\neth1 weight 5\n}"), "k.conf:8: weight 5 is lost", true);
}

#[test]
fn an_address_keeps_its_options() {
    let lines = "virtual_ipaddress_excluded {\n10.1.0.2/24 dev eth1 label eth1:0\nfd00::2\n}";
    becomes(lines, "VIP_EXCLUDED", Some("10.1.0.2/24 dev eth1 label eth1:0, fd00::2"));
    says(
        &router("virtual_ipaddress_excluded {\n10.1.0.2/24 brd +\n}"),
        "warning: VIP_EXCLUDED 10.1.0.2/24: brd + is ignored",
        false,
    );
    for option in ["scope link", "peer 10.0.0.9", "use_vmac", "noprefixroute", "foo"] {
        let lines = format!("virtual_ipaddress_excluded {{\n10.1.0.1/24 {option}\n}}");
        says(&router(&lines), "refused: VIP_EXCLUDED=", true);
        becomes(&lines, "VIP_EXCLUDED", None);
    }
}

/// As keepalived 2.2.7 says for such a file.
#[test]
fn an_address_too_many_is_ignored_as_keepalived_does() {
    let of = |lines: &str| {
        format!("vrrp_instance V {{\nvirtual_router_id 1\nvirtual_ipaddress {{\n{lines}\n}}\n}}\n")
    };
    for (lines, vip, said) in [
        (
            "10.0.0.2 10.0.0.3 dev eth0",
            "10.0.0.2 dev eth0",
            "k.conf:4: 10.0.0.3 is ignored, in keepalived too: a line",
        ),
        ("10.0.0.2/24 brd 10.0.0.255", "10.0.0.2/24 brd 10.0.0.255", "brd 10.0.0.255 is ignored"),
        ("10.0.0.2\nfd00::2", "10.0.0.2", "k.conf:4: fd00::2 is ignored, in keepalived too: the family"),
        ("fe80::2\n10.0.0.2", "fe80::2", "k.conf:4: 10.0.0.2 is ignored, in keepalived too: the family"),
    ] {
        says(&of(lines), said, false);
        assert_eq!(value(&read(&of(lines)), "VIP").as_deref(), Some(vip));
    }
    let two =
        of("10.0.0.2\n10.0.0.3\nfd00::2") + &of("10.0.0.4").replace("id 1", "id 2").replace(" V ", " W ");
    assert_eq!(value(&read(&two), "VRRP_VERSION").as_deref(), Some("2"));
}

#[test]
fn a_group_has_more_than_its_members() {
    let with = |group: &str| format!("vrrp_sync_group G {{\n{group}\n}}\n{}", router(""));
    let group = "group {\nVI_1\n}\n";
    assert!(!read(&with(group)).is_lossy);
    says(
        &with(&format!("{group}notify_master /x")),
        "k.conf:5: notify_master /x is lost: write it into each",
        true,
    );
    says(&with("group { a b }\ntrack_script {\nchk\n}"), "k.conf:3: track_script is lost: write it", true);
}

#[test]
fn programs_run_as_another_user() {
    let with = |user: &str, lines: &str| format!("global_defs {{\nscript_user {user}\n}}\n{}", router(lines));
    says(&with("nobody", "notify /x.sh"), "k.conf:2: the user nobody is lost: use PROGRAM_USER", true);
    for (user, lines) in [("root", "notify /x.sh root"), ("nobody", "")] {
        assert!(!read(&with(user, lines)).is_lossy, "{user} {lines}");
    }
    says(
        &router("notify /x.sh nobody"),
        "k.conf:7: nobody is lost: it names the user; use PROGRAM_USER",
        true,
    );
    let script =
        "vrrp_script a {\nscript /x.sh\nuser nobody\n}\n".to_owned() + &router("track_script {\na\n}");
    says(&script, "k.conf:3: the user nobody is lost", true);
    becomes("notify_master /a\nnotify_master /b", "NOTIFY_MASTER", Some("/a"));
    says(
        &router("notify /a\nnotify /b"),
        "k.conf:8: notify /b is ignored, in keepalived too: it is set already",
        false,
    );
}

#[test]
fn checks_share_what_they_have() {
    let with = |scripts: &str, tracked: &str| {
        format!("{scripts}\n{}", router(&format!("track_script {{\n{tracked}\n}}")))
    };
    let script = |name: &str, more: &str| format!("vrrp_script {name} {{\n{more}\n}}\n");
    let two = script("a", "script \"killall -0 haproxy\"")
        + &script("b", "script \"nc -z 127.0.0.1 80\"\ntimeout 3");
    let imported = read(&with(&two, "a\nb"));
    for (name, expected) in [("SERVICE", "haproxy"), ("CHECK_TCP", "127.0.0.1:80"), ("CHECK_WEIGHT", "0")] {
        assert_eq!(value(&imported, name).as_deref(), Some(expected));
    }
    says(&with(&two, "a weight 5\nb"), "the weight of b is lost", true);
    says(&with(&two, "a weight 5 reverse"), "reverse is lost", true);
    says(&with(&two, "a\nb"), ": CHECK_TIMEOUT=3 is lost: all checks", true);
    says(&with(&two, "b\na"), ": CHECK_TIMEOUT=CHECK_INTERVAL is lost: all checks", true);
    let blank = script("a", "script /check.sh \"a b\" c");
    says(&with(&blank, "a"), "k.conf:2: /check.sh 'a b' c is lost: use SERVICE", true);
    let late = router("track_script {\na\n}") + &script("a", "script \"killall -0 x\"");
    says(
        &late,
        "k.conf:8: a has no effect in keepalived, because its vrrp_script comes later: here it has one",
        false,
    );
    says(&with(&two, "a\nc"), "c is ignored, in keepalived too: there is no such vrrp_script", false);
    let odd = script("a", "script pidof nginx\ninterval 0\nfall 2\nweight -5\ntimeout 2");
    let imported = read(&with(&odd, "a"));
    for (name, expected) in [
        ("SERVICE", Some("nginx")),
        ("CHECK_INTERVAL", None),
        ("CHECK_RISE", Some("1")),
        ("CHECK_FALL", Some("2")),
        ("CHECK_WEIGHT", Some("-5")),
        ("CHECK_TIMEOUT", None),
    ] {
        assert_eq!(value(&imported, name).as_deref(), expected, "{name}");
    }
    let own = script("a", "script \"/check.sh 1\"") + &script("b", "script /check.sh 2");
    let imported = read(&with(&own, "a"));
    assert_eq!(value(&imported, "CHECK_SCRIPT").as_deref(), Some("/check.sh 1"));
    assert!(
        imported.report.contains("k.conf:2: /check.sh 1 must be in the container"),
        "{}",
        imported.report
    );
    says(&with(&own, "a\nb"), "/check.sh 2 is lost: a router has one CHECK_SCRIPT", true);
    let process = "vrrp_track_process p {\nprocess /usr/sbin/haproxy\nquorum 2\nweight 4\n}\n".to_owned()
        + &router("track_process {\np\n}");
    let imported = read(&process);
    assert_eq!(value(&imported, "SERVICE").as_deref(), Some("haproxy"));
    assert_eq!(value(&imported, "CHECK_WEIGHT").as_deref(), Some("4"));
    assert!(imported.report.contains("k.conf:3: quorum 2 is lost"), "{}", imported.report);
}

/// A variable without a suffix counts for all routers.
#[test]
fn several_routers_get_suffixes_and_inherit_nothing_that_is_not_theirs() {
    let second =
        "vrrp_instance VI_2 {\ninterface eth1\nvirtual_router_id 52\nvirtual_ipaddress {\n10.1.0.2\n}\n}\n";
    let names = |lines: &str| {
        let imported = read(&(router(lines) + second));
        imported.routers.iter().map(|router| router.lines[0].name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["VIP", "VIP_2"]);
    assert_eq!(names("virtual_ipaddress_excluded {\n10.9.0.1\n}"), ["VIP", "VIP_2"]);
    assert_eq!(names("nopreempt"), ["VIP_2", "VIP_3"]);
    let defaults = format!("global_defs {{\nvrrp_garp_master_refresh 30\n}}\n{}{second}", router(""));
    assert!(read(&defaults).env().contains("GARP_REFRESH_2=30\n"));
}

#[test]
fn what_is_lost_is_named_with_its_place_and_what_to_do() {
    for (text, sentence) in [
        (
            "virtual_server 10.0.0.2 80 {\nreal_server 10.0.0.3 80 {\n}\n}\n",
            "k.conf:1: virtual_server 10.0.0.2 80 is lost: ",
        ),
        ("global_defs {\nvrrp_strict\n}\n", "k.conf:2: the strict mode is lost: "),
        (
            "global_defs {\nvrrp_mcast_group4 224.0.0.19\n}\n",
            "k.conf:2: vrrp_mcast_group4 224.0.0.19 is lost: ",
        ),
        ("vrrp_sync_group G {\ngroup {\nVI_1\nVI_2\n}\n}\n", "k.conf:1: vrrp_sync_group is lost: "),
        ("nonsense 5\n", "k.conf:1: nonsense 5 is lost: vrrp-init does not know this word here"),
        ("@main nonsense\n", "k.conf:1: the line for @main is lost: "),
        ("$X=\\\n a \\\n b\n", "k.conf:1: $X= is lost: write what it stands for where it is used"),
        ("includem gone.conf\n", "k.conf:1: include gone.conf is lost: not found"),
        ("~SEQ(N,1,3) x $N\n", "k.conf:1: ~SEQ(N,1,3) x $N is lost: write out"),
        ("vrrp_instance\n{\n}\n", "k.conf:1: vrrp_instance is lost: keepalived ignores one without a name"),
        ("include gone.conf\n", "k.conf:1: include gone.conf is lost: not found"),
        ("vrrp_script a {\nscript \"/check.sh\"\n}\n", "not needed here: "),
    ] {
        let text = text.to_owned() + &router("garp_master_delay 1");
        says(&text, sentence, !sentence.starts_with("not needed"));
    }
    for lines in [
        "use_vmac",
        "virtual_routes {\n}",
        "smtp_alert",
        "notify_master_rx_lower_pri /x",
        "down_timer_adverts 5",
    ] {
        let word = lines.split(' ').next().unwrap();
        says(&router(lines), &format!("k.conf:7: {}", word.replace("\n}", "")), true);
    }
    for lines in ["smtp_alert off", "down_timer_adverts 3", "accept", "mcast_dst_ip 224.0.0.18"] {
        assert!(!read(&router(lines)).is_lossy, "{lines}");
    }
    let script =
        "vrrp_script a {\nscript \"/check.sh | grep x\"\n}\n".to_owned() + &router("track_script {\na\n}");
    says(
        &script,
        "k.conf:2: /check.sh | grep x is lost: use SERVICE, CHECK_TCP, CHECK_HTTP, or CHECK_SCRIPT",
        true,
    );
}

#[test]
fn included_files_are_followed() {
    let files = [("vips.conf", "virtual_ipaddress {\n  10.0.0.2\n"), ("loop.conf", "include loop.conf\n")];
    let imported =
        read_with("vrrp_instance V {\nvirtual_router_id 51\ninclude vips.conf\n}\n}\n", &files).unwrap();
    assert!(imported.env().contains("VIP=10.0.0.2\nVIRTUAL_ROUTER=51\n"), "{}", imported.env());
    for name in ["loop.conf", "*"] {
        let error = read_with(&format!("include {name}\n"), &files).unwrap_err();
        let expected = "loop.conf:1: loop.conf is included too often; does a file include itself?";
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn what_is_no_such_file_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "vrrp_instance V {\n\nvirtual_ipaddress {\n}\n",
            "k.conf:1: the { after vrrp_instance is never closed",
        ),
        ("vrrp_instance V {\n}\n}\n", "k.conf:3: this } closes nothing"),
        ("\n{\n", "k.conf:2: this { belongs to nothing, or is too deep"),
        ("a {\n}\n{\n}\n", "k.conf: 0 vrrp_instance blocks"),
        ("vrrp_instance \"V {\n", "k.conf:1: a quote is not closed"),
        ("", "k.conf: 0 vrrp_instance blocks; import needs 1 to 9998"),
        (&"a {".repeat(20), "k.conf:1: this { belongs to nothing, or is too deep"),
        (&format!("#{:1022}\n", "").repeat(MOST_BYTES / 1_024 + 1), "k.conf:4097: more than 4 MiB"),
        (&"vrrp_instance V {\n}\n".repeat(9_999), "k.conf: 9999 vrrp_instance blocks"),
    ] {
        let error = read_with(text, &[]).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_file_without_a_router_is_refused_with_what_was_found_in_it() {
    let error = read_with("global_defs {\nrouter_id x\n}\ninclude gone.conf\n", &[]).unwrap_err();
    let expected = "k.conf: 0 vrrp_instance blocks; import needs 1 to 9998\nk.conf:4: include gone.conf is lost: not found\n\
                    not needed here: router_id\n";
    assert_eq!(error, expected);
}

/// keepalived skips what it cannot read, and vrrp-init would not start.
#[test]
fn a_value_that_is_refused_stays_as_a_comment() {
    let imported = read(
        "vrrp_instance V {\nvirtual_router_id 300\nvirtual_ipaddress {\n10.0.0.2\n}\ninterface a/b\n}\n",
    );
    assert!(imported.is_lossy);
    for line in ["# refused: VIRTUAL_ROUTER=300\n", "# refused: INTERFACE=a/b\n", "\nVIP=10.0.0.2\n"] {
        assert!(imported.env().contains(line), "{}", imported.env());
    }
    assert!(
        imported.report.contains("refused: VIRTUAL_ROUTER=300 must be 1 to 255\n"),
        "{}",
        imported.report
    );
}

#[test]
fn a_long_report_is_cut() {
    let report = read(&(router("") + &"x\n".repeat(1_000))).report;
    assert_eq!(report.lines().count(), 201);
    assert!(report.ends_with("and 800 more\n"), "{report}");
}

#[test]
fn a_long_word_is_cut_in_the_report() {
    let long = "x".repeat(1_000_000);
    for line in [&long, &format!("virtual_router_id {long}"), &format!("vrrp_script {long} {{ weight 1 }}")] {
        let report = read(&(router("") + line + "\n" + &router(line))).report;
        let longest = report.lines().map(str::len).max().unwrap();
        assert!((200..500).contains(&longest), "{longest}");
    }
}

/// A directive leads to every variable of a router, or none could.
#[test]
fn the_table_leads_to_the_variables() {
    const OF_NO_ROW: &[&str] = &[
        "INSTANCE_NAME",
        "SERVICE",
        "CHECK_TCP",
        "CHECK_HTTP",
        "CHECK_SCRIPT",
        "CHECK_DNS",
        "CHECK_HTTP_HOST",
        "CHECK_HTTP_STATUS",
        "FAST_FAILOVER",
        "VIP_LEASE",
        "NOTIFY_URL",
    ];
    let table = include_str!("directives.rs");
    for variable in VARIABLES.iter().filter(|variable| variable.scope != Scope::Process) {
        let has_row = ['\n', '='].iter().any(|end| table.contains(&format!(" | {}{end}", variable.name)));
        assert!(has_row || OF_NO_ROW.contains(&variable.name), "{} is in no row of the table", variable.name);
    }
}

/// The block of `docs/migration.md` after a line.
fn block<'a>(page: &'a str, line: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{line}\n")).unwrap_or_else(|| panic!("{line}"));
    rest.split("```").nth(1).unwrap().trim_start_matches('\n')
}

#[test]
fn the_example_of_the_documents_is_right() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migration.md")).unwrap();
    let file = block(&page, "<!-- file on host 1: migrate/keepalived.conf -->");
    let imported = import("-", file, &Memory(BTreeMap::new())).unwrap();
    let after = "it writes a file for `docker run --env-file` (`--format compose` writes a service instead):";
    assert_eq!(imported.env(), block(&page, after));
    assert_eq!(imported.report, block(&page, "and prints:"));
}
