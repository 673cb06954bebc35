//! A master whose container is killed, as two clients see it: one that opens connections all the time, and one that also
//! asks for the hardware address of the virtual address again and again. The dead host is the first that hears it.
//! With `DOCKER_KILLS=20`, so many `docker kill`, and the median of what the clients saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::host::{Host, Namespace, must, pause, program, wait_for};
use super::machine;
use super::oom::MemoryGroup;
use super::pair::{SETTLE, VIP};
use super::published::Published;
use super::requests::{Requests, longest_outage};

/// By silence alone it would take 3 to 4 s.
const OUTAGE: Duration = Duration::from_secs(1);
/// A client forgets the hardware address this often.
const FORGET: Duration = Duration::from_millis(50);
/// Longer than the lease of the dead host, for which its kernel still has the address.
const AFTER: Duration = Duration::from_secs(6);

/// How the container ends, and what ends it.
type Kill = (&'static str, fn(&Host));

const KILLS: [Kill; 3] = [
    ("docker kill keepalived", |host| _ = host.docker("kill keepalived")),
    ("out of memory", |host| {
        let pid = host.inspect("keepalived", ".State.Pid").parse().expect("a number");
        MemoryGroup::with(pid).run_out(pid);
    }),
    ("docker rm -f keepalived", |host| _ = host.docker("rm -f keepalived")),
];

#[test]
fn the_other_host_takes_over_at_once_when_the_container_is_killed() {
    let _machine = machine::alone();
    let pair = Published::new();
    for name in ["master", "slave"] {
        pair.compose(name, "up -d");
    }
    let mut outages = [vec![], vec![]];
    for (event, kill) in kills() {
        pair.expect_on("master", "both run");
        is_connected(&pair.0.slave);
        let forgetting = Forgetting::start(&pair.0.forgetful);
        let clients = [&pair.0.client, &pair.0.forgetful].map(|from| Requests::start(from, VIP));
        pause(Duration::from_secs(1));
        kill(&pair.0.master);
        pause(AFTER);
        let [steady, forgetful] = clients.map(Requests::finish);
        drop(forgetting);
        pair.expect_on("slave", event);
        let clients = [("steady", steady), ("forgetful", forgetful)];
        for ((client, (count, failures)), outages) in clients.into_iter().zip(&mut outages) {
            let outage = longest_outage(&failures);
            outages.push((outage, failures.len()));
            println!(
                "{event}, {client} client: {} of {count} failed, none answered for {outage:?}",
                failures.len()
            );
            assert!(count > 500 && outage < OUTAGE, "{event}, {client} client of {count}: {failures:?}");
        }
        pair.compose("master", "up -d --force-recreate");
    }
    for (client, mut outages) in ["steady", "forgetful"].into_iter().zip(outages) {
        outages.sort_unstable();
        let [median, worst] = [outages.len() / 2, outages.len() - 1].map(|n| outages[n]);
        println!(
            "{client} client, time without an answer and requests failed: median {median:?}, worst {worst:?}"
        );
    }
}

fn kills() -> Vec<Kill> {
    let repeated = std::env::var("DOCKER_KILLS").ok().and_then(|count| count.parse().ok());
    repeated.map_or_else(|| KILLS.to_vec(), |count| vec![KILLS[0]; count])
}

/// Waits until the backup would learn of the master's death at once.
fn is_connected(backup: &Host) {
    wait_for("a lifeline, and a guard at its other end", SETTLE, || {
        let status = backup.docker("exec keepalived /vrrp-init status");
        let connected = status.contains("10.0.0.11 connected") && !status.contains("no address guard");
        if connected { Ok(()) } else { Err(status) }
    });
}

/// Removes the neighbor entry of the virtual address in a namespace, again and again.
struct Forgetting {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forgetting {
    fn start(from: &Namespace) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (of_thread, line) = (Arc::clone(&ended), format!("ip neighbour flush to {VIP} dev eth0"));
        let namespace = from.open();
        let thread = std::thread::spawn(move || {
            Namespace::enter(&namespace);
            while !of_thread.load(Ordering::Relaxed) {
                must(&mut program(&line));
                pause(FORGET);
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
