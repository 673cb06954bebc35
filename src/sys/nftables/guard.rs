//! Creates, renews and removes the tables of a guard, and says why the kernel refuses. Does not decide which addresses.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;

use super::batch::{Batch, Kind, request};
use super::monitor::Monitor;
use super::tables::{ALIVE, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_TABLE_NAME, PREFIX, Tables, protocol};
use super::transport::{Answer, Refusal, Transport};
use crate::sys::Error;
use crate::vrrp::Family;

/// The most addresses in a call: an attribute has at most 64 KiB.
pub const MOST: usize = 500;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Both tables of one or both families. Dropping it removes them, and nothing is silenced.
#[derive(Debug)]
pub struct Guard {
    transport: Transport,
    name: String,
    families: Vec<Family>,
    /// The time of an element can be changed, since Linux 6.12.
    changes_time: bool,
}

/// An address to silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    pub address: IpAddr,
    /// From now on.
    pub time: Duration,
    /// The guard has it already, with less time.
    pub known: bool,
}

/// The name of the guard of the process whose first virtual address this is. No two processes of a host share one.
pub fn name(first: IpAddr) -> String {
    format!("{PREFIX}{first}").replace(':', "_")
}

impl Guard {
    /// Creates the tables without an address to silence. `addresses`: all that there may be. Removes what killed
    /// processes have left, except a guard of another name that still silences an address.
    ///
    /// # Errors
    /// The kernel cannot do it, or may not.
    pub fn create(name: String, addresses: &[IpAddr]) -> Result<Self, Error> {
        let mut guard = Self::new(name, addresses)?;
        guard.remove_leftovers();
        if let Err(error) = guard.commit("create", guard.creation(), true) {
            // What is there belongs to another process.
            guard.families.clear();
            return Err(error);
        }
        guard.pass(addresses)?;
        Ok(guard)
    }

    /// Lets packets for these addresses pass while the process lives, from now on. None of a family that had no address at
    /// the creation.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn pass(&mut self, addresses: &[IpAddr]) -> Result<(), Error> {
        for family in self.families.clone() {
            let of_family: Vec<_> = of(family, addresses.iter().copied(), |address| *address).collect();
            for chunk in of_family.chunks(MOST) {
                let mut batch = Batch::new();
                self.tables(family).pass(&mut batch, chunk);
                self.commit("create", batch, true)?;
            }
        }
        Ok(())
    }

    /// Has the kernel examine what [`Guard::create`] does, and changes nothing.
    ///
    /// # Errors
    /// The kernel could not do it, or may not.
    pub fn examine(addresses: &[IpAddr]) -> Result<(), Error> {
        let mut guard = Self::new(format!("{PREFIX}check"), addresses)?;
        guard.commit("create", guard.creation(), false)?;
        // There is nothing to remove.
        guard.families.clear();
        Ok(())
    }

    /// What reports that another program changes the tables.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn monitor(&self) -> Result<Monitor, Error> {
        Monitor::open(self.name.clone(), self.transport.port()?)
    }

    fn new(name: String, addresses: &[IpAddr]) -> Result<Self, Error> {
        let has = |family: &Family| addresses.iter().any(|address| Family::of(*address) == *family);
        let families = FAMILIES.into_iter().filter(has).collect();
        let changes_time = kernel_release().is_some_and(|release| release >= (6, 12));
        Ok(Self { transport: Transport::open()?, name, families, changes_time })
    }

    fn creation(&self) -> Batch {
        let mut batch = Batch::new();
        for family in &self.families {
            self.tables(*family).create_alive(&mut batch);
            self.tables(*family).create_guard(&mut batch);
        }
        batch
    }

    /// Silences these addresses, at most [`MOST`], once this process is dead, or for longer than before.
    ///
    /// # Errors
    /// The kernel refused, and changed nothing; see [`is_gone`].
    pub fn silence(&mut self, silences: &[Silence]) -> Result<(), Error> {
        let mut batch = Batch::new();
        for family in &self.families {
            let (tables, of_family) = (self.tables(*family), || of(*family, silences.iter(), |s| s.address));
            let known = of_family().filter(|s| s.known && !self.changes_time);
            let known: Vec<_> = known.map(|s| s.address).collect();
            if !known.is_empty() {
                tables.release(&mut batch, &known);
            }
            let all: Vec<_> = of_family().map(|silence| (silence.address, silence.time)).collect();
            if !all.is_empty() {
                tables.silence(&mut batch, &all);
            }
        }
        self.commit("renew", batch, true)
    }

    /// Creates the tables that drop packets again, without an address.
    ///
    /// # Errors
    /// The kernel refused, and changed nothing.
    pub fn restore(&mut self) -> Result<(), Error> {
        let mut batch = Batch::new();
        for family in &self.families {
            self.tables(*family).create_guard(&mut batch);
        }
        self.commit("create", batch, true)
    }

    /// Removes the guards without a process: this one's, and others that silence nothing any more. What cannot be removed
    /// stays.
    fn remove_leftovers(&mut self) {
        for family in FAMILIES {
            let answers = self.transport.ask(&request(Kind::GetTables, protocol(family), &|_| {}));
            let names: Vec<_> = answers.unwrap_or_default().iter().filter_map(table_name).collect();
            for name in names.iter().filter(|name| name.starts_with(PREFIX) && !name.ends_with(ALIVE)) {
                let tables = Tables { family, name };
                if !names.contains(&tables.alive()) && (*name == self.name || self.is_empty(&tables)) {
                    let _ = remove(&mut self.transport, &tables);
                }
            }
        }
    }

    fn is_empty(&mut self, tables: &Tables<'_>) -> bool {
        self.transport.ask(&tables.list_elements()).is_ok_and(|answers| !answers.iter().any(has_elements))
    }

    fn tables(&self, family: Family) -> Tables<'_> {
        Tables { family, name: &self.name }
    }

    fn commit(&mut self, doing: &'static str, batch: Batch, perform: bool) -> Result<(), Error> {
        self.transport.commit(batch, perform).map_err(|refusal| error(doing, refusal))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut batch = Batch::new();
        for family in &self.families {
            self.tables(*family).remove(&mut batch);
        }
        // With the tables gone, closing the socket takes the kernel half the time.
        if !self.families.is_empty() && self.commit("remove", batch, true).is_err() {
            // Another program may have removed a table. The kernel removes those that let packets pass.
            for family in &self.families {
                let _ = remove(&mut self.transport, &Tables { family: *family, name: &self.name });
            }
        }
    }
}

/// Removes the guard of this name, if there is one: for a process that cannot drop its [`Guard`].
pub fn remove_guard(name: &str) {
    let Ok(mut transport) = Transport::open() else { return };
    for family in FAMILIES {
        let _ = remove(&mut transport, &Tables { family, name });
    }
}

fn remove(transport: &mut Transport, tables: &Tables<'_>) -> Result<(), Refusal> {
    let mut batch = Batch::new();
    tables.remove_guard(&mut batch);
    transport.commit(batch, true)
}

/// Whether the guard was not there, or not as it was left.
pub fn is_gone(error: &Error) -> bool {
    error.source.kind() == io::ErrorKind::NotFound
}

/// Whether another process has a guard of that name.
pub fn is_taken(error: &Error) -> bool {
    error.source.kind() == io::ErrorKind::ResourceBusy
}

fn of<T>(
    family: Family,
    items: impl Iterator<Item = T>,
    address: impl Fn(&T) -> IpAddr,
) -> impl Iterator<Item = T> {
    items.filter(move |item| Family::of(address(item)) == family)
}

/// The error of a refused transaction, with what the operator can do.
fn error(doing: &'static str, Refusal { kind, source }: Refusal) -> Error {
    let errno = source.raw_os_error().map(Errno::from_raw);
    let is_first = kind == Kind::NewTable.message_type();
    let why = match (errno, is_first) {
        (Some(Errno::EOPNOTSUPP | Errno::EINVAL), true) => "; it needs Linux 5.12",
        (Some(Errno::EOPNOTSUPP), false) => "; this kernel has no nf_tables",
        (Some(Errno::EPERM), true) => "; another vrrp-init on this host has the same first address",
        (Some(Errno::EPERM), false) => "; the container needs the capability NET_ADMIN",
        (Some(Errno::ENOENT | Errno::EAFNOSUPPORT), _) => {
            "; this kernel's nf_tables lacks the family arp or ip6"
        }
        _ => "",
    };
    let is_taken = is_first && errno == Some(Errno::EPERM);
    let kind = if is_taken { io::ErrorKind::ResourceBusy } else { source.kind() };
    let source = io::Error::new(kind, format!("{source}{why}"));
    Error { doing, on: "the address guard in nf_tables".into(), source }
}

/// The first two numbers of the kernel's release.
fn kernel_release() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The name in a description of a table.
fn table_name(answer: &Answer) -> Option<String> {
    let name = answer.attribute(NFTA_TABLE_NAME)?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\0")?).into_owned())
}

fn has_elements(answer: &Answer) -> bool {
    answer.attribute(NFTA_SET_ELEM_LIST_ELEMENTS).is_some_and(|elements| !elements.is_empty())
}
