//! The victim's state as the broker itself tells it: equal before and after an attack, or the attack did something.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};
use wire::schema::ApiKey;

use super::peer::Peer;
use super::victim::Victim;
use super::{Arena, Trouble};

/// What differs without anybody's doing.
const DRIFTING: [&str; 6] =
    ["ThrottleTimeMs", "CorrelationId", "LastFetchTimestamp", "TransactionStartTimeMs", "LastTimestamp", "ClientHost"];

/// What the names of every sandbox start with.
const SANDBOXES: &str = "sb_";

/// What the broker says, by what was asked.
pub type Fingerprint = BTreeMap<String, Value>;

/// Asks the broker for everything that is the victim's, or nobody's: other sandboxes on the broker live their own life.
///
/// # Errors
/// [`Trouble`]
pub fn take(arena: &Arena) -> Result<Fingerprint, Trouble> {
    let broker = Peer::connect("the harness", &arena.direct, "")?;
    let mut taker = Taker { broker, prefix: &arena.target.prefix, victim: &arena.victim, print: Fingerprint::new() };
    taker.lists()?;
    taker.topics()?;
    taker.groups()?;
    taker.cluster()?;
    Ok(taker.print)
}

struct Taker<'a> {
    broker: Peer,
    prefix: &'a str,
    victim: &'a Victim,
    print: Fingerprint,
}

impl Taker<'_> {
    /// What the broker answers, null where it does not know the API.
    fn asked(&mut self, key: ApiKey, versions: RangeInclusive<i16>, body: &Value) -> Result<Value, Trouble> {
        if self.broker.has(key) { Ok(steady(self.broker.ask(key, versions, body)?)) } else { Ok(Value::Null) }
    }

    fn add(&mut self, what: &str, key: ApiKey, versions: RangeInclusive<i16>, body: &Value) -> Result<(), Trouble> {
        let answer = self.asked(key, versions, body)?;
        let _ = self.print.insert(what.to_owned(), answer);
        Ok(())
    }

    fn physical(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn lists(&mut self) -> Result<(), Trouble> {
        let all = json!({ "Topics": null, "AllowAutoTopicCreation": false });
        let topics = self.asked(ApiKey::Metadata, 9..=12, &all)?;
        let groups = self.asked(ApiKey::ListGroups, 3..=5, &json!({}))?;
        let transactions = self.asked(ApiKey::ListTransactions, 0..=1, &json!({}))?;
        let prefix = self.prefix;
        let wanted =
            |name: &Value| name.as_str().is_some_and(|name| name.starts_with(prefix) || !name.starts_with(SANDBOXES));
        keep(&mut self.print, "topic", &topics["Topics"], "Name", &wanted);
        keep(&mut self.print, "group", &groups["Groups"], "GroupId", &wanted);
        // The one that the victim itself goes on with is judged by its own success.
        let ledger = json!(self.physical(&self.victim.ledger_transaction));
        let still = |name: &Value| wanted(name) && *name != ledger;
        keep(&mut self.print, "transaction", &transactions["TransactionStates"], "TransactionalId", &still);
        let resources = self.asked(ApiKey::ListConfigResources, 1..=1, &json!({ "ResourceTypes": [] }))?;
        keep(&mut self.print, "what has settings", &resources["ConfigResources"], "ResourceName", &wanted);
        let any = json!({ "ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1 });
        let rules = self.asked(ApiKey::DescribeAcls, 1..=3, &any)?;
        keep(&mut self.print, "rules of", &rules["Resources"], "ResourceName", &wanted);
        Ok(())
    }

    fn topics(&mut self) -> Result<(), Trouble> {
        let victim = self.victim;
        let topics = [&victim.bait, &victim.secret, &victim.live].map(|topic| topic.physical.as_str());
        // A null list means all settings.
        let resources: Vec<Value> = topics
            .iter()
            .map(|topic| json!({ "ResourceType": 2, "ResourceName": topic, "ConfigurationKeys": null }))
            .collect();
        self.add("settings of topics", ApiKey::DescribeConfigs, 1..=4, &json!({ "Resources": resources }))?;
        let still = &topics[..2];
        for (what, timestamp) in [("first offsets", -2), ("last offsets", -1)] {
            let partition = json!({ "PartitionIndex": 0, "Timestamp": timestamp });
            let list: Vec<Value> = still.iter().map(|t| json!({ "Name": t, "Partitions": [partition] })).collect();
            self.add(what, ApiKey::ListOffsets, 4..=7, &json!({ "ReplicaId": -1, "Topics": list }))?;
        }
        let list: Vec<Value> = still.iter().map(|t| json!({ "Name": t, "PartitionIndexes": [0] })).collect();
        self.add("producers", ApiKey::DescribeProducers, 0..=0, &json!({ "Topics": list }))?;
        let ids = [&victim.bait_transaction.id, &victim.secret_transaction.id].map(|id| self.physical(id));
        self.add("transactions", ApiKey::DescribeTransactions, 0..=0, &json!({ "TransactionalIds": ids }))
    }

    fn groups(&mut self) -> Result<(), Trouble> {
        let victim = self.victim;
        let (bait, secret) = (&victim.bait_group.name, &victim.secret_group.name);
        let classic = [bait, secret].map(|name| self.physical(name));
        self.add("classic groups", ApiKey::DescribeGroups, 4..=5, &json!({ "Groups": classic }))?;
        for group in [bait, secret, &victim.stored_group].map(|name| self.physical(name)) {
            let body = json!({ "GroupId": group, "Topics": null });
            self.add(&format!("offsets of {group}"), ApiKey::OffsetFetch, 5..=7, &body)?;
        }
        for (what, group, key) in [
            ("consumer groups", &victim.modern_group, ApiKey::ConsumerGroupDescribe),
            ("share groups", &victim.share_group, ApiKey::ShareGroupDescribe),
        ] {
            if let Some(group) = group {
                let body = json!({ "GroupIds": [self.physical(&group.name)] });
                self.add(what, key, 0..=1, &body)?;
            }
        }
        Ok(())
    }

    /// What is nobody's in particular: brokers, their settings, features, quotas, users, tokens.
    fn cluster(&mut self) -> Result<(), Trouble> {
        const BROKER: i8 = 4;
        const LOGGER: i8 = 8;
        const GROUP: i8 = 32;
        let brokers = self.asked(ApiKey::Metadata, 9..=12, &json!({ "Topics": [] }))?["Brokers"].clone();
        let mut resources = vec![(BROKER, String::new())];
        for broker in brokers.as_array().into_iter().flatten() {
            resources.extend([BROKER, LOGGER].map(|kind| (kind, broker["NodeId"].to_string())));
        }
        let _ = self.print.insert("brokers".to_owned(), brokers);
        let victim = self.victim;
        let groups = [Some(&victim.secret_group), victim.modern_group.as_ref(), victim.share_group.as_ref()];
        resources.extend(groups.into_iter().flatten().map(|group| (GROUP, self.physical(&group.name))));
        for (kind, name) in resources {
            let resource = json!({ "ResourceType": kind, "ResourceName": name, "ConfigurationKeys": null });
            let what = format!("settings of {kind}:{name}");
            self.add(&what, ApiKey::DescribeConfigs, 4..=4, &json!({ "Resources": [resource] }))?;
        }
        let asked = json!({ "ClientSoftwareName": "conformance", "ClientSoftwareVersion": "1" });
        let versions = self.asked(ApiKey::ApiVersions, 3..=4, &asked)?;
        let _ = self.print.insert("features".to_owned(), versions["FinalizedFeatures"].clone());
        let anything = json!({ "Components": [], "Strict": false });
        self.add("client quotas", ApiKey::DescribeClientQuotas, 0..=1, &anything)?;
        self.add("users", ApiKey::DescribeUserScramCredentials, 0..=0, &json!({ "Users": null }))?;
        self.add("tokens", ApiKey::DescribeDelegationToken, 1..=3, &json!({ "Owners": null }))
    }
}

/// Keeps each element that is not the attacker's, by its name.
fn keep(print: &mut Fingerprint, kind: &str, list: &Value, name: &str, wanted: &dyn Fn(&Value) -> bool) {
    for item in list.as_array().into_iter().flatten().filter(|item| wanted(&item[name])) {
        let _ = print.insert(format!("{kind} {}", item[name].as_str().unwrap_or_default()), item.clone());
    }
}

fn steady(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(field, _)| !DRIFTING.contains(&field.as_str()));
            Value::Object(kept.map(|(field, value)| (field, steady(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(steady).collect();
            // Brokers list what they have in any order.
            list.sort_by_cached_key(Value::to_string);
            Value::Array(list)
        }
        other => other,
    }
}

/// What is not as it was.
pub fn differences(before: &Fingerprint, after: &Fingerprint) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let say = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    changed.map(|key| format!("{key} was changed: {} became {}", say(before.get(key)), say(after.get(key)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_times_are_no_difference_but_content_is() {
        let print = |value: Value| Fingerprint::from([("groups".to_owned(), steady(value))]);
        let before = print(json!([{ "Id": "a", "ThrottleTimeMs": 1 }, { "Id": "b" }]));
        let same = print(json!([{ "Id": "b" }, { "Id": "a", "ThrottleTimeMs": 2 }]));
        assert_eq!(differences(&before, &same), Vec::<String>::new());
        let gone = print(json!([{ "Id": "a" }]));
        assert_eq!(differences(&before, &gone).len(), 1);
        assert_eq!(differences(&before, &Fingerprint::new()).len(), 1);
    }
}
