//! Millpond: a self-hosted backend in one binary.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod core;
pub mod disk;
pub mod error;
pub mod http;
pub mod id;
pub mod limits;
pub mod log;
pub mod model;
pub mod server;
pub mod service;
pub mod state;
pub mod time;
