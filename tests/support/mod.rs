//! What several test binaries share. Each takes it in by `mod support;` and uses the part it needs.

#![allow(dead_code, unreachable_pub, reason = "which part is unused differs from binary to binary")]

pub mod ends;
pub mod http;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod results;
pub mod rng;
pub mod s3;
pub mod script;
pub mod server;
pub mod stream;
pub mod until;
pub mod wire;
