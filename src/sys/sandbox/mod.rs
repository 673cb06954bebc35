//! Gives up what this process does not need: each layer on its own, because a kernel or a container may refuse some. Does
//! not know what the process does.

mod landlock;
mod layers;
mod needs;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod seccomp;
pub mod trial;

pub use rustix::thread::CapabilitySet;

pub use layers::Layer;
pub use needs::{Files, Needs, Purpose};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub use seccomp::{ALLOWED, CONDITIONAL};

/// Applies every layer to the calling thread, and to the threads and processes that it starts. There should be no other
/// thread.
pub fn enter(needs: &Needs) -> Vec<Layer> {
    layers::apply(needs, &trial::deadly())
}
