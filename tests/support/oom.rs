//! Has the kernel's OOM killer choose a process: a control group with little memory, and processes in it that take all of
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Enough for the processes of any test, and quickly taken.
const LIMIT: &str = "33554432";
/// The longest time until the kernel acts.
const PATIENCE: Duration = Duration::from_secs(5);
/// Enters the group, the first argument, and takes memory until it is killed.
const HOG: &str = "echo $$ >\"$0/cgroup.procs\" && exec tail /dev/zero";

/// A control group whose memory is limited.
pub(crate) struct MemoryGroup {
    path: PathBuf,
}

/// Where the memory controller is mounted, and whether it has the unified hierarchy.
fn mount() -> (PathBuf, bool) {
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    let rows = || mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of_memory = rows().find(|row| row[2] == "cgroup" && row[3].split(',').any(|word| word == "memory"));
    let unified = of_memory.is_none();
    let row = of_memory.or_else(|| rows().find(|row| row[2] == "cgroup2"));
    (PathBuf::from(row.expect("a control group with memory is mounted")[1]), unified)
}

impl MemoryGroup {
    /// A new one with this process.
    pub(crate) fn with(pid: u32) -> Self {
        let (mount, unified) = mount();
        if unified {
            // Mostly it is enabled already.
            let _ = fs::write(mount.join("cgroup.subtree_control"), "+memory");
        }
        let path = mount.join(format!("vrrp-init-oom-{pid}"));
        fs::create_dir(&path).expect("root may make a control group");
        let group = Self { path };
        let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        fs::write(group.path.join(file), LIMIT).expect("the group's own limit");
        fs::write(group.path.join("cgroup.procs"), pid.to_string()).expect("it runs");
        group
    }

    /// Returns when the kernel has killed `victim`, a process in the group.
    pub(crate) fn run_out(&self, victim: u32) {
        fs::write(format!("/proc/{victim}/oom_score_adj"), "1000").expect("root may choose it");
        let start_hog = || {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "sh", "-c", HOG]).arg(&self.path);
            Hog(command.spawn().expect("setpriv runs"))
        };
        // One alone would have more memory than the victim's preference outweighs.
        let mut hogs = [start_hog(), start_hog()];
        let start = Instant::now();
        while is_alive(victim) {
            let ends = hogs.each_mut().map(|hog| hog.0.try_wait());
            assert!(start.elapsed() < PATIENCE, "{victim} is alive; what takes memory: {ends:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // It can be removed when the dead have left.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A process that takes all memory.
struct Hog(Child);

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
