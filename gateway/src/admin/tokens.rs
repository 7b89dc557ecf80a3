//! `POST /token`: a password with an end, for a local account.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::{Extension, Json};
use contract::resources::{PASSTHROUGH, ResourceKey, TokenResponse, service_account};
use contract::secret::Secret;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Admin;
use super::answer::{ApiError, Text, parse};
use super::roles::Asker;
use crate::authn::tokens::Claims;

/// A [`contract::resources::TokenRequest`], and what some tools send along with it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    v_cluster: Option<String>,
    username: String,
    life_time_seconds: i64,
    /// The token of an earlier answer, which tools that keep the answer as their state send back: it says nothing.
    #[serde(rename = "token")]
    _former: Option<Secret>,
}

pub(super) async fn issue(
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    Text(body): Text,
) -> Result<Json<TokenResponse>, ApiError> {
    let request: Asked = parse(&body)?;
    let username = request.username;
    let vcluster = request.v_cluster.unwrap_or_else(|| PASSTHROUGH.to_owned());
    asker.may_touch(&ResourceKey::new(service_account::KIND, Some(&vcluster), &username))?;
    let key = (vcluster.clone(), username.clone());
    match admin.declare.now().accounts.get(&key) {
        Some(account) if account.is_local() => {}
        Some(_) => {
            return Err(ApiError::conflict(format!(
                "service account '{username}' in '{vcluster}' is EXTERNAL: it gets its tokens or certificates from \
                 whoever vouches for it; only LOCAL accounts get tokens here"
            )));
        }
        None => return Err(ApiError::not_found(format!("there is no service account '{username}' in '{vcluster}'"))),
    }
    let life_time = u64::try_from(request.life_time_seconds).ok().filter(|seconds| *seconds > 0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let exp = life_time.and_then(|seconds| now.checked_add(seconds));
    let claims = exp.map(|exp| Claims { username, vcluster, exp }).filter(|claims| claims.expires_at().is_some());
    let claims = claims.ok_or_else(|| {
        ApiError::invalid(format!("lifeTimeSeconds: {} is not a time from now", request.life_time_seconds))
    })?;
    let token = admin.authenticator.tokens().issue(&claims);
    let token = token.map_err(|error| ApiError::internal(format!("the token could not be written: {error}")))?;
    Ok(Json(TokenResponse { token }))
}
