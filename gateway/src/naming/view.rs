//! What a virtual cluster sees beside its own names: aliases of physical topics, and physical topics and groups under their own
//! names.

use super::filter::Filter;
use crate::authz::{Operation, ResourceType};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What may be done with a topic that is lent to a virtual cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LentFor {
    /// It is read and described.
    Reading,
    /// It is written as well. Nobody makes, alters or deletes what was lent, nor deletes its records, which a retention that is
    /// set to nothing would do as well.
    Writing,
}

/// A topic that is seen under a name which is not the prefix's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// What clients call it.
    pub name: Arc<str>,
    /// What the broker calls it.
    pub physical: Arc<str>,
    /// What may be done with it.
    pub purpose: LentFor,
    /// Which of its records leave the gateway; all where there is none.
    pub filter: Option<Arc<Filter>>,
}

impl Lent {
    /// Whether it has another name here, and so another id.
    pub fn is_alias(&self) -> bool {
        self.name != self.physical
    }

    const fn is_for(&self, operation: Operation) -> bool {
        match operation {
            Operation::Read | Operation::Describe | Operation::DescribeConfigs => true,
            Operation::Write => matches!(self.purpose, LentFor::Writing),
            _ => false,
        }
    }
}

/// More than a prefix: which names stand for something else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    enforced: bool,
    /// By their virtual names.
    topics: BTreeMap<Arc<str>, Arc<Lent>>,
    /// The same by their physical names, each with its virtual ones in order.
    physical: HashMap<Arc<str>, Vec<Arc<Lent>>>,
    groups: BTreeSet<String>,
    /// Some physical topic has more than one name.
    twins: bool,
    longest: usize,
}

impl View {
    /// What is lent to the virtual cluster of a prefix; `enforced` where its clients write the prefix themselves.
    pub fn new(
        prefix: &str,
        enforced: bool,
        lent: impl IntoIterator<Item = Lent>,
        groups: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut view = Self { enforced, groups: groups.into_iter().collect(), ..Self::default() };
        for lent in lent {
            let lent = Arc::new(lent);
            view.longest = view.longest.max(lent.physical.len()).max(lent.name.len());
            let _ = view.topics.insert(Arc::clone(&lent.name), lent);
        }
        for lent in view.topics.values() {
            view.physical.entry(Arc::clone(&lent.physical)).or_default().push(Arc::clone(lent));
        }
        view.twins = view
            .physical
            .iter()
            .any(|(physical, names)| names.len() + usize::from(view.own_name(prefix, physical).is_some()) > 1);
        view
    }

    /// Whether it says no more than the prefix does.
    pub fn is_plain(&self) -> bool {
        !self.enforced && self.topics.is_empty() && self.groups.is_empty()
    }

    /// Whether clients write the prefix themselves.
    pub const fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// Whether topics are lent, so that names and ids depend on more than the prefix.
    pub fn lends_topics(&self) -> bool {
        !self.topics.is_empty()
    }

    /// Whether some physical topic has more than one name.
    pub const fn has_twins(&self) -> bool {
        self.twins
    }

    /// By how many bytes a name may grow at most.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// What a virtual name stands for.
    pub fn topic(&self, name: &str) -> Option<&Arc<Lent>> {
        self.topics.get(name)
    }

    /// All that is lent.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Lent>> {
        self.topics.values()
    }

    /// Under which names a physical topic is lent.
    pub fn names_of(&self, physical: &str) -> &[Arc<Lent>] {
        self.physical.get(physical).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the group is seen under its physical name.
    pub fn lends_group(&self, name: &str) -> bool {
        self.groups.contains(name)
    }

    /// The tenant's own name of a physical topic; `None` where it has none, or where it is an alias' name.
    pub fn own_name<'n>(&self, prefix: &str, physical: &'n str) -> Option<&'n str> {
        let behind = physical.strip_prefix(prefix)?;
        let name = match self.enforced {
            // What is outside of the prefix went to the broker behind a slash, which no topic's name has.
            true => behind.strip_prefix(super::prefix::NOT_IN_NAMES).unwrap_or(physical),
            false => behind,
        };
        (!self.topics.contains_key(name)).then_some(name)
    }

    /// Whether it forbids an operation, whatever the rules say. `inside` tells whether the name has the prefix.
    pub fn forbids(&self, operation: Operation, ty: ResourceType, name: &str, inside: bool) -> bool {
        let outside = self.enforced && !inside;
        match ty {
            ResourceType::Topic => match self.topics.get(name) {
                Some(lent) => !lent.is_for(operation),
                None => outside,
            },
            ResourceType::Group => outside && !self.groups.contains(name),
            ResourceType::TransactionalId => outside,
            ResourceType::Cluster | ResourceType::DelegationToken | ResourceType::User => false,
        }
    }
}
