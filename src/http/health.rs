//! Whether the server lives, and whether it should be sent requests.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::answer::{caller, json};
use crate::http::{App, Refusal};

/// `GET /livez`: the process answers.
pub(super) async fn live() -> Response {
    json(br#"{"status":"ok"}"#.to_vec())
}

/// `GET /readyz`: writes can be taken.
pub(super) async fn ready(State(app): State<App>) -> Result<Response, Refusal> {
    app.service.ready()?;
    Ok(json(br#"{"status":"ok"}"#.to_vec()))
}

/// `GET /api/health`, in PocketBase's shape; superusers see more.
pub(super) async fn health(State(app): State<App>, request: Request) -> Response {
    let more = if caller(request.extensions()).is_superuser() {
        format!(r#","version":"{}","position":"{}""#, env!("CARGO_PKG_VERSION"), app.service.position())
    } else {
        String::new()
    };
    let can_backup = !more.is_empty();
    let body =
        format!(r#"{{"status":200,"code":200,"message":"API is healthy.","data":{{"canBackup":{can_backup}{more}}}}}"#);
    json(body.into_bytes())
}
