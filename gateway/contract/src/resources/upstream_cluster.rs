//! `UpstreamCluster`: a physical Kafka cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Declared, Kind, OwnApiVersion, ResourceKey};
use crate::secret::Secret;

/// A physical cluster and its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamCluster {
    /// Always `UpstreamCluster`.
    pub kind: UpstreamClusterKind,
    /// Always `anabranch/v1`.
    pub api_version: OwnApiVersion,
    /// Its name.
    pub metadata: UpstreamClusterMetadata,
    /// How it is reached.
    pub spec: UpstreamClusterSpec,
}

/// The `kind` of an [`UpstreamCluster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamClusterKind {
    /// The only value.
    #[default]
    UpstreamCluster,
}

/// `metadata` of a physical cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamClusterMetadata {
    /// Unique name.
    pub name: String,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of a physical cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamClusterSpec {
    /// Where to begin, as `host:port`.
    pub bootstrap_servers: Vec<String>,
    /// Its part; `main` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<UpstreamRole>,
    /// Kafka's client properties for connections to it (`security.protocol`, `sasl.…`, `ssl.…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeMap<String, Secret>>,
}

/// The part of a physical cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UpstreamRole {
    /// It serves clients unless somebody switches.
    #[default]
    Main,
    /// It takes over when somebody switches.
    Failover,
}

impl Declared for UpstreamCluster {
    const KIND: Kind = Kind::own("UpstreamCluster", "/anabranch/v1/upstream-cluster");

    fn key(&self) -> ResourceKey {
        ResourceKey::new(Self::KIND, None, &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
