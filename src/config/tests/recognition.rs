//! Which image the names in use reveal, and what is asked or said where they reveal none.

use super::images::only;
use super::*;
use crate::config::compat::{PROFILES, Profile};

/// The password and the preemption of the only router, and the messages about `COMPAT`.
fn outcome(vars: &[(&str, &str)]) -> (Option<String>, bool, Vec<String>) {
    let (config, warnings) = only(vars).unwrap_or_else(|error| panic!("{vars:?}: {error}"));
    let protocol = &config.routers[0].protocol;
    let auth = protocol.auth.map(|auth| String::from_utf8_lossy(&auth.octets()).replace('\0', ""));
    let about = warnings.iter().filter(|warning| warning.variable == "COMPAT").map(ToString::to_string);
    (auth, protocol.preempt, about.collect())
}

fn password(vars: &[(&str, &str)]) -> Option<String> {
    outcome(vars).0
}

const EDNXZU: [(&str, &str); 5] = [
    ("INTERFACE", "eth0"),
    ("ROUTER_ID", "52"),
    ("PRIORITY", "100"),
    ("UNICAST_PEERS", "10.0.0.11"),
    ("VIRTUAL_IPS", "10.0.0.2/24"),
];

#[test]
fn ednxzu_is_known_by_each_name_that_only_it_reads() {
    for (name, value) in
        [("VRRP_INSTANCE", "web"), ("UNICAST_SRC_IP", "10.0.0.12"), ("ADVERTISE_INTERVAL", "1")]
    {
        assert_eq!(
            password(&[&EDNXZU[..], &[(name, value)]].concat()).as_deref(),
            Some("password"),
            "{name}"
        );
    }
}

#[test]
fn where_two_images_fit_no_password_is_guessed() {
    assert_eq!(
        problems(only(&EDNXZU)),
        [
            "COMPAT  must be set: VIRTUAL_IPS fits the images ednxzu and rmartin16, whose defaults of AUTH_PASS \
          differ, and nodes with different values make two masters; set COMPAT=ednxzu or COMPAT=rmartin16, \
          or COMPAT=none for the defaults of vrrp-init"
        ]
    );
    let without_number: Vec<_> = EDNXZU.into_iter().filter(|(name, _)| *name != "ROUTER_ID").collect();
    let asked = problems(only(&without_number));
    assert!(asked.len() == 1 && asked[0].contains("of VIRTUAL_ROUTER and AUTH_PASS differ"), "{asked:?}");
    let with = |more| password(&[&EDNXZU[..], &[more]].concat());
    assert_eq!(with(("COMPAT", "rmartin16")).as_deref(), Some("KeptAliv"));
    assert_eq!(with(("COMPAT", "ednxzu")).as_deref(), Some("password"));
    assert_eq!(with(("COMPAT", "none")), None);
    // What both images take needs no question.
    let (auth, preempt, about) = outcome(&[&EDNXZU[..], &[("PASSWORD", "mine")]].concat());
    assert_eq!((auth.as_deref(), preempt), (Some("mine"), false));
    assert!(about[0].contains("indicates the image ednxzu or rmartin16"), "{about:?}");
    assert!(about[0].contains("set COMPAT=ednxzu or COMPAT=rmartin16 to confirm this"), "{about:?}");
    let open = [&EDNXZU[..], &[("AUTH_TYPE", "none")]].concat();
    assert_eq!((outcome(&open).0, outcome(&open).1), (None, false));
}

/// Whatever is said about `COMPAT`, as a problem or a warning.
fn said(vars: &[(&str, &str)]) -> String {
    let texts = match only(vars) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(error) => [problems(Err(error.clone())), warnings_beside_problems(Err(error))].concat(),
    };
    texts.into_iter().filter(|text| text.starts_with("COMPAT ")).collect()
}

#[test]
fn every_two_images_that_fit_equally_well_are_both_named_with_their_compat() {
    let largest = |image: &Profile, names: &[&str]| {
        let found = image.marks.iter().filter(|mark| mark.split(' ').all(|name| names.contains(&name)));
        found.map(|mark| mark.split(' ').count()).max().unwrap_or(0)
    };
    let automatic = || PROFILES.iter().filter(|image| image.automatic);
    let mut ties = vec![];
    for (first, second) in automatic().flat_map(|first| automatic().map(move |second| (first, second))) {
        let marks = first.marks.iter().flat_map(|a| second.marks.iter().map(move |b| [*a, *b]));
        for [a, b] in marks.filter(|_| first.name < second.name) {
            let mut names: Vec<_> = a.split(' ').chain(b.split(' ')).collect();
            names.sort_unstable();
            names.dedup();
            let of = |image| largest(image, &names);
            if of(first) != of(second) || automatic().any(|other| of(other) > of(first)) {
                continue;
            }
            let vars: Vec<_> = names.iter().map(|name| (*name, "10.0.0.2")).collect();
            let text = said(&vars);
            for image in [first, second] {
                assert!(text.contains(&format!("COMPAT={}", image.name)), "{names:?}: {text}");
            }
            ties.push((first.name, second.name));
        }
    }
    assert!(ties.contains(&("ednxzu", "rmartin16")) && ties.len() > 3, "{ties:?}");
}

#[test]
fn a_fork_that_reads_other_names_has_no_defaults_of_the_image() {
    for stranger in ["WEIGHT", "FALL", "RISE", "CHECK_PEERS", "VRRP_PRIORITY"] {
        let vars = [&EDNXZU[..], &[("ADVERTISE_INTERVAL", "1"), (stranger, "100")]].concat();
        let vars: Vec<_> = vars.into_iter().filter(|(name, _)| *name != "PRIORITY").collect();
        let (auth, preempt, about) = outcome(&vars);
        assert_eq!((auth, preempt), (None, true), "{stranger}");
        assert_eq!(
            about,
            [format!(
                "COMPAT is auto: VIRTUAL_IPS ADVERTISE_INTERVAL indicates the image ednxzu, which does not read \
                 {stranger}, so none of its defaults apply; nodes with different values make two masters; set \
                 COMPAT=ednxzu to apply them, or COMPAT=none to confirm this"
            )]
        );
    }
}

#[test]
fn a_fork_of_either_of_two_images_is_told_of_both() {
    let vars = [&EDNXZU[..], &[("WEIGHT", "5")]].concat();
    let (auth, preempt, about) = outcome(&vars);
    assert_eq!((auth, preempt), (None, true));
    assert!(
        about[0].contains("indicates the image ednxzu or rmartin16, which does not read WEIGHT"),
        "{about:?}"
    );
    let ours = [EDNXZU[4], ("VIRTUAL_ROUTER", "52")];
    let about = outcome(&ours).2;
    assert!(about[0].ends_with("set COMPAT=ednxzu or COMPAT=rmartin16 to apply them"), "{about:?}");
}

#[test]
fn a_wrapper_around_an_image_has_a_password_of_its_own() {
    let osixia = [
        ("KEEPALIVED_VIRTUAL_IPS", "10.0.0.2"),
        ("KEEPALIVED_ROUTER_ID", "51"),
        ("KEEPALIVED_PRIORITY", "100"),
    ];
    for name in ["KEEPALIVED_GROUP", "KEEPALIVED_IP", "KEEPALIVED_CONTAINER_NAME"] {
        assert_eq!(password(&[&osixia[..], &[(name, "x")]].concat()), None, "{name}");
        let wrapped = [&osixia[..], &[(name, "x"), ("COMPAT", "osixia")]].concat();
        assert_eq!(password(&wrapped).as_deref(), Some("d0cker"));
    }
    // A misspelled name, other software's names and names of our own are no wrapper.
    for (name, value) in [
        ("KEEPALIVED_PRIORTY", "100"),
        ("KEEPALIVED_SERVICE_PORT", "80"),
        ("HOST_IP", "10.0.0.11"),
        ("WEIGHT", "5"),
        ("SERVICE", "haproxy"),
        ("KEEPALIVED_CHECK_INTERVAL", "2"),
        ("PASSWORD_HASH", "x"),
    ] {
        assert_eq!(password(&[&osixia[..], &[(name, value)]].concat()).as_deref(), Some("d0cker"), "{name}");
    }
}

#[test]
fn an_image_is_known_without_its_rarer_names() {
    let neo = [("VIRTUAL_IP", "10.0.0.2"), ("NETMASK_BIT", "24"), ("VRID", "51"), ("CHECK_PORT", "80")];
    assert_eq!((password(&neo).as_deref(), outcome(&neo).1), (Some("blahblah"), false));
    let alterway = [("VIRTUAL_IP", "10.0.0.2"), ("VIRTUAL_ROUTER_ID", "52"), ("INTERFACE", "eth0")];
    assert_eq!(password(&alterway).as_deref(), Some("s3cr3t"));
    let balanced = [alterway[0], ("ENABLE_LB", "true"), ("REAL_IP", "10.0.0.3"), ("LB_ALGO", "rr")];
    let (config, _) = only(&balanced).unwrap();
    assert_eq!(config.routers[0].protocol.vrid.octet(), 51);
}

#[test]
fn no_preemption_is_implied_for_a_master() {
    let osixia = ("KEEPALIVED_VIRTUAL_IPS", "10.0.0.2");
    let shawly = [("KEEPALIVED_VIRTUAL_IP", "10.0.0.2"), ("KEEPALIVED_VRID", "51")];
    let preempts = |vars: &[&[(&str, &str)]]| outcome(&vars.concat()).1;
    for state in ["MASTER", "master"] {
        assert!(preempts(&[&[osixia, ("KEEPALIVED_STATE", state)]]));
        assert!(preempts(&[&shawly, &[("KEEPALIVED_STATE", state)]]));
        assert!(preempts(&[&EDNXZU, &[("COMPAT", "ednxzu"), ("STATE", state)]]));
        assert!(preempts(&[&EDNXZU, &[("COMPAT", "rmartin16"), ("STATE", state)]]));
        let neo = [("VIRTUAL_IP", "10.0.0.2"), ("VIRTUAL_MASK", "24"), ("VRID", "51"), ("STATE", state)];
        assert!(!preempts(&[&neo]), "its state is always BACKUP");
    }
    assert!(!preempts(&[&[osixia, ("KEEPALIVED_STATE", "BACKUP")]]) && !preempts(&[&[osixia]]));
    assert!(!preempts(&[&[osixia, ("KEEPALIVED_STATE", "MASTER"), ("PREEMPT", "false")]]), "it is set");
}

#[test]
fn each_router_has_the_defaults_of_its_own_state() {
    let two = [("VIP_2", "10.0.0.3"), ("VRID_2", "52")];
    let of = |vars: &[&[(&str, &str)]]| {
        let (config, _) = only(&vars.concat()).unwrap();
        let routers = config.routers.iter().map(|router| &router.protocol);
        routers.map(|protocol| (protocol.preempt, protocol.priority.octet())).collect::<Vec<_>>()
    };
    let osixia = ("KEEPALIVED_VIRTUAL_IPS", "10.0.0.2");
    assert_eq!(of(&[&[osixia, ("STATE_2", "MASTER")], &two]), [(false, 150), (true, 150)]);
    assert_eq!(
        of(&[&[osixia, ("STATE", "MASTER"), ("STATE_2", "BACKUP")], &two]),
        [(true, 150), (false, 150)]
    );
    let arcts = ("KEEPALIVED_VIRTUAL_IPADDRESS_1", "10.0.0.2");
    assert_eq!(of(&[&[arcts, ("STATE_2", "BACKUP")], &two]), [(true, 200), (true, 100)]);
}

#[test]
fn a_missing_number_is_reported_with_the_image_that_has_one() {
    let missing = |vars: &[(&str, &str)]| problems(only(vars)).remove(0);
    let required =
        "VIRTUAL_ROUTER  is required: the number that all nodes of one virtual router share, 1 to 255";
    let angelnu = [("KEEPALIVED_VIRTUAL_IP", "10.0.0.2"), ("KEEPALIVED_PASSWORD", "x")];
    assert_eq!(
        missing(&angelnu),
        format!("{required}; judging by the other names, COMPAT=angelnu implies 51")
    );
    let host = [("HOST_IP", "10.0.0.11"), angelnu[0]];
    assert_eq!(missing(&host), format!("{required}; judging by the other names, COMPAT=angelnu implies 51"));
    let alterway = [("VIRTUAL_IP", "10.0.0.2"), ("PASSWORD", "x"), ("NOTIFY_SCRIPT_PATH", "/x")];
    assert_eq!(
        missing(&alterway),
        format!("{required}; judging by the other names, COMPAT=alterway implies 51")
    );
    let images = [("VIRTUAL_IPS", "10.0.0.2"), ("PASSWORD", "x")];
    assert!(missing(&images).contains("COMPAT=ednxzu or COMPAT=rmartin16"), "{}", missing(&images));
    assert_eq!(missing(&[("VIP", "10.0.0.2")]), required);
    assert_eq!(missing(&[("VIPS", "10.0.0.2")]), required);
    assert_eq!(missing(&[images[0], ("COMPAT", "none")]), required);
    let solved = [angelnu[0], angelnu[1], ("COMPAT", "angelnu")];
    assert_eq!(only(&solved).unwrap().0.routers[0].protocol.vrid.octet(), 51);
}

#[test]
fn a_setting_that_is_ignored_is_said_beside_the_names_of_an_image() {
    let image = [("VIPS", "10.0.0.2"), ("VRID", "51")];
    let without_effect = |name: &str| format!("{name} is not a variable of vrrp-init and has no effect");
    for name in [
        "ENABLE_LB",
        "REAL_IP",
        "LB_ALGO",
        "LB_KIND",
        "WEIGHT",
        "FALL",
        "RISE",
        "AD_INT",
        "INTF",
        "MASK",
        "ADVERT",
        "HOST_IP",
        "OPENSHIFT_HA_VRRP_ID_OFFSET",
        "KEEPALIVED_PEER_IPS",
        "VRRP_PRIO",
        "HELLO_INTERVAL",
        "lb_method",
    ] {
        let outcome = only(&[&image[..], &[(name, "1")]].concat());
        assert_eq!(warnings(outcome.clone()), [without_effect(name)]);
        assert_eq!(outcome.unwrap().1[0].level, log::Level::Warn);
        // Beside our own names it belongs to other software.
        let ours = warnings(with(&[(name, "1")]));
        assert!(ours.iter().all(|line| !line.contains("no effect")), "{ours:?}");
    }
    for name in ["PATH", "MASK_PORT_80_TCP", "LB_SERVICE_HOST", "PRINTER", "REALM", "NODE_IP"] {
        assert_eq!(warnings(only(&[&image[..], &[(name, "1")]].concat())), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_name_beside_the_number_is_forgiven() {
    for (name, number) in [
        ("KEEPALIVED_ROUTER_ID", "VIRTUAL_ROUTER_ID"),
        ("KEEPALIVED_ROUTER_ID", "VIRTUAL_ROUTER"),
        ("VRRP_ROUTER_ID", "VRID"),
        ("ROUTER_ID", "KEEPALIVED_VRID"),
        ("KEEPALIVED_ROUTE_ID", "KEEPALIVED_VIRTUAL_ROUTER_ID"),
        ("KEEPALIVED_ROUTER_ID", "VRRP_ROUTER_ID"),
    ] {
        let vars = [("VIPS", "10.0.0.2"), (name, "node-1.example"), (number, "51"), ("COMPAT", "none")];
        assert_eq!(router(only(&vars)).protocol.vrid.octet(), 51, "{name}");
    }
    let two = [("VIPS", "10.0.0.2"), ("KEEPALIVED_ROUTER_ID", "7"), ("VRID", "51")];
    assert_eq!(
        problems(only(&two)),
        ["KEEPALIVED_ROUTER_ID=7  VRID is also set, to another value; keep one of them"]
    );
    let alone = |name| problems(only(&[("VIPS", "10.0.0.2"), (name, "node-1"), ("COMPAT", "none")]));
    assert_eq!(alone("KEEPALIVED_ROUTER_ID"), ["KEEPALIVED_ROUTER_ID=node-1  must be 1 to 255"]);
    assert!(alone("ROUTER_ID")[0].ends_with("; ROUTER_ID is set, but not to a number"));
    let auto = problems(only(&[("VIPS", "10.0.0.2"), ("ROUTER_ID", "node-1")]));
    assert!(auto[0].ends_with("1 to 255; ROUTER_ID is set, but not to a number"), "{auto:?}");
}
