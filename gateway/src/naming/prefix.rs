//! The prefix of a virtual cluster, put before every name and taken off again.

use crate::config::INTERNAL_TOPICS;
use std::sync::Arc;

/// Behind the name of one of the gateway's own topics it makes a name that no topic can have.
const NOT_IN_NAMES: &str = "/";

/// The longest name of a topic that Kafka takes.
pub const TOPIC_NAME_MAX: usize = 249;

/// The names of one virtual cluster. Without a prefix it is the transparent one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    prefix: Option<Arc<str>>,
}

impl Namespace {
    /// The namespace of a prefix; `None` is the transparent one.
    pub const fn new(prefix: Option<Arc<str>>) -> Self {
        Self { prefix }
    }

    /// Whether names are left as they are.
    pub const fn is_transparent(&self) -> bool {
        self.prefix.is_none()
    }

    /// The prefix; empty for the transparent namespace.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or("")
    }

    /// The physical name of a topic, written to `out`. Names that Kafka takes nowhere (empty, `.`, `..`) stay what they are,
    /// so that the broker refuses them; with a prefix they would be good names.
    pub fn map_topic<'o>(&self, name: &str, out: &'o mut String) -> &'o str {
        if self.hides(name) {
            put(out, name, NOT_IN_NAMES)
        } else if is_reserved(name) {
            put(out, "", name)
        } else {
            put(out, self.prefix(), name)
        }
    }

    /// Whether a topic is one of the gateway's own, which the transparent namespace would show as well.
    pub fn hides(&self, physical: &str) -> bool {
        self.is_transparent() && physical.starts_with(INTERNAL_TOPICS)
    }

    /// The physical name of a group or transactional id, written to `out`.
    pub fn map_id<'o>(&self, name: &str, out: &'o mut String) -> &'o str {
        put(out, self.prefix(), name)
    }

    /// The virtual name of a physical topic; `None` if it is not the tenant's.
    pub fn unmap_topic<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.hides(name) {
            name.strip_suffix(NOT_IN_NAMES)
        } else if is_reserved(name) {
            Some(name)
        } else {
            self.unmap_id(name).filter(|n| !is_reserved(n))
        }
    }

    /// The virtual name of a physical group or transactional id; `None` if it is not the tenant's.
    pub fn unmap_id<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.prefix())
    }
}

fn is_reserved(name: &str) -> bool {
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
