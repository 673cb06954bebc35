//! Probes against real services on loopback: working, refusing, silent, slow, wrong and hostile ones.
//!
//! Two tests need a network namespace of their own, and so root; one runs this binary again with few descriptors.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};
use vrrp_init::sys::poller::{Clock, Interest, Poller};
use vrrp_init::sys::probe::{Poll, Probe, Target};

use crate::own_process::{inside, rerun};

/// Longer than anything on loopback takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The result of a probe, the number of steps and the time.
struct Answer {
    step: Poll,
    steps: usize,
    took: Duration,
}

impl Answer {
    fn reason(&self) -> &str {
        let Poll::Failed(reason) = &self.step else { panic!("{:?}", self.step) };
        reason
    }
}

/// Probes as the daemon does: one step, wait for its event or the deadline, the next step.
fn ask(target: &Target, timeout: Duration) -> Answer {
    let poller: Poller = Poller::new(Clock::start().unwrap()).unwrap();
    let begun = poller.now();
    let mut probe = Probe::start(target, begun, timeout).unwrap();
    assert_eq!(probe.deadline(), begun + timeout);
    let mut watched: Option<Interest> = None;
    for steps in 1.. {
        let step = probe.poll(poller.now());
        let Poll::Pending(interest) = step else {
            return Answer { step, steps, took: poller.now().since(begun) };
        };
        poller.watch_only_for(probe.as_fd(), 1, &mut watched, interest).unwrap();
        poller.wait(Some(probe.deadline())).unwrap();
    }
    unreachable!("counting does not end")
}

fn http(address: SocketAddr) -> Target {
    Target::Http { address, host: address.to_string(), path: "/health".to_owned(), statuses: vec![200..=399] }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A service for one connection; returns the request.
fn serve(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<String>) {
    let (listener, address) = listener();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut octets = [0; 512];
            let count = stream.read(&mut octets).unwrap();
            assert!(count > 0, "the request ends in the middle");
            asked.extend_from_slice(&octets[..count]);
        }
        answer(&mut stream);
        String::from_utf8(asked).unwrap()
    });
    (address, server)
}

/// The result for a service that answers with exactly this and closes.
fn answered(answer: &'static [u8]) -> Poll {
    let (address, server) = serve(move |stream| stream.write_all(answer).unwrap());
    let step = ask(&http(address), PATIENCE).step;
    server.join().unwrap();
    step
}

#[expect(clippy::disallowed_methods, reason = "a slow server is not the loop")]
fn pause(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// The rest of the test in a network namespace of this thread, with loopback up.
fn alone() {
    unshare(CloneFlags::CLONE_NEWNET).expect("this test makes a network namespace: run it as root");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
}

#[test]
fn a_connection_passes_tcp_over_either_family() {
    let (_four, address) = listener();
    assert_eq!(ask(&Target::Tcp(address), PATIENCE).step, Poll::Passed);
    thread::spawn(|| {
        alone();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(ask(&Target::Tcp(six.local_addr().unwrap()), PATIENCE).step, Poll::Passed);
    })
    .join()
    .unwrap();
}

#[test]
fn only_the_given_statuses_pass() {
    for (line, passes) in [("204 x", true), ("301 x", true), ("200 OK", false), ("302 x", false)] {
        let text: &'static str = format!("HTTP/1.1 {line}\r\n\r\n").leak();
        let (address, server) = serve(move |stream| stream.write_all(text.as_bytes()).unwrap());
        let target = Target::Http {
            address,
            host: "www.example.org".into(),
            path: "/".into(),
            statuses: vec![204..=204, 301..=301],
        };
        assert_eq!(ask(&target, PATIENCE).step == Poll::Passed, passes, "{line}");
        assert!(server.join().unwrap().contains("\r\nHost: www.example.org\r\n"));
    }
}

#[test]
fn a_refused_connection_fails_at_once() {
    // Bound but not listening: no other process can listen there.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    for target in [Target::Tcp(address), http(address)] {
        let answer = ask(&target, PATIENCE);
        assert_eq!(answer.reason(), "Connection refused (os error 111)");
        assert!(answer.took < Duration::from_secs(5));
    }
}

#[test]
fn a_full_accept_queue_makes_no_connection_and_causes_no_wake_ups() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap();
    let _in_queue = [(); 3].map(|()| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        client
    });
    let answer = ask(&Target::Tcp(address.as_socket().unwrap()), Duration::from_millis(150));
    assert_eq!(answer.reason(), "no connection within 150 ms");
    assert_eq!(answer.steps, 2);
    assert!(Duration::from_millis(150) <= answer.took);
}

#[test]
fn an_unreachable_network_is_a_failure_and_running_out_of_ports_is_not() {
    thread::spawn(|| {
        alone();
        let answer = ask(&Target::Tcp(SocketAddr::from(([10, 9, 0, 1], 80))), PATIENCE);
        assert!(answer.reason().ends_with(" (os error 101)"), "{}", answer.reason());
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        let _the_only_port = TcpStream::connect(target.address()).unwrap();
        let error = Probe::start(&target, Clock::start().unwrap().now(), PATIENCE).unwrap_err();
        let text = error.to_string();
        let begun = text.starts_with("cannot start the check tcp 127.0.0.1:80: ");
        assert!(begun && text.ends_with(" (os error 99)"), "{text}");
    })
    .join()
    .unwrap();
}

#[test]
fn running_out_of_descriptors_is_not_a_failure_of_the_service() {
    if inside().is_none() {
        let limit = ["sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh"];
        rerun(running_out_of_descriptors_is_not_a_failure_of_the_service, &limit, "few descriptors");
        return;
    }
    let (_listener, address) = listener();
    let now = Clock::start().unwrap().now();
    let all: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let error = Probe::start(&Target::Tcp(address), now, PATIENCE).unwrap_err().to_string();
    drop(all);
    let begun = error.starts_with(&format!("cannot start the check tcp {address}: "));
    assert!(begun && error.ends_with(" (os error 24)"), "{error}");
    assert_eq!(ask(&Target::Tcp(address), PATIENCE).step, Poll::Passed);
}

#[test]
fn the_request_names_the_path_and_the_host() {
    let (address, server) = serve(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap());
    assert_eq!(ask(&http(address), PATIENCE).step, Poll::Passed);
    let agent = concat!("vrrp-init/", env!("CARGO_PKG_VERSION"));
    let expected = format!(
        "GET /health HTTP/1.1\r\nHost: {address}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.join().unwrap(), expected);
}

#[test]
fn two_and_three_hundreds_pass_and_other_answers_fail_with_their_reason() {
    let failed = |reason: &str| Poll::Failed(reason.to_owned());
    assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n"), Poll::Passed);
    assert_eq!(answered(b"HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\n\r\n"), Poll::Passed);
    assert_eq!(answered(b"HTTP/1.0 399 \r\n\r\nbody"), Poll::Passed);
    assert_eq!(answered(b"HTTP/1.1 500 Internal\r\n\r\n"), failed("answered with status 500"));
    assert_eq!(answered(b"HTTP/1.1 400 \r\n\r\n"), failed("answered with status 400"));
    assert_eq!(answered(b"HTTP/1.1 404 Not Found\r\n\r\n"), failed("answered with status 404"));
    assert_eq!(answered(b"HTTP/1.1 199 x\r\n\r\n"), failed("answered with status 199"));
    assert_eq!(answered(b"HTTP/1.1 000\r\n"), failed("answered with status 000"));
    assert_eq!(answered(b"\x00\xff\x15\x03garbage"), failed("answered, but not in HTTP"));
    assert_eq!(answered(b"HTTP/1.1 20"), failed("closed the connection in the middle of its first line"));
    assert_eq!(answered(b""), failed("closed the connection without an answer"));
}

#[test]
fn a_megabyte_without_a_line_ending_fails_early() {
    let (address, server) = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 ");
        // Ends with an error once the probe has closed the connection.
        let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    });
    let answer = ask(&http(address), PATIENCE);
    assert_eq!(answer.reason(), "answered with a first line of more than 256 octets");
    server.join().unwrap();
}

#[test]
fn a_silent_service_fails_at_the_deadline_and_causes_no_wake_ups() {
    let (address, server) = serve(|stream| {
        // Until the probe closes.
        let _ = stream.read(&mut [0]);
    });
    let answer = ask(&http(address), Duration::from_millis(150));
    assert_eq!(answer.reason(), "connected, but no answer within 150 ms");
    assert!(answer.steps <= 4, "{} steps", answer.steps);
    assert!(Duration::from_millis(150) <= answer.took);
    server.join().unwrap();
}

#[test]
fn an_answer_that_comes_octet_by_octet_has_until_the_deadline() {
    let drip = |stream: &mut TcpStream| {
        for octet in b"HTTP/1.1 200 OK\r\n" {
            pause(10);
            if stream.write_all(&[*octet]).is_err() {
                return;
            }
        }
    };
    let (address, server) = serve(drip);
    let answer = ask(&http(address), PATIENCE);
    assert_eq!(answer.step, Poll::Passed);
    assert!(answer.steps > 10, "in {} steps nothing was cut", answer.steps);
    server.join().unwrap();
    let (address, server) = serve(drip);
    let answer = ask(&http(address), Duration::from_millis(80));
    assert_eq!(answer.reason(), "the answer began, but its first line did not end within 80 ms");
    server.join().unwrap();
}

#[test]
fn a_reset_is_reported_as_a_connection_that_was_made() {
    let (address, server) = serve(|stream| {
        socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let answer = ask(&http(address), PATIENCE);
    assert_eq!(answer.reason(), "connected, then: Connection reset by peer (os error 104)");
    server.join().unwrap();
}

#[test]
fn an_answer_in_time_counts_even_if_it_is_read_late() {
    let (_listener, address) = listener();
    let clock = Clock::start().unwrap();
    let mut probe = Probe::start(&Target::Tcp(address), clock.now(), Duration::from_millis(1)).unwrap();
    pause(20);
    assert!(probe.deadline() < clock.now());
    assert_eq!(probe.poll(clock.now()), Poll::Passed);
}

#[test]
fn dropping_a_probe_closes_its_connection() {
    let (listener, address) = listener();
    let mut probe = Probe::start(&Target::Tcp(address), Clock::start().unwrap().now(), PATIENCE).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(probe.poll(Clock::start().unwrap().now()), Poll::Passed);
    drop(probe);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
