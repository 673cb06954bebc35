//! The defaults of other keepalived images: how an image is told, what it implies, and that the document is true.

use super::images::only;
use super::*;
use crate::config::compat::{INVERTED, PROFILES, Profile};
use crate::config::help::tests::document_holds;

const OSIXIA: [(&str, &str); 2] =
    [("KEEPALIVED_VIRTUAL_IPS", "10.0.0.2"), ("KEEPALIVED_UNICAST_PEERS", "10.0.0.11 10.0.0.12")];

#[test]
fn osixias_defaults_hold_and_are_said_once_with_the_way_out() {
    let outcome = only(&OSIXIA);
    assert_eq!(
        warnings(outcome.clone()),
        ["COMPAT is auto: KEEPALIVED_VIRTUAL_IPS indicates the image osixia, so its defaults apply to \
             unset variables: VIRTUAL_ROUTER=51 PRIORITY=150 PREEMPT=false AUTH_PASS (not shown); nodes \
             with different values make two masters; set COMPAT=osixia to confirm this, or COMPAT=none for \
             the defaults of vrrp-init"]
    );
    let (config, warnings) = outcome.unwrap();
    assert_eq!(warnings[0].level, log::Level::Warn);
    let protocol = &config.routers[0].protocol;
    assert_eq!((protocol.vrid.octet(), protocol.priority.octet(), protocol.preempt), (51, 150, false));
    assert_eq!(protocol.auth.unwrap().octets(), *b"d0cker\0\0");
    assert_eq!(protocol.peers.len(), 2);
    let confirmed = only(&[&OSIXIA[..], &[("COMPAT", "Osixia")]].concat()).unwrap();
    assert_eq!(confirmed.0, config);
    assert_eq!(
        (confirmed.1[0].level, confirmed.1[0].to_string().as_str()),
        (
            log::Level::Info,
            "COMPAT is osixia: the defaults of that image apply to unset variables: VIRTUAL_ROUTER=51 \
             PRIORITY=150 PREEMPT=false \
             AUTH_PASS (not shown)"
        )
    );
}

#[test]
fn nothing_is_implied_against_what_is_set_or_after_none() {
    let none = only(&[&OSIXIA[..], &[("COMPAT", "none"), ("KEEPALIVED_ROUTER_ID", "51")]].concat());
    let protocol = router(none).protocol;
    assert_eq!((protocol.priority.octet(), protocol.preempt, protocol.auth), (100, true, None));
    let set = [
        ("KEEPALIVED_ROUTER_ID", "7"),
        ("KEEPALIVED_PRIORITY", "8"),
        ("KEEPALIVED_PASSWORD", "mine"),
        ("PREEMPT", "true"),
    ];
    let all = router(only(&[&OSIXIA[..], &set].concat())).protocol;
    assert_eq!((all.vrid.octet(), all.priority.octet(), all.preempt), (7, 8, true));
    assert_eq!(all.auth.unwrap().octets(), *b"mine\0\0\0\0");
    let open = only(&[&OSIXIA[..], &[("AUTH_TYPE", "none")]].concat()).unwrap().0;
    assert_eq!(open.routers[0].protocol.auth, None);
    assert_eq!(
        problems(with(&[("COMPAT", "keepalived")])),
        [
            "COMPAT=keepalived  must be auto, none, osixia, arcts, neoassist, shawly, ednxzu, rmartin16, alterway, angelnu"
        ]
    );
}

#[test]
fn start_shs_own_name_implies_nothing() {
    let outcome = only(&[&OSIXIA[..], &[("VIRTUAL_ROUTER", "51")]].concat());
    let (config, warnings) = outcome.unwrap();
    assert_eq!(config.routers[0].protocol.auth, None);
    assert_eq!(
        warnings.iter().map(|w| (w.level, w.to_string())).collect::<Vec<_>>(),
        [(
            log::Level::Info,
            "COMPAT is auto: KEEPALIVED_VIRTUAL_IPS indicates the image osixia, but VIRTUAL_ROUTER is a \
             name of vrrp-init, so no default of osixia applies; set COMPAT=osixia to apply them"
                .to_owned()
        )]
    );
    let ours = [("KEEPALIVED_VIP", "10.0.0.2"), ("KEEPALIVED_VIRTUAL_ROUTER", "51")];
    let peers = [("KEEPALIVED_UNICAST_PEERS", "10.0.0.11")];
    assert_eq!(router(only(&[&ours[..], &peers].concat())).protocol.auth, None);
}

#[test]
fn arcts_defaults_follow_the_state_and_the_number() {
    let arcts = |more: &[(&str, &str)]| {
        let protocol = |outcome: Outcome| outcome.unwrap().0.routers.remove(0);
        let router =
            protocol(only(&[&[("KEEPALIVED_VIRTUAL_IPADDRESS_1", "10.0.0.2/24 dev eth0")], more].concat()));
        let auth = router.protocol.auth.unwrap().octets();
        (router.protocol.vrid.octet(), router.state_hint, router.protocol.priority.octet(), auth)
    };
    assert_eq!(arcts(&[]), (1, StateHint::Master, 200, *b"pwd1\0\0\0\0"));
    let backup = [("KEEPALIVED_STATE", "backup"), ("KEEPALIVED_VIRTUAL_ROUTER_ID", "100")];
    assert_eq!(arcts(&backup), (100, StateHint::Backup, 100, *b"pwd100\0\0"));
}

#[test]
fn the_other_profiles_are_told_by_their_names_too() {
    let defaults = |vars: &[(&str, &str)]| {
        let (config, warnings) = only(vars).unwrap();
        let first = warnings.iter().find(|warning| warning.variable == "COMPAT").unwrap().to_string();
        let image = first.split_once("indicates the image ").unwrap().1.split_once(',').unwrap().0.to_owned();
        let router = &config.routers[0];
        let auth = router.protocol.auth.map(|auth| String::from_utf8_lossy(&auth.octets()).replace('\0', ""));
        (
            image,
            router.protocol.preempt,
            auth,
            router.protocol.refresh,
            router.check.clone().map(|c| c.fall.get()),
        )
    };
    let neo = [("VIRTUAL_IP", "10.0.0.2"), ("VIRTUAL_MASK", "24"), ("VRID", "51"), ("CHECK_PORT", "80")];
    let minute = Some(Duration::from_mins(1));
    assert_eq!(defaults(&neo), ("neoassist".into(), false, Some("blahblah".into()), minute, Some(2)));
    let shawly =
        [("KEEPALIVED_VIRTUAL_IP", "10.0.0.2"), ("KEEPALIVED_VRID", "51"), ("KEEPALIVED_CHECK_PORT", "80")];
    assert_eq!(defaults(&shawly), ("shawly".into(), false, None, minute, Some(2)));
    let rmartin = [("VIRTUAL_IPS", "10.0.0.2"), ("ROUTER_ID", "41")];
    let either = only(&rmartin);
    assert!(problems(either)[0].ends_with("COMPAT=rmartin16, or COMPAT=none for the defaults of vrrp-init"));
    let ednxzu = [&rmartin[..], &[("VRRP_INSTANCE", "web")]].concat();
    assert_eq!(defaults(&ednxzu), ("ednxzu".into(), false, Some("password".into()), None, None));
    let alterway = [("VIRTUAL_IP", "10.0.0.2"), ("VIRTUAL_ROUTER_ID", "51"), ("CONTAINERS_TO_CHECK", "web")];
    assert_eq!(defaults(&alterway), ("alterway".into(), true, Some("s3cr3t".into()), None, None));
}

#[test]
fn every_profile_is_chosen_by_name_and_implies_what_our_parsers_take() {
    for Profile { name, defaults, .. } in PROFILES {
        let vars = [
            ("VIP", "10.0.0.2"),
            ("VRID", "51"),
            ("SERVICE", "haproxy"),
            ("COMPAT", name),
            ("HOST_IP", "10.0.0.11"),
        ];
        let (config, warnings) = only(&vars).unwrap();
        assert_eq!(config.routers.len(), 1, "{name}");
        for (variable, _) in defaults.iter().filter(|(variable, _)| variable.name != "VIRTUAL_ROUTER") {
            assert!(warnings[0].to_string().contains(variable.name), "{name}: {}", warnings[0]);
        }
        let numbered = [("VIP_2", "10.0.0.2"), ("VIRTUAL_ROUTER_2", "51"), ("COMPAT", name)];
        assert_eq!(only(&numbered).unwrap().0.routers.len(), 1, "{name}: nothing makes a first router");
    }
}

fn profiles_as_markdown() -> String {
    let rows = PROFILES.iter().map(|Profile { name, marks, automatic, defaults, .. }| {
        let mark =
            |mark: &&str| format!("`{}`", mark.replace(' ', "` `").replace("IPADDRESS", "IPADDRESS_1"));
        let others = |mark: &str| {
            let others = PROFILES.iter().filter(|other| other.name != *name && other.marks.contains(&mark));
            others.map(|other| other.name).collect::<Vec<_>>()
        };
        let marks: Vec<_> = match marks {
            [only] if !others(only).is_empty() => {
                vec![format!("{}, which fits `{}` as well", mark(only), others(only).join("`, `"))]
            }
            _ => marks.iter().filter(|mark| others(mark).is_empty()).map(mark).collect(),
        };
        let never = if *automatic { "" } else { "never; names: " };
        let defaults = defaults.iter().map(|(Variable { name, .. }, text)| match text.split_once('|') {
            Some(("", other)) => format!("`{name}={other}` unless `STATE=MASTER`"),
            Some((master, backup)) => format!("`{name}={master}`, as BACKUP `{backup}`"),
            None if *text == INVERTED => format!("`{name}`: 255 minus the last octet of `HOST_IP`"),
            None => format!("`{name}={text}`"),
        });
        let defaults: Vec<_> = defaults.collect();
        format!("| `{name}` | {never}{} | {} |\n", marks.join(", or "), defaults.join(", "))
    });
    let head = "| `COMPAT` | `auto` detects it by | defaults of unset variables |\n|---|---|---|\n";
    rows.fold(head.to_owned(), |table, row| table + &row)
}

#[test]
fn the_document_on_migration_holds_exactly_these_profiles() {
    document_holds("docs/migration.md", "profiles", &profiles_as_markdown());
}

/// The `NAME: value` lines of a compose file.
fn environment(compose: &str) -> Vec<(&str, &str)> {
    let (_, lines) = compose.split_once("environment:\n").unwrap();
    lines
        .lines()
        .map(|line| line.trim().split_once(": ").unwrap())
        .map(|(n, v)| (n, v.trim_matches('"')))
        .collect()
}

#[test]
fn both_compose_files_of_each_migration_mean_the_same() {
    let text = include_str!("../../../docs/migration.md");
    let blocks: Vec<_> =
        text.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(blocks.len(), 10);
    for pair in blocks.chunks(2) {
        assert!(pair[0].starts_with("# before") && pair[1].starts_with("# after"), "{pair:?}");
        let (before, said) = only(&environment(pair[0])).unwrap();
        assert!(said.iter().any(|warning| warning.variable == "COMPAT"), "{}", pair[0]);
        let (after, warnings) = only(&environment(pair[1])).unwrap();
        assert_eq!((after, warnings), (before, vec![]), "{}", pair[0]);
    }
}

const ANGELNU: [(&str, &str); 4] = [
    ("HOST_IP", "10.0.0.21"),
    ("KEEPALIVED_VIRTUAL_IP", "10.0.0.2"),
    ("KEEPALIVED_PRIORITY", "11"),
    ("VIRTUAL_ROUTER_ID", "51"),
];

#[test]
fn an_inverted_priority_is_converted_for_the_reader_only() {
    assert_eq!(
        problems(only(&ANGELNU)),
        [
            "KEEPALIVED_PRIORITY=11  means 234 in the image angelnu, which takes 255 minus the last octet of HOST_IP: \
          set PRIORITY=234 instead, COMPAT=angelnu for all defaults of that image, or COMPAT=none to use the number \
          as it is"
        ]
    );
    let taken = router(only(&[&ANGELNU[..], &[("COMPAT", "none")]].concat()));
    assert_eq!(taken.protocol.priority.octet(), 11);
    let empty = [("HOST_IP", ""), ANGELNU[1], ANGELNU[2], ANGELNU[3]];
    assert_eq!(router(only(&empty)).protocol.priority.octet(), 11);
    let instead = [ANGELNU[0], ANGELNU[1], ANGELNU[3], ("PRIORITY", "234")];
    assert_eq!(router(only(&instead)).protocol.priority.octet(), 234);
    let unset = [ANGELNU[0], ANGELNU[1], ANGELNU[3]];
    assert_eq!(
        warnings(only(&unset)),
        [
            "COMPAT is auto: HOST_IP KEEPALIVED_VIRTUAL_IP indicates the image angelnu, which takes 255 minus the last \
          octet of HOST_IP as its priority, 234; set COMPAT=angelnu to apply its defaults, or PRIORITY"
        ]
    );
}

#[test]
fn with_its_image_chosen_an_inverted_priority_is_converted() {
    let chosen = |vars: &[(&str, &str)]| {
        let (config, _) = only(&[vars, &[("COMPAT", "angelnu")]].concat()).unwrap();
        let protocol = &config.routers[0].protocol;
        (protocol.priority.octet(), protocol.auth.unwrap().octets())
    };
    assert_eq!(chosen(&ANGELNU), (234, *b"secret\0\0"));
    assert_eq!(chosen(&[ANGELNU[0], ANGELNU[1]]), (234, *b"secret\0\0"));
    assert_eq!(chosen(&ANGELNU[1..]), (244, *b"secret\0\0"), "without HOST_IP the number counts");
    assert_eq!(chosen(&[ANGELNU[0], ANGELNU[1], ("PRIORITY", "7")]).0, 7, "what is set is not overruled");
    assert_eq!(chosen(&[("HOST_IP", "fd00::11"), ANGELNU[1]]).0, 100);
}

#[test]
fn what_angelnu_cannot_count_down_is_no_priority() {
    let angelnu = [("KEEPALIVED_VIRTUAL_IP", "10.0.0.2"), ("COMPAT", "angelnu")];
    let why = "gives no priority of 1 to 254 in the image angelnu, which subtracts it, or the last octet of HOST_IP, \
               from 255: set PRIORITY instead";
    for text in ["255", "0", "300", "high"] {
        let found = problems(only(&[&angelnu[..], &[("KEEPALIVED_PRIORITY", text)]].concat()));
        assert_eq!(found, [format!("KEEPALIVED_PRIORITY={text}  {why}")]);
    }
    let host = [("HOST_IP", "10.0.0.255"), ("KEEPALIVED_PRIORITY", "11")];
    let vars = [&angelnu[..], &host[..]].concat();
    assert_eq!(problems(only(&vars)), [format!("KEEPALIVED_PRIORITY=11  {why}")]);
    let own = [&angelnu[..], &host[..1], &[("PRIORITY", "20")]].concat();
    assert_eq!(only(&own).unwrap().0.routers[0].protocol.priority.octet(), 20);
}
