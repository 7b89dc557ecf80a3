//! `POST /anabranch/v1/apply` and `GET /anabranch/v1/export`: everything that is declared, at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ResourceKey, UpsertResult};

/// Takes many resources, YAML documents or JSON, all or nothing. `?dryMode=true` only says what would happen;
/// `?prune=<label>` or `<label>=<value>` deletes what has that label and is not among them. Answers a list of
/// [`Applied`]: one for each resource, in the order in which they came, then those that were deleted.
pub const APPLY: &str = "/anabranch/v1/apply";
/// Gives everything that is declared, as a list that can be applied again. Without secrets.
pub const EXPORT: &str = "/anabranch/v1/export";

/// What became of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Its kind.
    pub kind: String,
    /// Its virtual cluster, for kinds that belong to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
    /// Its name.
    pub name: String,
    /// Whether that changed anything.
    pub result: ApplyResult,
}

impl Applied {
    /// What became of the resource of that key.
    pub fn new(key: &ResourceKey, result: ApplyResult) -> Self {
        let ResourceKey { kind, virtual_cluster, name } = key.clone();
        Self { kind: kind.to_owned(), v_cluster: virtual_cluster, name, result }
    }
}

/// What an apply did with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplyResult {
    /// There was none of that name.
    Created,
    /// There was one and it differed.
    Updated,
    /// There was one and it was the same.
    NotChanged,
    /// It was there, and not among what was applied.
    Deleted,
}

impl From<UpsertResult> for ApplyResult {
    fn from(result: UpsertResult) -> Self {
        match result {
            UpsertResult::Created => Self::Created,
            UpsertResult::Updated => Self::Updated,
            UpsertResult::NotChanged => Self::NotChanged,
        }
    }
}
