//! Rules that clients make by Kafka's API: declarations like all others, and so in every gateway and after every restart.

use std::sync::Arc;

use axum::http::StatusCode;
use contract::resources::acl::AclBinding;

use super::Admin;
use super::answer::ApiError;
use crate::authz::acl::AclFilter;
use crate::session::acls::{AclKeeper, Kept, NotKept};
use crate::store::{Change, Declarations};

impl AclKeeper for Admin {
    fn create(self: Arc<Self>, virtual_cluster: Arc<str>, rules: Vec<AclBinding>) -> Kept<()> {
        let change = move |declared: &mut Declarations| {
            for rule in rules {
                declared.apply(Change::PutAcl { virtual_cluster: virtual_cluster.to_string(), rule });
            }
            Ok(())
        };
        Box::pin(async move { self.declare.change(false, change).await.map_err(|error| not_kept(&error)) })
    }

    fn delete(self: Arc<Self>, virtual_cluster: Arc<str>, filters: Vec<AclFilter>) -> Kept<Vec<Vec<AclBinding>>> {
        let change = move |declared: &mut Declarations| {
            let rules = declared.acls.get(&*virtual_cluster).cloned().unwrap_or_default();
            let meant = |filter: &AclFilter| rules.iter().filter(|rule| filter.matches(rule)).cloned().collect();
            let deleted = filters.iter().map(meant).collect::<Vec<Vec<_>>>();
            for rule in deleted.iter().flatten().cloned() {
                declared.apply(Change::DeleteAcl { virtual_cluster: virtual_cluster.to_string(), rule });
            }
            Ok(deleted)
        };
        Box::pin(async move { self.declare.change(false, change).await.map_err(|error| not_kept(&error)) })
    }
}

pub(super) fn not_kept(error: &ApiError) -> NotKept {
    let msg = error.body.msg.clone().unwrap_or_else(|| error.body.title.clone());
    match error.status {
        StatusCode::SERVICE_UNAVAILABLE => NotKept::Unavailable(msg),
        _ => NotKept::Refused(msg),
    }
}
