//! The demo, on the machine's own engine.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::host::{must, program, run, wait_for};
use super::pair::SETTLE;
use super::{images, machine, repository};

const PROJECT: &str = "vrrp-init-demo";
const CONTAINERS: [&str; 4] = ["demo-haproxy-a", "demo-haproxy-b", "demo-keepalived-a", "demo-keepalived-b"];

/// The demo's containers and subnet, which exist once per machine; removed when dropped.
struct Demo {
    _only: MutexGuard<'static, ()>,
}

impl Demo {
    /// Waits for the other tests of the demo, and removes the leftovers of a killed run.
    fn new() -> Self {
        static ONLY: Mutex<()> = Mutex::new(());
        images();
        let only = ONLY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        must(&mut make("demo-down"));
        Self { _only: only }
    }

    /// Containers, running or not, and networks.
    fn left() -> String {
        let filter = format!("label=com.docker.compose.project={PROJECT}");
        must(Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]))
            + &must(Command::new("docker").args(["network", "ls", "--quiet", "--filter", &filter]))
    }

    fn running() -> Vec<String> {
        let names = must(&mut program("docker ps --format {{.Names}} --filter name=^demo-"));
        let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for container in CONTAINERS {
                eprintln!("{container}: {:?}", run(&mut program(&format!("docker logs -t {container}"))));
            }
        }
        let _ = run(&mut make("demo-down"));
    }
}

/// Restores the effect of Ctrl-C, which a shell ignores in background processes.
fn make(line: &str) -> Command {
    let mut command = program(&format!("env --default-signal=INT make --silent {line}"));
    command.current_dir(repository());
    command
}

/// The lines of a timeline, from the command that it begins with to the summary.
fn timeline<'a>(output: &'a str, command: &str) -> Vec<&'a str> {
    let lines = output.lines().skip_while(|line| *line != format!("$ {command}"));
    let mut lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let end = lines.iter().position(|line| line.contains("ms without an answer; "));
    lines.truncate(end.unwrap_or_else(|| panic!("no timeline of {command}:\n{output}")) + 1);
    lines
}

/// Whether the timeline shows the service going from one node to the other.
fn assert_moved(timeline: &[&str], from: &str, to: &str) {
    let place = |text: String| timeline.iter().position(|line| line.ends_with(&text));
    let last = place(format!("{from}  ← the last answer from {from}"));
    let first = place(format!("{to}  ← the first answer from {to}"));
    assert!(last.is_some() && first.is_some() && last < first, "{from} to {to}:\n{}", timeline.join("\n"));
}

#[test]
fn make_demo_shows_how_the_service_moves_and_leaves_nothing() {
    let _machine = machine::shared();
    let _demo = Demo::new();
    let output = must(&mut make("demo"));
    assert_moved(&timeline(&output, "docker kill demo-haproxy-a"), "node-a", "node-b");
    assert_moved(&timeline(&output, "docker start demo-haproxy-a"), "node-b", "node-a");
    for node in ["a", "b"] {
        for command in ["status", "why"] {
            let heading = format!("$ docker exec demo-keepalived-{node} /vrrp-init {command}\n");
            assert!(output.contains(&heading), "{heading}{output}");
        }
    }
    assert!(output.contains("Now try: make demo KEEP=1"), "{output}");
    assert_eq!(Demo::left(), "", "containers and networks after make demo");
}

#[test]
fn the_demo_answers_on_its_address_whichever_node_lives() {
    let _machine = machine::shared();
    let _demo = Demo::new();
    let answered_by = |node: &str| {
        wait_for(&format!("an answer from {node}"), SETTLE, || {
            let answer = run(&mut program("curl --silent --show-error --max-time 1 http://10.51.0.100/"))?;
            if answer.trim() == node { Ok(()) } else { Err(format!("answered by {answer:?}")) }
        });
    };
    let output = must(&mut make("demo KEEP=1"));
    assert!(output.contains("Both nodes are still running"), "{output}");
    assert_eq!(Demo::running(), CONTAINERS);
    answered_by("node-a");
    must(&mut program("docker kill demo-haproxy-a"));
    answered_by("node-b");
    must(&mut program("docker start demo-haproxy-a"));
    answered_by("node-a");
    // A demo that is still running is replaced.
    must(&mut make("demo KEEP=1"));
    assert_eq!(Demo::running(), CONTAINERS);
    must(&mut make("demo-down"));
    assert_eq!(Demo::left(), "", "containers and networks after make demo-down");
}

#[test]
fn ctrl_c_removes_the_demo() {
    let _machine = machine::shared();
    let _demo = Demo::new();
    let mut demo =
        Interrupted(make("demo").process_group(0).stdout(Stdio::null()).spawn().expect("make is there"));
    wait_for("the demo to start", SETTLE, || {
        let running = Demo::running();
        if running == CONTAINERS { Ok(()) } else { Err(format!("{running:?}")) }
    });
    demo.interrupt();
    wait_for("the end of the demo", Duration::from_mins(1), || {
        match demo.0.try_wait().expect("a child of ours") {
            Some(status) if !status.success() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(Demo::left(), "", "containers and networks after Ctrl-C");
}

/// A process group that receives Ctrl-C, at the latest when dropped.
struct Interrupted(Child);

impl Interrupted {
    fn interrupt(&self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).expect("Linux's process ids are small"));
        let _ = killpg(group, Signal::SIGINT);
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.interrupt();
            let _ = self.0.wait();
        }
    }
}
