//! Several writes as one transaction: all of them or none, a later one sees the earlier ones.
//!
//! Goes the way of a single write, so the same rules hold of each: a caller may in a batch what it may without one.

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::once::Once;
use crate::service::Service;
use crate::service::once::Commit;
use crate::service::writes::{Ask, Done, Refused};

/// A transaction that was done.
#[derive(Debug)]
pub struct Batch {
    /// When.
    pub commit: Commit,
    /// What became of each write, in order.
    pub done: Vec<Done>,
}

impl Service {
    /// Writes all of them, or nothing; with `once`, unless that was done before.
    ///
    /// # Errors
    /// That of the first one which fails, with those of all in [`Error::parts`] that can be told without the records;
    /// `TooLarge` over `limits::TRANSACTION_WRITES_MAX`; or the core's.
    pub async fn batch(&self, asks: &[Ask<'_>], once: Option<Once>) -> Result<Batch> {
        if asks.len() > limits::TRANSACTION_WRITES_MAX {
            return Err(too_many());
        }
        match self.write_all(asks, once).await {
            Ok((commit, done)) => Ok(Batch { commit, done }),
            Err(Refused::Whole(error)) => Err(error),
            Err(Refused::Parts(parts)) => Err(failed(parts)),
        }
    }
}

/// The refusal of a batch of which these requests, by their numbers, can't be done.
pub fn failed(parts: Vec<(usize, Error)>) -> Error {
    Error::of_parts("nothing was done: request", parts)
}

/// The refusal of a batch of more requests than are taken.
pub fn too_many() -> Error {
    let max = limits::TRANSACTION_WRITES_MAX;
    Error::new(Kind::TooLarge, format!("a batch has at most {max} requests")).code("too_many_requests")
}
