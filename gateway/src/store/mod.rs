//! Where declared resources are kept. What they mean is decided elsewhere.

pub mod entry;
pub mod topic;

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

/// One step from some declarations to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    PutVirtualCluster(Box<VirtualCluster>),
    DeleteVirtualCluster(String),
    PutAccount(Arc<Account>),
    DeleteAccount { virtual_cluster: String, username: String },
}

impl Declarations {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutVirtualCluster(cluster) => {
                self.virtual_clusters.insert(cluster.metadata.name.clone(), *cluster);
            }
            Change::DeleteVirtualCluster(name) => {
                self.virtual_clusters.remove(&name);
            }
            Change::PutAccount(account) => {
                let key = (account.virtual_cluster.to_string(), account.username.to_string());
                self.accounts.insert(key, account);
            }
            Change::DeleteAccount { virtual_cluster, username } => {
                self.accounts.remove(&(virtual_cluster, username));
            }
        }
    }

    /// The steps that make `target` of these declarations, in an order in which each makes a world too.
    pub fn changes_to(&self, target: &Self) -> Vec<Change> {
        let gone_accounts = self
            .accounts
            .keys()
            .filter(|key| !target.accounts.contains_key(*key))
            .map(|key| Change::DeleteAccount { virtual_cluster: key.0.clone(), username: key.1.clone() });
        let gone_clusters = self.virtual_clusters.keys().filter(|name| !target.virtual_clusters.contains_key(*name));
        let gone_clusters = gone_clusters.map(|name| Change::DeleteVirtualCluster(name.clone()));
        let new_clusters =
            target.virtual_clusters.iter().filter(|(name, new)| self.virtual_clusters.get(*name) != Some(*new));
        let new_clusters = new_clusters.map(|(_, cluster)| Change::PutVirtualCluster(Box::new(cluster.clone())));
        let new_accounts = target.accounts.iter().filter(|(key, new)| self.accounts.get(*key) != Some(*new));
        let new_accounts = new_accounts.map(|(_, account)| Change::PutAccount(Arc::clone(account)));
        gone_accounts.chain(gone_clusters).chain(new_clusters).chain(new_accounts).collect()
    }
}

#[cfg(test)]
mod tests {
    use contract::resources::GatewayServiceAccount;

    use super::*;

    fn declarations(clusters: &[&str], accounts: &[(&str, &str)]) -> Declarations {
        let mut declarations = Declarations::default();
        for name in clusters {
            declarations.apply(Change::PutVirtualCluster(Box::new(VirtualCluster::new(*name))));
        }
        for (cluster, name) in accounts {
            let account = Account::new(GatewayServiceAccount::local(*name, *cluster, None), None);
            declarations.apply(Change::PutAccount(Arc::new(account)));
        }
        declarations
    }

    #[test]
    fn changes_lead_from_one_to_the_other() {
        let from = declarations(&["a", "b"], &[("a", "app"), ("b", "bob")]);
        let to = declarations(&["b", "c"], &[("b", "bob"), ("c", "cat")]);
        let changes = from.changes_to(&to);
        assert_eq!(changes.len(), 4);
        let mut reached = from.clone();
        changes.into_iter().for_each(|change| reached.apply(change));
        assert_eq!(reached, to);
        assert_eq!(to.changes_to(&to), []);
    }
}
