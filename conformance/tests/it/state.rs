//! Declarations in a topic of a real Kafka: what happens to the topic, and to gateways that write at once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::gateways::{Gateway, GatewayError, free_ports};
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::stand::log_is_calm;

const PATIENCE: Duration = Duration::from_secs(90);
const TOPIC: &str = "_anabranch.state";
const CLUSTERS: &str = "/gateway/v2/virtual-cluster";
const PASSWORD: &str = "password-of-a-migrator";

fn settings(broker: &Broker) -> Value {
    json!({
        "audit": { "sinks": ["topic"] },
        "upstream": { "bootstrapServers": broker.address },
        "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": free_ports(1).unwrap(), "portCount": 1, "minBrokerId": 1 },
        "state": { "store": "topic" },
    })
}

fn start(broker: &Broker) -> Gateway {
    Gateway::start(&needs::sandbox_program(), &settings(broker)).unwrap_or_else(|error| panic!("{error}"))
}

fn within(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}

fn put(gateway: &Gateway, name: &str, prefix: &str) -> Result<(), GatewayError> {
    gateway.virtual_cluster(name, &json!({ "namespace": { "prefix": prefix } }))
}

/// Something that can be declared again and again.
fn put_owner(gateway: &Gateway, name: &str, owner: &str) -> Result<(), GatewayError> {
    gateway.virtual_cluster(name, &json!({ "superUsers": [owner] }))
}

/// What the virtual clusters are like, without what each gateway adds.
fn declared(gateway: &Gateway) -> BTreeMap<String, String> {
    let all = gateway.ask("GET", CLUSTERS, &json!({})).unwrap_or_else(|error| panic!("{error}"));
    let all = all.as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = |spec: &Value| format!("{} {}", spec["namespace"], spec["superUsers"]);
    all.map(|one| (text(&one["metadata"]["name"]), what(&one["spec"]))).collect()
}

fn says(gateway: &Gateway, status: u16, reason: &str) -> bool {
    gateway.readiness().is_some_and(|(code, body)| code == status && body.to_string().contains(reason))
}

fn kafka(broker: &Broker) -> KafkaSocket {
    KafkaSocket::connect(&Connection::plain(&broker.address)).unwrap_or_else(|error| panic!("{error}"))
}

/// Settings of the topic, as an operator changes them.
fn set(broker: &Broker, settings: &[(&str, &str)]) {
    let configs = settings.iter().map(|(name, value)| json!({ "Name": name, "ConfigOperation": 0, "Value": value }));
    let resource = json!({ "ResourceType": 2, "ResourceName": TOPIC, "Configs": configs.collect::<Vec<_>>() });
    let request = json!({ "Resources": [resource], "ValidateOnly": false });
    let answer = kafka(broker).ask(ApiKey::IncrementalAlterConfigs, 1, &request).unwrap();
    assert_eq!(answer.value["Responses"][0]["ErrorCode"], 0, "{:?}", answer.value);
}

fn settings_of_the_topic(broker: &Broker) -> BTreeMap<String, String> {
    let resource = json!({ "ResourceType": 2, "ResourceName": TOPIC, "ConfigurationKeys": null });
    let request = json!({ "Resources": [resource], "IncludeSynonyms": false, "IncludeDocumentation": false });
    let answer = kafka(broker).ask(ApiKey::DescribeConfigs, 4, &request).unwrap().value;
    let configs = answer["Results"][0]["Configs"].as_array().expect("settings").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    configs.iter().map(|config| (text(&config["Name"]), text(&config["Value"]))).collect()
}

/// The keys in the topic, in their order.
fn keys(broker: &Broker) -> Vec<String> {
    lines(broker, TOPIC, "%k\n")
}

/// What a topic holds.
fn lines(broker: &Broker, topic: &str, form: &str) -> Vec<String> {
    let arguments = ["-b", &broker.address, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", form];
    let done = Command::new("kcat").args(arguments).output().unwrap();
    String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect()
}

fn write(broker: &Broker, line: &str) {
    use std::io::Write as _;
    let mut kcat = Command::new("kcat");
    let kcat = kcat.args(["-b", &broker.address, "-P", "-t", TOPIC, "-K", "\t"]).stdin(Stdio::piped());
    let mut running = kcat.spawn().unwrap();
    running.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    assert!(running.wait().unwrap().success());
}

#[test]
fn declarations_outlive_what_happens_to_their_topic() {
    if !needs::met("declarations_outlive_what_happens_to_their_topic", &["kcat"]) {
        return;
    }
    let broker = Broker::start();
    let (one, other) = (start(&broker), start(&broker));
    let found = settings_of_the_topic(&broker);
    for (name, value) in [("cleanup.policy", "compact"), ("min.insync.replicas", "1"), ("segment.bytes", "16777216")] {
        assert_eq!(found[name], value, "{name}");
    }
    put(&one, "shop", "shop.").unwrap();
    let took = within("the other gateway knows of it", || declared(&other).contains_key("shop"));
    println!("declared at one gateway, there at the other after {took:?}");
    hidden(&broker, &one);
    wrong_policy(&broker, &one, &other);
    damaged(&broker, &one, &other);
    let compacted = compaction(&broker, &one);
    let third = start(&broker);
    assert_eq!(declared(&third), compacted, "who reads the log after compaction knows the same");
    drop(third);
    lost(&broker, &one, &other);
    outage(&broker, &one);
    let expected = [
        "cannot read the declarations",
        "was lost",
        "hold no declaration",
        "Kafka is not reachable",
        "audit events can't be kept",
    ];
    [&one, &other].iter().for_each(|gateway| log_is_calm(&gateway.log(), &expected));
}

/// Not even who sees all of Kafka sees the topic, writes to it or deletes it.
fn hidden(broker: &Broker, gateway: &Gateway) {
    let before = settings_of_the_topic(broker);
    gateway.account("passthrough", "migrator", &json!({ "type": "LOCAL", "password": PASSWORD })).unwrap();
    let clusters = gateway.ask("GET", CLUSTERS, &json!({})).unwrap();
    let address = clusters[0]["spec"]["bootstrapServers"].as_str().unwrap().to_owned();
    let connection = Connection {
        security_protocol: "SASL_PLAINTEXT".to_owned(),
        mechanism: "PLAIN".to_owned(),
        username: "migrator".to_owned(),
        password: PASSWORD.to_owned(),
        ..Connection::plain(&address)
    };
    let mut migrator = KafkaSocket::connect(&connection).unwrap_or_else(|error| panic!("{error}"));
    let all = json!({ "Topics": null, "AllowAutoTopicCreation": false });
    let all = migrator.ask(ApiKey::Metadata, 9, &all).unwrap().value;
    assert!(!all["Topics"].to_string().contains("_anabranch"), "{all}");
    let first = json!({ "Topics": [], "ResponsePartitionLimit": 100, "Cursor": null });
    let paged = migrator.ask(ApiKey::DescribeTopicPartitions, 0, &first).unwrap().value;
    assert!(!paged.to_string().contains("_anabranch"), "{paged}");
    for topic in [TOPIC, "_anabranch.nodes", "_anabranch.audit"] {
        let known = json!({ "Topics": [{ "Name": topic }], "AllowAutoTopicCreation": false });
        let known = kafka(broker).ask(ApiKey::Metadata, 12, &known).unwrap().value["Topics"][0].clone();
        let partitions = known["Partitions"].as_array().map(Vec::len);
        assert_eq!((&known["ErrorCode"], partitions), (&json!(0), Some(1)), "{known}");
        for (key, version, body) in attempts(topic, &known["TopicId"]) {
            let answer = migrator.ask(key, version, &body).unwrap_or_else(|error| panic!("{key:?}: {error}")).value;
            assert_eq!(granted(&answer), 0, "{key:?} {body} was answered with {answer}");
        }
    }
    assert_eq!(settings_of_the_topic(broker), before, "nobody changed it");
    assert_eq!(keys(broker).last().map(String::as_str), Some("GatewayServiceAccount/passthrough/migrator"));
}

/// What a client may ask of a topic, by its name and by its id.
fn attempts(topic: &str, id: &Value) -> Vec<(ApiKey, i16, Value)> {
    let partition = |with: Value| json!({ "Topics": [{ "Name": topic, "Partitions": [with] }] });
    let with = |mut body: Value, more: Value| {
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let fetched = json!([{ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000 }]);
    let fetch = json!({ "ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1000, "SessionEpoch": -1 });
    let sent = json!([{ "Index": 0, "Records": null }]);
    let produce =
        |topic: Value| json!({ "TransactionalId": null, "Acks": -1, "TimeoutMs": 5000, "TopicData": [topic] });
    let config = json!({ "Name": "cleanup.policy", "ConfigOperation": 0, "Value": "delete" });
    let resource =
        |with: &str, value: Value| json!({ "Resources": [{ "ResourceType": 2, "ResourceName": topic, with: value }] });
    let new = json!({ "Name": format!("{topic}.new"), "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": [] });
    vec![
        (ApiKey::Metadata, 12, json!({ "Topics": [{ "TopicId": id, "Name": null }], "AllowAutoTopicCreation": false })),
        (ApiKey::Metadata, 12, json!({ "Topics": [{ "Name": topic }], "AllowAutoTopicCreation": true })),
        (
            ApiKey::Fetch,
            11,
            with(fetch.clone(), json!({ "Topics": [{ "Topic": topic, "Partitions": fetched.clone() }] })),
        ),
        (ApiKey::Fetch, 13, with(fetch, json!({ "Topics": [{ "TopicId": id, "Partitions": fetched }] }))),
        (ApiKey::Produce, 9, produce(json!({ "Name": topic, "PartitionData": sent.clone() }))),
        (ApiKey::Produce, 13, produce(json!({ "TopicId": id, "PartitionData": sent }))),
        (
            ApiKey::ListOffsets,
            7,
            with(partition(json!({ "PartitionIndex": 0, "Timestamp": -2 })), json!({ "ReplicaId": -1 })),
        ),
        (
            ApiKey::DeleteRecords,
            2,
            with(partition(json!({ "PartitionIndex": 0, "Offset": -1 })), json!({ "TimeoutMs": 5000 })),
        ),
        (
            ApiKey::OffsetForLeaderEpoch,
            4,
            json!({ "ReplicaId": -1, "Topics": [
            { "Topic": topic, "Partitions": [{ "Partition": 0, "CurrentLeaderEpoch": -1, "LeaderEpoch": 0 }] },
        ] }),
        ),
        (
            ApiKey::OffsetCommit,
            8,
            with(
                partition(json!({ "PartitionIndex": 0, "CommittedOffset": 1 })),
                json!({
                    "GroupId": "migrators", "GenerationIdOrMemberEpoch": -1, "MemberId": "",
                }),
            ),
        ),
        (
            ApiKey::DescribeTopicPartitions,
            0,
            json!({ "Topics": [{ "Name": topic }], "ResponsePartitionLimit": 10, "Cursor": null }),
        ),
        (ApiKey::DescribeProducers, 0, json!({ "Topics": [{ "Name": topic, "PartitionIndexes": [0] }] })),
        (ApiKey::CreateTopics, 7, json!({ "Topics": [new], "timeoutMs": 5000, "validateOnly": false })),
        (
            ApiKey::CreatePartitions,
            3,
            json!({
                "Topics": [{ "Name": topic, "Count": 2, "Assignments": null }], "TimeoutMs": 5000, "ValidateOnly": false,
            }),
        ),
        (ApiKey::DeleteTopics, 6, json!({ "Topics": [{ "Name": topic }], "TimeoutMs": 5000 })),
        (ApiKey::DeleteTopics, 6, json!({ "Topics": [{ "Name": null, "TopicId": id }], "TimeoutMs": 5000 })),
        (ApiKey::DescribeConfigs, 4, resource("ConfigurationKeys", Value::Null)),
        (
            ApiKey::IncrementalAlterConfigs,
            1,
            with(resource("Configs", json!([config])), json!({ "ValidateOnly": false })),
        ),
    ]
}

/// How many times an answer says that something was done or found. The code of an answer as a whole is about the request.
fn granted(answer: &Value) -> usize {
    match answer {
        Value::Array(all) => all.iter().map(granted).sum(),
        Value::Object(fields) => {
            let own = fields.get("ErrorCode").is_some_and(|code| *code == 0) && !fields.contains_key("ThrottleTimeMs");
            usize::from(own) + fields.values().filter(|value| value.is_array()).map(granted).sum::<usize>()
        }
        _ => 0,
    }
}

/// A topic that loses declarations takes none, and both gateways say why until it is healed.
fn wrong_policy(broker: &Broker, one: &Gateway, other: &Gateway) {
    set(broker, &[("cleanup.policy", "delete")]);
    for gateway in [one, other] {
        let _ = within("the wrong policy is told", || says(gateway, 503, "cleanup.policy=delete"));
    }
    let refused = put(one, "unsafe", "unsafe.").unwrap_err();
    assert!(matches!(refused, GatewayError::Refused { status: 503, .. }), "{refused}");
    set(broker, &[("cleanup.policy", "compact")]);
    for gateway in [one, other] {
        let _ = within("the healed topic is noticed", || says(gateway, 200, "UP"));
    }
    put(one, "safe", "safe.").unwrap();
}

/// Records of somebody else are left out, counted and recorded; everything else goes on.
fn damaged(broker: &Broker, one: &Gateway, other: &Gateway) {
    write(broker, "VirtualCluster/x\t{ this is no JSON\n");
    write(broker, "Nonsense\tno kind\n");
    put(one, "behind", "behind.").unwrap();
    for gateway in [one, other] {
        let counted = || gateway.metrics().unwrap().contains("gateway_state_records_skipped_total 2\n");
        let _ = within("both records are counted", counted);
        assert!(gateway.log().contains("hold no declaration"), "the log tells it");
        let _ = within("both gateways record an alarm", || alarmed(broker).len() == 2);
        let _ = within("what is behind them holds", || declared(gateway).contains_key("behind"));
    }
}

/// The gateways that recorded an alarm about a record that they skipped.
fn alarmed(broker: &Broker) -> BTreeSet<String> {
    let recorded = lines(broker, "_anabranch.audit", "%k\t%s\n");
    let alarms = recorded.iter().filter_map(|line| line.split_once('\t'));
    let alarms = alarms.filter(|(_, event)| event.contains("state-record-skipped") && event.contains(TOPIC));
    alarms.map(|(gateway, _)| gateway.to_owned()).collect()
}

/// Kafka's cleaner removes old values; tells what is declared.
fn compaction(broker: &Broker, gateway: &Gateway) -> BTreeMap<String, String> {
    set(broker, &[("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.001"), ("delete.retention.ms", "100")]);
    for round in 0..50 {
        put_owner(gateway, "changing", &format!("owner{round}")).unwrap();
        put(gateway, &format!("gone{round}"), &format!("gone{round}.")).unwrap();
        gateway.ask("DELETE", &format!("{CLUSTERS}/gone{round}"), &json!({})).unwrap();
    }
    let mut round = 50;
    let cleaned = || {
        // The segment that is written to is never cleaned.
        round += 1;
        put_owner(gateway, "changing", &format!("owner{round}")).unwrap();
        thread::sleep(Duration::from_millis(500));
        let keys = keys(broker);
        let changed = keys.iter().filter(|key| *key == "VirtualCluster/changing").count();
        changed < 40 && !keys.iter().any(|key| key == "VirtualCluster/gone0")
    };
    let took = within("Kafka compacts the topic", cleaned);
    println!("compacted after {took:?}");
    declared(gateway)
}

/// A topic that somebody deletes is made and written again, by gateways that know what was in it.
fn lost(broker: &Broker, one: &Gateway, other: &Gateway) {
    let before = declared(one);
    let delete = json!({ "TopicNames": [TOPIC], "TimeoutMs": 5000 });
    let answer = kafka(broker).ask(ApiKey::DeleteTopics, 5, &delete).unwrap().value;
    assert_eq!(answer["Responses"][0]["ErrorCode"], 0, "{answer}");
    let _ = within("everything is in the topic again", || {
        let keys = keys(broker);
        before.keys().filter(|name| *name != "passthrough").all(|name| keys.contains(&format!("VirtualCluster/{name}")))
    });
    put(other, "after", "after.").unwrap();
    let _ = within("both go on", || declared(one) == declared(other) && declared(one).contains_key("after"));
    assert_eq!(declared(&start(broker)), declared(one), "who starts now knows all of it");
    assert_eq!(settings_of_the_topic(broker)["cleanup.policy"], "compact");
}

/// Without Kafka a gateway says so, also one that starts then, and goes on by itself.
fn outage(broker: &Broker, gateway: &Gateway) {
    let mut late = broker.stopped(|| {
        let _ = within("a gateway that lost Kafka says so", || says(gateway, 503, "DOWN"));
        let late = Gateway::begin(&needs::sandbox_program(), &settings(broker)).unwrap();
        let _ = within("a gateway that starts without Kafka says so", || says(&late, 503, "broker at"));
        late
    });
    let _ = within("the gateway is ready again", || says(gateway, 200, "UP"));
    let _ = late.wait();
    let _ = within("the late gateway gets ready", || says(&late, 200, "UP"));
    assert_eq!(declared(&late), declared(gateway));
}

/// Two gateways are written to at once, by clients that want the same names, and prefixes that cannot be together.
#[test]
fn gateways_that_write_at_once_come_to_one_state() {
    const ROUNDS: usize = 60;
    if !needs::met("gateways_that_write_at_once_come_to_one_state", &[]) {
        return;
    }
    let broker = Broker::start();
    let gateways = [start(&broker), start(&broker)];
    let writes = |gateway: &Gateway, who: usize| {
        let (mut accepted, mut refused) = (0, 0);
        for round in 0..ROUNDS {
            let results = [
                put(gateway, &format!("own{who}-{round}"), &format!("own{who}-{round}-")),
                put_owner(gateway, &format!("same{}", round % 5), &format!("owner{who}-{round}")),
                // Only one of those that want this prefix may have it.
                put(gateway, &format!("rival{who}"), "prize-"),
                gateway.ask("DELETE", &format!("{CLUSTERS}/rival{who}"), &json!({})).map(drop),
            ];
            for result in results {
                match result {
                    Ok(()) => accepted += 1,
                    Err(GatewayError::Refused { status: 404 | 409, .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        (accepted, refused)
    };
    let writes = &writes;
    let done = thread::scope(|scope| {
        let writers = (0..4).map(|who| (who, &gateways[who % 2]));
        let running = writers.map(|(who, gateway)| scope.spawn(move || writes(gateway, who))).collect::<Vec<_>>();
        running.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let [one, other] = &gateways;
    let took = within("both know the same", || declared(one) == declared(other));
    let (accepted, refused) = done.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("{accepted} changes accepted, {refused} refused, the same after {took:?}");
    let state = declared(one);
    for (who, round) in (0..4).flat_map(|who| (0..ROUNDS).map(move |round| (who, round))) {
        assert!(state.contains_key(&format!("own{who}-{round}")), "an accepted one is lost: own{who}-{round}");
    }
    assert_eq!(declared(&start(&broker)), state, "who reads the log from its beginning comes to the same");
}
