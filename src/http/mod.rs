//! Floor 6, the edge: HTTP in and out. Only here are statuses, headers and paths known; nobody imports it but the top.
//!
//! A request's way: `accept` (limits on connections) → `edge` (request id, caller, panics, errors) → `routes` (the
//! table) → one handler → `service`. Never touches the log or the state.

mod accept;
mod answer;
mod auth;
mod batch;
mod collections;
mod conditions;
mod edge;
mod health;
mod inbound;
mod multipart;
mod params;
mod problem;
mod records;
mod request;
mod routes;
mod socket;

use tokio::net::TcpListener;

use crate::config::Settings;
use crate::service::Service;
use accept::ConnectionLimits;
use edge::Edge;
use problem::Refusal;
pub use routes::{Effect, Endpoint, endpoints};

/// What the handlers have.
#[derive(Clone)]
struct App {
    service: Service,
    body_bytes_max: usize,
}

/// Serves `listener` until `stop` resolves; then requests in flight are answered, until `limits::STOP_TIME_MAX`.
pub async fn serve(service: Service, listener: TcpListener, settings: &Settings, stop: impl Future<Output = ()>) {
    let app = App { service: service.clone(), body_bytes_max: settings.body_bytes_max };
    let edge = Edge { router: routes::router(app), service };
    let limits = ConnectionLimits { connections: settings.connections_max, ..ConnectionLimits::default() };
    accept::run(listener, edge, limits, stop).await;
}
