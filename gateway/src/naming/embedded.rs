//! Topic names inside the bytes of the consumer protocol.
//!
//! Subscriptions and assignments of a `consumer` group travel as opaque bytes, but the broker parses them, to decide which
//! committed offsets may expire and to convert a group to the new protocol. So they hold physical names on the broker and
//! virtual ones at the client. A version that is not known is read as the newest that is, and what follows it stays.

use super::prefix::Namespace;
use crate::apis::plans;
use std::sync::LazyLock;
use wire::plan::{Plan, Role};
use wire::schema::Message;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, walk_open};

/// Which of the two kinds of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    /// What a member wants.
    Subscription,
    /// What a member got.
    Assignment,
}

/// In which direction names change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Virtual to physical.
    In,
    /// Physical to virtual; topics of others are left out.
    Out,
}

static SUBSCRIPTIONS: LazyLock<Vec<Plan>> = LazyLock::new(|| plans_of("ConsumerProtocolSubscription"));
static ASSIGNMENTS: LazyLock<Vec<Plan>> = LazyLock::new(|| plans_of("ConsumerProtocolAssignment"));

fn plans_of(name: &str) -> Vec<Plan> {
    Message::named(name)
        .map(|message| (0..=message.versions.max).map(|v| plans::embedded(message, v)).collect())
        .unwrap_or_default()
}

/// The names would make the bytes longer than they may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Maps the names in `bytes`, which may grow by `growth`; `None` where they are not of the consumer protocol and stay as they
/// are.
///
/// # Errors
/// [`TooLong`]
pub fn rewrite(
    namespace: &Namespace,
    kind: Embedded,
    direction: Direction,
    bytes: &[u8],
    growth: usize,
) -> Result<Option<Vec<u8>>, TooLong> {
    let Some((head, plan, body)) = parts(namespace, kind, bytes) else { return Ok(None) };
    let mut out = Segments::default();
    let mut names = Names { namespace, direction, growth, buffer: String::new() };
    match walk_open(plan, body, &mut names, &mut out) {
        Ok(()) => {}
        Err(Stop::Refused(too_long)) => return Err(too_long),
        Err(_) => return Ok(None),
    }
    let mut rewritten = Vec::with_capacity(head.len() + out.len());
    rewritten.extend_from_slice(head);
    out.slices(body, 0).for_each(|slice| rewritten.extend_from_slice(&slice));
    Ok(Some(rewritten))
}

/// The version's bytes, its plan, and what follows.
fn parts<'b>(namespace: &Namespace, kind: Embedded, bytes: &'b [u8]) -> Option<(&'b [u8], &'static Plan, &'b [u8])> {
    if namespace.is_transparent() {
        return None;
    }
    let (head, body) = bytes.split_at_checked(2)?;
    let version = usize::try_from(i16::from_be_bytes([head[0], head[1]])).ok()?;
    let plans = match kind {
        Embedded::Subscription => &*SUBSCRIPTIONS,
        Embedded::Assignment => &*ASSIGNMENTS,
    };
    Some((head, plans.get(version).or(plans.last())?, body))
}

struct Names<'a> {
    namespace: &'a Namespace,
    direction: Direction,
    /// Names may grow by this much together.
    growth: usize,
    buffer: String,
}

impl Visitor for Names<'_> {
    type Error = TooLong;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, TooLong> {
        let (Role::Topic, Value::Str(Some(name))) = (role, value) else { return Ok(Action::Keep) };
        if self.direction == Direction::In {
            self.growth = self.growth.checked_sub(self.namespace.prefix().len()).ok_or(TooLong)?;
        }
        Ok(match self.direction {
            Direction::In => Action::Str(self.namespace.map_topic(name, &mut self.buffer)),
            Direction::Out => match self.namespace.unmap_topic(name) {
                Some(name) => {
                    self.buffer.clear();
                    self.buffer.push_str(name);
                    Action::Str(&self.buffer)
                }
                None => Action::Drop,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wire::value;

    fn bytes(name: &str, version: i16, value: &serde_json::Value) -> Vec<u8> {
        let mut out = version.to_be_bytes().to_vec();
        out.extend(value::encode(Message::named(name).unwrap(), version.min(3), value).unwrap());
        out
    }

    /// More than any of these grows.
    const ENOUGH: usize = 1_000;

    fn both_ways(kind: Embedded, name: &str, version: i16, given: &serde_json::Value, physical: &serde_json::Value) {
        let ns = Namespace::new(Some("a.".into()));
        let before = bytes(name, version, given);
        let mapped = rewrite(&ns, kind, Direction::In, &before, ENOUGH).unwrap().unwrap();
        assert_eq!(mapped, bytes(name, version, physical), "{name} {version}");
        assert_eq!(rewrite(&ns, kind, Direction::Out, &mapped, ENOUGH).unwrap().unwrap(), before);
    }

    #[test]
    fn topics_are_mapped_in_every_version() {
        for version in 0..=3 {
            let (given, physical) = (
                json!({"Topics": ["x", "y"], "UserData": "AAEC"}),
                json!({"Topics": ["a.x", "a.y"], "UserData": "AAEC"}),
            );
            both_ways(Embedded::Subscription, "ConsumerProtocolSubscription", version, &given, &physical);
            let (given, physical) = (
                json!({"AssignedPartitions": [{"Topic": "x", "Partitions": [0, 1]}]}),
                json!({"AssignedPartitions": [{"Topic": "a.x", "Partitions": [0, 1]}]}),
            );
            both_ways(Embedded::Assignment, "ConsumerProtocolAssignment", version, &given, &physical);
        }
    }

    #[test]
    fn owned_partitions_are_mapped_and_what_a_newer_version_appends_stays() {
        let ns = Namespace::new(Some("a.".into()));
        let given = json!({"Topics": ["x"], "OwnedPartitions": [{"Topic": "x", "Partitions": [0]}], "GenerationId": 3, "RackId": "r"});
        let mut newer = bytes("ConsumerProtocolSubscription", 9, &given);
        newer.extend_from_slice(b"future");
        let mapped = rewrite(&ns, Embedded::Subscription, Direction::In, &newer, ENOUGH).unwrap().unwrap();
        assert!(mapped.ends_with(b"future") && mapped.starts_with(&[0, 9]));
        assert_eq!(rewrite(&ns, Embedded::Subscription, Direction::Out, &mapped, ENOUGH).unwrap().unwrap(), newer);
    }

    #[test]
    fn a_thousand_short_names_behind_a_long_prefix_are_too_long() {
        let ns = Namespace::new(Some("a".repeat(100).into()));
        let given = bytes("ConsumerProtocolSubscription", 0, &json!({ "Topics": vec!["x"; 1_000] }));
        let mapped = |growth| rewrite(&ns, Embedded::Subscription, Direction::In, &given, growth);
        assert_eq!(mapped(99_999), Err(TooLong));
        assert_eq!(mapped(100_000).unwrap().unwrap().len(), given.len() + 100_000);
    }

    #[test]
    fn garbage_is_left_alone() {
        let ns = Namespace::new(Some("a.".into()));
        for garbage in [&b""[..], b"\0", b"\xff\xff1234", b"\0\x01\x7f\xff\xff\xff"] {
            assert_eq!(rewrite(&ns, Embedded::Subscription, Direction::In, garbage, ENOUGH), Ok(None));
        }
    }

    #[test]
    fn a_topic_of_another_tenant_does_not_come_out() {
        let ns = Namespace::new(Some("a.".into()));
        let given =
            json!({"AssignedPartitions": [{"Topic": "b.x", "Partitions": [0]}, {"Topic": "a.y", "Partitions": [1]}]});
        let given = bytes("ConsumerProtocolAssignment", 1, &given);
        let out = rewrite(&ns, Embedded::Assignment, Direction::Out, &given, ENOUGH).unwrap().unwrap();
        let expected = json!({"AssignedPartitions": [{"Topic": "y", "Partitions": [1]}]});
        assert_eq!(out, bytes("ConsumerProtocolAssignment", 1, &expected));
    }
}
