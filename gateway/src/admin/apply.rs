//! `POST /anabranch/v1/apply`: many documents at once, all or nothing, and what is not among them any more taken away.
//! `GET /anabranch/v1/export`: all that is declared, so that it can be applied again.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use contract::resources::{Kind, PASSTHROUGH, Resource, ResourceKey, UpsertResult};
use contract::strict::documents;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{ApiError, Text, query};
use super::roles::Asker;
use super::{Admin, secrets, stored};
use crate::store::Declarations;

/// `?dryMode=true&prune=app=shop`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApplyQuery {
    #[serde(default)]
    dry_mode: bool,
    prune: Option<Label>,
}

/// `?kind=Quota&label=app=shop&format=yaml`
#[derive(Debug, Deserialize)]
struct ExportQuery {
    kind: Option<String>,
    label: Option<Label>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Format {
    #[default]
    Json,
    Yaml,
}

/// Resources with a label: `app`, whatever its value, or `app=shop`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Label {
    name: String,
    value: Option<String>,
}

impl TryFrom<String> for Label {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').map_or((&*text, None), |(name, value)| (name, Some(value)));
        // Without a name everything would be meant.
        if name.is_empty() {
            return Err("a label is NAME or NAME=VALUE");
        }
        Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
    }
}

impl Label {
    fn is_on(&self, resource: &Resource) -> bool {
        let found = resource.labels().and_then(|labels| labels.get(&self.name));
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

/// What applying did to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Applied {
    /// As written in `kind:`.
    kind: &'static str,
    /// Its virtual cluster, for kinds that belong to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    v_cluster: Option<String>,
    /// Its name.
    name: String,
    /// What was done.
    result: AppliedResult,
}

/// What applying does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum AppliedResult {
    /// There was none of that name.
    Created,
    /// There was one and it differed.
    Updated,
    /// There was one and it was the same.
    NotChanged,
    /// It had the label of `prune` and was not among the documents.
    Deleted,
}

impl From<UpsertResult> for AppliedResult {
    fn from(result: UpsertResult) -> Self {
        match result {
            UpsertResult::Created => Self::Created,
            UpsertResult::Updated => Self::Updated,
            UpsertResult::NotChanged => Self::NotChanged,
        }
    }
}

fn applied(key: ResourceKey, result: AppliedResult) -> Applied {
    Applied { kind: key.kind, v_cluster: key.virtual_cluster, name: key.name, result }
}

pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
    Text(body): Text,
) -> Result<Json<Vec<Applied>>, ApiError> {
    let ApplyQuery { dry_mode, prune } = query(&uri)?;
    // Megabytes of YAML take longer than those who serve clients can wait.
    let read = tokio::task::spawn_blocking(move || read(&body)).await;
    let resources =
        read.unwrap_or_else(|_| Err(ApiError::internal("reading the documents was given up: try again")))?;
    resources.iter().try_for_each(|resource| asker.may_touch(&resource.key()))?;
    let wrong = resources.iter().filter_map(|resource| admin.check(resource).err()).collect::<Vec<_>>();
    if !wrong.is_empty() {
        return Err(ApiError::problems(&wrong));
    }
    let mut prepared = Vec::with_capacity(resources.len());
    for resource in resources {
        let key = resource.key();
        prepared.push(admin.prepare(resource).await.map_err(|error| error.about(&key.to_string()))?);
    }
    let change = |declared: &mut Declarations| {
        let mut done = Vec::with_capacity(prepared.len());
        for prepared in &prepared {
            let key = prepared.key();
            let result = prepared.put(declared).map_err(|error| error.about(&key.to_string()))?;
            done.push(applied(key, result.into()));
        }
        let kept = prepared.iter().map(stored::Prepared::key).collect::<BTreeSet<_>>();
        let gone = prune.as_ref().map(|label| prunable(declared, label, &kept, &asker)).unwrap_or_default();
        gone.iter().try_for_each(|key| stored::delete(declared, key))?;
        gone.iter().try_for_each(|key| stored::still_needed(declared, key))?;
        done.extend(gone.into_iter().map(|key| applied(key, AppliedResult::Deleted)));
        Ok(done)
    };
    let done = admin.change(&asker, dry_mode, change).await?;
    Ok(Json(done))
}

/// Every document, or everything that is wrong with any.
fn read(body: &[u8]) -> Result<Vec<Resource>, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::invalid("the body is not UTF-8"))?;
    // A file that was not found does not take away everything that has the label.
    if text.trim().is_empty() {
        return Err(ApiError::invalid("the body is empty; [] is a list without documents"));
    }
    let (documents, flaws) = documents::read_all(text);
    // Nor does a template out of which nothing came: `null`, comments.
    if documents.is_empty() && flaws.is_empty() && !text.trim_start().starts_with('[') {
        return Err(ApiError::invalid("the body holds no documents; [] is a list without any"));
    }
    if !flaws.is_empty() {
        return Err(ApiError::listed(flaws.iter().map(ToString::to_string)));
    }
    let mut seen = BTreeSet::new();
    let twice = documents.iter().filter(|document| !seen.insert(document.resource.key()));
    let twice =
        twice.map(|document| format!("document {}, {}: is declared twice", document.number, document.resource.key()));
    let twice = twice.collect::<Vec<_>>();
    if !twice.is_empty() {
        return Err(ApiError::listed(twice.into_iter()));
    }
    Ok(documents.into_iter().map(|document| document.resource).collect())
}

/// What has the label and is not among the documents, as far as whoever asks sees it. `passthrough` always stays.
fn prunable(declared: &Declarations, label: &Label, kept: &BTreeSet<ResourceKey>, asker: &Asker) -> Vec<ResourceKey> {
    let all = stored::all(declared).into_iter().rev();
    let gone = all.filter(|resource| label.is_on(resource) && asker.sees(resource, declared));
    let keys = gone.map(|resource| resource.key());
    let stays = |key: &ResourceKey| key.kind == "VirtualCluster" && key.name == PASSTHROUGH;
    keys.filter(|key| !kept.contains(key) && !stays(key)).collect()
}

pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let ExportQuery { kind, label, format } = query(&uri)?;
    let kind = kind.map(|name| {
        Kind::named(&name).ok_or_else(|| ApiError::invalid("the query: kind: there is no kind of this name"))
    });
    let kind = kind.transpose()?;
    let declared = admin.declare.now();
    let mut all = stored::all(&declared);
    all.retain(|resource| {
        kind.is_none_or(|kind| resource.kind() == kind)
            && label.as_ref().is_none_or(|label| label.is_on(resource))
            && asker.sees(resource, &declared)
    });
    let json = all.into_iter().map(|resource| secrets::hidden(resource).to_json());
    let json = json.collect::<Result<Vec<_>, _>>();
    let json = json.map_err(|error| ApiError::internal(format!("a resource cannot be written: {error}")))?;
    match format {
        Format::Json => Ok(Json(json).into_response()),
        Format::Yaml => {
            let documents =
                json.iter().map(|resource| serde_yaml::to_string(resource).map(|text| format!("---\n{text}")));
            let text = documents.collect::<Result<String, _>>();
            let text = text.map_err(|error| ApiError::internal(format!("a resource cannot be written: {error}")))?;
            Ok(([(CONTENT_TYPE, "application/yaml")], text).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_list_without_documents_only_if_it_says_so() {
        for nothing in ["", " \n", "null\n", "---\n", "# all of it is gone\n", "---\n---\n"] {
            assert_eq!(read(nothing.as_bytes()).map_err(|error| error.status.as_u16()), Err(400), "{nothing:?}");
        }
        assert_eq!(read(b"[]"), Ok(Vec::new()));
    }

    #[test]
    fn a_label_has_a_name() {
        let label = |text: &str| Label::try_from(text.to_owned());
        assert_eq!(label("app=a=b").map(|label| (label.name, label.value)), Ok(("app".into(), Some("a=b".into()))));
        assert_eq!(label("app").map(|label| label.value), Ok(None));
        assert!(label("").is_err() && label("=shop").is_err());
    }
}
