//! What several test binaries share. Each takes it in by `mod support;` and uses the part it needs.

pub mod http;
