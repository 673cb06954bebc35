//! The image as users run it: the published compose files and the recipes on two Docker hosts, the demo on one.

mod demo;
mod host;
mod image;
mod kills;
#[path = "../support/machine.rs"]
mod machine;
#[expect(clippy::disallowed_methods, reason = "it waits for the kernel on the real clock")]
#[path = "../support/oom.rs"]
mod oom;
mod pair;
mod published;
mod readme;
mod recipes;
mod requests;
mod restarts;
mod upgrades;

use std::path::{Path, PathBuf};
use std::sync::Once;

use host::{must, program};

/// The image of these sources, as `make image` names it.
const BUILT: &str = "vrrp-init:latest";
/// The image that the compose files name. [`host::Host::load`] gives this name to [`BUILT`] on a test's host, so that no
/// registry is asked; on the machine's engine, the name may stand for an image that was pulled.
const IMAGE: &str = "ghcr.io/vrrp-init/vrrp-init:latest";
/// The image in our compose files; `tests/scripts/stand-ins.sh` builds one if no registry has it.
const HAPROXY: &str = "haproxy:3.2";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The image of the service `namespace`. `make image` never makes it again, so the tests make it from these sources: see
/// [`host::Host::load_hold`].
const HOLD: &str = "ghcr.io/vrrp-init/vrrp-init:hold-1";

/// The image of these sources, and the public images that the tests run beside it.
fn images() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        must(program("make --silent image stand-ins").current_dir(repository()));
    });
}

fn tempfile(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("vrrp-init-test-{}-{name}", std::process::id()))
}

/// More images from `tests/scripts/stand-ins.sh`, by the names it uses.
fn stand_ins(names: &str) {
    must(program(&format!("tests/scripts/stand-ins.sh {names}")).current_dir(repository()));
}
