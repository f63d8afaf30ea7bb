//! What a handler has read since its cursor was logged: what a restart reads again, and what the log is kept for.

use crate::limits;
use crate::log::Logged;

/// Entries, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Those with changes: else each cursor that is logged would be one more to log.
    entries: usize,
    bytes: usize,
}

impl Passed {
    /// One was read, which had changes that handlers may want or hadn't.
    pub(super) fn add(&mut self, logged: &Logged, has_changes: bool) {
        if has_changes {
            self.entries += 1;
            self.bytes += logged.bytes as usize;
        }
    }

    /// Whether the cursor is to be logged though nothing came of what was read.
    pub(super) fn is_due(&self) -> bool {
        self.entries >= limits::HANDLER_PASSED_MAX || self.bytes >= limits::HANDLER_PASSED_BYTES
    }
}
