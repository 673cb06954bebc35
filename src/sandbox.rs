//! What the sandbox has to leave to the daemon and to the programs of the operator, according to the configuration.
//! Restricts nothing itself.

use std::path::{Path, PathBuf};

use log::Level;

use crate::config::{Config, HOSTS, ProgramUser};
use crate::status::LayerStatus;
use crate::sys::sandbox::{self, CapabilitySet, Files, Layer, Needs, Purpose};
use crate::sys::unprivileged::{Rights, User};

/// Below this number, a port needs a capability.
const FIRST_FREE_PORT: u16 = 1024;

/// The sandbox of a configuration, and its layers once they are applied.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// `None`: `SANDBOX=off`.
    needs: Option<Needs>,
    /// Processes are looked for in `/proc`.
    watches: bool,
    rights: Rights,
    layers: Vec<Layer>,
}

impl Sandbox {
    pub(crate) fn new(config: &Config) -> Self {
        let user = config.programs.user.map(|ProgramUser { uid, gid }| User { uid, gid });
        let ports = config.serve.metrics.map(|address| address.port());
        let ports = ports.into_iter().chain(config.lifeline.map(Into::into));
        let mut capabilities = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        if ports.into_iter().any(|port: u16| port < FIRST_FREE_PORT) {
            capabilities |= CapabilitySet::NET_BIND_SERVICE;
        }
        let runs_programs = config.programs().next().is_some();
        let purpose = if runs_programs { Purpose::Programs(user) } else { Purpose::Alone };
        let needs = Needs { files: files(config), capabilities, purpose, all_capabilities: None };
        let checks = config.routers.iter().filter_map(|router| router.check.as_ref());
        let watches = checks.into_iter().any(|check| !check.services.is_empty());
        let rights = Rights { restricted: config.sandbox, user };
        Self { needs: config.sandbox.then_some(needs), watches, rights, layers: vec![] }
    }

    /// What the programs of the operator may do.
    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }

    /// Applies it to this process, which must have no second thread. `hidden`: `/proc` is mounted with hidepid.
    pub(crate) fn enter(&mut self, hidden: bool) {
        let Some(mut needs) = self.needs.clone() else { return };
        if hidden && self.watches {
            needs.all_capabilities =
                Some("/proc is mounted with hidepid: with fewer, it would hide the services");
        }
        self.layers = sandbox::enter(&needs);
    }

    /// One sentence about the layers in force, and one about each that is not.
    pub(crate) fn report(&self) -> Vec<(Level, String)> {
        if self.needs.is_none() {
            return vec![(Level::Info, "Sandbox: off (SANDBOX=off)".into())];
        }
        let active = self.layers.iter().filter(|layer| layer.missing.is_none());
        let shown = |Layer { name, note, .. }: &Layer| match note {
            Some(note) => format!("{name} ({note})"),
            None => (*name).to_owned(),
        };
        let active: Vec<_> = active.map(shown).collect();
        let missing = self.layers.iter().filter_map(|layer| Some((layer.name, layer.missing.as_ref()?)));
        // Many kernels have no Landlock, and nothing is to be done about it.
        let level = |name| if name == "landlock" { Level::Info } else { Level::Warn };
        let missing = missing.map(|(name, why)| (level(name), format!("Sandbox: without {name}: {why}")));
        [(Level::Info, format!("Sandbox: {}", active.join(", ")))].into_iter().chain(missing).collect()
    }

    pub(crate) fn status(&self) -> Vec<LayerStatus> {
        let layers = self.layers.iter();
        layers
            .map(|Layer { name, note, missing }| LayerStatus {
                layer: name,
                active: missing.is_none(),
                note: note.clone(),
                problem: missing.clone(),
            })
            .collect()
    }
}

/// The folders, because a file that changes is often another one: Kubernetes exchanges a link next to it. A live change may
/// bring the first name, so `/etc/hosts` alone is left as well.
fn files(config: &Config) -> Files {
    let folder = |path: &PathBuf| path.parent().map(Path::to_owned);
    let read = config.files.iter().chain(&config.drain_file).filter_map(folder);
    let hosts = Path::new(HOSTS).is_file().then(|| HOSTS.into());
    let read = read.chain(["/proc".into()]).chain(hosts).collect();
    Files { read, write: config.serve.socket.iter().filter_map(folder).collect() }
}
