//! Messages to a receiver, as Standard Webhooks 1.0 has them: signed (`sign`), sent once (`send`), tried again after pauses
//! (`backoff`). What is in one is its sender's.

pub mod backoff;
mod send;
pub mod sign;

pub use send::{Failure, Sender};

use bytes::Bytes;

use crate::time::Millis;

/// Digits of the hash that an id is made of.
const ID_DIGITS: usize = 32;

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// `webhook-id`: the same at every try.
    pub id: String,
    /// JSON.
    pub body: Bytes,
    /// When what it tells of happened.
    pub time: Millis,
}

/// An id made of what a message is about: no dot and no character of a client's in it, as the signature is over
/// `id.timestamp.body`.
pub fn message_id(of: &str) -> String {
    format!("msg_{}", &blake3::hash(of.as_bytes()).to_hex()[..ID_DIGITS])
}
