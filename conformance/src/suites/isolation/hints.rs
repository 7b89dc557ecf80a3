//! Hints: what answers betray in passing. The second half of the attacks by which the attacker sees something.

use std::time::Duration;

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::timing;
use crate::drivers::http;
use crate::suites::arena::Trouble;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;
use crate::suites::shape;

/// Kafka's own limit for the name of a topic.
const LONGEST_TOPIC: usize = 249;

/// Existence: the shape of answers, taken names, collisions, limits of length, times.
pub(super) fn i_07(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (secret, victim) = (scene.secret(), scene.arena.victim.clone());
    let mut nobody = scene.nobody();
    // Names that anybody may use, as long as these.
    nobody.transaction = scene.dice.word(victim.bait_transaction.id.len());
    let secret = Names { transaction: victim.bait_transaction.id.clone(), ..secret };
    let asked = scene.twins_everywhere(&secret, &nobody)?;
    let bait = Names { topic: victim.bait.name, group: victim.bait_group.name, ..secret.clone() };
    let other =
        Names { topic: scene.dice.word(bait.topic.len()), group: scene.dice.word(bait.group.len()), ..nobody.clone() };
    let _ = scene.twins_everywhere(&bait, &other)?;
    scene.got(format!("{} versions of {} APIs: the same answers about nobody's", asked.requests, asked.apis));
    taken_names(scene)?;
    let slowest = timing::compare(scene, &secret, &nobody)?;
    scene.got(format!("times: {slowest}"));
    Ok(())
}

/// Names near the victim's physical ones, and at the limit of their length.
fn taken_names(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (secret, nobody) = (scene.secret().topic, scene.nobody().topic);
    let (theirs, somebody) = (scene.arena.target.prefix.clone(), scene.no_prefix());
    let limit = LONGEST_TOPIC - scene.arena.attacker.prefix.len();
    let pad = |name: String, length: usize| format!("{name}{}", "x".repeat(length.saturating_sub(name.len())));
    let mut pairs = vec![(theirs.clone() + &secret, somebody.clone() + &nobody)];
    // Kafka takes `.` and `_` for the same in the names of metrics, and refuses a topic that differs in these alone.
    let swap = |name: &str| name.replace('.', "_");
    pairs.push((swap(&theirs) + &secret, swap(&somebody) + &nobody));
    pairs.push((theirs.replace('_', ".") + &secret, somebody.replace('_', ".") + &nobody));
    for length in [limit - 1, limit, limit + 1, LONGEST_TOPIC, LONGEST_TOPIC + 1] {
        pairs.push((pad(theirs.clone() + &secret, length), pad(somebody.clone() + &nobody, length)));
    }
    let of = |name: &str, validate: bool| {
        json!({ "Topics": [{ "Name": name, "NumPartitions": 1, "ReplicationFactor": 1 }], "timeoutMs": 5000,
            "validateOnly": validate })
    };
    for version in scene.versions(ApiKey::CreateTopics) {
        for (theirs, nobody) in &pairs {
            let (one, other, names) = (of(theirs, true), of(nobody, true), [(theirs.as_str(), nobody.as_str())]);
            let reply = scene.twin_bodies(ApiKey::CreateTopics, version, &one, &other, &names)?;
            scene.expect((theirs.len() <= limit) != reply.refused(), || {
                format!("a topic of {} characters: {reply:?}", theirs.len())
            });
        }
    }
    // A topic of the attacker's own, called as the broker calls the victim's.
    if let (Some(version), Some((theirs, _))) = (scene.versions(ApiKey::CreateTopics).last(), pairs.first()) {
        let reply = scene.ask(ApiKey::CreateTopics, version, &of(theirs, false))?;
        scene.expect(!reply.refused(), || format!("the name {theirs} is taken: {reply:?}"));
    }
    scene.got(format!("{} names like physical ones may be used; the limit is {limit} characters", pairs.len()));
    Ok(())
}

/// Every error text that can be provoked.
pub(super) fn i_08(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let own = scene.arena.own.clone();
    let base = Names {
        topic: own.topic.clone(),
        topic_id: own.topic_id,
        group: own.group,
        transaction: "my-transaction".into(),
        member: "no-such-member".into(),
        instance: "no-such-instance".into(),
    };
    let secret = scene.secret();
    let physical = Names {
        member: base.member.clone(),
        instance: base.instance.clone(),
        ..Scene::physical(&secret, &scene.arena.target.prefix)
    };
    let no_id = scene.nobody().topic_id;
    let of_all = |name: &str| Names {
        topic: name.into(),
        topic_id: no_id.clone(),
        group: name.into(),
        transaction: name.into(),
        member: name.into(),
        instance: name.into(),
    };
    let mut texts = Vec::new();
    let variants =
        [base.clone(), physical, of_all("a name, that; is none/"), of_all(".."), of_all(&"x".repeat(300)), of_all("")];
    for names in variants {
        for key in ApiKey::ALL.iter().filter(|key| names.topic != own.topic || !DESTRUCTIVE.contains(key)) {
            for version in scene.versions(*key).filter(|v| forge::names_something(*key, *v)) {
                let reply = scene.ask(*key, version, &forge::request(*key, version, &names))?;
                texts.extend(shape::texts(reply.value()));
            }
        }
    }
    for (key, body) in wrong_requests(&own.topic) {
        for version in scene.versions(key) {
            let reply = scene.ask(key, version, &body)?;
            texts.extend(shape::texts(reply.value()));
        }
    }
    texts.sort();
    texts.dedup();
    for text in &texts {
        // The names of all sandboxes' physical prefixes start so.
        let clean = !text.contains("sb_") || text.contains(&scene.arena.target.prefix);
        scene.expect(clean, || format!("an error text has a physical name: '{text}'"));
    }
    scene.expect(texts.len() > 5, || format!("only {} error texts were provoked: {texts:?}", texts.len()));
    scene.got(format!("{} different error texts, none with a physical name or an address", texts.len()));
    Ok(())
}

/// What the attacker needs after this check is not to be lost.
const DESTRUCTIVE: [ApiKey; 4] =
    [ApiKey::DeleteTopics, ApiKey::DeleteGroups, ApiKey::DeleteRecords, ApiKey::OffsetDelete];

/// Requests for what is the attacker's own, each wrong in a way that brokers explain.
fn wrong_requests(topic: &str) -> Vec<(ApiKey, Value)> {
    let create = |name: &str, partitions: i32, replicas: i32, configs: Value| {
        let topic =
            json!({ "Name": name, "NumPartitions": partitions, "ReplicationFactor": replicas, "Configs": configs });
        (ApiKey::CreateTopics, json!({ "Topics": [topic], "timeoutMs": 2000 }))
    };
    let setting = |name: &str, value: &str| json!([{ "Name": name, "Value": value }]);
    let assigned = json!([{ "Name": "assigned", "NumPartitions": -1, "ReplicationFactor": -1,
        "Assignments": [{ "PartitionIndex": 0, "BrokerIds": [4711] }] }]);
    let partitions = |count: i32| {
        (ApiKey::CreatePartitions, json!({ "Topics": [{ "Name": topic, "Count": count }], "TimeoutMs": 2000 }))
    };
    let alter = |ty: i8, name: &str, key: &str, value: &str, operation: i8| {
        let configs = json!([{ "Name": key, "Value": value, "ConfigOperation": operation }]);
        let resource = json!({ "ResourceType": ty, "ResourceName": name, "Configs": configs });
        (ApiKey::IncrementalAlterConfigs, json!({ "Resources": [resource], "ValidateOnly": true }))
    };
    vec![
        create(topic, 1, 1, json!([])),
        create("two.three_four", 1, 1, json!([])),
        create("two_three.four", 1, 1, json!([])),
        create("none", 0, 1, json!([])),
        create("replicated", 1, 99, json!([])),
        create("set", 1, 1, setting("no.such.setting", "1")),
        create("set", 1, 1, setting("retention.ms", "many")),
        create("huge", i32::MAX, 1, json!([])),
        (ApiKey::CreateTopics, json!({ "Topics": assigned, "timeoutMs": 2000 })),
        partitions(1),
        partitions(-1),
        partitions(i32::MAX),
        alter(2, topic, "no.such.setting", "1", 0),
        alter(2, topic, "retention.ms", "many", 0),
        alter(2, topic, "retention.ms", "1", 2),
        alter(2, "no-such-topic", "retention.ms", "1", 0),
        alter(4, "1", "log.retention.ms", "1", 0),
        alter(4, "", "log.retention.ms", "1", 0),
        alter(8, "1", "root", "DEBUG", 0),
        alter(16, "metrics", "interval.ms", "1", 0),
        alter(32, "group", "consumer.session.timeout.ms", "1", 0),
        alter(77, "thing", "a", "1", 0),
    ]
}

/// Addresses, cluster id, controller, quorum: whatever says where the broker is.
pub(super) fn i_09(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let own = scene.arena.own.clone();
    let (secret, real) = (scene.secret(), scene.arena.cluster_id.clone());
    let mine = Names { topic: own.topic.clone(), topic_id: own.topic_id.clone(), group: own.group, ..secret };
    let by_id = Names { topic: String::new(), ..mine.clone() };
    let mut addresses = Vec::new();
    for key in PLACES {
        for version in scene.versions(key) {
            for names in [&mine, &by_id] {
                let mut body = forge::request(key, version, names);
                if key == ApiKey::Fetch {
                    // An epoch that the broker has to contradict, so that it names the leader.
                    body["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = json!(77);
                    if version < 9 {
                        let _ =
                            body["Topics"][0]["Partitions"][0].as_object_mut().map(|p| p.remove("CurrentLeaderEpoch"));
                    }
                }
                let reply = scene.ask(key, version, &body)?;
                let refused = scene.served(key) || reply.gave_nothing();
                scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
                found_addresses(reply.value(), &mut addresses);
                let cluster = reply.value()["ClusterId"].as_str();
                scene.expect(cluster != Some(&real), || format!("{} {version} tells the cluster id", key.name()));
            }
        }
    }
    addresses.sort();
    addresses.dedup();
    let dialled = scene.arena.attacker.connection.bootstrap.clone();
    for address in &addresses {
        scene.expect(dialled.split(',').any(|known| known == address), || {
            format!("{address} is advertised and is no address of the gateway ({dialled})")
        });
    }
    scene.expect(!addresses.is_empty(), || "no address was advertised at all".into());
    scene.got(format!("addresses {}; a cluster id of its own", addresses.join(", ")));
    Ok(())
}

const PLACES: [ApiKey; 10] = [
    ApiKey::Metadata,
    ApiKey::DescribeCluster,
    ApiKey::FindCoordinator,
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ShareFetch,
    ApiKey::ShareAcknowledge,
    ApiKey::DescribeTopicPartitions,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeLogDirs,
];

fn found_addresses(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let port = map.get("Port").and_then(Value::as_i64).filter(|port| *port >= 0);
            if let (Some(host), Some(port)) = (map.get("Host").and_then(Value::as_str), port)
                && !(host.is_empty() && port == 0)
            {
                found.push(format!("{host}:{port}"));
            }
            map.values().for_each(|value| found_addresses(value, found));
        }
        Value::Array(list) => list.iter().for_each(|item| found_addresses(item, found)),
        _ => {}
    }
}

/// The admin API and its metrics, asked with a sandbox's credentials.
pub(super) fn i_10(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let Some(admin) = scene.arena.admin.clone() else {
        scene.got("the gateway has no admin API here");
        return Ok(());
    };
    let (own, theirs) = (scene.arena.attacker.clone(), scene.arena.target.clone());
    let logins = [
        None,
        Some(http::basic(&own.connection.username, &own.connection.password)),
        Some(http::basic("admin", &own.connection.password)),
        Some(http::basic(&own.connection.username, "")),
        Some(format!("Bearer {}", own.connection.password)),
        Some(format!("Bearer {}", http::unsigned_token(&own.connection.username))),
    ];
    let mut statuses = Vec::new();
    for (method, path) in paths(&own.id, &theirs.id) {
        for login in &logins {
            let answer = http::ask(&admin, method, &path, login.as_deref(), "{}")
                .map_err(|error| Trouble::State(format!("the admin API at {admin}: {error}")))?;
            scene.arena.tap.saw(&format!("{method} {path}"), &[], &answer.bytes);
            let open = path.starts_with("/health");
            scene.expect(open || matches!(answer.status, 401 | 403 | 404 | 405), || {
                format!("{method} {path} was answered with {}", answer.status)
            });
            statuses.push(answer.status);
        }
    }
    let asked = statuses.len();
    statuses.sort_unstable();
    statuses.dedup();
    scene.got(format!("{asked} requests answered with {statuses:?}"));
    Ok(())
}

fn paths(own: &str, theirs: &str) -> Vec<(&'static str, String)> {
    let mut paths =
        vec![("GET", "/metrics".to_owned()), ("GET", "/health".to_owned()), ("POST", "/gateway/v2/token".into())];
    for kind in ["virtual-cluster", "service-account"] {
        paths.push(("GET", format!("/gateway/v2/{kind}")));
        paths.push(("PUT", format!("/gateway/v2/{kind}")));
        for name in [own, theirs, "%2e%2e", "passthrough"] {
            for method in ["GET", "DELETE"] {
                paths.push((method, format!("/gateway/v2/{kind}/{name}")));
            }
        }
    }
    paths.push(("GET", "/gateway/v2/../../metrics".into()));
    paths.push(("GET", "//metrics".into()));
    paths
}

/// Client telemetry (KIP-714), under the attacker's and the victim's client id.
pub(super) fn i_11(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let served = scene.served(ApiKey::GetTelemetrySubscriptions) || scene.served(ApiKey::PushTelemetry);
    let spoofed = scene.arena.victim.client_id.clone();
    for client_id in ["conformance", &spoofed] {
        let mut line = scene.attacker.line()?;
        line.socket().call_client(client_id);
        for key in [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry] {
            for version in scene.versions(key) {
                let mut body = forge::request(key, version, &scene.secret());
                body["ClientInstanceId"] = json!(wire::value::uuid_text(&scene.dice.uuid()));
                let reply = line.ask(key, version, &body)?;
                scene.expect(served || reply.refused(), || format!("{} answered {reply:?}", key.name()));
                let names = find_metrics(reply.value());
                scene.expect(names == 0, || format!("{} tells what others are asked for: {reply:?}", key.name()));
            }
        }
    }
    scene.got(if served { "no subscription of anybody" } else { "not advertised, and refused when asked" });
    Ok(())
}

fn find_metrics(value: &Value) -> usize {
    value["RequestedMetrics"].as_array().map_or(0, Vec::len)
}

/// Side channels: internal topics, and what numbers tell about others.
pub(super) fn i_14(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const INTERNAL: [&str; 5] =
        ["__consumer_offsets", "__transaction_state", "__share_group_state", "_anabranch.state", "_schemas"];
    let nobody = scene.nobody();
    for internal in INTERNAL {
        for key in
            [ApiKey::Metadata, ApiKey::ListOffsets, ApiKey::Fetch, ApiKey::DescribeConfigs, ApiKey::DeleteRecords]
        {
            // From version 4 on nothing is created by asking.
            for version in scene.versions_in(key, if key == ApiKey::Metadata { 4..=i16::MAX } else { 0..=i16::MAX }) {
                let of = |topic: &str| Names { topic: topic.to_owned(), ..nobody.clone() };
                let like = format!("__{}", &"n".repeat(internal.len() - 2));
                let reply = scene.twins(key, version, &of(internal), &of(&like))?;
                let offsets = reply.value().to_string().contains("\"HighWatermark\":") && !reply.refused();
                scene.expect(!offsets, || format!("{} {version} reads {internal}: {reply:?}", key.name()));
            }
        }
    }
    let mut ids = Vec::new();
    for version in scene.versions_in(ApiKey::InitProducerId, 2..=5).take(1) {
        for _ in 0..2 {
            let body = json!({ "TransactionalId": null, "TransactionTimeoutMs": 60_000 });
            let reply = scene.ask(ApiKey::InitProducerId, version, &body)?;
            ids.extend(reply.value()["ProducerId"].as_i64());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // Producer ids are the broker's own: that others begin producers can be counted, not who.
    let gap = ids.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    scene.got(format!("internal topics are nobody's; producer ids are the broker's own (step {gap})"));
    Ok(())
}
