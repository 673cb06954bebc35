//! Two daemons with one VRID on one host, as while migrating: another host must not take the address back and forth.

use crate::support::lab::Lab;
use crate::support::pair::START;
use crate::support::process::Launch;
use crate::support::router::{Kind, Node, Router};
use crate::support::wire::Message;
use crate::support::{millis, seconds};

const SENTENCE: &str = "warning: (VI_1) There is a second VRRP speaker of VRID 51 on 10.77.0.1: its adverts alternate \
                        between priority 100 and 90";

/// The host's keepalived or ours, of priority 100, and then ours of priority 90 on the same host. Between them, 95.
fn a_backup_between_two_speakers_on_one_host_stays(first: Kind, advert_int: &'static str) {
    let node = |priority| Node { advert_int, ..Node::plain(priority) };
    let lab = Lab::new();
    let (shared, other) = (lab.host("a", 1), lab.host("b", 2));
    let host = Router::start(first, &shared, &node(100));
    host.wait_master(0, START);
    let backup = Router::start(Kind::Ours, &other, &node(95));
    backup.wait_backup(0, seconds(1));
    std::thread::sleep(millis(2_500));
    let mark = backup.run.log.mark();
    let container = Router::ours(&shared, &node(90), Launch::PidOne);
    container.wait_master(0, START);
    std::thread::sleep(seconds(15));
    let entered = backup.run.log.since(mark, "(VI_1) Entering … STATE");
    assert!(entered.len() <= 2, "{entered:#?}");
    assert_eq!(backup.run.log.since(mark, SENTENCE).len(), 1, "reported once");
    assert!(!backup.holds_vip(), "a better router is there");
}

/// Both were there before the backup, which sees the two alternate from the start.
#[test]
fn a_backup_that_starts_between_two_speakers_on_one_host_stays() {
    let lab = Lab::new();
    let (shared, other) = (lab.host("a", 1), lab.host("b", 2));
    let backup = Router::start(Kind::Ours, &other, &Node::plain(95));
    backup.wait_backup(0, seconds(1));
    for _ in 0..15 {
        for priority in [100, 90] {
            shared.send(255, &[], &Message { priority, ..Message::default() }.bytes());
            std::thread::sleep(millis(500));
        }
    }
    let entered = backup.run.log.since(0, "(VI_1) Entering … STATE");
    assert_eq!(entered.len(), 1, "{entered:#?}");
    assert_eq!(backup.run.log.since(0, SENTENCE).len(), 1, "reported once");
}

#[test]
fn a_backup_between_keepalived_and_ours_on_one_host_stays() {
    a_backup_between_two_speakers_on_one_host_stays(Kind::Keepalived, "1");
}

#[test]
fn a_backup_between_two_of_ours_on_one_host_stays() {
    a_backup_between_two_speakers_on_one_host_stays(Kind::Ours, "1");
}

#[test]
fn a_backup_between_two_of_ours_on_one_host_stays_at_ten_adverts_a_second() {
    a_backup_between_two_speakers_on_one_host_stays(Kind::Ours, "0.1");
}
