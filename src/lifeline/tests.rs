//! What counts as a death, what it costs to be refused, and what a hostile peer may do.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::accepted::{MOST, MOST_OF_SOURCE};
use super::*;
use crate::ids::LifelineId;
use crate::time::Instant;

const SHIELDED: Guarded = Guarded { v4: true, v6: true };
const VRID: u8 = 51;
const MASTER: Identity = Identity([7; 8]);

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn endpoint(address: &str) -> Endpoint {
    let scope = if address.starts_with("fe80") { 2 } else { 0 };
    Endpoint { address: address.parse().unwrap(), scope }
}

fn master() -> Endpoint {
    endpoint("10.0.0.11")
}

fn followed(endpoint: Endpoint) -> Wanted {
    Wanted { endpoint, followed: true }
}

fn greeting() -> Vec<u8> {
    Frame::Greeting { identity: MASTER, guarded: SHIELDED }.octets()
}

fn lifelines() -> Lifelines {
    Lifelines::new(Identity([1; 8]), at(0))
}

fn routers(from: &str, vrids: &[u8]) -> Routers {
    let mut routers = Routers::at(from.parse().unwrap());
    for vrid in vrids {
        routers.add(*vrid);
    }
    routers
}

/// The virtual routers of which this process is master.
fn masters(vrids: &[u8]) -> Ranks {
    Ranks { masters: vec![routers("10.0.0.1", vrids)], standby: vec![] }
}

fn priorities(from: &str, of: &[(u8, u8)]) -> Priorities {
    Priorities { from: from.parse().unwrap(), of: of.to_vec() }
}

/// A master of one virtual router.
fn serving() -> Lifelines {
    let mut lifelines = lifelines();
    lifelines.set_routers(vec![routers("10.0.0.1", &[VRID])], masters(&[VRID]));
    lifelines.want(at(0), &[], Some(SHIELDED));
    lifelines
}

/// A backup connects and says which virtual routers it has.
fn accept(lifelines: &mut Lifelines, ms: u64, from: &str, vrids: &[u8]) -> LifelineId {
    let id = lifelines.accept(at(ms), endpoint(from), Way::Accepted).unwrap();
    lifelines.received(at(ms), id, &Frame::Routers(routers(from, vrids)).octets());
    id
}

/// The connections to open, of the actions so far.
fn opens(lifelines: &mut Lifelines) -> Vec<LifelineId> {
    let open = |action| if let Action::Open { id, .. } = action { Some(id) } else { None };
    lifelines.take_actions().into_iter().filter_map(open).collect()
}

fn deaths(lifelines: &mut Lifelines) -> Vec<Vec<Endpoint>> {
    let died = |action| if let Action::Died { from, .. } = action { Some(from) } else { None };
    lifelines.take_actions().into_iter().filter_map(died).collect()
}

/// A backup that follows these masters and connects to them, at 100 ms.
fn backup(masters: &[Endpoint]) -> Lifelines {
    let mut backup = lifelines();
    let wanted: Vec<_> = masters.iter().map(|master| followed(*master)).collect();
    backup.want(at(0), &wanted, None);
    assert_eq!((backup.take_actions(), backup.deadline()), (vec![], Some(at(10))));
    backup.expire(at(100));
    backup
}

/// A backup that follows [`master`] and is connected to it, though not greeted.
fn connected() -> (Lifelines, LifelineId) {
    let mut backup = backup(&[master()]);
    let [id] = opens(&mut backup)[..] else { panic!("one attempt") };
    backup.established(at(101), id);
    // That it tells its priorities.
    let _ = backup.take_actions();
    (backup, id)
}

fn greeted() -> (Lifelines, LifelineId) {
    let (mut backup, id) = connected();
    backup.received(at(102), id, &greeting());
    assert_eq!(backup.take_actions(), [Action::Connected(master())]);
    (backup, id)
}

#[test]
fn the_end_of_a_greeted_connection_is_a_death() {
    let (mut backup, id) = greeted();
    assert_eq!(backup.state(master(), VRID), State::Connected { since: at(101), guarded: SHIELDED });
    backup.ended(at(110), id, End::Finished);
    let died = Action::Died { from: vec![master()], guarded: SHIELDED, routers: vec![] };
    assert_eq!(backup.take_actions(), [died, Action::Failed(master(), Trouble::Closed)]);
}

#[test]
fn the_end_of_any_other_connection_is_none() {
    let (mut silent, id) = connected();
    silent.ended(at(110), id, End::Finished);
    assert!(deaths(&mut silent).is_empty(), "not greeted");
    let (mut left, id) = greeted();
    left.received(at(109), id, &Frame::Goodbye.octets());
    left.ended(at(110), id, End::Finished);
    assert!(deaths(&mut left).is_empty(), "goodbye");
    let (mut lost, id) = greeted();
    lost.ended(at(110), id, End::Broken);
    assert!(deaths(&mut lost).is_empty(), "a link that failed");
    let (mut other, id) = greeted();
    other.want(at(109), &[followed(endpoint("10.0.0.12"))], None);
    other.ended(at(110), id, End::Finished);
    assert!(deaths(&mut other).is_empty(), "not our master any more");
}

#[test]
fn a_connection_whose_address_here_is_gone_is_opened_again() {
    let (mut backup, id) = greeted();
    backup.displaced(at(110), id);
    assert_eq!(backup.take_actions(), [Action::Close { id, how: Close::Abort }]);
    assert_eq!((backup.state(master(), VRID), backup.deadline()), (State::Connecting, Some(at(210))));
    backup.expire(at(210));
    let [again] = opens(&mut backup)[..] else { panic!("one attempt") };
    backup.displaced(at(220), again);
    backup.expire(at(320));
    assert_eq!(opens(&mut backup).len(), 1, "one that was on its way");
    let mut lifelines = lifelines();
    lifelines.want(at(0), &[], Some(SHIELDED));
    let id = lifelines.accept(at(1), master(), Way::Accepted).unwrap();
    let _ = lifelines.take_actions();
    lifelines.displaced(at(2), id);
    let goodbye = Action::Send { id, octets: Frame::Goodbye.octets() };
    assert_eq!(lifelines.take_actions(), [goodbye, Action::Close { id, how: Close::Finish }]);
}

/// A connection that broke, or whose end came late, is opened again at once, whatever was the reason; the back-off is for
/// what comes of that.
#[test]
fn what_was_greeted_is_opened_again_at_once_and_a_closed_port_then_is_no_death() {
    for (end, dead) in [(End::Finished, 1), (End::Broken, 0)] {
        let (mut backup, id) = greeted();
        backup.ended(at(110), id, end);
        assert_eq!(deaths(&mut backup).len(), dead);
        backup.expire(at(210));
        let [again] = opens(&mut backup)[..] else { panic!("one more attempt") };
        backup.failed(at(211), again, Failure::Refused);
        assert_eq!(backup.take_actions(), [Action::Failed(master(), Trouble::Refused)]);
        assert_eq!(backup.deadline(), Some(at(2_211)));
        backup.expire(at(2_211));
        let [third] = opens(&mut backup)[..] else { panic!("one more attempt") };
        backup.established(at(2_212), third);
        backup.received(at(2_213), third, &greeting());
        assert!(matches!(backup.state(master(), VRID), State::Connected { .. }));
    }
}

#[test]
fn a_master_without_a_lifeline_costs_one_attempt_a_minute_in_the_end() {
    let mut backup = backup(&[master()]);
    let (mut now, mut attempts, mut failures) = (at(100), vec![], 0);
    while now < at(600_000) {
        for action in backup.take_actions() {
            if let Action::Open { id, .. } = action {
                attempts.push(now.since_start().as_secs());
                backup.failed(now, id, Failure::Refused);
            } else {
                assert_eq!(action, Action::Failed(master(), Trouble::Refused));
                failures += 1;
            }
        }
        let next = backup.deadline().unwrap();
        assert!(now < next, "no wake-up without cause");
        now = next;
        backup.expire(now);
    }
    assert_eq!(attempts[..8], [0, 1, 3, 7, 15, 31, 63, 123]);
    assert_eq!((attempts.len(), failures), (15, 1), "reported once");
    assert_eq!(backup.state(master(), VRID), State::Failed(Trouble::Refused));
}

#[test]
fn a_new_master_that_does_not_listen_yet_is_tried_again_after_a_moment() {
    let mut backup = lifelines();
    backup.want(at(0), &[followed(master())], None);
    backup.expire(at(10));
    let [id] = opens(&mut backup)[..] else { panic!("one attempt") };
    backup.failed(at(11), id, Failure::Refused);
    assert_eq!((backup.take_actions(), backup.deadline()), (vec![], Some(at(100))));
    backup.expire(at(100));
    let [id] = opens(&mut backup)[..] else { panic!("one more attempt") };
    backup.failed(at(101), id, Failure::Refused);
    assert_eq!(backup.take_actions(), [Action::Failed(master(), Trouble::Refused)]);
    assert_eq!(backup.deadline(), Some(at(1_101)));
}

#[test]
fn a_peer_that_becomes_master_is_tried_soon_however_often_it_refused_before() {
    let mut backup = lifelines();
    let peer = Wanted { endpoint: master(), followed: false };
    backup.want(at(0), &[peer], Some(SHIELDED));
    let mut now = at(0);
    for _ in 0..7 {
        now = backup.deadline().unwrap();
        backup.expire(now);
        let [id] = opens(&mut backup)[..] else { panic!("one attempt") };
        backup.failed(now, id, Failure::Refused);
        let _ = backup.take_actions();
    }
    assert_eq!(backup.deadline().map(|next| next.since(now)), Some(Duration::from_mins(1)));
    backup.want(now, &[followed(master())], None);
    for wait in [100, 1_000] {
        let [id] = opens(&mut backup)[..] else { panic!("one attempt") };
        backup.failed(now, id, Failure::Refused);
        let next = backup.deadline().unwrap();
        assert_eq!(next.since(now), Duration::from_millis(wait));
        now = next;
        backup.expire(now);
    }
}

#[test]
fn an_attempt_without_an_answer_is_reported_once_and_left_to_the_kernel() {
    let mut backup = backup(&[master()]);
    let [id] = opens(&mut backup)[..] else { panic!("one attempt") };
    assert_eq!((backup.state(master(), VRID), backup.deadline()), (State::Connecting, Some(at(3_100))));
    backup.expire(at(3_100));
    assert_eq!(backup.take_actions(), [Action::Failed(master(), Trouble::Blocked)]);
    assert_eq!((backup.state(master(), VRID), backup.deadline()), (State::Failed(Trouble::Blocked), None));
    backup.failed(at(127_000), id, Failure::Unanswered);
    assert_eq!((backup.take_actions(), backup.deadline()), (vec![], Some(at(128_000))));
}

#[test]
fn a_second_connection_to_one_process_is_closed_and_its_death_is_that_of_both_addresses() {
    let other = endpoint("fe80::11");
    let mut backup = backup(&[master(), other]);
    let [first, second] = opens(&mut backup)[..] else { panic!("two attempts") };
    for (id, ms) in [(first, 101), (second, 102)] {
        backup.established(at(ms), id);
    }
    let _ = backup.take_actions();
    for (id, ms) in [(first, 103), (second, 104)] {
        backup.received(at(ms), id, &greeting());
    }
    let closed = Action::Close { id: second, how: Close::Abort };
    assert_eq!(backup.take_actions(), [Action::Connected(master()), Action::Connected(other), closed]);
    assert_eq!(backup.state(other, VRID), State::Connected { since: at(101), guarded: SHIELDED });
    assert_eq!(backup.deadline(), None, "nothing is missing");
    backup.ended(at(109), first, End::Finished);
    assert_eq!(deaths(&mut backup), [[master(), other]]);
}

#[test]
fn two_masters_are_two_processes() {
    let other = endpoint("10.0.0.12");
    let mut backup = backup(&[master(), other]);
    let ids = opens(&mut backup);
    for (n, id) in (1u8..).zip(&ids) {
        backup.established(at(101), *id);
        let greeting = Frame::Greeting { identity: Identity([n; 8]), guarded: SHIELDED };
        backup.received(at(101), *id, &greeting.octets());
    }
    backup.ended(at(109), ids[1], End::Finished);
    assert_eq!(deaths(&mut backup), [[other]]);
    assert!(matches!(backup.state(master(), VRID), State::Connected { .. }));
}

/// The reports and closed connections after these octets and two more seconds.
fn given(octets: &[u8]) -> Vec<Action> {
    let (mut backup, id) = connected();
    backup.received(at(102), id, octets);
    let at_once = backup.take_actions();
    if at_once.is_empty() {
        backup.expire(at(2_101));
        return backup.take_actions();
    }
    at_once
}

#[test]
fn who_does_not_greet_is_left_alone() {
    let (closed, failed) =
        (Action::Close { id: LifelineId(1), how: Close::Abort }, |trouble| Action::Failed(master(), trouble));
    assert_eq!(given(b""), [closed.clone(), failed(Trouble::Silent)]);
    assert_eq!(given(b"\x01"), [closed.clone(), failed(Trouble::Silent)], "half a frame");
    assert_eq!(given(b"\x07\x01?"), [closed.clone(), failed(Trouble::Silent)], "only an unknown frame");
    assert_eq!(
        given(b"\x01\x0eVILX\x01\x01\x02\x03\x04\x05\x06\x07\x08\x03"),
        [closed.clone(), failed(Trouble::NotALifeline)]
    );
    assert_eq!(given(b"\x02\x01\x03"), [closed.clone(), failed(Trouble::NotALifeline)], "no greeting before");
    let mut newer = greeting();
    newer[6] = 9;
    assert_eq!(given(&newer), [closed.clone(), failed(Trouble::Version(9))]);
    let flood = [greeting(), [9, 0].repeat(140)].concat();
    assert_eq!(given(&flood), [closed, failed(Trouble::NotALifeline)]);
}

#[test]
fn another_identity_on_the_same_connection_is_a_forgery() {
    let (mut backup, id) = greeted();
    let other = Frame::Greeting { identity: Identity([9; 8]), guarded: SHIELDED };
    backup.received(at(103), id, &other.octets());
    let expected = [Action::Close { id, how: Close::Abort }, Action::Failed(master(), Trouble::NotALifeline)];
    assert_eq!(backup.take_actions(), expected);
}

#[test]
fn the_last_flags_before_the_death_count() {
    let (mut backup, id) = greeted();
    let bare = Guarded { v4: false, v6: true };
    backup.received(at(103), id, &Frame::Guarded(bare).octets());
    assert_eq!(backup.state(master(), VRID), State::Connected { since: at(101), guarded: bare });
    backup.ended(at(104), id, End::Finished);
    assert_eq!(
        backup.take_actions()[0],
        Action::Died { from: vec![master()], guarded: bare, routers: vec![] }
    );
}

#[test]
fn a_master_greets_reports_its_guard_and_says_goodbye() {
    let mut lifelines = lifelines();
    let backup = endpoint("10.0.0.12");
    assert_eq!(lifelines.accept(at(0), backup, Way::Accepted), None, "no master");
    let ours = routers("10.0.0.1", &[VRID, 52]);
    lifelines.set_routers(vec![ours], Ranks::default());
    lifelines.want(at(0), &[], Some(Guarded::default()));
    let id = accept(&mut lifelines, 1, "10.0.0.12", &[52]);
    lifelines.want(at(2), &[], Some(Guarded::default()));
    lifelines.want(at(3), &[], Some(SHIELDED));
    assert_eq!(lifelines.backups().collect::<Vec<_>>(), [backup]);
    lifelines.stop();
    let hello = Frame::Greeting { identity: Identity([1; 8]), guarded: Guarded::default() };
    let hello = Action::Send { id, octets: [hello.octets(), Frame::Routers(ours).octets()].concat() };
    let send = |frame: Frame| Action::Send { id, octets: frame.octets() };
    let finish = Action::Close { id, how: Close::Finish };
    let expected = [hello, send(Frame::Guarded(SHIELDED)), send(Frame::Goodbye), finish];
    assert_eq!(lifelines.take_actions(), expected);
    assert_eq!(lifelines.backups().count(), 0);
}

#[test]
fn a_client_counts_as_a_backup_once_it_has_said_that_it_has_a_virtual_router_of_ours() {
    let mut lifelines = serving();
    let id = lifelines.accept(at(1), endpoint("10.0.0.12"), Way::Accepted).unwrap();
    for (from, vrid, counts) in
        [("10.0.0.12", 52, 0), ("fe80::12", VRID, 0), ("10.0.0.12", VRID, 1), ("10.0.0.12", 52, 0)]
    {
        lifelines.received(at(2), id, &Frame::Routers(routers(from, &[vrid])).octets());
        lifelines.received(at(2), id, &Frame::Routers(routers("fe80::12", &[])).octets());
        assert_eq!(lifelines.backups().count(), counts, "{from} {vrid}");
    }
}

#[test]
fn the_processes_of_a_backup_each_keep_a_connection_and_one_that_comes_back_replaces_its_own() {
    let mut lifelines = serving();
    lifelines.set_routers(vec![routers("10.0.0.1", &[VRID, 52])], masters(&[VRID, 52]));
    let first = accept(&mut lifelines, 1, "10.0.0.12", &[VRID]);
    accept(&mut lifelines, 2, "10.0.0.12", &[52]);
    assert_eq!(lifelines.backups().count(), 2);
    let _ = lifelines.take_actions();
    accept(&mut lifelines, 3, "10.0.0.12", &[VRID]);
    assert_eq!(lifelines.backups().count(), 2);
    let closed = Action::Close { id: first, how: Close::Finish };
    assert!(lifelines.take_actions().contains(&closed), "it was half-open");
}

#[test]
fn a_flood_of_connections_gets_four_per_source_and_sixteen_at_most_and_no_backup_gives_way() {
    let mut lifelines = serving();
    let backup = accept(&mut lifelines, 0, "10.0.0.12", &[VRID]);
    let mut open = vec![];
    let mut flood = |lifelines: &mut Lifelines, ms, from: &str| {
        let remote = endpoint(from);
        open.extend(lifelines.accept(at(ms), remote, Way::Accepted).map(|id| (id, remote)));
        for action in lifelines.take_actions() {
            if let Action::Close { id, .. } = action {
                assert_ne!(id, backup);
                open.retain(|(known, _)| *known != id);
            }
        }
        (open.len(), open.iter().filter(|(_, at)| *at == remote).count())
    };
    for n in 0..500 {
        let (_, of_source) = flood(&mut lifelines, n, "10.0.0.12");
        // The backup has one of them.
        assert!(of_source < MOST_OF_SOURCE);
    }
    for n in 1..=254 {
        let (all, _) = flood(&mut lifelines, 500, &format!("10.0.1.{n}"));
        assert!(all < MOST);
    }
    assert_eq!(lifelines.backups().collect::<Vec<_>>(), [endpoint("10.0.0.12")]);
}

/// Two processes on one host, whose virtual routers have the same master's address.
#[test]
fn the_death_of_a_process_is_that_of_its_own_virtual_routers() {
    let (mut backup, id) = greeted();
    let theirs = routers("10.0.0.11", &[VRID]);
    backup.received(at(103), id, &Frame::Routers(theirs).octets());
    assert!(matches!(backup.state(master(), VRID), State::Connected { .. }));
    assert_eq!(backup.state(master(), 52), State::Failed(Trouble::OtherProcess));
    backup.ended(at(110), id, End::Finished);
    let died = Action::Died { from: vec![master()], guarded: SHIELDED, routers: vec![theirs] };
    assert_eq!(backup.take_actions()[0], died);
    assert!(speaks(&[theirs], master(), VRID) && !speaks(&[theirs], master(), 52));
    assert!(!speaks(&[theirs], endpoint("10.0.0.12"), VRID) && speaks(&[], master(), 52), "it has not said");
}

/// What is sent to each connection.
fn sent(lifelines: &mut Lifelines) -> Vec<(LifelineId, Vec<u8>)> {
    let send = |action| if let Action::Send { id, octets } = action { Some((id, octets)) } else { None };
    lifelines.take_actions().into_iter().filter_map(send).collect()
}

/// The master names the backup with these priorities.
fn name(of: &[(u8, u8)]) -> Vec<u8> {
    Frame::Successor(priorities("10.0.0.1", of)).octets()
}

/// The backup follows the master with these priorities.
fn stands_by(lifelines: &mut Lifelines, ms: u64, id: LifelineId, of: &[(u8, u8)]) {
    lifelines.received(at(ms), id, &Frame::Standby(priorities("10.0.0.1", of)).octets());
}

#[test]
fn the_backup_with_the_highest_priority_is_named_and_named_again_when_others_come_go_or_change() {
    let mut lifelines = serving();
    let first = accept(&mut lifelines, 1, "10.0.0.12", &[VRID]);
    let _ = lifelines.take_actions();
    stands_by(&mut lifelines, 2, first, &[(VRID, 100)]);
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 100)]))]);
    assert_eq!(lifelines.successor("10.0.0.1".parse().unwrap(), VRID), Some(endpoint("10.0.0.12")));
    // Until the second one has told its priority, it may be better.
    let second = accept(&mut lifelines, 3, "10.0.0.13", &[VRID]);
    let taken_back = sent(&mut lifelines).pop();
    assert_eq!(taken_back, Some((first, name(&[(VRID, 0)]))));
    stands_by(&mut lifelines, 4, second, &[(VRID, 99)]);
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 100)]))]);
    // Its check fails.
    stands_by(&mut lifelines, 5, first, &[(VRID, 98)]);
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 0)])), (second, name(&[(VRID, 99)]))]);
    // The other one is drained, or follows another master.
    stands_by(&mut lifelines, 6, second, &[(VRID, 0)]);
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 98)])), (second, name(&[(VRID, 0)]))]);
    stands_by(&mut lifelines, 7, second, &[(VRID, 99)]);
    let _ = lifelines.take_actions();
    lifelines.ended(at(8), second, End::Finished);
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 98)]))]);
    // Virtual routers of others, or of this one on another link, say nothing.
    lifelines.received(at(9), first, &Frame::Standby(priorities("10.9.0.1", &[(VRID, 7)])).octets());
    assert_eq!(sent(&mut lifelines), []);
    lifelines.set_routers(vec![routers("10.0.0.1", &[VRID])], Ranks::default());
    lifelines.want(at(10), &[], Some(SHIELDED));
    assert_eq!(sent(&mut lifelines), [(first, name(&[(VRID, 0)]))], "another host is master of it");
}

#[test]
fn a_backup_that_does_not_tell_its_priority_may_be_the_best() {
    let mut lifelines = serving();
    let id = accept(&mut lifelines, 1, "10.0.0.12", &[VRID]);
    accept(&mut lifelines, 1, "10.0.0.13", &[VRID]);
    accept(&mut lifelines, 1, "10.0.0.14", &[52]);
    let _ = lifelines.take_actions();
    stands_by(&mut lifelines, 2, id, &[(VRID, 100)]);
    assert_eq!(
        (sent(&mut lifelines), lifelines.successor("10.0.0.1".parse().unwrap(), VRID)),
        (vec![], None)
    );
}

#[test]
fn a_successor_is_named_again_after_one_second_and_then_every_ten_without_a_wake_up() {
    let mut lifelines = serving();
    let id = accept(&mut lifelines, 1, "10.0.0.12", &[VRID]);
    stands_by(&mut lifelines, 2, id, &[(VRID, 100)]);
    let _ = lifelines.take_actions();
    let again = Frame::Successor(priorities("0.0.0.0", &[])).octets();
    let mut at_seconds = vec![];
    for second in 0..40 {
        assert_eq!(lifelines.deadline(), None);
        if lifelines.names_again(at(1_000 * second)) {
            lifelines.expire(at(1_000 * second));
            assert_eq!(sent(&mut lifelines), [(id, again.clone())]);
            at_seconds.push(second);
        }
    }
    assert_eq!(at_seconds, [2, 12, 22, 32]);
}

#[test]
fn a_backup_tells_its_priorities_and_learns_that_it_is_named() {
    let (mut backup, id) = greeted();
    let follows = |backup: &mut Lifelines, ms, of: &[(u8, u8)]| {
        let standby = of.iter().map(|(vrid, priority)| (master().address, *vrid, *priority)).collect();
        let ranks = Ranks { standby, ..Ranks::default() };
        backup.set_routers(vec![], ranks);
        backup.want(at(ms), &[followed(master())], None);
        sent(backup)
    };
    let told = |of: &[(u8, u8)]| vec![(id, Frame::Standby(priorities("10.0.0.11", of)).octets())];
    assert_eq!(follows(&mut backup, 110, &[(VRID, 100), (52, 90)]), told(&[(VRID, 100), (52, 90)]));
    assert_eq!(follows(&mut backup, 111, &[(VRID, 100), (52, 91)]), told(&[(52, 91)]));
    assert_eq!(follows(&mut backup, 112, &[(VRID, 100)]), told(&[(52, 0)]));
    let named = |of: &[(u8, u8)]| Action::Named { from: master(), vrid: of[0].0, priority: of[0].1 };
    let news = |of: &[(u8, u8)]| Frame::Successor(priorities("10.0.0.11", of)).octets();
    backup.received(at(120), id, &news(&[(VRID, 100)]));
    assert_eq!(backup.take_actions()[0], named(&[(VRID, 100)]));
    // Named again.
    backup.received(at(121), id, &Frame::Successor(priorities("0.0.0.0", &[])).octets());
    assert_eq!(backup.take_actions(), [named(&[(VRID, 100)])]);
    // For a master that another process speaks for.
    backup.received(at(122), id, &Frame::Successor(priorities("10.0.0.12", &[(VRID, 100)])).octets());
    assert_eq!(backup.take_actions(), [named(&[(VRID, 100)])]);
    backup.ended(at(130), id, End::Finished);
    let actions = backup.take_actions();
    assert!(matches!(actions[0], Action::Died { .. }), "first, so that it counts");
    assert!(actions.contains(&named(&[(VRID, 0)])));
}

#[test]
fn what_a_master_has_named_is_void_with_its_goodbye_or_without_the_connection() {
    let news = Frame::Successor(priorities("10.0.0.11", &[(VRID, 100)])).octets();
    let ends: [fn(&mut Lifelines, LifelineId); 4] = [
        |backup, id| backup.received(at(120), id, &Frame::Goodbye.octets()),
        |backup, id| backup.ended(at(120), id, End::Broken),
        |backup, id| backup.displaced(at(120), id),
        |backup, id| backup.stuck(at(120), id),
    ];
    for end in ends {
        let (mut backup, id) = greeted();
        backup.received(at(110), id, &news);
        let _ = backup.take_actions();
        end(&mut backup, id);
        let void = Action::Named { from: master(), vrid: VRID, priority: 0 };
        assert!(backup.take_actions().contains(&void));
    }
    let (mut silent, id) = connected();
    silent.received(at(110), id, &news);
    assert!(
        silent.take_actions().iter().all(|action| !matches!(action, Action::Named { .. })),
        "not greeted"
    );
}

/// A backup whose check flaps must not have the others disconnected, which accept 64 frames and then one a second.
#[test]
fn priorities_that_change_all_the_time_are_told_once_a_second() {
    let mut lifelines = serving();
    let id = accept(&mut lifelines, 0, "10.0.0.12", &[VRID]);
    let other = accept(&mut lifelines, 0, "10.0.0.13", &[VRID]);
    stands_by(&mut lifelines, 0, other, &[(VRID, 100)]);
    let _ = lifelines.take_actions();
    let mut to_other = 0;
    for second in 0..60 {
        // As many as it may send.
        for n in 0..if second == 0 { 60 } else { 1 } {
            stands_by(
                &mut lifelines,
                1_000 * second,
                id,
                &[(VRID, if n % 2 == second % 2 { 90 } else { 110 })],
            );
        }
        to_other += sent(&mut lifelines).iter().filter(|(to, _)| *to == other).count();
    }
    assert!((60..=68).contains(&to_other), "{to_other}");
    // What could not be told is told then.
    let due = lifelines.deadline();
    assert!(due.is_none_or(|due| due <= at(61_000)), "{due:?}");
    lifelines.expire(at(70_000));
    assert_eq!(lifelines.deadline(), None);
}

/// 255 virtual routers, as often as it can.
#[test]
fn a_peer_that_names_without_end_is_disconnected() {
    let (mut backup, id) = greeted();
    let of: Vec<_> = (1..=Priorities::MOST).map(|vrid| (u8::try_from(vrid).unwrap(), 100)).collect();
    let (mut frames, mut named) = (0, 0);
    for ms in 0..1_000 {
        backup.received(at(1_000 + ms), id, &Frame::Successor(priorities("10.0.0.11", &of)).octets());
        let actions = backup.take_actions();
        named += actions.iter().filter(|action| matches!(action, Action::Named { .. })).count();
        frames += usize::from(!actions.is_empty());
    }
    assert!(frames < 70 && named < 70 * Priorities::MOST, "{frames} frames, {named} names");
    assert_eq!(backup.state(master(), VRID), State::Failed(Trouble::NotALifeline));
    // A backup that claims addresses without end is not kept in full.
    let mut lifelines = serving();
    let id = accept(&mut lifelines, 1, "10.0.0.12", &[VRID]);
    for n in 0..60 {
        lifelines.received(at(2), id, &Frame::Standby(priorities(&format!("10.0.0.{n}"), &of)).octets());
    }
    assert_eq!(lifelines.backups().count(), 1);
}

#[test]
fn what_a_backup_sends_is_skipped_and_its_end_means_nothing() {
    let mut lifelines = serving();
    let id = lifelines.accept(at(1), master(), Way::Accepted).unwrap();
    let _ = lifelines.take_actions();
    lifelines.received(at(2), id, &greeting());
    lifelines.ended(at(3), id, End::Finished);
    assert_eq!((lifelines.take_actions(), lifelines.deadline()), (vec![], None));
}

#[test]
fn forged_adverts_of_many_masters_cost_few_attempts() {
    let mut backup = lifelines();
    let mut attempts = 0;
    for n in 0..1_000 {
        let forged =
            Endpoint { address: (0x0a00_0000 + u32::try_from(n).unwrap()).to_be_bytes().into(), scope: 0 };
        backup.want(at(n * 200), &[followed(forged)], None);
        backup.expire(at(n * 200 + 100));
        attempts += opens(&mut backup).len();
    }
    assert_eq!(attempts, 16 + 199, "sixteen, and one a second");
}

#[test]
fn a_unicast_peer_that_does_not_connect_is_invited() {
    let (peer, mut lifelines) = (Wanted { followed: false, ..followed(master()) }, lifelines());
    lifelines.want(at(0), &[peer], Some(SHIELDED));
    assert_eq!((lifelines.take_actions(), lifelines.deadline()), (vec![], Some(at(1_000))));
    lifelines.expire(at(1_000));
    let open = Action::Open { id: LifelineId(1), to: master(), followed: false };
    assert_eq!(lifelines.take_actions(), [open]);
    lifelines.failed(at(1_001), LifelineId(1), Failure::Refused);
    assert_eq!(lifelines.take_actions(), [], "it is nobody's master: no trouble");
    lifelines.accept(at(1_002), master(), Way::Accepted).unwrap();
    assert_eq!(lifelines.deadline(), None, "it has come by itself");
}

/// Two hosts and the network between them: what is on the way arrives in order, at any time.
struct Pair {
    now: Instant,
    ends: [Lifelines; 2],
    /// To each end.
    wires: [VecDeque<Packet>; 2],
    /// The numbers of each connection, at each end.
    numbers: Vec<[Option<LifelineId>; 2]>,
    ways: Vec<Way>,
    died: [usize; 2],
}

#[derive(Debug)]
enum Packet {
    /// With the number of the connection in `numbers`.
    Connect(usize),
    Connected(usize),
    Refused(usize),
    Octets(usize, Vec<u8>),
    End(usize, End),
}

fn addresses() -> [Endpoint; 2] {
    [endpoint("10.0.0.1"), endpoint("10.0.0.2")]
}

impl Pair {
    fn new() -> Self {
        let ends = [1, 2].map(|n| Lifelines::new(Identity([n; 8]), at(0)));
        let wires = [VecDeque::new(), VecDeque::new()];
        Self { now: at(0), ends, wires, numbers: vec![], ways: vec![], died: [0; 2] }
    }

    /// `masters`: of which routers each end is master. It follows the other end if that one is.
    fn roles(&mut self, masters: [bool; 2], at: usize, unicast: bool) {
        let (followed, serves) = (masters[1 - at], masters[at]);
        let wanted = Wanted { endpoint: addresses()[1 - at], followed };
        let wanted: &[_] = if followed || (serves && unicast) { &[wanted] } else { &[] };
        self.ends[at].want(self.now, wanted, serves.then_some(SHIELDED));
        self.perform(at, unicast);
    }

    fn number(&self, at: usize, id: LifelineId) -> Option<usize> {
        self.numbers.iter().position(|ids| ids[at] == Some(id))
    }

    fn perform(&mut self, at: usize, unicast: bool) {
        for action in self.ends[at].take_actions() {
            match action {
                Action::Open { id, .. } => {
                    let mut ids = [None; 2];
                    ids[at] = Some(id);
                    self.numbers.push(ids);
                    let way = if unicast { Way::Both } else { Way::Opened };
                    self.ways.push(way);
                    self.ends[at].opened(id, way);
                    self.wires[1 - at].push_back(Packet::Connect(self.numbers.len() - 1));
                }
                Action::Send { id, octets } => {
                    let number = self.number(at, id).unwrap();
                    self.wires[1 - at].push_back(Packet::Octets(number, octets));
                }
                Action::Close { id, how } => {
                    let number = self.number(at, id).unwrap();
                    self.numbers[number][at] = None;
                    let end = if how == Close::Finish { End::Finished } else { End::Broken };
                    self.wires[1 - at].push_back(Packet::End(number, end));
                }
                Action::Died { .. } => self.died[at] += 1,
                Action::Named { .. } | Action::Connected(_) | Action::Failed(..) => {}
            }
        }
    }

    /// The next packet to this end arrives.
    fn deliver(&mut self, at: usize, unicast: bool) {
        let Some(packet) = self.wires[at].pop_front() else { return };
        let now = self.now;
        match packet {
            Packet::Connect(number) => {
                let way = if self.ways[number] == Way::Both { Way::Both } else { Way::Accepted };
                let id = self.ends[at].accept(now, addresses()[1 - at], way);
                // A listener that has just been closed resets.
                let answer = if id.is_some() { Packet::Connected(number) } else { Packet::Refused(number) };
                self.numbers[number][at] = id;
                self.wires[1 - at].push_back(answer);
            }
            Packet::Connected(number) => {
                if let Some(id) = self.numbers[number][at] {
                    self.ends[at].established(now, id);
                }
            }
            Packet::Refused(number) => {
                if let Some(id) = self.numbers[number][at].take() {
                    self.ends[at].failed(now, id, Failure::Refused);
                }
            }
            Packet::Octets(number, octets) => {
                if let Some(id) = self.numbers[number][at] {
                    self.ends[at].received(now, id, &octets);
                }
            }
            Packet::End(number, end) => {
                if let Some(id) = self.numbers[number][at].take() {
                    self.ends[at].ended(now, id, end);
                }
            }
        }
        self.perform(at, unicast);
    }

    /// Lets time pass, with everything that is due in it.
    fn pass(&mut self, time: Duration, unicast: bool) {
        let until = self.now + time;
        let mut wakes = 0;
        while let Some((due, at)) = (0..2)
            .filter_map(|at| Some((self.ends[at].deadline()?, at)))
            .min()
            .filter(|(due, _)| *due <= until)
        {
            self.now = self.now.max(due);
            self.ends[at].expire(self.now);
            self.perform(at, unicast);
            self.deliver(at, unicast);
            wakes += 1;
            assert!(wakes < 1_000, "it spins: {:?}", self.ends);
        }
        self.now = until;
    }

    fn settle(&mut self, unicast: bool) {
        while self.wires.iter().any(|wire| !wire.is_empty()) {
            self.deliver(0, unicast);
            self.deliver(1, unicast);
        }
    }

    /// The kernel closes every connection of this end.
    fn kill(&mut self, at: usize) {
        for number in 0..self.numbers.len() {
            if self.numbers[number][at].take().is_some() {
                self.wires[1 - at].push_back(Packet::End(number, End::Finished));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whoever is master of what, and whatever is on the way: no deliberate close is taken for a death. And afterwards a
    /// death is seen.
    #[test]
    fn two_hosts_that_live_never_take_each_other_for_dead(
        unicast: bool,
        steps in proptest::collection::vec((0u8..6, any::<[bool; 2]>(), 0u64..3_000), 0..60),
    ) {
        let mut pair = Pair::new();
        for (step, masters, ms) in steps {
            match step {
                0 => (0..2).for_each(|at| pair.roles(masters, at, unicast)),
                1 => pair.roles(masters, usize::from(masters[0]), unicast),
                2 => pair.pass(Duration::from_millis(ms), unicast),
                _ => pair.deliver(usize::from(masters[0]), unicast),
            }
        }
        pair.settle(unicast);
        prop_assert_eq!(pair.died, [0, 0]);
        // Now the first is master and the second its backup, for as long as the longest wait.
        for _ in 0..130 {
            (0..2).for_each(|at| pair.roles([true, false], at, unicast));
            pair.pass(Duration::from_secs(1), unicast);
            pair.settle(unicast);
        }
        prop_assert!(matches!(pair.ends[1].state(addresses()[0], VRID), State::Connected { .. }), "{:?}", pair.ends);
        prop_assert_eq!(pair.died, [0, 0]);
        pair.kill(0);
        pair.settle(unicast);
        prop_assert_eq!(pair.died, [0, 1]);
    }

    /// Anything may happen to a backup's connections: a death needs a greeting and the end of that connection.
    #[test]
    fn nothing_but_the_end_of_a_greeted_connection_is_a_death(
        steps in proptest::collection::vec((0u8..9, 0usize..3, 0u64..900), 0..80),
    ) {
        let mut backup = backup(&[master()]);
        let (mut now, mut ids) = (100, vec![]);
        let mut alive: Vec<LifelineId> = vec![];
        for (step, pick, ms) in steps {
            ids.extend(opens(&mut backup));
            let Some(id) = ids.get(ids.len().saturating_sub(1 + pick)).copied() else { continue };
            let expected = match step {
                0 => { backup.established(at(now), id); false }
                1 => { backup.received(at(now), id, &greeting()); alive.push(id); false }
                2 => { backup.received(at(now), id, &Frame::Goodbye.octets()); alive.retain(|known| *known != id); false }
                3 => { backup.ended(at(now), id, End::Finished); alive.contains(&id) }
                4 => { backup.displaced(at(now), id); false }
                5 => { backup.ended(at(now), id, End::Broken); false }
                6 => { backup.failed(at(now), id, Failure::Refused); false }
                7 => { backup.failed(at(now), id, Failure::Unanswered); false }
                _ => { now += ms; backup.expire(at(now)); false }
            };
            let actions = backup.take_actions();
            let died = actions.iter().any(|action| matches!(action, Action::Died { .. }));
            prop_assert!(!died || expected, "{} after {}", died, step);
            ids.extend(actions.iter().filter_map(|a| if let Action::Open { id, .. } = a { Some(*id) } else { None }));
            prop_assert!(backup.deadline().is_none_or(|due| at(now) < due) || step != 8, "no wake-up without cause");
        }
    }
}
