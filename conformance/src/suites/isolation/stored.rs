//! What is stored: whatever the attacker calls its things, nothing comes to be outside of its own prefix.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::suites::arena::Trouble;
use crate::suites::arena::peer::Peer;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Kafka's own topics, and those that programs around it keep.
const INTERNAL: [&str; 7] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
    "_anabranch.state",
    "_schemas",
    "connect-offsets",
];

/// What tells a name that is refused from one that is stored.
const INVALID_TOPIC: i64 = 17;

/// Separators between the tenant's prefix and a name, in all the ways to write them twice, not at all or otherwise.
pub(super) fn separators(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let before = outside(scene)?;
    let theirs = scene.arena.target.prefix.clone();
    let id = theirs.trim_end_matches('.').to_owned();
    let mark = scene.dice.word(12);
    let mut names = Vec::new();
    for separator in ["", ".", "_", "-", "..", "._", "-.", "__"] {
        names.push(format!("{separator}{mark}"));
        names.push(format!("{id}{separator}{mark}"));
        names.push(format!("{separator}{id}.{mark}"));
        names.push(format!("..{separator}{theirs}{mark}"));
        names.push(format!("{mark}{separator}"));
    }
    // Brokers refuse a topic that differs from another one in `.` and `_` alone.
    let mut compared = BTreeSet::new();
    names.retain(|name| compared.insert(name.replace('.', "_")));
    let made = make_all(scene, &names)?;
    stored_inside(scene, &mark, made)?;
    shown_as_named(scene, &mark, &names)?;
    unchanged(scene, &before)?;
    scene.got(format!("{} names with separators: {made} things, each under the attacker's own prefix", names.len()));
    Ok(())
}

/// Internal topics, and names that are none.
pub(super) fn internal_topics(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let before = outside(scene)?;
    let settings = internal_settings(scene)?;
    let nobody = scene.nobody();
    let mut asked = 0;
    for topic in INTERNAL {
        for key in TOPIC_WRITERS {
            for version in scene.versions(key) {
                let names = Names { topic: topic.to_owned(), ..nobody.clone() };
                let reply = scene.ask(key, version, &forge::request(key, version, &names))?;
                let refused = scene.served(key) || reply.gave_nothing();
                scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
                asked += 1;
            }
        }
    }
    let (long, longer) = ("x".repeat(250), "x".repeat(20_000));
    let none = ["", ".", "..", "a/b", "a b", "a\0b", "a\nb", "\u{1b}[31m", "ü", "a\\b", "*", "%2e%2e", &long, &longer];
    for name in none {
        for version in scene.versions(ApiKey::CreateTopics) {
            let reply = scene.ask(ApiKey::CreateTopics, version, &create(name))?;
            let code = reply.value()["Topics"][0]["ErrorCode"].as_i64();
            scene.expect(code == Some(INVALID_TOPIC), || {
                format!("CreateTopics {version} of {:?}: {reply:?}", name.chars().take(20).collect::<String>())
            });
            asked += 1;
        }
    }
    let after = internal_settings(scene)?;
    scene.expect(settings == after, || format!("internal topics changed: {settings} became {after}"));
    unchanged(scene, &before)?;
    scene.got(format!("{asked} requests: internal names are the attacker's own or refused, no name is none"));
    Ok(())
}

const TOPIC_WRITERS: [ApiKey; 8] = [
    ApiKey::CreateTopics,
    ApiKey::Produce,
    ApiKey::CreatePartitions,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterConfigs,
    ApiKey::DeleteRecords,
    ApiKey::AddPartitionsToTxn,
    ApiKey::DeleteTopics,
];

/// Groups and transactional ids of every odd sort.
pub(super) fn odd_ids(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let before = outside(scene)?;
    let victim = scene.arena.victim.clone();
    let group = &victim.secret_group.name;
    let mark = scene.dice.word(12);
    let look_alike: String = group.chars().map(cyrillic).collect();
    let ids = [
        String::new(),
        "\0".to_owned(),
        format!("{mark}\0{group}"),
        format!("{group}\0"),
        mark.repeat(2_700),
        format!("{mark}\u{e9}"),
        format!("{mark}e\u{301}"),
        look_alike + &mark,
        format!("\u{202e}{mark}\u{202c}"),
        format!("\u{feff}{mark}"),
        format!("{}{mark}", scene.arena.target.prefix),
        group.chars().take(group.len() / 2).collect(),
        format!("{group}{mark}"),
        group.to_uppercase(),
        format!(" {group} "),
    ];
    let mut asked = 0;
    for id in &ids {
        for key in ID_TAKERS {
            for version in scene.versions(key) {
                let names = Names { group: id.clone(), transaction: id.clone(), ..scene.nobody() };
                let reply = scene.ask(key, version, &forge::request(key, version, &names))?;
                let refused = scene.served(key) || reply.gave_nothing();
                scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
                asked += 1;
            }
        }
    }
    unchanged(scene, &before)?;
    scene.got(format!("{asked} requests with {} odd ids: nothing came to be outside the attacker's prefix", ids.len()));
    Ok(())
}

/// A letter that looks the same.
fn cyrillic(letter: char) -> char {
    let alike =
        [('a', '\u{430}'), ('c', '\u{441}'), ('e', '\u{435}'), ('i', '\u{456}'), ('o', '\u{43e}'), ('p', '\u{440}')];
    let more = [('s', '\u{455}'), ('x', '\u{445}'), ('y', '\u{443}'), ('3', '\u{437}')];
    alike.iter().chain(&more).find(|(latin, _)| *latin == letter).map_or(letter, |(_, other)| *other)
}

const ID_TAKERS: [ApiKey; 10] = [
    ApiKey::FindCoordinator,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::OffsetDelete,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::DescribeGroups,
    ApiKey::DeleteGroups,
    ApiKey::InitProducerId,
    ApiKey::DescribeTransactions,
];

/// Logins with the attacker's own password as somebody else, and as somebody whose name is written otherwise.
pub(super) fn foreign_logins(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (own, theirs) = (scene.arena.attacker.connection.clone(), scene.arena.target.connection.clone());
    let (me, them, password) = (&own.username, &theirs.username, &own.password);
    let tokens = [
        format!("\0{them}\0{password}"),
        format!("{them}\0{me}\0{password}"),
        format!("\0{me},{them}\0{password}"),
        format!("\0{them}/{me}\0{password}"),
        format!("\0{me}@{them}\0{password}"),
        format!("\0{}\0{password}", me.to_uppercase()),
        format!("\0{me} \0{password}"),
        format!("\0{me}\0{password}\0{them}"),
        format!("\0User:{me}\0{password}"),
        format!("\0{me}\0"),
        format!("\0{them}\0"),
        "\0\0".to_owned(),
    ];
    for token in &tokens {
        let mut line = scene.attacker.stranger()?;
        let greeted = line.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": "PLAIN" }))?;
        scene.expect(!greeted.refused(), || format!("PLAIN is not taken: {greeted:?}"));
        let reply = line.ask(ApiKey::SaslAuthenticate, 2, &json!({ "AuthBytes": STANDARD.encode(token) }))?;
        let shown = token.replace(password.as_str(), "***").replace('\0', "|");
        scene.expect(reply.refused(), || format!("the login {shown} was taken: {reply:?}"));
        // A refused login must not leave a connection that serves.
        let after = line.ask(ApiKey::Metadata, 4, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
        scene.expect(after.gave_nothing(), || format!("after the login {shown}: {after:?}"));
    }
    scene.got(format!("{} logins under other principals refused", tokens.len()));
    Ok(())
}

fn create(name: &str) -> Value {
    let topic = json!({ "Name": name, "NumPartitions": 1, "ReplicationFactor": 1 });
    json!({ "Topics": [topic], "timeoutMs": 10_000 })
}

/// A topic, a group and a transactional id of each name; says how many there are then.
fn make_all(scene: &mut Scene<'_>, names: &[String]) -> Result<usize, Trouble> {
    let own = scene.arena.own.topic.clone();
    let mut made = 0;
    for name in names {
        let offsets = json!([{ "Name": own, "Partitions": [{ "PartitionIndex": 0, "CommittedOffset": 1 }] }]);
        let requests = [
            (ApiKey::CreateTopics, 4..=7, create(name)),
            (
                ApiKey::OffsetCommit,
                2..=8,
                json!({ "GroupId": name, "GenerationIdOrMemberEpoch": -1, "Topics": offsets }),
            ),
            (ApiKey::InitProducerId, 2..=5, json!({ "TransactionalId": name, "TransactionTimeoutMs": 60_000 })),
        ];
        for (key, versions, body) in requests {
            let Some(version) = scene.versions_in(key, versions).next_back() else { continue };
            let reply = scene.ask(key, version, &body)?;
            scene.expect(!reply.refused(), || format!("{} of '{name}' is refused: {reply:?}", key.name()));
            made += usize::from(!reply.refused());
        }
    }
    Ok(made)
}

/// Everything on the broker that has `mark` in its name is the attacker's, and there is as much as was made.
fn stored_inside(scene: &mut Scene<'_>, mark: &str, made: usize) -> Result<(), Trouble> {
    let prefix = scene.arena.attacker.prefix.clone();
    let stored: Vec<String> = everything(scene)?.into_iter().filter(|name| name.contains(mark)).collect();
    for name in &stored {
        let (_, name) = name.split_once(' ').unwrap_or_default();
        scene.expect(name.starts_with(&prefix), || format!("{name} is outside the attacker's prefix {prefix}"));
    }
    scene
        .expect(stored.len() == made, || format!("{made} things were made and {} are there: {stored:?}", stored.len()));
    Ok(())
}

/// The attacker is shown its topics under the names that it gave them.
fn shown_as_named(scene: &mut Scene<'_>, mark: &str, names: &[String]) -> Result<(), Trouble> {
    let reply = scene.ask(ApiKey::Metadata, 4, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
    let shown = texts_of(&reply.value()["Topics"], "Name");
    let shown: BTreeSet<&str> = shown.iter().map(String::as_str).filter(|name| name.contains(mark)).collect();
    let named: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    scene.expect(shown == named, || format!("named {named:?}, shown {shown:?}"));
    Ok(())
}

/// All topics, groups and transactional ids of the broker, each behind a word for what it is.
fn everything(scene: &Scene<'_>) -> Result<BTreeSet<String>, Trouble> {
    let mut broker = Peer::connect("the harness", &scene.arena.direct, "")?;
    let metadata =
        broker.must(ApiKey::Metadata, 4..=12, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
    let mut all: BTreeSet<String> =
        texts_of(&metadata["Topics"], "Name").iter().map(|n| format!("topic {n}")).collect();
    let groups = broker.must(ApiKey::ListGroups, 3..=5, &json!({}))?;
    all.extend(texts_of(&groups["Groups"], "GroupId").iter().map(|n| format!("group {n}")));
    let transactions = broker.must(ApiKey::ListTransactions, 0..=1, &json!({}))?;
    let ids = texts_of(&transactions["TransactionStates"], "TransactionalId");
    all.extend(ids.iter().map(|n| format!("transaction {n}")));
    Ok(all)
}

fn texts_of(list: &Value, field: &str) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item[field].as_str()).map(str::to_owned).collect()
}

/// What there is outside the attacker's prefix.
fn outside(scene: &Scene<'_>) -> Result<BTreeSet<String>, Trouble> {
    let prefix = &scene.arena.attacker.prefix;
    let own = |name: &String| name.split_once(' ').is_some_and(|(_, name)| name.starts_with(prefix));
    Ok(everything(scene)?.into_iter().filter(|name| !own(name)).collect())
}

fn unchanged(scene: &mut Scene<'_>, before: &BTreeSet<String>) -> Result<(), Trouble> {
    let mut after = outside(scene)?;
    // What the broker does with a coordinator's answer takes it a moment.
    for _ in 0..5 {
        if after == *before {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
        after = outside(scene)?;
    }
    let differences: Vec<&String> = before.symmetric_difference(&after).collect();
    scene.expect(false, || format!("outside the attacker's prefix this came or went: {differences:?}"));
    Ok(())
}

/// Partitions and settings of the broker's internal topics.
fn internal_settings(scene: &Scene<'_>) -> Result<Value, Trouble> {
    let mut broker = Peer::connect("the harness", &scene.arena.direct, "")?;
    let resources: Vec<Value> = INTERNAL
        .iter()
        .map(|name| json!({ "ResourceType": 2, "ResourceName": name, "ConfigurationKeys": null }))
        .collect();
    let topics: Vec<Value> = INTERNAL.iter().map(|name| json!({ "Name": name })).collect();
    let body = json!({ "Topics": topics, "AllowAutoTopicCreation": false });
    let mut metadata = broker.ask(ApiKey::Metadata, 9..=9, &body)?;
    let configs = broker.ask(ApiKey::DescribeConfigs, 1..=4, &json!({ "Resources": resources }))?;
    Ok(json!([metadata["Topics"].take(), configs["Results"]]))
}
