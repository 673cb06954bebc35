//! What a guest in the PID namespace, a client or a limit may cost the event loop: adverts keep their schedule.

use std::ffi::OsString;
use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_thp_disable;
use nix::sys::signal::Signal;

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::pair::{Pair, START};
use crate::support::process::{Launch, Running};
use crate::support::query::{PORT, command, connect, get, with_metrics};
use crate::support::router::{Kind, Node, Router};
use crate::support::schedule::{self, fast_pair};
use crate::support::service::Haproxy;
use crate::support::{machine, millis, seconds, wait_until};

/// Names the part of a guest that this binary plays when it is started again.
const PART: &str = "TEST_GUEST";
/// The size of the page tables of a hostile guest in megabytes, 200 if unset. `TEST_PAGE_TABLES_MB=800` needs 2 GB of memory.
const PAGE_TABLES: &str = "TEST_PAGE_TABLES_MB";

/// Ten adverts and five checks of haproxy a second.
fn watching(priority: u8) -> Node {
    Node { advert_int: "0.1", ..Node::watching_haproxy(priority) }.with("CHECK_INTERVAL", "0.2")
}

/// Starts this binary again under the file name `name`, in the PID namespace of `init`, as a guest of the kind `part`.
fn start_guest(host: &Host, init: &Running, name: &str, part: &str) -> Running {
    let args = ["--exact", "budgets::guest", "--nocapture", "--test-threads=1"];
    let mut env: Vec<(OsString, OsString)> = vec![(PART.into(), part.into())];
    env.extend(std::env::var_os(PAGE_TABLES).map(|size| (PAGE_TABLES.into(), size)));
    let binary = host.file("bin").join(name);
    fs::create_dir(host.file("bin")).unwrap();
    fs::hard_link(std::env::current_exe().unwrap(), &binary)
        .or_else(|_| fs::copy(std::env::current_exe().unwrap(), &binary).map(|_| ()))
        .unwrap();
    let guest = Running::start(host, Launch::Joining(init), &binary, &args, &env);
    guest.log.wait_for("the guest is ready", seconds(30));
    guest
}

/// Not a test, unless [`start_guest`] has started it.
#[test]
fn guest() {
    match std::env::var(PART).as_deref() {
        Ok("forks") => fork_with_large_page_tables(),
        Ok("threads") => live_in_many_threads(),
        Ok(other) => panic!("no guest {other}"),
        Err(_) => {}
    }
}

/// Each fork copies 200 MB of page tables, or as many as the environment says, and holds the lock on the memory map
/// meanwhile.
fn fork_with_large_page_tables() {
    const GIB: usize = 1 << 30;
    set_thp_disable(true).unwrap();
    let megabytes = std::env::var(PAGE_TABLES).map_or(200, |text| text.parse().unwrap());
    // A gigabyte of memory has two megabytes of page tables, and only half of it is kept.
    let memory: Vec<Vec<u8>> = (0..megabytes).map(|_| vec![0; GIB]).collect();
    // With gaps between the mappings, since the kernel refuses to copy a single one that is larger than its memory.
    let mut memory: Vec<Vec<u8>> = memory.into_iter().step_by(2).collect();
    for part in &mut memory {
        // A fork copies only the tables of a mapping that was written to. A read of a page maps the zero page.
        part[0] = 1;
        for page in (0..GIB).step_by(2 << 20) {
            black_box(part[page]);
        }
    }
    println!("the guest is ready");
    loop {
        // With a user id to set, the standard library forks instead of sharing the memory with the child.
        let status = Command::new("/bin/true").uid(0).stdin(Stdio::null()).status();
        assert!(status.unwrap().success());
    }
}

/// What the kernel adds up over the threads of a process takes longer with many.
fn live_in_many_threads() {
    let sleep = || std::thread::sleep(seconds(600));
    let threads: Vec<_> =
        (0..3_000).map_while(|_| Builder::new().stack_size(16_384).spawn(sleep).ok()).collect();
    println!("the guest is ready");
    for thread in threads {
        thread.join().unwrap();
    }
}

/// An advert at 0.1 s is late by this.
const LATE: Duration = millis(50);

/// Does `work` while a master sends ten adverts a second.
fn keeps_its_schedule(pair: &Pair, work: impl FnOnce()) {
    schedule::keeps_its_schedule(pair, millis(100), LATE, work);
}

/// The longest time that a read of the arguments of `pid` takes while `reads` are made.
fn longest_read(pid: u32, reads: usize) -> Duration {
    let read = |_| {
        let start = Instant::now();
        let _ = fs::read(format!("/proc/{pid}/cmdline"));
        let time = start.elapsed();
        std::thread::sleep(millis(10));
        time
    };
    (0..reads).map(read).max().unwrap_or_default()
}

#[test]
fn a_guest_that_holds_its_memory_map_delays_no_advert() {
    let _machine = machine::alone();
    let pair = fast_pair(&[watching(200), watching(100)]);
    let haproxy = Haproxy::start(&pair.a.host, &pair.a.run);
    let guest = start_guest(&pair.a.host, &pair.a.run, "hostile", "forks");
    let pid = guest.pid();
    keeps_its_schedule(&pair, || {
        let longest = longest_read(pid, 100);
        println!("reading its arguments took up to {longest:?}");
        assert!(longest > LATE, "a read on the loop would be seen: {longest:?}");
    });
    // And the death of the service is noticed.
    let mark = pair.a.run.log.mark();
    let killed = haproxy.kill();
    let line = pair.a.run.log.wait_for_after(mark, "haproxy … is gone", seconds(2));
    assert!(line.at - killed < millis(600), "gone after {:?}", line.at - killed);
}

#[test]
fn a_service_that_forks_all_the_time_and_holds_its_memory_map_delays_no_advert() {
    let _machine = machine::alone();
    let pair = fast_pair(&[watching(200), watching(100)]);
    let guest = start_guest(&pair.a.host, &pair.a.run, "haproxy", "forks");
    pair.a.run.log.wait_for("Check of haproxy succeeded", seconds(2));
    // Each child has the name of the service for a moment, and ends.
    keeps_its_schedule(&pair, || std::thread::sleep(seconds(3)));
    assert!(guest.log.since(0, "panicked").is_empty());
}

#[test]
fn a_name_only_in_the_arguments_is_found_beside_a_guest_that_blocks_its_reader() {
    let _machine = machine::alone();
    let node = |priority| watching(priority).with("SERVICE", "worker");
    let pair = fast_pair(&[node(200), node(100)]);
    let _guest = start_guest(&pair.a.host, &pair.a.run, "hostile", "forks");
    keeps_its_schedule(&pair, || {
        let script = "echo 'exec -a worker sleep 600' | bash";
        let args = ["-c", script];
        let _worker =
            Running::start(&pair.a.host, Launch::Joining(&pair.a.run), Path::new("/bin/dash"), &args, &[]);
        pair.a.run.log.wait_for("Check of worker succeeded", seconds(20));
        std::thread::sleep(seconds(1));
    });
}

#[test]
fn a_guest_of_three_thousand_threads_delays_no_advert() {
    let _machine = machine::alone();
    let pair = fast_pair(&[watching(200), watching(100)]);
    let _guest = start_guest(&pair.a.host, &pair.a.run, "haproxy", "threads");
    pair.a.run.log.wait_for("Check of haproxy succeeded", seconds(2));
    keeps_its_schedule(&pair, || std::thread::sleep(seconds(2)));
}

/// Starts `count` processes with the name of the file `path` in the PID namespace of `init`.
fn start_many(host: &Host, init: &Running, path: &Path, count: usize) -> Running {
    fs::copy("/bin/sleep", path).unwrap();
    let script =
        format!("i=0; while [ $i -lt {count} ]; do \"$0\" 600 & i=$((i+1)); done; echo started; wait");
    let args = ["-c".into(), script, path.to_str().unwrap().to_owned()];
    let shell = Running::start(host, Launch::Joining(init), Path::new("/bin/dash"), &args, &[]);
    shell.log.wait_for("started", seconds(20));
    shell
}

/// The processor time that a program has used.
fn processor_time(run: &Running) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", run.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
    millis(ticks.sum::<u64>() * 10)
}

/// Its share of a processor during a second.
fn is_quiet(run: &Running) {
    let before = processor_time(run);
    std::thread::sleep(seconds(1));
    let used = processor_time(run).saturating_sub(before);
    assert!(used < millis(250), "it used {used:?} of a second");
}

/// How often the host announces the address, in both forms, until `work` is done.
fn announcements(client: &Host, of: &Router, work: impl FnOnce()) -> usize {
    let arp = Capture::start(client, "announced", &format!("arp and ether src {}", of.host.mac()));
    work();
    arp.finish().frames.iter().filter(|frame| frame.gratuitous_arp(of.node.vip).is_some()).count()
}

/// A router that needs a service of which 60 processes run, with so many descriptors: what matters works. `clients`: so many
/// of its metrics wait at once.
fn serves_with_few_descriptors(most: u32, clients: usize) {
    let _machine = machine::alone();
    let lab = Lab::new();
    let (host, client) = (lab.host("a", 1), lab.host("client", 250));
    let service = host.file("service");
    let name = service.file_name().unwrap().to_str().unwrap().to_owned();
    let settings = host.file("env");
    fs::write(&settings, "").unwrap();
    let node = Node::plain(200).with("SERVICE", name).with("ENV_FILE", settings);
    let mut router = Router::ours(&host, &with_metrics(node), Launch::Descriptors(most));
    router.run.log.wait_for("Entering FAULT STATE", seconds(2));
    let mut services = None;
    let announced = announcements(&client, &router, || {
        services = Some(start_many(&host, &router.run, &service, 60));
        router.wait_master(0, seconds(8));
        std::thread::sleep(millis(300));
    });
    assert!(announced >= 2, "{announced} announcements");
    assert_eq!(command(&router, &["healthcheck"]).0, 0);
    let (code, status) = command(&router, &["status"]);
    assert!(code == 0 && status.contains("is served here"), "{status}");
    for line in
        ["cannot listen at [::]:9165", "a changed ENV_FILE is read only on SIGHUP", "cannot watch process"]
    {
        assert_eq!(router.run.log.since(0, line).is_empty(), most > 16, "{line}");
    }
    // More clients than there are descriptors: they wait, and cost no time.
    let clients: Vec<_> = (0..clients).map(|_| connect(&host)).collect();
    is_quiet(&router.run);
    drop(clients);
    wait_until("it answers again", seconds(8), || command(&router, &["healthcheck"]).0 == 0);
    let mark = router.run.log.mark();
    let shell = services.unwrap();
    Running::start(&host, Launch::Joining(&router.run), Path::new("/bin/dash"), &["-c", "kill -9 -1"], &[])
        .wait_exit(seconds(5));
    drop(shell);
    router.run.log.wait_for_after(mark, "Entering FAULT STATE", seconds(3));
    router.run.signal(Signal::SIGTERM);
    assert_eq!(router.run.wait_exit(seconds(3)), 0);
}

#[test]
fn forty_descriptors_are_enough() {
    serves_with_few_descriptors(40, 60);
}

#[test]
fn sixteen_descriptors_are_enough_for_everything_but_metrics() {
    serves_with_few_descriptors(16, 0);
}

fn take_every_descriptor(of: &Running) {
    let pid = of.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--nofile=0:0"]).status().unwrap().success());
}

#[test]
fn without_any_descriptor_the_master_stays_and_its_service_is_watched() {
    let _machine = machine::alone();
    let nodes = [with_metrics(watching(200)), watching(199)];
    let mut pair = fast_pair(&nodes);
    let haproxies = [&pair.a, &pair.b].map(|router| Haproxy::start(&router.host, &router.run));
    for router in [&pair.a, &pair.b] {
        router.run.log.wait_for("Check of haproxy succeeded", seconds(3));
    }
    take_every_descriptor(&pair.a.run);
    keeps_its_schedule(&pair, || {
        // It cannot accept these clients, and its reads of /proc fail.
        let _clients: Vec<_> = (0..4).map(|_| connect(&pair.a.host)).collect();
        is_quiet(&pair.a.run);
    });
    pair.a.run.signal(Signal::SIGUSR1);
    pair.a.run.log.wait_for("VI_1 … MASTER", seconds(2));
    let [on_a, _on_b] = haproxies;
    let mark = pair.b.run.log.mark();
    on_a.kill();
    pair.b.wait_master(mark, seconds(2));
    pair.a.run.signal(Signal::SIGTERM);
    assert_eq!(pair.a.run.wait_exit(seconds(3)), 0, "a stop as ever");
    assert!(!pair.a.holds_vip());
}

#[test]
fn a_backup_without_any_descriptor_takes_over_and_announces() {
    let _machine = machine::alone();
    let mut pair = Pair::start([Kind::Ours; 2], &[Node::plain(200), Node::plain(100)]);
    take_every_descriptor(&pair.b.run);
    std::thread::sleep(millis(100));
    let (client, b) = (pair.client.clone(), &pair.b);
    let mark = b.run.log.mark();
    let announced = announcements(&client, b, || {
        pair.a.run.kill();
        b.wait_master(mark, seconds(6));
        std::thread::sleep(millis(300));
    });
    assert!(announced >= 2, "{announced} announcements");
}

/// Calls `work` on `count` threads in the namespace of `host` until `meanwhile` is done.
fn during<T>(host: &Host, count: usize, work: impl Fn() + Sync, meanwhile: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                host.enter();
                while !done.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        let result = meanwhile();
        done.store(true, Ordering::Relaxed);
        result
    })
}

fn metrics_client() -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
    stream.set_write_timeout(Some(millis(200))).ok()?;
    stream.set_read_timeout(Some(seconds(5))).ok()?;
    Some(stream)
}

/// Sends without end, as far as the connection takes it.
fn upload(head: &str) {
    let Some(mut stream) = metrics_client() else { return };
    let mut sent = stream.write_all(head.as_bytes());
    while sent.is_ok() {
        sent = stream.write_all(&[b'x'; 16_384]);
    }
}

/// Sixteen clients upload for three seconds at a hundred adverts a second.
fn uploads_move_nothing(head: &str) {
    let node = |priority| with_metrics(Node { advert_int: "0.01", ..Node::plain(priority) });
    let _machine = machine::alone();
    let pair = fast_pair(&[node(200), node(100)]);
    schedule::keeps_its_schedule(&pair, millis(10), millis(20), || {
        let before = processor_time(&pair.a.run);
        during(&pair.a.host, 16, || upload(head), || std::thread::sleep(seconds(3)));
        let used = processor_time(&pair.a.run).saturating_sub(before);
        assert!(used < millis(1_500), "{used:?} of 3 s");
    });
}

#[test]
fn endless_uploads_after_a_response_move_nothing() {
    uploads_move_nothing("POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n");
}

#[test]
fn endless_header_fields_move_nothing() {
    uploads_move_nothing("GET /metrics HTTP/1.1\r\nA: ");
}

#[test]
fn endless_pipelined_requests_move_nothing() {
    uploads_move_nothing("GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n");
}

/// Scrapes while other clients do `work`: none is lost.
fn scrapes_succeed_during(count: usize, work: impl Fn() + Sync) {
    let _machine = machine::alone();
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &with_metrics(Node::plain(200)));
    router.wait_master(0, START);
    let scrapes = during(&host, count, work, || {
        let request = b"GET /metrics HTTP/1.1\r\n\r\n";
        let scrape = |_| {
            std::thread::sleep(millis(20));
            get(&host, request).is_ok_and(|page| page.contains("keepalived_up 1"))
        };
        (0..100).map(scrape).filter(|complete| *complete).count()
    });
    assert_eq!(scrapes, 100, "of 100 scrapes");
}

#[test]
fn clients_that_scrape_all_the_time_evict_no_other() {
    scrapes_succeed_during(20, || {
        std::thread::sleep(millis(1));
        if let Some(mut stream) = metrics_client() {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
            let _ = stream.read_to_end(&mut vec![]);
        }
    });
}

#[test]
fn clients_that_connect_and_say_nothing_evict_no_other() {
    scrapes_succeed_during(4, || {
        let clients: Vec<_> = (0..20).map(|_| metrics_client()).collect();
        std::thread::sleep(millis(5));
        drop(clients);
    });
}

#[test]
fn clients_that_do_not_read_their_response_evict_no_other() {
    scrapes_succeed_during(4, || {
        let mut clients: Vec<_> = (0..10).filter_map(|_| metrics_client()).collect();
        for client in &mut clients {
            let _ = client.write_all(b"GET /status HTTP/1.1\r\n\r\n");
        }
        std::thread::sleep(millis(50));
    });
}

/// Sends a signal as often as possible for two seconds, and once more.
fn storm(router: &Router, signal: Signal) -> usize {
    let end = Instant::now() + seconds(2);
    let mut sent = 0;
    while Instant::now() < end {
        (0..100).for_each(|_| router.run.signal(signal));
        sent += 100;
        std::thread::sleep(millis(1));
    }
    sent
}

#[test]
fn a_storm_of_signals_writes_few_lines_and_the_last_request_is_served() {
    let _machine = machine::alone();
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let router = Router::start(Kind::Ours, &host, &Node::plain(200));
    router.wait_master(0, START);
    for (signal, line) in [
        (Signal::SIGUSR1, "for none of our routers, dropped:"),
        (Signal::SIGUSR2, "for none of our routers, dropped:"),
        (Signal::SIGHUP, "the configuration has not changed"),
    ] {
        let mark = router.run.log.mark();
        let sent = storm(&router, signal);
        assert!(sent > 1_000, "{sent} signals");
        std::thread::sleep(millis(1_200));
        let lines = router.run.log.since(mark, line).len();
        assert!((3..=4).contains(&lines), "{lines} for {sent} of {signal}");
    }
    router.run.log.wait_for("Status requested … times within a second; logged once", seconds(1));
}
