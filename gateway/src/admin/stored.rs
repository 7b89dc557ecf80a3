//! What is declared, whatever its kind: found, put and deleted in one way, so that a PUT, its dry run and an apply of many
//! documents cannot differ.

use std::sync::Arc;

use contract::resources::acl::AclMode;
use contract::resources::{
    AccountType, Declared as _, GatewayGroup, GatewayServiceAccount, KINDS, PASSTHROUGH, Resource, ResourceKey,
    UpsertResult, VirtualCluster, service_account, virtual_cluster,
};
use contract::secret::Secret;

use super::answer::ApiError;
use super::{Admin, secrets};
use crate::authn::Account;
use crate::authn::credentials::Credentials;
use crate::store::Declarations;
use crate::world::{Problem, check_password, prefix_of};

/// The resource of this key.
pub(super) fn find(declared: &Declarations, key: &ResourceKey) -> Option<Resource> {
    if key.kind == virtual_cluster::KIND.name {
        return declared.virtual_clusters.get(&key.name).cloned().map(Resource::from);
    }
    if key.kind == service_account::KIND.name {
        let key = (key.virtual_cluster.clone().unwrap_or_else(|| PASSTHROUGH.to_owned()), key.name.clone());
        return declared.accounts.get(&key).map(|account| account.declared.clone().into());
    }
    declared.others.get(key).cloned()
}

/// Every resource, in the order in which they can be made.
pub(super) fn all(declared: &Declarations) -> Vec<Resource> {
    let clusters = declared.virtual_clusters.values().cloned().map(Resource::from);
    let accounts = declared.accounts.values().map(|account| account.declared.clone().into());
    let mut all = clusters.chain(accounts).chain(declared.others.values().cloned()).collect::<Vec<_>>();
    all.sort_by_cached_key(|resource| KINDS.iter().position(|kind| *kind == resource.kind()));
    all
}

/// A resource that is ready to be put.
#[derive(Debug)]
pub(super) struct Prepared {
    /// As it is stored: without a password, and without what only the gateway fills in.
    resource: Resource,
    credentials: Option<Credentials>,
}

impl Admin {
    /// What is wrong with a resource whatever else is declared: a password, or what the gateway's settings say otherwise.
    pub(super) fn check(&self, resource: &Resource) -> Result<(), Problem> {
        match resource {
            Resource::GatewayServiceAccount(account) => check_password(account),
            Resource::UpstreamCluster(cluster) => self.pclusters.must_be(cluster),
            Resource::AliasTopic(alias) => self.pclusters.must_have(alias),
            Resource::VirtualCluster(_)
            | Resource::GatewayGroup(_)
            | Resource::Quota(_)
            | Resource::IdentityProvider(_) => Ok(()),
        }
    }

    /// Takes out what is not kept, and derives what is kept of a password.
    pub(super) async fn prepare(&self, mut resource: Resource) -> Result<Prepared, ApiError> {
        self.check(&resource).map_err(|problem| ApiError::problems(&[problem]))?;
        let mut credentials = None;
        match &mut resource {
            // An answer to GET may be sent back: what only the gateway fills in is not part of the declaration.
            Resource::VirtualCluster(cluster) => {
                cluster.spec.bootstrap_servers = None;
                cluster.spec.client_properties = None;
            }
            Resource::GatewayServiceAccount(account) => credentials = self.credentials(account).await?,
            Resource::UpstreamCluster(_)
            | Resource::AliasTopic(_)
            | Resource::GatewayGroup(_)
            | Resource::Quota(_)
            | Resource::IdentityProvider(_) => {}
        }
        Ok(Prepared { resource, credentials })
    }

    /// The verifiers of an account's password, or those that there are if none is given or it is still the same.
    async fn credentials(&self, account: &mut GatewayServiceAccount) -> Result<Option<Credentials>, ApiError> {
        let password = account.spec.password.take();
        // What a local account knew is worth nothing to the external one that takes its place.
        if account.spec.account_type != AccountType::Local {
            return Ok(None);
        }
        let key = (account.virtual_cluster().to_owned(), account.metadata.name.clone());
        let old = self.declare.now().accounts.get(&key).and_then(|old| old.credentials.clone());
        let Some(password) = password else { return Ok(old) };
        derived(old, password).await.map(Some)
    }
}

async fn derived(old: Option<Credentials>, password: Secret) -> Result<Credentials, ApiError> {
    // Deriving takes milliseconds of CPU, which the threads that serve clients do not have.
    let derived = tokio::task::spawn_blocking(move || match old {
        Some(old) if old.is_password(password.reveal()) => Ok(old),
        _ => Credentials::from_password(password.reveal()),
    });
    match derived.await {
        Ok(Ok(credentials)) => Ok(credentials),
        _ => Err(ApiError::internal("the system gave no random salt for the password: try again")),
    }
}

impl Prepared {
    pub(super) fn key(&self) -> ResourceKey {
        self.resource.key()
    }

    /// Exactly what was accepted, without secrets.
    pub(super) fn shown(&self) -> Resource {
        secrets::hidden(self.resource.clone())
    }

    /// Puts it in the place of what has its key.
    pub(super) fn put(&self, declared: &mut Declarations) -> Result<UpsertResult, ApiError> {
        match &self.resource {
            Resource::VirtualCluster(cluster) => put_virtual_cluster(cluster, declared),
            Resource::GatewayServiceAccount(account) => {
                let account = Arc::new(Account::new(account.clone(), self.credentials.clone()));
                let key = (account.virtual_cluster.to_string(), account.username.to_string());
                let old = declared.accounts.insert(key, Arc::clone(&account));
                Ok(upsert_result(old.as_ref(), &account))
            }
            Resource::UpstreamCluster(_) => Ok(UpsertResult::NotChanged),
            Resource::AliasTopic(_)
            | Resource::GatewayGroup(_)
            | Resource::Quota(_)
            | Resource::IdentityProvider(_) => {
                let old = declared.others.insert(self.key(), self.resource.clone());
                Ok(upsert_result(old.as_ref(), &self.resource))
            }
        }
    }
}

fn put_virtual_cluster(cluster: &VirtualCluster, declared: &mut Declarations) -> Result<UpsertResult, ApiError> {
    let name = &cluster.metadata.name;
    let old = declared.virtual_clusters.insert(name.clone(), cluster.clone());
    if let Some(old) = &old {
        keeps_prefix(old, cluster)?;
    }
    // From now on the list in the declaration is all there is: what clients had made would come back with the mode.
    if cluster.spec.acl_mode == Some(AclMode::RestApi) {
        declared.acls.remove(name);
    }
    Ok(upsert_result(old.as_ref(), cluster))
}

/// Under another prefix all topics, groups and offsets of a tenant would be gone from its view.
fn keeps_prefix(old: &VirtualCluster, new: &VirtualCluster) -> Result<(), ApiError> {
    let (old, new) = (prefix_of(old), prefix_of(new));
    if old == new {
        return Ok(());
    }
    Err(ApiError::conflict(format!(
        "spec.namespace.prefix: it is '{old}' and cannot become '{new}', because what is stored under it would be out of \
         reach: declare another virtual cluster"
    )))
}

/// Takes a resource away. Whether others refer to it is asked of the whole, when all steps are made: [`still_needed`].
pub(super) fn delete(declared: &mut Declarations, key: &ResourceKey) -> Result<(), ApiError> {
    if key.kind == virtual_cluster::KIND.name && key.name == PASSTHROUGH {
        return Err(ApiError::invalid("virtual cluster 'passthrough' always exists and cannot be deleted"));
    }
    if find(declared, key).is_none() {
        return Err(none_such(key));
    }
    if key.kind == virtual_cluster::KIND.name {
        declared.virtual_clusters.remove(&key.name);
        // The next virtual cluster of this name begins without rules.
        declared.acls.remove(&key.name);
    } else if key.kind == service_account::KIND.name {
        let cluster = key.virtual_cluster.clone().unwrap_or_else(|| PASSTHROUGH.to_owned());
        declared.accounts.remove(&(cluster, key.name.clone()));
    } else {
        declared.others.remove(key);
    }
    Ok(())
}

/// Refuses that something is gone to which something refers that is there.
pub(super) fn still_needed(declared: &Declarations, gone: &ResourceKey) -> Result<(), ApiError> {
    let referring = if gone.kind == virtual_cluster::KIND.name {
        let accounts = declared.accounts.keys().filter(|(cluster, _)| *cluster == gone.name);
        let accounts = accounts.map(|(cluster, name)| format!("GatewayServiceAccount/{cluster}/{name}"));
        let others = declared.others.keys().filter(|key| key.virtual_cluster.as_ref() == Some(&gone.name));
        accounts.chain(others.map(ToString::to_string)).collect::<Vec<_>>()
    } else if gone.kind == service_account::KIND.name {
        let cluster = gone.virtual_cluster.as_deref().unwrap_or(PASSTHROUGH);
        let groups = declared.of::<GatewayGroup>().filter(|group| is_member(group, cluster, &gone.name));
        groups.map(|group| group.key().to_string()).collect()
    } else {
        Vec::new()
    };
    if referring.is_empty() {
        return Ok(());
    }
    let referring = referring.join(", ");
    Err(ApiError::conflict(format!("{} is referred to: change or delete {referring} first", told(gone))))
}

fn is_member(group: &GatewayGroup, cluster: &str, name: &str) -> bool {
    let mut members = group.spec.members.iter().flatten();
    members.any(|member| member.name == name && member.v_cluster.as_deref().unwrap_or(PASSTHROUGH) == cluster)
}

/// Nothing of that key is there.
pub(super) fn none_such(key: &ResourceKey) -> ApiError {
    ApiError::not_found(format!("there is no {}", told(key)))
}

/// A key in words.
fn told(key: &ResourceKey) -> String {
    let name = &key.name;
    let cluster = key.virtual_cluster.as_deref().unwrap_or(PASSTHROUGH);
    match key.kind {
        "VirtualCluster" => format!("virtual cluster '{name}'"),
        "GatewayServiceAccount" => format!("service account '{name}' in '{cluster}'"),
        _ => key.to_string(),
    }
}

/// What putting `new` in the place of `old` means.
fn upsert_result<T: PartialEq>(old: Option<&T>, new: &T) -> UpsertResult {
    match old {
        None => UpsertResult::Created,
        Some(old) if old == new => UpsertResult::NotChanged,
        Some(_) => UpsertResult::Updated,
    }
}
