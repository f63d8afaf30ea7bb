//! What several test binaries share. Each takes in the parts it needs, by `#[path]` or by `mod support;`.

pub mod http;
pub mod script;
pub mod server;
