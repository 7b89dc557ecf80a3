//! Seeing: what the attacker may not learn.

use std::time::Instant;

use serde_json::{Value, json};
use wire::schema::ApiKey;
use wire::value::uuid_text;

use crate::suites::arena::Trouble;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Every request that lists, at every version.
pub(super) fn i_01(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let mut asked = 0;
    for (key, body) in lists() {
        for version in scene.versions(key) {
            let body = fitting(key, version, &body);
            let reply = scene.ask(key, version, &body)?;
            asked += 1;
            if let (Some(own), true) = (own_in(scene, key), scene.served(key)) {
                let there = reply.value().to_string().contains(&format!("\"{own}\""));
                scene.expect(there, || format!("{} {version} lacks the attacker's own {own}", key.name()));
            }
            let refused = scene.served(key) || reply.gave_nothing();
            scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
        }
    }
    scene.got(format!("{asked} lists of {} APIs: its own, or a refusal", lists().len()));
    Ok(())
}

/// What a list of the attacker's has to contain: one that is always empty would leak nothing and be of no use.
fn own_in(scene: &Scene<'_>, key: ApiKey) -> Option<String> {
    match key {
        ApiKey::Metadata => Some(scene.arena.own.topic.clone()),
        ApiKey::ListGroups => Some(scene.arena.own.group.clone()),
        _ => None,
    }
}

fn lists() -> Vec<(ApiKey, Value)> {
    let any = json!({ "ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1,
        "ResourceNameFilter": null, "PrincipalFilter": null, "HostFilter": null });
    vec![
        (ApiKey::Metadata, json!({ "Topics": null, "AllowAutoTopicCreation": false })),
        (ApiKey::ListGroups, json!({})),
        (ApiKey::ListTransactions, json!({})),
        (ApiKey::ListTransactions, json!({ "TransactionalIdPattern": ".*" })),
        (ApiKey::DescribeAcls, any),
        (ApiKey::DescribeClientQuotas, json!({ "Components": [], "Strict": false })),
        (ApiKey::DescribeUserScramCredentials, json!({ "Users": null })),
        (ApiKey::ListConfigResources, json!({})),
        (ApiKey::ListConfigResources, json!({ "ResourceTypes": [2, 4, 8, 16, 32] })),
        (ApiKey::DescribeLogDirs, json!({ "Topics": null })),
        (ApiKey::ListPartitionReassignments, json!({ "Topics": null, "TimeoutMs": 1000 })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": null })),
        (ApiKey::ElectLeaders, json!({ "TopicPartitions": null, "TimeoutMs": 1000 })),
        (ApiKey::DescribeTopicPartitions, json!({ "Topics": [], "Cursor": null })),
        (ApiKey::DescribeShareGroupOffsets, json!({ "Groups": [] })),
    ]
}

/// Without the fields that the version does not have.
fn fitting(key: ApiKey, version: i16, body: &Value) -> Value {
    let has = |name: &str| key.request().fields.iter().find(|f| f.name == name && f.versions.contains(version));
    let nullable = |name: &str| has(name).is_some_and(|f| f.nullable.contains(version));
    let fields = body.as_object().into_iter().flatten().filter(|(name, _)| has(name).is_some());
    // Where null cannot be said, nothing means everything.
    let said = fields.map(|(name, value)| match value {
        Value::Null if !nullable(name) => (name.clone(), json!([])),
        value => (name.clone(), value.clone()),
    });
    Value::Object(said.collect())
}

/// The physical names, and the bare prefix, in every field of every API that names something.
pub(super) fn i_02(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (theirs, somebody) = (scene.arena.target.prefix.clone(), scene.no_prefix());
    let (mut secret, mut nobody) = (scene.secret(), scene.nobody());
    // A transactional id that is begun stays: what has the bait's name in the attacker's own namespace tells nothing.
    secret.transaction.clone_from(&scene.arena.victim.bait_transaction.id);
    nobody.transaction = scene.dice.word(secret.transaction.len());
    let (physical, nobodys) = (Scene::physical(&secret, &theirs), Scene::physical(&nobody, &somebody));
    let asked = scene.twins_everywhere(&physical, &nobodys)?;
    let bare = |prefix: &str, names: &Names| Names { topic: prefix.into(), group: prefix.into(), ..names.clone() };
    let _ = scene.twins_everywhere(&bare(&theirs, &physical), &bare(&somebody, &nobodys))?;
    scene.got(format!(
        "{} versions of {} APIs answer to physical names and to the bare prefix as to names that nobody has",
        asked.requests, asked.apis
    ));
    Ok(())
}

/// The victim's topic ids, where an API takes ids.
pub(super) fn i_03(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const GUESSES: usize = 20;
    let own = scene.arena.own.clone();
    let victim = scene.arena.victim.clone();
    let mut asked = 0;
    for key in ApiKey::ALL {
        let versions: Vec<i16> = scene.versions(*key).filter(|v| forge::takes_topic_id(*key, *v)).collect();
        for version in versions {
            for id in [&victim.secret.id, &victim.bait.id] {
                // By its id alone, with a group that the attacker has.
                let of = |id: &str| Names {
                    topic: String::new(),
                    topic_id: id.to_owned(),
                    group: own.group.clone(),
                    transaction: String::new(),
                    member: String::new(),
                    instance: String::new(),
                };
                let guess = uuid_text(&scene.dice.uuid());
                let reply = scene.twins(*key, version, &of(id), &of(&guess))?;
                let refused = scene.served(*key) || reply.gave_nothing();
                scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
                asked += 1;
            }
        }
    }
    let began = Instant::now();
    for version in scene.versions_in(ApiKey::Metadata, 12..=i16::MAX).take(1) {
        for _ in 0..GUESSES {
            let id = uuid_text(&scene.dice.uuid());
            let body = json!({ "Topics": [{ "TopicId": id, "Name": null }], "AllowAutoTopicCreation": false });
            let reply = scene.ask(ApiKey::Metadata, version, &body)?;
            scene.expect(reply.refused(), || format!("a guessed id was answered: {reply:?}"));
        }
    }
    scene.got(format!(
        "{asked} requests by id: as for ids that do not exist; {GUESSES} guesses in {:.1} s, no hit",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Fetch and share sessions of the victim.
pub(super) fn i_04(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let session = scene.arena.life.session();
    let now = i64::try_from(scene.arena.life.rounds()).unwrap_or(0);
    scene.expect(session != 0, || "the victim has no fetch session to take".into());
    let nobodys = session ^ 0x0055_5555;
    let mut asked = 0;
    for version in scene.versions_in(ApiKey::Fetch, 7..=i16::MAX) {
        for epoch in [0, -1, 1, now, now + 1, now + 2] {
            for topics in [json!([]), fetched(&scene.arena.own.topic, &scene.arena.own.topic_id, version)] {
                let of = |session: i64| {
                    json!({ "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionId": session,
                        "SessionEpoch": epoch, "Topics": topics })
                };
                let reply = scene.twin_bodies(ApiKey::Fetch, version, &of(session), &of(nobodys), &[])?;
                // A full request (epoch 0 or -1) may be served anew, but with what the attacker asked for only.
                let given = reply.value()["Responses"].as_array().map_or(0, Vec::len);
                let wanted = topics.as_array().map_or(0, Vec::len);
                scene.expect(given <= wanted, || format!("Fetch {version} went on with a foreign session: {reply:?}"));
                asked += 1;
            }
        }
    }
    scene.got(format!("{asked} requests with the victim's fetch session: as for a session that does not exist"));
    share_sessions(scene)
}

fn fetched(topic: &str, id: &str, version: i16) -> Value {
    let mut one = json!({ "Partitions": [{ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 }] });
    if version >= 13 {
        one["TopicId"] = json!(id)
    } else {
        one["Topic"] = json!(topic)
    }
    json!([one])
}

fn share_sessions(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let Some(group) = scene.arena.victim.share_group.clone() else {
        scene.got("the broker has no share groups");
        return Ok(());
    };
    let nobody = scene.nobody();
    let mut asked = 0;
    for key in [ApiKey::ShareFetch, ApiKey::ShareAcknowledge] {
        for version in scene.versions(key) {
            for prefix in [String::new(), scene.arena.target.prefix.clone()] {
                for epoch in [0, 1, 2, -1] {
                    let of = |names: &Names| {
                        let mut body = forge::request(key, version, names);
                        body["ShareSessionEpoch"] = json!(epoch);
                        body
                    };
                    let mut theirs = scene.secret();
                    (theirs.group, theirs.member) = (format!("{prefix}{}", group.name), group.member.clone());
                    let other = Names { group: format!("{prefix}{}", nobody.group), ..nobody.clone() };
                    let names = theirs.beside(&other);
                    let reply = scene.twin_bodies(key, version, &of(&theirs), &of(&other), &names)?;
                    let refused = scene.served(key) || reply.gave_nothing();
                    scene.expect(refused, || format!("{} {version} answered {reply:?}", key.name()));
                    asked += 1;
                }
            }
        }
    }
    scene.got(format!("{asked} requests with the victim's share session: nothing"));
    Ok(())
}

/// Every API that describes groups, for each of the victim's groups.
pub(super) fn i_05(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let victim = scene.arena.victim.clone();
    let more = [&victim.modern_group, &victim.share_group].into_iter().flatten().map(|group| group.name.clone());
    let groups: Vec<String> =
        [victim.bait_group.name, victim.secret_group.name, victim.stored_group].into_iter().chain(more).collect();
    let mut asked = 0;
    for key in DESCRIBE_GROUPS {
        for version in scene.versions(key) {
            for group in &groups {
                let nobody = scene.nobody();
                for prefix in [String::new(), scene.arena.target.prefix.clone()] {
                    let of = |name: &str| Names { group: format!("{prefix}{name}"), ..nobody.clone() };
                    let reply = scene.twins(key, version, &of(group), &of(&nobody.group))?;
                    let members = find_lists(reply.value(), "Members");
                    scene.expect(members == 0, || format!("{} {version} shows members: {reply:?}", key.name()));
                    asked += 1;
                }
            }
        }
    }
    scene.got(format!("{asked} descriptions of {} groups: no member, as of groups that nobody has", groups.len()));
    Ok(())
}

const DESCRIBE_GROUPS: [ApiKey; 6] = [
    ApiKey::DescribeGroups,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::ShareGroupDescribe,
    ApiKey::StreamsGroupDescribe,
    ApiKey::DescribeShareGroupOffsets,
    ApiKey::OffsetFetch,
];

/// How many elements lists of this name have, at any depth.
fn find_lists(value: &Value, name: &str) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(field, value)| match value {
                Value::Array(list) if field == name => list.len(),
                other => find_lists(other, name),
            })
            .sum(),
        Value::Array(list) => list.iter().map(|item| find_lists(item, name)).sum(),
        _ => 0,
    }
}

/// Transactions and producers of the victim: by name, by producer id, by topic.
pub(super) fn i_06(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let victim = scene.arena.victim.clone();
    let mut asked = 0;
    for key in [ApiKey::DescribeTransactions, ApiKey::DescribeProducers] {
        for version in scene.versions(key) {
            // Not the bait: the attacker may have begun a transaction of that name itself.
            let transaction = &victim.secret_transaction;
            for topic in [&victim.bait, &victim.secret] {
                let nobody = scene.nobody();
                for prefix in [String::new(), scene.arena.target.prefix.clone()] {
                    let of = |id: &str, topic: &str| Names {
                        transaction: format!("{prefix}{id}"),
                        topic: format!("{prefix}{topic}"),
                        ..nobody.clone()
                    };
                    let theirs = of(&transaction.id, &topic.name);
                    let reply = scene.twins(key, version, &theirs, &of(&nobody.transaction, &nobody.topic))?;
                    let refused = scene.served(key) || reply.gave_nothing();
                    scene.expect(refused, || format!("{} {version} answered {reply:?}", key.name()));
                    asked += 1;
                }
            }
        }
    }
    for version in scene.versions(ApiKey::ListTransactions) {
        for transaction in [&victim.bait_transaction, &victim.secret_transaction] {
            let of = |id: i64| json!({ "StateFilters": [], "ProducerIdFilters": [id] });
            let (theirs, nobody) = (of(transaction.producer_id), of(transaction.producer_id + 1_000_000));
            let reply = scene.twin_bodies(ApiKey::ListTransactions, version, &theirs, &nobody, &[])?;
            let listed = find_lists(reply.value(), "TransactionStates");
            scene.expect(listed == 0, || format!("ListTransactions {version} finds a producer id: {reply:?}"));
            asked += 1;
        }
    }
    scene.got(format!("{asked} requests by transactional id, producer id and topic: nothing"));
    Ok(())
}
