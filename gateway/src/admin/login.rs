//! Who asks: HTTP's basic authentication, or a bearer token (RFC 6750), against the configured users; and service accounts
//! that are super users of their virtual cluster, by the tokens they log in to Kafka with. Without users, nobody else.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use contract::secret::Secret;

use super::Admin;
use super::answer::ApiError;
use super::audited::{self, Caller};
use super::roles::{Asker, Needs};
use crate::config::{AdminRole, AdminUser};

/// Lets a request through to an operation that needs a role, with who asks.
pub(super) async fn check(
    State((admin, needs)): State<(Arc<Admin>, Needs)>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = Given::of(request.headers());
    let caller = Caller::of(&request, given.as_ref().and_then(Given::user_name));
    let Some(asker) = given.and_then(|given| admin.asker(&given)) else {
        caller.refused(&admin.audit, "no user of this name, wrong password or token, or none given");
        return refuse(admin.users().is_empty());
    };
    let caller = caller.named(&asker.name);
    match asker.lacks(needs) {
        None => {
            let _ = request.extensions_mut().insert(asker);
            if !matches!(*request.method(), Method::PUT | Method::DELETE) {
                admin.refresh().await;
            }
            audited::on_behalf(&admin, caller, next.run(request)).await
        }
        Some(why) => {
            caller.refused(&admin.audit, why);
            ApiError::forbidden(format!("'{}' {why}", asker.name)).into_response()
        }
    }
}

fn refuse(nobody_may: bool) -> Response {
    if nobody_may {
        tracing::warn!("refused a request to the admin API: no user is configured (admin.users)");
    }
    let told = "give the name and password of an admin user by basic authentication, or a token as bearer";
    let mut answer = ApiError::unauthorized(told).into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"gateway\", Bearer realm=\"gateway\"");
    let _ = answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

/// What a request brought along to prove who asks.
enum Given {
    /// Name and password with a colon in between.
    Basic(Vec<u8>),
    Bearer(String),
}

impl Given {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, given) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(given.trim().to_owned()));
        }
        BASE64_STANDARD.decode(given.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic")).map(Self::Basic)
    }

    /// What stands before the colon, and nothing where there is none: it could be the password.
    fn user_name(&self) -> Option<&str> {
        match self {
            Self::Basic(given) => std::str::from_utf8(given).ok()?.split_once(':').map(|(name, _)| name),
            Self::Bearer(_) => None,
        }
    }
}

impl Admin {
    fn asker(&self, given: &Given) -> Option<Asker> {
        let users = self.users();
        let user = match given {
            Given::Basic(given) => user_of(&users, given, |user| {
                let password = user.password.as_ref()?;
                Some(format!("{}:{}", user.username, password.reveal()))
            }),
            Given::Bearer(token) => {
                user_of(&users, token.as_bytes(), |user| user.token.as_ref().map(|token| token.reveal().to_owned()))
            }
        };
        let asker = |user: &AdminUser| Asker { name: user.username.as_str().into(), role: user.role.clone() };
        match (user, given) {
            (Some(user), _) => Some(asker(user)),
            (None, Given::Bearer(token)) => self.super_user(&Secret::new(token.as_str())),
            (None, Given::Basic(_)) => None,
        }
    }

    /// The account that a token was made for, where it may do everything in its virtual cluster: all others have no
    /// business here, and are refused like those that nobody knows.
    fn super_user(&self, token: &Secret) -> Option<Asker> {
        let claims = self.authenticator.tokens().verify(token.reveal(), SystemTime::now())?;
        let now = self.declare.now();
        let account = now.accounts.get(&(claims.vcluster.clone(), claims.username.clone()))?;
        let cluster = now.virtual_clusters.get(&claims.vcluster)?;
        let is_meant = |name: &String| *name == claims.username || name.strip_prefix("User:") == Some(&claims.username);
        let is_super = cluster.spec.super_users.iter().flatten().any(is_meant);
        let named = || Asker { name: account.username.to_string(), role: AdminRole::Tenant(claims.vcluster.clone()) };
        (account.is_local() && is_super).then(named)
    }
}

/// Compares with every user, and digests of equal length only: the time tells neither which user was right nor how much of
/// a password was.
fn user_of<'a>(
    users: &'a [AdminUser],
    given: &[u8],
    expected: impl Fn(&AdminUser) -> Option<String>,
) -> Option<&'a AdminUser> {
    let given = digest(&SHA256, given);
    users.iter().fold(None, |found, user| {
        let expected = expected(user).map(|expected| digest(&SHA256, expected.as_bytes()));
        let same =
            |expected: aws_lc_rs::digest::Digest| verify_slices_are_equal(given.as_ref(), expected.as_ref()).is_ok();
        if expected.is_some_and(same) { Some(user) } else { found }
    })
}
