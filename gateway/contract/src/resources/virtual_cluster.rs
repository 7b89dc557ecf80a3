//! `VirtualCluster`: a tenant with its own names for topics, groups and transactional ids.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acl::{AclMode, Acls};
use super::{ApiVersion, Declared, Kind, ResourceKey};

/// This kind's entry in the table of kinds.
pub const KIND: Kind = Kind::gateway("VirtualCluster", "/gateway/v2/virtual-cluster");

/// A tenant: to its clients it looks like a Kafka cluster of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualCluster {
    /// Always `VirtualCluster`.
    pub kind: VirtualClusterKind,
    /// Always `gateway/v2`.
    pub api_version: ApiVersion,
    /// Its name.
    pub metadata: VirtualClusterMetadata,
    /// What it is like.
    #[serde(default)]
    pub spec: VirtualClusterSpec,
}

impl VirtualCluster {
    /// A virtual cluster whose names are stored under `<name>.`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            kind: VirtualClusterKind::VirtualCluster,
            api_version: ApiVersion::GatewayV2,
            metadata: VirtualClusterMetadata { name: name.into(), labels: None },
            spec: VirtualClusterSpec::default(),
        }
    }

    /// The same with its names stored under `prefix`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.spec.namespace = Some(Namespace { prefix: Some(prefix.into()), ..Namespace::default() });
        self
    }
}

/// The `kind` of a [`VirtualCluster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum VirtualClusterKind {
    /// The only value.
    #[default]
    VirtualCluster,
}

/// `metadata` of a virtual cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualClusterMetadata {
    /// Unique name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of a virtual cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualClusterSpec {
    /// Whether access control applies: with it, nothing is allowed without a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_enabled: Option<bool>,
    /// Who keeps the rules; `KAFKA_API` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_mode: Option<AclMode>,
    /// The rules, where the operator keeps them (`aclMode: REST_API`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acls: Option<Acls>,
    /// Who may do everything: names of service accounts, or principals such as `User:admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub super_users: Option<Vec<String>>,
    /// A label for people: who the cluster is for.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// How its names are stored on the physical cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Filled in by the gateway in answers to GET; ignored in a PUT, so that an answer can be sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_servers: Option<String>,
    /// Ready-made client settings by mechanism; filled in and ignored like `bootstrapServers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_properties: Option<BTreeMap<String, BTreeMap<String, String>>>,
}

/// Who a virtual cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Audience {
    /// A team of one's own.
    Standard,
    /// Another organisation.
    Partner,
}

/// How a virtual cluster's names are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Namespace {
    /// Put before every topic, group and transactional id; `<name>.` if not given. No prefix may begin with another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What clients see of the prefix; `hide` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<NamespaceMode>,
    /// Topics and groups of the physical cluster that are in view under their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Vec<Exposed>>,
}

/// What clients see of a prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NamespaceMode {
    /// Nothing: it is put before their names.
    #[default]
    Hide,
    /// All of it: their names must begin with it.
    Enforce,
}

/// One thing of the physical cluster that is in view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exposed {
    /// A topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// A group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Declared for VirtualCluster {
    const KIND: Kind = KIND;

    fn key(&self) -> ResourceKey {
        ResourceKey::new(KIND, None, &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
