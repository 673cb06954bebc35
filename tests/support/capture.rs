//! Packet captures on a host: tcpdump writes a file, from which come the frames with their times, and tshark's view of them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::lab::Host;
use super::process::{Launch, Running};

/// Captures until [`Capture::finish`].
pub(crate) struct Capture {
    run: Running,
    file: PathBuf,
}

/// A finished capture.
pub(crate) struct Captured {
    file: PathBuf,
    pub(crate) frames: Vec<Frame>,
}

/// One Ethernet frame and its time since the epoch.
pub(crate) struct Frame {
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

impl Capture {
    /// Starts a capture with tcpdump's `filter`. `name` must be unique on its host.
    pub(crate) fn start(host: &Host, name: &str, filter: &str) -> Self {
        let file = host.file(&format!("{name}.pcap"));
        let mut args: Vec<std::ffi::OsString> = [
            "-i",
            &host.interface,
            "-n",
            "-s",
            "2048",
            "-B",
            "8192",
            "-U",
            "--immediate-mode",
            "-Z",
            "root",
            "-w",
        ]
        .map(Into::into)
        .into();
        args.extend([file.clone().into_os_string(), filter.into()]);
        let run = Running::start(host, Launch::NotPidOne, Path::new("/usr/bin/tcpdump"), &args, &[]);
        run.log.wait_for("listening on", super::seconds(5));
        Self { run, file }
    }

    pub(crate) fn finish(mut self) -> Captured {
        // tcpdump writes the last packets a moment after they were on the wire.
        std::thread::sleep(super::millis(100));
        self.run.signal(Signal::SIGINT);
        assert_eq!(self.run.wait_exit(super::seconds(5)), 0, "tcpdump exits with 0");
        let lost = self.run.log.wait_for("packets dropped by kernel", super::seconds(1)).text;
        assert!(lost.starts_with("0 "), "the capture is whole: {lost}");
        let frames = frames(&fs::read(&self.file).expect("tcpdump wrote its file"));
        Captured { file: self.file, frames }
    }
}

impl Captured {
    /// The VRRP frames from `source`, or from all hosts.
    pub(crate) fn adverts(&self, source: Option<Ipv4Addr>) -> Vec<&Frame> {
        let of = |frame: &&Frame| frame.is_vrrp() && source.is_none_or(|source| frame.source() == source);
        self.frames.iter().filter(of).collect()
    }

    /// Fields of the frames that match tshark's `filter`, one row per frame.
    pub(crate) fn tshark(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        self.tshark_with("ip.check_checksum:TRUE", filter, fields)
    }

    /// [`Captured::tshark`] with one more preference, such as `tcp.check_checksum:TRUE`.
    pub(crate) fn tshark_with(&self, preference: &str, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(["-n", "-o", "ip.check_checksum:TRUE", "-o", preference]);
        command.args(["-Y", filter]);
        command.args(["-T", "fields"]).args(fields.iter().flat_map(|field| ["-e", field]));
        let output = command.output().expect("tshark runs");
        assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// The faults that tshark finds in the VRRP frames: warnings, malformed packets, checksums of either layer.
    pub(crate) fn complaints(&self) -> Vec<Vec<String>> {
        self.tshark(
            "vrrp && (_ws.expert || _ws.malformed || vrrp.checksum.status != \"Good\" || ip.checksum.status != \"Good\")",
            &["frame.number", "ip.src", "_ws.expert.message"],
        )
    }
}

impl Frame {
    const ETHERNET: usize = 14;
    const ARP: [u8; 2] = [0x08, 0x06];

    fn is_vrrp(&self) -> bool {
        self.bytes.get(12..14) == Some(&[0x08, 0x00])
            && self.bytes.get(23) == Some(&112)
            && self.bytes.len() > 34
    }

    fn source(&self) -> Ipv4Addr {
        address(&self.bytes[26..30])
    }

    /// The IPv4 packet, without Ethernet's padding.
    pub(crate) fn packet(&self) -> &[u8] {
        let length = usize::from(u16::from_be_bytes([self.bytes[16], self.bytes[17]]));
        &self.bytes[Self::ETHERNET..Self::ETHERNET + length]
    }

    /// Priority of a VRRP frame.
    pub(crate) fn priority(&self) -> u8 {
        self.packet()[20 + 2]
    }

    /// Operation of an ARP frame that announces `vip`: its sender and its target.
    pub(crate) fn gratuitous_arp(&self, vip: Ipv4Addr) -> Option<u16> {
        let arp = self.bytes.get(14..42).filter(|_| self.bytes[12..14] == Self::ARP)?;
        let announces = address(&arp[14..18]) == vip && address(&arp[24..28]) == vip;
        announces.then(|| u16::from_be_bytes([arp[6], arp[7]]))
    }

    /// Sender of the frame, as `ip` writes it.
    pub(crate) fn sender(&self) -> String {
        let hex: Vec<String> = self.bytes[6..12].iter().map(|b| format!("{b:02x}")).collect();
        hex.join(":")
    }
}

fn address(four: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(four[0], four[1], four[2], four[3])
}

/// Reads tcpdump's file: 24 octets of header, then 16 before each frame (seconds, microseconds, captured, original).
fn frames(file: &[u8]) -> Vec<Frame> {
    let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().expect("four octets"));
    assert_eq!(word(0), 0xa1b2_c3d4, "tcpdump writes microseconds in this machine's byte order");
    let mut frames = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let time = Duration::new(word(at).into(), word(at + 4) * 1000);
        let length = word(at + 8) as usize;
        let Some(bytes) = file.get(at + 16..at + 16 + length) else { break };
        frames.push(Frame { at: time, bytes: bytes.to_vec() });
        at += 16 + length;
    }
    frames
}
