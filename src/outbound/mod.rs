//! Connections that the server makes to others: webhooks, sources of an aggregate on another server, the primary that it
//! follows, the Redis behind the cache; and those of commands to a running server.
//!
//! Who asks for one names an http or https URL. `dial` resolves its name, judges every address (`address`), connects to that
//! very one and does TLS; `line` is HTTP/1.1 over such a connection, which may be kept. Invariant: nothing here follows a
//! redirect, so there is no way around the judging; deadlines and bounds on what is read are their callers'. [`redis`] has its
//! own: nobody waits for that.

pub mod address;
mod dial;
mod line;
mod peer;
pub mod redis;
pub mod webhook;

pub use dial::Dialer;
pub use line::{Line, USER_AGENT, host_of, path_of};
pub use peer::Peer;
