//! `AliasTopic`: a name in a virtual cluster for a topic of the physical one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, Declared, Kind, PASSTHROUGH, ResourceKey};

/// A further name for a topic, also for one of another tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AliasTopic {
    /// Always `AliasTopic`.
    pub kind: AliasTopicKind,
    /// Always `gateway/v2`.
    pub api_version: ApiVersion,
    /// The name, and whose it is.
    pub metadata: AliasTopicMetadata,
    /// What it stands for.
    pub spec: AliasTopicSpec,
}

impl AliasTopic {
    /// The virtual cluster that has the name.
    pub fn virtual_cluster(&self) -> &str {
        self.metadata.v_cluster.as_deref().unwrap_or(PASSTHROUGH)
    }
}

/// The `kind` of an [`AliasTopic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AliasTopicKind {
    /// The only value.
    #[default]
    AliasTopic,
}

/// `metadata` of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AliasTopicMetadata {
    /// The topic's name in the virtual cluster.
    pub name: String,
    /// The virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AliasTopicSpec {
    /// The topic on the physical cluster.
    pub physical_name: String,
    /// The physical cluster; the only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_cluster: Option<String>,
    /// What clients may do with it; `read` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Which records they see; all if not given.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What clients may do with an alias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// Read.
    #[default]
    Read,
    /// Read and write.
    ReadWrite,
}

impl Declared for AliasTopic {
    const KIND: Kind = Kind::gateway("AliasTopic", "/gateway/v2/alias-topic").of_virtual_clusters();

    fn key(&self) -> ResourceKey {
        ResourceKey::new(Self::KIND, Some(self.virtual_cluster()), &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
