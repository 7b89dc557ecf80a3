//! The routes of the kinds that have none of their own.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use contract::resources::{Declared, PASSTHROUGH, Resource, ResourceKey, Upserted};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Admin;
use super::answer::{ApiError, PutQuery, parse, query};
use super::declare::upsert_result;
use crate::store::Declarations;

/// `?name=&vcluster=`
#[derive(Debug, Default, Deserialize)]
struct Filter {
    name: Option<String>,
    vcluster: Option<String>,
}

/// Names one resource, as the body of a DELETE.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Named {
    name: String,
    v_cluster: Option<String>,
}

/// The routes of a kind: its collection, and below it, where its names need no virtual cluster, each resource.
pub(super) fn routes<T>() -> Router<Arc<Admin>>
where
    T: Declared + Send + Sync + 'static,
    for<'a> &'a T: TryFrom<&'a Resource>,
{
    let (path, one) = (T::KIND.path, format!("{}/{{name}}", T::KIND.path));
    if T::KIND.in_virtual_cluster {
        return Router::new().route(path, get(list::<T>).put(put::<T>).delete(delete_named::<T>));
    }
    Router::new().route(path, get(list::<T>).put(put::<T>)).route(&one, get(one_of::<T>).delete(delete::<T>))
}

async fn list<T>(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<Vec<T>>, ApiError>
where
    T: Declared,
    for<'a> &'a T: TryFrom<&'a Resource>,
{
    let filter: Filter = query(&uri)?;
    let now = admin.declare.now();
    let wanted = |key: &ResourceKey| {
        filter.name.as_ref().is_none_or(|name| *name == key.name)
            && filter.vcluster.as_deref().is_none_or(|vcluster| Some(vcluster) == key.virtual_cluster.as_deref())
    };
    Ok(Json(now.of::<T>().filter(|resource| wanted(&resource.key())).cloned().collect()))
}

async fn one_of<T>(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Result<Json<T>, ApiError>
where
    T: Declared,
    for<'a> &'a T: TryFrom<&'a Resource>,
{
    let now = admin.declare.now();
    let found = now.of::<T>().find(|resource| resource.key().name == name).cloned();
    found.map(Json).ok_or_else(|| none_such(&ResourceKey::new(T::KIND, None, &name)))
}

async fn put<T: Declared>(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Upserted<T>>, ApiError> {
    let PutQuery { dry_mode } = query(&uri)?;
    let resource: T = parse(&body)?;
    let change = |declared: &mut Declarations| {
        let new: Resource = resource.clone().into();
        let old = declared.others.insert(new.key(), new.clone());
        Ok(upsert_result(old.as_ref(), &new))
    };
    let upsert_result = admin.declare.change(dry_mode, change).await?;
    Ok(Json(Upserted { resource, upsert_result }))
}

async fn delete<T: Declared>(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    remove(&admin, &ResourceKey::new(T::KIND, None, &name)).await
}

async fn delete_named<T: Declared>(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<StatusCode, ApiError> {
    let Named { name, v_cluster } = parse(&body)?;
    let cluster = v_cluster.unwrap_or_else(|| PASSTHROUGH.to_owned());
    remove(&admin, &ResourceKey::new(T::KIND, Some(&cluster), &name)).await
}

async fn remove(admin: &Admin, key: &ResourceKey) -> Result<StatusCode, ApiError> {
    let change = |declared: &mut Declarations| match declared.others.remove(key) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(none_such(key)),
    };
    admin.declare.change(false, change).await
}

fn none_such(key: &ResourceKey) -> ApiError {
    ApiError::not_found(format!("there is no {key}"))
}
