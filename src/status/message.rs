//! What NOTIFY_URL sends of a transition: the fields of a JSON object, documented in `docs/notify-url.md`.

use std::net::IpAddr;

use crate::printable;
use crate::time::Timestamp;
use crate::vrrp::Role;

/// A transition of one router.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub time: Timestamp,
    pub instance: &'a str,
    pub vrid: u8,
    /// The address that adverts are sent from.
    pub source: Option<IpAddr>,
    /// `MASTER`, `BACKUP`, `FAULT` or `STOP`, as for NOTIFY.
    pub state: &'a str,
    /// The state before; `INIT` at the start.
    pub previous: Role,
    pub priority: u8,
    /// The cause, a sentence.
    pub reason: &'a str,
}

impl Message<'_> {
    /// One line of JSON.
    pub fn json(&self) -> String {
        let Self { time, instance, vrid, source, state, previous, priority, reason } = self;
        let source = source.map_or("null".into(), |source| format!("\"{source}\""));
        // Strings always have a form in JSON.
        let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let (instance, previous, reason) = (quoted(instance), previous.as_str(), quoted(reason));
        printable::json(&format!(
            "{{\"time\":\"{time}\",\"instance\":{instance},\"vrid\":{vrid},\"source\":{source},\"state\":\"{state}\",\
             \"previous\":\"{previous}\",\"priority\":{priority},\"reason\":{reason}}}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_object_on_one_line() {
        let message = Message {
            time: Timestamp::default(),
            instance: "VI_1",
            vrid: 51,
            source: Some([10, 0, 0, 11].into()),
            state: "STOP",
            previous: Role::Master,
            priority: 100,
            reason: "a\n\"b\"",
        };
        assert_eq!(
            message.json(),
            r#"{"time":"1970-01-01T00:00:00.000Z","instance":"VI_1","vrid":51,"source":"10.0.0.11","state":"STOP","previous":"MASTER","priority":100,"reason":"a\n\"b\""}"#
        );
    }
}
