//! Other settings for a router that runs. Knows no variable and no file.

use std::rc::Rc;

use super::{Instance, State};
use crate::time::Instant;
use crate::vrrp::event::Action;
use crate::vrrp::settings::Settings;

impl Instance {
    /// Nothing that is scheduled moves: the next advert is sent at its time, with the new addresses.
    pub(super) fn reconfigure(
        &mut self,
        now: Instant,
        settings: &Rc<Settings>,
        acquire: bool,
    ) -> Vec<Action> {
        let before = std::mem::replace(&mut self.settings, Rc::clone(settings));
        if self.former.is_empty() && !before.same_addresses(&settings.addresses) {
            // After several changes, the others still have those before the first.
            self.former.clone_from(&before.addresses);
        }
        let State::Master(master) = &mut self.state else { return vec![] };
        master.reconfigure(now, &before, settings);
        if acquire { vec![Action::Acquire, master.restart_announcements(now)] } else { vec![] }
    }
}
