//! Where declared resources are kept. What they mean is decided elsewhere.

pub mod entry;
pub mod folder;
pub mod follower;
pub mod ledger;
pub mod secrets;
pub mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::resources::acl::AclBinding;
use contract::resources::{Declared, Resource, ResourceKey, VirtualCluster};

use crate::authn::Account;

/// Everything that is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declarations {
    /// By name.
    pub virtual_clusters: BTreeMap<String, VirtualCluster>,
    /// By virtual cluster and user name.
    pub accounts: BTreeMap<(String, String), Arc<Account>>,
    /// What came by Kafka's API, by virtual cluster. None of them is empty.
    pub acls: BTreeMap<String, Arc<BTreeSet<AclBinding>>>,
    /// Resources of all other kinds.
    pub others: BTreeMap<ResourceKey, Resource>,
}

/// One step from some declarations to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    PutVirtualCluster(Box<VirtualCluster>),
    DeleteVirtualCluster(String),
    PutAccount(Arc<Account>),
    DeleteAccount {
        virtual_cluster: String,
        username: String,
    },
    /// One rule each, so that two gateways that change different ones at once both get their way.
    PutAcl {
        virtual_cluster: String,
        rule: AclBinding,
    },
    DeleteAcl {
        virtual_cluster: String,
        rule: AclBinding,
    },
    /// A resource of one of the kinds that have no change of their own.
    Put(Box<Resource>),
    Delete(ResourceKey),
}

impl Change {
    /// Whether something is gone by it.
    pub fn is_deletion(&self) -> bool {
        match self {
            Self::DeleteVirtualCluster(_) | Self::DeleteAccount { .. } | Self::DeleteAcl { .. } | Self::Delete(_) => {
                true
            }
            Self::PutVirtualCluster(_) | Self::PutAccount(_) | Self::PutAcl { .. } | Self::Put(_) => false,
        }
    }

    /// Changes of a lower rank refer to none of a higher one.
    fn rank(&self) -> u8 {
        match self {
            Self::PutVirtualCluster(_) | Self::DeleteVirtualCluster(_) => 0,
            Self::PutAccount(_) | Self::DeleteAccount { .. } => 1,
            Self::Put(_) | Self::Delete(_) => 2,
            Self::PutAcl { .. } | Self::DeleteAcl { .. } => 3,
        }
    }
}

impl Declarations {
    /// How many resources there are, rules not counted.
    pub fn len(&self) -> usize {
        self.virtual_clusters.len() + self.accounts.len() + self.others.len()
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.acls.is_empty()
    }

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
            Change::PutAcl { virtual_cluster, rule } => {
                Arc::make_mut(self.acls.entry(virtual_cluster).or_default()).insert(rule);
            }
            Change::DeleteAcl { virtual_cluster, rule } => {
                if let Some(rules) = self.acls.get_mut(&virtual_cluster) {
                    Arc::make_mut(rules).remove(&rule);
                    if rules.is_empty() {
                        self.acls.remove(&virtual_cluster);
                    }
                }
            }
            Change::Put(resource) => {
                self.others.insert(resource.key(), *resource);
            }
            Change::Delete(key) => {
                self.others.remove(&key);
            }
        }
    }

    /// The resources of one of the other kinds.
    pub fn of<'a, T: Declared + 'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        &'a T: TryFrom<&'a Resource>,
    {
        self.others.values().filter_map(|resource| resource.try_into().ok())
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
        // Rules go before their virtual cluster does, else they would be there for the next one of its name.
        let gone_rules = target.rules_missing_of(self);
        let gone_rules = gone_rules.map(|(virtual_cluster, rule)| Change::DeleteAcl { virtual_cluster, rule });
        let new_rules = self.rules_missing_of(target);
        let new_rules = new_rules.map(|(virtual_cluster, rule)| Change::PutAcl { virtual_cluster, rule });
        let gone_others = self.others.keys().filter(|key| !target.others.contains_key(*key));
        let gone_others = gone_others.map(|key| Change::Delete(key.clone()));
        let new_others = target.others.iter().filter(|(key, new)| self.others.get(*key) != Some(*new));
        let new_others = new_others.map(|(_, resource)| Change::Put(Box::new(resource.clone())));
        let gone = gone_rules.chain(gone_others).chain(gone_accounts).chain(gone_clusters);
        gone.chain(new_clusters).chain(new_accounts).chain(new_others).chain(new_rules).collect()
    }

    /// The rules of others that are not here.
    fn rules_missing_of<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = (String, AclBinding)> {
        others.acls.iter().flat_map(|(cluster, theirs)| {
            let ours = self.acls.get(cluster);
            let same = ours.is_some_and(|ours| Arc::ptr_eq(ours, theirs));
            let missing = theirs.iter().filter(move |rule| !same && ours.is_none_or(|ours| !ours.contains(*rule)));
            missing.map(|rule| (cluster.clone(), rule.clone()))
        })
    }
}

#[cfg(test)]
mod tests {
    use contract::resources::GatewayServiceAccount;
    use contract::resources::acl::{Operation, PatternType, PermissionType, ResourcePattern, ResourceType};

    use super::*;

    fn rule(name: &str) -> AclBinding {
        AclBinding {
            resource_pattern: ResourcePattern {
                resource_type: ResourceType::Topic,
                name: name.into(),
                pattern_type: PatternType::Literal,
            },
            principal: "User:app".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission_type: PermissionType::Allow,
        }
    }

    fn put(virtual_cluster: &str, name: &str) -> Change {
        Change::PutAcl { virtual_cluster: virtual_cluster.into(), rule: rule(name) }
    }

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
        let mut from = declarations(&["a", "b"], &[("a", "app"), ("b", "bob")]);
        let mut to = declarations(&["b", "c"], &[("b", "bob"), ("c", "cat")]);
        for change in [put("a", "orders"), put("b", "one"), put("b", "two")] {
            from.apply(change);
        }
        for change in [put("b", "two"), put("b", "three"), put("c", "orders")] {
            to.apply(change);
        }
        let changes = from.changes_to(&to);
        assert_eq!(changes.len(), 8);
        // In an order in which no rule is ever without its virtual cluster.
        assert!(changes[..2].iter().all(|change| matches!(change, Change::DeleteAcl { .. })), "{changes:#?}");
        assert!(changes[6..].iter().all(|change| matches!(change, Change::PutAcl { .. })), "{changes:#?}");
        let mut reached = from.clone();
        changes.into_iter().for_each(|change| reached.apply(change));
        assert_eq!(reached, to);
        assert_eq!(to.changes_to(&to), []);
    }
}
