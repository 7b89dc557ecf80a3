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
use super::audited::{self, Caller};
use crate::config::AdminUser;

pub(super) async fn check(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let given = credentials(request.headers());
    let caller = Caller::of(&request, given.as_deref().and_then(user_name));
    match given.as_deref().and_then(|given| user_of(&admin.users, given)) {
        Some(user) if user.admin || request.method() == Method::GET => {
            audited::on_behalf(&admin, caller, next.run(request)).await
        }
        Some(user) => {
            caller.refused(&admin.audit, "may read only");
            let msg = format!("user '{}' may read only: changes need a user with admin: true", user.username);
            ApiError::forbidden(msg).into_response()
        }
        None => {
            caller.refused(&admin.audit, "no user of this name, wrong password, or none given");
            refuse(admin.users.is_empty())
        }
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

/// Name and password with a colon in between, as they were given.
fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))
}

/// What stands before the colon, and nothing where there is none: it could be the password.
fn user_name(given: &[u8]) -> Option<&str> {
    std::str::from_utf8(given).ok()?.split_once(':').map(|(name, _)| name)
}

/// Compares with every user, and digests of equal length only: the time tells neither which user was right nor how much of
/// a password was.
fn user_of<'a>(users: &'a [AdminUser], given: &[u8]) -> Option<&'a AdminUser> {
    let given = digest(&SHA256, given);
    users.iter().fold(None, |found, user| {
        let expected = digest(&SHA256, format!("{}:{}", user.username, user.password.reveal()).as_bytes());
        if verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok() { Some(user) } else { found }
    })
}
