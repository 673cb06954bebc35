//! Scans of a directory that looks like /proc: what they find, how much they read, and that they wait for no process.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::table::{ProcessTable, ScanId};
use crate::sys::Error;
use crate::sys::process::ProcFs;
use crate::time::Instant;

/// A directory that looks like /proc, removed at the end.
struct Fixture(PathBuf);

impl Fixture {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("scan-{name}-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        symlink("1", root.join("self")).unwrap();
        Self(root)
    }

    /// A process, or another program in it.
    fn run(&self, pid: i32, comm: &str) {
        let dir = self.0.join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
        let stat = format!("{pid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 4096 0\n");
        fs::write(dir.join("stat"), stat).unwrap();
    }

    fn arguments(&self, pid: i32, cmdline: &str) {
        fs::write(self.0.join(format!("{pid}/cmdline")), cmdline).unwrap();
    }

    /// A process whose `cmdline` blocks, as while it holds the lock on its memory map: nothing is written to this pipe.
    fn run_blocking(&self, pid: i32, comm: &str) {
        self.run(pid, comm);
        mkfifo(&self.0.join(format!("{pid}/cmdline")), Mode::S_IRWXU).unwrap();
    }

    fn end(&self, pid: i32) {
        fs::remove_dir_all(self.0.join(pid.to_string())).unwrap();
    }

    fn table(&self, names: &[&str]) -> ProcessTable {
        let mut table = ProcessTable::new(ProcFs::new(&self.0).unwrap()).unwrap();
        for name in names {
            table.add(name);
        }
        table
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The pids by name.
fn pids(table: &ProcessTable) -> Vec<Vec<i32>> {
    table.found().iter().map(|list| list.iter().map(|process| process.pid).collect()).collect()
}

/// Turns until the scan has ended; `None` if it waits for something.
fn try_scan(table: &mut ProcessTable, now: Instant) -> Option<(ScanId, Result<(), Error>)> {
    for _ in 0..1_000 {
        let ended = table.advance(now);
        if ended.is_some() {
            return ended;
        }
    }
    None
}

/// A whole scan, with the answers of the thread.
fn scan(table: &mut ProcessTable, now: Instant) -> Vec<Vec<i32>> {
    table.request(now);
    let (_, result) = (0..1_000_000).find_map(|_| try_scan(table, now)).unwrap();
    result.unwrap();
    pids(table)
}

#[test]
fn a_turn_reads_a_bounded_number_of_processes_and_later_scans_read_few() {
    let proc = Fixture::new("slices");
    for pid in 2..3_002 {
        proc.run(pid, "other");
        proc.arguments(pid, "other");
    }
    proc.run(5_000, "haproxy");
    let mut table = proc.table(&["haproxy"]);
    let mut total = vec![];
    for _ in 0..20 {
        let before = table.reads();
        table.request(Instant::START);
        let mut turns = 0;
        loop {
            let read = table.reads();
            let ended = table.advance(Instant::START);
            turns += 1;
            assert!(table.reads() - read <= 130, "{} reads in one turn", table.reads() - read);
            if ended.is_some() {
                break;
            }
        }
        assert!(turns >= 6, "the listing is sliced as well: {turns}");
        assert_eq!(pids(&table), [[5_000]]);
        total.push(table.reads() - before);
    }
    assert!(total[0] > 3_000, "the first scan looks at every process: {total:?}");
    assert!(total[10..].iter().all(|reads| *reads <= 300), "later ones at a part of the old ones: {total:?}");
}

#[test]
fn a_process_whose_arguments_cannot_be_read_delays_no_scan_that_finds_its_services() {
    let proc = Fixture::new("blocked");
    proc.run_blocking(10, "hostile");
    proc.run(11, "haproxy");
    let mut table = proc.table(&["haproxy"]);
    for _ in 0..5 {
        table.request(Instant::START);
        let (_, result) = try_scan(&mut table, Instant::START).expect("it does not wait");
        result.unwrap();
        assert_eq!(pids(&table), [[11]]);
    }
    // Another process takes over while the thread waits for the first.
    proc.run_blocking(12, "hostile");
    proc.end(11);
    proc.run(13, "haproxy");
    table.request(Instant::START);
    try_scan(&mut table, Instant::START).unwrap().1.unwrap();
    assert_eq!(pids(&table), [[13]]);
}

#[test]
fn a_scan_without_a_match_waits_for_the_names_of_new_processes_and_not_for_ever() {
    let proc = Fixture::new("patience");
    proc.run_blocking(10, "hostile");
    let mut table = proc.table(&["haproxy"]);
    let id = table.request(Instant::START);
    assert!(try_scan(&mut table, Instant::START).is_none());
    let until = table.deadline().unwrap();
    assert_eq!(until, Instant::from_millis(250));
    let (ended, result) = table.advance(until).unwrap();
    assert_eq!((ended, pids(&table)), (id, vec![vec![]]));
    result.unwrap();
}

#[test]
fn the_arguments_match_too_and_are_read_by_the_thread() {
    let proc = Fixture::new("arguments");
    proc.run(10, "MainThread");
    proc.arguments(10, "/usr/bin/node\0server.js\0");
    proc.run(11, "averyveryverylo");
    proc.arguments(11, "/bin/sh\0/opt/averyveryverylongname.sh\0");
    let mut table = proc.table(&["node", "averyveryverylongname.sh", "none"]);
    assert_eq!(scan(&mut table, Instant::START), [vec![10], vec![11], vec![]]);
    assert_eq!(scan(&mut table, Instant::START), [vec![10], vec![11], vec![]], "remembered");
}

#[test]
fn another_program_in_a_known_process_is_noticed() {
    let proc = Fixture::new("exec");
    // As between fork and exec.
    proc.run(10, "sh");
    proc.arguments(10, "sh");
    // The same comm before and after: only the arguments differ.
    proc.run(11, "MainThread");
    proc.arguments(11, "python3");
    let mut table = proc.table(&["haproxy", "node"]);
    assert_eq!(scan(&mut table, Instant::START), [[0; 0]; 2]);
    proc.run(10, "haproxy");
    proc.arguments(11, "node");
    let found = (0..8).find_map(|_| {
        let found = scan(&mut table, Instant::START);
        found.iter().all(|list| !list.is_empty()).then_some(found)
    });
    assert_eq!(found.unwrap(), [[10], [11]]);
    proc.run(10, "sh");
    assert_eq!(scan(&mut table, Instant::START), [vec![], vec![11]], "and no longer matches");
}

#[test]
fn an_old_process_that_runs_another_program_is_found_in_its_turn_and_at_once_by_a_rescan() {
    let proc = Fixture::new("old");
    for pid in 2..2_002 {
        proc.run(pid, "other");
        proc.arguments(pid, "other");
    }
    let mut table = proc.table(&["haproxy"]);
    for _ in 0..10 {
        scan(&mut table, Instant::START);
    }
    proc.run(1_900, "haproxy");
    let scans = (1..100).find(|_| scan(&mut table, Instant::START) == [[1_900]]).unwrap();
    assert!(scans <= 9, "{scans} scans");
    proc.run(1_900, "other");
    proc.run(3, "haproxy");
    table.request_rescan(Instant::START);
    try_scan(&mut table, Instant::START).unwrap().1.unwrap();
    assert_eq!(pids(&table), [[3]]);
}

#[test]
fn a_reused_pid_is_another_process() {
    let proc = Fixture::new("reused");
    proc.run(10, "haproxy");
    let mut table = proc.table(&["haproxy"]);
    assert_eq!(scan(&mut table, Instant::START), [[10]]);
    let first = table.processes(0)[0];
    assert_eq!(table.ended(first), [0]);
    assert_eq!(pids(&table), [[0; 0]]);
    // The dead one is still there in name.
    let stat = fs::read_to_string(proc.0.join("10/stat")).unwrap();
    fs::write(proc.0.join("10/stat"), stat.replace(") S ", ") Z ")).unwrap();
    assert_eq!(scan(&mut table, Instant::START), [[0; 0]]);
    proc.run(10, "haproxy");
    assert_eq!(scan(&mut table, Instant::START), [[10]]);
}

#[test]
fn exits_cause_few_scans_and_a_scan_during_another_is_a_new_one() {
    let proc = Fixture::new("exits");
    let mut table = proc.table(&["haproxy"]);
    let mut began = vec![];
    for ms in 0..2_000 {
        let now = Instant::from_millis(ms);
        table.request_rescan(now);
        if table.advance(now).is_some() {
            began.push(ms);
        }
    }
    assert_eq!(began[..5], [0, 1, 2, 3, 4], "the first ones at once");
    assert!(began.len() <= 15, "{began:?}");
    assert!(began.windows(2).all(|two| two[1] - two[0] <= 200), "{began:?}");
    let quiet = Instant::from_millis(10_000);
    table.request_rescan(quiet);
    assert!(table.advance(quiet).is_some(), "at once after a quiet time");

    for pid in 2..1_002 {
        proc.run(pid, "haproxy");
    }
    let first = table.request(quiet);
    assert!(table.advance(quiet).is_none(), "it is running");
    let second = table.request(quiet + Duration::from_millis(1));
    assert!(first < second);
    assert_eq!(try_scan(&mut table, quiet).unwrap().0, first);
    let later = quiet + Duration::from_millis(1);
    assert_eq!(try_scan(&mut table, later).unwrap().0, second);
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error_and_not_a_dead_service() {
    let proc = Fixture::new("error");
    proc.run(10, "haproxy");
    let mut table = proc.table(&["haproxy"]);
    assert_eq!(scan(&mut table, Instant::START), [[10]]);
    fs::write(proc.0.join("10/stat"), "nonsense").unwrap();
    table.request(Instant::START);
    let (_, result) = try_scan(&mut table, Instant::START).unwrap();
    let error = result.unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}/10: not what proc(5) describes", proc.0.display()));
    assert_eq!(pids(&table), [[10]], "the last result stays");
}

/// The process that a service matches by its arguments alone, which a thread reads.
#[test]
fn names_come_and_go_without_a_gap_for_the_others() {
    let proc = Fixture::new("other-names");
    for (pid, comm, cmdline) in
        [(10, "python3", "/usr/bin/gunicorn\0"), (11, "haproxy", "haproxy\0"), (12, "sh", "/bin/nginx\0")]
    {
        proc.run(pid, comm);
        proc.arguments(pid, cmdline);
    }
    let mut table = proc.table(&["gunicorn", "haproxy"]);
    // So often that nothing is read again without a reason.
    for n in 0..20 {
        assert_eq!(scan(&mut table, Instant::from_millis(n)), [[10], [11]]);
    }
    assert_eq!(table.add("nginx"), 2);
    let before = pids(&table);
    assert_eq!(before, [vec![10], vec![11], vec![]], "nothing is forgotten");
    assert_eq!(scan(&mut table, Instant::from_millis(30)), [[10], [11], [12]]);
    table.keep(&[1, 2]);
    assert_eq!(scan(&mut table, Instant::from_millis(40)), [vec![], vec![11], vec![12]]);
    assert_eq!(table.add("sh"), 0, "its number is used again");
    assert_eq!(scan(&mut table, Instant::from_millis(50)), [[12], [11], [12]]);
}

#[test]
fn a_scan_begins_again_when_the_names_change() {
    let proc = Fixture::new("names-midway");
    for pid in 2..1_002 {
        proc.run(pid, "haproxy");
    }
    let mut table = proc.table(&["haproxy"]);
    let now = Instant::from_millis(5);
    let first = table.request(now);
    assert!(table.advance(now).is_none(), "it is running");
    table.add("nginx");
    let (ended, result) = (0..1_000_000).find_map(|_| try_scan(&mut table, now)).unwrap();
    assert!(ended > first && result.is_ok());
    assert_eq!(pids(&table).iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 0]);
}
