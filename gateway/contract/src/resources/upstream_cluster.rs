//! `UpstreamCluster`: a physical Kafka cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Declared, Kind, OwnApiVersion, ResourceKey};

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
    /// How it is at present: only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<UpstreamStatus>,
}

impl UpstreamCluster {
    /// One of a gateway's settings, as it is at present. How the gateway logs in to it is not shown.
    pub fn seen(name: &str, bootstrap_servers: Vec<String>, role: UpstreamRole, status: UpstreamStatus) -> Self {
        Self {
            kind: UpstreamClusterKind::UpstreamCluster,
            api_version: OwnApiVersion::default(),
            metadata: UpstreamClusterMetadata { name: name.to_owned(), labels: None },
            spec: UpstreamClusterSpec { bootstrap_servers, role: Some(role) },
            status: Some(status),
        }
    }
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
}

/// How a physical cluster is at present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamStatus {
    /// Whether it serves clients.
    pub active: bool,
    /// Whether it answered when it was last asked.
    pub reachable: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// The ids of its brokers, as far as they are known.
    pub brokers: Vec<i32>,
    /// Its own id, which clients of virtual clusters do not see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Since when it serves, where somebody switched to it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_since: Option<String>,
    /// Counts the switches that this gateway knows of.
    pub switch_epoch: u64,
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
