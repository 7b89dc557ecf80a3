//! Whether a request still has room within the quotas of its virtual cluster: topics and partitions that it would make, and records
//! where no more may be stored.

use super::enforce::{Apart, KnownTopics};
use super::rights::Rights;
use super::{SessionError, Shared, joined, local, store_room, usage};
use crate::apis::check::{Checked, check};
use crate::authz::{Operation, ResourceType};
use crate::naming::Tenant;
use crate::naming::prefix::Namespace;
use crate::quotas::rules::Rules;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::schema::ApiKey;
use wire::{frame, value};

pub(super) const POLICY_VIOLATION: i16 = 44;
/// Brokers show a topic that they have made after this time at the latest.
const SHOWN: Duration = Duration::from_secs(5);
/// More topics are not remembered at a time: brokers show them by then.
const MOST_MADE: usize = 10_000;
/// Where nobody can tell how many partitions a topic gets.
const UNKNOWN_PARTITIONS: u64 = 1;

/// Why the connection of a client that expects no answer ends, as brokers do on an error.
pub(super) const SILENT: &str = "a quota leaves no room for records, and their client expects no answer";

/// What becomes of a request.
pub(super) enum Room {
    /// All of it has room.
    Fits,
    /// Nothing has: the answer, and why; `None` where its client expects none.
    Refused(Option<Vec<u8>>, String),
    /// Something has: the frame without the rest, an answer to that, and why.
    Less(Vec<u8>, Apart, String),
}

/// The topics that were made a moment ago and that brokers may not show yet, by physical name, with their partitions.
#[derive(Debug, Default)]
pub struct Made(Mutex<Vec<(String, u64, Instant)>>);

impl Made {
    fn with(&self, own: &Namespace, mut known: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(_, _, at)| at.elapsed() < SHOWN);
        for (physical, partitions, _) in made.iter().filter(|(physical, ..)| own.unmap_topic(physical).is_some()) {
            let count = known.entry(physical.clone()).or_default();
            *count = (*count).max(*partitions);
        }
        known
    }

    fn note(&self, physical: String, partitions: u64) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() < MOST_MADE {
            made.push((physical, partitions, Instant::now()));
        }
    }
}

/// Looks at a request, where a quota asks for that.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none, [`SessionError::Broker`] where topics cannot be counted.
pub(super) async fn judge(
    request: &Checked<'_>,
    rights: &mut Rights,
    tenant: &Tenant,
    virtual_cluster: &str,
    shared: &Shared,
) -> Result<Room, SessionError> {
    let rules = rights.quotas().cloned();
    if request.key() == ApiKey::Produce {
        return store_room::stores(request, rules.as_deref(), tenant, virtual_cluster, shared);
    }
    let Some(rules) = rules else { return Ok(Room::Fits) };
    match request.key() {
        ApiKey::CreateTopics | ApiKey::CreatePartitions if rules.counts_topics() => {
            makes(request, rights, &rules, tenant, virtual_cluster, shared).await
        }
        ApiKey::Metadata if rules.counts_topics() => asks(request, &rules, tenant, virtual_cluster, shared).await,
        ApiKey::StreamsGroupHeartbeat if rules.counts_topics() => {
            streams(request, &rules, tenant, virtual_cluster, shared).await
        }
        _ => Ok(Room::Fits),
    }
}

/// How many topics and partitions there are, and may be.
struct Count<'a> {
    cluster: &'a str,
    rules: &'a Rules,
    namespace: &'a Namespace,
    /// By their physical names: clients may write a prefix or not, and call a topic by several names.
    known: BTreeMap<String, u64>,
}

impl<'a> Count<'a> {
    async fn new(
        rules: &'a Rules,
        tenant: &'a Tenant,
        cluster: &'a str,
        shared: &Shared,
    ) -> Result<Self, SessionError> {
        // What others show to the tenant is not its own.
        let prefix = shared.world.borrow().virtual_cluster(cluster).and_then(|cluster| cluster.prefix.clone());
        let own = Namespace::new(prefix);
        let known = usage::topics(shared, &own).await?;
        Ok(Self { cluster, rules, namespace: &tenant.namespace, known: shared.quotas.made.with(&own, known) })
    }

    fn physical(&self, name: &str) -> String {
        let mut buffer = String::new();
        self.namespace.map_topic(name, &mut buffer).to_owned()
    }

    fn partitions(&self, name: &str) -> Option<u64> {
        self.known.get(&self.physical(name)).copied()
    }

    fn has(&self, name: &str) -> bool {
        self.partitions(name).is_some()
    }

    /// Adds a topic, or partitions to one, if there is room; else says why not.
    fn add(&mut self, name: &str, partitions: u64) -> Result<(), String> {
        let (topics, all) = (self.known.len() as u64, self.known.values().sum::<u64>());
        let (physical, now) = (self.physical(name), self.partitions(name));
        let (cluster, ask) = (self.cluster, "delete some, or ask the gateway's operator for more");
        if let Some(limit) = self.rules.topics.filter(|limit| now.is_none() && topics >= *limit) {
            return Err(format!(
                "virtual cluster '{cluster}' has {topics} topics of at most {limit} (topics in its Quota): {ask}"
            ));
        }
        let more = partitions.saturating_sub(now.unwrap_or_default());
        if let Some(limit) = self.rules.partitions.filter(|limit| all.saturating_add(more) > *limit) {
            return Err(format!(
                "virtual cluster '{cluster}' has {all} partitions of at most {limit}, and these would be {more} more \
                 (partitions in its Quota): {ask}"
            ));
        }
        let _ = self.known.insert(physical, partitions.max(now.unwrap_or_default()));
        Ok(())
    }
}

/// CreateTopics and CreatePartitions: topic by topic, in the order of the request.
async fn makes(
    request: &Checked<'_>,
    rights: &mut Rights,
    rules: &Rules,
    tenant: &Tenant,
    cluster: &str,
    shared: &Shared,
) -> Result<Room, SessionError> {
    let (key, version) = (request.key(), request.version());
    let mut asked = local::asked(request)?;
    let mut count = Count::new(rules, tenant, cluster, shared).await?;
    let leaves_it = elements(&asked["Topics"]).iter().any(|topic| partitions(key, topic).is_none());
    let as_brokers_do = if leaves_it { usage::default_partitions(shared).await } else { None };
    let as_brokers_do = as_brokers_do.unwrap_or(UNKNOWN_PARTITIONS);
    let topics = KnownTopics { tenant, cluster: &shared.cluster };
    let access = rights.access(tenant, &topics);
    let operation = if key == ApiKey::CreateTopics { Operation::Create } else { Operation::Alter };
    let everywhere = key == ApiKey::CreateTopics && access.allows_on_cluster(Operation::Create);
    let (mut refused, mut why, mut made) = (Vec::new(), String::new(), Vec::new());
    let list = asked["Topics"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let rest: Vec<Value> = list
        .into_iter()
        .filter(|topic| {
            let name = topic["Name"].as_str().unwrap_or_default();
            let exists = count.has(name);
            // What may not be made is refused for that, and what cannot be by the broker.
            let is_its_business = if key == ApiKey::CreateTopics { !exists } else { exists };
            if !is_its_business || !(everywhere || access.allows(operation, ResourceType::Topic, name)) {
                return true;
            }
            let partitions = partitions(key, topic).unwrap_or(as_brokers_do);
            match count.add(name, partitions) {
                Ok(()) => made.push((count.physical(name), partitions)),
                Err(text) => {
                    refused.push(json!({ "Name": name, "ErrorCode": POLICY_VIOLATION, "ErrorMessage": text }));
                    why = text;
                    return false;
                }
            }
            true
        })
        .collect();
    if asked["ValidateOnly"] != true {
        made.into_iter().for_each(|(physical, partitions)| shared.quotas.made.note(physical, partitions));
    }
    if refused.is_empty() {
        return Ok(Room::Fits);
    }
    let field = if key == ApiKey::CreateTopics { "Topics" } else { "Results" };
    let refused = fitted(key, version, &json!({ field: refused }));
    if rest.is_empty() {
        return Ok(Room::Refused(Some(local::answer(request, &refused)?), why));
    }
    asked["Topics"] = rest.into();
    let wrong = |e: value::ValueError| SessionError::Gateway(e.to_string());
    let body = value::encode(key.response(), version, &refused).map_err(wrong)?;
    let apart = Apart { body, silent: false, alone: false };
    Ok(Room::Less(with_body(request, &asked)?, apart, why))
}

/// How many partitions a topic is to have in all; `None` where that is left to the brokers.
fn partitions(key: ApiKey, topic: &Value) -> Option<u64> {
    let said = if key == ApiKey::CreateTopics { &topic["NumPartitions"] } else { &topic["Count"] };
    let assigned = elements(&topic["Assignments"]).len() as u64;
    match said.as_u64() {
        Some(count) => Some(count.max(if key == ApiKey::CreateTopics { assigned } else { 0 })),
        None => (assigned > 0).then_some(assigned),
    }
}

/// Metadata, where brokers make what they do not know: without room they are asked not to.
async fn asks(
    request: &Checked<'_>,
    rules: &Rules,
    tenant: &Tenant,
    cluster: &str,
    shared: &Shared,
) -> Result<Room, SessionError> {
    let (version, mut asked) = (request.version(), local::asked(request)?);
    if version >= 4 && asked["AllowAutoTopicCreation"] != true {
        return Ok(Room::Fits);
    }
    let names = elements(&asked["Topics"]).iter().filter_map(|topic| topic["Name"].as_str());
    let unknown = unknown(names, tenant, shared);
    if unknown.is_empty() {
        return Ok(Room::Fits);
    }
    let mut count = Count::new(rules, tenant, cluster, shared).await?;
    let new: Vec<&String> = unknown.iter().filter(|name| !count.has(name)).collect();
    let each = usage::default_partitions(shared).await.unwrap_or(UNKNOWN_PARTITIONS);
    let Err(why) = new.iter().try_for_each(|name| count.add(name, each)) else {
        return Ok(Room::Fits);
    };
    if version < 4 {
        let refused = |name: &&String| json!({ "ErrorCode": POLICY_VIOLATION, "Name": name });
        let answer = json!({ "Topics": new.iter().map(refused).collect::<Vec<_>>() });
        return Ok(Room::Refused(Some(local::answer(request, &answer)?), why));
    }
    asked["AllowAutoTopicCreation"] = false.into();
    let body = value::encode(ApiKey::Metadata.response(), version, &json!({}));
    let body = body.map_err(|e| SessionError::Gateway(e.to_string()))?;
    Ok(Room::Less(with_body(request, &asked)?, Apart { body, silent: false, alone: false }, why))
}

/// The topology of a group of Kafka Streams, for which brokers make topics.
async fn streams(
    request: &Checked<'_>,
    rules: &Rules,
    tenant: &Tenant,
    cluster: &str,
    shared: &Shared,
) -> Result<Room, SessionError> {
    let asked = local::asked(request)?;
    let parts = elements(&asked["Topology"]["Subtopologies"]);
    let inner = parts.iter().flat_map(|part| {
        elements(&part["RepartitionSourceTopics"]).iter().chain(elements(&part["StateChangelogTopics"]))
    });
    let said = |topic: &Value| topic["Partitions"].as_u64().unwrap_or_default();
    let made: BTreeMap<&str, u64> = inner.filter_map(|topic| Some((topic["Name"].as_str()?, said(topic)))).collect();
    if unknown(made.keys().copied(), tenant, shared).is_empty() {
        return Ok(Room::Fits);
    }
    let mut count = Count::new(rules, tenant, cluster, shared).await?;
    // Where a topology says no number, a topic gets as many as one of those that it is made from.
    let sources = parts.iter().flat_map(|part| elements(&part["SourceTopics"])).filter_map(Value::as_str);
    let largest = sources.filter_map(|name| count.partitions(name)).chain(made.values().copied()).max();
    for (name, said) in made {
        let partitions = if said > 0 { said } else { largest.unwrap_or_default().max(UNKNOWN_PARTITIONS) };
        if !count.has(name)
            && let Err(why) = count.add(name, partitions)
        {
            let answer = json!({ "ErrorCode": POLICY_VIOLATION, "ErrorMessage": why });
            return Ok(Room::Refused(Some(local::answer(request, &answer)?), why));
        }
    }
    Ok(Room::Fits)
}

/// Which of these the brokers were not seen to have.
fn unknown<'n>(names: impl Iterator<Item = &'n str>, tenant: &Tenant, shared: &Shared) -> BTreeSet<String> {
    let topology = shared.cluster.topology();
    let known = topology.topics.iter().filter_map(|(_, name)| tenant.namespace.unmap_topic(name));
    let known: BTreeSet<&str> = known.collect();
    names.filter(|name| !known.contains(name)).map(str::to_owned).collect()
}

/// The request with another body: a frame without its length.
pub(super) fn with_body(request: &Checked<'_>, body: &Value) -> Result<Vec<u8>, SessionError> {
    let (key, version, header) = (request.key(), request.version(), request.header());
    let body = value::encode(key.request(), version, body).map_err(|e| SessionError::Gateway(e.to_string()))?;
    Ok(frame::request(key, version, header.correlation_id, header.client_id, &body).split_off(4))
}

/// The frame that a request has become.
///
/// # Errors
/// [`SessionError::Gateway`]
pub(super) fn reworded(frame: &[u8]) -> Result<Checked<'_>, SessionError> {
    check(frame).map_err(|e| SessionError::Gateway(e.to_string()))
}

/// An answer without the texts that its version has no place for.
pub(super) fn fitted(key: ApiKey, version: i16, answer: &Value) -> Value {
    let mut fitted = answer.clone();
    let has_texts = match key {
        ApiKey::Produce => version >= 8,
        ApiKey::CreateTopics => version >= 1,
        _ => true,
    };
    if !has_texts {
        for element in
            fitted.as_object_mut().into_iter().flatten().filter_map(|(_, list)| list.as_array_mut()).flatten()
        {
            let _ = element.as_object_mut().map(|element| element.remove("ErrorMessage"));
            for part in element["PartitionResponses"].as_array_mut().into_iter().flatten() {
                let _ = part.as_object_mut().map(|part| part.remove("ErrorMessage"));
            }
        }
    }
    if key == ApiKey::Produce && version < 5 {
        for topic in fitted["Responses"].as_array_mut().into_iter().flatten() {
            for part in topic["PartitionResponses"].as_array_mut().into_iter().flatten() {
                let _ = part.as_object_mut().map(|part| part.remove("LogStartOffset"));
            }
        }
    }
    fitted
}

/// One answer to what was refused for want of a right and to what has no room.
///
/// # Errors
/// [`SessionError::Gateway`]
pub(super) fn together(
    key: ApiKey,
    version: i16,
    denied: Option<Apart>,
    more: Option<Apart>,
) -> Result<Option<Apart>, SessionError> {
    match (denied, more) {
        (Some(denied), Some(more)) => {
            let body = joined::joined(key, version, &denied.body, &more.body);
            let body = body.map_err(|e| SessionError::Gateway(e.to_string()))?;
            Ok(Some(Apart { body, ..denied }))
        }
        (one, other) => Ok(one.or(other)),
    }
}

pub(super) fn elements(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
