//! The texts of one set of variables to what it watches; knows no process and no port.

use std::rc::Rc;

use super::raw::Raw;
use super::report::Report;
use crate::config::variables::VARIABLES;
use crate::config::{CheckConfig, endpoint, value};
use crate::health::Weight;
use crate::vrrp::Priority;

/// `None` where nothing is to be watched, and once a problem is noted.
pub(super) fn check(
    raw: &Raw,
    priority: Option<Priority>,
    report: &mut Report<'_>,
) -> Option<Rc<CheckConfig>> {
    let interval = report.value("CHECK_INTERVAL", raw, value::check_interval);
    let weight = report.value("CHECK_WEIGHT", raw, value::weight);
    let timeout = report.optional("CHECK_TIMEOUT", raw, value::check_interval);
    let rise = report.value("CHECK_RISE", raw, value::count);
    let fall = report.value("CHECK_FALL", raw, value::count);
    let services = report.list("SERVICE", raw, "process name", value::service);
    let tcp = report.list("CHECK_TCP", raw, "host:port", endpoint::tcp);
    let http = report.list("CHECK_HTTP", raw, "URL", endpoint::http);
    if ["SERVICE", "CHECK_TCP", "CHECK_HTTP"].iter().all(|name| raw.text(name).is_none()) {
        for variable in VARIABLES.iter().filter(|variable| variable.name.starts_with("CHECK_")) {
            report.unused(
                variable.name,
                "has no effect: nothing is watched without SERVICE, CHECK_TCP or CHECK_HTTP".into(),
            );
        }
        return None;
    }
    if tcp.is_empty() && http.is_empty() {
        report.unused("CHECK_TIMEOUT", "has no effect: it is for CHECK_TCP and CHECK_HTTP".into());
    }
    let (interval, weight) = (interval?, weight?);
    if priority == Some(Priority::OWNER) && weight != Weight::FAULT {
        let why = format!("{weight} has no effect: PRIORITY 255 is the address owner's and never changes");
        report.warn("CHECK_WEIGHT", why);
    }
    let timeout = timeout.unwrap_or(interval);
    let (rise, fall) = (rise?, fall?);
    Some(Rc::new(CheckConfig { services, tcp, http, interval, timeout, weight, rise, fall }))
}
