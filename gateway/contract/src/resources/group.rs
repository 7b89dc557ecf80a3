//! `GatewayGroup`: service accounts together, for what is declared for several of them at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, Declared, Kind, ResourceKey};

/// A group of service accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayGroup {
    /// Always `GatewayGroup`.
    pub kind: GatewayGroupKind,
    /// Always `gateway/v2`.
    pub api_version: ApiVersion,
    /// Its name.
    pub metadata: GroupMetadata,
    /// Who belongs to it.
    #[serde(default)]
    pub spec: GroupSpec,
}

/// The `kind` of a [`GatewayGroup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum GatewayGroupKind {
    /// The only value.
    #[default]
    GatewayGroup,
}

/// `metadata` of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupMetadata {
    /// Unique name, 1 to 100 characters.
    pub name: String,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupSpec {
    /// Its service accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<GroupMember>>,
    /// What identity providers call the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_groups: Option<Vec<String>>,
}

/// A service account in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupMember {
    /// The account's name.
    pub name: String,
    /// Its virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
}

impl Declared for GatewayGroup {
    const KIND: Kind = Kind::gateway("GatewayGroup", "/gateway/v2/group");

    fn key(&self) -> ResourceKey {
        ResourceKey::new(Self::KIND, None, &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
