//! Topic names inside the bytes of the consumer protocol.
//!
//! Subscriptions and assignments of a `consumer` group travel as opaque bytes, but the broker parses them, to decide which
//! committed offsets may expire and to convert a group to the new protocol. So they hold physical names on the broker and
//! virtual ones at the client. A version that is not known is read as the newest that is, and what follows it stays.
//!
//! Bytes that can't be read so are none of the broker's business either: a member of a consumer group gets them back as they were
//! sent, but at the broker they are veiled, so that it can't read in them what was not mapped here.

mod lent;

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

/// Stands before bytes that could not be mapped. Brokers take no version below zero.
const VEIL: [u8; 8] = *b"\xff\xffopaque";

/// In which direction names change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
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

/// What goes to the broker for `bytes`, where they change; names may grow by `growth` together. `consumer` tells whether the group's protocol is the consumer's; where
/// nobody says, bytes that are of the consumer protocol to the last one are taken for such.
///
/// # Errors
/// [`TooLong`]
pub fn incoming(
    namespace: &Namespace,
    kind: Embedded,
    consumer: Option<bool>,
    bytes: &[u8],
    growth: usize,
) -> Result<Option<Vec<u8>>, TooLong> {
    if leaves_names(namespace) || bytes.is_empty() {
        return Ok(None);
    }
    let mapped = if consumer == Some(false) { None } else { rewrite(namespace, kind, Direction::In, bytes, growth)? };
    let veiled = mapped.is_none() && (consumer == Some(true) || bytes.starts_with(&VEIL));
    if veiled && growth < VEIL.len() {
        return Err(TooLong);
    }
    Ok(mapped.or_else(|| veiled.then(|| [&VEIL, bytes].concat())))
}

/// What goes to the client for `bytes`, where they change.
pub fn outgoing(namespace: &Namespace, kind: Embedded, consumer: Option<bool>, bytes: &[u8]) -> Option<Vec<u8>> {
    if leaves_names(namespace) || bytes.is_empty() {
        return None;
    }
    if let Some(own) = bytes.strip_prefix(&VEIL) {
        return Some(own.to_vec());
    }
    // Names lose the prefix on the way out: nothing grows.
    let mapped = if consumer == Some(false) { Ok(None) } else { rewrite(namespace, kind, Direction::Out, bytes, 0) };
    // What a member of a consumer group sent came back above; whose these are, nobody can tell.
    mapped.unwrap_or(None).or_else(|| (consumer == Some(true)).then(Vec::new))
}

fn leaves_names(namespace: &Namespace) -> bool {
    namespace.is_transparent() && namespace.lends_topics().is_none()
}

/// Maps the names in `bytes`; `None` where they are not of the consumer protocol.
fn rewrite(
    namespace: &Namespace,
    kind: Embedded,
    direction: Direction,
    bytes: &[u8],
    growth: usize,
) -> Result<Option<Vec<u8>>, TooLong> {
    if namespace.lends_topics().is_some() {
        return lent::rewrite(namespace, kind, direction, bytes, growth);
    }
    let Some((head, plan, body)) = parts(kind, bytes) else { return Ok(None) };
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
fn parts(kind: Embedded, bytes: &[u8]) -> Option<(&[u8], &'static Plan, &[u8])> {
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
            self.growth = self.growth.checked_sub(self.namespace.growth()).ok_or(TooLong)?;
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

    /// [`super::incoming`], where more may be added than is.
    fn incoming(namespace: &Namespace, kind: Embedded, consumer: Option<bool>, bytes: &[u8]) -> Option<Vec<u8>> {
        super::incoming(namespace, kind, consumer, bytes, 1_000).unwrap()
    }

    fn both_ways(kind: Embedded, name: &str, version: i16, given: &serde_json::Value, physical: &serde_json::Value) {
        let ns = Namespace::new(Some("a.".into()));
        let before = bytes(name, version, given);
        let mapped = incoming(&ns, kind, Some(true), &before).unwrap();
        assert_eq!(mapped, bytes(name, version, physical), "{name} {version}");
        assert_eq!(outgoing(&ns, kind, None, &mapped).unwrap(), before);
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
        let mapped = incoming(&ns, Embedded::Subscription, None, &newer).unwrap();
        assert!(mapped.ends_with(b"future") && mapped.starts_with(&[0, 9]));
        assert_eq!(outgoing(&ns, Embedded::Subscription, Some(true), &mapped).unwrap(), newer);
    }

    #[test]
    fn a_thousand_short_names_behind_a_long_prefix_are_too_long() {
        let ns = Namespace::new(Some("a".repeat(100).into()));
        let given = bytes("ConsumerProtocolSubscription", 0, &json!({ "Topics": vec!["x"; 1_000] }));
        let mapped = |growth| super::incoming(&ns, Embedded::Subscription, None, &given, growth);
        assert_eq!(mapped(99_999), Err(TooLong));
        assert_eq!(mapped(100_000).unwrap().unwrap().len(), given.len() + 100_000);
    }

    #[test]
    fn garbage_comes_back_as_it_was_sent_and_is_none_for_the_broker() {
        let ns = Namespace::new(Some("a.".into()));
        // Kafka reads names that are no UTF-8; here they are none.
        let mut unread = bytes("ConsumerProtocolSubscription", 1, &json!({"Topics": ["b.secret", "x"]}));
        let at = unread.iter().rposition(|b| *b == b'x').unwrap();
        unread[at] = 0xff;
        for garbage in [b"\0".as_slice(), b"\xff\xff1234", b"\0\x01\x7f\xff\xff\xff", &unread, &VEIL] {
            let veiled = incoming(&ns, Embedded::Subscription, Some(true), garbage).unwrap();
            assert!(veiled.starts_with(b"\xff\xff"), "a version that no broker takes");
            assert_eq!(outgoing(&ns, Embedded::Subscription, Some(true), &veiled).unwrap(), garbage);
        }
        assert_eq!(incoming(&ns, Embedded::Assignment, Some(true), b""), None, "nothing is assigned");
    }

    #[test]
    fn what_nobody_sent_through_a_gateway_does_not_come_out_of_a_consumer_group() {
        let ns = Namespace::new(Some("a.".into()));
        assert_eq!(outgoing(&ns, Embedded::Assignment, Some(true), b"b.secret"), Some(Vec::new()));
    }

    #[test]
    fn other_protocols_are_opaque() {
        let ns = Namespace::new(Some("a.".into()));
        let assignment = json!({"AssignedPartitions": [{"Topic": "x", "Partitions": [0]}]});
        let known = bytes("ConsumerProtocolAssignment", 1, &assignment);
        for opaque in [known.as_slice(), b"a worker's"] {
            assert_eq!(incoming(&ns, Embedded::Assignment, Some(false), opaque), None);
            assert_eq!(outgoing(&ns, Embedded::Assignment, Some(false), opaque), None);
        }
        assert_eq!(incoming(&ns, Embedded::Assignment, None, b"a worker's"), None);
        // What looks as if it were veiled here comes back as well.
        let veiled = incoming(&ns, Embedded::Assignment, Some(false), &VEIL).unwrap();
        assert_eq!(outgoing(&ns, Embedded::Assignment, Some(false), &veiled).unwrap(), VEIL);
    }

    #[test]
    fn a_topic_of_another_tenant_does_not_come_out() {
        let ns = Namespace::new(Some("a.".into()));
        let given =
            json!({"AssignedPartitions": [{"Topic": "b.x", "Partitions": [0]}, {"Topic": "a.y", "Partitions": [1]}]});
        let out = outgoing(&ns, Embedded::Assignment, None, &bytes("ConsumerProtocolAssignment", 1, &given)).unwrap();
        let expected = json!({"AssignedPartitions": [{"Topic": "y", "Partitions": [1]}]});
        assert_eq!(out, bytes("ConsumerProtocolAssignment", 1, &expected));
    }
}
