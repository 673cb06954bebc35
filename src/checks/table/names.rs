//! The names that a table looks for, which come and go with the checks. Scans nothing.

use super::{Depth, Phase, ProcessTable};
use crate::checks::known::Known;
use crate::time::Instant;

impl ProcessTable {
    /// Looks for this name as well, from the next scan. Returns its number.
    pub(in crate::checks) fn add(&mut self, name: &str) -> usize {
        let is_new = !self.names.all().iter().any(|known| known == name);
        let number = self.names.add(name);
        self.found.resize(self.names.len(), vec![]);
        if is_new {
            self.look_again();
        }
        number
    }

    /// Looks only for the names with these numbers.
    pub(in crate::checks) fn keep(&mut self, numbers: &[usize]) {
        let unused = (0..self.names.len()).filter(|number| !numbers.contains(number));
        let removed = unused.filter(|number| {
            self.found[*number].clear();
            self.names.remove(*number)
        });
        if removed.count() > 0 {
            self.look_again();
        }
    }

    /// The names are other ones. A scan that is under way begins again.
    fn look_again(&mut self) {
        self.reader.look_for(self.names.all());
        self.known.iter_mut().for_each(Known::look_again);
        if !matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Idle;
            self.request_at(Instant::START, Depth::Full);
        }
    }
}
