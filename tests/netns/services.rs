//! What is said of a service that hangs, is missing from the start, or crashes again and again.

use crate::support::lab::Lab;
use crate::support::pair::START;
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Check, Kind, Node, Router};
use crate::support::service::Haproxy;
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

/// Line 1 of `status`, and the warnings.
fn said(router: &Router) -> String {
    let (_, text) = command(router, &["status"]);
    let shown = text.lines().enumerate().filter(|(n, line)| *n == 0 || line.contains("  warning:"));
    shown.map(|(_, line)| line.to_owned() + "\n").collect()
}

#[test]
fn a_service_that_is_stopped_counts_as_failed_after_check_fall_looks() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    let node = |priority| Node::watching_haproxy(priority).with("CHECK_FALL", "2");
    let [a, b] = [0, 1].map(|n| Router::start(Kind::Ours, &hosts[n], &node([11, 10][n])));
    let services = [Haproxy::start(&hosts[0], &a.run), Haproxy::start(&hosts[1], &b.run)];
    a.wait_master(0, START);
    let marks = [a.run.log.mark(), b.run.log.mark()];
    services[0].run.signal(Signal::SIGSTOP);
    let pid = services[0].run.own_pid();
    a.run.log.wait_for_after(marks[0], &format!("haproxy (pid {pid}) is stopped by a signal"), seconds(3));
    b.wait_master(marks[1], seconds(4));
    let down = "haproxy is DOWN here for ";
    wait_until("line 1 says so", seconds(2), || {
        let said = said(&a);
        said.contains(down) && said.contains("(stopped by a signal); 10.77.0.2 is master")
    });
    let mark = a.run.log.mark();
    services[0].run.signal(Signal::SIGCONT);
    a.wait_master(mark, seconds(5));
    assert!(!said(&a).contains("ended"), "it never ended: {}", said(&a));
}

#[test]
fn a_service_that_was_never_seen_is_no_failure_for_ten_seconds_and_then_comes_with_the_cure() {
    let lab = Lab::new();
    let hosts = [lab.host("a", 1), lab.host("b", 2)];
    // A typing error, and a container that is not running, or not in this namespace.
    let node = Node { check: Some(Check::each_second("haproxi", 2)), ..Node::plain(200) };
    let wrong = Router::start(Kind::Ours, &hosts[0], &node);
    let _haproxy = Haproxy::start(&hosts[0], &wrong.run);
    let alone = Router::start(Kind::Ours, &hosts[1], &Node::watching_haproxy(100));
    alone.run.log.wait_for("Entering BACKUP STATE", START);
    wait_until("line 1 knows that it may come", seconds(2), || {
        said(&alone).contains(": haproxy is not seen yet; ")
    });
    std::thread::sleep(seconds(4));
    for router in [&wrong, &alone] {
        for said in ["heck of", "No spare", "No working spare"] {
            assert_eq!(router.run.log.since(0, said), Vec::<String>::new());
        }
        assert_eq!(router.run.log.since(0, "not seen since"), Vec::<String>::new());
    }
    let cure =
        "haproxi was not seen since the start: docker start haproxi, or correct SERVICE (here run: haproxy)";
    wrong.run.log.wait_for(&format!("warn … {cure}"), seconds(10));
    let cure = "haproxy was not seen since the start, nor any process but vrrp-init: docker start haproxy; if its container";
    alone.run.log.wait_for(&format!("warn … {cure}"), seconds(10));
    let status = said(&alone);
    assert!(
        status.contains("haproxy is DOWN here for ") && status.contains("(not seen since the start)"),
        "{status}"
    );
    assert!(status.contains(cure), "{status}");
    std::thread::sleep(millis(2_500));
    assert_eq!(alone.run.log.since(0, "not seen since").len(), 1, "once");
    let _haproxy = Haproxy::start(&hosts[1], &alone.run);
    alone.run.log.wait_for("Check of haproxy succeeded", seconds(3));
    assert!(!said(&alone).contains("not seen since"), "{}", said(&alone));
}

#[test]
fn a_crash_loop_is_one_line_with_a_count_and_a_warning() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &with_metrics(Node::watching_haproxy(200)));
    for _ in 0..5 {
        let mark = router.run.log.mark();
        let haproxy = Haproxy::start(&host, &router.run);
        router.run.log.wait_for_after(mark, "haproxy runs", seconds(3));
        haproxy.kill();
        router.run.log.wait_for_after(mark, "is gone", seconds(2));
    }
    let lines = router.run.log.since(0, " times in ");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("(VI_1) haproxy ended 3 times in ")
            && lines[0].contains(": look at docker logs haproxy")
    );
    let status = said(&router);
    assert!(status.contains("haproxy ended 5 times in "), "{status}");
    let metrics = body(&host, "/metrics");
    assert!(metrics.contains("keepalived_check_ended_total{name=\"haproxy\"} 5\n"), "{metrics}");
}
