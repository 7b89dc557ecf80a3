//! An answer in physical names becomes one in virtual names; what is not the tenant's is left out.

use super::embedded::{self, Direction, Embedded};
use super::request::{Asked, Coordinator, GROUP_RESOURCE, TOPIC_RESOURCE, group_must_be_named};
use super::share_key::{self, ShareKey};
use super::{OwnIds, Tenant, regex};
use crate::apis::plans;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, walk};

/// What brokers say where there is no port.
const NO_PORT: i32 = -1;

/// Why an answer can't be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The broker has no address that clients may see.
    #[error("broker {0} has no port on this gateway: raise clients.portCount")]
    NoAddress(i32),
}

/// What a mapping keeps between answers of one session.
#[derive(Debug, Default)]
pub struct Memory {
    own_ids: OwnIds,
    buffer: String,
    bytes: Vec<u8>,
}

/// What a mapping found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Entities of others that were left out where only the tenant's were asked for.
    pub violations: u32,
    /// Elements that were left out because their topic id is not known: look again, and what is left out then is a violation.
    pub unknown_ids: u32,
}

/// Maps the names of an answer that came from `broker` to a request that [`super::request::map`] sent.
///
/// # Errors
/// [`Stop::Malformed`] for an answer that is not what it should be, [`Stop::Refused`] where no honest one can be made.
#[allow(clippy::too_many_arguments, reason = "each is a different owner's; a struct would only be taken apart again")]
pub fn map(
    key: ApiKey,
    version: i16,
    body: &[u8],
    asked: &Asked,
    tenant: &Tenant,
    broker: i32,
    memory: &mut Memory,
    segments: &mut Segments,
) -> Result<Found, Stop<Unsendable>> {
    let mut names = Names {
        key,
        tenant,
        broker,
        memory,
        node: -1,
        resource: 0,
        session: 0,
        name_is_ours: false,
        id_awaits_name: None,
        consumer: asked.consumer_protocol.unwrap_or(true),
        asked,
        found: Found::default(),
    };
    walk(plans::response(key, version), body, &mut names, segments)?;
    Ok(names.found)
}

struct Names<'a> {
    key: ApiKey,
    tenant: &'a Tenant,
    broker: i32,
    memory: &'a mut Memory,
    /// The broker whose address follows.
    node: i32,
    resource: i32,
    /// The fetch session that the answer belongs to.
    session: i32,
    /// The name before an id in this element was the tenant's, so that the id is.
    name_is_ours: bool,
    /// An id in this element that the name behind it decides about.
    id_awaits_name: Option<[u8; 16]>,
    consumer: bool,
    asked: &'a Asked,
    found: Found,
}

impl Visitor for Names<'_> {
    type Error = Unsendable;

    fn element(&mut self) {
        self.name_is_ours = false;
        self.id_awaits_name = None;
    }

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Unsendable> {
        match (role, value) {
            (Role::Host, Value::Str(Some(_))) => self.host(),
            (Role::Port, Value::Int(_)) if self.node >= 0 => {
                self.tenant.addresses.of(self.node).map_or(Ok(Action::Drop), |(_, port)| Ok(Action::Int(port.into())))
            }
            (Role::Port, Value::Int(_)) => Ok(Action::Int(NO_PORT)),
            (_, Value::Str(Some(text))) => Ok(self.text(role, text)),
            (Role::TopicId, Value::Uuid(id)) => Ok(self.topic_id(id)),
            (Role::Subscription | Role::Assignment, Value::Bytes(Some(bytes))) => Ok(self.embedded(role, bytes)),
            (_, Value::Int(number)) => {
                self.number(role, number);
                Ok(Action::Keep)
            }
            _ => Ok(Action::Keep),
        }
    }
}

impl Names<'_> {
    /// The address of a broker, or none: an element of a list is left out, a single answer can't be given.
    fn host(&mut self) -> Result<Action<'_>, Unsendable> {
        // An address of no broker is nobody's business either; where brokers say "none" it is empty.
        if self.node < 0 {
            return Ok(Action::Str(""));
        }
        match self.tenant.addresses.of(self.node) {
            Some((host, _)) => Ok(Action::Str(host)),
            None if self.key == ApiKey::FindCoordinator => Err(Unsendable::NoAddress(self.node)),
            None => Ok(Action::Drop),
        }
    }

    fn text(&mut self, role: Role, text: &str) -> Action<'_> {
        let namespace = &self.tenant.namespace;
        match role {
            Role::Topic => {
                let name = namespace.unmap_topic(text);
                // Only a prefix that was taken off proves anything: an empty name is nobody's.
                self.name_is_ours = name.is_some_and(|name| name.len() < text.len()) && !namespace.is_transparent();
                let len = name.map(str::len);
                match self.id_awaits_name.take() {
                    Some(id) if self.name_is_ours => self.tenant.topic_ids.learn(id, text),
                    Some(_) => return self.mine(text, None),
                    None => {}
                }
                self.mine(text, len)
            }
            Role::TopicRegex | Role::TransactionalIdRegex => match regex::restore(namespace, text) {
                Some(pattern) => {
                    self.memory.buffer = pattern;
                    Action::Str(&self.memory.buffer)
                }
                // Nobody wrote it through a gateway.
                None => Action::Null,
            },
            // What stayed empty on the way in stays so on the way out.
            Role::Group if text.is_empty() && group_must_be_named(self.key) => Action::Keep,
            Role::Group => self.mine(text, namespace.unmap_id(text).map(str::len)),
            Role::TransactionalId | Role::CoordinatorKey if text.is_empty() => Action::Keep,
            Role::CoordinatorKey if self.asked.coordinator == Some(Coordinator::Share) => self.share_key(text),
            Role::TransactionalId | Role::CoordinatorKey => self.mine(text, namespace.unmap_id(text).map(str::len)),
            Role::ResourceName => match self.resource {
                TOPIC_RESOURCE => self.mine(text, namespace.unmap_topic(text).map(str::len)),
                GROUP_RESOURCE if text.is_empty() => Action::Keep,
                GROUP_RESOURCE => self.mine(text, namespace.unmap_id(text).map(str::len)),
                _ if namespace.is_transparent() => Action::Keep,
                _ => Action::Drop,
            },
            // An error answer names no cluster.
            Role::ClusterId if namespace.is_transparent() || text.is_empty() => Action::Keep,
            Role::ClusterId => Action::Str(&self.tenant.cluster_id),
            Role::ErrorText => {
                self.memory.buffer = namespace.unmap_text(text);
                Action::Str(&self.memory.buffer)
            }
            Role::ProtocolType => {
                self.consumer = text == "consumer";
                Action::Keep
            }
            _ => Action::Keep,
        }
    }

    /// Keeps the virtual name, which is the end of the physical one, or leaves the element out.
    fn mine(&mut self, text: &str, len: Option<usize>) -> Action<'_> {
        match len {
            Some(len) if len == text.len() => Action::Keep,
            Some(len) => {
                let start = if self.tenant.namespace.hides(text) { 0 } else { text.len() - len };
                self.memory.buffer.clear();
                self.memory.buffer.push_str(&text[start..start + len]);
                Action::Str(&self.memory.buffer)
            }
            // Where everything is listed, the others' are filtered; elsewhere nothing of theirs should have come.
            None => {
                if !matches!(self.key, ApiKey::Metadata | ApiKey::ListGroups | ApiKey::OffsetFetch) {
                    self.found.violations += 1;
                }
                Action::Drop
            }
        }
    }

    /// The key as the client wrote it.
    fn share_key(&mut self, text: &str) -> Action<'_> {
        let Some(asked) = self.tenant.namespace.unmap_id(text) else { return self.mine(text, None) };
        if let Some(key) = share_key::invalid(asked) {
            self.memory.buffer.clear();
            self.memory.buffer.push_str(key);
            return Action::Str(&self.memory.buffer);
        }
        let Some(key) = ShareKey::parse(asked).filter(|key| self.asked.veiled.contains(&key.topic_id)) else {
            return self.mine(text, Some(asked.len()));
        };
        let id = self.tenant.topic_ids.unveil(key.topic_id);
        Action::Str(key.put(key.group, &id, &mut self.memory.buffer))
    }

    fn topic_id(&mut self, id: [u8; 16]) -> Action<'static> {
        // First what this request sent: an error answer repeats it, also beside a name that is the tenant's.
        if self.asked.veiled.contains(&id) {
            Action::Uuid(self.tenant.topic_ids.unveil(id))
        } else if self.memory.own_ids.owns(self.tenant, &id) {
            Action::Keep
        } else if self.name_is_ours {
            // The name before it is in the buffer, without the prefix.
            self.tenant.topic_ids.learn(id, &format!("{}{}", self.tenant.namespace.prefix(), self.memory.buffer));
            Action::Keep
        } else if sessions_repeat_ids(self.key) {
            // An earlier request of a fetch session or share session sent it.
            let sent = self.tenant.topic_ids.unveil(id);
            if self.key == ApiKey::Fetch && self.memory.own_ids.owns(self.tenant, &sent) {
                // The gateway met a topic of the tenant's only after the session had taken it for a foreign one: as long as
                // the session lasts, its broker knows no such topic. The client is told to begin anew, as after an eviction.
                self.tenant.fetch_sessions.revoke(self.tenant.namespace.prefix(), self.broker, self.session);
            }
            Action::Uuid(sent)
        } else if names_follow_ids(self.key) {
            self.id_awaits_name = Some(id);
            Action::Keep
        } else {
            if !self.tenant.topic_ids.knows(&id) {
                self.found.unknown_ids += 1;
            } else if self.key != ApiKey::OffsetFetch {
                self.found.violations += 1;
            }
            Action::Drop
        }
    }

    fn number(&mut self, role: Role, number: i32) {
        match role {
            Role::BrokerId => self.node = number,
            Role::ResourceType => self.resource = number,
            Role::FetchSessionId => {
                self.session = number;
                self.tenant.fetch_sessions.issue(self.tenant.namespace.prefix(), self.broker, number);
            }
            _ => {}
        }
    }

    fn embedded(&mut self, role: Role, bytes: &[u8]) -> Action<'_> {
        let kind = if role == Role::Subscription { Embedded::Subscription } else { Embedded::Assignment };
        match self.consumer.then(|| embedded::rewrite(&self.tenant.namespace, kind, Direction::Out, bytes)).flatten() {
            Some(mapped) => {
                self.memory.bytes = mapped;
                Action::Bytes(&self.memory.bytes)
            }
            None => Action::Keep,
        }
    }
}

/// Whether an answer holds ids of earlier requests (KIP-227, KIP-932): what they veiled comes back as it was sent.
const fn sessions_repeat_ids(key: ApiKey) -> bool {
    matches!(key, ApiKey::Fetch | ApiKey::ShareFetch | ApiKey::ShareAcknowledge)
}

/// Whether the name of a topic stands behind its id.
const fn names_follow_ids(key: ApiKey) -> bool {
    matches!(key, ApiKey::ConsumerGroupDescribe | ApiKey::ShareGroupDescribe)
}
