//! What is put into a field of each role, and what must become of it.

use super::message::{Leaf, drop_around, filled, leaves, set};
use crate::model::Given;
use crate::runner::{self, BROKER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::apis::roles;
use gateway::naming::Tenant;
use serde_json::{Value, json};
use wire::plan::{Place, Role};
use wire::schema::Message;
use wire::value;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From a client to a broker.
    In,
    /// From a broker to a client.
    Out,
}

/// What must become of a field.
#[derive(Debug, Clone)]
pub(super) enum Expect {
    /// It has this value, and nothing else in the message changed.
    Is(Value),
    /// It has this value; it says what others are, so that they change.
    Alone(Value),
    /// The array element around it is left out and nothing else changed; without one the whole message is withheld.
    Gone,
    /// The whole message is refused.
    Refused,
    /// Whatever goes out, what was put there is nowhere in it.
    Hidden,
}

/// One thing that is put into a field.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) put: Value,
    /// Fields near it that say what it is.
    pub(super) beside: Vec<(Role, Value)>,
    /// Fields of the request before it.
    pub(super) asked: Vec<(Role, Value)>,
    /// Only where no field of these roles stands beside it.
    pub(super) alone: Vec<Role>,
    pub(super) expect: Expect,
}

impl Probe {
    fn new(name: &'static str, put: impl Into<Value>, expect: Expect) -> Self {
        Self { name, put: put.into(), beside: Vec::new(), asked: Vec::new(), alone: Vec::new(), expect }
    }

    fn is(name: &'static str, put: impl Into<Value>, becomes: impl Into<Value>) -> Self {
        Self::new(name, put, Expect::Is(becomes.into()))
    }

    fn kept(name: &'static str, put: impl Into<Value> + Clone) -> Self {
        Self::is(name, put.clone(), put)
    }

    fn beside(mut self, role: Role, value: impl Into<Value>) -> Self {
        self.beside.push((role, value.into()));
        self
    }

    fn without(mut self, role: Role) -> Self {
        self.alone.push(role);
        self
    }

    fn asked(mut self, role: Role, value: impl Into<Value>) -> Self {
        self.asked.push((role, value.into()));
        self
    }
}

/// The tenant's own topic, as it is known by id.
const OWN: [u8; 16] = [1; 16];
/// Another tenant's.
pub(super) const FOREIGN: [u8; 16] = [0xEE; 16];
/// One that nobody has seen.
const UNKNOWN: [u8; 16] = [0xDD; 16];
/// A fetch session that was issued to the tenant.
const SESSION: i32 = 5;

/// The virtual clusters that messages are carried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cluster {
    /// One with a prefix.
    Prefixed,
    /// The transparent one, which sees everything but the gateway's own topics.
    Transparent,
}

impl Cluster {
    fn prefix(self) -> &'static str {
        if self == Self::Prefixed { "team-a." } else { "" }
    }

    pub(super) fn tenant(self) -> Tenant {
        let prefix = (self == Self::Prefixed).then(|| self.prefix().to_owned());
        let tenant = runner::tenant(&Given { prefix, ..Given::default() });
        tenant.topic_ids.learn(OWN, "team-a.own");
        let foreign = if self == Self::Prefixed { "team-b.sentinel" } else { "_anabranch.state" };
        tenant.topic_ids.learn(FOREIGN, foreign);
        tenant.fetch_sessions.issue(self.prefix(), BROKER, SESSION);
        tenant.fetch_sessions.issue("team-b.", BROKER, SESSION + 1);
        tenant
    }
}

fn veiled(of: [u8; 16]) -> [u8; 16] {
    // The key is the same for all of them.
    Cluster::Prefixed.tenant().topic_ids.veil(of)
}

fn id(id: [u8; 16]) -> Value {
    json!(value::uuid_text(&id))
}

/// A key of a coordinator of share groups.
fn share_key(group: &str, id: [u8; 16]) -> String {
    format!("{group}:{}:0", value::uuid_text(&id))
}

/// What stands in the fields that are not probed.
pub(super) fn harmless(cluster: Cluster, way: Way, place: Place<'_>) -> Option<Value> {
    let name = if way == Way::In { "own".to_owned() } else { format!("{}own", cluster.prefix()) };
    let name = name.as_str();
    Some(match roles::role_of(place)? {
        Role::Topic | Role::TopicCursor | Role::Group | Role::TransactionalId => json!(name),
        Role::CoordinatorKey | Role::ResourceName => json!(name),
        Role::SettingName => json!("num.partitions"),
        Role::LogDir => json!("/disk-1"),
        Role::TopicId => id(OWN),
        Role::Subscription => embedded("ConsumerProtocolSubscription", 1, name, None),
        Role::Assignment => embedded("ConsumerProtocolAssignment", 1, name, None),
        Role::ProtocolType => json!("consumer"),
        Role::ResourceType => json!(2),
        Role::CoordinatorType | Role::FetchSessionId => json!(0),
        Role::FetchSessionEpoch | Role::ReplicaId => json!(-1),
        Role::BrokerId => json!(1),
        Role::Host => json!("physical"),
        Role::Port => json!(9092),
        Role::ClusterId => json!("physical-cluster"),
        _ => return None,
    })
}

/// Bytes of the consumer protocol with `name` everywhere, or with `put` at one path.
fn embedded(message: &str, version: i16, name: &str, put: Option<(&str, &str)>) -> Value {
    let message = Message::named(message).unwrap();
    let mut given = filled(message, version, &|place| named(place, name));
    if let Some((path, put)) = put {
        set(&mut given, path, json!(put));
    }
    encoded(message, version, &given)
}

fn named(place: Place<'_>, name: &str) -> Option<Value> {
    (roles::role_of(place) == Some(Role::Topic)).then(|| json!(name))
}

fn encoded(message: &'static Message, version: i16, given: &Value) -> Value {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(value::encode(message, version, given).unwrap());
    json!(STANDARD.encode(bytes))
}

/// What is put into a field; nothing for a role that is not known here.
pub(super) fn probes(cluster: Cluster, way: Way, leaf: &Leaf) -> Vec<Probe> {
    let mut found = match (cluster, way) {
        (Cluster::Transparent, _) => transparent(way, leaf),
        (Cluster::Prefixed, Way::In) => request(leaf),
        (Cluster::Prefixed, Way::Out) => response(leaf),
    };
    if leaf.nullable && !found.is_empty() {
        found.push(Probe::kept("null", Value::Null));
    }
    found
}

/// Names stay what they are for the transparent cluster; the gateway's own topics are nobody's. The rest is as for the others.
fn transparent(way: Way, leaf: &Leaf) -> Vec<Probe> {
    const HIDDEN: &str = "_anabranch.state";
    let mut name = vec![Probe::kept("a name", "team-b.sentinel")];
    let hidden = match way {
        Way::In => Probe::is("the gateway's own", HIDDEN, "_anabranch.state/"),
        Way::Out => Probe::new("the gateway's own", HIDDEN, Expect::Gone),
    };
    let of = |kind: i32, mut probe: Probe| {
        probe.name = "of a kind";
        probe.beside(Role::ResourceType, kind)
    };
    match (leaf.role, way) {
        (Role::Topic, _) => [name, vec![hidden]].concat(),
        (Role::TopicCursor, Way::In) => name,
        (Role::TopicCursor, Way::Out) => [name, vec![Probe::new("the gateway's own", HIDDEN, Expect::Hidden)]].concat(),
        (Role::ResourceName, _) => {
            let kept = name.remove(0);
            vec![of(2, kept.clone()), of(32, kept.clone()), of(4, kept.clone()), of(16, kept), of(2, hidden)]
        }
        (Role::Group | Role::TransactionalId | Role::CoordinatorKey | Role::TopicRegex, _) => name,
        (Role::TransactionalIdRegex | Role::Subscription | Role::Assignment, _) => {
            vec![Probe::kept("as it is", STANDARD.encode("sentinel"))]
        }
        (Role::TopicId, Way::In) => vec![
            Probe::kept("anybody's", id(UNKNOWN)),
            Probe::is("the gateway's own", id(FOREIGN), id(veiled(FOREIGN))),
        ],
        (Role::TopicId, Way::Out) => vec![
            Probe::kept("anybody's", id(UNKNOWN)),
            Probe::new("the gateway's own", id(FOREIGN), Expect::Hidden).without(Role::Topic),
            Probe::is("what was sent", id(veiled(FOREIGN)), id(FOREIGN)).asked(Role::TopicId, id(FOREIGN)),
        ],
        (Role::ClusterId | Role::ErrorText | Role::LogDir | Role::SettingName, Way::Out) => {
            vec![Probe::kept("as it is", "team-b.sentinel")]
        }
        (Role::ReadOnly, Way::Out) => vec![Probe::kept("a broker's", false).beside(Role::ResourceType, 4)],
        (Role::VolumeBytes, Way::Out) => vec![Probe::kept("a size", 4711)],
        (_, Way::In) => request(leaf),
        (_, Way::Out) => response(leaf),
    }
}

fn request(leaf: &Leaf) -> Vec<Probe> {
    let renamed = || Probe::is("a name", "sentinel", "team-a.sentinel");
    match leaf.role {
        Role::Topic | Role::TopicCursor | Role::Group | Role::TransactionalId => {
            // The prefix of another is a name like any other.
            vec![renamed(), Probe::is("a foreign name", "team-b.x", "team-a.team-b.x")]
        }
        Role::CoordinatorKey => {
            let of = |kind: i32| renamed().beside(Role::CoordinatorType, kind);
            let share =
                |name, put: String, becomes: String| Probe::is(name, put, becomes).beside(Role::CoordinatorType, 2);
            let veiled = veiled(FOREIGN);
            vec![
                // Version 0 knows groups only.
                renamed().without(Role::CoordinatorType),
                of(0),
                of(1),
                share("a share partition", share_key("sentinel", OWN), share_key("team-a.sentinel", OWN)),
                share("a foreign one", share_key("sentinel", FOREIGN), share_key("team-a.sentinel", veiled)),
                share("no share partition", "sentinel:x:0".to_owned(), "team-a.sentinel:x:0:?".to_owned()),
            ]
        }
        Role::ResourceName => {
            let of = |kind: i32| renamed().beside(Role::ResourceType, kind);
            let refused =
                |kind: i32| Probe::new("of an operator", "sentinel", Expect::Gone).beside(Role::ResourceType, kind);
            vec![of(2), of(32), refused(8), refused(16)]
        }
        Role::TopicId => {
            let veiled = |of| id(veiled(of));
            vec![
                Probe::kept("its own", id(OWN)),
                Probe::is("a foreign one", id(FOREIGN), veiled(FOREIGN)),
                Probe::is("an unknown one", id(UNKNOWN), veiled(UNKNOWN)),
            ]
        }
        Role::Subscription => embedded_probes("ConsumerProtocolSubscription", Way::In),
        Role::Assignment => embedded_probes("ConsumerProtocolAssignment", Way::In),
        Role::TopicRegex | Role::TransactionalIdRegex => vec![
            Probe::is("a pattern", "^sentinel.*|b", "team\\-a\\.(?:(?s-s:)sentinel.*|b)"),
            Probe::new("one that climbs out", "a)|(?:team-b.*", Expect::Refused),
            Probe::kept("none", ""),
        ],
        Role::ClusterId => vec![Probe::is("the cluster's", "physical-cluster", Value::Null)],
        Role::ReplicaId => vec![Probe::is("a follower", 3, -1), Probe::kept("a debugging consumer", -2)],
        Role::FetchSessionId => {
            vec![
                Probe::new("another tenant's", SESSION + 1, Expect::Refused).beside(Role::FetchSessionEpoch, 1),
                Probe::new("nobody's", SESSION + 2, Expect::Refused).beside(Role::FetchSessionEpoch, 1),
                // What ends a session, and may begin another, ends none of them.
                Probe::is("another tenant's at its end", SESSION + 1, 0).beside(Role::FetchSessionEpoch, -1),
                Probe::is("nobody's anew", SESSION + 2, 0).beside(Role::FetchSessionEpoch, 0),
                Probe::kept("its own", SESSION),
            ]
        }
        Role::ProtocolType => vec![Probe::new("another protocol", "connect", Expect::Alone(json!("connect")))],
        Role::Records | Role::AuthBytes => vec![Probe::kept("bytes", STANDARD.encode("sentinel"))],
        Role::FetchSessionEpoch | Role::ShareSessionEpoch | Role::Acks => vec![Probe::kept("a number", 1)],
        Role::ResourceType => vec![Probe::kept("a group", 32)],
        Role::CoordinatorType => vec![Probe::kept("a transactional id", 1)],
        Role::Principal | Role::Mechanism | Role::Rack | Role::ErrorText => vec![Probe::kept("text", "sentinel")],
        _ => Vec::new(),
    }
}

/// A name, with `near` saying what it names.
fn names(near: &dyn Fn(Probe) -> Probe) -> Vec<Probe> {
    let own = near(Probe::is("its own", "team-a.sentinel", "sentinel"));
    let others =
        [("a foreign one", "team-b.sentinel"), ("a bare one", "sentinel"), ("nearly its own", "team-axsentinel")];
    let others = others.map(|(name, put)| near(Probe::new(name, put, Expect::Gone)));
    std::iter::once(own).chain(others).collect()
}

fn coordinator_keys() -> Vec<Probe> {
    let of = |kind: i32| move |probe: Probe| probe.asked(Role::CoordinatorType, kind);
    let share = |name, put: String, becomes: &str| Probe::is(name, put, becomes).asked(Role::CoordinatorType, 2);
    let theirs = Probe::new("a foreign one", share_key("team-b.sentinel", OWN), Expect::Gone);
    let shares = vec![
        share("a share partition", share_key("team-a.sentinel", OWN), &share_key("sentinel", OWN)),
        share("no share partition", "team-a.sentinel:x:0:?".to_owned(), "sentinel:x:0"),
        theirs.asked(Role::CoordinatorType, 2),
    ];
    [names(&of(0)), names(&of(1)), shares].concat()
}

/// Ids alone, beside no name and beside a name: a broker that says an id beside a name of the tenant's says whose it is.
fn topic_ids() -> Vec<Probe> {
    let veiled = veiled(FOREIGN);
    vec![
        Probe::kept("its own", id(OWN)),
        Probe::new("a foreign one", id(FOREIGN), Expect::Hidden).without(Role::Topic),
        Probe::new("a foreign one", id(FOREIGN), Expect::Hidden).beside(Role::Topic, Value::Null),
        Probe::new("a foreign topic's", id(FOREIGN), Expect::Gone).beside(Role::Topic, "team-b.sentinel"),
        Probe::new("an unknown one", id(UNKNOWN), Expect::Hidden).without(Role::Topic),
        Probe::new("an unknown one", id(UNKNOWN), Expect::Hidden).beside(Role::Topic, Value::Null),
        Probe::is("what was sent", id(veiled), id(FOREIGN)).asked(Role::TopicId, id(FOREIGN)),
    ]
}

fn response(leaf: &Leaf) -> Vec<Probe> {
    match leaf.role {
        Role::Topic | Role::Group | Role::TransactionalId => names(&|probe| probe),
        Role::TopicCursor => vec![
            Probe::is("its own", "team-a.sentinel", "sentinel"),
            Probe::new("a foreign one", "team-b.sentinel", Expect::Hidden),
        ],
        Role::CoordinatorKey => coordinator_keys(),
        Role::ResourceName => {
            let of = |kind: i32| move |probe: Probe| probe.beside(Role::ResourceType, kind);
            let others = Probe::new("of an operator", "sentinel", Expect::Gone).beside(Role::ResourceType, 16);
            [names(&of(2)), names(&of(32)), vec![others]].concat()
        }
        Role::TopicId => topic_ids(),
        Role::Subscription => embedded_probes("ConsumerProtocolSubscription", Way::Out),
        Role::Assignment => embedded_probes("ConsumerProtocolAssignment", Way::Out),
        Role::Host => vec![
            Probe::is("a broker's", "physical-2", "gateway").beside(Role::BrokerId, 2),
            Probe::new("nobody's", "physical-3", Expect::Hidden).beside(Role::BrokerId, -1),
        ],
        Role::Port => vec![
            Probe::is("a broker's", 9093, 9002).beside(Role::BrokerId, 2),
            Probe::is("nobody's", 9093, -1).beside(Role::BrokerId, -1),
        ],
        // A coordinator that is left out would be waited for: an error stands in its place.
        Role::BrokerId if matches!(leaf.path.as_str(), "NodeId" | "Coordinators.NodeId") => {
            vec![Probe::new("one without a port here", 3, Expect::Alone(json!(-1)))]
        }
        Role::BrokerId => vec![Probe::new("one without a port here", 3, Expect::Gone)],
        Role::TopicRegex => vec![
            Probe::is("its own", "team\\-a\\.(?:(?s-s:)sentinel.*|b)", "^sentinel.*|b"),
            Probe::is("a foreign one", "team-b.sentinel.*", Value::Null),
        ],
        Role::ErrorText => vec![
            Probe::is("its own", "Topic 'team-a.sentinel' is.", "Topic 'sentinel' is."),
            Probe::is("one that collides", "'team-a_sentinel' is.", "'***' is."),
            Probe::new("a foreign one", "Topic 'team-b.sentinel' is.", Expect::Hidden),
        ],
        Role::ProtocolType => vec![Probe::new("another protocol", "connect", Expect::Alone(json!("connect")))],
        Role::Records | Role::AuthBytes => vec![Probe::kept("bytes", STANDARD.encode("sentinel"))],
        Role::ResourceType => vec![Probe::kept("a group", 32)],
        Role::FetchSessionId => vec![Probe::kept("a new one", 42)],
        Role::Principal | Role::Mechanism | Role::Rack => vec![Probe::kept("text", "sentinel")],
        _ => physical(leaf),
    }
}

/// What tells of the brokers that all tenants share.
fn physical(leaf: &Leaf) -> Vec<Probe> {
    match leaf.role {
        Role::SettingName => vec![
            Probe::kept("a topic's", "sentinel"),
            Probe::kept("a broker's that is shown", "message.max.bytes").beside(Role::ResourceType, 4),
            Probe::new("a broker's that is not", "listeners", Expect::Hidden).beside(Role::ResourceType, 4),
        ],
        Role::ReadOnly => {
            vec![Probe::kept("a topic's", false), Probe::is("a broker's", false, true).beside(Role::ResourceType, 4)]
        }
        Role::ErrorCode => vec![
            Probe::kept("a broker's", 14),
            Probe::is("beside a broker without a port", 0, 8).beside(Role::BrokerId, 3),
        ],
        Role::ClusterId => vec![Probe::is("the cluster's", "physical-2", "virtual-cluster")],
        Role::LogDir => vec![Probe::is("a path", "/disk-2", "/log-dir-1")],
        Role::VolumeBytes => vec![Probe::is("a size", 4711, -1)],
        _ => Vec::new(),
    }
}

/// A sentinel in each field of the embedded bytes that names something, at each of their versions.
fn embedded_probes(name: &str, way: Way) -> Vec<Probe> {
    let message = Message::named(name).unwrap();
    let mut found = Vec::new();
    for version in message.versions.min..=message.versions.max {
        for leaf in leaves(message, version, &roles::role_of) {
            let bytes = |put: &str, name: &str| embedded(message.name, version, name, Some((leaf.path.as_str(), put)));
            match way {
                Way::In => found.push(Probe::is(
                    "a name inside",
                    bytes("sentinel", "own"),
                    bytes("team-a.sentinel", "team-a.own"),
                )),
                Way::Out => {
                    found.push(Probe::is(
                        "its own inside",
                        bytes("team-a.sentinel", "team-a.own"),
                        bytes("sentinel", "own"),
                    ));
                    let mut one_less = filled(message, version, &|place| named(place, "own"));
                    assert!(drop_around(message, version, &mut one_less, &leaf.path));
                    let one_less = encoded(message, version, &one_less);
                    found.push(Probe::is("a foreign one inside", bytes("team-b.sentinel", "team-a.own"), one_less));
                }
            }
        }
    }
    let opaque = STANDARD.encode("another protocol's own");
    found.push(Probe::kept("another protocol's", opaque).beside(Role::ProtocolType, "connect"));
    found
}
