//! The lifeline between real processes: what counts as a death, and what a hostile or broken network makes of it.

use crate::support::pair::Pair;
use crate::support::query::command;
use crate::support::{seconds, wait_until};

#[test]
fn a_backup_is_connected_to_its_master() {
    let pair = Pair::plain();
    let connected = || command(&pair.b, &["status"]).1.contains("lifeline:  10.77.0.1 connected");
    wait_until("the backup is connected", seconds(3), connected);
    assert!(command(&pair.a, &["status"]).1.contains("lifeline:  backups 10.77.0.2\n"));
}
