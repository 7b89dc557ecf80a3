//! One thing that is put into a field, and the virtual clusters for which it is.

use super::message::{filled, set};
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
    pub(super) fn new(name: &'static str, put: impl Into<Value>, expect: Expect) -> Self {
        Self { name, put: put.into(), beside: Vec::new(), asked: Vec::new(), alone: Vec::new(), expect }
    }

    /// Nothing is put anywhere.
    pub(super) fn none() -> Self {
        Self::new("nothing", Value::Null, Expect::Hidden)
    }

    pub(super) fn is(name: &'static str, put: impl Into<Value>, becomes: impl Into<Value>) -> Self {
        Self::new(name, put, Expect::Is(becomes.into()))
    }

    pub(super) fn kept(name: &'static str, put: impl Into<Value> + Clone) -> Self {
        Self::is(name, put.clone(), put)
    }

    pub(super) fn beside(mut self, role: Role, value: impl Into<Value>) -> Self {
        self.beside.push((role, value.into()));
        self
    }

    pub(super) fn without(mut self, role: Role) -> Self {
        self.alone.push(role);
        self
    }

    pub(super) fn asked(mut self, role: Role, value: impl Into<Value>) -> Self {
        self.asked.push((role, value.into()));
        self
    }
}

/// The tenant's own topic, as it is known by id.
pub(super) const OWN: [u8; 16] = [1; 16];
/// Another tenant's.
pub(super) const FOREIGN: [u8; 16] = [0xEE; 16];
/// One that nobody has seen.
pub(super) const UNKNOWN: [u8; 16] = [0xDD; 16];
/// A fetch session that was issued to the tenant.
pub(super) const SESSION: i32 = 5;

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

pub(super) fn veiled(of: [u8; 16]) -> [u8; 16] {
    // The key is the same for all of them.
    Cluster::Prefixed.tenant().topic_ids.veil(of)
}

pub(super) fn id(id: [u8; 16]) -> Value {
    json!(value::uuid_text(&id))
}

/// A key of a coordinator of share groups.
pub(super) fn share_key(group: &str, id: [u8; 16]) -> String {
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
pub(super) fn embedded(message: &str, version: i16, name: &str, put: Option<(&str, &str)>) -> Value {
    let message = Message::named(message).unwrap();
    let mut given = filled(message, version, &|place| named(place, name));
    if let Some((path, put)) = put {
        set(&mut given, path, json!(put));
    }
    encoded(message, version, &given)
}

pub(super) fn named(place: Place<'_>, name: &str) -> Option<Value> {
    (roles::role_of(place) == Some(Role::Topic)).then(|| json!(name))
}

pub(super) fn encoded(message: &'static Message, version: i16, given: &Value) -> Value {
    let mut bytes = version.to_be_bytes().to_vec();
    bytes.extend(value::encode(message, version, given).unwrap());
    json!(STANDARD.encode(bytes))
}
