//! Names: what the attacker can call things to reach others.

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::{patterns, stored};
use crate::suites::arena::peer::Peer;
use crate::suites::arena::{Tenant, Trouble};
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Tenants whose names start with each other, and names that start or end like prefixes.
pub(super) fn i_24(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let arena = scene.arena;
    let all: Vec<&Tenant> = arena.neighbours.iter().chain([&arena.attacker, &arena.target]).collect();
    for (number, one) in all.iter().enumerate() {
        for (other_number, other) in all.iter().enumerate() {
            let apart = number == other_number || !one.prefix.starts_with(&other.prefix);
            scene.expect(apart, || format!("the prefix {} starts with {}", one.prefix, other.prefix));
        }
    }
    // The same names in all of them; each sees its own only.
    let name = scene.dice.word(10);
    for (number, neighbour) in arena.neighbours.iter().enumerate() {
        let mut peer = Peer::connect("a neighbour", &neighbour.connection, "")?;
        let own = format!("{name}-{number}");
        for topic in [&name, &own] {
            let _ = crate::suites::arena::victim::create_topic(&mut peer, topic, &json!([]))?;
        }
        // A broker shows topics a moment after they were made.
        let named = json!([{ "Name": name }, { "Name": own }]);
        let _ = peer.must(ApiKey::Metadata, 4..=9, &json!({ "Topics": named, "AllowAutoTopicCreation": false }))?;
        let listed = peer.must(ApiKey::Metadata, 4..=9, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
        let mut names: Vec<&str> =
            listed["Topics"].as_array().into_iter().flatten().filter_map(|topic| topic["Name"].as_str()).collect();
        names.sort_unstable();
        scene.expect(names == [name.as_str(), own.as_str()], || format!("a neighbour sees {names:?}"));
        let _ = peer.must(ApiKey::DeleteTopics, 1..=5, &json!({ "TopicNames": [name, own], "TimeoutMs": 10_000 }))?;
    }
    // Separators at the ends of names, and pieces of the victim's prefix.
    let (prefix, nobody_prefix) = (arena.target.prefix.clone(), scene.no_prefix());
    let (secret, nobody) = (scene.secret(), scene.nobody());
    let mut asked = 0;
    for (before, after) in [(".", ""), ("_", ""), ("-", ""), ("", "."), ("..", ""), (".", ".")] {
        for (theirs, other) in [("", ""), (prefix.as_str(), nobody_prefix.as_str())] {
            let of = |prefix: &str, names: &Names| {
                let with = |name: &str| format!("{before}{prefix}{name}{after}");
                Names { topic: with(&names.topic), group: with(&names.group), ..nobody.clone() }
            };
            for key in LOOKS {
                for version in scene.versions(key) {
                    let _ = scene.twins(key, version, &of(theirs, &secret), &of(other, &nobody))?;
                    asked += 1;
                }
            }
        }
    }
    scene.got(format!("{} tenants' prefixes are apart; {asked} names with separators reach nobody", all.len()));
    stored::separators(scene)
}

/// What looks something up by name and changes nothing.
const LOOKS: [ApiKey; 6] = [
    ApiKey::ListOffsets,
    ApiKey::DescribeConfigs,
    ApiKey::OffsetFetch,
    ApiKey::DescribeGroups,
    ApiKey::DescribeTopicPartitions,
    ApiKey::OffsetForLeaderEpoch,
];

/// Internal topics, and names that are no names, in everything that reads, writes, creates or deletes.
pub(super) fn i_25(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let internal = ["__consumer_offsets", "__transaction_state", "__share_group_state", "_schemas", "connect-offsets"];
    let long = "x".repeat(250);
    let none = ["", ".", "..", &long, "a\u{0}b", "a\nb", "a/b", "../orders", "\u{202e}sredro", "a b"];
    let nobody = scene.nobody();
    let mut asked = 0;
    for topic in internal.iter().chain(&none) {
        let of = |topic: &str| Names { topic: topic.to_owned(), ..nobody.clone() };
        for key in ApiKey::ALL.iter().filter(|key| **key != ApiKey::Metadata) {
            let versions = scene.versions(*key).filter(|version| names_topic(*key, *version, &nobody));
            for version in versions.collect::<Vec<_>>() {
                let reply = scene.ask(*key, version, &forge::request(*key, version, &of(topic)))?;
                asked += 1;
                let taken = *key == ApiKey::CreateTopics && none.contains(topic) && !reply.refused();
                scene.expect(!taken, || format!("CreateTopics {version} took the name {topic:?}: {reply:?}"));
            }
        }
    }
    scene.got(format!("{asked} requests for {} names: the attacker's own, or a refusal", internal.len() + none.len()));
    stored::internal_topics(scene)
}

fn names_topic(key: ApiKey, version: i16, names: &Names) -> bool {
    forge::request(key, version, names).to_string().contains(&format!("\"{}\"", names.topic))
}

/// Ids of groups and transactions that look like others or like nothing.
pub(super) fn i_26(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let victim = scene.arena.victim.clone();
    let stored = victim.stored_group.clone();
    let prefix = scene.arena.target.prefix.clone();
    let ids = [
        String::new(),
        "a\u{0}b".into(),
        "x".repeat(32_000),
        "x".repeat(32_767),
        "caf\u{e9}-group".into(),
        "cafe\u{301}-group".into(),
        "\u{202e}".to_owned() + &stored,
        stored.chars().map(|c| if c == 'a' { '\u{430}' } else { c }).collect::<String>() + "\u{200b}",
        stored[..stored.len() - 1].to_owned(),
        stored.clone() + ".",
        prefix.clone() + &stored[..stored.len() - 1],
        prefix.trim_end_matches('.').to_owned(),
        format!("{prefix}{stored}\u{0}"),
    ];
    let own = scene.arena.own.topic.clone();
    let mut kept = 0;
    for (number, id) in ids.iter().enumerate() {
        // Each id is another group: what is committed under one is not found under another one.
        let offset = 1_000_000 + number;
        let partition = json!({ "PartitionIndex": 0, "CommittedOffset": offset, "CommittedMetadata": "" });
        let topics = json!([{ "Name": own, "Partitions": [partition] }]);
        let body = json!({ "GroupId": id, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": topics });
        let (low, high) =
            (scene.versions_in(ApiKey::OffsetCommit, 2..=9), scene.versions_in(ApiKey::OffsetFetch, 1..=7));
        for version in [*low.start(), *low.end()] {
            let committed = scene.ask(ApiKey::OffsetCommit, version, &body)?;
            for version in [*high.start(), *high.end()] {
                let body = json!({ "GroupId": id, "Topics": [{ "Name": own, "PartitionIndexes": [0] }] });
                let found = scene.ask(ApiKey::OffsetFetch, version, &body)?;
                let found = &found.value()["Topics"][0]["Partitions"][0]["CommittedOffset"];
                let as_committed = if committed.refused() { true } else { *found == json!(offset) };
                scene.expect(as_committed, || format!("the group {id:?} has the offset {found}, not {offset}"));
                kept += usize::from(!committed.refused());
            }
        }
        for key in [ApiKey::DescribeGroups, ApiKey::FindCoordinator, ApiKey::EndTxn, ApiKey::DeleteGroups] {
            for version in scene.versions(key) {
                let names = Names { group: id.clone(), transaction: id.clone(), ..scene.nobody() };
                let _ = scene.ask(key, version, &forge::request(key, version, &names))?;
            }
        }
    }
    scene.got(format!(
        "{} look-alikes, {kept} offsets read back under exactly the id they were committed under",
        ids.len()
    ));
    stored::odd_ids(scene)
}

/// Regular expressions that try to match beyond the attacker's own names.
pub(super) fn i_27(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let patterns = patterns::climbing(scene);
    patterns::of_topics(scene, &patterns)?;
    patterns::of_transactions(scene, &patterns)
}

/// Upper case, and client ids that are the victim's.
pub(super) fn i_28(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (secret, nobody) = (scene.secret(), scene.nobody());
    let (theirs, somebody) = (scene.arena.target.prefix.clone(), scene.no_prefix());
    let upper = |names: &Names| Names {
        topic: names.topic.to_uppercase(),
        group: names.group.to_uppercase(),
        transaction: names.transaction.to_uppercase(),
        ..nobody.clone()
    };
    let pairs = [
        (upper(&secret), upper(&nobody)),
        (upper(&Scene::physical(&secret, &theirs)), upper(&Scene::physical(&nobody, &somebody))),
    ];
    let mut asked = 0;
    for (theirs, nobody) in &pairs {
        for key in LOOKS {
            for version in scene.versions(key) {
                let _ = scene.twins(key, version, theirs, nobody)?;
                asked += 1;
            }
        }
    }
    // Under the victim's client id, and under ids that look like principals.
    let (own, client) = (scene.arena.own.topic.clone(), scene.arena.victim.client_id.clone());
    let user = scene.arena.target.connection.username.clone();
    for client_id in
        [client, user.clone(), format!("User:{user}"), format!("{user},CN=x"), "\u{0}".into(), String::new()]
    {
        let mut line = scene.attacker.line()?;
        line.socket().call_client(&client_id);
        let all = line.ask(ApiKey::Metadata, 4, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
        let names: Vec<&Value> = all.value()["Topics"].as_array().into_iter().flatten().map(|t| &t["Name"]).collect();
        let only_own = names == [&json!(own)];
        scene.expect(only_own, || format!("as client {client_id:?} the attacker sees {all:?}"));
    }
    scene.got(format!("{asked} names in upper case are nobody's; a forged client id changes nothing"));
    stored::foreign_logins(scene)
}
