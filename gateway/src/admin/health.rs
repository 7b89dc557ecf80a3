//! `/health`, `/health/live`, `/health/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::health::{Check, Health, Status};
use serde_json::{Map, Value};

use super::Admin;
use crate::observe::health::Part;

/// Not a bare number: tools for other gateways of this API compare it with theirs, and take 0.1.0 for a version that is too
/// old for them.
pub(super) const VERSION: &str = concat!("anabranch-", env!("CARGO_PKG_VERSION"));

/// The process answers: that is all.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// New clients are welcome, or why not.
pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Health>) {
    answer(parts(&admin))
}

/// What readiness depends on.
fn parts(admin: &Admin) -> Vec<Check> {
    let health = &admin.health;
    vec![check("upstream", health.upstream()), check("listeners", health.listeners()), check("state", health.state())]
}

fn answer(checks: Vec<Check>) -> (StatusCode, Json<Health>) {
    let down = checks.iter().any(|check| check.status == Status::Down);
    let (code, status) =
        if down { (StatusCode::SERVICE_UNAVAILABLE, Status::Down) } else { (StatusCode::OK, Status::Up) };
    (code, Json(Health { status, checks }))
}

pub(super) async fn all(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<Health>) {
    let version = [("version".to_owned(), Value::from(VERSION))];
    let build_info = Check { id: "buildInfo".into(), status: Status::Up, data: version.into_iter().collect() };
    let mut checks = vec![build_info];
    checks.extend(parts(&admin));
    // Clients are served with the old ones, so that restarting would make it worse.
    let health = &admin.health;
    for (id, trouble) in [
        ("certificates", health.certificates()),
        ("declarations", health.declarations()),
        ("settings", health.settings()),
    ] {
        let Some(trouble) = trouble else { continue };
        let data = [("warning".to_owned(), Value::from(trouble))].into_iter().collect();
        checks.push(Check { id: id.to_owned(), status: Status::Up, data });
    }
    answer(checks)
}

fn check(id: &str, part: Part) -> Check {
    let (status, key, text) = match part {
        Part::Up(detail) => (Status::Up, "detail", detail),
        Part::Down(reason) => (Status::Down, "reason", reason),
    };
    let data = [(key.to_owned(), Value::from(text))].into_iter().collect::<Map<_, _>>();
    Check { id: id.to_owned(), status, data }
}
