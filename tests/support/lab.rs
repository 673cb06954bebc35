//! Hosts as network namespaces on one bridge, in a namespace of its own. The machine's own network is never touched.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::machine;
use super::process::Log;

const PREFIX: &str = "vrrp-init-lab-";
const NETNS_DIR: &str = "/run/netns";

/// One bridge and the hosts on it.
pub(crate) struct Lab {
    inner: Arc<Inner>,
    _machine: machine::Use,
}

struct Inner {
    /// Prefix of every name that this lab creates.
    name: String,
    /// Temporary files; removed at the end.
    dir: PathBuf,
    started: Instant,
    hosts: Mutex<Vec<String>>,
    logs: Mutex<Vec<Log>>,
}

/// A network namespace on the bridge of its [`Lab`]; cheap to clone.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) interface: String,
    pub(crate) address: Ipv4Addr,
    lab: Arc<Inner>,
}

impl Lab {
    /// Waits while another test has the machine to itself.
    pub(crate) fn new() -> Self {
        static ONCE: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ONCE.call_once(|| {
            super::require_root_and_programs();
            sweep();
        });
        let machine = machine::shared();
        let name = format!("{PREFIX}{}-{}-", owner(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name.trim_end_matches('-'));
        fs::create_dir_all(&dir).expect("a temporary directory can be made");
        let inner = Inner {
            name,
            dir,
            started: Instant::now(),
            hosts: Mutex::new(vec!["switch".to_owned()]),
            logs: Mutex::default(),
        };
        let lab = Self { inner: Arc::new(inner), _machine: machine };
        let switch = lab.inner.netns("switch");
        ip(&["netns", "add", &switch]);
        batch(
            &switch,
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up\n",
        );
        lab
    }

    /// A host `name` whose `enp0s3` is up with 10.77.0.`number`/24.
    pub(crate) fn host(&self, name: &str, number: u8) -> Host {
        let host = self.bare_host(name, number);
        host.plug_in();
        host
    }

    /// The namespace of the bridge; the port of host `name` is `p-name`.
    pub(crate) fn switch(&self) -> String {
        self.inner.netns("switch")
    }

    /// Prints what all programs wrote so far, each line with the time since `origin`.
    pub(crate) fn print_logs(&self, origin: Instant) {
        for log in lock(&self.inner.logs).iter() {
            eprint!("{}", log.dump(origin));
        }
    }

    /// A host with only `lo`; [`Host::plug_in`] adds the interface.
    pub(crate) fn bare_host(&self, name: &str, number: u8) -> Host {
        let netns = self.inner.netns(name);
        lock(&self.inner.hosts).push(name.to_owned());
        ip(&["netns", "add", &netns]);
        batch(&netns, "link set lo up\n");
        Host {
            name: name.to_owned(),
            interface: "enp0s3".to_owned(),
            address: Ipv4Addr::new(10, 77, 0, number),
            lab: Arc::clone(&self.inner),
        }
    }
}

impl Inner {
    fn netns(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let hosts = lock(&self.inner.hosts).clone();
        for host in &hosts {
            let netns = self.inner.netns(host);
            if failed && host != "switch" {
                let seen = Command::new("ip").args(["-n", &netns, "-br", "address"]).output();
                eprintln!("-- addresses of {host} at the end");
                eprint!(
                    "{}",
                    seen.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
                );
            }
        }
        for host in &hosts {
            remove(&self.inner.netns(host));
        }
        let _ = fs::remove_dir_all(&self.inner.dir);
        if failed {
            for log in lock(&self.inner.logs).iter() {
                eprint!("{}", log.dump(self.inner.started));
            }
        }
    }
}

impl Host {
    pub(crate) fn netns(&self) -> String {
        self.lab.netns(&self.name)
    }

    pub(crate) fn netns_path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(self.netns())
    }

    /// A path for a temporary file of this host; the lab removes the file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.lab.dir.join(format!("{}-{name}", self.name))
    }

    /// Puts the host's interface on the bridge and waits until the kernel reports it as up.
    pub(crate) fn plug_in(&self) {
        let Self { name, interface, address, .. } = self;
        let netns = self.netns();
        batch(
            &self.lab.netns("switch"),
            &format!(
                "link add p-{name} type veth peer name {interface} netns {netns}\n\
                 link set p-{name} master br0 up\n"
            ),
        );
        batch(&netns, &format!("link set {interface} up\naddress add {address}/24 brd + dev {interface}\n"));
        super::wait_until("the new interface is running", super::seconds(5), || {
            self.ip("-o link show").contains("state UP")
        });
    }

    /// Unplugs the host's interface at the bridge.
    pub(crate) fn pull_cable(&self) {
        batch(&self.lab.netns("switch"), &format!("link set p-{} down\n", self.name));
    }

    /// Plugs it in again.
    pub(crate) fn plug_cable(&self) {
        batch(&self.lab.netns("switch"), &format!("link set p-{} up\n", self.name));
    }

    /// Cuts this host off from the other hosts that are cut off; all others reach it and are reached. Or ends that.
    pub(crate) fn set_cut_off(&self, cut: bool) {
        let state = if cut { "on" } else { "off" };
        let command = format!("link set p-{} type bridge_slave isolated {state}\n", self.name);
        batch(&self.lab.netns("switch"), &command);
    }

    /// The /run of [`super::process::Launch::Container`].
    pub(crate) fn kept_run(&self) -> PathBuf {
        let path = self.file("run");
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        path
    }

    /// Runs `ip -n HOST ARGS…`, which must succeed, and returns its output.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let netns = self.netns();
        let mut args = vec!["-n", netns.as_str()];
        args.extend(arguments.split_whitespace());
        ip(&args)
    }

    /// Runs several `ip` commands in this host's namespace with one process.
    pub(crate) fn batch(&self, commands: &str) {
        batch(&self.netns(), commands);
    }

    /// Runs `nft COMMAND` in this host's namespace, which must succeed, and returns its output.
    pub(crate) fn nft(&self, command: &str) -> String {
        let netns = self.netns();
        let mut args = vec!["netns", "exec", netns.as_str(), "nft"];
        args.extend(command.split_whitespace());
        ip(&args)
    }

    /// Runs `work` on a thread that is in this host's network namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread, and no other, into this host's network namespace.
    pub(crate) fn enter(&self) {
        enter(&self.open());
    }

    pub(crate) fn open(&self) -> File {
        File::open(self.netns_path()).expect("the namespace lives as long as its lab")
    }

    /// The MAC address of the host's interface, as `ip` prints it.
    pub(crate) fn mac(&self) -> String {
        let text = self.ip(&format!("-o link show {}", self.interface));
        let mut words = text.split_whitespace().skip_while(|w| *w != "link/ether").skip(1);
        words.next().expect("an Ethernet interface has an address").to_owned()
    }

    /// Whether `address` is on the host's interface now.
    pub(crate) fn holds(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.ip(&format!("-o address show dev {}", self.interface)).contains(&format!(" {address}/"))
    }

    /// The MAC address of `address` in this host's neighbor table.
    pub(crate) fn neighbor(&self, address: impl Into<IpAddr>) -> Option<String> {
        let text = self.ip(&format!("neighbour show {}", address.into()));
        let mut words = text.split_whitespace().skip_while(|w| *w != "lladdr").skip(1);
        words.next().map(str::to_owned)
    }

    /// The lab prints `log` if the test fails.
    pub(crate) fn keep(&self, log: Log) {
        lock(&self.lab.logs).push(log);
    }
}

pub(crate) fn enter(netns: &File) {
    setns(netns, CloneFlags::CLONE_NEWNET).expect("root may enter a network namespace");
}

/// Runs `ip ARGS…`, which must succeed, and returns its output.
pub(crate) fn ip(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().expect("ip runs");
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs several `ip` commands in one namespace with one process.
fn batch(netns: &str, commands: &str) {
    let mut child = Command::new("ip")
        .args(["-n", netns, "-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip runs");
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(commands.as_bytes())
        .expect("ip reads its commands");
    let output = child.wait_with_output().expect("ip ends");
    assert!(output.status.success(), "ip {commands}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the processes that are left in a namespace of ours and removes it.
fn remove(netns: &str) {
    if let Ok(namespace) = fs::metadata(Path::new(NETNS_DIR).join(netns)) {
        for pid in processes() {
            let of = fs::metadata(format!("/proc/{pid}/ns/net")).map(|m| (m.dev(), m.ino()));
            if of.is_ok_and(|of| of == (namespace.dev(), namespace.ino())) && pid != std::process::id() {
                let _ = kill(to_pid(pid), Signal::SIGKILL);
            }
        }
    }
    let _ = Command::new("ip").args(["netns", "delete", netns]).stderr(Stdio::null()).status();
}

/// Removes namespaces and files of killed test runs.
fn sweep() {
    let names_in = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| is_orphan(n)).collect()
    };
    for name in names_in(Path::new(NETNS_DIR)) {
        remove(&name);
    }
    for name in names_in(&std::env::temp_dir()) {
        let _ = fs::remove_dir_all(std::env::temp_dir().join(name));
    }
}

/// Whether `name` belongs to a lab whose test process is gone, as far as this PID namespace shows.
fn is_orphan(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let mut parts = rest.split('-');
    let (Some(space), Some(pid), Some(start)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    space == pid_namespace() && pid.parse().is_ok_and(|pid| start_time(pid).as_deref() != Some(start))
}

/// A unique name of this test process: PID namespace, PID and start time.
fn owner() -> String {
    let pid = std::process::id();
    format!("{}-{pid}-{}", pid_namespace(), start_time(pid).expect("this process is in /proc"))
}

fn pid_namespace() -> String {
    fs::metadata("/proc/self/ns/pid").expect("/proc is mounted").ino().to_string()
}

fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

pub(super) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

pub(crate) fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("the kernel's PIDs are small"))
}

/// Locks; a poisoned lock only means that another thread of a test has failed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
