//! `/health`, `/health/live`, `/health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::health::{Check, Health, Status};
use serde_json::{Map, Value};

use super::Admin;
use crate::observe::health::Part;

/// The process answers: that is all.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// New clients are welcome.
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> StatusCode {
    if admin.health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn all(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Health>) {
    let version = [("version".to_owned(), Value::from(env!("CARGO_PKG_VERSION")))];
    let build_info = Check { id: "buildInfo".into(), status: Status::Up, data: version.into_iter().collect() };
    let upstream = check("upstream", admin.health.upstream());
    let listeners = check("listeners", admin.health.listeners());
    let mut checks = vec![build_info, upstream, listeners];
    if let Some(trouble) = admin.health.certificates() {
        // Clients are served with the old ones, so that restarting would make it worse.
        let data = [("warning".to_owned(), Value::from(trouble))].into_iter().collect();
        checks.push(Check { id: "certificates".into(), status: Status::Up, data });
    }
    let down = checks.iter().any(|check| check.status == Status::Down);
    let (code, status) =
        if down { (StatusCode::SERVICE_UNAVAILABLE, Status::Down) } else { (StatusCode::OK, Status::Up) };
    (code, Json(Health { status, checks }))
}

fn check(id: &str, part: Part) -> Check {
    let (status, key, text) = match part {
        Part::Up(detail) => (Status::Up, "detail", detail),
        Part::Down(reason) => (Status::Down, "reason", reason),
    };
    let data = [(key.to_owned(), Value::from(text))].into_iter().collect::<Map<_, _>>();
    Check { id: id.to_owned(), status, data }
}
