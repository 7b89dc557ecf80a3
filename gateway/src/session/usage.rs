//! What is known of the tenants' use beyond this node's own connections: what other nodes tell, and what their topics hold.

use super::{SessionError, Shared};
use crate::naming::prefix::Namespace;
use crate::nodes::Members;
use crate::quotas::ledger::Usage;
use crate::upstream::broker::{self, BrokerError};
use crate::world::World;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;
use wire::read::{Cursor, Malformed};
use wire::schema::ApiKey;
use wire::value;

/// What topics hold is looked up this often, where a quota asks for it: the records of this time come on top of it.
const LOOK: Duration = Duration::from_secs(3);
/// Brokers are asked in this version: the oldest that all of them answer.
const LOG_DIRS: i16 = 1;

/// The bytes that each virtual cluster with such a quota has stored, as last seen.
#[derive(Debug, Default)]
pub struct Stored(RwLock<BTreeMap<Arc<str>, u64>>);

impl Stored {
    /// Whether nobody's storage is limited, as far as was seen.
    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What a virtual cluster was last seen to hold.
    pub fn of(&self, virtual_cluster: &str) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(virtual_cluster).copied().unwrap_or_default()
    }
}

/// Divides the limits among the nodes anew with each of their beats; does not end.
pub async fn divide(shared: &Shared, members: &Members) {
    let (view, mut last) = (members.view(), Instant::now());
    loop {
        tokio::time::sleep(members.until_known() / 2).await;
        let mut own = shared.quotas.ledger.usage(shared.quotas.now(), last.elapsed().as_secs_f64());
        last = Instant::now();
        let world = shared.world.borrow().clone();
        let limited = |name: &str| {
            let rules = world.virtual_cluster(name).and_then(|cluster| cluster.quotas.as_ref());
            rules.is_some_and(|rules| rules.connections.is_some() || !rules.user_connections.is_empty())
        };
        own.connections.retain(|(of, _, _)| limited(of));
        let _ = members.share(own.to_json());
        let view = view.borrow().clone();
        let me = view.me().id();
        let told = |node: &crate::nodes::Node| {
            if node.id() == me { own.clone() } else { Usage::from_json(node.usage()) }
        };
        let all: Vec<Usage> = view.nodes().iter().map(told).collect();
        let place = view.nodes().iter().position(|node| node.id() == me).unwrap_or_default();
        shared.quotas.ledger.divide(place, &all);
    }
}

/// Looks up what topics hold, where a quota asks for it; does not end.
pub async fn look(shared: &Shared) {
    loop {
        tokio::time::sleep(LOOK).await;
        let world = shared.world.borrow().clone();
        let limited = limited(&world);
        if limited.is_empty() {
            continue;
        }
        // Kafka that is out of reach is told where it is watched; what was seen last holds until then.
        if let Ok(stored) = stored(shared, &limited).await {
            *shared.quotas.stored.0.write().unwrap_or_else(PoisonError::into_inner) = stored;
        }
    }
}

/// The virtual clusters whose storage is limited.
fn limited(world: &World) -> Vec<(Arc<str>, Namespace)> {
    let clusters = world.virtual_clusters();
    let limited = clusters.filter(|cluster| cluster.quotas.as_ref().is_some_and(|rules| rules.storage.is_some()));
    limited.map(|cluster| (Arc::clone(&cluster.name), Namespace::new(cluster.prefix.clone()))).collect()
}

async fn stored(shared: &Shared, limited: &[(Arc<str>, Namespace)]) -> Result<BTreeMap<Arc<str>, u64>, BrokerError> {
    let mut largest: HashMap<(String, i32), u64> = HashMap::new();
    let topology = shared.cluster.topology();
    for broker in topology.brokers.keys() {
        let link = shared.cluster.connect(*broker).await?;
        let wrong = |reason: String| BrokerError::Answer {
            address: link.address.clone(),
            key: ApiKey::DescribeLogDirs,
            reason,
        };
        let request =
            value::encode(ApiKey::DescribeLogDirs.request(), LOG_DIRS, &serde_json::json!({ "Topics": null }));
        let request = request.map_err(|e| wrong(e.to_string()))?;
        let body = broker::ask(&link.connection, &link.address, ApiKey::DescribeLogDirs, LOG_DIRS, &request).await?;
        let mine = |topic: &str| limited.iter().any(|(_, namespace)| namespace.unmap_topic(topic).is_some());
        read(&body, mine, &mut largest).map_err(|e| wrong(e.to_string()))?;
    }
    let mut stored = BTreeMap::new();
    for (name, namespace) in limited {
        let own = largest.iter().filter(|((topic, _), _)| namespace.unmap_topic(topic).is_some());
        let _ = stored.insert(Arc::clone(name), own.map(|(_, size)| size).sum());
    }
    Ok(stored)
}

/// Reads the size of each partition of these topics: the largest of its replicas, those that move aside left out.
fn read(body: &[u8], mine: impl Fn(&str) -> bool, largest: &mut HashMap<(String, i32), u64>) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(body);
    let _throttle_time = cursor.i32()?;
    for _ in 0..cursor.count(false, false, 8)?.unwrap_or_default() {
        let (_error, _path) = (cursor.i16()?, text(&mut cursor)?);
        for _ in 0..cursor.count(false, false, 6)?.unwrap_or_default() {
            let topic = text(&mut cursor)?;
            let counts = mine(topic);
            for _ in 0..cursor.count(false, false, 21)?.unwrap_or_default() {
                let (partition, size, _lag, moves) = (cursor.i32()?, cursor.i64()?, cursor.i64()?, cursor.i8()? != 0);
                if counts && !moves {
                    let known = largest.entry((topic.to_owned(), partition)).or_default();
                    *known = (*known).max(u64::try_from(size).unwrap_or_default());
                }
            }
        }
    }
    Ok(())
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
    let length = cursor.length(false, true, false)?.unwrap_or_default();
    let at = cursor.at();
    std::str::from_utf8(cursor.take(length)?).map_err(|_| Malformed::Utf8 { at })
}

/// The topics that a virtual cluster has now, by their physical names, and how many partitions each has.
///
/// # Errors
/// [`SessionError::Broker`]
pub(super) async fn topics(shared: &Shared, namespace: &Namespace) -> Result<BTreeMap<String, u64>, SessionError> {
    const VERSION: i16 = crate::upstream::metadata::VERSION;
    shared.cluster.refresh().await?;
    let link = shared.cluster.connect(-1).await?;
    let wrong = |reason: String| BrokerError::Answer { address: link.address.clone(), key: ApiKey::Metadata, reason };
    let topology = shared.cluster.topology();
    let mine = |name: &&String| namespace.unmap_topic(name).is_some();
    let names = topology.topics.iter().map(|(_, name)| name).filter(mine);
    let names: Vec<_> = names.map(|name| serde_json::json!({ "Name": name })).collect();
    let request = serde_json::json!({ "Topics": names, "AllowAutoTopicCreation": false });
    let request = value::encode(ApiKey::Metadata.request(), VERSION, &request).map_err(|e| wrong(e.to_string()))?;
    let body = broker::ask(&link.connection, &link.address, ApiKey::Metadata, VERSION, &request).await?;
    let answer = value::decode_at_most(ApiKey::Metadata.response(), VERSION, &body, MOST_VALUES);
    let answer = answer.map_err(|e| wrong(e.to_string()))?;
    let topics = answer["Topics"].as_array().into_iter().flatten();
    Ok(topics
        .filter_map(|topic| {
            let name = topic["Name"].as_str().filter(|name| namespace.unmap_topic(name).is_some())?;
            let partitions = topic["Partitions"].as_array().map_or(0, Vec::len);
            (topic["ErrorCode"] == 0).then(|| (name.to_owned(), partitions as u64))
        })
        .collect())
}

/// How many partitions brokers give to a topic of which nobody says how many; `None` where they do not tell.
pub(super) async fn default_partitions(shared: &Shared) -> Option<u64> {
    let broker = *shared.cluster.topology().brokers.keys().next()?;
    let link = shared.cluster.connect(broker).await.ok()?;
    let (key, name) = (ApiKey::DescribeConfigs, broker.to_string());
    let resource = serde_json::json!({ "ResourceType": BROKER, "ResourceName": name, "ConfigurationKeys": [DEFAULT] });
    let request = value::encode(key.request(), CONFIGS, &serde_json::json!({ "Resources": [resource] })).ok()?;
    let body = broker::ask(&link.connection, &link.address, key, CONFIGS, &request).await.ok()?;
    let answer = value::decode_at_most(key.response(), CONFIGS, &body, MOST_VALUES).ok()?;
    answer["Results"][0]["Configs"][0]["Value"].as_str()?.parse().ok()
}

/// The setting, and how brokers are asked for it: in the oldest version that all of them answer.
const DEFAULT: &str = "num.partitions";
const CONFIGS: i16 = 1;
const BROKER: i8 = 4;

/// Of one virtual cluster: each partition takes some ten of them.
const MOST_VALUES: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_largest_replica_of_each_partition_counts() {
        let log = |topic: &str, partition: i32, size: i64, moves: bool| {
            json!({ "Name": topic, "Partitions": [
                { "PartitionIndex": partition, "PartitionSize": size, "OffsetLag": 0, "IsFutureKey": moves } ] })
        };
        let dirs = json!({ "Results": [
            { "LogDir": "/a", "Topics": [log("dev.t", 0, 10, false), log("other.t", 0, 500, false)] },
            { "LogDir": "/b", "Topics": [log("dev.t", 0, 90, true), log("dev.t", 1, 7, false)] },
        ] });
        let mut largest = HashMap::from([(("dev.t".to_owned(), 1), 9)]);
        let body = value::encode(ApiKey::DescribeLogDirs.response(), LOG_DIRS, &dirs).unwrap();
        read(&body, |topic| topic.starts_with("dev."), &mut largest).unwrap();
        assert_eq!(largest, HashMap::from([(("dev.t".to_owned(), 0), 10), (("dev.t".to_owned(), 1), 9)]));
        assert!(read(&body[..body.len() - 3], |_| true, &mut largest).is_err());
    }
}
