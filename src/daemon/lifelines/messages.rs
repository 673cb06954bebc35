//! How the lifelines read in the log and in the status. Decides nothing.

use crate::lifeline::Trouble;

/// The stable name, as in status and metrics.
pub(super) const fn name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Refused => "refused",
        Trouble::Blocked => "blocked",
        Trouble::Unreachable => "unreachable",
        Trouble::Silent => "silent",
        Trouble::Closed => "closed",
        Trouble::NotALifeline | Trouble::OtherProcess => "foreign",
        Trouble::Version(_) => "version",
    }
}

/// What is wrong and what to do, as a sentence that continues after the address of the master.
pub(super) fn sentence(trouble: Trouble, port: u16) -> String {
    match trouble {
        Trouble::Refused => format!(
            "refused: nothing listens at its TCP port {port} (keepalived, an older vrrp-init or LIFELINE=false)"
        ),
        Trouble::Blocked => format!("blocked: open TCP port {port} in the firewalls of both hosts"),
        Trouble::Unreachable => format!("the kernel does not connect to TCP port {port}"),
        Trouble::Silent => format!("no greeting: another program listens at TCP port {port}"),
        Trouble::Closed => "closed; will retry".into(),
        Trouble::NotALifeline => format!("another program answers at TCP port {port}"),
        Trouble::OtherProcess => format!(
            "another vrrp-init there has TCP port {port}: give each its own LIFELINE_PORT, on all nodes"
        ),
        Trouble::Version(version) => format!("it has version {version} of the lifeline, we have 1"),
    }
}
