//! Looks into what the gateway would send, without the mapping's own code: whose is each name and id in it?

use crate::tenant::{HOST, SESSION, THEIRS};
use gateway::apis::plans;
use gateway::naming::Tenant;
use gateway::naming::embedded::Embedded;
use gateway::naming::request::Asked;
use std::collections::HashSet;
use std::convert::Infallible;
use wire::plan::Role;
use wire::schema::{ApiKey, Message};
use wire::segments::Segments;
use wire::value;
use wire::walk::{Action, Value, Visitor, walk_open};

const TOPIC_RESOURCE: i32 = 2;
const BROKER_RESOURCE: i32 = 4;
const GROUP_RESOURCE: i32 = 32;

/// What was found that must not be there.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    pub(crate) fn assert_none(&self, key: ApiKey, version: i16) {
        assert!(self.0.is_empty(), "{key:?} {version}: {}", self.0.join(", "));
    }

    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    /// Bytes of the consumer protocol for the broker, if they are any.
    pub(crate) fn embedded(&mut self, tenant: &Tenant, kind: Embedded, bytes: &[u8]) {
        if tenant.namespace.is_transparent() {
            return;
        }
        let message = match kind {
            Embedded::Subscription => "ConsumerProtocolSubscription",
            Embedded::Assignment => "ConsumerProtocolAssignment",
        };
        let message = Message::named(message).unwrap();
        let Some((head, body)) = bytes.split_at_checked(2) else { return };
        let version = i16::from_be_bytes([head[0], head[1]]);
        if version < 0 {
            return;
        }
        let mut inside = Sent::new(tenant);
        let plan = plans::embedded(message, version.min(message.versions.max));
        // What is not of the protocol is opaque to the broker too.
        if walk_open(&plan, body, &mut inside, &mut Segments::default()).is_ok() {
            self.0.append(&mut inside.violations.0);
        }
    }
}

/// A request as the broker would get it.
pub(crate) struct Sent<'a> {
    tenant: &'a Tenant,
    resource: i32,
    consumer: bool,
    pub(crate) violations: Violations,
}

impl<'a> Sent<'a> {
    pub(crate) fn new(tenant: &'a Tenant) -> Self {
        Self { tenant, resource: 0, consumer: true, violations: Violations::default() }
    }

    fn topic(&mut self, name: &str) {
        let prefix = self.tenant.namespace.prefix();
        // No topic can be called so, whoever asks.
        let nobodys = matches!(name, "" | "." | "..") || name.contains('/');
        let fine = nobodys || (name.starts_with(prefix) && !name.starts_with("_anabranch."));
        self.violations.unless(fine, || format!("topic {name:?}"));
    }

    fn id(&mut self, role: Role, name: &str) {
        let fine = name.is_empty() || name.starts_with(self.tenant.namespace.prefix());
        self.violations.unless(fine, || format!("{role:?} {name:?}"));
    }
}

impl Visitor for Sent<'_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        let transparent = self.tenant.namespace.is_transparent();
        match (role, value) {
            (Role::Topic, Value::Str(Some(name))) => self.topic(name),
            (Role::TopicCursor, Value::Str(Some(name))) if !transparent => self.topic(name),
            (Role::Group | Role::TransactionalId | Role::CoordinatorKey, Value::Str(Some(name))) => self.id(role, name),
            (Role::ResourceType, Value::Int(ty)) => self.resource = ty,
            (Role::ResourceName, Value::Str(Some(name))) => match self.resource {
                TOPIC_RESOURCE => self.topic(name),
                GROUP_RESOURCE => self.id(role, name),
                // Brokers may be asked for settings, of which some are shown.
                BROKER_RESOURCE => {}
                other => self.violations.unless(transparent, || format!("resource {name:?} of type {other}")),
            },
            (Role::TopicId, Value::Uuid(id)) => {
                self.violations.unless(id != THEIRS || transparent, || "a foreign topic id".to_owned());
            }
            (Role::TopicRegex | Role::TransactionalIdRegex, Value::Str(Some(pattern))) => {
                let inside = pattern.is_empty() || transparent || pattern.starts_with("team\\-a\\.(?:");
                self.violations.unless(inside && (transparent || pattern.is_empty() || pattern.ends_with(')')), || {
                    format!("pattern {pattern:?}")
                });
            }
            (Role::ClusterId, Value::Str(Some(id))) => self.violations.unless(false, || format!("cluster id {id:?}")),
            (Role::ReplicaId, Value::Int(id)) => self.violations.unless(id < 0, || format!("follower {id}")),
            (Role::FetchSessionId, Value::Int(id)) => {
                self.violations.unless(matches!(id, 0 | SESSION), || format!("fetch session {id}"));
            }
            (Role::ProtocolType, Value::Str(Some(ty))) => self.consumer = ty == "consumer",
            (Role::Subscription, Value::Bytes(Some(bytes))) if self.consumer => {
                self.violations.embedded(self.tenant, Embedded::Subscription, bytes);
            }
            (Role::Assignment, Value::Bytes(Some(bytes))) if self.consumer => {
                self.violations.embedded(self.tenant, Embedded::Assignment, bytes);
            }
            _ => {}
        }
        Ok(Action::Keep)
    }
}

/// An answer as the client would get it, compared with what the broker had sent.
pub(crate) struct Answered<'a> {
    tenant: &'a Tenant,
    asked: &'a Asked,
    /// The tenant's names in the broker's answer, without the prefix.
    ours: HashSet<String>,
    /// Foreign ids that stood beside a name of the tenant's: the broker said that they are the tenant's.
    given: HashSet<[u8; 16]>,
    node: i32,
    resource: i32,
    pub(crate) violations: Violations,
}

impl<'a> Answered<'a> {
    pub(crate) fn new(tenant: &'a Tenant, asked: &'a Asked) -> Self {
        let (ours, given) = (HashSet::new(), HashSet::new());
        Self { tenant, asked, ours, given, node: -1, resource: 0, violations: Violations::default() }
    }

    /// Takes note of what came from the broker.
    pub(crate) fn came(&mut self) -> Came<'_, 'a> {
        Came { into: self, beside_ours: false, before: None }
    }
}

/// See [`Answered::came`].
pub(crate) struct Came<'c, 'a> {
    into: &'c mut Answered<'a>,
    beside_ours: bool,
    /// An id whose name may follow.
    before: Option<[u8; 16]>,
}

impl Visitor for Came<'_, '_> {
    type Error = Infallible;

    fn element(&mut self) {
        (self.beside_ours, self.before) = (false, None);
    }

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        match (role, value) {
            (_, Value::Str(Some(text))) if names_entity(role) => {
                let name = text.strip_prefix(self.into.tenant.namespace.prefix());
                self.beside_ours = role == Role::Topic && name.is_some_and(|name| !name.is_empty());
                if self.beside_ours {
                    self.into.given.extend(self.before.take());
                }
                self.into.ours.extend(name.map(str::to_owned));
                // What stands for the gateway's own topics comes back as it was asked for, as do keys that are none.
                self.into.ours.extend(text.strip_suffix('/').map(str::to_owned));
                self.into.ours.extend(name.and_then(|name| name.strip_suffix(":?")).map(str::to_owned));
                let veiled = value::uuid_text(&self.into.tenant.topic_ids.veil(THEIRS));
                self.into.ours.extend(name.map(|name| name.replace(&veiled, &value::uuid_text(&THEIRS))));
            }
            (Role::TopicId, Value::Uuid(id)) if self.beside_ours => {
                let _ = self.into.given.insert(id);
            }
            (Role::TopicId, Value::Uuid(id)) => self.before = Some(id),
            _ => {}
        }
        Ok(Action::Keep)
    }
}

const fn names_entity(role: Role) -> bool {
    matches!(role, Role::Topic | Role::Group | Role::TransactionalId | Role::CoordinatorKey | Role::ResourceName)
}

impl Visitor for Answered<'_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        let transparent = self.tenant.namespace.is_transparent();
        match (role, value) {
            (Role::ResourceType, Value::Int(ty)) => self.resource = ty,
            (Role::ResourceName, Value::Str(Some(name)))
                if transparent || self.resource == BROKER_RESOURCE || name.parse::<i32>().is_ok() => {}
            (Role::TopicCursor, Value::Str(Some(_))) if transparent => {}
            (_, Value::Str(Some(name))) if names_entity(role) => {
                let fine = matches!(name, "" | "." | "..") || self.ours.contains(name);
                self.violations.unless(fine, || format!("{role:?} {name:?}"));
            }
            (Role::TopicId, Value::Uuid(THEIRS)) => {
                let veiled = self.asked.veiled.contains(&self.tenant.topic_ids.veil(THEIRS));
                let fine = transparent || veiled || self.given.contains(&THEIRS);
                self.violations.unless(fine, || "a foreign topic id".to_owned());
            }
            (Role::BrokerId, Value::Int(id)) => self.node = id,
            (Role::Host, Value::Str(Some(host))) if self.node >= 0 => {
                self.violations.unless(host == HOST, || format!("host {host:?}"));
            }
            (Role::ClusterId, Value::Str(Some(id))) => {
                self.violations.unless(transparent || id == &*self.tenant.cluster_id, || format!("cluster id {id:?}"));
            }
            _ => {}
        }
        Ok(Action::Keep)
    }
}
