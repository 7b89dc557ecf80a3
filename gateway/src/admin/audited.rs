//! Who asked the admin API for what, for the audit. The caller is known from the first look at a request to the last change that it
//! makes, without a word in between.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, Request};
use axum::response::Response;

use super::Admin;
use super::doors::Peer;
use crate::audit::event::{self, Action, Connection, Event, Origin};
use crate::audit::{Audit, caller};
use crate::observe::shown::Shown;
use crate::store::{Change, Declarations};

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    origin: Origin,
    remote: Option<SocketAddr>,
    method: Shown,
    path: Shown,
}

impl Caller {
    /// The one behind a request; `user` is the name that it gave, right or wrong.
    pub(super) fn of(request: &Request, user: Option<&str>) -> Self {
        let remote = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0);
        Self {
            origin: Origin::new(user, Connection { local: None, remote }),
            remote,
            method: request.method().as_str().into(),
            path: request.uri().path().into(),
        }
    }

    /// The same, now that it is known who it is.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.origin = Origin::new(Some(name), Connection { local: None, remote: self.remote });
        self
    }

    fn event(&self, action: Action) -> Event {
        Event::new(action).from_where(self.origin.clone())
    }

    /// Records that it was refused.
    pub(super) fn refused(&self, audit: &Audit, reason: &str) {
        let (method, path) = (self.method.clone(), self.path.clone());
        audit.record(self.event(Action::AdminRefused { method, path, reason: reason.into() }));
    }
}

/// Answers a request on behalf of its caller.
pub(super) async fn on_behalf(admin: &Admin, caller: Caller, answer: impl Future<Output = Response>) -> Response {
    let answer = caller::on_behalf(caller.origin.clone(), answer).await;
    if admin.record_requests.load(Ordering::Relaxed) {
        let (method, path) = (caller.method.clone(), caller.path.clone());
        admin.audit.record(caller.event(Action::AdminRequest { method, path, status: answer.status().as_u16() }));
    }
    answer
}

/// Records changes that hold now. They are the caller's whose request is being answered.
pub(super) fn changed(audit: &Audit, before: &Declarations, changes: &[Change]) {
    for change in changes {
        let (virtual_cluster, action) = described(before, change);
        let event = caller::of_caller(Event::new(action));
        audit.record(event.virtual_cluster(&virtual_cluster));
    }
}

/// The virtual cluster that a change is about, and what it is.
fn described(before: &Declarations, change: &Change) -> (String, Action) {
    let put = |known: bool| if known { event::Change::Updated } else { event::Change::Created };
    let action =
        |change, kind: &str, name: &str| Action::ConfigurationChanged { change, kind: kind.into(), name: name.into() };
    match change {
        Change::PutVirtualCluster(cluster) => {
            let name = &cluster.metadata.name;
            (name.clone(), action(put(before.virtual_clusters.contains_key(name)), "VirtualCluster", name))
        }
        Change::DeleteVirtualCluster(name) => (name.clone(), action(event::Change::Deleted, "VirtualCluster", name)),
        Change::PutAccount(account) => {
            let key = (account.virtual_cluster.to_string(), account.username.to_string());
            let change = put(before.accounts.contains_key(&key));
            (key.0, action(change, "GatewayServiceAccount", &key.1))
        }
        Change::DeleteAccount { virtual_cluster, username } => {
            (virtual_cluster.clone(), action(event::Change::Deleted, "GatewayServiceAccount", username))
        }
        Change::PutAcl { virtual_cluster, rule } => {
            let binding = rule.to_string().into();
            (virtual_cluster.clone(), Action::AclChanged { change: event::Change::Created, binding })
        }
        Change::DeleteAcl { virtual_cluster, rule } => {
            let binding = rule.to_string().into();
            (virtual_cluster.clone(), Action::AclChanged { change: event::Change::Deleted, binding })
        }
        Change::Put(resource) => {
            let key = resource.key();
            let change = put(before.others.contains_key(&key));
            (key.virtual_cluster.unwrap_or_default(), action(change, key.kind, &key.name))
        }
        Change::Delete(key) => {
            (key.virtual_cluster.clone().unwrap_or_default(), action(event::Change::Deleted, key.kind, &key.name))
        }
    }
}
