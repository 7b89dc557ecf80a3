//! Kinds that other gateways of this API have and this one does not have yet: asked for, there are none; a PUT says so.

use axum::Json;
use axum::http::Uri;
use contract::resources::KINDS;
use serde_json::Value;

use super::answer::ApiError;

pub(super) async fn none() -> Json<Vec<Value>> {
    Json(Vec::new())
}

pub(super) async fn not_supported(uri: Uri) -> ApiError {
    let served = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let path = uri.path();
    ApiError::invalid(format!("{path} is not supported yet: nothing of this kind can be declared; served are {served}"))
}

pub(super) async fn no_such() -> ApiError {
    ApiError::not_found("there is none of this name: nothing of this kind is supported yet")
}
