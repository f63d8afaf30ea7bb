//! Millpond: a self-hosted backend in one binary.

pub mod config;
pub mod disk;
pub mod error;
pub mod http;
pub mod id;
pub mod limits;
pub mod log;
pub mod model;
pub mod state;
pub mod time;
