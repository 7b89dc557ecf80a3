//! The prefix of a virtual cluster, put before every name and taken off again.

use super::view::{Lent, View};
use crate::authz::{Operation, ResourceType};
use crate::config::INTERNAL_TOPICS;
use std::collections::HashMap;
use std::sync::Arc;

/// Behind the name of one of the gateway's own topics it makes a name that no topic can have.
pub(super) const NOT_IN_NAMES: &str = "/";

/// The longest name of a topic that Kafka takes.
pub const TOPIC_NAME_MAX: usize = 249;

/// The names of one virtual cluster. Without a prefix it is the transparent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    prefix: Option<Arc<str>>,
    /// What there is beside the prefix: nothing for most.
    view: Option<Arc<View>>,
    /// Which of its names a physical topic is shown under, where one request means another than the first.
    picks: Option<Arc<Picks>>,
    /// Nothing else is shown.
    only_picks: bool,
}

/// Virtual names by physical ones.
pub type Picks = HashMap<Arc<str>, Arc<str>>;

impl Namespace {
    /// The namespace of a prefix; `None` is the transparent one.
    pub const fn new(prefix: Option<Arc<str>>) -> Self {
        Self { prefix, view: None, picks: None, only_picks: false }
    }

    /// The same with more than the prefix in view.
    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        let view = (!view.is_plain()).then(|| Arc::new(view));
        Self { view, ..self }
    }

    /// The same where a physical topic that has several names is shown under these.
    #[must_use]
    pub fn picking(&self, picks: Picks) -> Self {
        Self { picks: (!picks.is_empty()).then(|| Arc::new(picks)), ..self.clone() }
    }

    /// The same where nothing but these is shown.
    #[must_use]
    pub fn picking_only(&self, picks: Picks) -> Self {
        Self { only_picks: true, ..self.picking(picks) }
    }

    /// What there is beside the prefix.
    pub fn view(&self) -> Option<&View> {
        self.view.as_deref()
    }

    /// What there is beside the prefix, where topics are lent.
    pub fn lends_topics(&self) -> Option<&View> {
        self.view().filter(|view| view.lends_topics())
    }

    /// Whether both are of one declaration, whatever is picked.
    pub fn is_of(&self, other: &Self) -> bool {
        let same = match (&self.view, &other.view) {
            (None, None) => true,
            (Some(view), Some(others)) => Arc::ptr_eq(view, others) || view == others,
            _ => false,
        };
        same && self.prefix == other.prefix
    }

    /// Whether names are left as they are.
    pub const fn is_transparent(&self) -> bool {
        self.prefix.is_none()
    }

    /// The prefix; empty for the transparent namespace.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or("")
    }

    /// By how many bytes a name may grow on its way in.
    pub fn growth(&self) -> usize {
        let view = self.view().map_or(0, |view| view.longest() + NOT_IN_NAMES.len());
        self.prefix().len().max(view)
    }

    /// Whether clients write the prefix themselves.
    pub fn is_enforced(&self) -> bool {
        self.view().is_some_and(View::is_enforced)
    }

    /// Whether [`Self::forbids`] may ever say so.
    pub fn may_forbid(&self) -> bool {
        self.view().is_some_and(|view| view.is_enforced() || view.lends_topics())
    }

    /// Whether an operation is forbidden on what clients call `name`, whatever the rules say: it lies outside of an enforced
    /// prefix, or what is lent is not lent for it.
    pub fn forbids(&self, operation: Operation, ty: ResourceType, name: &str) -> bool {
        self.view().is_some_and(|view| view.forbids(operation, ty, name, name.starts_with(self.prefix())))
    }

    /// The physical name of a topic, written to `out`. Names that Kafka takes nowhere (empty, `.`, `..`) stay what they are,
    /// so that the broker refuses them; with a prefix they would be good names.
    pub fn map_topic<'o>(&self, name: &str, out: &'o mut String) -> &'o str {
        if self.hides(name) {
            put(out, name, NOT_IN_NAMES)
        } else if is_reserved(name) {
            put(out, "", name)
        } else if let Some(lent) = self.lent(name) {
            put(out, "", &lent.physical)
        } else {
            self.map_id(name, out)
        }
    }

    /// What is lent under this name.
    pub fn lent(&self, name: &str) -> Option<&Arc<Lent>> {
        self.view()?.topic(name)
    }

    /// Whether a topic is one of the gateway's own, which the transparent namespace would show as well.
    pub fn hides(&self, physical: &str) -> bool {
        self.is_transparent() && physical.starts_with(INTERNAL_TOPICS)
    }

    /// The physical name of a transactional id, written to `out`. What is outside of an enforced prefix stands behind it all the
    /// same, so that it is nobody else's.
    pub fn map_id<'o>(&self, name: &str, out: &'o mut String) -> &'o str {
        if !self.is_enforced() {
            return put(out, self.prefix(), name);
        }
        if name.starts_with(self.prefix()) {
            return put(out, "", name);
        }
        let _ = put(out, self.prefix(), NOT_IN_NAMES);
        out.push_str(name);
        out
    }

    /// The physical name of a group, written to `out`.
    pub fn map_group<'o>(&self, name: &str, out: &'o mut String) -> &'o str {
        if self.view().is_some_and(|view| view.lends_group(name)) { put(out, "", name) } else { self.map_id(name, out) }
    }

    /// The virtual name of a physical topic; `None` if it is not the tenant's.
    pub fn unmap_topic<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        if self.hides(name) {
            return name.strip_suffix(NOT_IN_NAMES);
        }
        if is_reserved(name) {
            return Some(name);
        }
        let Some(view) = self.view() else {
            return name.strip_prefix(self.prefix()).filter(|n| !is_reserved(n));
        };
        if let Some(picked) = self.picks.as_ref().and_then(|picks| picks.get(name)) {
            return Some(picked);
        }
        if self.only_picks {
            return None;
        }
        let own = view.own_name(self.prefix(), name).filter(|n| !is_reserved(n));
        own.or_else(|| view.names_of(name).first().map(|lent| &*lent.name))
    }

    /// All virtual names of a physical topic: its own, and those that it is lent under.
    pub fn names_of<'n>(&'n self, physical: &'n str) -> impl Iterator<Item = &'n str> {
        let view = self.view();
        let own = match view {
            Some(view) => view.own_name(self.prefix(), physical).filter(|n| !is_reserved(n)),
            None => self.unmap_topic(physical),
        };
        let lent = view.map(|view| view.names_of(physical)).unwrap_or_default();
        own.into_iter().chain(lent.iter().map(|lent| &*lent.name))
    }

    /// The virtual name of a physical transactional id; `None` if it is not the tenant's.
    pub fn unmap_id<'n>(&self, name: &'n str) -> Option<&'n str> {
        let behind = name.strip_prefix(self.prefix())?;
        if self.is_enforced() { Some(name) } else { Some(behind) }
    }

    /// The virtual name of a physical group; `None` if it is not the tenant's.
    pub fn unmap_group<'n>(&self, name: &'n str) -> Option<&'n str> {
        let Some(view) = self.view() else { return self.unmap_id(name) };
        if view.lends_group(name) {
            return Some(name);
        }
        self.unmap_id(name).filter(|own| !view.lends_group(own))
    }

    /// What a word of a broker's text is called here where something is lent.
    pub fn unmap_lent<'n>(&'n self, word: &'n str) -> Option<&'n str> {
        let view = self.view()?;
        if view.lends_group(word) {
            return Some(word);
        }
        if view.names_of(word).is_empty() { None } else { self.unmap_topic(word) }
    }
}

/// Whether it is what Kafka takes for a topic nowhere.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "" | "." | "..")
}

fn put<'o>(out: &'o mut String, prefix: &str, name: &str) -> &'o str {
    out.clear();
    out.push_str(prefix);
    out.push_str(name);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn namespace(prefix: &str) -> Namespace {
        Namespace::new(Some(prefix.into()))
    }

    proptest! {
        #[test]
        fn map_then_unmap_is_identity(prefix in "[a-z0-9_]{1,20}\\.", name in "\\PC{0,260}") {
            let (ns, mut out) = (namespace(&prefix), String::new());
            prop_assert_eq!(ns.unmap_topic(ns.map_topic(&name, &mut out)), Some(name.as_str()));
            prop_assert_eq!(ns.unmap_id(ns.map_id(&name, &mut out)), Some(name.as_str()));
        }

        #[test]
        fn two_tenants_never_meet(a in "[a-z0-9_.]{1,12}", b in "[a-z0-9_.]{1,12}", x in "\\PC{1,30}", y in "\\PC{1,30}") {
            // What is checked when a virtual cluster is made: no prefix is the start of another.
            prop_assume!(!a.starts_with(&b) && !b.starts_with(&a));
            let (a, b) = (namespace(&a), namespace(&b));
            let (mut p, mut q) = (String::new(), String::new());
            prop_assert_ne!(a.map_id(&x, &mut p), b.map_id(&y, &mut q));
            prop_assert_eq!(b.unmap_id(&p), None);
            if !is_reserved(&x) {
                prop_assert_eq!(b.unmap_topic(a.map_topic(&x, &mut p)), None);
            }
        }
    }

    #[test]
    fn names_that_kafka_takes_nowhere_do_not_become_good_ones() {
        let (ns, mut out) = (namespace("a."), String::new());
        for name in ["", ".", ".."] {
            assert_eq!(ns.map_topic(name, &mut out), name);
            assert_eq!(ns.unmap_topic(name), Some(name));
            assert_eq!(ns.unmap_topic(&format!("a.{name}")), None);
        }
    }

    #[test]
    fn the_gateways_own_topics_are_out_of_reach_for_the_transparent_namespace_too() {
        let (ns, mut out) = (Namespace::new(None), String::new());
        assert_eq!(ns.map_topic("orders", &mut out), "orders");
        assert_eq!(ns.unmap_topic("orders"), Some("orders"));
        // The broker answers that the name is invalid, and the client reads the one that it sent.
        assert_eq!(ns.map_topic("_anabranch.state", &mut out), "_anabranch.state/");
        assert_eq!(ns.unmap_topic("_anabranch.state/"), Some("_anabranch.state"));
        assert_eq!(ns.unmap_topic("_anabranch.state"), None);
    }
}
