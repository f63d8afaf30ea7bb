//! Floor 6, the edge: HTTP in and out. Only here are statuses, headers and paths known; nobody imports it but the top.
//!
//! A request's way: `accept` (limits on connections) → `tls`, where it is spoken → `edge` (request id, caller, panics,
//! errors) → `routes` (the table) → one handler → `service`. Never touches the log or the state.

mod accept;
mod aggregate;
mod answer;
mod auth;
mod backups;
mod batch;
mod cache;
mod coding;
mod collections;
mod conditions;
mod connection;
mod cors;
mod crowd;
mod edge;
mod encode;
mod endless;
mod events;
mod export;
mod form;
mod forward;
mod handlers;
mod health;
mod idempotency;
mod import;
mod inbound;
mod inner;
mod jobs;
mod logs;
mod meters;
mod multipart;
mod openapi;
mod ops;
mod params;
mod problem;
mod rates;
mod realtime;
mod records;
mod replication;
mod request;
mod routes;
mod socket;
mod streams;
mod tls;
mod told;
mod wire;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Net, Settings};
use crate::limits;
use crate::service::Service;
use accept::ConnectionLimits;
use cors::Cors;
use crowd::Crowd;
use edge::Edge;
use meters::Meters;
use problem::Refusal;
use rates::Rates;
pub use routes::{Effect, Endpoint, endpoints};
pub use tls::Tls;

/// What the handlers have.
#[derive(Clone)]
struct App {
    service: Service,
    body_bytes_max: usize,
    /// Set at the stop: a call that could go on for ever ends then.
    stopping: watch::Receiver<bool>,
    meters: Arc<Meters>,
    metrics_open: bool,
    cors: Cors,
    rates: Option<Arc<Rates>>,
    crowd: Arc<Crowd>,
    heartbeat: Duration,
    /// The route table, for what comes over a WebSocket. Each of its handlers holds this, so it is taken out at the end.
    router: Arc<Mutex<Option<Router>>>,
}

/// Serves `listener`, by TLS where it is given, until `stop` resolves; then requests in flight are answered, until `limits::STOP_TIME_MAX`. `pages` are
/// routes beside the table's.
pub async fn serve(
    service: Service,
    (listener, tls): (TcpListener, Option<Arc<Tls>>),
    settings: &Settings,
    pages: Router,
    stop: impl Future<Output = ()>,
) {
    let (tell, stopping) = watch::channel(false);
    let stop = async move {
        stop.await;
        // Whoever listens is in flight; without one there is no one to tell.
        let _ = tell.send(true);
    };
    let meters = Arc::new(Meters::new(&routes::paths(), service.started_s()));
    // Behind a proxy are many, and this machine's own are its operator's. `Settings::validate` has read them all.
    let proxies = settings.proxies().unwrap_or_default();
    let mut exempt = proxies.clone();
    exempt.extend(["127.0.0.0/8", "::1"].iter().filter_map(|net| net.parse::<Net>().ok()));
    let crowd = Arc::new(Crowd::new(settings.connections_per_address, exempt));
    let app = App {
        service: service.clone(),
        body_bytes_max: settings.body_bytes_max,
        stopping,
        meters: meters.clone(),
        metrics_open: settings.metrics_open,
        cors: Cors::new(settings),
        rates: Rates::new(settings).map(Arc::new),
        crowd: crowd.clone(),
        heartbeat: Duration::from_secs(settings.heartbeat_seconds.into()),
        router: Arc::default(),
    };
    let inner = app.router.clone();
    let (cors, rates) = (app.cors.clone(), app.rates.clone());
    let router = routes::router(app, pages);
    *inner.lock() = Some(router.clone());
    let traffic = meters.traffic.clone();
    let slow = (settings.slow_ms > 0).then(|| Duration::from_millis(settings.slow_ms));
    let hsts = Some(settings.tls_hsts_seconds).filter(|seconds| *seconds > 0 && tls.is_some());
    let hsts = hsts.and_then(|seconds| HeaderValue::try_from(format!("max-age={seconds}")).ok());
    let edge = Edge { router, service: service.clone(), cors, meters, slow, rates, proxies: proxies.into(), hsts };
    let connections = ConnectionLimits { connections: settings.connections_max, ..ConnectionLimits::default() };
    let renewed = tls.clone();
    let renewed = async {
        match &renewed {
            Some(tls) => tls.renewed(limits::TLS_RELOAD_INTERVAL, &traffic).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accept::run(listener, edge, (connections, crowd), tls, traffic.clone(), stop) => {}
        () = renewed => {}
    }
    service.streams_ended().await;
    *inner.lock() = None;
}
