//! The image as its users run it: the published compose files on two Docker hosts, and the demo on one.

#[path = "docker/host.rs"]
mod host;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use host::{Host, Lan, Namespace, compose, must, program, run, wait_for};

const IMAGE: &str = "vrrp-init:latest";
const VIP: &str = "10.0.0.2";
/// Longest a role may take to settle: the check's interval, the master-down interval, and a busy machine.
const SETTLE: Duration = Duration::from_secs(20);
/// Longest a killed router's address may stay: the master-down interval in whole seconds, and what the kernel and
/// `docker kill` take.
const LEASE: Duration = Duration::from_millis(5_500);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The image of these very sources, and the public images that the tests run beside it.
fn images() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        must(program("make --silent image stand-ins").current_dir(repository()));
    });
}

/// Two Docker hosts and a client on one network, with the images that the published files name.
struct Pair {
    master: Host,
    slave: Host,
    client: Namespace,
    // Dropped last: takes the namespaces with it.
    _lan: Lan,
}

impl Pair {
    fn new() -> Self {
        images();
        let lan = Lan::new();
        let pair = Self {
            master: Host::start(&lan, "master", "enp0s3", "10.0.0.11/24"),
            slave: Host::start(&lan, "slave", "enp0s3", "10.0.0.12/24"),
            client: lan.namespace("client", "eth0", "10.0.0.100/24"),
            _lan: lan,
        };
        let archive = tempfile("images.tar");
        must(&mut program(&format!("docker save --output {} {IMAGE} haproxy:2.6", archive.display())));
        for (host, name) in [(&pair.master, "master"), (&pair.slave, "slave")] {
            host.docker(&format!("load --quiet --input {}", archive.display()));
            host.docker(&format!("tag {IMAGE} sirrtea/keepalived:alpine"));
            let context = repository().join("tests/docker/haproxy");
            host.docker(&format!(
                "build --quiet --tag sirrtea/haproxy:alpine --build-arg NODE={name} {}",
                context.display()
            ));
        }
        let _ = std::fs::remove_file(archive);
        pair
    }

    fn compose(&self, name: &str, line: &str) {
        let host = if name == "master" { &self.master } else { &self.slave };
        host.compose(&seed(name), line);
    }

    /// Waits until the virtual address is on `name` alone and its haproxy answers the client there.
    fn expect_on(&self, name: &str, because: &str) {
        wait_for(&format!("{VIP} on the {name} alone: {because}"), SETTLE, || {
            let holders = [("master", &self.master), ("slave", &self.slave)]
                .into_iter()
                .filter(|(_, host)| host.network.has(VIP))
                .map(|(holder, _)| holder)
                .collect::<Vec<_>>();
            if holders != [name] {
                return Err(format!("it is on {holders:?}"));
            }
            let answer = run(&mut self
                .client
                .program(&format!("curl --silent --show-error --max-time 1 http://{VIP}/")))?;
            if answer.trim() == name { Ok(()) } else { Err(format!("the client was answered by {answer:?}")) }
        });
    }

    fn expect_nowhere(&self, because: &str) {
        wait_for(&format!("{VIP} nowhere: {because}"), SETTLE, || {
            let held = [&self.master, &self.slave].map(|host| host.network.has(VIP));
            if held == [false, false] { Ok(()) } else { Err(format!("held by master, slave: {held:?}")) }
        });
    }
}

/// The directory of a compose file as it was published.
fn seed(name: &str) -> PathBuf {
    repository().join("tests/docker/seed").join(name)
}

fn tempfile(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("vrrp-init-test-{}-{name}", std::process::id()))
}

#[test]
fn the_published_compose_files_run_unchanged_on_two_hosts() {
    let pair = Pair::new();
    pair.compose("master", "up -d");
    pair.compose("slave", "up -d");
    pair.expect_on("master", "priority 11+2 against 10+2");

    pair.master.docker("kill haproxy");
    pair.expect_on("slave", "haproxy was killed on the master: 11 against 12");
    pair.master.docker("start haproxy");
    pair.expect_on("master", "haproxy runs again on the master");

    // Dead on both: 11 against 10, so it stays. Five seconds are two checks and an advertisement.
    pair.slave.docker("kill haproxy");
    pair.master.docker("kill haproxy");
    host::pause(Duration::from_secs(5));
    assert!(pair.master.network.has(VIP) && !pair.slave.network.has(VIP), "haproxy is dead on both hosts");
    pair.master.docker("start haproxy");
    pair.slave.docker("start haproxy");
    pair.expect_on("master", "haproxy runs again on both");

    // The owner of the process namespace takes haproxy with it; its address is the kernel's to remove.
    pair.master.docker("kill keepalived");
    wait_for("the killed master's host loses the address", LEASE, || {
        if pair.master.network.has(VIP) { Err("it still has it".to_owned()) } else { Ok(()) }
    });
    pair.expect_on("slave", "keepalived was killed on the master");
    pair.master.docker("start keepalived");
    host::pause(Duration::from_secs(5));
    pair.expect_on("slave", "keepalived was started again, and its haproxy not: 11 against 12");
    pair.master.docker("start haproxy");
    pair.expect_on("master", "haproxy was started again as well");

    pair.master.docker("stop keepalived");
    let held = [&pair.master, &pair.slave].map(|host| host.network.has(VIP));
    assert_eq!(
        held,
        [false, true],
        "held by master, slave: a stopped master has handed over when it is gone"
    );
    pair.expect_on("slave", "keepalived was stopped on the master");
    assert_eq!(pair.master.docker("inspect --format {{.State.ExitCode}} keepalived").trim(), "0");
    pair.master.docker("start keepalived");
    pair.master.docker("start haproxy");
    pair.expect_on("master", "keepalived and haproxy were started again");

    pair.compose("master", "down");
    pair.expect_on("slave", "the master went down in good order");
    pair.compose("slave", "down");
    pair.expect_nowhere("both went down in good order");
}

#[test]
fn the_shipped_compose_files_differ_from_the_published_ones_in_the_image_alone() {
    for name in ["master", "slave"] {
        let published =
            std::fs::read_to_string(seed(name).join("docker-compose.yml")).expect("it is in the repository");
        let shipped =
            std::fs::read_to_string(repository().join("compose").join(name).join("docker-compose.yml"));
        let expected = published.replace("image: sirrtea/keepalived:alpine", &format!("image: {IMAGE}"));
        assert_ne!(expected, published);
        assert_eq!(shipped.expect("it is in the repository"), expected, "compose/{name}/docker-compose.yml");
    }
}

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

#[test]
fn the_image_is_one_static_file() {
    images();
    let directory = tempfile("image");
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    let at = directory.display();
    must(&mut program(&format!("docker save --output {at}/image.tar {IMAGE}")));
    must(&mut program(&format!("tar -C {at} -xf {at}/image.tar")));
    let manifest = std::fs::read(directory.join("manifest.json")).expect("docker save writes a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("the manifest is JSON");
    let layers = manifest[0]["Layers"].as_array().expect("the manifest lists layers");
    let layers: Vec<String> =
        layers.iter().filter_map(|layer| Some(format!("{at}/{}", layer.as_str()?))).collect();
    let files: Vec<String> =
        layers.iter().map(|layer| must(&mut program(&format!("tar -tf {layer}")))).collect();
    assert_eq!(files, ["vrrp-init\n"], "files by layer");

    must(&mut program(&format!("tar -C {at} -xf {}", layers[0])));
    let binary = std::fs::read(directory.join("vrrp-init")).expect("just extracted");
    let _ = std::fs::remove_dir_all(&directory);
    assert!(!asks_for_an_interpreter(&binary), "the binary is dynamically linked");
    println!("image: one file of {} bytes", binary.len());
    assert!(binary.len() < 700_000, "the binary has {} bytes", binary.len());
    if cfg!(target_arch = "x86_64") {
        // The class of Rust's exceptions, which is in the code that unwinds and nowhere else.
        let unwinds = binary.windows(8).any(|bytes| bytes == b"MOZ\0RUST");
        assert!(unwinds, "a panic would not release the addresses");
    }
}

/// Whether a 64-bit little-endian ELF file has a program header of type `PT_INTERP`.
fn asks_for_an_interpreter(elf: &[u8]) -> bool {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "a 64-bit little-endian ELF file");
    let number = |at: usize, size: usize| {
        elf[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    assert!(count > 0, "program headers");
    (0..count).any(|index| number(table + index * size, 4) == 3)
}
