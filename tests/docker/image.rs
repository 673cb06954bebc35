//! The content of the images, and the image for another architecture, run by an emulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::{Lan, must, program, wait_for};
use crate::{BUILT, images, machine, repository, tempfile};

/// The files of an image by layer, unpacked to a directory that is removed when this is dropped.
struct Unpacked {
    directory: PathBuf,
    files: Vec<String>,
    config: serde_json::Value,
}

impl Unpacked {
    fn new(image: &str, name: &str) -> Self {
        let directory = tempfile(name);
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let at = directory.display();
        must(&mut program(&format!("docker save --output {at}/image.tar {image}")));
        must(&mut program(&format!("tar -C {at} -xf {at}/image.tar")));
        let json = |file: &str| -> serde_json::Value {
            let text = fs::read(directory.join(file)).expect("the archive has what its manifest names");
            serde_json::from_slice(&text).expect("it is JSON")
        };
        let manifest = json("manifest.json");
        let config = json(manifest[0]["Config"].as_str().expect("the manifest names the configuration"));
        let layers = manifest[0]["Layers"].as_array().expect("the manifest lists layers");
        let mut files = Vec::new();
        for layer in layers.iter().filter_map(|layer| layer.as_str()) {
            files.push(must(&mut program(&format!("tar -tf {at}/{layer}"))));
            must(&mut program(&format!("tar -C {at} -xf {at}/{layer}")));
        }
        Self { directory, files, config }
    }

    fn binary(&self) -> PathBuf {
        self.directory.join("vrrp-init")
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn the_image_is_one_static_file_and_an_empty_run() {
    let _machine = machine::shared();
    images();
    let image = Unpacked::new(BUILT, "image");
    assert_eq!(image.files, ["run/\nvrrp-init\n"], "files by layer");
    let binary = fs::read(image.binary()).expect("just extracted");
    assert!(!asks_for_an_interpreter(&binary), "the binary is dynamically linked");
    println!("image: one file of {} bytes", binary.len());
    assert_eq!(
        binary,
        plain_build(),
        "the image's binary, and that of a plain `cargo build` in another folder"
    );
    // The limit applies to the image as well, because the two are identical.
    assert!(binary.len() <= 1_250_000, "the binary has {} bytes", binary.len());
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.source"], env!("CARGO_PKG_REPOSITORY"), "{labels}");
    assert_eq!(labels["org.opencontainers.image.licenses"], env!("CARGO_PKG_LICENSE"), "{labels}");
}

/// The images of a repository, without those names when this is dropped.
struct Repository(String);

impl Repository {
    fn make(&self) {
        must(program("tests/scripts/image.sh").current_dir(repository()).env("REPOSITORY", &self.0));
    }

    fn id(&self, tag: &str) -> String {
        must(&mut program(&format!("docker image inspect --format {{{{.Id}}}} {}:{tag}", self.0)))
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        for tag in ["hold-1", "latest", "build"] {
            let _ = program(&format!("docker rmi {}:{tag}", self.0)).output();
        }
    }
}

#[test]
fn the_image_of_the_namespace_is_made_once_and_its_tag_never_moves() {
    let _machine = machine::shared();
    images();
    let made = Repository(format!("vrrp-init-test-{}", std::process::id()));
    made.make();
    let image = Unpacked::new(&format!("{}:hold-1", made.0), "hold");
    assert_eq!(image.files, ["run/\nvrrp-init\n"], "files by layer: that of vrrp-init itself");
    assert_eq!(image.config["config"]["Cmd"], serde_json::json!(["hold"]));
    assert_eq!(image.config["config"]["Healthcheck"]["Test"], serde_json::json!(["NONE"]));

    // The image of an older release.
    let build = format!(
        "printf 'FROM {0}:hold-1\nLABEL release=old\n' | docker build --quiet --tag {0}:hold-1 -",
        made.0
    );
    must(program("bash -euc").arg(build));
    let old = made.id("hold-1");
    made.make();
    assert_eq!(made.id("hold-1"), old, "make image has moved the tag");
}

/// The binary of a plain `cargo build --release` in this folder with this user's crate registry. The image's binary was
/// built in another folder with another registry.
fn plain_build() -> Vec<u8> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    must(
        program(&format!("cargo build --quiet --locked --release --target {target}"))
            .current_dir(repository()),
    );
    fs::read(repository().join("target").join(&target).join("release/vrrp-init")).expect("just built")
}

/// Whether a 64-bit little-endian ELF file has a program header of type `PT_INTERP`.
fn asks_for_an_interpreter(elf: &[u8]) -> bool {
    program_headers(elf).any(|header| number(header, 0, 4) == 3)
}

fn program_headers(elf: &[u8]) -> impl Iterator<Item = &[u8]> {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "a 64-bit little-endian ELF file");
    let (table, size, count) = (number(elf, 32, 8), number(elf, 54, 2), number(elf, 56, 2));
    assert!(count > 0, "program headers");
    elf[table..].chunks(size).take(count)
}

fn number(octets: &[u8], at: usize, size: usize) -> usize {
    octets[at..at + size].iter().rev().fold(0, |value, octet| value << 8 | usize::from(*octet))
}

/// The virtual sizes of the executable segments of a 64-bit little-endian ELF file.
fn executable_segments(elf: &[u8]) -> Vec<usize> {
    let flag = |header: &&[u8]| (number(header, 0, 4), number(header, 4, 4) & 1) == (1, 1);
    program_headers(elf).filter(flag).map(|header| number(header, 40, 8)).collect()
}

/// A program that is killed when this is dropped, if it is still running.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the binary without any variable: its exit code and its output.
fn ends(binary: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("qemu-aarch64").arg(binary).args(words).env_clear().output();
    let output = output.expect("qemu-aarch64 runs: make setup");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// `.cargo/layout.ld` finds the functions by parts of their names, which depend on the compiler.
#[test]
fn a_master_takes_less_than_a_megabyte_and_loads_no_code_that_it_seldom_runs() {
    let _machine = machine::shared();
    images();
    let image = Unpacked::new(BUILT, "memory");
    let binary = fs::read(image.binary()).expect("just extracted");
    let segments = executable_segments(&binary);
    let [rare, usual] = segments[..] else { panic!("two executable segments: {segments:?}") };
    assert!(rare >= 200_000 && usual <= 750_000, "{segments:?}");
    let lan = Lan::new();
    let host = lan.namespace("memory", "eth0", "10.0.0.11/24");
    let socket = image.directory.join("socket").display().to_string();
    let service = image.directory.join("watched-service");
    fs::copy("/bin/sleep", &service).expect("a copy with a name of its own");
    let service = program(&service.display().to_string()).arg("600").spawn().expect("sleep runs");
    let _service = Killed(service);
    let mut daemon = host.program(&image.binary().display().to_string());
    daemon.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    daemon.envs([
        ("VIP", "10.0.0.2"),
        ("VIRTUAL_ROUTER", "51"),
        ("INTERFACE", "eth0"),
        ("STATUS_SOCKET", socket.as_str()),
        ("SERVICE", "watched-service"),
    ]);
    let daemon = Killed(daemon.spawn().expect("nsenter runs"));
    wait_for("it becomes master", Duration::from_secs(20), || {
        host.has("10.0.0.2").then_some(()).ok_or_else(String::new)
    });
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.0.id())).expect("it is running").flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    let names: Vec<_> = names.collect();
    assert!(names.iter().any(|name| name == "guard\n"), "`top -H` shows threads by name: {names:?}");
    let maps = fs::read_to_string(format!("/proc/{}/smaps", daemon.0.id())).expect("it is running");
    let sizes = |name: &str| -> Vec<u64> {
        let values = maps.lines().filter_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        values.map(|value| value.parse().expect("a number of KB")).collect()
    };
    let resident = sizes("Rss:");
    println!("memory of a master: {} KB", resident.iter().sum::<u64>());
    // The kernel's kB has 1,024 octets.
    assert!(resident.iter().sum::<u64>() < 1_024, "{maps}");
    let rare = u64::try_from(rare / 1_024).expect("less than a megabyte");
    let at = sizes("Size:").iter().position(|size| size.abs_diff(rare) <= 8).expect("the first code segment");
    assert_eq!(resident[at], 0, "a master ran code that it seldom runs:\n{maps}");
}

#[test]
fn the_image_for_arm64_runs_and_becomes_master() {
    let _machine = machine::shared();
    images();
    must(program("make --silent images").current_dir(repository()));
    let image = Unpacked::new("vrrp-init:arm64", "arm64");
    assert_eq!(image.config["architecture"], "arm64");
    let hold = Unpacked::new("vrrp-init:hold-1-arm64", "hold-arm64");
    assert_eq!((&hold.config["architecture"], &hold.files), (&"arm64".into(), &image.files));
    assert_eq!(hold.config["config"]["Cmd"], serde_json::json!(["hold"]));
    assert_eq!(image.config["config"]["Entrypoint"], serde_json::json!(["/vrrp-init"]));
    assert_eq!(
        image.config["config"]["Healthcheck"]["Test"],
        serde_json::json!(["CMD", "/vrrp-init", "healthcheck"])
    );
    assert_eq!(image.files, ["run/\nvrrp-init\n"], "files by layer");
    let binary = image.binary();
    let bytes = fs::read(&binary).expect("just extracted");
    assert_eq!(bytes[18..20], [183, 0], "the ELF file is for AArch64");
    assert!(!asks_for_an_interpreter(&bytes), "the binary is dynamically linked");
    println!("image for arm64: one file of {} bytes", bytes.len());

    let (code, text) = ends(&binary, &["version"]);
    assert_eq!((code, text.starts_with("vrrp-init ")), (Some(0), true), "{text}");
    let (code, text) = ends(&binary, &["help"]);
    assert_eq!((code, text.contains("VIRTUAL_ROUTER")), (Some(0), true), "{text}");
    let (code, text) = ends(&binary, &["run"]);
    assert_eq!((code, text.contains("VIP") && text.contains("is required")), (Some(78), true), "{text}");

    // Unicast: the emulator has no IP_MULTICAST_ALL.
    let lan = Lan::new();
    let host = lan.namespace("arm", "eth0", "10.0.0.11/24");
    let log = image.directory.join("log");
    let file = fs::File::create(&log).expect("the temporary directory is writable");
    let mut daemon = host.program(&format!("qemu-aarch64 {}", binary.display()));
    daemon
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("an open file"))
        .stderr(file);
    daemon.envs([
        ("VIP", "10.0.0.2"),
        ("VIRTUAL_ROUTER", "51"),
        ("INTERFACE", "eth0"),
        ("UNICAST_PEERS", "10.0.0.12"),
    ]);
    let mut daemon = Killed(daemon.spawn().expect("nsenter runs"));
    let text = || fs::read_to_string(&log).unwrap_or_default();
    wait_for("it becomes master", Duration::from_secs(20), || {
        if text().contains("Entering MASTER STATE") && host.has("10.0.0.2") { Ok(()) } else { Err(text()) }
    });
    // The emulator knows neither filters of system calls nor Landlock. Both are one line.
    for line in
        ["Sandbox: no_new_privs, bounding, capabilities, dumpable, core\n", "Sandbox: without landlock: "]
    {
        assert_eq!(text().matches(line).count(), 1, "{}", text());
    }
    assert_eq!(text().matches("warning: Sandbox: without seccomp: ").count(), 1, "{}", text());
    kill(Pid::from_raw(daemon.0.id().cast_signed()), Signal::SIGTERM).expect("it still runs");
    let status =
        wait_for("it ends", Duration::from_secs(5), || daemon.0.try_wait().ok().flatten().ok_or_else(text));
    assert_eq!(status.code(), Some(0), "{}", text());
    assert!(!host.has("10.0.0.2"), "the address is gone with it");
}

/// A container of the machine's engine, removed when this is dropped.
struct Container(String);

impl Container {
    fn health(&self) -> String {
        must(&mut program(&format!("docker inspect --format {{{{.State.Health.Status}}}} {}", self.0)))
    }

    fn becomes(&self, health: &str) {
        wait_for(health, Duration::from_secs(20), || {
            let found = self.health();
            if found.trim() == health { Ok(()) } else { Err(found) }
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = program(&format!("docker rm --force {}", self.0)).output();
    }
}

#[test]
fn docker_reports_a_router_in_fault_as_healthy_and_a_stuck_one_as_unhealthy() {
    let _machine = machine::shared();
    images();
    // There is no eth0: it waits for it in FAULT.
    let id = must(&mut program(&format!(
        "docker run --detach --network none --cap-add NET_ADMIN --health-interval 500ms --health-retries 1 \
         --env INTERFACE=eth0 --env VIRTUAL_ROUTER=51 --env VIP=10.0.0.2 {BUILT}"
    )));
    let container = Container(id.trim().to_owned());
    container.becomes("healthy");
    let logs = program(&format!("docker logs {}", container.0)).output().expect("docker runs");
    let text = String::from_utf8_lossy(&logs.stderr).into_owned();
    assert!(text.contains("Entering FAULT STATE"), "{text}");
    must(&mut program(&format!("docker kill --signal STOP {}", container.0)));
    container.becomes("unhealthy");
}
