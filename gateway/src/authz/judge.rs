//! One walk over a request that decides about each name in it, and takes out what is refused, or what is not.

use super::access::{Access, CLUSTER};
use super::acl::{Operation, ResourceType};
use super::needs::{Needs, Reach, needs};
use std::collections::HashSet;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::walk::{Action, Value, Visitor};

/// A right that was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What was to be done.
    pub operation: Operation,
    /// To what kind of thing.
    pub ty: ResourceType,
    /// To which one, as the client calls it.
    pub name: String,
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see what is refused.
    Look,
    /// The output is what may be served.
    Serve,
    /// The output is what is refused, without records.
    Refuse,
}

/// Denials beyond these are counted, not told.
const MOST_TOLD: usize = 100;
const TOPIC: i32 = 2;
const BROKER: i32 = 4;
const BROKER_LOGGER: i32 = 8;
const CLIENT_METRICS: i32 = 16;
const GROUP: i32 = 32;
/// Kinds of coordinators.
const GROUPS: i32 = 0;
const TRANSACTIONS: i32 = 1;
const SHARE_PARTITIONS: i32 = 2;
/// Where the attributes of a batch stand, and the bit that says that it belongs to a transaction.
const ATTRIBUTES: usize = 21;
const TRANSACTIONAL: u8 = 0x10;
/// A batch's length stands behind its offset, and counts from behind itself.
const LENGTH: usize = 8;

/// A visitor that decides.
pub(super) struct Judge<'a> {
    key: ApiKey,
    version: i16,
    needs: Needs,
    access: &'a Access<'a>,
    pub(super) purpose: Purpose,
    /// A right on the cluster stands for those on topics.
    instead: bool,
    /// What is missing, up to a bound.
    pub(super) denials: Vec<Denial>,
    /// How many elements are served, of those that are decided about.
    pub(super) served: usize,
    /// How many are refused.
    pub(super) refused: usize,
    /// Ids that stand for no topic of the virtual cluster's, as far as is known.
    pub(super) foreign: HashSet<[u8; 16]>,
    /// Topics that are absent, and that the requester may describe but not make.
    pub(super) absent: HashSet<String>,
    /// Whether absent topics are made; requests of old versions do not say.
    pub(super) makes: bool,
    /// No answer is asked for.
    pub(super) silent: bool,
    group_refused: bool,
    transactional_id: Option<String>,
    resource: i32,
    /// A fetch session is continued.
    pub(super) continues: bool,
    /// What a key of a coordinator stands for.
    pub(super) coordinator: i32,
}

impl<'a> Judge<'a> {
    pub(super) fn new(key: ApiKey, version: i16, access: &'a Access<'a>) -> Self {
        let needs = needs(key, version);
        Self {
            key,
            version,
            needs,
            access,
            purpose: Purpose::Look,
            instead: needs.instead.is_some_and(|operation| access.allows_on_cluster(operation)),
            denials: Vec::new(),
            served: 0,
            refused: 0,
            foreign: HashSet::new(),
            absent: HashSet::new(),
            makes: makes_topics(key),
            silent: false,
            group_refused: false,
            transactional_id: None,
            resource: 0,
            continues: false,
            coordinator: 0,
        }
    }

    /// What the request needs on the cluster as a whole.
    pub(super) fn cluster(&self) -> Result<(), Denial> {
        match self.needs.cluster {
            Some(operation) if !self.access.allows_on_cluster(operation) => {
                Err(denial(operation, ResourceType::Cluster, CLUSTER))
            }
            _ => Ok(()),
        }
    }

    /// Whether no topic would be made that the requester may not make.
    pub(super) fn absent_topics_stay_absent(&mut self) -> bool {
        if !self.makes || !self.access.topics.are_made_when_absent() {
            self.absent.clear();
        }
        self.absent.is_empty()
    }

    /// Counts the absent topics among what is refused.
    pub(super) fn refuse_absent_topics(&mut self) {
        self.refused += self.absent.len();
        self.served = self.served.saturating_sub(self.absent.len());
        let missing = |name: &String| denial(Operation::Create, ResourceType::Topic, name);
        self.denials.extend(self.absent.iter().take(MOST_TOLD).map(missing));
    }

    /// The same judge for a walk that makes something.
    pub(super) fn again(&mut self, purpose: Purpose) {
        (self.purpose, self.group_refused, self.resource) = (purpose, false, 0);
    }

    fn decide(&mut self, (operation, reach): (Operation, Reach), ty: ResourceType, name: &str) -> Result<bool, Denial> {
        let allowed = self.access.allows(operation, ty, name);
        if !allowed && reach == Reach::Whole {
            return Err(denial(operation, ty, name));
        }
        Ok(self.count(allowed, operation, ty, name))
    }

    fn count(&mut self, allowed: bool, operation: Operation, ty: ResourceType, name: &str) -> bool {
        if self.purpose == Purpose::Look {
            self.served += usize::from(allowed);
            self.refused += usize::from(!allowed);
            if !allowed && self.denials.len() < MOST_TOLD {
                self.denials.push(denial(operation, ty, name));
            }
        }
        allowed
    }

    /// What becomes of the element around a name.
    const fn course(&self, allowed: bool) -> Action<'static> {
        match (self.purpose, allowed) {
            (Purpose::Serve, false) | (Purpose::Refuse, true) => Action::Drop,
            _ => Action::Keep,
        }
    }

    fn topic(&mut self, name: &str) -> Result<Action<'static>, Denial> {
        let Some(need) = self.needs.topics else { return Ok(Action::Keep) };
        // Everything that was asked of a refused group is refused.
        if self.group_refused {
            return Ok(Action::Keep);
        }
        if self.instead {
            let allowed = !self.access.topics.forbids(need.0, ResourceType::Topic, name);
            let allowed = self.count(allowed, need.0, ResourceType::Topic, name);
            return Ok(self.course(allowed));
        }
        let mut allowed = self.decide(need, ResourceType::Topic, name)?;
        if allowed && makes_topics(self.key) {
            allowed = self.may_be_made(name);
        }
        Ok(self.course(allowed))
    }

    /// Whether a topic that may be described may be asked for: brokers make it where it is absent.
    fn may_be_made(&mut self, name: &str) -> bool {
        if self.purpose != Purpose::Look {
            return !(self.makes && self.absent.contains(name));
        }
        let may = || self.access.allows_instead(Operation::Create, ResourceType::Topic, name);
        if !may() && !self.access.topics.exists(name) {
            let _ = self.absent.insert(name.to_owned());
        }
        true
    }

    fn topic_id(&mut self, id: &[u8; 16]) -> Result<Action<'static>, Denial> {
        // Members of a group tell what they own by its id.
        if self.needs.topics.is_none_or(|(_, reach)| reach == Reach::Whole) || *id == [0; 16] {
            return Ok(Action::Keep);
        }
        match self.access.topics.name(id) {
            Some(name) => self.topic(&name),
            None => {
                let _ = self.foreign.insert(*id);
                self.served += usize::from(self.purpose == Purpose::Look);
                Ok(self.course(true))
            }
        }
    }

    fn group(&mut self, name: &str) -> Result<Action<'static>, Denial> {
        let Some(need) = self.needs.groups else { return Ok(Action::Keep) };
        let allowed = self.decide(need, ResourceType::Group, name)?;
        self.group_refused = !allowed;
        // Of a group that is served, single topics may be refused.
        Ok(if need.1 == Reach::Whole || self.needs.topics.is_some() && self.purpose == Purpose::Refuse {
            Action::Keep
        } else {
            self.course(allowed)
        })
    }

    fn transaction(&mut self, id: Option<&str>) -> Result<Action<'static>, Denial> {
        if self.key == ApiKey::Produce {
            self.transactional_id = id.map(str::to_owned);
            return Ok(Action::Keep);
        }
        let Some(need) = self.needs.transactional_ids else { return Ok(Action::Keep) };
        match id {
            Some(id) => {
                let allowed = self.decide(need, ResourceType::TransactionalId, id)?;
                // What is served or refused as a whole stands in no list.
                Ok(if need.1 == Reach::Whole { Action::Keep } else { self.course(allowed) })
            }
            None if self.key == ApiKey::InitProducerId => self.idempotent().map(|()| Action::Keep),
            None => Ok(Action::Keep),
        }
    }

    /// A producer without transactions needs IDEMPOTENT_WRITE, or WRITE on some topic (KIP-679).
    fn idempotent(&self) -> Result<(), Denial> {
        let write = || self.access.authorizer.allows_any(&self.access.who, Operation::Write, ResourceType::Topic);
        if self.access.allows_on_cluster(Operation::IdempotentWrite) || write() {
            return Ok(());
        }
        Err(denial(Operation::IdempotentWrite, ResourceType::Cluster, CLUSTER))
    }

    /// Records of a transaction need its id.
    fn records(&self, bytes: Option<&[u8]>) -> Result<Action<'static>, Denial> {
        match self.purpose {
            Purpose::Refuse => return Ok(Action::Null),
            Purpose::Serve => return Ok(Action::Keep),
            Purpose::Look => {}
        }
        if self.key == ApiKey::Produce && bytes.is_some_and(are_transactional) {
            let id = self.transactional_id.as_deref();
            let may = |id| self.access.allows(Operation::Write, ResourceType::TransactionalId, id);
            if !id.is_some_and(may) {
                return Err(denial(Operation::Write, ResourceType::TransactionalId, id.unwrap_or_default()));
            }
        }
        Ok(Action::Keep)
    }

    fn config(&mut self, name: &str) -> Action<'static> {
        let Some(operation) = self.needs.configs else { return Action::Keep };
        let (ty, name) = match self.resource {
            TOPIC => (ResourceType::Topic, name),
            GROUP => (ResourceType::Group, name),
            BROKER | BROKER_LOGGER | CLIENT_METRICS => (ResourceType::Cluster, CLUSTER),
            // No broker knows such a type, and each says so itself.
            _ => return self.course(true),
        };
        let allowed = self.access.allows(operation, ty, name);
        let allowed = self.count(allowed, operation, ty, name);
        self.course(allowed)
    }

    /// The key of a coordinator. A list may be refused one by one; before version 4 there is one key, which is the request.
    fn coordinator(&mut self, name: &str) -> Result<Action<'static>, Denial> {
        let (ty, operation, on) = match self.coordinator {
            GROUPS => (ResourceType::Group, Operation::Describe, name),
            TRANSACTIONS => (ResourceType::TransactionalId, Operation::Describe, name),
            // Older versions know of none, and brokers say so.
            SHARE_PARTITIONS if self.version >= 6 => (ResourceType::Cluster, Operation::ClusterAction, CLUSTER),
            _ => return Ok(self.course(true)),
        };
        let reach = if self.version < 4 { Reach::Whole } else { Reach::Each };
        let allowed = self.decide((operation, reach), ty, on)?;
        Ok(self.course(allowed))
    }

    fn number(&mut self, role: Role, number: i32) -> Action<'static> {
        match role {
            Role::ResourceType => self.resource = number,
            Role::Acks => self.silent = number == 0,
            Role::AutoCreation => self.makes = number != 0,
            Role::FetchSessionEpoch if number > 0 => self.continues = true,
            _ => {}
        }
        // A session would hold what is served, and the client would take what is refused for part of it.
        match (self.purpose, role) {
            (Purpose::Serve, Role::FetchSessionId) => Action::Int(0),
            (Purpose::Serve, Role::FetchSessionEpoch) => Action::Int(-1),
            _ => Action::Keep,
        }
    }
}

impl Visitor for Judge<'_> {
    type Error = Denial;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Denial> {
        match (role, value) {
            (Role::Topic, Value::Str(Some(name))) => self.topic(name),
            (Role::TopicId, Value::Uuid(id)) => self.topic_id(&id),
            (Role::TopicCursor, Value::Str(Some(name))) if self.purpose == Purpose::Serve => {
                Ok(self.course(self.access.allows(Operation::Describe, ResourceType::Topic, name)))
            }
            (Role::Group, Value::Str(Some(name))) => self.group(name),
            (Role::TransactionalId, Value::Str(id)) => self.transaction(id),
            (Role::Records, Value::Bytes(bytes)) => self.records(bytes),
            (Role::ResourceName, Value::Str(Some(name))) => Ok(self.config(name)),
            (Role::CoordinatorKey, Value::Str(Some(name))) => self.coordinator(name),
            (_, Value::Int(number)) => Ok(self.number(role, number)),
            _ => Ok(Action::Keep),
        }
    }
}

/// Whether a broker makes topics that a request names and that are absent, as topics of its own accord: those that are asked for,
/// and those that a topology needs beside its sources.
const fn makes_topics(key: ApiKey) -> bool {
    matches!(key, ApiKey::Metadata | ApiKey::StreamsGroupHeartbeat)
}

fn denial(operation: Operation, ty: ResourceType, name: &str) -> Denial {
    Denial { operation, ty, name: name.to_owned() }
}

/// Whether some batch belongs to a transaction. Bytes that are no batches are for the broker to refuse.
fn are_transactional(mut bytes: &[u8]) -> bool {
    while let Some(attributes) = bytes.get(ATTRIBUTES..ATTRIBUTES + 2) {
        if attributes[1] & TRANSACTIONAL != 0 {
            return true;
        }
        let length =
            bytes.get(LENGTH..).and_then(|bytes| bytes.first_chunk()).map(|length| i32::from_be_bytes(*length));
        let Some(end) = length.and_then(|length| usize::try_from(length).ok()).map(|length| length + LENGTH + 4) else {
            return false;
        };
        match bytes.get(end..) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    false
}
