//! What a panic does: it releases the virtual addresses and ends the process. Uses nothing of the daemon's state, because
//! the state may be what broke.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::{panic, process};

use super::failure::Failure;
use super::output;
use crate::config::{Config, GuardChoice, RouterConfig};
use crate::sys::Error;
use crate::sys::netlink::{MARK, Netlink};
use crate::sys::nftables;

/// Every virtual address that the process may have added.
static ADDRESSES: Mutex<Vec<IpAddr>> = Mutex::new(vec![]);

/// The addresses of these routers are released as well.
pub(super) fn release_on_panic_also(routers: &[RouterConfig]) {
    let mut known = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner);
    for vip in routers.iter().flat_map(RouterConfig::all_addresses) {
        if !known.contains(&vip.address) {
            known.push(vip.address);
        }
    }
}

/// From now on, a panic of any thread prints its message, removes the virtual addresses that vrrp-init added, and ends the
/// process with exit code 70. Nothing unwinds: the release profile aborts after a panic, which saves a tenth of the binary,
/// and an abort of PID 1 would end with a signal and without a word.
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the addresses are released, and Drop cannot run after a panic"
)]
pub fn release_on_panic(config: &Config) {
    release_on_panic_also(&config.routers);
    let first = config.routers.iter().flat_map(|router| &router.addresses).next();
    let guard = first.filter(|_| config.guard != GuardChoice::Off).map(|vip| nftables::name(vip.address));
    let print_message = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print_message(info);
        let addresses = ADDRESSES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = release(&addresses) {
            output::print_error(&error);
        }
        // The kernel removes the other half of the guard with its socket.
        if let Some(name) = &guard {
            nftables::remove_guard(name);
        }
        output::print_error(&Failure::Panic);
        process::exit(Failure::Panic.exit_code().into());
    }));
}

/// Removes those of the addresses that have our mark, from every interface. Kernels before 5.18 know no mark: there, the
/// addresses go when their lease ends.
fn release(virtual_addresses: &[IpAddr]) -> Result<(), Error> {
    let mut netlink = Netlink::open()?;
    let mut result = Ok(());
    for found in netlink.addresses()? {
        if found.mark == Some(MARK) && virtual_addresses.contains(&found.address) {
            result = result.and(netlink.remove(found.index, found.address, found.prefix));
        }
    }
    result
}
