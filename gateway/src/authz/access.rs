//! What decides about the requests of one client: who it is, the rules, and what the names and ids stand for.

use super::acl::{Operation, ResourceType};
use super::authorizer::{Authorizer, Requester};
use std::sync::Arc;

pub(super) use contract::resources::acl::CLUSTER_NAME as CLUSTER;

/// The topics of the requester's virtual cluster, by the names that its clients use.
pub trait Topics {
    /// The name that an id stands for; `None` where it is not known to be the virtual cluster's.
    fn name(&self, id: &[u8; 16]) -> Option<String>;

    /// Whether there is a topic of this name, as far as is known.
    fn exists(&self, name: &str) -> bool;

    /// Whether an operation on a name is forbidden whatever the rules say: what is lent for reading is not written, and nothing is
    /// done outside of an enforced prefix.
    fn forbids(&self, _: Operation, _: ResourceType, _: &str) -> bool {
        false
    }

    /// Whether [`Self::forbids`] may ever say so.
    fn may_forbid(&self) -> bool {
        false
    }

    /// Whether brokers make a topic that is asked for and absent. In doubt they do.
    fn are_made_when_absent(&self) -> bool;
}

/// The rights of one client.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The rules of its virtual cluster.
    pub authorizer: &'a Authorizer,
    /// Who it is.
    pub who: Requester<'a>,
    /// What its topic ids stand for.
    pub topics: &'a dyn Topics,
    /// To whom the brokers' fetch sessions belong; `None` where all of the virtual cluster share them.
    pub sessions: Option<&'a Arc<str>>,
}

impl std::fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("who", &self.who).finish_non_exhaustive()
    }
}

impl Access<'_> {
    /// Whether there is nothing to decide.
    pub fn is_unrestricted(&self) -> bool {
        self.authorizer.is_unrestricted() && !self.topics.may_forbid()
    }

    /// Whether the requester may do `operation` on the resource `name`.
    pub fn allows(&self, operation: Operation, ty: ResourceType, name: &str) -> bool {
        !self.topics.forbids(operation, ty, name) && self.authorizer.allows(&self.who, operation, ty, name)
    }

    /// As [`Self::allows`] for something that a right on the cluster stands for as well.
    pub fn allows_instead(&self, operation: Operation, ty: ResourceType, name: &str) -> bool {
        let allowed = self.authorizer.allows(&self.who, operation, ResourceType::Cluster, CLUSTER)
            || self.authorizer.allows(&self.who, operation, ty, name);
        allowed && !self.topics.forbids(operation, ty, name)
    }

    /// As [`Self::allows`], of the cluster.
    pub fn allows_on_cluster(&self, operation: Operation) -> bool {
        self.allows(operation, ResourceType::Cluster, CLUSTER)
    }

    /// What the requester may do on the resource `name`, as the bits that clients are told (KIP-430).
    pub fn operations(&self, ty: ResourceType, name: &str) -> i32 {
        let allowed = self.authorizer.operations(&self.who, ty, name);
        if !self.topics.may_forbid() {
            return allowed;
        }
        let forbidden = |bit: &i8| {
            let operation = Operation::from_code(*bit);
            operation.is_some_and(|operation| self.topics.forbids(operation, ty, name))
        };
        (0..31_i8).filter(forbidden).fold(allowed, |left, bit| left & !(1 << bit))
    }
}
