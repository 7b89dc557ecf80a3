//! The world as sessions see it: which virtual clusters and accounts there are. Immutable; a change is a new world.

mod acls;
mod build;
mod names;
mod others;
mod passwords;
mod quotas;
mod views;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use contract::resources::acl::AclMode;

use crate::authn::{Account, AccountLookup};
use crate::authz::Authorizer;
use crate::naming::prefix::Namespace;
use crate::quotas::rules::Rules;

pub use acls::{MOST_RULES, Wrong, check_rule, is_super_user};
pub use build::{build, prefix_of};
pub use passwords::check_password;

/// All virtual clusters and accounts at one moment.
///
/// Invariants: `passthrough` exists; no prefix begins with another; every account's virtual cluster exists; a user name
/// and an external name belong to one account each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    virtual_clusters: BTreeMap<Arc<str>, Arc<VirtualCluster>>,
    accounts: BTreeMap<Arc<str>, Arc<Account>>,
    /// The external accounts once more, by each of their external names.
    external: BTreeMap<String, Arc<Account>>,
}

/// A tenant at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualCluster {
    pub name: Arc<str>,
    /// Put before its names on the physical cluster; `None` for `passthrough`, which renames nothing.
    pub prefix: Option<Arc<str>>,
    /// What its clients call what is on the physical cluster.
    pub namespace: Namespace,
    /// What its clients see as the cluster's id: stable, and different for every virtual cluster.
    pub cluster_id: String,
    /// What its clients may do.
    pub authorizer: Arc<Authorizer>,
    /// Who keeps the rules that the authorizer decides by.
    pub acl_mode: AclMode,
    /// How much its clients may take, where a quota is declared.
    pub quotas: Option<Arc<Rules>>,
}

impl World {
    /// The world before anything is declared: `passthrough` and nobody.
    pub fn empty() -> Self {
        let passthrough = Arc::new(VirtualCluster::passthrough());
        let virtual_clusters = [(Arc::clone(&passthrough.name), passthrough)].into();
        Self { virtual_clusters, accounts: BTreeMap::new(), external: BTreeMap::new() }
    }

    pub fn virtual_cluster(&self, name: &str) -> Option<&Arc<VirtualCluster>> {
        self.virtual_clusters.get(name)
    }

    /// The accounts of one virtual cluster.
    pub fn accounts_of(&self, virtual_cluster: &str) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values().filter(move |account| *account.virtual_cluster == *virtual_cluster)
    }

    pub fn virtual_clusters(&self) -> impl Iterator<Item = &Arc<VirtualCluster>> {
        self.virtual_clusters.values()
    }
}

impl AccountLookup for World {
    fn account(&self, username: &str) -> Option<Arc<Account>> {
        self.accounts.get(username).cloned()
    }

    fn by_external_name(&self, name: &str) -> Option<Arc<Account>> {
        self.external.get(name).cloned()
    }
}

/// One reason why declarations do not make a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    /// The resource, as `VirtualCluster/dev`.
    pub resource: String,
    /// Where in the resource, such as `spec.namespace.prefix`.
    pub path: Cow<'static, str>,
    pub message: String,
}

/// What sort of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The value can never be right.
    Invalid,
    /// It refers to something that is not there.
    Missing,
    /// It cannot be together with something else that is there.
    Conflict,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.resource, self.path, self.message)
    }
}
