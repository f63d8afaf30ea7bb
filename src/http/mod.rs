//! Floor 6, the edge: HTTP in and out. Only here are statuses, headers and paths known; nobody imports it but the top.
//!
//! A request's way: `accept` (limits on connections) → `edge` (request id, caller, panics, errors) → `routes` (the
//! table) → one handler → `service`. Never touches the log or the state.

mod accept;
mod conditions;
mod inbound;
mod params;
mod problem;
mod request;
mod socket;
