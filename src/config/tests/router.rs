//! The variables of one router, without those of the protocol, and of the log.

use super::*;
use crate::config::model::NotifyConfig;

#[test]
fn the_master_of_the_article_runs_as_it_is() {
    let seed = [
        ("SERVICE", "haproxy"),
        ("CHECK_INTERVAL", "2"),
        ("CHECK_WEIGHT", "2"),
        ("INTERFACE", "enp0s3"),
        ("STATE", "MASTER"),
        ("VIRTUAL_ROUTER", "51"),
        ("PRIORITY", "11"),
        ("VIP", "10.0.0.2"),
    ];
    let container = [("PATH", "/usr/bin:/bin"), ("HOSTNAME", "keepalived"), ("HOME", "/root")];
    let (config, warnings) = read(os(&[&seed[..], &container[..]].concat()), no_file).unwrap();
    assert_eq!(warnings, []);
    let one = NonZeroU32::MIN;
    let vip = VirtualAddress { address: [10, 0, 0, 2].into(), prefix: 32, device: None, label: None };
    let router = RouterConfig {
        number: 1,
        name: "VI_1".into(),
        interface: InterfaceChoice::Named("enp0s3".into()),
        subnet_hint: vip.address,
        state_hint: StateHint::Master,
        protocol: Rc::new(Settings {
            lease: Lease::from_seconds(4),
            ..Settings::new(Vrid::new(51).unwrap(), Priority::new(11).unwrap(), vec![vip.address])
        }),
        addresses: [vip].into(),
        excluded: [].into(),
        track: [].into(),
        unicast_source: None,
        notify: NotifyConfig::default(),
        check: Some(Rc::new(CheckConfig {
            services: vec!["haproxy".into()],
            tcp: vec![],
            http: vec![],
            statuses: vec![200..=399],
            dns: vec![],
            script: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            weight: Weight::new(2).unwrap(),
            rise: one,
            fall: one,
        })),
    };
    let log = LogConfig { level: LevelFilter::Info, format: LogFormat::Text, time: false };
    let lifeline = NonZeroU16::new(9_112);
    let serve = ServeConfig { socket: Some("/run/vrrp-init.sock".into()), metrics: None };
    let (guard, programs, sandbox, env_file) = (GuardChoice::Auto, ProgramConfig::default(), true, None);
    let (routers, drain_file, files) = (vec![router], Some("/run/vrrp-init.drain".into()), Box::default());
    let expected =
        Config { routers, guard, lifeline, serve, drain_file, log, programs, sandbox, env_file, files };
    assert_eq!(config, expected);
}

#[test]
fn two_variables_are_enough_and_the_table_gives_the_rest() {
    let router = router(with(&[]));
    assert_eq!(router.interface, InterfaceChoice::Auto);
    assert_eq!(router.state_hint, StateHint::Backup);
    assert_eq!(router.protocol.priority, Priority::new(100).unwrap());
    assert_eq!(router.check, None);
    assert_eq!(&*router.name, "VI_1");
}

#[test]
fn every_variable_has_its_say() {
    let outcome = with(&[
        ("VIP", "10.0.0.2/24 dev eth1, 10.0.0.3"),
        ("STATE", "master"),
        ("PRIORITY", "255"),
        ("SERVICE", "haproxy, nginx"),
        ("CHECK_INTERVAL", "0.25"),
        ("CHECK_RISE", "2"),
        ("CHECK_FALL", "3"),
        ("ADVERT_INT", "5"),
        ("PREEMPT", "no"),
        ("INSTANCE_NAME", "web"),
        ("LOG_LEVEL", "DEBUG"),
        ("LOG_FORMAT", "json"),
    ]);
    let log = outcome.clone().unwrap().0.log;
    assert_eq!(log, LogConfig { level: LevelFilter::Debug, format: LogFormat::Json, time: false });
    let router = router(outcome);
    assert_eq!(&*router.name, "web");
    assert_eq!(router.state_hint, StateHint::Master);
    assert_eq!(router.protocol.priority, Priority::OWNER);
    assert_eq!(router.protocol.interval, Interval::from_seconds(5).unwrap());
    assert!(!router.protocol.preempt);
    assert_eq!(router.protocol.addresses.len(), 2);
    assert_eq!(router.addresses[0].to_string(), "10.0.0.2/24 dev eth1");
    let check = router.check.unwrap();
    assert_eq!(check.services, ["haproxy", "nginx"]);
    assert_eq!((check.rise.get(), check.fall.get()), (2, 3));
    assert_eq!((check.interval, check.weight), (Duration::from_millis(250), Weight::FAULT));
}

#[test]
fn empty_is_unset() {
    let vars =
        VARIABLES.iter().filter(|v| !["VIP", "VIRTUAL_ROUTER"].contains(&v.name)).map(|v| (v.name, ""));
    assert_eq!(router(with(&vars.collect::<Vec<_>>())), router(with(&[])));
}

#[test]
fn what_is_missing_is_named_with_what_it_is() {
    assert_eq!(
        problems(read(os(&[("VIP", ""), ("PATH", "/bin")]), no_file)),
        [
            "VIP  is required: the virtual addresses, such as 10.0.0.2/24",
            "VIRTUAL_ROUTER  is required: the number that all nodes of one virtual router share, 1 to 255"
        ]
    );
}

#[test]
fn all_problems_come_in_one_report() {
    let error = read(
        os(&[
            ("VIRTUAL_ROUTR", "51"),
            ("PRIORITY", "256"),
            ("VIP", "10.0.0.300 10.0.0.2/33"),
            ("LOG_LEVEL", "loud"),
        ]),
        no_file,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\
vrrp-init: 6 problems in the environment
  VIP=10.0.0.300  is not an address such as 10.0.0.2, 10.0.0.2/24 or fd00::2
  VIP=10.0.0.2/33  must have a prefix length of 1 to 32
  VIRTUAL_ROUTER   is required: the number that all nodes of one virtual router share, 1 to 255
  PRIORITY=256     must be 1 to 254, or 255 for the address owner
  LOG_LEVEL=loud   must be error, warn, info, debug or trace
  VIRTUAL_ROUTR    is not a variable of vrrp-init; did you mean VIRTUAL_ROUTER?"
            .replace("VIP=10.0.0.300  is", "VIP=10.0.0.300   is")
    );
}

#[test]
fn virtual_router_is_1_to_255() {
    for value in ["0", "256", "abc", "-1", "1.5", "51 52"] {
        refused("VIRTUAL_ROUTER", value, "must be 1 to 255");
    }
    assert_eq!(router(with(&[("VIRTUAL_ROUTER", " 255 ")])).protocol.vrid.octet(), 255);
}

#[test]
fn priority_is_1_to_255() {
    for value in ["0", "256", "high"] {
        refused("PRIORITY", value, "must be 1 to 254, or 255 for the address owner");
    }
}

#[test]
fn vip_must_hold_addresses_a_router_can_have() {
    refused("VIP", "10.0.0.300", "is not an address such as 10.0.0.2, 10.0.0.2/24 or fd00::2");
    refused("VIP", "10.0.0.2/33", "must have a prefix length of 1 to 32");
    refused("VIP", ",", "contains no address");
    refused("VIP", "127.0.0.2", "cannot be a virtual address: it is a loopback address");
    assert_eq!(problems(with(&[("VIP", "10.0.0.2\n10.0.0.2/24")])), ["VIP=10.0.0.2/24  is listed twice"]);
}

#[test]
fn state_is_master_or_backup() {
    for value in ["FAULT", "primary"] {
        refused("STATE", value, "must be MASTER or BACKUP");
    }
}

#[test]
fn check_weight_is_at_most_253_either_way() {
    for value in ["300", "-254", "254", "2%"] {
        refused("CHECK_WEIGHT", value, "must be -253 to 253");
    }
    let check = router(with(&[("CHECK_WEIGHT", "-253"), ("SERVICE", "haproxy")])).check.unwrap();
    assert_eq!(check.weight.get(), -253);
}

#[test]
fn check_interval_is_above_zero() {
    for value in ["0", "-1", "0.0", "0.0001", "86401", "2s", "often"] {
        refused("CHECK_INTERVAL", value, "must be 0.001 to 86400 seconds");
    }
}

#[test]
fn rise_and_fall_are_counts() {
    for name in ["CHECK_RISE", "CHECK_FALL"] {
        for value in ["0", "-1", "1.5", "4294967296"] {
            refused(name, value, "must be a whole number from 1 to 4294967295");
        }
    }
}

#[test]
fn preempt_and_fast_failover_are_booleans() {
    for name in ["PREEMPT", "FAST_FAILOVER"] {
        for value in ["maybe", "2", "true false"] {
            refused(name, value, "must be true or false (yes, no, on, off, 1 and 0 also work)");
        }
    }
    assert!(!router(with(&[("FAST_FAILOVER", "Off")])).protocol.fast);
}

#[test]
fn vip_lease_is_whole_seconds_never_or_auto() {
    for value in ["-1", "0.5", "86401", "forever", "4s"] {
        let why = "must be 1 to 86400 whole seconds, 0 for no limit, or auto";
        refused("VIP_LEASE", value, why);
    }
    let lease = |value| router(with(&[("VIP_LEASE", value)])).protocol.lease;
    assert_eq!((lease("0"), lease("86400")), (None, Lease::from_seconds(86_400)));
    assert_eq!(lease("Auto"), lease(""));
}

#[test]
fn interface_is_a_name_the_kernel_takes() {
    for value in ["eth/0", "eth 0", "eth0:1", ".", "..", "eth0,eth1 eth2"] {
        refused(
            "INTERFACE",
            value,
            "must be an interface name: 1 to 15 bytes, or an altname of up to 127, without slash, colon, space or quotes",
        );
    }
    for name in ["exactly15bytes_", "enp0s31f6-altname", &"x".repeat(127)] {
        let router = router(with(&[("INTERFACE", name)]));
        assert_eq!(router.interface, InterfaceChoice::Named(name.into()));
    }
    assert!(with(&[("INTERFACE", &"x".repeat(128))]).is_err());
}

#[test]
fn service_is_a_name_not_a_path() {
    let path = "must be the name of a process, or the absolute path of its program";
    for value in ["bin/", "bin/a", "./a", "/usr/bin/"] {
        refused("SERVICE", value, path);
    }
    for value in ["user:", "user:1:2", "user:-1", "user:4294967295", "user:a:b"] {
        refused("SERVICE", value, "must have a user's number or name after user:, such as user:33");
    }
    let outcome = read(
        os(&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("SERVICE", "user:web user:7 /bin/a")]),
        |path| {
            assert_eq!(path, Path::new("/etc/passwd"));
            Ok(b"root:x:0:0::/:\nweb:x:33:33::/:\n".to_vec())
        },
    );
    assert_eq!(router(outcome).check.unwrap().services, ["user:33", "user:7", "/bin/a"]);
    let outcome = read(os(&[("VIP", "10.0.0.2"), ("VIRTUAL_ROUTER", "51"), ("SERVICE", "user:web")]), |_| {
        Err(ErrorKind::NotFound.into())
    });
    assert_eq!(
        problems(outcome),
        [
            "SERVICE=user:web  cannot be found, because /etc/passwd cannot be read (entity not found); a number always works"
        ]
    );
    refused("SERVICE", "\"haproxy", "must be the name of a process, without quotes");
    refused("SERVICE", ",", "contains no process name");
    assert_eq!(
        problems(with(&[("SERVICE", "haproxy bin/a bin/b")])),
        [
            "SERVICE=bin/a  must be the name of a process, or the absolute path of its program",
            "SERVICE=bin/b  must be the name of a process, or the absolute path of its program"
        ]
    );
}

#[test]
fn names_and_log_settings_are_checked() {
    refused("INSTANCE_NAME", "my router", "must be one word");
    refused("LOG_LEVEL", "off", "must be error, warn, info, debug or trace");
    refused("LOG_FORMAT", "xml", "must be text or json, or with the time text+time or json+time");
}

#[test]
fn a_near_miss_is_a_warning_without_its_value() {
    assert_eq!(
        warnings(with(&[("PRIORTY", "200"), ("check_weight", "2"), ("TERM", "xterm"), ("SERVICE_X", "y")])),
        [
            "PRIORTY is not a variable of vrrp-init; did you mean PRIORITY?",
            "check_weight is not a variable of vrrp-init; did you mean CHECK_WEIGHT?"
        ]
    );
}

#[test]
fn a_name_with_a_line_break_is_one_line_of_the_log() {
    assert_eq!(
        warnings(with(&[("CHECK\nHTTP", "x")])),
        ["CHECK\\nHTTP is not a variable of vrrp-init; did you mean CHECK_HTTP?"]
    );
}

#[test]
fn ignored_words_of_an_address_are_a_warning() {
    assert_eq!(
        warnings(with(&[("VIP", "10.0.0.2/24 brd + dev eth0")])),
        ["VIP 10.0.0.2/24: brd + is ignored: a virtual address gets no broadcast address"]
    );
}

#[test]
fn a_weight_that_cannot_move_an_owner_is_a_warning() {
    let owner = |weight| with(&[("PRIORITY", "255"), ("SERVICE", "haproxy"), ("CHECK_WEIGHT", weight)]);
    assert_eq!(
        warnings(owner("-20")),
        ["CHECK_WEIGHT -20 has no effect: the priority of an address owner, 255, never changes"]
    );
    assert_eq!(warnings(owner("0")), [""; 0]);
}

#[test]
fn a_check_of_nothing_is_a_warning() {
    assert_eq!(
        warnings(with(&[("CHECK_WEIGHT", "2"), ("CHECK_FALL", "2")])),
        [
            "CHECK_WEIGHT has no effect: nothing is checked without SERVICE, CHECK_TCP, CHECK_HTTP, CHECK_DNS or CHECK_SCRIPT",
            "CHECK_FALL has no effect: nothing is checked without SERVICE, CHECK_TCP, CHECK_HTTP, CHECK_DNS or CHECK_SCRIPT"
        ]
    );
}
