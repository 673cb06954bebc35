use super::super::model::TargetStatus;
use super::*;

fn target(name: &str, passed: bool) -> TargetStatus {
    TargetStatus {
        name: name.into(),
        passed: Some(passed),
        passed_ms: 3_000,
        reason: None,
        pids: vec![],
        ended: 0,
        is_process: true,
    }
}

fn check(verdict: &'static str, targets: &[(&str, bool)]) -> CheckStatus {
    let targets = targets.iter().map(|(name, passed)| target(name, *passed)).collect();
    CheckStatus { weight: 2, verdict, verdict_ms: 3_000, targets }
}

fn facts(state: Role, master: Option<&str>) -> Facts<'static> {
    Facts {
        state,
        addresses: "10.0.0.2",
        left_out: false,
        drained: false,
        problem: None,
        faults: &[],
        check: None,
        master: master.map(|address| address.parse().unwrap()),
        no_spare: false,
        conflicts: Conflicts::default(),
    }
}

fn verdict(facts: &Facts<'_>) -> (Option<bool>, bool, &'static str, String) {
    let Serving { serves, trouble, cause, text } = judge(facts);
    (serves, trouble, cause, text)
}

#[track_caller]
fn assert(facts: &Facts<'_>, serves: Option<bool>, trouble: bool, cause: &'static str, text: &str) {
    assert_eq!(verdict(facts), (serves, trouble, cause, text.into()));
}

const OTHER: Option<&str> = Some("10.0.0.12");

#[test]
fn where_all_is_well_the_verdict_says_who_serves() {
    let healthy = check("healthy", &[("haproxy", true)]);
    let with = |state, master| Facts { check: Some(&healthy), ..facts(state, master) };
    let text = "10.0.0.2 is served here by haproxy";
    assert(&with(Role::Master, None), Some(true), false, "serving", text);
    assert(&facts(Role::Master, None), Some(true), false, "serving", "10.0.0.2 is here; no check is set");
    let both = Facts { addresses: "10.0.0.2 10.0.0.3", ..facts(Role::Master, None) };
    assert(&both, Some(true), false, "serving", "10.0.0.2 10.0.0.3 are here; no check is set");
    let text = "10.0.0.12 is master; the check of haproxy passes here";
    assert(&with(Role::Backup, OTHER), Some(true), false, "standby", text);
    assert(&facts(Role::Backup, OTHER), Some(true), false, "standby", "10.0.0.12 is master");
    assert(&with(Role::Backup, None), Some(false), false, "waiting", "no master is heard");
    assert(&facts(Role::Init, OTHER), None, false, "stopped", "not started, or stopping");
}

#[test]
fn a_service_that_is_down_comes_before_everything_else_that_a_participant_reports() {
    let failed = check("failed", &[("haproxy", false), ("tcp 127.0.0.1:80", true)]);
    let conflicts = Conflicts { unsent: Some("refused".into()), ..Conflicts::default() };
    let with = |state, master| Facts {
        check: Some(&failed),
        no_spare: true,
        conflicts: conflicts.clone(),
        ..facts(state, master)
    };
    let text =
        "MASTER without a working haproxy for 3.0 s, and nobody better is heard: 10.0.0.2 does not answer";
    assert(&with(Role::Master, None), Some(false), true, "no_service", text);
    let text = "haproxy is DOWN here for 3.0 s; 10.0.0.12 is master";
    for state in [Role::Backup, Role::Fault] {
        assert(&with(state, OTHER), Some(true), true, "service_down", text);
    }
    let text = "haproxy is DOWN here for 3.0 s; no master is heard";
    for state in [Role::Backup, Role::Fault] {
        assert(&with(state, None), Some(false), true, "service_down", text);
    }
}

#[test]
fn the_targets_that_failed_are_named_and_few_of_many() {
    for (targets, named) in [
        (&[("a", false), ("b", false)][..], "a and b are"),
        (&[("a", false), ("b", false), ("c", false)], "a, b and c are"),
        (&[("a", false), ("b", false), ("c", false), ("d", false), ("e", false)], "a, b, c and 2 more are"),
        // It passes again, but not often enough yet.
        (&[("a", true)], "a is"),
        (&[], "the check is"),
    ] {
        let check = check("failed", targets);
        let text = judge(&Facts { check: Some(&check), ..facts(Role::Backup, OTHER) }).text;
        assert_eq!(text, format!("{named} DOWN here for 3.0 s; 10.0.0.12 is master"));
    }
}

#[test]
fn the_reason_of_the_only_failure_is_shown() {
    let mut check = check("failed", &[("haproxy", true), ("tcp 127.0.0.1:81", false)]);
    check.targets[1].reason = Some("Connection refused".into());
    let text = |check: &CheckStatus| judge(&Facts { check: Some(check), ..facts(Role::Backup, OTHER) }).text;
    let expected = "tcp 127.0.0.1:81 is DOWN here for 3.0 s (Connection refused); 10.0.0.12 is master";
    assert_eq!(text(&check), expected);
    check.targets[0].passed = Some(false);
    assert_eq!(text(&check), "haproxy and tcp 127.0.0.1:81 are DOWN here for 3.0 s; 10.0.0.12 is master");
}

#[test]
fn a_service_that_may_still_be_on_its_way_is_no_trouble_except_on_a_master() {
    let mut check = check("failed", &[("haproxy", false), ("tcp 127.0.0.1:81", true)]);
    check.targets[0].reason = Some(NOT_SEEN_YET.into());
    let with = |state, master| Facts { check: Some(&check), ..facts(state, master) };
    let text = "haproxy is not seen yet; 10.0.0.12 is master";
    assert(&with(Role::Backup, OTHER), Some(true), false, "check_unknown", text);
    let text = "haproxy is not seen yet; no master is heard";
    assert(&with(Role::Fault, None), Some(false), false, "check_unknown", text);
    assert_eq!(judge(&with(Role::Master, None)).cause, "no_service");
    let mut check = check.clone();
    check.targets[1].passed = Some(false);
    assert_eq!(judge(&Facts { check: Some(&check), ..facts(Role::Backup, OTHER) }).cause, "service_down");
}

#[test]
fn a_check_without_a_result_is_neither_up_nor_down() {
    let unknown = check("unknown", &[("haproxy", false)]);
    let with = |state, master| Facts { check: Some(&unknown), ..facts(state, master) };
    let text = "the check of haproxy has no verdict yet; 10.0.0.12 is master";
    for state in [Role::Backup, Role::Fault] {
        assert(&with(state, OTHER), None, false, "check_unknown", text);
    }
    let text = "MASTER; the check of haproxy has no verdict yet";
    assert(&with(Role::Master, None), None, false, "check_unknown", text);
}

#[test]
fn a_router_that_takes_no_part_names_the_reason_and_the_master() {
    let faults = ["interface eth1 has no carrier".to_owned(), "no address".to_owned()];
    let with = |master| Facts { faults: &faults, ..facts(Role::Fault, master) };
    let text = "FAULT: interface eth1 has no carrier; no address; 10.0.0.12 is master";
    assert(&with(OTHER), Some(true), true, "fault", text);
    let text = "FAULT: interface eth1 has no carrier; no address; no master is heard";
    assert(&with(None), Some(false), true, "fault", text);
    let drained = |state, master| Facts { drained: true, ..facts(state, master) };
    assert(&drained(Role::Fault, OTHER), Some(true), false, "drained", "drained; 10.0.0.12 is master");
    assert(&drained(Role::Backup, None), Some(false), false, "drained", "drained; no master is heard");
    let left_out = Facts { left_out: true, ..facts(Role::Fault, None) };
    assert(&left_out, None, false, "left_out", "left out on this host");
}

#[test]
fn a_disagreement_with_the_kernel_comes_first() {
    let failed = check("failed", &[("haproxy", false)]);
    let problem = "VI_1 is MASTER, but 10.0.0.2 is not on eth0";
    let with = |state| Facts { problem: Some(problem), check: Some(&failed), ..facts(state, OTHER) };
    assert(&with(Role::Master), Some(false), true, "kernel", problem);
    assert(&with(Role::Backup), Some(true), true, "kernel", problem);
}

#[test]
fn conflicts_are_named_in_the_order_of_what_they_do_to_clients() {
    let other: IpAddr = "10.0.0.12".parse().unwrap();
    let all = Conflicts {
        unsent: Some("cannot send".into()),
        rival: Some((other, 10)),
        claimed: Some("Another host (02:00:00:00:00:09) answers for 10.0.0.2".into()),
        dropped: Some((other, "addresses")),
    };
    let master = |conflicts: &Conflicts| Facts { conflicts: conflicts.clone(), ..facts(Role::Master, None) };
    let backup = |conflicts: &Conflicts, master| Facts {
        conflicts: conflicts.clone(),
        no_spare: true,
        ..facts(Role::Backup, master)
    };
    assert(&master(&all), Some(true), true, "not_sending", "MASTER, but not sending: cannot send");
    let all = Conflicts { unsent: None, ..all };
    let text = "two masters: 10.0.0.12 (priority 10) is one too and does not receive our adverts";
    assert(&master(&all), Some(true), true, "two_masters", text);
    let all = Conflicts { rival: None, ..all };
    let text = "Another host (02:00:00:00:00:09) answers for 10.0.0.2";
    assert(&master(&all), Some(true), true, "address_conflict", text);
    assert(&backup(&all, OTHER), Some(true), true, "address_conflict", text);
    let all = Conflicts { claimed: None, ..all };
    let text = "MASTER: 10.0.0.12 is heard but its adverts are dropped (addresses)";
    assert(&master(&all), Some(true), true, "peer_dropped", text);
    let text = "no master is heard: 10.0.0.12 is heard but its adverts are dropped (addresses)";
    assert(&backup(&all, None), Some(false), true, "peer_dropped", text);
    let text = "no spare: 10.0.0.12 is master, and would stay it if its service died";
    assert(&backup(&Conflicts::default(), OTHER), Some(true), true, "no_spare", text);
    assert(&backup(&Conflicts::default(), None), Some(false), false, "waiting", "no master is heard");
}

#[test]
fn the_worst_router_speaks_for_all() {
    let serving = Serving::quiet(true, "serving", "fine".into());
    let spare = Serving::trouble(true, "no_spare", "no spare".into());
    let down = Serving::trouble(false, "fault", "FAULT".into());
    let unknown = Serving::quiet(None, "check_unknown", "unknown".into());
    let of = |verdicts: &[(&str, Role, &Serving)]| {
        let Serving { serves, trouble, text, .. } = overall(verdicts.iter().copied());
        (serves, trouble, text)
    };
    let [a, b, c] = ["VI_1", "VI_2", "VI_3"];
    let (up, back) = (Role::Master, Role::Backup);
    assert_eq!(of(&[]), (None, false, "there is no router".into()));
    assert_eq!(of(&[(a, up, &serving)]), (Some(true), false, "fine".into()));
    let text = "no problem: 2 MASTER, 1 BACKUP";
    assert_eq!(
        of(&[(a, up, &serving), (b, back, &serving), (c, up, &serving)]),
        (Some(true), false, text.into())
    );
    assert_eq!(
        of(&[(a, up, &serving), (b, back, &unknown)]),
        (None, false, "no problem: 1 MASTER, 1 BACKUP".into())
    );
    assert_eq!(of(&[(a, up, &serving), (b, back, &spare)]), (Some(true), true, "VI_2: no spare".into()));
    let three = [(a, up, &spare), (b, Role::Fault, &down), (c, Role::Fault, &down)];
    assert_eq!(of(&three), (Some(false), true, "VI_2: FAULT (and 1 more router)".into()));
}
