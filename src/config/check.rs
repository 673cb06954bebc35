//! The variables of one virtual router to its check; knows no process and no port.

use std::rc::Rc;

use super::environment::ReadFile;
use super::model::{CheckConfig, HttpTarget, StatusRange};
use super::program;
use super::reader::Reader;
use super::variables::{
    CHECK_DNS, CHECK_FALL, CHECK_HTTP, CHECK_HTTP_HOST, CHECK_HTTP_STATUS, CHECK_INTERVAL, CHECK_RISE,
    CHECK_SCRIPT, CHECK_TCP, CHECK_TIMEOUT, CHECK_WEIGHT, SERVICE, VARIABLES,
};
use crate::health::Weight;
use crate::vrrp::Priority;

/// `None` where nothing is checked, and once a problem is noted.
pub(super) fn check(
    priority: Option<Priority>,
    reader: &mut Reader<'_>,
    read_file: ReadFile<'_>,
) -> Option<Rc<CheckConfig>> {
    let interval = reader.value(&CHECK_INTERVAL);
    let weight = reader.value(&CHECK_WEIGHT);
    let timeout = reader.value(&CHECK_TIMEOUT);
    let rise = reader.value(&CHECK_RISE);
    let fall = reader.value(&CHECK_FALL);
    let services = services(reader, read_file);
    let tcp = reader.value(&CHECK_TCP).unwrap_or_default();
    let (http, statuses) = pages(reader);
    let dns = reader.value(&CHECK_DNS).unwrap_or_default();
    let script = reader.value(&CHECK_SCRIPT).map(Into::into);
    if !is_anything_checked(reader) {
        return None;
    }
    let (interval, weight) = (interval?, weight?);
    if priority == Some(Priority::OWNER) && weight != Weight::FAULT {
        let why = format!("{weight} has no effect: the priority of an address owner, 255, never changes");
        reader.warn(&CHECK_WEIGHT, why);
    }
    let timeout = timeout.unwrap_or(interval);
    let (rise, fall) = (rise?, fall?);
    let targets =
        CheckConfig { services, tcp, http, statuses, dns, script, interval, timeout, weight, rise, fall };
    Some(Rc::new(targets))
}

/// Whether something is; warns of what has no effect.
fn is_anything_checked(reader: &mut Reader<'_>) -> bool {
    let asks_network =
        reader.has_text(&CHECK_TCP) || reader.has_text(&CHECK_HTTP) || reader.has_text(&CHECK_DNS);
    let slow = asks_network || reader.has_text(&CHECK_SCRIPT);
    let is_anything = slow || reader.has_text(&SERVICE);
    if !is_anything {
        for variable in VARIABLES.iter().filter(|variable| variable.name.starts_with("CHECK_")) {
            let why = "has no effect: nothing is checked without SERVICE, CHECK_TCP, CHECK_HTTP, CHECK_DNS or CHECK_SCRIPT";
            reader.unused(variable, why);
        }
    } else if !slow {
        let why = "has no effect: it applies to CHECK_TCP, CHECK_HTTP, CHECK_DNS and CHECK_SCRIPT only";
        reader.unused(&CHECK_TIMEOUT, why);
    }
    is_anything
}

/// The pages, and the statuses that pass.
fn pages(reader: &mut Reader<'_>) -> (Vec<HttpTarget>, Vec<StatusRange>) {
    let mut pages = reader.value(&CHECK_HTTP).unwrap_or_default();
    let statuses = reader.value(&CHECK_HTTP_STATUS).unwrap_or_default();
    if let Some(host) = reader.value(&CHECK_HTTP_HOST) {
        for page in &mut pages {
            page.host.clone_from(&host);
        }
    }
    if !reader.has_text(&CHECK_HTTP) && reader.has_text(&SERVICE) {
        for variable in [&*CHECK_HTTP_HOST, &*CHECK_HTTP_STATUS] {
            reader.unused(variable, "has no effect without CHECK_HTTP");
        }
    }
    (pages, statuses)
}

/// Users by number.
fn services(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Vec<String> {
    let mut services = reader.value(&SERVICE).unwrap_or_default();
    for service in &mut services {
        let Some(name) = service.strip_prefix("user:").filter(|user| user.parse::<u32>().is_err()) else {
            continue;
        };
        match program::find_user(name, read_file) {
            Ok(user) => *service = format!("user:{}", user.uid),
            Err(why) => reader.refuse(&SERVICE, service, why),
        }
    }
    services
}
