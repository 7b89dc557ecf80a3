//! Who may use the admin API: HTTP's basic authentication against the configured users. Without users, nobody.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Admin;
use super::answer::ApiError;
use crate::config::AdminUser;

pub(super) async fn check(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match user_of(&admin.users, request.headers()) {
        Some(user) if user.admin || request.method() == Method::GET => next.run(request).await,
        Some(user) => {
            let msg = format!("user '{}' may read only: changes need a user with admin: true", user.username);
            ApiError::forbidden(msg).into_response()
        }
        None => refuse(admin.users.is_empty()),
    }
}

fn refuse(nobody_may: bool) -> Response {
    if nobody_may {
        tracing::warn!("refused a request to the admin API: no user is configured (admin.users)");
    }
    let error = ApiError::unauthorized("give the name and password of an admin user by basic authentication");
    let mut answer = error.into_response();
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gateway\""));
    answer
}

/// Compares with every user, and digests of equal length only: the time tells neither which user was right nor how much of
/// a password was.
fn user_of<'a>(users: &'a [AdminUser], headers: &HeaderMap) -> Option<&'a AdminUser> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let given = BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let given = digest(&SHA256, &given);
    users.iter().fold(None, |found, user| {
        let expected = digest(&SHA256, format!("{}:{}", user.username, user.password.reveal()).as_bytes());
        if verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok() { Some(user) } else { found }
    })
}
