//! The alerts of `docs/monitoring/` by their own tests, and their rows on its page.

use std::fs;

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
