//! Patterns of names: what a regular expression that the broker matches can reach.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wire::schema::ApiKey;
use wire::value::uuid_text;

use crate::suites::arena::Trouble;
use crate::suites::arena::peer::Peer;
use crate::suites::scene::Scene;

/// A broker looks for topics that fit in the background.
const SEARCH: Duration = Duration::from_secs(4);
/// An answer to any pattern comes within this time: a pattern that takes exponential time would not let it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Patterns that reach for more than the attacker's own names.
pub(super) fn climbing(scene: &Scene<'_>) -> Vec<String> {
    let victim = &scene.arena.victim;
    let (prefix, topic) = (&scene.arena.target.prefix, &victim.secret.name);
    let quoted = prefix.replace('.', "\\.");
    let mut patterns: Vec<String> = [
        ".*",
        "^.*$",
        "a)|(?:.*",
        ")|.*|(",
        ".*)|(.*",
        "|.*",
        ".*|.*",
        "(?:)|.*",
        "\\Q",
        "\\Q)|.*",
        "\\Qa\\E)|(?:.*",
        "\\Q\\E.*",
        "(?i).*",
        "(?s).*",
        "(?m)^.*$",
        "(?im)^sb_.*",
        "(?U).*",
        "\\A.*\\z",
        "\\b.*",
        "(?:^|.*)sb_.*",
        "[^a].*",
        "[)]|.*",
        "[\\Q]\\E)|.*",
        ".*[",
        ".*(",
        ".*\\",
        "(?=.*)",
        "(?!x).*",
        "(?<=.*)x",
        "(?P<n>.*)",
        "(.*)\\1",
        "\\p{L}.*",
        "(a+)+$",
        "(.*.*.*.*.*)*x",
        "((a{0,50}){0,50}){0,50}",
    ]
    .map(str::to_owned)
    .to_vec();
    patterns.extend([
        topic.clone(),
        format!("{prefix}{topic}"),
        format!("{quoted}.*"),
        format!("^{quoted}.*"),
        format!("a)|(?:{quoted}.*"),
        format!(".*{topic}"),
        format!("\\Q{prefix}\\E.*"),
    ]);
    patterns
}

/// A group for each pattern; whatever the broker assigns is the attacker's own.
pub(super) fn of_topics(scene: &mut Scene<'_>, patterns: &[String]) -> Result<(), Trouble> {
    let key = ApiKey::ConsumerGroupHeartbeat;
    let Some(version) = scene.versions_in(key, 1..=i16::MAX).next_back() else {
        scene.got("patterns of topics are not served");
        return Ok(());
    };
    let mut members = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    for (number, pattern) in patterns.iter().enumerate() {
        let (group, id) = (format!("pattern-{number}"), uuid_text(&scene.dice.uuid()));
        let body = json!({ "GroupId": group, "MemberId": id, "MemberEpoch": 0, "RebalanceTimeoutMs": 30_000,
            "SubscribedTopicNames": [], "SubscribedTopicRegex": pattern, "TopicPartitions": [] });
        let began = Instant::now();
        let reply = scene.ask(key, version, &body)?;
        scene.expect(began.elapsed() < PATIENCE, || format!("the pattern {pattern} took {:?}", began.elapsed()));
        if reply.refused() {
            refused += 1;
        } else {
            taken += 1;
            members.push((group, id, pattern.clone(), reply.value()["MemberEpoch"].clone(), Vec::new()));
        }
    }
    let began = Instant::now();
    while began.elapsed() < SEARCH {
        for (group, id, _, epoch, assigned) in &mut members {
            let body = json!({ "GroupId": group, "MemberId": id, "MemberEpoch": epoch });
            let reply = scene.ask(key, version, &body)?;
            if let Some(next) = reply.value()["MemberEpoch"].as_i64().filter(|epoch| *epoch > 0) {
                *epoch = json!(next);
            }
            let partitions = reply.value()["Assignment"]["TopicPartitions"].as_array();
            assigned.extend(partitions.into_iter().flatten().filter_map(|p| p["TopicId"].as_str()).map(str::to_owned));
        }
        thread::sleep(Duration::from_millis(250));
    }
    let own = scene.arena.own.topic_id.clone();
    let everything = members.iter().find(|(_, _, pattern, ..)| pattern == ".*");
    scene.expect(everything.is_some_and(|(.., assigned)| assigned.contains(&own)), || {
        format!("the pattern .* is not assigned the attacker's own topic: {everything:?}")
    });
    for (group, _, pattern, ..) in &members {
        assigned_inside(scene, group, pattern)?;
    }
    for (group, id, ..) in &members {
        let _ = scene.ask(key, version, &json!({ "GroupId": group, "MemberId": id, "MemberEpoch": -1 }))?;
    }
    scene.got(format!("{taken} patterns of topics taken, {refused} refused; only the attacker's own topics assigned"));
    Ok(())
}

/// What the broker itself says that it assigned.
fn assigned_inside(scene: &mut Scene<'_>, group: &str, pattern: &str) -> Result<(), Trouble> {
    let prefix = scene.arena.attacker.prefix.clone();
    let mut broker = Peer::connect("the harness", &scene.arena.direct, "")?;
    let body = json!({ "GroupIds": [format!("{prefix}{group}")] });
    let described = broker.ask(ApiKey::ConsumerGroupDescribe, 0..=1, &body)?;
    let members = described["Groups"][0]["Members"].as_array().cloned().unwrap_or_default();
    for member in &members {
        for part in ["Assignment", "TargetAssignment"] {
            let assigned = member[part]["TopicPartitions"].as_array().into_iter().flatten();
            for topic in assigned.filter_map(|topic| topic["TopicName"].as_str()) {
                let inside = topic.starts_with(&prefix);
                scene.expect(inside, || format!("the pattern {pattern} was assigned {topic}"));
            }
        }
    }
    Ok(())
}

/// Each pattern of transactional ids, which lists no more than the attacker's own.
pub(super) fn of_transactions(scene: &mut Scene<'_>, patterns: &[String]) -> Result<(), Trouble> {
    let key = ApiKey::ListTransactions;
    let Some(version) = scene.versions_in(key, 2..=i16::MAX).next_back() else {
        scene.got("patterns of transactional ids are not served");
        return Ok(());
    };
    let own = scene.dice.word(14);
    let body = json!({ "TransactionalId": own, "TransactionTimeoutMs": 60_000 });
    let made = scene.versions_in(ApiKey::InitProducerId, 2..=5).next_back();
    if let Some(made) = made {
        let _ = scene.ask(ApiKey::InitProducerId, made, &body)?;
    }
    let mut listed = 0;
    for pattern in patterns {
        let began = Instant::now();
        let reply = scene.ask(key, version, &json!({ "TransactionalIdPattern": pattern }))?;
        scene.expect(began.elapsed() < PATIENCE, || format!("the pattern {pattern} took {:?}", began.elapsed()));
        let states = reply.value()["TransactionStates"].as_array().cloned().unwrap_or_default();
        let found = states.iter().any(|state| state["TransactionalId"] == own.as_str());
        scene.expect(found || pattern != ".*", || format!("the pattern .* does not list {own}: {reply:?}"));
        listed += states.len();
    }
    scene.got(format!("{} patterns of transactional ids listed {listed} times the attacker's own", patterns.len()));
    Ok(())
}
