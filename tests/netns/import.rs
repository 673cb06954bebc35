//! `import` beside Debian's keepalived: it accepts the files, and what it sends with one is what our daemon sends with the
//! variables for it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::capture::Capture;
use crate::support::lab::{Host, Lab};
use crate::support::process::{Launch, Running};
use crate::support::router::{KEEPALIVED, OURS};
use crate::support::{millis, seconds, wait_until};
use nix::sys::signal::Signal;

const GLOBAL: &str = "! Configuration File for keepalived
global_defs {
   router_id LB1   # this host
   enable_script_security
   script_user root
}
";

/// Runs our program inside `host` without variables.
fn ours(host: &Host, args: &[&str]) -> Output {
    host.inside(|| Command::new(OURS).args(args).env_clear().output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The variables for a file that can be expressed whole.
fn imported(host: &Host, file: &str) -> Vec<(OsString, OsString)> {
    let output = ours(host, &["import", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let pairs = lines.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

/// What does not depend on how many packets were sent before: the header without identification, checksum and flow
/// label, and the message; `None` if it is not an advert of a master.
fn advert(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, message) = match frame.get(12..14)? {
        [0x08, 0x00] if frame[23] == 112 => {
            let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
            ([&frame[14..18], &frame[20..24], &frame[26..34]].concat(), &frame[34..14 + length])
        }
        [0x86, 0xdd] if frame[20] == 112 => {
            let length = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
            ([&[frame[14], frame[15] & 0xf0], &frame[18..54]].concat(), &frame[54..54 + length])
        }
        _ => return None,
    };
    (message[2] != 0).then(|| [&frame[..12], &header, message].concat())
}

/// The adverts of a program that runs alone on `host`, each once, as `listener` hears them.
fn adverts(host: &Host, listener: &Host, name: &str, start: impl FnOnce() -> Running) -> BTreeSet<Vec<u8>> {
    let capture = Capture::start(listener, name, "proto 112 or ip6 proto 112");
    let mut run = start();
    run.log.wait_for("Entering MASTER STATE", seconds(12));
    std::thread::sleep(millis(2_300));
    run.signal(Signal::SIGTERM);
    run.wait_exit(seconds(8));
    wait_until("the address is gone", seconds(5), || !host.holds(std::net::Ipv4Addr::new(10, 77, 0, 100)));
    let frames = capture.finish().frames;
    frames.iter().filter_map(|frame| advert(&frame.bytes)).collect()
}

/// What keepalived answers to a file that it takes as it is, and to one of which it corrects a value.
const ACCEPTED: i32 = 0;
const CORRECTED: i32 = 5;

/// Both programs send the same for a file.
fn speak_alike(judgment: i32, instance: &str) {
    let lab = Lab::new();
    let (host, listener) = (lab.host("a", 1), lab.host("b", 2));
    wait_until("the link-local address is no longer tentative", seconds(10), || {
        let text = host.ip("-o -6 address show dev enp0s3 scope link");
        text.contains("fe80::") && !text.contains("tentative")
    });
    let file = host.file("keepalived.conf");
    fs::write(&file, format!("{GLOBAL}\n{instance}")).unwrap();
    let path = file.to_str().unwrap();
    let judged =
        host.inside(|| Command::new(KEEPALIVED).args(["--config-test", "-f", path]).output().unwrap());
    assert_eq!(judged.status.code(), Some(judgment), "{}", text(&judged.stderr));
    let vars = imported(&host, path);
    let check =
        host.inside(|| Command::new(OURS).arg("check").env_clear().envs(vars.clone()).output().unwrap());
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));

    // The process that the files check, and whose process namespace both programs share.
    let service = Running::start::<&str>(&host, Launch::PidOne, Path::new("/usr/bin/sleep"), &["300"], &[]);
    let shared = Launch::Joining(&service);
    let options = ["-n", "-l", "-D", "-G", "-p", "/run/k.pid", "-r", "/run/kv.pid", "-f", path];
    let theirs = adverts(&host, &listener, "theirs", || {
        Running::start(&host, shared, Path::new(KEEPALIVED), &options, &[])
    });
    let ours = adverts(&host, &listener, "ours", || {
        Running::start::<&str>(&host, shared, Path::new(OURS), &[], &vars)
    });
    assert_eq!(theirs.len(), 1, "keepalived repeats one advert");
    assert_eq!(ours, theirs);
}

#[test]
fn a_password_and_several_addresses() {
    speak_alike(
        CORRECTED,
        "vrrp_instance VI_1 {
    state MASTER
    interface enp0s3
    virtual_router_id 51
    priority 230
    advert_int 1
    nopreempt
    authentication {
        auth_type PASS
        auth_pass \"t0p#secret\"
    }
    virtual_ipaddress {
        10.77.0.100/24 dev enp0s3 label enp0s3:1
        10.77.0.101   ! the second
    }
}
",
    );
}

#[test]
fn a_check_that_passes_raises_the_priority() {
    speak_alike(
        ACCEPTED,
        "vrrp_script alive {
    script \"/usr/bin/pgrep -x sleep\"
    weight 3 # makes 203
    interval 1
}
vrrp_instance VI_1
{
    interface enp0s3
    virtual_router_id 7
    priority 200 advert_int 9
    virtual_ipaddress { 10.77.0.100 }
    track_script {
        alive
    }
}
",
    );
}

#[test]
fn version_3_in_hundredths_of_a_second() {
    speak_alike(
        ACCEPTED,
        "vrrp_instance VI_1 {
    interface enp0s3
    version 3
    virtual_router_id 200
    priority 120
    advert_int 0.25
    virtual_ipaddress {
        10.77.0.100
    }
}
",
    );
}

#[test]
fn addresses_of_version_6() {
    speak_alike(
        ACCEPTED,
        "vrrp_instance VI_6 {
    interface enp0s3
    virtual_router_id 61
    priority 200
    advert_int 0.5
    virtual_ipaddress {
        fe80::100
        fd00::100/64
    }
    virtual_ipaddress_excluded {
        10.77.0.100
    }
}
",
    );
}

#[test]
fn unicast_from_a_chosen_address() {
    speak_alike(
        ACCEPTED,
        "vrrp_instance VI_1 {
    interface enp0s3
    virtual_router_id 51
    priority 250
    unicast_src_ip 10.77.0.1
    unicast_peer {
        10.77.0.2
    }
    virtual_ipaddress {
        10.77.0.100
    }
}
",
    );
}

#[test]
fn values_that_keepalived_ignores() {
    speak_alike(
        CORRECTED,
        "vrrp_instance VI_1 {
    state MASTER
    state BACKUP
    interface enp0s3
    virtual_router_id 51
    priority 200
    authentication {
        auth_type PASS
        auth_pass 'a\\b\\#c
    }
    virtual_ipaddress {
        10.77.0.100 10.77.0.101
        fd00::100
        10.77.0.102 dev enp0s3
    }
}
",
    );
}

const ROUTER: &str =
    "vrrp_instance V {\ninterface enp0s3\nvirtual_router_id 51\nvirtual_ipaddress {\n10.77.0.100\n}\n}\n";

#[test]
fn the_usual_place_standard_input_and_included_files() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let folder = host.file("conf");
    fs::create_dir_all(folder.join("d")).unwrap();
    fs::write(folder.join("keepalived.conf"), "global_defs {\nrouter_id x\n}\ninclude d/*.conf\n").unwrap();
    fs::write(folder.join("d/a.conf"), ROUTER).unwrap();
    fs::write(folder.join("d/.b.conf"), "no such thing\n").unwrap();
    let expected = |place: &str| {
        format!(
            "# vrrp_instance V ({place}:1)\nVIP=10.77.0.100\nVIRTUAL_ROUTER=51\nINTERFACE=enp0s3\nVRRP_VERSION=2\nINSTANCE_NAME=V\n"
        )
    };

    let script = format!("mount --bind {} /etc/keepalived && exec {OURS} import", folder.display());
    let mounted =
        host.inside(|| Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap());
    assert_eq!(text(&mounted.stdout), expected("/etc/keepalived/d/a.conf"), "{}", text(&mounted.stderr));
    assert_eq!(
        (text(&mounted.stderr).as_str(), mounted.status.code()),
        ("not needed here: router_id\n", Some(0))
    );

    let mut piped = Command::new(OURS)
        .args(["import", "-", "--format", "compose"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(ROUTER.as_bytes()).unwrap();
    let piped = piped.wait_with_output().unwrap();
    assert!(text(&piped.stdout).contains("\n      VIP: \"10.77.0.100\"\n"), "{}", text(&piped.stdout));
    assert_eq!(piped.status.code(), Some(0));
}

#[test]
fn exit_codes_tell_what_was_lost_and_what_is_no_such_file() {
    let lab = Lab::new();
    let host = lab.host("a", 1);
    let file = host.file("k.conf");
    let path = file.to_str().unwrap();
    let with = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        let output = ours(&host, &["import", path]);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr).replace(path, "FILE"))
    };
    let (code, vars, report) = with(&[b"global_defs {\nvrrp_strict\n}\n", ROUTER.as_bytes()].concat());
    assert!(vars.contains("VIP=10.77.0.100\n"), "{vars}");
    assert_eq!((code, report.starts_with("FILE:2: the strict mode is lost: ")), (1, true), "{report}");
    for (content, expected) in [
        (&b"vrrp_instance V {\n"[..], "vrrp-init: FILE:1: the { after vrrp_instance is never closed\n"),
        (
            b"include a-k.conf\n",
            "vrrp-init: FILE:1: a-k.conf is included too often; does a file include itself?\n",
        ),
        (&vec![b'\n'; (4 << 20) + 1], "vrrp-init: cannot read FILE: it has more than 4 MiB\n"),
        (b"\0\x1b", "vrrp-init: FILE: 0 vrrp_instance blocks; import needs 1 to 9998\n"),
        (b"\xff", "vrrp-init: cannot read FILE: it is not UTF-8 text\n"),
    ] {
        let (code, vars, report) = with(content);
        assert_eq!((code, vars.as_str(), report.starts_with(expected)), (78, "", true), "{report}");
        assert!(!report.contains(['\0', '\u{1b}']), "{report:?}");
    }
    let missing = ours(&host, &["import", "/nowhere.conf"]);
    let expected = "vrrp-init: cannot read /nowhere.conf: No such file or directory (os error 2)\n";
    assert_eq!((missing.status.code(), text(&missing.stderr).as_str()), (Some(78), expected));
    let folder = ours(&host, &["import", "/"]);
    assert_eq!(text(&folder.stderr), "vrrp-init: cannot read /: it is no regular file\n");
}
