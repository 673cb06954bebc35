//! Docker hosts on a separate network: a namespace and an engine for each, removed when dropped. Does not know VRRP.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{BUILT, HOLD, IMAGE, repository};

const PREFIX: &str = "vrrp-init-docker-";

/// Runs a program to its end: its standard output, or the failure with all output.
pub(crate) fn run(program: &mut Command) -> Result<String, String> {
    let output = program.stdin(Stdio::null()).output().map_err(|error| format!("{program:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{program:?}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// [`run`] for commands that must succeed.
pub(crate) fn must(program: &mut Command) -> String {
    run(program).unwrap_or_else(|failure| panic!("{failure}"))
}

/// A program with arguments, split at blanks.
pub(crate) fn program(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("callers pass a program"));
    command.args(words);
    command
}

/// Compose: the plugin, or the older program if there is no plugin.
pub(crate) fn compose() -> Command {
    if run(&mut program("docker compose version")).is_ok() {
        program("docker compose")
    } else {
        program("docker-compose")
    }
}

/// Whether Compose is the older program.
pub(crate) fn compose_1() -> bool {
    compose().get_program() == "docker-compose"
}

/// Calls `probe` every 50 ms until it returns `Ok`; panics with its last error after `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let step = Duration::from_millis(50);
    let mut left = limit;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(answer) if left.is_zero() => panic!("waited {limit:?} for: {what}\nlast answer: {answer}"),
            Err(_) => {}
        }
        pause(step);
        left = left.saturating_sub(step);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for other processes")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// A bridge in its own namespace with hosts and clients; the machine's network is not touched.
pub(crate) struct Lan {
    name: String,
    directory: PathBuf,
}

impl Lan {
    /// An empty network. First removes the leftovers of killed test runs.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make network namespaces and engines: run them as root"
        );
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let lan = Self { name, directory };
        must(&mut program(&format!("ip netns add {}", lan.name)));
        lan.ip("link add br0 type bridge mcast_snooping 0");
        lan.ip("link set br0 up");
        lan
    }

    fn ip(&self, rest: &str) {
        must(&mut program(&format!("ip -n {} {rest}", self.name)));
    }

    /// A namespace with one interface on the bridge.
    pub(crate) fn namespace(&self, name: &str, interface: &str, address: &str) -> Namespace {
        let namespace = Namespace { name: format!("{}-{name}", self.name) };
        must(&mut program(&format!("ip netns add {}", namespace.name)));
        self.ip(&format!("link add name {name} type veth peer name {interface} netns {}", namespace.name));
        self.ip(&format!("link set dev {name} master br0 up"));
        for rest in [
            "link set lo up",
            &format!("link set {interface} up"),
            &format!("address add {address} dev {interface}"),
        ] {
            namespace.ip(rest);
        }
        namespace
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        remove(&self.directory, &self.name);
    }
}

/// One machine's network.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// `ip` inside the namespace.
    pub(crate) fn ip(&self, rest: &str) -> String {
        must(&mut program(&format!("ip -n {} {rest}", self.name)))
    }

    /// A program that will run inside the namespace.
    pub(crate) fn program(&self, line: &str) -> Command {
        // Not `ip netns exec`: that one hides the control groups, which an engine needs.
        program(&format!("nsenter --net=/run/netns/{} {line}", self.name))
    }

    /// The namespace, for [`Namespace::enter`].
    pub(crate) fn open(&self) -> File {
        File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists")
    }

    /// Moves the calling thread into a namespace, for good; threads that it starts are there too.
    pub(crate) fn enter(namespace: &File) {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("tests run as root");
    }

    /// Whether any interface has the address.
    pub(crate) fn has(&self, address: &str) -> bool {
        self.ip("-4 -oneline address show").contains(&format!(" {address}/"))
    }
}

/// A Docker engine that uses a namespace as its host's network.
pub(crate) struct Host {
    pub(crate) network: Namespace,
    directory: PathBuf,
    processes: Vec<Child>,
}

impl Host {
    /// Starts containerd and dockerd on the network; returns when the engine answers.
    pub(crate) fn start(lan: &Lan, name: &str, interface: &str, address: &str) -> Self {
        let directory = lan.directory.join(name);
        fs::create_dir_all(&directory).expect("the temporary directory is writable");
        let mut host =
            Self { network: lan.namespace(name, interface, address), directory, processes: Vec::new() };
        // Its own containerd: the machine's would start containers in the machine's network.
        let at = host.directory.display().to_string();
        host.write(
            "containerd.toml",
            &format!(
                "version = 2\nroot = '{at}/containerd'\nstate = '{at}/containerd-run'\n\
                 disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{at}/containerd.sock'\n"
            ),
        );
        host.write(
            "daemon.json",
            &format!(
                r#"{{"hosts": ["unix://{at}/docker.sock"], "containerd": "{at}/containerd.sock", "bridge": "none",
                "data-root": "{at}/data", "exec-root": "{at}/run", "pidfile": "{at}/docker.pid", "log-level": "warn",
                "default-address-pools": [{{"base": "172.30.0.0/16", "size": 24}}]{}}}"#,
                storage_driver()
            ),
        );
        host.spawn("containerd", &format!("containerd --config {at}/containerd.toml"));
        wait_for("containerd's socket", Duration::from_secs(20), || {
            host.directory
                .join("containerd.sock")
                .exists()
                .then_some(())
                .ok_or_else(|| host.log("containerd"))
        });
        host.start_engine();
        host
    }

    fn start_engine(&mut self) {
        self.spawn("dockerd", &format!("dockerd --config-file {}/daemon.json", self.directory.display()));
        wait_for("the engine to answer", Duration::from_secs(30), || {
            self.try_docker("version").map_err(|failure| format!("{failure}\n{}", self.log("dockerd")))
        });
    }

    /// Stops the engine and with it every container, as a shutdown does, and starts it again.
    pub(crate) fn restart_engine(&mut self) {
        end(self.processes.pop().expect("the engine was started last"));
        self.start_engine();
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).expect("the temporary directory is writable");
    }

    fn spawn(&mut self, name: &str, line: &str) {
        let log = File::create(self.directory.join(format!("{name}.log")))
            .expect("the temporary directory is writable");
        let errors = log.try_clone().expect("an open file can be duplicated");
        let child = self.network.program(line).stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.processes.push(child.unwrap_or_else(|error| panic!("{line}: {error}")));
    }

    fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn socket(&self) -> String {
        format!("unix://{}/docker.sock", self.directory.display())
    }

    /// `docker` on this host.
    pub(crate) fn try_docker(&self, line: &str) -> Result<String, String> {
        run(program(&format!("docker {line}")).env("DOCKER_HOST", self.socket()))
    }

    /// `docker` on this host, for commands that must succeed.
    pub(crate) fn docker(&self, line: &str) -> String {
        self.try_docker(line).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The standard error of a container.
    pub(crate) fn errors(&self, container: &str) -> String {
        let output = program(&format!("docker logs {container}")).env("DOCKER_HOST", self.socket()).output();
        String::from_utf8_lossy(&output.expect("docker runs").stderr).into_owned()
    }

    /// Loads the machine's images with these names into the engine; [`IMAGE`] is that of these sources.
    pub(crate) fn load(&self, images: &[&str]) {
        let archive = self.directory.join("images.tar");
        let on_machine: Vec<_> =
            images.iter().map(|name| if *name == IMAGE { BUILT } else { name }).collect();
        must(&mut program(&format!("docker save --output {} {}", archive.display(), on_machine.join(" "))));
        self.docker(&format!("load --quiet --input {}", archive.display()));
        let _ = fs::remove_file(archive);
        if images.contains(&IMAGE) {
            self.docker(&format!("tag {BUILT} {IMAGE}"));
        }
    }

    /// Makes the image of the service `namespace` on this host, from the image of these sources.
    pub(crate) fn load_hold(&self) {
        let script = format!("docker build --quiet --build-arg IMAGE={IMAGE} --tag {HOLD} - <Dockerfile");
        self.shell(&repository().join("compose/holder"), &script)
            .unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Gives an image's name to another image, with the same content and another label: a new version.
    pub(crate) fn load_new_version(&self, image: &str, version: usize) {
        let build = format!("docker build --quiet --tag {image} -");
        let script = format!("printf 'FROM {image}\nLABEL version={version}\n' | {build}");
        self.shell(repository(), &script).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Compose on this host, in a directory with a compose file.
    pub(crate) fn try_compose(
        &self,
        directory: &Path,
        variables: &[(&str, &str)],
        line: &str,
    ) -> Result<String, String> {
        let mut compose = compose();
        compose.args(line.split_whitespace()).current_dir(directory).env("DOCKER_HOST", self.socket());
        run(compose.envs(variables.iter().copied()))
    }

    /// The same for commands that must succeed.
    pub(crate) fn compose(&self, directory: &Path, variables: &[(&str, &str)], line: &str) -> String {
        self.try_compose(directory, variables, line).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Runs a script in a directory as a user of this host would; it ends at the first command that fails.
    pub(crate) fn shell(&self, directory: &Path, script: &str) -> Result<String, String> {
        let script =
            if compose_1() { script.replace("docker compose", "docker-compose") } else { script.to_owned() };
        let mut bash = program("bash -euo pipefail -c");
        run(bash.arg(script).current_dir(directory).env("DOCKER_HOST", self.socket()))
    }

    /// The output of `docker inspect` for a container and a template.
    pub(crate) fn inspect(&self, container: &str, template: &str) -> String {
        self.docker(&format!("inspect --format {{{{{template}}}}} {container}")).trim().to_owned()
    }

    fn print_state(&self) {
        for id in self.try_docker("ps --all --quiet").unwrap_or_default().split_whitespace() {
            eprintln!("{}", self.try_docker(&format!("ps --all --filter id={id}")).unwrap_or_default());
            let logs =
                program(&format!("docker logs --timestamps {id}")).env("DOCKER_HOST", self.socket()).output();
            if let Ok(logs) = logs {
                eprintln!(
                    "{}{}",
                    String::from_utf8_lossy(&logs.stdout),
                    String::from_utf8_lossy(&logs.stderr)
                );
            }
        }
        eprintln!("{}\n{}", self.network.ip("-4 -oneline address show"), self.log("dockerd"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {}", self.network.name);
            self.print_state();
        }
        let all = self.try_docker("ps --all --quiet").unwrap_or_default();
        if !all.trim().is_empty() {
            let _ = self.try_docker(&format!("rm --force {}", all.replace('\n', " ")));
        }
        while let Some(child) = self.processes.pop() {
            end(child);
        }
    }
}

/// SIGTERM, and SIGKILL after ten seconds.
fn end(mut child: Child) {
    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
    for _ in 0..200 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        pause(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The machine's storage driver, because another may not work here. With containerd's image store there is none to
/// name.
fn storage_driver() -> String {
    let driver = must(&mut program("docker info --format {{.Driver}}"));
    match driver.trim() {
        known @ ("overlay2" | "fuse-overlayfs" | "btrfs" | "zfs" | "vfs") => {
            format!(r#", "storage-driver": "{known}""#)
        }
        _ => String::new(),
    }
}

/// Removes the networks and engines of runs that are no longer alive.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((pid, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'))
            && !Path::new("/proc").join(pid).exists()
        {
            remove(&entry.path(), &name);
        }
    }
}

/// Ends the processes that use the directory, then unmounts and deletes it and its namespaces.
fn remove(directory: &Path, name: &str) {
    let at = directory.display().to_string();
    for pid in processes_of(&at) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|target| target.starts_with(&at))
    {
        let _ = run(Command::new("umount").args(["--lazy", target]));
    }
    let _ = fs::remove_dir_all(directory);
    for namespace in run(&mut program("ip netns list")).unwrap_or_default().lines() {
        let namespace = namespace.split(' ').next().unwrap_or_default();
        if namespace == name || namespace.starts_with(&format!("{name}-")) {
            let _ = run(&mut program(&format!("ip netns delete {namespace}")));
        }
    }
}

/// Processes with the directory on their command line (engines, shims), and the containers that are their children.
fn processes_of(directory: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found = Vec::new();
    for pid in pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok()) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&format!("{directory}/")) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            found.push(pid);
        }
    }
    found
}
