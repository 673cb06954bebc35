//! What NOTIFY and NOTIFY_URL get of a transition. Runs and sends nothing.

use std::rc::Rc;

use super::Router;
use crate::config::HttpTarget;
use crate::daemon::receivers::Message;
use crate::status::{self, Transition};
use crate::vrrp::Role;

impl Router {
    /// The arguments of NOTIFY, as keepalived passes them.
    pub(in crate::daemon) fn notify_arguments(&self, role: Role) -> [String; 4] {
        let state = if role == Role::Init { "STOP" } else { role.as_str() };
        ["INSTANCE".into(), self.name().into(), state.into(), self.instance.priority().to_string()]
    }

    /// What the receiver gets of the transition.
    pub(in crate::daemon) fn message(&self, receiver: &Rc<HttpTarget>, transition: &Transition) -> Message {
        let Transition { time, from, to, cause, .. } = transition;
        let [_, instance, state, _] = &self.notify_arguments(*to);
        let message = status::Message {
            time: *time,
            instance,
            vrid: self.config.protocol.vrid.octet(),
            source: self.binding.as_ref().and_then(|binding| binding.source),
            state,
            previous: *from,
            priority: self.instance.priority().octet(),
            reason: cause,
        };
        Message { receiver: Rc::clone(receiver), instance: self.name().into(), body: message.json() }
    }
}
