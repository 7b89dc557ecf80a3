//! The resources of the admin API: what an operator declares, in YAML or JSON.
//!
//! Every resource has `apiVersion`, `kind`, `metadata` and `spec`. An unknown field is an error, never ignored. A field
//! that was not given is not written back, so that the answer to a PUT is exactly what was accepted.

pub mod acl;
pub mod service_account;
pub mod token;
pub mod virtual_cluster;

use serde::{Deserialize, Serialize};

pub use service_account::{AccountType, GatewayServiceAccount};
pub use token::{TokenRequest, TokenResponse};
pub use virtual_cluster::VirtualCluster;

/// The virtual cluster that always exists and renames nothing.
pub const PASSTHROUGH: &str = "passthrough";

/// One kind of resource and where the admin API serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As written in `kind:`.
    pub name: &'static str,
    /// The path of its collection.
    pub path: &'static str,
}

/// Every kind of `gateway/v2` that the gateway serves.
pub const KINDS: &[Kind] = &[virtual_cluster::KIND, service_account::KIND];

/// The version of the API that a resource is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ApiVersion {
    /// `gateway/v2`
    #[default]
    #[serde(rename = "gateway/v2")]
    GatewayV2,
}

/// Any resource, told apart by its `kind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A tenant.
    VirtualCluster(VirtualCluster),
    /// Who may log in, and into which virtual cluster.
    GatewayServiceAccount(GatewayServiceAccount),
}

impl Resource {
    /// The kind's entry in [`KINDS`].
    pub fn kind(&self) -> Kind {
        match self {
            Self::VirtualCluster(_) => virtual_cluster::KIND,
            Self::GatewayServiceAccount(_) => service_account::KIND,
        }
    }

    /// The name under `metadata`.
    pub fn name(&self) -> &str {
        match self {
            Self::VirtualCluster(cluster) => &cluster.metadata.name,
            Self::GatewayServiceAccount(account) => &account.metadata.name,
        }
    }
}

/// What a PUT did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpsertResult {
    /// There was none of that name.
    Created,
    /// There was one and it differed.
    Updated,
    /// There was one and it was the same.
    NotChanged,
}

/// The answer to a PUT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upserted<T> {
    /// Exactly what was accepted, without secrets and without what only the gateway fills in.
    pub resource: T,
    /// Whether that changed anything.
    pub upsert_result: UpsertResult,
}

/// The body of every error answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The kind of error, in a few words.
    pub title: String,
    /// What happened, to what, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// The problems, one a line, each with its path in the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}
