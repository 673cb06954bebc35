//! The demo, on the machine's own engine.

use std::process::Command;

use super::host::{compose, must, program, run, wait_for};
use super::pair::SETTLE;
use crate::{images, repository};

/// The demo under a project name of its own; taken down when dropped.
struct Demo;

const PROJECT: &str = "vrrp-init-test";

impl Demo {
    fn compose(line: &str) -> Result<String, String> {
        let directory = repository().join("compose/demo");
        run(compose().args(["-p", PROJECT]).args(line.split_whitespace()).current_dir(directory))
    }

    fn left() -> String {
        let filter = format!("label=com.docker.compose.project={PROJECT}");
        must(Command::new("docker").args(["ps", "--all", "--quiet", "--filter", &filter]))
            + &must(Command::new("docker").args(["network", "ls", "--quiet", "--filter", &filter]))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", Self::compose("logs --no-color").unwrap_or_else(|failure| failure));
        }
        let _ = Self::compose("down");
    }
}

#[test]
fn the_demo_answers_on_its_address_whichever_node_lives() {
    images();
    let _demo = Demo;
    let answered_by = |node: &str| {
        wait_for(&format!("an answer from {node}"), SETTLE, || {
            let answer = run(&mut program("curl --silent --show-error --max-time 1 http://10.51.0.100/"))?;
            if answer.trim() == node { Ok(()) } else { Err(format!("answered by {answer:?}")) }
        });
    };
    Demo::compose("down").unwrap_or_else(|failure| panic!("a killed run's remains: {failure}"));
    Demo::compose("up -d").unwrap_or_else(|failure| panic!("{failure}"));
    answered_by("node-a");
    Demo::compose("kill haproxy-a").unwrap_or_else(|failure| panic!("{failure}"));
    answered_by("node-b");
    Demo::compose("start haproxy-a").unwrap_or_else(|failure| panic!("{failure}"));
    answered_by("node-a");
    Demo::compose("down").unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(Demo::left(), "", "containers and networks after `down`");
}
