//! The alerts of `docs/monitoring/` by their own tests, and their rows on its page.

use std::fs;

use crate::log_table::documented;
use crate::promtool::{document, promtool};

#[test]
fn the_alerts_fire_when_they_should_and_not_otherwise() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
}

#[test]
fn every_alert_has_its_row_with_the_time_after_which_it_fires() {
    let rules = fs::read_to_string(document("alerts.yml")).unwrap();
    let page = fs::read_to_string(document("README.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| Keepalived")).collect();
    let alerts: Vec<_> = rules.split("- alert: Keepalived").skip(1).collect();
    assert_eq!(rows.len(), alerts.len());
    for (row, alert) in rows.iter().zip(alerts) {
        let after = alert.split_once(" for: ").map_or("", |(_, rest)| rest.split('\n').next().unwrap());
        let after = match after.split_at(after.len().saturating_sub(1)) {
            (n, "s") => format!("{n} s"),
            (n, "m") => format!("{n} min"),
            _ => "at once".to_owned(),
        };
        assert!(row.starts_with(&format!("{} | {after} |", alert.lines().next().unwrap())), "{row}\n{alert}");
    }
}

#[test]
fn the_rules_for_the_log_name_events_that_are_logged() {
    let rules = fs::read_to_string(document("loki.yml")).unwrap();
    let events = documented();
    let mut known = 0;
    for rule in rules.lines().filter_map(|line| line.split_once("| event =")) {
        let names = rule.1.split('"').nth(1).unwrap();
        for name in names.split('|') {
            assert!(events.contains_key(name), "{name}");
            known += 1;
        }
        if let Some((_, level)) = rule.1.split_once("level = \"") {
            assert!(events[names].contains(level.split('"').next().unwrap()), "{names}");
        }
    }
    assert_eq!(known, rules.matches("event =").count() + 3, "one of the rules has four events");
}
