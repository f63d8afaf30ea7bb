//! Faults gathered while an input is read, so that one answer names them all.
//!
//! Invariant: never more than `limits::FAULTS_MAX` are kept; a body that has more is refused all the same.

use crate::error::{Error, FieldFault, Result};
use crate::limits;

/// What is wrong with an input, in the order found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<FieldFault>,
}

impl Faults {
    /// Notes one. Past the bound it is dropped.
    pub(crate) fn add(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        if !self.full() {
            self.list.push(FieldFault { field: path.into(), code: code.into(), message: message.into() });
        }
    }

    /// Whether none was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// As they were found.
    pub(crate) fn into_list(self) -> Vec<FieldFault> {
        self.list
    }

    /// Whether no more are kept, so that reading on tells the client nothing.
    pub(crate) fn full(&self) -> bool {
        self.list.len() >= limits::FAULTS_MAX
    }

    /// How many are kept: a reader that finds no more than before has found none.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// # Errors
    /// `Invalid` with all of them, if there are any.
    pub(crate) fn into_result(self, message: &'static str) -> Result<()> {
        if self.list.is_empty() { Ok(()) } else { Err(Error::invalid(message).faults(self.list)) }
    }
}
