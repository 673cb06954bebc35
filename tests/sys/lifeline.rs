//! The sockets of lifelines against a real kernel, in a network namespace of its own: which packets count, which ports are
//! shared, and what a close leaves behind.

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd};
use std::process::Command;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, unshare};
use vrrp_init::sys::lifeline::{Listener, Local, Place, Progress, Stream, address};
use vrrp_init::sys::limits::{Descriptors, raise_descriptors};

const PORT: u16 = 9112;

/// Runs `work` on a thread in a network namespace of its own, whose loopback is up.
fn alone(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("this test makes namespaces and has to run as root");
            run("ip link set lo up");
            work();
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A firewall with this one rule for what comes in.
fn firewall(rule: &str) {
    run("nft add table inet t");
    run("nft add chain inet t in { type filter hook input priority 0 ; }");
    run(&format!("nft add rule inet t in {rule}"));
}

fn local(text: &str) -> Local {
    Local { address: text.parse().unwrap(), link: 0, device: None }
}

fn place() -> Place {
    Place::within(raise_descriptors()).expect("the limit of this machine is not lower")
}

fn listen(at: &str, on_link: bool) -> Listener {
    let open = || Listener::open(&local(at), PORT, on_link, place());
    // A child that another test has just forked keeps a closed listener open until it runs its program.
    for _ in 0..100 {
        if let Ok(listener) = open() {
            return listener;
        }
        poll(&mut [], 10_u16).unwrap();
    }
    open().unwrap()
}

fn to(text: &str) -> SocketAddr {
    address(text.parse().unwrap(), 0, PORT)
}

fn connect(text: &str, on_link: bool) -> Stream {
    Stream::connect(&local(text), 0, to(text), on_link, None, place()).unwrap()
}

fn wait(stream: &Stream, what: PollFlags, ms: u16) -> bool {
    poll(&mut [PollFd::new(stream.as_fd(), what)], ms).unwrap() > 0
}

fn accept(listener: &Listener) -> (Stream, SocketAddr) {
    assert!(poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], 5_000_u16).unwrap() > 0);
    listener.accept().unwrap().expect("a connection")
}

/// A backup's end and its master's.
fn established(at: &str, on_link: bool) -> (Stream, Stream, Listener) {
    let listener = listen(at, on_link);
    let mut ours = connect(at, on_link);
    assert!(wait(&ours, PollFlags::POLLOUT, 5_000));
    ours.establish().unwrap();
    (ours, accept(&listener).0, listener)
}

const BOTH: [&str; 2] = ["127.0.0.1", "::1"];

#[test]
fn a_firewall_cannot_reset_an_established_connection_on_the_link() {
    for (at, on_link, expected) in [
        (BOTH[0], true, Progress::Later),
        (BOTH[1], true, Progress::Later),
        (BOTH[0], false, Progress::Broken),
    ] {
        alone(|| {
            let (mut ours, mut theirs, _listener) = established(at, on_link);
            firewall("tcp dport 9112 reject with tcp reset");
            // Its confirmation is answered with a reset.
            assert!(theirs.write(b"hello"));
            let mut buffer = [0; 9];
            assert!(wait(&ours, PollFlags::POLLIN, 5_000));
            assert_eq!(ours.read(&mut buffer), Progress::Some(5));
            assert_eq!(wait(&ours, PollFlags::POLLIN, 200), expected == Progress::Broken);
            assert_eq!(ours.read(&mut buffer), expected, "{at} {on_link}");
        });
    }
}

#[test]
fn a_closed_port_refuses_although_its_reset_has_the_ttl_of_the_host() {
    for at in BOTH {
        alone(|| {
            let mut ours = connect(at, true);
            assert!(wait(&ours, PollFlags::POLLOUT, 5_000));
            assert_eq!(ours.establish().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        });
    }
}

#[test]
fn who_comes_through_a_router_cannot_connect_except_to_a_peer_that_does() {
    for (at, on_link) in [(BOTH[0], true), (BOTH[1], true), (BOTH[0], false), (BOTH[1], false)] {
        alone(|| {
            let _listener = listen(at, on_link);
            // With the TTL of the host.
            let far = TcpStream::connect_timeout(&to(at), Duration::from_millis(300));
            assert_eq!(far.is_err(), on_link, "{at}: {far:?}");
        });
        // Nor can a backup be answered through one.
        alone(|| {
            let _listener = TcpListener::bind(to(at)).unwrap();
            let ours = connect(at, on_link);
            assert_eq!(wait(&ours, PollFlags::POLLOUT, 300), !on_link, "{at}");
        });
    }
}

#[test]
fn the_end_of_a_process_and_its_reset_are_told_apart() {
    alone(|| {
        let mut buffer = [0; 9];
        let (mut ours, theirs, listener) = established(BOTH[0], true);
        assert_eq!(ours.read(&mut buffer), Progress::Later);
        drop(theirs);
        assert!(wait(&ours, PollFlags::POLLIN, 5_000));
        assert_eq!(ours.read(&mut buffer), Progress::Finished);
        drop((ours, listener));
        let (mut ours, theirs, _listener) = established(BOTH[0], true);
        theirs.abort();
        assert!(wait(&ours, PollFlags::POLLIN, 5_000));
        assert_eq!(ours.read(&mut buffer), Progress::Broken);
    });
}

/// Both ends of 127.0.0.1 and 127.0.0.2 at the port of the lifeline, through a firewall that lets nothing in.
fn simultaneous() -> [Stream; 2] {
    let ends = ["127.0.0.1", "127.0.0.2"];
    let dial = |from: &str, other: &str| {
        Stream::connect(&local(from), PORT, to(other), true, None, place()).unwrap()
    };
    firewall("tcp flags syn drop");
    let mut streams = [dial(ends[0], ends[1]), dial(ends[1], ends[0])];
    run("nft delete table inet t");
    for stream in &mut streams {
        // The kernel tries again after a second.
        assert!(wait(stream, PollFlags::POLLOUT, 5_000));
        stream.establish().unwrap();
    }
    streams
}

#[test]
fn both_ends_may_open_the_same_connection_and_no_end_keeps_its_port() {
    alone(|| {
        for _ in 0..2 {
            let [mut a, mut b] = simultaneous();
            let mut buffer = [0; 9];
            assert!(a.write(b"a") && b.write(b"bb"));
            assert!(wait(&a, PollFlags::POLLIN, 5_000) && wait(&b, PollFlags::POLLIN, 5_000));
            assert_eq!((a.read(&mut buffer), b.read(&mut buffer)), (Progress::Some(2), Progress::Some(1)));
            // One process ends; the other end closes so that neither port is left in TIME_WAIT.
            drop(a);
            assert!(wait(&b, PollFlags::POLLIN, 5_000));
            assert_eq!(b.read(&mut buffer), Progress::Finished);
            b.abort();
        }
    });
}

#[test]
fn a_connection_shares_the_port_of_its_listener_and_no_other_program_does() {
    alone(|| {
        let listener = listen("127.0.0.1", true);
        let other = listen("127.0.0.2", true);
        let mut ours =
            Stream::connect(&local("127.0.0.1"), PORT, to("127.0.0.2"), true, Some(&listener), place())
                .unwrap();
        assert!(wait(&ours, PollFlags::POLLOUT, 5_000));
        ours.establish().unwrap();
        assert_eq!(accept(&other).1, to("127.0.0.1"));
        let second = Listener::open(&local("127.0.0.1"), PORT, true, place()).unwrap_err().to_string();
        assert!(second.starts_with("cannot listen for lifelines at 127.0.0.1:9112: Address"), "{second}");
        let without = Stream::connect(&local("127.0.0.1"), PORT, to("127.0.0.2"), true, None, place());
        assert_eq!(without.unwrap_err().kind(), ErrorKind::AddrInUse);
        // Opened anew beside a connection, as by a host that becomes master.
        drop(listener);
        listen("127.0.0.1", true);
    });
}

#[test]
fn the_descriptors_are_above_all_others_and_the_listener_above_its_connections() {
    alone(|| {
        let (ours, theirs, listener) = established(BOTH[0], true);
        let numbers = [&ours.as_fd(), &theirs.as_fd(), &listener.as_fd()].map(AsRawFd::as_raw_fd);
        assert!((900..964).contains(&numbers[0]) && (900..964).contains(&numbers[1]), "{numbers:?}");
        assert!((964..1_000).contains(&numbers[2]), "{numbers:?}");
    });
    // Also with a low limit, as high as possible; with a very low one, others need them.
    for (limit, is_some) in [(127, false), (128, true), (64, false), (0, false)] {
        assert_eq!(Place::within(Descriptors::new(limit)).is_some(), is_some, "{limit}");
    }
}

#[test]
fn a_reader_that_does_not_read_is_noticed_when_the_kernel_has_no_room_left() {
    alone(|| {
        let listener = listen(BOTH[0], false);
        let mut client = TcpStream::connect(to(BOTH[0])).unwrap();
        let (mut ours, from) = accept(&listener);
        assert_eq!(from.ip(), BOTH[0].parse::<IpAddr>().unwrap());
        let mut frames = 0;
        while ours.write(&[0; 16]) {
            frames += 1;
        }
        assert!(frames > 100, "only {frames}");
        client.write_all(b"x").unwrap();
    });
}
