//! The resources of the admin API: what an operator declares, in YAML or JSON.
//!
//! Every resource has `apiVersion`, `kind`, `metadata` and `spec`. An unknown field is an error, never ignored. A field
//! that was not given is not written back, so that the answer to a PUT is exactly what was accepted.

pub mod acl;
pub mod alias_topic;
pub mod apply;
pub mod group;
pub mod identity_provider;
pub mod quota;
pub mod schema;
pub mod service_account;
pub mod token;
pub mod upstream_cluster;
pub mod virtual_cluster;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use alias_topic::AliasTopic;
pub use group::GatewayGroup;
pub use identity_provider::IdentityProvider;
pub use quota::Quota;
pub use service_account::{AccountType, GatewayServiceAccount};
pub use token::{TokenRequest, TokenResponse};
pub use upstream_cluster::UpstreamCluster;
pub use virtual_cluster::VirtualCluster;

/// The virtual cluster that always exists and renames nothing.
pub const PASSTHROUGH: &str = "passthrough";

/// One kind of resource and where the admin API serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// As written in `kind:`.
    pub name: &'static str,
    /// As written in `apiVersion:`.
    pub api_version: &'static str,
    /// The path of its collection.
    pub path: &'static str,
    /// Whether its resources belong to a virtual cluster each.
    pub in_virtual_cluster: bool,
}

impl Kind {
    /// A kind of `gateway/v2`.
    pub const fn gateway(name: &'static str, path: &'static str) -> Self {
        Self { name, api_version: "gateway/v2", path, in_virtual_cluster: false }
    }

    /// A kind of `anabranch/v1`.
    pub const fn own(name: &'static str, path: &'static str) -> Self {
        Self { name, api_version: "anabranch/v1", path, in_virtual_cluster: false }
    }

    /// The same for resources that belong to a virtual cluster each.
    #[must_use]
    pub const fn of_virtual_clusters(self) -> Self {
        Self { in_virtual_cluster: true, ..self }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.name == name)
    }
}

/// The version of the API that a resource of `gateway/v2` is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// `gateway/v2`
    #[default]
    #[serde(rename = "gateway/v2")]
    GatewayV2,
}

/// The version of the API that a resource of `anabranch/v1` is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OwnApiVersion {
    /// `anabranch/v1`
    #[default]
    #[serde(rename = "anabranch/v1")]
    AnabranchV1,
}

/// What every kind of resource has.
pub trait Declared: Clone + PartialEq + Serialize + DeserializeOwned + JsonSchema + Into<Resource> {
    /// Its entry in [`KINDS`].
    const KIND: Kind;

    /// What tells it apart from all others.
    fn key(&self) -> ResourceKey;

    /// The labels under `metadata`.
    fn labels(&self) -> Option<&BTreeMap<String, String>>;
}

/// Names one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceKey {
    /// As written in `kind:`.
    pub kind: &'static str,
    /// The virtual cluster, for kinds that belong to one.
    pub virtual_cluster: Option<String>,
    /// The name under `metadata`.
    pub name: String,
}

impl ResourceKey {
    /// The key of a resource of this kind.
    pub fn new(kind: Kind, virtual_cluster: Option<&str>, name: &str) -> Self {
        Self { kind: kind.name, virtual_cluster: virtual_cluster.map(str::to_owned), name: name.to_owned() }
    }

    /// Reads what [`fmt::Display`] writes; `None` for a kind that is not served.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        let kind = Kind::named(kind)?;
        if !kind.in_virtual_cluster {
            return Some(Self::new(kind, None, rest));
        }
        let (virtual_cluster, name) = rest.split_once('/')?;
        Some(Self::new(kind, Some(virtual_cluster), name))
    }
}

/// `Quota/dev/limits`, or `GatewayGroup/team`: no virtual cluster's name holds a slash.
impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, virtual_cluster, name } = self;
        match virtual_cluster {
            Some(virtual_cluster) => write!(f, "{kind}/{virtual_cluster}/{name}"),
            None => write!(f, "{kind}/{name}"),
        }
    }
}

/// Everything that is said once per kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Any resource, told apart by its `kind`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Resource {
            $($(#[$doc])* $name($name)),+
        }

        /// Every kind that the gateway serves, in the order in which resources can be made.
        pub const KINDS: &[Kind] = &[$(<$name as Declared>::KIND),+];

        impl Resource {
            /// The kind's entry in [`KINDS`].
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name(_) => <$name as Declared>::KIND),+ }
            }

            /// What tells it apart from all others.
            pub fn key(&self) -> ResourceKey {
                match self { $(Self::$name(resource) => resource.key()),+ }
            }

            /// The labels under `metadata`.
            pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
                match self { $(Self::$name(resource) => resource.labels()),+ }
            }

            /// As JSON.
            ///
            /// # Errors
            /// None for resources that came in as JSON or YAML.
            pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self { $(Self::$name(resource) => serde_json::to_value(resource)),+ }
            }

            /// The JSON Schema of a kind; `None` for a kind that is not served.
            pub fn schema(kind: &str) -> Option<serde_json::Value> {
                $(if kind == <$name as Declared>::KIND.name {
                    return Some(schema::of::<$name>());
                })+
                None
            }

            /// The resource of a kind in JSON; `None` for a kind that is not served.
            ///
            /// # Errors
            /// What is not as the kind says.
            pub fn from_json(kind: &str, json: &[u8]) -> Option<Result<Self, serde_json::Error>> {
                $(if kind == <$name as Declared>::KIND.name {
                    return Some(serde_json::from_slice::<$name>(json).map(Self::$name));
                })+
                None
            }
        }

        $(impl From<$name> for Resource {
            fn from(resource: $name) -> Self {
                Self::$name(resource)
            }
        }

        impl<'a> TryFrom<&'a Resource> for &'a $name {
            type Error = ();

            fn try_from(resource: &'a Resource) -> Result<Self, ()> {
                match resource {
                    Resource::$name(resource) => Ok(resource),
                    _ => Err(()),
                }
            }
        })+
    };
}

kinds! {
    /// A physical cluster.
    UpstreamCluster,
    /// Who else's tokens are believed.
    IdentityProvider,
    /// A tenant.
    VirtualCluster,
    /// A further name for a topic.
    AliasTopic,
    /// Who may log in, and into which virtual cluster.
    GatewayServiceAccount,
    /// Service accounts together.
    GatewayGroup,
    /// How much clients may take.
    Quota,
}

/// What a PUT did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upserted<T> {
    /// Exactly what was accepted, without secrets and without what only the gateway fills in.
    pub resource: T,
    /// Whether that changed anything.
    pub upsert_result: UpsertResult,
}

/// The body of every error answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
