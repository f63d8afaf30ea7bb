//! What several test binaries share. Each takes in the parts it needs, by `#[path]` or by `mod support;`.

pub(crate) mod http;
pub(crate) mod script;
pub(crate) mod server;
