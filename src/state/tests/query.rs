//! Pending
