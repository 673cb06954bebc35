//! The variables of one virtual router to its check; knows no process and no port.

use std::rc::Rc;

use super::model::CheckConfig;
use super::reader::Reader;
use super::variables::{
    CHECK_FALL, CHECK_HTTP, CHECK_HTTP_HOST, CHECK_HTTP_STATUS, CHECK_INTERVAL, CHECK_RISE, CHECK_SCRIPT,
    CHECK_TCP, CHECK_TIMEOUT, CHECK_WEIGHT, SERVICE, VARIABLES,
};
use crate::health::Weight;
use crate::vrrp::Priority;

/// `None` where nothing is checked, and once a problem is noted.
pub(super) fn check(priority: Option<Priority>, reader: &mut Reader<'_>) -> Option<Rc<CheckConfig>> {
    let interval = reader.value(&CHECK_INTERVAL);
    let weight = reader.value(&CHECK_WEIGHT);
    let timeout = reader.value(&CHECK_TIMEOUT);
    let rise = reader.value(&CHECK_RISE);
    let fall = reader.value(&CHECK_FALL);
    let services = reader.value(&SERVICE).unwrap_or_default();
    let tcp = reader.value(&CHECK_TCP).unwrap_or_default();
    let mut http = reader.value(&CHECK_HTTP).unwrap_or_default();
    let statuses = reader.value(&CHECK_HTTP_STATUS).unwrap_or_default();
    let host = reader.value(&CHECK_HTTP_HOST);
    let script = reader.value(&CHECK_SCRIPT);
    let lists = [reader.has_text(&SERVICE), reader.has_text(&CHECK_TCP), reader.has_text(&CHECK_HTTP)];
    if !lists.contains(&true) && !reader.has_text(&CHECK_SCRIPT) {
        for variable in VARIABLES.iter().filter(|variable| variable.name.starts_with("CHECK_")) {
            reader.unused(
                variable,
                "has no effect: nothing is checked without SERVICE, CHECK_TCP, CHECK_HTTP or CHECK_SCRIPT",
            );
        }
        return None;
    }
    if tcp.is_empty() && http.is_empty() && !reader.has_text(&CHECK_SCRIPT) {
        reader.unused(
            &CHECK_TIMEOUT,
            "has no effect: it applies to CHECK_TCP, CHECK_HTTP and CHECK_SCRIPT only",
        );
    }
    if !reader.has_text(&CHECK_HTTP) {
        for variable in [&*CHECK_HTTP_HOST, &*CHECK_HTTP_STATUS] {
            reader.unused(variable, "has no effect without CHECK_HTTP");
        }
    }
    for page in http.iter_mut().filter(|_| host.is_some()) {
        page.host = host.clone().unwrap_or_default();
    }
    let (interval, weight) = (interval?, weight?);
    if priority == Some(Priority::OWNER) && weight != Weight::FAULT {
        let why = format!("{weight} has no effect: the priority of an address owner, 255, never changes");
        reader.warn(&CHECK_WEIGHT, why);
    }
    let timeout = timeout.unwrap_or(interval);
    let (rise, fall) = (rise?, fall?);
    Some(Rc::new(CheckConfig {
        services,
        tcp,
        http,
        statuses,
        script: script.map(Into::into),
        interval,
        timeout,
        weight,
        rise,
        fall,
    }))
}
