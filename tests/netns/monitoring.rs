//! Checks `docs/monitoring/` against the metrics of a running pair: every name, label and query of alerts and
//! dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::notify_url::Receiver;
use crate::support::lab::{Host, Lab};
use crate::support::pair::START;
use crate::support::promtool::{document, promtool};
use crate::support::query::{body, command, with_metrics};
use crate::support::router::{Kind, Node, Router};
use crate::support::service::Haproxy;
use crate::support::wire::Message;
use crate::support::{seconds, wait_until};
use serde_json::Value;

/// Labels that Prometheus adds to each sample.
const ADDED: [&str; 2] = ["job", "instance"];

/// A preferred host `a` with a receiver of its transitions, and its backup `b`, watching haproxy, with an excluded address,
/// after some dropped packets.
struct Observed {
    hosts: [Host; 2],
    routers: [Router; 2],
    _services: [Haproxy; 2],
    _receiver: Receiver,
    _lab: Lab,
}

impl Observed {
    fn start() -> Self {
        let lab = Lab::new();
        let [a, b, client] = [("a", 1), ("b", 2), ("client", 250)].map(|(name, n)| lab.host(name, n));
        let node = |priority| {
            let node = Node::watching_haproxy(priority).with("VIP_EXCLUDED", "10.77.0.102");
            with_metrics(node.with("VIP", "10.77.0.100 10.77.0.101"))
        };
        let receiver = Receiver::start(&a, "127.0.0.1:9093");
        let preferred = node(11).with("NOTIFY_URL", "http://127.0.0.1:9093");
        let routers = [Router::start(Kind::Ours, &a, &preferred), Router::start(Kind::Ours, &b, &node(10))];
        let services = [Haproxy::start(&a, &routers[0].run), Haproxy::start(&b, &routers[1].run)];
        routers[0].wait_master(0, START);
        client.send(255, &[], &Message { auth_type: 1, ..Message::default() }.bytes());
        client.send(255, &[], &Message { vrid: 7, ..Message::default() }.bytes());
        let tells = |host, what: &str| body(host, "/metrics").contains(what);
        wait_until("the backup follows, and both have dropped what was sent", seconds(3), || {
            tells(&b, "kind=\"peer_master\"} 13")
                && tells(&b, "keepalived_vrrp_failover_possible")
                && [&a, &b].iter().all(|host| tells(host, "auth_mismatch") && tells(host, "reason=\"vrid\""))
        });
        Self { hosts: [a, b], routers, _services: services, _receiver: receiver, _lab: lab }
    }
}

/// The labels of each family.
fn families(metrics: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut families: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for sample in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = sample.split(['{', ' ']).next().unwrap();
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        let labels = labels.split(',').filter_map(|label| Some(label.split_once("=\"")?.0));
        families.entry(name).or_default().extend(labels);
    }
    families
}

/// The dashboard's queries, with example values for Grafana's variables, and the labels that name the results.
fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(document("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut asked = vec![];
    let query = |of: &Value, name: &str| (of["expr"].as_str().unwrap().to_owned(), of[name].to_string());
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel} asks nothing");
        asked.extend(targets.iter().map(|target| query(target, "legendFormat")));
    }
    asked
        .extend(dashboard["annotations"]["list"].as_array().unwrap().iter().map(|a| query(a, "titleFormat")));
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if let Some(of) = query.strip_prefix("label_values(") {
            let (selector, label) = of.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
            asked.push((format!("count by ({label}) ({selector})"), format!("{{{{{label}}}}}")));
        }
    }
    let fill = |query: &str| {
        let filled = query.replace("$__rate_interval", "1m").replace("$__interval", "5m");
        ["$job", "$instance", "$vrid"].iter().fold(filled, |text, name| text.replace(name, ".*"))
    };
    asked.iter().map(|(query, legend)| (fill(query), legend.clone())).collect()
}

/// The expressions of the alerts, each on one line.
fn alerts() -> Vec<String> {
    let text = fs::read_to_string(document("alerts.yml")).unwrap();
    let exprs = text.split(" expr: ").skip(1).map(|rest| rest.split(" labels: ").next().unwrap());
    let exprs = exprs.map(|rest| rest.split(" for: ").next().unwrap().trim_start_matches('|'));
    exprs.map(|expr| expr.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The metrics that an expression names, and the labels that it picks or groups by.
fn named(expr: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Quoted texts are not names.
    let code: Vec<&str> = expr.split('"').step_by(2).collect();
    let mut metrics = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for part in &code {
        metrics.extend(part.split(|c| !word(c)).filter(|name| name.starts_with("keepalived_")));
        // A matcher ends where its quotes begin.
        let name = part.trim_end_matches(['=', '~', '!']);
        if name.len() < part.len() {
            labels.extend(name.rsplit(|c| !word(c)).next());
        }
        for group in ["by (", "on (", "without (", "ignoring (", "group_left ("] {
            for (at, _) in part.match_indices(group) {
                let list = part[at + group.len()..].split(')').next().unwrap();
                labels.extend(list.split(", "));
            }
        }
    }
    (metrics, labels)
}

#[test]
fn every_name_and_label_of_dashboard_and_alerts_is_in_the_metrics_and_every_query_has_an_answer() {
    let observed = Observed::start();
    let pages = observed.hosts.each_ref().map(|host| body(host, "/metrics"));
    for page in &pages {
        promtool(&["check", "metrics"], page);
    }
    // Times of a drain are there only while there is one.
    let [_, drained] = &observed.routers;
    assert_eq!(command(drained, &["drain", "--for", "1h"]).0, 0);
    let mut both = pages.concat();
    wait_until("the drain is in the metrics", seconds(3), || {
        let page = body(&drained.host, "/metrics");
        both.push_str(&page);
        page.contains("\nkeepalived_drain_until_timestamp_seconds ")
    });
    let known = families(&both);
    let queries = dashboard();
    let alerts = alerts();
    assert!(queries.len() > 20 && alerts.len() >= 12, "{queries:?}\n{alerts:?}");
    for expr in queries.iter().map(|(query, _)| query).chain(&alerts) {
        let (metrics, labels) = named(expr);
        assert!(!metrics.is_empty() || expr.contains("up{"), "{expr}");
        let mut there: BTreeSet<&str> = ADDED.into();
        for metric in &metrics {
            there.extend(known.get(metric).unwrap_or_else(|| panic!("no {metric} in the metrics: {expr}")));
        }
        assert!(labels.is_subset(&there), "{expr}: {labels:?} of {there:?}");
    }
    for (query, legend) in &queries {
        let there: BTreeSet<&str> =
            named(query).0.iter().flat_map(|metric| &known[metric]).copied().collect();
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            assert!(there.contains(label) || ADDED.contains(&label), "{label} of {legend}: {query}");
        }
    }
    let file = observed.hosts[0].file("queries.yml");
    fs::write(&file, experiment(&pages, &queries)).unwrap();
    promtool(&["test", "rules", file.to_str().unwrap()], "");
}

/// A test for promtool: while both hosts only exchange adverts, each query has a result and no alert is pending.
fn experiment(pages: &[String; 2], queries: &[(String, String)]) -> String {
    let rules = document("alerts.yml");
    let mut test =
        format!("rule_files: [{}]\nevaluation_interval: 5s\ntests:\n- interval: 1s\n", rules.display());
    test += "  input_series:\n";
    let mut series = |sample: &str| {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        let step = if name.contains("advertisements_received") && value != "0" { "+1" } else { "+0" };
        _ = writeln!(test, "  - {{ series: '{name}', values: '{value}{step}x300' }}");
    };
    for (page, instance) in pages.iter().zip(["a", "b"]) {
        let added = format!("job=\"keepalived\",instance=\"{instance}\"");
        series(&format!("up{{{added}}} 1"));
        for sample in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = sample.split_at(sample.find(['{', ' ']).unwrap());
            match rest.strip_prefix('{') {
                Some(labels) => series(&format!("{name}{{{added},{labels}")),
                None => series(&format!("{name}{{{added}}}{rest}")),
            }
        }
    }
    test += "  promql_expr_test:\n  - { expr: ALERTS, eval_time: 5m, exp_samples: [] }\n";
    for (query, _) in queries {
        let samples = if query.starts_with("changes(") { "[]" } else { "[{ labels: '{}', value: 1 }]" };
        _ = writeln!(
            test,
            "  - {{ expr: 'count({query}) > bool 0', eval_time: 4m, exp_samples: {samples} }}"
        );
    }
    test
}
