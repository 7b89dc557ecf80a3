//! Where declared resources are kept. What they mean is decided elsewhere.

pub mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::resources::VirtualCluster;

use crate::authn::Account;

/// Everything that is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declarations {
    /// By name.
    pub virtual_clusters: BTreeMap<String, VirtualCluster>,
    /// By virtual cluster and user name.
    pub accounts: BTreeMap<(String, String), Arc<Account>>,
}
