//! An answer in physical names becomes one in virtual names; what is not the tenant's is left out.

use super::ahead::Ahead;
use super::embedded::{self, Embedded};
use super::filter::Filter;
use super::filter::records::{self, Kept};
use super::paging;
use super::prefix::is_reserved;
use super::request::{Asked, BROKER_RESOURCE, Coordinator, GROUP_RESOURCE, TOPIC_RESOURCE, group_must_be_named};
use super::share_key::{self, ShareKey};
use super::{OwnIds, Tenant, growth_allowed, regex, texts, unreadable};
use crate::apis::{plans, settings};
use std::cell::OnceCell;
use std::convert::Infallible;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, walk};

/// The error for a coordinator without a port here. Clients don't try again: it lasts until the gateway has more ports, and
/// Java's admin client asks again without a pause for what is told to be temporary.
const BROKER_NOT_AVAILABLE: i32 = 8;
/// The topic of everybody's committed offsets: a transaction that commits some has one of its partitions.
const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// What brokers say where there is no port.
const NO_PORT: i32 = -1;

/// What a mapping keeps between answers of one session.
#[derive(Debug, Default)]
pub struct Memory {
    own_ids: OwnIds,
    buffer: String,
    /// The broker's name of the topic around the cursor.
    physical: String,
    bytes: Vec<u8>,
}

/// What a mapping found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Entities of others that were left out where only the tenant's were asked for.
    pub violations: u32,
    /// A coordinator that has no address which clients may see.
    pub unreachable: Option<i32>,
    /// Elements that were left out because their topic id is not known: look again, and what is left out then is a violation.
    pub unknown_ids: u32,
    /// Partitions whose records can't be read, so that nobody can tell which of them may leave: see [`super::unreadable`].
    pub unreadable: u32,
}

/// Maps the names of an answer that came from `broker` to a request that [`super::request::map`] sent.
///
/// # Errors
/// [`Stop::Malformed`] for an answer that is not what it should be.
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
) -> Result<Found, Stop<Infallible>> {
    let ahead = Ahead::read(key, version, body)?;
    let found = Found { unreachable: ahead.coordinator.filter(|id| no_address(tenant, *id)), ..Found::default() };
    let mut names = Names {
        key,
        version,
        tenant,
        broker,
        memory,
        unreachable: found.unreachable.is_some(),
        ahead,
        node: -1,
        port: None,
        resource: 0,
        setting_names_topic: false,
        elements: 0,
        session: 0,
        name_is_ours: false,
        id_awaits_name: None,
        filter: None,
        room: records::ROOM,
        consumer: asked.consumer_protocol,
        growth: growth_allowed(body.len()),
        said: OnceCell::new(),
        asked,
        found,
    };
    let walked = walk(plans::response(key, version), body, &mut names, segments);
    let Names { memory, found, .. } = names;
    // They were as long as the answer, and a session may be silent for hours.
    memory.bytes = Vec::new();
    walked.map(|()| found)
}

fn no_address(tenant: &Tenant, broker: i32) -> bool {
    broker >= 0 && tenant.addresses.of(broker).is_none()
}

/// Whether `growth` allows for `after` in place of `before`; it is then less.
const fn fits(growth: &mut usize, before: &str, after: &str) -> bool {
    match growth.checked_sub(after.len().saturating_sub(before.len())) {
        Some(left) => {
            *growth = left;
            true
        }
        None => false,
    }
}

struct Names<'a> {
    key: ApiKey,
    version: i16,
    tenant: &'a Tenant,
    broker: i32,
    memory: &'a mut Memory,
    ahead: Ahead,
    /// The broker whose address follows.
    node: i32,
    /// Its port, which goes with the host that was told: a moment later another node may have the broker.
    port: Option<u16>,
    /// It is a coordinator without an address: an error stands in its place.
    unreachable: bool,
    resource: i32,
    /// The setting is one whose value is the name of a topic.
    setting_names_topic: bool,
    /// How many elements began.
    elements: usize,
    /// The fetch session that the answer belongs to.
    session: i32,
    /// The name before an id in this element was the tenant's, so that the id is.
    name_is_ours: bool,
    /// An id in this element that the name behind it decides about.
    id_awaits_name: Option<[u8; 16]>,
    /// Which records of the topic around the cursor leave the gateway.
    filter: Option<&'a Filter>,
    /// Filtered records may still take this much.
    room: usize,
    /// Whether the group's protocol is the consumer's, as far as request or answer tells.
    consumer: Option<bool>,
    /// Addresses and texts may still grow by this much.
    growth: usize,
    /// The client's own words, once a text asks for them.
    said: OnceCell<texts::Said>,
    asked: &'a Asked,
    found: Found,
}

impl Visitor for Names<'_> {
    type Error = Infallible;

    fn element(&mut self) {
        self.name_is_ours = false;
        if let Some(kind) = self.ahead.kinds.get(self.elements) {
            self.resource = *kind;
        }
        self.elements += 1;
        self.id_awaits_name = None;
    }

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        Ok(match (role, value) {
            (Role::Host, Value::Str(Some(host))) => self.host(host),
            (Role::ErrorText, Value::Str(text)) if self.unreachable => {
                let id = self.found.unreachable.unwrap_or(-1);
                self.memory.buffer = format!("broker {id} has no port on this gateway: raise clients.portCount");
                self.told(text.unwrap_or_default())
            }
            (_, Value::Str(Some(text))) => self.text(role, text),
            (Role::TopicId, Value::Uuid(id)) => self.topic_id(id),
            (Role::Subscription | Role::Assignment, Value::Bytes(Some(bytes))) => self.embedded(role, bytes),
            (Role::Records, Value::Bytes(Some(bytes))) => self.records(bytes),
            (_, Value::Int(number)) => self.number(role, number),
            // The disk belongs to all tenants; -1 is Kafka's word for an unknown size.
            (Role::VolumeBytes, Value::Long(_)) if !self.tenant.namespace.is_transparent() => Action::Long(-1),
            _ => Action::Keep,
        })
    }
}

impl Names<'_> {
    /// The address of a broker, or none: an element of a list is left out, a coordinator is an error.
    fn host(&mut self, host: &str) -> Action<'_> {
        // An address of no broker is nobody's business either; where brokers say "none" it is empty.
        if self.node < 0 {
            return Action::Str("");
        }
        match self.tenant.addresses.of(self.node) {
            // No cluster has as many brokers as would be too long.
            Some((ours, port)) if fits(&mut self.growth, host, &ours) => {
                self.port = Some(port);
                self.memory.buffer.clear();
                self.memory.buffer.push_str(&ours);
                Action::Str(&self.memory.buffer)
            }
            Some(_) => Action::Drop,
            None if self.unreachable => Action::Str(""),
            None => Action::Drop,
        }
    }

    fn text(&mut self, role: Role, text: &str) -> Action<'_> {
        if role == Role::SettingName {
            self.setting_names_topic = settings::names_topic(text);
        }
        let tenant = self.tenant;
        let namespace = &tenant.namespace;
        match role {
            Role::Topic => self.topic(text),
            Role::TopicCursor => self.cursor(text),
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
            Role::Group => self.mine(text, namespace.unmap_group(text)),
            Role::TransactionalId | Role::CoordinatorKey if text.is_empty() => Action::Keep,
            Role::CoordinatorKey if self.asked.coordinator == Some(Coordinator::Share) => self.share_key(text),
            Role::CoordinatorKey if self.asked.coordinator != Some(Coordinator::Transaction) => {
                self.mine(text, namespace.unmap_group(text))
            }
            Role::TransactionalId | Role::CoordinatorKey => self.mine(text, namespace.unmap_id(text)),
            Role::ResourceName => match self.resource {
                TOPIC_RESOURCE => self.mine(text, namespace.unmap_topic(text)),
                GROUP_RESOURCE if text.is_empty() => Action::Keep,
                GROUP_RESOURCE => self.mine(text, namespace.unmap_group(text)),
                _ if namespace.is_transparent() => Action::Keep,
                BROKER_RESOURCE => self.broker(text),
                _ => Action::Drop,
            },
            Role::SettingValue => self.setting_value(text),
            Role::SettingName if self.resource != BROKER_RESOURCE || namespace.is_transparent() => Action::Keep,
            Role::SettingName if settings::is_shown(text) => Action::Keep,
            Role::SettingName => Action::Drop,
            Role::LogDir if namespace.is_transparent() => Action::Keep,
            Role::LogDir => {
                // A broker lists all its directories each time.
                let place = self.ahead.log_dirs.binary_search_by(|path| path.as_str().cmp(text)).unwrap_or_default();
                self.memory.buffer = format!("/log-dir-{place}");
                self.told(text)
            }
            // An error answer names no cluster.
            Role::ClusterId if namespace.is_transparent() || text.is_empty() => Action::Keep,
            Role::ClusterId => Action::Str(&self.tenant.cluster_id),
            Role::ErrorText => {
                let said = || self.said.get_or_init(|| texts::said(self.key.request(), self.version, &self.asked.said));
                self.memory.buffer = texts::shown(namespace, text, said);
                self.told(text)
            }
            Role::ProtocolType => {
                self.consumer = Some(text == "consumer");
                Action::Keep
            }
            _ => Action::Keep,
        }
    }

    /// The name of a topic without the prefix; that of another's is nobody's business.
    fn setting_value(&mut self, text: &str) -> Action<'_> {
        if !self.setting_names_topic || text.is_empty() {
            return Action::Keep;
        }
        match self.tenant.namespace.unmap_topic(text) {
            Some(name) => {
                name.clone_into(&mut self.memory.buffer);
                Action::Str(&self.memory.buffer)
            }
            None => {
                self.found.violations += 1;
                Action::Null
            }
        }
    }

    /// What is in the buffer, in place of `text`; nothing where that made the answer many times as long.
    fn told(&mut self, text: &str) -> Action<'_> {
        Action::Str(if fits(&mut self.growth, text, &self.memory.buffer) { &self.memory.buffer } else { "" })
    }

    /// A topic's name, which an id may stand beside.
    fn topic(&mut self, text: &str) -> Action<'_> {
        let tenant = self.tenant;
        let namespace = &tenant.namespace;
        let name = namespace.unmap_topic(text);
        // What is nobody's name proves nothing.
        self.name_is_ours = name.is_some() && !is_reserved(text) && !namespace.is_transparent();
        if self.name_is_ours {
            text.clone_into(&mut self.memory.physical);
        }
        match self.id_awaits_name.take() {
            Some(id) if self.name_is_ours => tenant.topic_ids.learn(id, text),
            Some(_) => return self.mine(text, None),
            None => {}
        }
        self.filter = name.and_then(|name| namespace.lent(name)?.filter.as_deref());
        self.mine(text, name)
    }

    /// Writes the virtual name, or leaves the element out.
    fn mine(&mut self, text: &str, name: Option<&str>) -> Action<'_> {
        match name {
            Some(name) if name == text => Action::Keep,
            // A prefix that is taken off makes it shorter; what is lent may have any name.
            Some(name) if fits(&mut self.growth, text, name) => {
                name.clone_into(&mut self.memory.buffer);
                Action::Str(&self.memory.buffer)
            }
            Some(_) => Action::Drop,
            None => {
                if !self.others_may_come(text) {
                    self.found.violations += 1;
                }
                Action::Drop
            }
        }
    }

    /// Where everything is listed, the others' are filtered; elsewhere nothing of theirs should have come.
    fn others_may_come(&self, text: &str) -> bool {
        match self.key {
            ApiKey::ListGroups | ApiKey::ListConfigResources => true,
            // Of several groups each may ask for all its topics.
            ApiKey::OffsetFetch => true,
            ApiKey::Metadata | ApiKey::DescribeTopicPartitions => self.asked.all,
            ApiKey::DescribeLogDirs | ApiKey::ListPartitionReassignments => self.asked.all,
            // A pattern that was given stays inside the prefix.
            ApiKey::ListTransactions => self.asked.all,
            ApiKey::DescribeTransactions => text == OFFSETS_TOPIC,
            _ => false,
        }
    }

    /// The next page begins at a topic of the tenant's, or there is none.
    fn cursor(&mut self, text: &str) -> Action<'_> {
        if self.tenant.namespace.hides(text) {
            self.memory.buffer = paging::behind_internal_topics();
            return Action::Str(&self.memory.buffer);
        }
        let tenant = self.tenant;
        self.mine(text, tenant.namespace.unmap_topic(text))
    }

    /// A broker's settings, or its name in a list: brokers that clients can't reach are left out there, as in metadata.
    fn broker(&self, name: &str) -> Action<'static> {
        let reachable = || name.parse().is_ok_and(|id| self.tenant.addresses.of(id).is_some());
        match self.key {
            ApiKey::DescribeConfigs => Action::Keep,
            ApiKey::ListConfigResources if reachable() => Action::Keep,
            _ => Action::Drop,
        }
    }

    /// The key as the client wrote it.
    fn share_key(&mut self, text: &str) -> Action<'_> {
        let Some(asked) = self.tenant.namespace.unmap_group(text) else { return self.mine(text, None) };
        if let Some(key) = share_key::invalid(asked) {
            self.memory.buffer.clear();
            self.memory.buffer.push_str(key);
            return Action::Str(&self.memory.buffer);
        }
        let Some(key) = ShareKey::parse(asked) else { return self.mine(text, Some(asked)) };
        let id = if self.asked.veiled.contains(&key.topic_id) {
            self.tenant.topic_ids.unveil(key.topic_id)
        } else {
            match self.tenant.topic_ids.shown(&key.topic_id, &self.tenant.namespace) {
                Some(id) if id != key.topic_id => id,
                _ => return self.mine(text, Some(asked)),
            }
        };
        Action::Str(key.put(key.group, &id, &mut self.memory.buffer))
    }

    fn topic_id(&mut self, id: [u8; 16]) -> Action<'static> {
        // First what this request sent: an error answer repeats it, also beside a name that is the tenant's.
        if self.asked.veiled.contains(&id) {
            Action::Uuid(self.tenant.topic_ids.unveil(id))
        } else if let Some(shown) = self.shown(id) {
            shown
        } else if self.memory.own_ids.owns(self.tenant, &id) {
            Action::Keep
        } else if self.name_is_ours {
            self.tenant.topic_ids.learn(id, &self.memory.physical);
            self.shown(id).unwrap_or(Action::Keep)
        } else if self.tenant.namespace.is_transparent() && !self.tenant.topic_ids.knows(&id) {
            // It goes through as it is, unless a session repeats one of the gateway's own that was veiled.
            let sent = self.tenant.topic_ids.unveil(id);
            if self.tenant.topic_ids.knows(&sent) { Action::Uuid(sent) } else { Action::Keep }
        } else if sessions_repeat_ids(self.key) {
            // An earlier request of a fetch session or share session sent it.
            let sent = self.tenant.topic_ids.unveil(id);
            if self.key == ApiKey::Fetch && self.memory.own_ids.owns(self.tenant, &sent) {
                // The gateway met a topic of the tenant's only after the session had taken it for a foreign one: as long as
                // the session lasts, its broker knows no such topic. The client is told to begin anew, as after an eviction.
                self.tenant.fetch_sessions.revoke(self.session_owner(), self.broker, self.session);
            }
            Action::Uuid(sent)
        } else if names_follow_ids(self.key) && self.tenant.namespace.lends_topics().is_none() {
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

    /// The id of what is lent, as clients see it; `None` where nothing is, or it is not known.
    fn shown(&mut self, id: [u8; 16]) -> Option<Action<'static>> {
        let tenant = self.tenant;
        let _ = tenant.namespace.lends_topics()?;
        let shown = tenant.topic_ids.shown(&id, &tenant.namespace)?;
        let physical = tenant.topic_ids.name(&id)?;
        let name = tenant.namespace.unmap_topic(&physical)?;
        self.filter = tenant.namespace.lent(name).and_then(|lent| lent.filter.as_deref());
        Some(if shown == id { Action::Keep } else { Action::Uuid(shown) })
    }

    fn number(&mut self, role: Role, number: i32) -> Action<'static> {
        match role {
            Role::BrokerId => {
                self.node = number;
                self.port = None;
                if self.key == ApiKey::FindCoordinator {
                    self.unreachable = no_address(self.tenant, number);
                    if self.unreachable {
                        self.found.unreachable = Some(number);
                        return Action::Int(-1);
                    }
                }
            }
            Role::Port if self.node < 0 => return Action::Int(NO_PORT),
            Role::Port => {
                return match self.port {
                    Some(port) => Action::Int(port.into()),
                    None if self.unreachable => Action::Int(NO_PORT),
                    None => Action::Drop,
                };
            }
            Role::ErrorCode if self.unreachable => return Action::Int(BROKER_NOT_AVAILABLE),
            Role::ResourceType => self.resource = number,
            Role::ReadOnly if self.resource == BROKER_RESOURCE && !self.tenant.namespace.is_transparent() => {
                return Action::Int(1);
            }
            Role::FetchSessionId => {
                self.session = number;
                self.tenant.fetch_sessions.issue(self.session_owner(), self.broker, number);
            }
            _ => {}
        }
        Action::Keep
    }

    /// Of a topic that is lent in part, the records that are meant.
    fn records(&mut self, bytes: &[u8]) -> Action<'_> {
        let Some(filter) = self.filter else { return Action::Keep };
        match records::filtered(filter, bytes, &mut self.memory.bytes, self.room) {
            Ok(Kept::All) => Action::Keep,
            Ok(Kept::Rewritten) => {
                self.room = self.room.saturating_sub(self.memory.bytes.len());
                Action::Bytes(&self.memory.bytes)
            }
            Err(records::Unreadable) => {
                self.found.unreadable += 1;
                Action::Bytes(unreadable::MARK)
            }
        }
    }

    fn session_owner(&self) -> &str {
        self.asked.sessions.as_deref().unwrap_or(self.tenant.namespace.prefix())
    }

    fn embedded(&mut self, role: Role, bytes: &[u8]) -> Action<'_> {
        let kind = if role == Role::Subscription { Embedded::Subscription } else { Embedded::Assignment };
        match embedded::outgoing(&self.tenant.namespace, kind, self.consumer, bytes) {
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
