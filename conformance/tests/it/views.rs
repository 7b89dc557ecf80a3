//! What a virtual cluster sees beside its own names, with real clients: aliases of another tenant's topics, exposed topics and
//! groups, names with an enforced prefix, and `passthrough`; and that none of it is a way into what was not lent.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::node::Node;
use super::stand::{TeamClient, log_is_calm, records, start, values};

const JAVA: &str = "java-clients";
const PYTHON: &str = "python";
const KCAT: &str = "kcat";
const CALM: &[&str] = &["audit.sinks is not set", "rule=\"acl-changed\""];
const NOT_PERMITTED: &[&str] = &["TOPIC_AUTHORIZATION_FAILED"];
const UNKNOWN: &[&str] = &["UNKNOWN_TOPIC_OR_PARTITION"];
/// A machine that compiles beside it.
const PATIENCE: Duration = Duration::from_secs(60);

fn started(broker: &Broker) -> Node {
    Node::start(broker, &json!({}))
}

/// A virtual cluster and an account of the same name.
fn tenant(node: &Node, name: &str, spec: &Value) {
    node.gateway.virtual_cluster(name, spec).unwrap();
    node.account(name, name);
}

fn no_alias(node: &Node, tenant: &str, name: &str) {
    let named = json!({ "name": name, "vCluster": tenant });
    let _ = node.gateway.ask("DELETE", "/gateway/v2/alias-topic", &named).unwrap();
}

fn socket(node: &Node, account: &str) -> KafkaSocket {
    KafkaSocket::connect(&node.connection(account)).unwrap_or_else(|error| panic!("{error}"))
}

fn tool(client: &mut TeamClient, tool: &str, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    client.does("tool", json!({ "tool": tool, "arguments": arguments })).to_string()
}

fn topics(client: &mut TeamClient) -> Value {
    client.does("list_topics", json!({}))["topics"].clone()
}

fn topic_id(socket: &mut KafkaSocket, name: &str) -> String {
    let asked = json!({ "Topics": [{ "Name": name }], "AllowAutoTopicCreation": false });
    let answer = socket.ask(ApiKey::Metadata, 12, &asked).unwrap().value;
    assert_eq!(answer["Topics"][0]["ErrorCode"], 0, "{answer}");
    answer["Topics"][0]["TopicId"].as_str().unwrap().to_owned()
}

/// Everything of the first partition, in this version, without a session.
fn fetched(socket: &mut KafkaSocket, version: i16, topic: &str, id: &str) -> (Value, Vec<u8>) {
    let partition = json!({ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 });
    let mut wanted = json!({ "Partitions": [partition] });
    wanted[if version < 13 { "Topic" } else { "TopicId" }] = json!(if version < 13 { topic } else { id });
    let mut asked = json!({ "MaxWaitMs": 100, "MinBytes": 1, "MaxBytes": 1 << 20, "Topics": [wanted] });
    if version < 15 {
        asked["ReplicaId"] = json!(-1);
    }
    if version >= 7 {
        asked["SessionEpoch"] = json!(-1);
    }
    let answer = socket.ask(ApiKey::Fetch, version, &asked).unwrap();
    let records = answer.value["Responses"][0]["Partitions"][0]["Records"].as_str().unwrap_or_default().to_owned();
    (answer.value, STANDARD.decode(records).unwrap())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn nothing_of_it_is_altered(client: &mut TeamClient, topic: &str) {
    client.fails("create_topic", json!({ "topic": topic }), NOT_PERMITTED);
    client.fails("delete_topic", json!({ "topic": topic }), NOT_PERMITTED);
    client.fails("delete_records", json!({ "topic": topic, "partition": 0, "before": 1 }), NOT_PERMITTED);
    client.fails("create_partitions", json!({ "topic": topic, "partitions": 4 }), NOT_PERMITTED);
    client.fails("configure", json!({ "topic": topic, "set": { "retention.ms": "1" } }), NOT_PERMITTED);
}

#[test]
fn an_alias_is_read_and_is_written_only_where_it_says_so() {
    if !needs::met("an_alias_is_read_and_is_written_only_where_it_says_so", &[JAVA, PYTHON, KCAT]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    ["shop", "partner"].iter().for_each(|name| tenant(&node, name, &json!({})));
    let mut shop = node.client(JAVA, "shop");
    for topic in ["orders", "inbox", "secret"] {
        shop.does("create_topic", json!({ "topic": topic }));
    }
    shop.does("produce", json!({ "topic": "orders", "records": records("order-", 5) }));
    node.alias("partner", "shop-orders", &json!({ "physicalName": "shop.orders" }));
    node.alias("partner", "to-shop", &json!({ "physicalName": "shop.inbox", "access": "readWrite" }));

    // Each client reads it by a group of the reader's own.
    let [mut java, mut python, mut kcat] = [JAVA, PYTHON, KCAT].map(|name| node.client(name, "partner"));
    assert_eq!(topics(&mut java), json!(["shop-orders", "to-shop"]));
    assert_eq!(topics(&mut kcat), json!(["shop-orders", "to-shop"]));
    let read = |group: &str, protocol: &str| json!({ "topic": "shop-orders", "group": group, "count": 5, "protocol": protocol, "linger_ms": 200 });
    for (client, name) in [(&mut java, "java"), (&mut python, "python")] {
        for protocol in ["classic", "consumer"] {
            let group = format!("{name}-{protocol}");
            assert_eq!(client.consumes_with(read(&group, protocol)), values("order-", 5), "{group}");
        }
    }
    assert_eq!(kcat.consumes("shop-orders", "kcat-classic", 5), values("order-", 5));
    let share = json!({ "topic": "shop-orders", "group": "sharing", "count": 5 });
    java.does("configure", json!({ "group": "sharing", "set": { "share.auto.offset.reset": "earliest" } }));
    assert_eq!(java.does("share", share)["records"].as_array().unwrap().len(), 5);
    for group in ["java-classic", "java-consumer", "python-classic", "python-consumer", "kcat-classic"] {
        let offsets = java.does("group_offsets", json!({ "group": group }));
        assert_eq!(offsets, json!({ "offsets": { "shop-orders-0": 5 } }), "{group}");
    }
    let described = tool(&mut java, "kafka-consumer-groups", "--describe --group java-classic");
    assert!(described.contains("shop-orders") && !described.contains("shop.orders"), "{described}");
    assert_eq!(shop.does("list_groups", json!({}))["groups"], json!([]), "groups are the reader's");

    // Nothing but reading.
    let send = |topic: &str| json!({ "topic": topic, "records": records("from-partner-", 2) });
    java.fails("produce", send("shop-orders"), NOT_PERMITTED);
    python.fails("produce", send("shop-orders"), NOT_PERMITTED);
    let transaction = |topic: &str, end: &str| json!({ "transactional_id": "tx", "topic": topic, "end": end, "records": records("tx-", 2) });
    java.fails("transaction", transaction("shop-orders", "commit"), NOT_PERMITTED);

    // Records, where it says so; and nothing else either.
    java.does("produce", send("to-shop"));
    kcat.does("produce", send("to-shop"));
    java.does("transaction", transaction("to-shop", "abort"));
    python.does("transaction", transaction("to-shop", "commit"));
    let mut expected = [values("from-partner-", 2), values("from-partner-", 2), values("tx-", 2)].concat();
    expected.sort();
    assert_eq!(shop.consumes("inbox", "shop-reads", 6), expected);
    ["shop-orders", "to-shop"].iter().for_each(|topic| nothing_of_it_is_altered(&mut java, topic));
    let shown = tool(&mut java, "kafka-topics", "--describe --topic shop-orders");
    assert!(shown.contains("Topic: shop-orders") && !shown.contains("shop.orders"), "{shown}");
    for name in ["shop.orders", "orders", "shop.secret", "secret"] {
        java.fails("describe_topic", json!({ "topic": name }), UNKNOWN);
    }
    assert_eq!(shop.does("describe_topic", json!({ "topic": "inbox" }))["partitions"], 1);
    assert_eq!(topics(&mut shop), json!(["inbox", "orders", "secret"]));
    log_is_calm(&node.gateway.log(), CALM);
}

#[test]
fn the_ids_of_a_lent_topic_open_nothing() {
    if !needs::met("the_ids_of_a_lent_topic_open_nothing", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    ["shop", "partner", "stranger"].iter().for_each(|name| tenant(&node, name, &json!({})));
    let mut shop = node.client(JAVA, "shop");
    shop.does("create_topic", json!({ "topic": "orders" }));
    shop.does("produce", json!({ "topic": "orders", "records": records("order-", 3) }));
    node.alias("partner", "lent", &json!({ "physicalName": "shop.orders" }));
    // An alias of what is not there makes nothing, whoever asks for it.
    node.alias("partner", "nothing", &json!({ "physicalName": "shop.nothing", "access": "readWrite" }));
    let (mut owner, mut borrower, mut stranger) =
        (socket(&node, "shop"), socket(&node, "partner"), socket(&node, "stranger"));
    let (own, lent) = (topic_id(&mut owner, "orders"), topic_id(&mut borrower, "lent"));
    assert_ne!(own, lent);
    for version in [4, 7, 11, 12, 13, 17] {
        let (answer, records) = fetched(&mut borrower, version, "lent", &lent);
        assert!(holds(&records, "order-02"), "{version}: {answer}");
        // The broker's own id is nobody's but the owner's, an alias' nobody's but the borrower's.
        for (socket, name, id) in [(&mut borrower, "shop.orders", &own), (&mut stranger, "lent", &lent)] {
            let (answer, records) = fetched(socket, version, name, id);
            let partition = &answer["Responses"][0]["Partitions"][0];
            assert!(records.is_empty() && partition["ErrorCode"] != 0 && partition["HighWatermark"] == -1, "{answer}");
        }
    }
    let asked = json!({ "Topics": [{ "Name": "nothing" }], "AllowAutoTopicCreation": true });
    for version in [4, 9, 12] {
        let answer = borrower.ask(ApiKey::Metadata, version, &asked).unwrap().value;
        assert_ne!(answer["Topics"][0]["ErrorCode"], 0, "{answer}");
    }
    let asked = json!({ "Topics": [{ "Name": "lent" }, { "Name": "shop.orders" }], "ResponsePartitionLimit": 10 });
    let answer = borrower.ask(ApiKey::DescribeTopicPartitions, 0, &asked).unwrap().value.to_string();
    assert!(answer.contains(&lent) && !answer.contains(&own), "{answer}");
    let by_id =
        json!({ "Topics": [{ "Name": null, "TopicId": own }, { "Name": null, "TopicId": lent }], "TimeoutMs": 5000 });
    for socket in [&mut borrower, &mut stranger] {
        let answer = socket.ask(ApiKey::DeleteTopics, 6, &by_id).unwrap().value;
        assert!(answer["Responses"].as_array().unwrap().iter().all(|topic| topic["ErrorCode"] != 0), "{answer}");
    }
    assert_eq!(topics(&mut shop), json!(["orders"]));
    log_is_calm(&node.gateway.log(), CALM);
}

/// Writes what is theirs among what is somebody else's, with each compression and in transactions; returns what is theirs.
fn mixed(java: &mut TeamClient, python: &mut TeamClient) -> Vec<String> {
    let record = |key: &str, value: &str| json!({ "key": key, "value": json!({ "is": value, "for": key }).to_string(), "headers": { "to": key } });
    // Every third is theirs, in batches that somebody else's records share.
    let batch = |name: &str| -> Value {
        (0..9).map(|at| record(if at % 3 == 1 { "acme" } else { "other" }, &format!("{name}-{at}"))).collect()
    };
    let mut expected = Vec::new();
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for (client, name) in [(&mut *java, "java"), (&mut *python, "python")] {
            let name = format!("{name}-{compression}");
            client.does("produce", json!({ "topic": "orders", "records": batch(&name), "compression": compression }));
            expected.extend([1, 4, 7].map(|at| format!("{name}-{at}")));
        }
    }
    for (name, end) in [("committed", "commit"), ("aborted", "abort")] {
        java.does(
            "transaction",
            json!({ "transactional_id": "tx", "topic": "orders", "records": batch(name), "end": end }),
        );
    }
    expected.extend([1, 4, 7].map(|at| format!("committed-{at}")));
    python.does("produce", json!({ "topic": "orders", "records": [{ "key": "other", "value": "no json" }] }));
    expected.sort();
    expected
}

/// What the values say that they are.
fn told(values: Vec<String>) -> Vec<String> {
    let is = |value: String| serde_json::from_str::<Value>(&value).unwrap()["is"].as_str().unwrap().to_owned();
    let mut told: Vec<String> = values.into_iter().map(is).collect();
    told.sort();
    told
}

fn nothing_else_is_in_the_bytes(node: &Node) {
    let mut socket = socket(node, "acme");
    let id = topic_id(&mut socket, "by-key");
    for version in [4, 11, 12, 13, 17] {
        let (answer, records) = fetched(&mut socket, version, "by-key", &id);
        assert!(holds(&records, "java-none-1") && !holds(&records, "java-none-0"), "{version}: {answer}");
        assert!(!holds(&records, "no json") && !holds(&records, "other"), "{version}");
    }
}

#[test]
fn where_shows_only_what_it_says() {
    if !needs::met("where_shows_only_what_it_says", &[JAVA, PYTHON, KCAT]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    ["shop", "acme"].iter().for_each(|name| tenant(&node, name, &json!({})));
    let [mut java, mut python] = [JAVA, PYTHON].map(|name| node.client(name, "shop"));
    java.does("create_topic", json!({ "topic": "orders" }));
    let expected = mixed(&mut java, &mut python);
    for (alias, filter) in [
        ("by-key", r#"key == "acme""#),
        ("by-header", r#"headers.to == "acme""#),
        ("by-value", r#"value.for == "acme""#),
    ] {
        node.alias("acme", alias, &json!({ "physicalName": "shop.orders", "where": filter }));
    }
    let end = java.does("list_offsets", json!({ "topic": "orders" }))["offsets"]["orders-0"].clone();
    let [mut java, mut python, mut kcat] = [JAVA, PYTHON, KCAT].map(|name| node.client(name, "acme"));
    for (client, name) in [(&mut java, "java"), (&mut python, "python")] {
        for protocol in ["classic", "consumer"] {
            let group = format!("{name}-{protocol}");
            let read = json!({ "topic": "by-key", "group": group, "count": expected.len(), "protocol": protocol });
            assert_eq!(told(client.consumes_with(read)), expected, "{group}");
        }
    }
    // Java reads on behind what it is not shown, so that nothing is left to the group.
    for group in ["java-classic", "java-consumer"] {
        let offsets = java.does("group_offsets", json!({ "group": group }))["offsets"].clone();
        // They are the topic's, whatever it is called.
        let each = json!({ "by-header-0": end, "by-key-0": end, "by-value-0": end });
        assert_eq!(offsets, each, "{group}");
    }
    // Java's clients send headers only where they are told to.
    let by_python: Vec<String> = expected.iter().filter(|value| value.starts_with("python")).cloned().collect();
    assert_eq!(told(python.consumes("by-header", "headers", by_python.len())), by_python);
    assert_eq!(told(kcat.consumes("by-value", "values", expected.len())), expected);
    let lag = tool(&mut java, "kafka-consumer-groups", "--describe --group values");
    assert!(lag.contains("by-value"), "{lag}");
    assert_eq!(
        java.does("list_offsets", json!({ "topic": "by-key" }))["offsets"]["by-key-0"],
        end,
        "the owner's offsets"
    );
    java.does("configure", json!({ "group": "sharing", "set": { "share.auto.offset.reset": "earliest", "share.isolation.level": "read_committed" } }));
    let shared = java.does("share", json!({ "topic": "by-key", "group": "sharing", "count": expected.len() }));
    let shared =
        shared["records"].as_array().unwrap().iter().map(|record| record["value"].as_str().unwrap().to_owned());
    assert_eq!(told(shared.collect()), expected);

    nothing_else_is_in_the_bytes(&node);
    log_is_calm(&node.gateway.log(), CALM);
}

/// `root` is a super user, who needs no rule.
fn rules_are_about_the_name_that_clients_use(root: &mut TeamClient, app: &mut TeamClient) {
    let read = json!({ "topic": "lent", "group": "g", "count": 1 });
    app.fails("consume", read.clone(), &["TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"]);
    assert_eq!(root.consumes("lent", "of-root", 1), values("first-", 1));
    root.fails("produce", json!({ "topic": "lent", "records": records("x", 1) }), NOT_PERMITTED);
    let may = "--add --allow-principal User:partner --operation Read --resource-pattern-type prefixed";
    for more in ["--topic shop.", "--topic orders", "--group g"] {
        let _ = tool(root, "kafka-acls", &format!("{may} {more}"));
    }
    app.fails("consume", read.clone(), NOT_PERMITTED);
    let _ = tool(root, "kafka-acls", &format!("{may} --topic lent"));
    assert_eq!(app.consumes_with(read), values("first-", 1));
}

#[test]
fn what_is_lent_changes_for_clients_that_are_connected() {
    if !needs::met("what_is_lent_changes_for_clients_that_are_connected", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    tenant(&node, "shop", &json!({}));
    tenant(&node, "partner", &json!({ "aclEnabled": true, "superUsers": ["root"] }));
    node.gateway.account("partner", "root", &json!({ "type": "LOCAL", "password": "a password" })).unwrap();
    let mut shop = node.client(JAVA, "shop");
    shop.does("create_topic", json!({ "topic": "orders" }));
    node.alias("partner", "lent", &json!({ "physicalName": "shop.orders" }));
    let send = |shop: &mut TeamClient, name: &str| {
        shop.does("produce", json!({ "topic": "orders", "records": records(name, 1) }));
    };
    send(&mut shop, "first-");

    let (mut root, mut app) = (node.client(JAVA, "root"), node.client(JAVA, "partner"));
    rules_are_about_the_name_that_clients_use(&mut root, &mut app);

    // A topic that may be gone is nobody's error to who may make topics: this client stays.
    root.does("member_start", json!({ "member": "m", "group": "m", "topic": "lent" }));
    let mut other = node.client(JAVA, "root");
    let state = |root: &mut TeamClient| root.does("member_state", json!({ "member": "m" }));
    let has = |state: &Value, value: &str| state["values"].as_array().unwrap().iter().any(|read| read == value);
    let comes = |root: &mut TeamClient, value: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !has(&state(root), value) {
            assert!(Instant::now() < deadline, "{value} does not come: {}", state(root));
        }
    };
    comes(&mut root, "first-00");

    // Another expression holds for the next records, and for those that a long poll waits for.
    node.alias("partner", "lent", &json!({ "physicalName": "shop.orders", "where": "value.nobody exists" }));
    send(&mut shop, "hidden-");
    let mut passed = |root: &mut TeamClient, offset: i64| {
        let deadline = Instant::now() + PATIENCE;
        while other.does("group_offsets", json!({ "group": "m" }))["offsets"]["lent-0"] != offset {
            assert!(Instant::now() < deadline, "offset {offset} is not reached: {}", state(root));
        }
    };
    passed(&mut root, 2);
    node.alias("partner", "lent", &json!({ "physicalName": "shop.orders" }));
    send(&mut shop, "second-");
    comes(&mut root, "second-00");
    assert!(!has(&state(&mut root), "hidden-00"));

    // What is lent no more is gone, and what is lent for writing is written.
    no_alias(&node, "partner", "lent");
    send(&mut shop, "gone-");
    other.fails("describe_topic", json!({ "topic": "lent" }), UNKNOWN);
    assert_eq!(
        other.consumes_with(json!({ "topic": "lent", "group": "late", "count": 1, "timeout_ms": 3000 })),
        [""; 0]
    );
    assert!(!has(&state(&mut root), "gone-00"));
    node.alias("partner", "lent", &json!({ "physicalName": "shop.orders", "access": "readWrite" }));
    other.does("produce", json!({ "topic": "lent", "records": records("written-", 1) }));
    comes(&mut root, "written-00");
    root.does("member_stop", json!({ "member": "m" }));
    log_is_calm(&node.gateway.log(), CALM);
}

#[test]
fn an_existing_cluster_is_taken_over_step_by_step() {
    if !needs::met("an_existing_cluster_is_taken_over_step_by_step", &[JAVA, PYTHON, KCAT]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    // Before: clients that know nothing of a gateway.
    let mut direct = start(JAVA, &Connection::plain(&broker.address));
    for topic in ["countries", "legacy", "shop.orders"] {
        direct.does("create_topic", json!({ "topic": topic }));
        direct.does("produce", json!({ "topic": topic, "records": records(topic, 3) }));
    }
    assert_eq!(direct.consumes("legacy", "old-readers", 3), values("legacy", 3));

    // First everybody goes through the gateway, under the names that they have.
    node.account("passthrough", "passthrough");
    let mut through = node.client(JAVA, "passthrough");
    assert_eq!(topics(&mut through), json!(["countries", "legacy", "shop.orders"]));
    assert_eq!(through.does("list_groups", json!({}))["groups"], json!(["old-readers"]));
    through.does("produce", json!({ "topic": "legacy", "records": records("later", 1) }));
    assert_eq!(through.consumes("legacy", "old-readers", 1), values("later", 1));

    // Then a team at a time: what has its prefix is its own, some of what is everybody's is in its view.
    let expose = json!([{ "topic": "countries" }, { "group": "old-readers" }]);
    tenant(&node, "shop", &json!({ "namespace": { "mode": "enforce", "expose": expose } }));
    let [mut java, mut python, mut kcat] = [JAVA, PYTHON, KCAT].map(|name| node.client(name, "shop"));
    for client in [&mut java, &mut python, &mut kcat] {
        assert_eq!(topics(client), json!(["countries", "shop.orders"]));
    }
    assert_eq!(java.consumes("shop.orders", "shop.readers", 3), values("shop.orders", 3));
    assert_eq!(python.consumes("countries", "shop.countries", 3), values("countries", 3));
    java.does("produce", json!({ "topic": "countries", "records": records("more", 1) }));
    assert_eq!(java.does("list_groups", json!({}))["groups"], json!(["old-readers", "shop.countries", "shop.readers"]));
    // The group's offsets of what is not in view are not shown.
    assert_eq!(java.does("group_offsets", json!({ "group": "old-readers" })), json!({ "offsets": {} }));
    assert_eq!(java.consumes("countries", "old-readers", 4).len(), 4);
    java.does("create_topic", json!({ "topic": "shop.new" }));
    java.does("member_start", json!({ "member": "m", "group": "shop.all", "pattern": "shop\\..*" }));
    let deadline = Instant::now() + PATIENCE;
    while java.does("member_state", json!({ "member": "m" }))["partitions"] != json!(["shop.new-0", "shop.orders-0"]) {
        assert!(Instant::now() < deadline, "a pattern does not find what has the prefix");
    }
    java.does("member_stop", json!({ "member": "m" }));

    // Nothing without the prefix, whichever client says it.
    java.fails("create_topic", json!({ "topic": "orders" }), NOT_PERMITTED);
    java.fails("delete_topic", json!({ "topic": "countries" }), NOT_PERMITTED);
    java.fails("configure", json!({ "topic": "countries", "set": { "retention.ms": "1" } }), NOT_PERMITTED);
    java.fails(
        "consume",
        json!({ "topic": "shop.orders", "group": "readers", "count": 1 }),
        &["GROUP_AUTHORIZATION_FAILED"],
    );
    let send = json!({ "topic": "legacy", "records": records("x", 1) });
    java.fails("produce", send.clone(), NOT_PERMITTED);
    python.fails("produce", send.clone(), NOT_PERMITTED);
    kcat.refuses_to("produce", send);
    let transaction =
        json!({ "transactional_id": "tx", "topic": "shop.orders", "end": "commit", "records": records("x", 1) });
    java.fails("transaction", transaction, &["TRANSACTIONAL_ID_AUTHORIZATION_FAILED"]);
    let own =
        json!({ "transactional_id": "shop.tx", "topic": "shop.orders", "end": "commit", "records": records("tx", 1) });
    java.does("transaction", own);
    assert_eq!(
        direct.does("list_topics", json!({}))["topics"],
        json!(["countries", "legacy", "shop.new", "shop.orders"])
    );
    log_is_calm(&node.gateway.log(), CALM);
}
