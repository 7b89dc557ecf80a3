//! The prefix of a virtual cluster, put before every name and taken off again.

use crate::config::INTERNAL_TOPICS;
use std::sync::Arc;

/// Behind the name of one of the gateway's own topics it makes a name that no topic can have.
const NOT_IN_NAMES: &str = "/";

/// What stands in a text for the name of a topic that is not the tenant's.
const ANOTHERS: &str = "(not in this cluster)";

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

    /// A text of the broker in virtual names: the prefix is taken out, and the limit that the broker names becomes the
    /// tenant's own.
    pub fn unmap_text(&self, text: &str) -> String {
        if self.is_transparent() {
            return text.to_owned();
        }
        let limit = TOPIC_NAME_MAX.saturating_sub(self.prefix().len());
        let mut out = String::with_capacity(text.len());
        let text = self.without_lookalikes(text);
        let mut rest = text.as_str();
        while let Some(at) = rest.find(self.prefix()) {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            let (prefix, after) = after.split_at(self.prefix().len());
            // The prefix of a name begins a word and does not end it: "No metadata." and "has no data." stay with "data.".
            // Behind it comes whatever the client called a name, also what Kafka does not take, or the quote of an empty one.
            let name = after.find(|c| !in_names(c)).unwrap_or(after.len());
            let before = out.chars().next_back();
            let ends_a_sentence = after.chars().next().is_none_or(char::is_whitespace) && before != Some('\'');
            if ends_a_sentence || before.is_some_and(in_names) {
                out.push_str(prefix);
            }
            out.push_str(&after[..name]);
            rest = &after[name..];
        }
        out.push_str(rest);
        out.replace("max allowed length 249", &format!("max allowed length {limit}"))
    }

    /// A broker takes '.' and '_' for the same when it looks whether a new topic collides with one that there is, and tells
    /// the other's name: a topic of nobody's that begins almost as the tenant's do. Nothing else tells another's name, and no
    /// rule that looks for the names of other tenants may stand here: it would tell in the echo of a request which there are.
    fn without_lookalikes(&self, text: &str) -> String {
        let prefix = comparable(self.prefix());
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c| !in_names(c)) {
            let name = piece.trim_end_matches(|c| !in_names(c));
            let lookalike = name.len() > prefix.len() && comparable(name).starts_with(&prefix);
            if lookalike && !name.starts_with(self.prefix()) {
                out.push_str(ANOTHERS);
                out.push_str(&piece[name.len()..]);
            } else {
                out.push_str(piece);
            }
        }
        out
    }
}

/// What names of topics are made of.
fn in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// As brokers compare the names of topics.
fn comparable(name: &str) -> String {
    name.replace('.', "_")
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

    #[test]
    fn texts_speak_of_virtual_names_and_of_the_tenants_own_limit() {
        let ns = namespace("team-a.");
        assert_eq!(ns.unmap_text("Topic 'team-a.orders' already exists."), "Topic 'orders' already exists.");
        assert_eq!(
            ns.unmap_text("the length of 'team-a.x' is longer than the max allowed length 249"),
            "the length of 'x' is longer than the max allowed length 242"
        );
    }

    #[test]
    fn a_text_does_not_tell_the_name_of_a_topic_that_collides_from_outside() {
        let ns = namespace("team-a.");
        assert_eq!(
            ns.unmap_text("Topic 'team-a.x.y' collides with existing topics: team-a_x_y, team-a.x_y, team-a.team-a_z."),
            "Topic 'x.y' collides with existing topics: (not in this cluster), x_y, team-a_z."
        );
        assert_eq!(ns.unmap_text("Unknown config name: team-a_"), "Unknown config name: team-a_");
    }
}
