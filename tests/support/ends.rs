//! The end of what others do while a test does its own part. A thread that loops until a flag is set would loop for ever
//! where the test fails first: the failure would be waited for and never told.

use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag when it is dropped, also by a panic.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
