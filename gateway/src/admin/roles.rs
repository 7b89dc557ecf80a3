//! What the roles may: admins everything, operators read all but secrets, tenants what concerns their virtual cluster.
//!
//! Invariant: whatever route a change takes, [`Asker::may`] is asked about each step of it, and knows every kind of step.

use contract::resources::acl::Acls;
use contract::resources::{
    AccountType, GatewayGroup, PASSTHROUGH, Resource, ResourceKey, VirtualCluster, service_account, virtual_cluster,
};

use super::answer::ApiError;
use crate::config::AdminRole;
use crate::store::{Change, Declarations};
use crate::world::prefix_of;

/// Who asks, known for sure.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) name: String,
    pub(super) role: AdminRole,
}

/// What an operation needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: probes, which learn nothing about tenants.
    Nothing,
    /// Any role; what is shown is the asker's own.
    See,
    /// To read what is everybody's.
    SeeAll,
    /// To change something; what it may be is decided for each step.
    Change,
    /// To decide for everybody.
    Administer,
}

impl Asker {
    /// Why the asker cannot use an operation at all.
    pub(super) fn lacks(&self, needs: Needs) -> Option<&'static str> {
        match (&self.role, needs) {
            (AdminRole::Admin, _)
            | (_, Needs::Nothing | Needs::See)
            | (AdminRole::Operator, Needs::SeeAll)
            | (AdminRole::Tenant(_), Needs::Change) => None,
            (AdminRole::Operator, Needs::Change | Needs::Administer) => {
                Some("may read only: changes need a user with the role admin")
            }
            (AdminRole::Tenant(_), Needs::SeeAll | Needs::Administer) => {
                Some("sees and changes one virtual cluster only: this concerns all of them")
            }
        }
    }

    /// The virtual cluster that is all the asker sees; `None` sees everything.
    pub(super) fn only(&self) -> Option<&str> {
        match &self.role {
            AdminRole::Tenant(name) => Some(name),
            AdminRole::Admin | AdminRole::Operator => None,
        }
    }

    /// Whether the asker may know of a resource.
    pub(super) fn sees(&self, resource: &Resource, declared: &Declarations) -> bool {
        let Some(own) = self.only() else { return true };
        match resource {
            Resource::VirtualCluster(cluster) => cluster.metadata.name == own,
            Resource::GatewayServiceAccount(account) => account.virtual_cluster() == own,
            Resource::Quota(quota) => quota.virtual_cluster() == own,
            // What it stands for is somebody else's name, but for the tenant's own topics.
            Resource::AliasTopic(alias) => {
                let cluster = declared.virtual_clusters.get(own).cloned().unwrap_or_else(|| VirtualCluster::new(own));
                alias.virtual_cluster() == own && alias.spec.physical_name.starts_with(&prefix_of(&cluster))
            }
            Resource::GatewayGroup(group) => members_are_of(group, own),
            Resource::UpstreamCluster(_) | Resource::IdentityProvider(_) => false,
        }
    }

    /// Whether the asker may touch what has this name, before anybody looks whether it exists: else the answer would tell.
    pub(super) fn may_touch(&self, key: &ResourceKey) -> Result<(), ApiError> {
        let Some(own) = self.only() else { return Ok(()) };
        let cluster = key.virtual_cluster.as_deref();
        let touches = match key.kind {
            name if name == virtual_cluster::KIND.name => key.name == own,
            name if name == service_account::KIND.name => cluster == Some(own),
            _ => false,
        };
        if touches { Ok(()) } else { Err(self.refused(&key.to_string())) }
    }

    /// The same, to take it away: a tenant does not end itself.
    pub(super) fn may_delete(&self, key: &ResourceKey) -> Result<(), ApiError> {
        if self.only().is_some() && key.kind == virtual_cluster::KIND.name {
            return Err(self.refused(&key.to_string()));
        }
        self.may_touch(key)
    }

    /// Whether the asker may make this step.
    pub(super) fn may(&self, before: &Declarations, step: &Change) -> Result<(), ApiError> {
        let Some(own) = self.only() else { return Ok(()) };
        match step {
            Change::PutVirtualCluster(new) if new.metadata.name == own => match before.virtual_clusters.get(own) {
                Some(old) if only_rights_differ(old, new) => Ok(()),
                _ => Err(ApiError::forbidden(format!(
                    "'{}' may change spec.acls and spec.superUsers of virtual cluster '{own}', and nothing else of it",
                    self.name
                ))),
            },
            // A name that others have given could be anybody's.
            Change::PutAccount(account) if *account.virtual_cluster == *own => match account.declared.spec.account_type
            {
                AccountType::Local => Ok(()),
                AccountType::External => Err(ApiError::forbidden(format!(
                    "'{}' may declare LOCAL service accounts only: an external name is one for all virtual clusters",
                    self.name
                ))),
            },
            Change::DeleteAccount { virtual_cluster, .. } if virtual_cluster == own => Ok(()),
            Change::PutAcl { virtual_cluster, .. } | Change::DeleteAcl { virtual_cluster, .. }
                if virtual_cluster == own =>
            {
                Ok(())
            }
            Change::PutVirtualCluster(_)
            | Change::PutAccount(_)
            | Change::DeleteVirtualCluster(_)
            | Change::DeleteAccount { .. }
            | Change::PutAcl { .. }
            | Change::DeleteAcl { .. }
            | Change::Put(_)
            | Change::Delete(_) => Err(self.refused("this")),
        }
    }

    fn refused(&self, what: &str) -> ApiError {
        let own = self.only().unwrap_or_default();
        let may = "its LOCAL service accounts, spec.acls and spec.superUsers";
        ApiError::forbidden(format!(
            "'{}' may not change {what}: of virtual cluster '{own}' it may change {may}",
            self.name
        ))
    }

    /// The error as the asker may read it: what does not go with what others have declared names them.
    pub(super) fn told(&self, error: ApiError) -> ApiError {
        if self.only().is_none() || error.status != axum::http::StatusCode::CONFLICT {
            return error;
        }
        ApiError::conflict("this does not go with what else is declared: choose another name, or ask an admin why")
    }
}

fn members_are_of(group: &GatewayGroup, own: &str) -> bool {
    let mut members = group.spec.members.iter().flatten().peekable();
    let any = members.peek().is_some();
    any && members.all(|member| member.v_cluster.as_deref().unwrap_or(PASSTHROUGH) == own)
}

/// Whether two declarations of a virtual cluster are the same but for who may do what in it.
fn only_rights_differ(old: &VirtualCluster, new: &VirtualCluster) -> bool {
    let without_rights = |cluster: &VirtualCluster| {
        let mut cluster = cluster.clone();
        cluster.spec.acls = None::<Acls>;
        cluster.spec.super_users = None;
        cluster
    };
    without_rights(old) == without_rights(new)
}
