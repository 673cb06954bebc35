//! `NOTIFY_URL` against a receiver of this file, which answers in all the ways that a receiver can.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::process::Launch;
use crate::support::query::{body, command};
use crate::support::router::{Kind, Node, Router};
use crate::support::{millis, seconds, wait_until};

const ACCEPTS: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const FAILS: &str = "HTTP/1.1 500 Internal Server Error\r\n\r\n";
const REDIRECTS: &str = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9094/\r\n\r\n";
/// It accepts the connection and never answers.
const HANGS: &str = "";

/// A receiver; it stops when it is dropped.
pub(crate) struct Receiver {
    answer: Arc<Mutex<&'static str>>,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start(host: &Host, address: &str) -> Self {
        let listener = host.inside(|| TcpListener::bind(address).unwrap());
        listener.set_nonblocking(true).unwrap();
        let (answer, requests, stop) =
            (Arc::new(Mutex::new(ACCEPTS)), Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let shared = (answer.clone(), requests.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let (answer, requests, stop) = shared;
            let mut hanging = vec![];
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(seconds(2))).unwrap();
                let mut text = String::new();
                while !text.ends_with('}') {
                    let mut octets = [0; 4096];
                    match stream.read(&mut octets) {
                        Ok(count @ 1..) => text += str::from_utf8(&octets[..count]).unwrap(),
                        _ => break,
                    }
                }
                requests.lock().unwrap().push(text);
                let answer = *answer.lock().unwrap();
                if answer == HANGS {
                    hanging.push(stream);
                } else {
                    _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        Self { answer, requests, stop, thread: Some(thread) }
    }

    fn answers(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The states that came, in order.
    fn states(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let state =
            |text: &String| text.split("\"state\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        requests.iter().map(state).collect()
    }

    fn wait_for(&self, states: &[&str]) {
        wait_until(&format!("{states:?} come"), seconds(10), || self.states() == states);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

const URL: &str = "http://localhost:9093/hook?token=hunter2";

fn fault(router: &Router, host: &Host, fault: bool) {
    let mark = router.run.log.mark();
    if fault {
        host.pull_cable();
    } else {
        host.plug_cable();
    }
    if fault {
        router.run.log.wait_for_after(mark, "Entering FAULT STATE", seconds(3));
    } else {
        router.wait_master(mark, START);
    }
}

#[test]
fn a_receiver_gets_each_transition_in_order_and_the_last_one_at_the_stop() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let receiver = Receiver::start(&host, "127.0.0.1:9093");
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200).with("NOTIFY_URL", URL));
    router.run.log.wait_for("Sandbox: … seccomp", START);
    router.wait_master(0, START);
    receiver.wait_for(&["BACKUP", "MASTER"]);
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    receiver.wait_for(&["BACKUP", "MASTER", "STOP"]);
    let requests = receiver.requests.lock().unwrap().clone();
    let (head, body) = requests[1].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?token=hunter2 HTTP/1.1\r\nHost: localhost:9093\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/json\r\n"));
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
    let source = host.address;
    let fields = format!(
        "\"instance\":\"VI_1\",\"vrid\":51,\"source\":\"{source}\",\"state\":\"MASTER\",\"previous\":\"BACKUP\",\
         \"priority\":200,\"reason\":\"heard no other router\""
    );
    assert!(body.starts_with("{\"time\":\"20") && body.contains(&fields), "{body}");
    let whole = router.run.log.whole(seconds(1));
    assert!(!whole.contains("hunter2"), "{whole}");
}

#[test]
fn a_failing_receiver_is_two_lines_in_the_log_and_gets_the_transitions_later() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let receiver = Receiver::start(&host, "127.0.0.1:9093");
    receiver.answers(FAILS);
    let node = Node::plain(200).with("NOTIFY_URL", URL).with("METRICS_LISTEN", "127.0.0.1:9165");
    let router = Router::start(Kind::Ours, &host, &node);
    let says =
        "warn … http://localhost:9093 does not accept transitions: answered with status 500; will retry";
    router.run.log.wait_for(says, seconds(2));
    router.wait_master(0, START);
    receiver.answers(REDIRECTS);
    let (_, text) = command(&router, &["status"]);
    assert!(text.contains("NOTIFY_URL http://localhost:9093 FAILED for "), "{text}");
    let page = body(&host, "/metrics");
    assert!(page.contains("keepalived_notify_url_up{url=\"http://localhost:9093\"} 0"), "{page}");
    wait_until("the reason is that it redirects", seconds(10), || {
        let (_, text) = command(&router, &["status"]);
        text.contains(": answered with status 307; redirects are not followed; transitions that wait: 2")
    });
    let mark = router.run.log.mark();
    let before = receiver.states().len();
    receiver.answers(ACCEPTS);
    router.run.log.wait_for_after(
        mark,
        "http://localhost:9093 accepts transitions again, after ",
        seconds(10),
    );
    wait_until("both come", seconds(2), || receiver.states()[before..] == ["BACKUP", "MASTER"]);
    assert_eq!(router.run.log.since(0, "http://localhost:9093 ").len(), 2);
}

#[test]
fn a_hanging_receiver_delays_no_advert_and_no_stop() {
    let lab = Lab::new();
    let (host, other, client) = (lab.host("a", 1), lab.host("b", 2), lab.host("client", 250));
    let receiver = Receiver::start(&host, "127.0.0.1:9093");
    receiver.answers(HANGS);
    let mut router = Router::start(Kind::Ours, &host, &Node::plain(200).with("NOTIFY_URL", URL));
    router.wait_master(0, START);
    let backup = Router::start(Kind::Ours, &other, &Node::plain(100));
    backup.run.log.wait_for("Entering BACKUP STATE", START);
    let capture = Capture::start(&client, "hang", "proto 112");
    let says = "does not accept transitions: connected, but no answer within 5000 ms";
    router.run.log.wait_for(says, seconds(7));
    thread::sleep(seconds(2));
    let adverts = capture.finish();
    let adverts = adverts.adverts(Some(host.address));
    let gap = adverts.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).max().unwrap();
    assert!(gap < millis(1_100), "adverts {gap:?} apart");
    let (mark, stopped) = (backup.run.log.mark(), Instant::now());
    router.run.signal(Signal::SIGTERM);
    backup.wait_master(mark, seconds(1));
    wait_until("the address is gone", seconds(1), || !router.holds_vip());
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
    assert!(stopped.elapsed() < millis(2_500), "{:?}", stopped.elapsed());
}

#[test]
fn while_a_receiver_is_down_the_newest_transitions_are_kept_and_another_url_applies_at_once() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let folder = host.file("settings");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("env");
    fs::write(&file, format!("NOTIFY_URL={URL}\n")).unwrap();
    let router = Router::start(Kind::Ours, &host, &Node::plain(200).with("ENV_FILE", &file));
    router.run.log.wait_for("does not accept transitions: Connection refused", seconds(2));
    router.wait_master(0, START);
    // FAULT, BACKUP and MASTER each time.
    for _ in 0..3 {
        fault(&router, &host, true);
        fault(&router, &host, false);
    }
    assert_eq!(router.run.log.since(0, "does not accept").len(), 1, "once");
    let late = Receiver::start(&host, "127.0.0.1:9093");
    wait_until("all come", seconds(40), || late.states().len() == 11);
    assert_eq!(late.states().last().unwrap(), "MASTER");
    let (other, mark) = (Receiver::start(&host, "127.0.0.1:9094"), router.run.log.mark());
    fs::write(&file, "NOTIFY_URL=http://127.0.0.1:9094/\n").unwrap();
    router.run.log.wait_for_after(mark, "Reload: applied NOTIFY_URL (value not shown)", seconds(2));
    fault(&router, &host, true);
    other.wait_for(&["FAULT"]);
    assert_eq!(late.states().len(), 11);
}

/// Nothing needed `/etc/hosts` at the start, when the sandbox was closed.
#[test]
fn a_name_that_a_live_change_brings_is_found_in_the_sandbox() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let (file, hosts) = (host.file("settings").join("env"), host.file("hosts"));
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "PREEMPT=true\n").unwrap();
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let node = Node::plain(200).with("ENV_FILE", &file);
    let router = Router::ours(&host, &node, Launch::Through(&["sh", "-c", &mount, "sh"]));
    router.run.log.wait_for("Sandbox: … landlock,", START);
    router.wait_master(0, START);
    let receiver = Receiver::start(&host, "127.0.0.1:9093");
    // Docker and the kubelet write into the mounted file.
    fs::write(&hosts, "127.0.0.1 localhost alertmanager\n").unwrap();
    fs::write(&file, "NOTIFY_URL=http://alertmanager:9093/\n").unwrap();
    router.run.log.wait_for("Reload: applied NOTIFY_URL unset -> (set, not shown)", seconds(2));
    fault(&router, &host, true);
    receiver.wait_for(&["FAULT"]);
}
