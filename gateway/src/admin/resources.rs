//! The routes of every kind: its collection, and below it, where its names need no virtual cluster, each resource.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use contract::resources::{AccountType, Declared, Kind, PASSTHROUGH, Resource, ResourceKey, Upserted, VirtualCluster};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{ApiError, Name, PutQuery, Text, parse, query};
use super::revisions::{self, Condition};
use super::roles::Asker;
use super::{Admin, secrets, stored, virtual_clusters};
use crate::store::Declarations;

/// What a list may be asked for; which of it a kind takes says the table of operations.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    name: Option<String>,
    vcluster: Option<String>,
    #[serde(rename = "type")]
    account_type: Option<AccountType>,
    #[serde(default)]
    show_defaults: bool,
}

/// Names one resource of a virtual cluster, as the body of a DELETE.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Named {
    /// The resource's name.
    name: String,
    /// Its virtual cluster; `passthrough` if not given.
    v_cluster: Option<String>,
}

impl Filter {
    fn takes(&self, resource: &Resource) -> bool {
        let key = resource.key();
        self.name.as_ref().is_none_or(|name| *name == key.name)
            && self.vcluster.as_deref().is_none_or(|vcluster| key.virtual_cluster.as_deref() == Some(vcluster))
            && self.account_type.is_none_or(|wanted| match resource {
                Resource::GatewayServiceAccount(account) => account.spec.account_type == wanted,
                _ => true,
            })
    }
}

impl Admin {
    /// What is declared and what holds without being declared, as far as somebody sees it.
    pub(super) fn seen_by(&self, asker: &Asker, declared: &Declarations) -> Vec<Resource> {
        let mut all = stored::all(declared);
        if !declared.virtual_clusters.contains_key(PASSTHROUGH) {
            let behind = all.iter().rposition(|resource| matches!(resource, Resource::VirtualCluster(_)));
            let first = all.iter().position(|resource| !before_clusters(resource)).unwrap_or(all.len());
            all.insert(behind.map_or(first, |last| last + 1), self.declare.passthrough().into());
        }
        all.retain(|resource| asker.sees(resource, declared));
        all
    }

    /// The resource as an answer shows it.
    fn shown(&self, resource: Resource) -> Result<Value, ApiError> {
        let resource = match secrets::hidden(resource) {
            Resource::VirtualCluster(cluster) => virtual_clusters::filled_in(cluster, self).into(),
            resource => resource,
        };
        resource.to_json().map_err(|error| ApiError::internal(format!("{} cannot be written: {error}", resource.key())))
    }
}

fn before_clusters(resource: &Resource) -> bool {
    matches!(resource, Resource::UpstreamCluster(_) | Resource::IdentityProvider(_))
}

pub(super) async fn list(
    kind: Kind,
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Result<Json<Vec<Value>>, ApiError> {
    let filter: Filter = query(&uri)?;
    let wanted = admin.seen_by(&asker, &admin.declare.now()).into_iter();
    let wanted = wanted.filter(|resource| resource.kind() == kind && filter.takes(resource));
    let shown = wanted.map(|resource| {
        let cluster = resource.key().virtual_cluster;
        let mut shown = admin.shown(resource)?;
        if let (true, Some(cluster)) = (filter.show_defaults, cluster) {
            shown["metadata"]["vCluster"] = cluster.into();
        }
        Ok(shown)
    });
    Ok(Json(shown.collect::<Result<_, ApiError>>()?))
}

pub(super) async fn one(
    kind: Kind,
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    Name(name): Name,
) -> Result<Response, ApiError> {
    let key = ResourceKey::new(kind, None, &name);
    let declared = admin.declare.now();
    let default =
        || (kind.name == VirtualCluster::KIND.name && name == PASSTHROUGH).then(|| admin.declare.passthrough());
    let found = stored::find(&declared, &key).or_else(|| default().map(Resource::from));
    let found = found.filter(|resource| asker.sees(resource, &declared)).ok_or_else(|| stored::none_such(&key))?;
    let tag = revisions::of(&found, &declared);
    Ok(tagged(&tag, Json(admin.shown(found)?).into_response()))
}

pub(super) async fn put<T: Declared + Send>(
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    uri: Uri,
    Text(body): Text,
) -> Result<Response, ApiError> {
    let PutQuery { dry_mode } = query(&uri)?;
    let condition = Condition::read(&headers);
    let resource: T = parse(&body)?;
    asker.may_touch(&resource.key())?;
    let prepared = admin.prepare(resource.into()).await?;
    let change = |declared: &mut Declarations| {
        condition.check(&prepared.key(), declared)?;
        let upsert_result = prepared.put(declared)?;
        let tag = stored::find(declared, &prepared.key()).map(|resource| revisions::of(&resource, declared));
        Ok((upsert_result, tag.unwrap_or_default()))
    };
    let (upsert_result, tag) = admin.change(&asker, dry_mode, change).await?;
    let resource = prepared.shown().to_json();
    let resource = resource.map_err(|error| ApiError::internal(format!("the answer cannot be written: {error}")))?;
    Ok(tagged(&tag, Json(Upserted { resource, upsert_result }).into_response()))
}

pub(super) async fn delete(
    kind: Kind,
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    Name(name): Name,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    admin.remove(&asker, &ResourceKey::new(kind, None, &name), &Condition::read(&headers), &uri).await
}

pub(super) async fn delete_named(
    kind: Kind,
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    headers: HeaderMap,
    uri: Uri,
    Text(body): Text,
) -> Result<StatusCode, ApiError> {
    let Named { name, v_cluster } = parse(&body)?;
    let cluster = v_cluster.unwrap_or_else(|| PASSTHROUGH.to_owned());
    admin.remove(&asker, &ResourceKey::new(kind, Some(&cluster), &name), &Condition::read(&headers), &uri).await
}

impl Admin {
    async fn remove(
        &self,
        asker: &Asker,
        key: &ResourceKey,
        condition: &Condition,
        uri: &Uri,
    ) -> Result<StatusCode, ApiError> {
        let PutQuery { dry_mode } = query(uri)?;
        asker.may_delete(key)?;
        let change = |declared: &mut Declarations| {
            condition.check(key, declared)?;
            stored::delete(declared, key)?;
            stored::still_needed(declared, key)
        };
        self.change(asker, dry_mode, change).await?;
        Ok(StatusCode::NO_CONTENT)
    }

    /// Changes what is declared, if whoever asks may make each step of it.
    pub(super) async fn change<T>(
        &self,
        asker: &Asker,
        dry_run: bool,
        change: impl FnOnce(&mut Declarations) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let changed = |declared: &mut Declarations| {
            let before = declared.clone();
            let answer = change(declared)?;
            before.changes_to(declared).iter().try_for_each(|step| asker.may(&before, step))?;
            Ok(answer)
        };
        self.declare.change(dry_run, changed).await.map_err(|error| asker.told(error))
    }
}

fn tagged(tag: &str, mut answer: Response) -> Response {
    if let Some(tag) = revisions::header(tag) {
        let _ = answer.headers_mut().insert(ETAG, tag);
    }
    answer
}
