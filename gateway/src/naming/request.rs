//! A permitted request becomes [`Physical`]: every name in it is the broker's.

use super::embedded::{self, Embedded};
use super::paging::{self, Page};
use super::share_key::{self, ShareKey};
use super::twins::Subscribed;
use super::{OwnIds, Tenant, growth_allowed, regex};
use crate::apis::{plans, settings};
use crate::authz::Permitted;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, scan, walk_prefix};

/// A request in physical names. Only [`map`] makes one, so that a name that was not mapped cannot reach a broker.
#[derive(Debug)]
pub struct Physical<'a> {
    head: &'a [u8],
    body: Cow<'a, [u8]>,
    segments: &'a Segments,
}

impl<'a> Physical<'a> {
    /// The header's bytes, which hold no name.
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The body that the segments lie over.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body's pieces.
    pub const fn segments(&self) -> &'a Segments {
        self.segments
    }
}

/// A kind of coordinator (KIP-98, KIP-932).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinator {
    /// Of groups.
    Group,
    /// Of transactional ids.
    Transaction,
    /// Of share partitions.
    Share,
}

impl Coordinator {
    const fn of(code: i32) -> Self {
        match code {
            1 => Self::Transaction,
            2 => Self::Share,
            _ => Self::Group,
        }
    }
}

/// A config resource that was not forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedResource {
    /// Its type as the protocol numbers them.
    pub ty: i32,
    /// Its name.
    pub name: String,
}

/// What the answer's mapping has to know of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Which coordinator was looked for.
    pub coordinator: Option<Coordinator>,
    /// Whether the group's protocol is the consumer's, as far as the request tells.
    pub consumer_protocol: Option<bool>,
    /// Resources that are answered here.
    pub refused: Vec<RefusedResource>,
    /// Nothing was named, so that everybody's may come.
    pub all: bool,
    /// Topic ids that were not the tenant's, as they went out.
    pub veiled: HashSet<[u8; 16]>,
    /// The request as the client wrote it, where the broker may answer with a text about it.
    pub said: Vec<u8>,
    /// No answer will come (acks=0).
    pub silent: bool,
    /// To whom a fetch session of the answer is issued; `None` stands for all of the virtual cluster.
    pub sessions: Option<Arc<str>>,
}

impl Asked {
    /// How much memory it holds beside itself, in bytes.
    pub fn held(&self) -> usize {
        let refused = self.refused.iter().map(|resource| size_of::<RefusedResource>() + resource.name.len());
        self.veiled.capacity() * size_of::<[u8; 16]>() + refused.sum::<usize>() + self.said.len()
    }
}

/// Why a request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It holds a topic id that the gateway has not met: look again, then decide.
    #[error("a topic id that is not known yet")]
    UnknownTopicId,
    /// It continues a fetch session that was not issued to the tenant.
    #[error("fetch session {0} was not issued to this virtual cluster")]
    FetchSession(i32),
    /// It continues a share session in which a topic of the tenant stands veiled.
    #[error("the share session began before one of its topics was known; begin a new one")]
    ShareSession,
    /// It names more than an honest request does, and mapping it would take many times its memory.
    #[error("the request names too much at once; send several smaller ones")]
    TooMany,
    /// The broker would take the empty group for everybody's.
    #[error("the group id is empty")]
    EmptyGroup,
    /// It has to be written anew for the broker, which failed.
    #[error("the request can't be written anew")]
    Unwritable,
    /// A pattern that the broker would resolve, and that does not stay inside the tenant's names.
    #[error("{what} `{pattern}` is not a valid regular expression: {fault}.")]
    Pattern {
        /// What the pattern is of.
        what: &'static str,
        /// As the client wrote it.
        pattern: String,
        /// What is wrong with it.
        fault: regex::Fault,
    },
}

/// What a mapping keeps between requests of one session.
#[derive(Debug, Default)]
pub struct Memory {
    own_ids: OwnIds,
    /// The group that was joined last, and whether its protocol is the consumer's: SyncGroup before version 5 doesn't say.
    joined: Option<(String, bool)>,
    /// Ids that went veiled into share sessions: their brokers answer for them as long as the sessions last.
    veiled: HashSet<[u8; 16]>,
    /// By which names topics with several are subscribed to.
    pub subscribed: Subscribed,
    buffer: String,
    key: String,
    bytes: Vec<u8>,
}

impl Memory {
    /// More ids than this are not remembered: an honest client has a few, and each is looked up at each fetch.
    const MOST_VEILED: usize = 100;

    /// Whether an id that a share session holds veiled has become the tenant's, since the gateway met its topic only after that.
    /// The session's broker will never know it; after that answer, the client begins anew.
    fn share_session_is_stale(&mut self, tenant: &Tenant) -> bool {
        let before = self.veiled.len();
        self.veiled.retain(|id| !tenant.topic_ids.belongs(id, &tenant.namespace));
        self.veiled.len() < before
    }
}

/// Maps the names of a request. With `last_word`, topic ids that are unknown count as foreign.
///
/// # Errors
/// [`Stop::Malformed`] for a frame that is not what it claims to be, [`Stop::Refused`] for one that must not be forwarded.
pub fn map<'a>(
    permitted: Permitted<'a>,
    tenant: &Tenant,
    broker: i32,
    last_word: bool,
    memory: &mut Memory,
    segments: &'a mut Segments,
) -> Result<(Physical<'a>, Asked), Stop<Refusal>> {
    let request = permitted.request();
    let plan = plans::request(request.key(), request.version());
    let sessions = permitted.sessions().cloned();
    let (mut body, foreign) = permitted.into_body();
    let mut coordinator = CoordinatorType(None);
    if request.key() == ApiKey::FindCoordinator {
        scan(plan, &body, &mut coordinator).map_err(Stop::lift)?;
    }
    let mut asked = Asked { coordinator: coordinator.0, sessions, ..Asked::default() };
    if request.key() == ApiKey::DescribeTopicPartitions {
        let page = paging::page(plan, request.version(), &body)?;
        asked.all = page != Page::Named;
        if let Page::FromTheStart(written) = page {
            body = Cow::Owned(written);
        }
    }
    let mut names = Names {
        key: request.key(),
        named: false,
        growth: growth_allowed(request.body().len()),
        tenant,
        foreign,
        broker,
        last_word,
        memory,
        asked,
        resource: 0,
        setting_names_topic: false,
        group: String::new(),
        unheld_session: None,
    };
    // What follows the last field is not forwarded.
    let walked = walk_prefix(plan, &body, &mut names, segments);
    let Names { mut asked, memory, group, named, .. } = names;
    // They were as long as the frame, and a session may be silent for hours.
    memory.bytes = Vec::new();
    let _ = walked?;
    asked.all |= !named;
    if may_be_answered_with_a_text(request.key(), request.version()) && request.body().len() <= MOST_SAID {
        request.body().clone_into(&mut asked.said);
    }
    match (request.key(), asked.consumer_protocol, &memory.joined) {
        (ApiKey::JoinGroup, Some(consumer), _) => memory.joined = Some((group, consumer)),
        (ApiKey::SyncGroup, None, Some((joined, consumer))) if *joined == group => {
            asked.consumer_protocol = Some(*consumer);
        }
        _ => {}
    }
    Ok((Physical { head: request.head(), body, segments }, asked))
}

/// In FindCoordinator the key comes before its type.
struct CoordinatorType(Option<Coordinator>);

impl Visitor for CoordinatorType {
    type Error = std::convert::Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Self::Error> {
        if let (Role::CoordinatorType, Value::Int(code)) = (role, value) {
            self.0 = Some(Coordinator::of(code));
        }
        Ok(Action::Keep)
    }
}

/// Config resource types of the protocol.
pub(super) const TOPIC_RESOURCE: i32 = 2;
/// See [`TOPIC_RESOURCE`].
pub(super) const BROKER_RESOURCE: i32 = 4;
/// See [`TOPIC_RESOURCE`].
pub(super) const GROUP_RESOURCE: i32 = 32;

/// More foreign topic ids than this are not looked up for one request: its answer has to know each.
const MOST_FOREIGN: usize = 1_000;
/// Longer requests are not kept for the texts of their answers.
const MOST_SAID: usize = 16 << 10;
/// More resources than this are not refused one by one.
const MOST_REFUSED: usize = 1_000;

struct Names<'a> {
    key: ApiKey,
    /// Something was named.
    named: bool,
    /// Names may still grow by this much.
    growth: usize,
    tenant: &'a Tenant,
    /// Ids that were nobody's when the request was permitted: whosever they are by now, nobody asked whether they may.
    foreign: HashSet<[u8; 16]>,
    broker: i32,
    last_word: bool,
    memory: &'a mut Memory,
    asked: Asked,
    resource: i32,
    /// The setting is one whose value is the name of a topic.
    setting_names_topic: bool,
    group: String,
    /// The fetch session that was named and is not the tenant's.
    unheld_session: Option<i32>,
}

impl Visitor for Names<'_> {
    type Error = Refusal;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Refusal> {
        match (role, value) {
            (_, Value::Str(Some(text))) => self.text(role, text),
            (Role::TopicId, Value::Uuid(id)) => self.topic_id(id),
            (Role::Subscription | Role::Assignment, Value::Bytes(Some(bytes))) => self.embedded(role, bytes),
            (_, Value::Int(number)) => self.number(role, number),
            _ => Ok(Action::Keep),
        }
    }
}

impl Names<'_> {
    fn text<'s>(&'s mut self, role: Role, text: &str) -> Result<Action<'s>, Refusal> {
        match role {
            // An empty pattern is none: everybody's transactions come.
            Role::TransactionalIdRegex if text.is_empty() => return Ok(Action::Keep),
            Role::SettingName => {
                self.setting_names_topic = settings::names_topic(text);
                return Ok(Action::Keep);
            }
            Role::SettingValue if !self.setting_names_topic || text.is_empty() => return Ok(Action::Keep),
            _ => {}
        }
        // Of a group that is named all topics may be asked for.
        self.named |= !(role == Role::Group && asks_for_topics_of_groups(self.key));
        self.growth = self.growth.checked_sub(self.tenant.namespace.growth()).ok_or(Refusal::TooMany)?;
        match role {
            Role::CoordinatorKey => return self.coordinator_key(text),
            Role::TopicRegex | Role::TransactionalIdRegex => return self.pattern(text),
            _ => {}
        }
        let namespace = &self.tenant.namespace;
        let buffer = &mut self.memory.buffer;
        Ok(match role {
            Role::Topic | Role::SettingValue => Action::Str(namespace.map_topic(text, buffer)),
            // Among all topics a page may begin at any text; among named ones it begins at one of them.
            Role::TopicCursor if self.asked.all && text.is_empty() => Action::Str(namespace.prefix()),
            Role::TopicCursor if self.asked.all => Action::Str(namespace.map_id(text, buffer)),
            Role::TopicCursor => Action::Str(namespace.map_topic(text, buffer)),
            Role::Group => {
                text.clone_into(&mut self.group);
                if text.is_empty() && self.key == ApiKey::OffsetDelete && !namespace.is_transparent() {
                    return Err(Refusal::EmptyGroup);
                }
                if must_be_refused(self.key, text) {
                    return Ok(Action::Keep);
                }
                Action::Str(namespace.map_group(text, buffer))
            }
            // An empty transactional id is refused by the broker; with a prefix it would be a good one.
            Role::TransactionalId if text.is_empty() => Action::Keep,
            Role::TransactionalId => Action::Str(namespace.map_id(text, buffer)),
            Role::ProtocolType => {
                self.asked.consumer_protocol = Some(text == "consumer");
                Action::Keep
            }
            Role::ResourceName => match self.resource {
                TOPIC_RESOURCE => Action::Str(namespace.map_topic(text, buffer)),
                // The group without a name has no settings; with a prefix it would be one that has.
                GROUP_RESOURCE if text.is_empty() => Action::Keep,
                GROUP_RESOURCE => Action::Str(namespace.map_group(text, buffer)),
                _ if namespace.is_transparent() => Action::Keep,
                BROKER_RESOURCE if self.key == ApiKey::DescribeConfigs => Action::Keep,
                _ if self.asked.refused.len() >= MOST_REFUSED => return Err(Refusal::TooMany),
                ty => {
                    self.asked.refused.push(RefusedResource { ty, name: text.to_owned() });
                    Action::Drop
                }
            },
            // A follower's field; the physical id is nobody's business.
            Role::ClusterId => Action::Null,
            _ => Action::Keep,
        })
    }

    fn pattern(&mut self, text: &str) -> Result<Action<'_>, Refusal> {
        let buffer = &mut self.memory.buffer;
        *buffer = regex::rewrite(&self.tenant.namespace, text).map_err(|fault| {
            let what = pattern_of(self.key);
            Refusal::Pattern { what, pattern: beginning(text).to_owned(), fault }
        })?;
        // The prefix is escaped in it, and an anchor becomes a group.
        let longer = buffer.len().saturating_sub(text.len());
        self.growth = self.growth.checked_sub(longer).ok_or(Refusal::TooMany)?;
        Ok(Action::Str(buffer))
    }

    fn coordinator_key(&mut self, text: &str) -> Result<Action<'_>, Refusal> {
        if self.asked.coordinator == Some(Coordinator::Share) {
            return self.share_key(text);
        }
        let (namespace, buffer) = (&self.tenant.namespace, &mut self.memory.buffer);
        Ok(match self.asked.coordinator {
            Some(Coordinator::Transaction) => Action::Str(namespace.map_id(text, buffer)),
            // Version 0 knows of groups only.
            _ => Action::Str(namespace.map_group(text, buffer)),
        })
    }

    /// A foreign topic id in the key is veiled as elsewhere: Kafka tells a coordinator for any id.
    fn share_key(&mut self, text: &str) -> Result<Action<'_>, Refusal> {
        let Some(key) = ShareKey::parse(text) else {
            self.growth = self.growth.checked_sub(share_key::NO_PARTITION.len()).ok_or(Refusal::TooMany)?;
            let sent = share_key::put_invalid(self.tenant.namespace.prefix(), text, &mut self.memory.buffer);
            return Ok(Action::Str(sent));
        };
        let id = match self.topic_id(key.topic_id)? {
            Action::Uuid(veiled) => veiled,
            _ => key.topic_id,
        };
        let Memory { buffer, key: out, .. } = &mut *self.memory;
        Ok(Action::Str(key.put(self.tenant.namespace.map_group(key.group, buffer), &id, out)))
    }

    fn topic_id(&mut self, id: [u8; 16]) -> Result<Action<'static>, Refusal> {
        self.named = true;
        let foreign = self.foreign.contains(&id);
        if !foreign && self.memory.own_ids.owns(self.tenant, &id) {
            Ok(Action::Keep)
        } else if let Some(real) = self.meant(&id).filter(|_| !foreign) {
            Ok(Action::Uuid(real))
        } else if self.last_word {
            if self.tenant.namespace.is_transparent() && !self.tenant.topic_ids.knows(&id) {
                return Ok(Action::Keep);
            }
            if self.asked.veiled.len() >= MOST_FOREIGN {
                return Err(Refusal::TooMany);
            }
            let veiled = self.tenant.topic_ids.veil(id);
            if self.key == ApiKey::ShareFetch && self.memory.veiled.len() < Memory::MOST_VEILED {
                let _ = self.memory.veiled.insert(id);
            }
            let _ = self.asked.veiled.insert(veiled);
            Ok(Action::Uuid(veiled))
        } else {
            Err(Refusal::UnknownTopicId)
        }
    }

    /// The broker's id of the topic that an alias' id stands for.
    fn meant(&self, id: &[u8; 16]) -> Option<[u8; 16]> {
        let _ = self.tenant.namespace.lends_topics()?;
        self.tenant.topic_ids.meant(id, &self.tenant.namespace).map(|meant| meant.id)
    }

    fn number(&mut self, role: Role, number: i32) -> Result<Action<'static>, Refusal> {
        match role {
            // Nobody is a follower of a broker: that would read beyond the high watermark and move it.
            Role::ReplicaId if number >= 0 => return Ok(Action::Int(-1)),
            Role::ResourceType => self.resource = number,
            Role::Acks => self.asked.silent = number == 0,
            // It is as if the session were not there: who only wants to end it is heard.
            Role::FetchSessionId if number != 0 && !self.holds_session(number) => {
                self.unheld_session = Some(number);
                return Ok(Action::Int(0));
            }
            Role::FetchSessionEpoch if !matches!(number, -1 | 0) => {
                if let Some(session) = self.unheld_session {
                    return Err(Refusal::FetchSession(session));
                }
            }
            // A broker would go on with what a session holds when it is lent no more.
            Role::FetchSessionEpoch if number == 0 && self.tenant.namespace.lends_topics().is_some() => {
                return Ok(Action::Int(-1));
            }
            Role::ShareSessionEpoch if number > 0 && self.memory.share_session_is_stale(self.tenant) => {
                return Err(Refusal::ShareSession);
            }
            _ => {}
        }
        Ok(Action::Keep)
    }

    fn holds_session(&self, session: i32) -> bool {
        if self.tenant.namespace.lends_topics().is_some() {
            return false;
        }
        let owner = self.asked.sessions.as_deref().unwrap_or(self.tenant.namespace.prefix());
        self.tenant.fetch_sessions.holds(owner, self.broker, session)
    }

    fn embedded(&mut self, role: Role, bytes: &[u8]) -> Result<Action<'_>, Refusal> {
        let kind = if role == Role::Subscription { Embedded::Subscription } else { Embedded::Assignment };
        if let (None, Some((group, consumer))) = (self.asked.consumer_protocol, &self.memory.joined)
            && *group == self.group
        {
            self.asked.consumer_protocol = Some(*consumer);
        }
        let consumer = self.asked.consumer_protocol;
        let mapped = embedded::incoming(&self.tenant.namespace, kind, consumer, bytes, self.growth);
        Ok(match mapped.map_err(|embedded::TooLong| Refusal::TooMany)? {
            Some(mapped) => {
                self.growth = self.growth.saturating_sub(mapped.len().saturating_sub(bytes.len()));
                self.memory.bytes = mapped;
                Action::Bytes(&self.memory.bytes)
            }
            None => Action::Keep,
        })
    }
}

const fn asks_for_topics_of_groups(key: ApiKey) -> bool {
    matches!(key, ApiKey::OffsetFetch | ApiKey::DescribeShareGroupOffsets)
}

/// As much of a pattern as is taken: clients read no text that is longer than 32 KiB.
fn beginning(pattern: &str) -> &str {
    &pattern[..pattern.floor_char_boundary(regex::LONGEST)]
}

/// Whether an answer may hold a text. Produce has no time to keep what was asked.
fn may_be_answered_with_a_text(key: ApiKey, version: i16) -> bool {
    key != ApiKey::Produce && plans::response(key, version).has(Role::ErrorText)
}

/// Whether the broker refuses an empty group id in this API. The others take it for offsets without a group, and
/// ShareFetch and ShareAcknowledge for one that all nameless groups share, so that theirs must not stay empty.
pub(super) const fn group_must_be_named(key: ApiKey) -> bool {
    use ApiKey as K;
    matches!(key, K::JoinGroup | K::SyncGroup | K::Heartbeat | K::LeaveGroup)
        || matches!(key, K::ShareGroupHeartbeat | K::ShareGroupDescribe)
        || matches!(key, K::AlterShareGroupOffsets | K::DeleteShareGroupOffsets)
        || matches!(key, K::ConsumerGroupHeartbeat | K::ConsumerGroupDescribe)
        || matches!(key, K::StreamsGroupHeartbeat | K::StreamsGroupDescribe | K::StreamsGroupTopologyDescriptionUpdate)
}

/// Whether the broker refuses this group id for its emptiness: with a prefix it would be a good one. Heartbeats take blanks
/// for nothing, too.
fn must_be_refused(key: ApiKey, group: &str) -> bool {
    use ApiKey as K;
    let heartbeat = matches!(key, K::ConsumerGroupHeartbeat | K::ShareGroupHeartbeat | K::StreamsGroupHeartbeat);
    group.is_empty() && group_must_be_named(key) || heartbeat && group.trim_matches(|c| c <= ' ').is_empty()
}

/// What a broker calls the pattern of an API.
const fn pattern_of(key: ApiKey) -> &'static str {
    match key {
        ApiKey::ConsumerGroupHeartbeat => "SubscribedTopicRegex",
        ApiKey::StreamsGroupHeartbeat => "SourceTopicRegex",
        _ => "Transactional ID pattern",
    }
}
