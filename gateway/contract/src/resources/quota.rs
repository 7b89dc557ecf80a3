//! `Quota`: how much of the physical cluster the clients of a virtual cluster may take.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Declared, Kind, OwnApiVersion, PASSTHROUGH, ResourceKey};

/// Limits for a virtual cluster as a whole, or for some of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Always `Quota`.
    pub kind: QuotaKind,
    /// Always `anabranch/v1`.
    pub api_version: OwnApiVersion,
    /// Its name and virtual cluster.
    pub metadata: QuotaMetadata,
    /// Whose limits, and which.
    #[serde(default)]
    pub spec: QuotaSpec,
}

impl Quota {
    /// The virtual cluster it limits.
    pub fn virtual_cluster(&self) -> &str {
        self.metadata.v_cluster.as_deref().unwrap_or(PASSTHROUGH)
    }
}

/// The `kind` of a [`Quota`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum QuotaKind {
    /// The only value.
    #[default]
    Quota,
}

/// `metadata` of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaMetadata {
    /// Unique in its virtual cluster.
    pub name: String,
    /// The virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Who sets a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SetBy {
    /// Whoever declares resources.
    #[default]
    Operator,
    /// Clients of the virtual cluster, by Kafka's AlterClientQuotas. Such a quota lifts none of the operator's.
    Clients,
}

/// `spec` of a quota. Without `user` and `clientId` it limits the virtual cluster as a whole, which holds beside what is said of
/// some of its clients; of those the most specific one holds, in Kafka's order, for each limit by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaSpec {
    /// The service account that it limits: all its connections together. `*` is each one that has no quota of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client id that it limits; `*` as for `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Who sets it; `OPERATOR` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<SetBy>,
    /// Bytes of Produce requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produce_bytes_per_second: Option<u64>,
    /// Bytes of Fetch answers a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch_bytes_per_second: Option<u64>,
    /// Requests of any kind a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// Connections at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<u64>,
    /// Partitions of all topics together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u64>,
    /// Bytes of all topics together, each replica counted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
}

impl Declared for Quota {
    const KIND: Kind = Kind::own("Quota", "/anabranch/v1/quota").of_virtual_clusters();

    fn key(&self) -> ResourceKey {
        ResourceKey::new(Self::KIND, Some(self.virtual_cluster()), &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
