//! `/service-account`: who may log in.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use contract::resources::service_account::{ServiceAccountFilter, ServiceAccountId};
use contract::resources::{AccountType, GatewayServiceAccount, PASSTHROUGH, Upserted};
use contract::secret::Secret;

use super::Admin;
use super::answer::{ApiError, PutQuery, parse, query};
use super::declare::upsert_result;
use crate::authn::Account;
use crate::authn::credentials::Credentials;
use crate::store::Declarations;
use crate::world::check_password;

pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
) -> Result<Json<Vec<GatewayServiceAccount>>, ApiError> {
    let filter: ServiceAccountFilter = query(&uri)?;
    let matches = |account: &&Arc<Account>| {
        filter.vcluster.as_deref().is_none_or(|vcluster| vcluster == &*account.virtual_cluster)
            && filter.name.as_deref().is_none_or(|name| name == &*account.username)
            && filter.account_type.is_none_or(|wanted| wanted == account.declared.spec.account_type)
    };
    let answer = |account: &Arc<Account>| {
        let mut declared = account.declared.clone();
        if filter.show_defaults == Some(true) {
            declared.metadata.v_cluster = Some(account.virtual_cluster.to_string());
        }
        declared
    };
    Ok(Json(admin.declare.now().accounts.values().filter(matches).map(answer).collect()))
}

pub(super) async fn put(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Upserted<GatewayServiceAccount>>, ApiError> {
    let PutQuery { dry_mode } = query(&uri)?;
    let mut resource: GatewayServiceAccount = parse(&body)?;
    check_password(&resource).map_err(|problem| ApiError::problems(&[problem]))?;
    let password = resource.spec.password.take();
    let is_local = resource.spec.account_type == AccountType::Local;
    let key = (resource.virtual_cluster().to_owned(), resource.metadata.name.clone());
    let old = admin.declare.now().accounts.get(&key).cloned();
    // What a local account knew is worth nothing to the external one that takes its place.
    let old = old.filter(|_| is_local).and_then(|old| old.credentials.clone());
    let credentials = credentials(old, password).await?;
    let account = Arc::new(Account::new(resource.clone(), credentials));
    let change = |declared: &mut Declarations| {
        let old = declared.accounts.insert(key, Arc::clone(&account));
        Ok(upsert_result(old.as_ref(), &account))
    };
    let upsert_result = admin.declare.change(dry_mode, change).await?;
    Ok(Json(Upserted { resource, upsert_result }))
}

/// The verifiers of the password, or those that there are if none is given or it is still the same.
async fn credentials(old: Option<Credentials>, password: Option<Secret>) -> Result<Option<Credentials>, ApiError> {
    let Some(password) = password else { return Ok(old) };
    // Deriving takes milliseconds of CPU, which the threads that serve clients do not have.
    let derived = tokio::task::spawn_blocking(move || match old {
        Some(old) if old.is_password(password.reveal()) => Ok(old),
        _ => Credentials::from_password(password.reveal()),
    });
    match derived.await {
        Ok(Ok(credentials)) => Ok(Some(credentials)),
        _ => Err(ApiError::internal("the system gave no random salt for the password: try again")),
    }
}

pub(super) async fn delete(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<StatusCode, ApiError> {
    let id: ServiceAccountId = parse(&body)?;
    let vcluster = id.v_cluster.unwrap_or_else(|| PASSTHROUGH.to_owned());
    let key = (vcluster, id.name);
    let change = |declared: &mut Declarations| match declared.accounts.remove(&key) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::not_found(format!("there is no service account '{}' in '{}'", key.1, key.0))),
    };
    admin.declare.change(false, change).await
}
