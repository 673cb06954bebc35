//! The neighbor table of a host, from which a client forgets an address.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::lab::Host;

/// An `ip` that waits for commands: one process for all of them.
pub(crate) struct Neighbors {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Neighbors {
    pub(crate) fn of(host: &Host) -> Self {
        let mut command = Command::new("ip");
        command.args(["-o", "-n", &host.netns(), "-batch", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("ip runs");
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, input, output }
    }

    /// Returns when the entry is gone: later, that would end the next connection.
    pub(crate) fn forget(&mut self, vip: IpAddr) {
        // Not `del`: if there is no entry, `ip` exits. The second command answers with a line.
        let commands = format!("neighbour flush to {vip} dev enp0s3\nlink show lo\n");
        self.input.write_all(commands.as_bytes()).expect("ip reads its commands");
        self.output.read_line(&mut String::new()).expect("ip answers");
    }
}

impl Drop for Neighbors {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
