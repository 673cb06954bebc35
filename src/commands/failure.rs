//! Why a command failed: the sentence for the operator and the exit code. Knows no command.

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::config::ConfigError;
use crate::preflight::{facts, unread};
use crate::sys::Error;
use crate::sys::capabilities::Capability;

/// EX_USAGE of sysexits: the command line is wrong.
pub(super) const USAGE: u8 = 64;
/// EX_SOFTWARE: a bug, or the kernel refused an operation that must work.
const INTERNAL: u8 = 70;
/// EX_NOPERM: a capability is missing.
const CAPABILITY: u8 = 77;
/// EX_CONFIG: the environment is wrong.
const CONFIGURATION: u8 = 78;

/// Why a command failed. Displays as the operator reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The environment is wrong; holds every problem.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// The container lacks a capability that the command needs.
    #[error(
        "vrrp-init: the capability {0} is missing; it is needed to {purpose}\n  \
         add to the service in the compose file:\n    cap_add: [NET_ADMIN, NET_RAW]",
        purpose = purpose(*.0)
    )]
    Capability(Capability),
    /// The report of `check`, already printed, names the missing capabilities.
    #[error("vrrp-init: capabilities are missing")]
    Reported,
    /// The file that `import` reads is not there or is invalid.
    #[error("vrrp-init: {0}")]
    Import(String),
    /// There is no interface to listen on.
    #[error("vrrp-init: {0}")]
    NoInterface(String),
    /// The kernel refused an operation that no retry can fix.
    #[error("vrrp-init: {0}")]
    Kernel(#[from] Error),
    /// A bug. The panic message is printed and the virtual addresses are released.
    #[error("vrrp-init: internal error, the virtual addresses are released; please report the lines above")]
    Panic,
}

fn purpose(capability: Capability) -> &'static str {
    match capability {
        Capability::NetAdmin => "add and remove virtual addresses",
        Capability::NetRaw => "send and receive VRRP and ARP packets",
    }
}

impl Failure {
    /// The exit code, after sysexits: 70 internal, 77 capability, 78 configuration.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Import(_) | Self::NoInterface(_) => CONFIGURATION,
            Self::Capability(_) | Self::Reported => CAPABILITY,
            Self::Kernel(e) if e.is_permission() => CAPABILITY,
            Self::Kernel(_) | Self::Panic => INTERNAL,
        }
    }
}

/// The exit code of a command; prints its failure.
pub(super) fn exit(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if !matches!(failure, Failure::Reported) {
        output::print_error(&failure);
    }
    if let Failure::Configuration(_) = failure {
        // It may hold what is missing.
        for path in facts::mounted_files(Path::new("/")) {
            output::print_error(&format_args!("  {}", unread(&path)));
        }
    }
    ExitCode::from(failure.exit_code())
}

/// Fails if the process lacks one of the `needed` capabilities. Checked before anything starts: a container without
/// them would otherwise fail only when the other host does.
pub(super) fn require(needed: &[Capability]) -> Result<(), Failure> {
    match facts::missing_capabilities(needed)?.first() {
        Some(missing) => Err(Failure::Capability(*missing)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_failure_has_its_exit_code() {
        let refused = |kind| Error::doing("open", "x")(io::Error::from(kind));
        assert_eq!(
            Failure::Configuration(ConfigError { problems: vec![], warnings: vec![] }).exit_code(),
            78
        );
        assert_eq!(Failure::Capability(Capability::NetRaw).exit_code(), 77);
        assert_eq!(Failure::Kernel(refused(io::ErrorKind::PermissionDenied)).exit_code(), 77);
        assert_eq!(Failure::Kernel(refused(io::ErrorKind::OutOfMemory)).exit_code(), 70);
    }

    #[test]
    fn a_missing_capability_is_named_with_the_compose_line() {
        let text = Failure::Capability(Capability::NetRaw).to_string();
        assert!(
            text.contains("NET_RAW is missing") && text.contains("cap_add: [NET_ADMIN, NET_RAW]"),
            "{text}"
        );
    }
}
