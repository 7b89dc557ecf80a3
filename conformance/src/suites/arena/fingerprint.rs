//! The victim's state as the broker itself tells it: equal before and after an attack, or the attack did something.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};
use wire::schema::ApiKey;

use super::peer::Peer;
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
    let mut broker = Peer::connect("the harness", &arena.direct, "")?;
    let mut print = Fingerprint::new();
    let stranger = |name: &Value| {
        name.as_str().is_some_and(|name| name.starts_with(&arena.target.prefix) || !name.starts_with(SANDBOXES))
    };
    let mut ask =
        |what: &str, key, versions: RangeInclusive<i16>, body: Value| asked(&mut broker, what, key, versions, body);

    let (_, metadata) = ask("", ApiKey::Metadata, 9..=12, json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
    keep(&mut print, "topic", &metadata["Topics"], "Name", &stranger);
    let (_, groups) = ask("", ApiKey::ListGroups, 3..=5, json!({}))?;
    keep(&mut print, "group", &groups["Groups"], "GroupId", &stranger);
    let (_, transactions) = ask("", ApiKey::ListTransactions, 0..=1, json!({}))?;
    let (victim, prefix) = (&arena.victim, &arena.target.prefix);
    let physical = |name: &str| format!("{prefix}{name}");
    // The one that the victim itself goes on with is judged by its own success.
    let ledger = json!(physical(&victim.ledger_transaction));
    let still = |name: &Value| stranger(name) && *name != ledger;
    keep(&mut print, "transaction", &transactions["TransactionStates"], "TransactionalId", &still);

    let topics = [&victim.bait, &victim.secret, &victim.live].map(|topic| topic.physical.clone());
    let resources: Vec<Value> = topics.iter().map(|t| json!({ "ResourceType": 2, "ResourceName": t })).collect();
    print.extend([ask("settings of topics", ApiKey::DescribeConfigs, 1..=4, all_settings(resources))?]);

    let still = &topics[..2];
    for (what, timestamp) in [("first offsets", -2), ("last offsets", -1)] {
        let partition = json!({ "PartitionIndex": 0, "Timestamp": timestamp });
        let list: Vec<Value> = still.iter().map(|t| json!({ "Name": t, "Partitions": [partition.clone()] })).collect();
        print.extend([ask(what, ApiKey::ListOffsets, 4..=7, json!({ "ReplicaId": -1, "Topics": list }))?]);
    }
    let list: Vec<Value> = still.iter().map(|t| json!({ "Name": t, "PartitionIndexes": [0] })).collect();
    print.extend([ask("producers", ApiKey::DescribeProducers, 0..=0, json!({ "Topics": list }))?]);

    let classic = [&victim.bait_group.name, &victim.secret_group.name].map(|name| physical(name));
    print.extend([ask("classic groups", ApiKey::DescribeGroups, 4..=5, json!({ "Groups": classic }))?]);
    for group in [&victim.bait_group.name, &victim.secret_group.name, &victim.stored_group].map(|n| physical(n)) {
        let body = json!({ "GroupId": group, "Topics": null });
        print.extend([ask(&format!("offsets of {group}"), ApiKey::OffsetFetch, 5..=7, body)?]);
    }
    if let Some(group) = &victim.modern_group {
        let body = json!({ "GroupIds": [physical(&group.name)] });
        print.extend([ask("consumer groups", ApiKey::ConsumerGroupDescribe, 0..=1, body)?]);
    }
    if let Some(group) = &victim.share_group {
        let body = json!({ "GroupIds": [physical(&group.name)] });
        print.extend([ask("share groups", ApiKey::ShareGroupDescribe, 0..=1, body)?]);
    }
    let ids = [&victim.bait_transaction.id, &victim.secret_transaction.id].map(|id| physical(id));
    print.extend([ask("transactions", ApiKey::DescribeTransactions, 0..=0, json!({ "TransactionalIds": ids }))?]);
    everybodys(arena, &mut broker, &mut print, &stranger)?;
    Ok(print)
}

fn asked(
    broker: &mut Peer,
    what: &str,
    key: ApiKey,
    versions: RangeInclusive<i16>,
    body: Value,
) -> Result<(String, Value), Trouble> {
    let answer = if broker.has(key) { broker.ask(key, versions, &body)? } else { Value::Null };
    Ok((what.to_owned(), steady(answer)))
}

/// What is nobody's in particular: settings, features, brokers, rights, quotas, users, tokens.
fn everybodys(
    arena: &Arena,
    broker: &mut Peer,
    print: &mut Fingerprint,
    stranger: &dyn Fn(&Value) -> bool,
) -> Result<(), Trouble> {
    let victim = &arena.victim;
    let mut ask =
        |what: &str, key, versions: RangeInclusive<i16>, body: Value| asked(broker, what, key, versions, body);
    let (_, cluster) = ask("", ApiKey::Metadata, 9..=12, json!({ "Topics": [] }))?;
    let ids: Vec<String> =
        cluster["Brokers"].as_array().into_iter().flatten().map(|broker| broker["NodeId"].to_string()).collect();
    print.extend([("brokers".to_owned(), cluster["Brokers"].clone())]);
    let groups = [Some(&victim.secret_group), victim.modern_group.as_ref(), victim.share_group.as_ref()];
    let groups = groups.into_iter().flatten().map(|group| (32, format!("{}{}", arena.target.prefix, group.name)));
    let nodes = ids.iter().flat_map(|id| [(4, id.clone()), (8, id.clone())]);
    for (kind, name) in [(4, String::new())].into_iter().chain(nodes).chain(groups) {
        let settings = all_settings(vec![json!({ "ResourceType": kind, "ResourceName": name })]);
        let what = format!("settings of {kind}:{name}");
        print.extend([ask(&what, ApiKey::DescribeConfigs, 4..=4, settings)?]);
    }
    let (_, resources) = ask("", ApiKey::ListConfigResources, 1..=1, json!({ "ResourceTypes": [] }))?;
    keep(print, "resource with settings", &resources["ConfigResources"], "ResourceName", stranger);
    let (_, versions) =
        ask("", ApiKey::ApiVersions, 3..=4, json!({ "ClientSoftwareName": "a", "ClientSoftwareVersion": "1" }))?;
    print.extend([("features".to_owned(), versions["FinalizedFeatures"].clone())]);
    let any = json!({ "ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1 });
    let (_, rights) = ask("", ApiKey::DescribeAcls, 1..=3, any)?;
    keep(print, "ACLs of", &rights["Resources"], "ResourceName", stranger);
    let anything = json!({ "Components": [], "Strict": false });
    print.extend([ask("client quotas", ApiKey::DescribeClientQuotas, 0..=1, anything)?]);
    print.extend([ask("users", ApiKey::DescribeUserScramCredentials, 0..=0, json!({ "Users": null }))?]);
    print.extend([ask("tokens", ApiKey::DescribeDelegationToken, 1..=3, json!({ "Owners": null }))?]);
    Ok(())
}

/// A null list means all settings.
fn all_settings(mut resources: Vec<Value>) -> Value {
    resources.iter_mut().for_each(|resource| resource["ConfigurationKeys"] = Value::Null);
    json!({ "Resources": resources, "IncludeSynonyms": false })
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
