//! Quotas, measured with Kafka's own performance tools: over several connections, over two gateways, and changed while clients are
//! connected.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use conformance::drivers::socket::KafkaSocket;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::node::Node;
use super::stand::{TeamClient, log_is_calm, records};

const JAVA: &str = "java-clients";
/// Each gateway tells its own addresses here, so that clients can choose one.
const CALM: &[&str] = &["audit.sinks is not set", "nodes.internalLoadBalancing is false"];
const TENANT: &str = "payments";
const LIMIT: u64 = 1_000_000;
/// Long enough that what was saved up before makes no difference.
const MEASURED: Duration = Duration::from_secs(12);
/// How often that is measured at most; what is produced and read is enough for it.
const TRIES: usize = 2;

/// With its declarations in a topic, so that gateways that are started so are nodes of one.
fn started(broker: &Broker) -> Node {
    let settings = json!({ "state": { "store": "topic" }, "nodes": { "internalLoadBalancing": false } });
    Node::start(broker, &settings)
}

fn declare(node: &Node) {
    node.gateway.virtual_cluster(TENANT, &json!({})).unwrap();
    for user in ["alice", "bob"] {
        node.account(TENANT, &format!("{TENANT}-{user}"));
    }
}

fn quota(node: &Node, name: &str, spec: &Value) {
    let metadata = json!({ "name": name, "vCluster": TENANT });
    let body = json!({ "kind": "Quota", "apiVersion": "anabranch/v1", "metadata": metadata, "spec": spec });
    let _ = node.gateway.ask("PUT", "/anabranch/v1/quota", &body).unwrap();
}

/// A client of another virtual cluster, which is lent a topic to write.
fn borrower(node: &Node, name: &str, physical: &str) -> TeamClient {
    node.gateway.virtual_cluster("search", &json!({})).unwrap();
    node.account("search", "search");
    node.alias("search", name, &json!({ "physicalName": physical, "access": "readWrite" }));
    node.client(JAVA, "search")
}

fn client(node: &Node, user: &str) -> TeamClient {
    node.client(JAVA, &format!("{TENANT}-{user}"))
}

/// A counter of the tenant's, of all APIs together.
fn counted(node: &Node, name: &str) -> u64 {
    let start = format!("{name}{{virtual_cluster=\"{TENANT}\"");
    let metrics = node.gateway.metrics().unwrap();
    let own = metrics.lines().filter(|line| line.starts_with(&start));
    let whole = |line: &str| line.rsplit(' ').next()?.split('.').next()?.parse::<u64>().ok();
    own.filter_map(whole).sum()
}

fn tool(client: &mut TeamClient, tool: &str, arguments: &str) -> Value {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    client.does("tool", json!({ "tool": tool, "arguments": arguments }))
}

/// Produces from its own connections until so many records are there.
fn produces(client: TeamClient, count: u64) -> thread::JoinHandle<TeamClient> {
    thread::spawn(move || {
        let mut client = client;
        let arguments = format!("--topic orders --num-records {count} --record-size 1000 --throughput -1");
        let result = tool(&mut client, "kafka-producer-perf-test", &arguments);
        assert_eq!(result["status"], 0, "{result}");
        client
    })
}

/// Reads so many records over its own connections.
fn reads(mut client: TeamClient, count: u64) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let arguments = format!("--topic orders --num-records {count} --timeout 60000");
        let result = tool(&mut client, "kafka-consumer-perf-test", &arguments);
        assert_eq!(result["status"], 0, "{result}");
    })
}

/// That all nodes together take in, or send, as many bytes a second as they may while everybody is at it.
fn is_the_limit(what: &str, nodes: &[&Node], counter: &str) {
    let count = || nodes.iter().map(|node| counted(node, counter)).sum::<u64>();
    // Clients start one after the other, and what they may take at once at the beginning is not measured.
    let (started, patience) = (count(), Instant::now());
    while count() < started + 3 * LIMIT {
        assert!(patience.elapsed() < Duration::from_secs(60), "nothing comes through");
        thread::sleep(Duration::from_millis(100));
    }
    // Clients on a busy machine may be slower for a while, and never faster.
    let enough = (0..TRIES).any(|_| {
        let (before, begun) = (count(), Instant::now());
        thread::sleep(MEASURED);
        let taken = count() - before;
        let rate = u64::try_from(u128::from(taken) * 1_000 / begun.elapsed().as_millis()).unwrap();
        println!("{what}: {rate} bytes/s, the limit is {LIMIT}");
        assert!(rate <= LIMIT + LIMIT / 10, "{what}: {rate} bytes/s, the limit is {LIMIT}");
        rate >= LIMIT - LIMIT / 10
    });
    assert!(enough, "{what}: less than the limit of {LIMIT} bytes/s comes through");
}

#[test]
fn a_limit_holds_for_all_connections_and_nodes_together() {
    if !needs::met("a_limit_holds_for_all_connections_and_nodes_together", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let first = started(&broker);
    declare(&first);
    let mut alice = client(&first, "alice");
    alice.does("create_topic", json!({ "topic": "orders", "partitions": 4 }));
    quota(&first, "whole", &json!({ "produceBytesPerSecond": LIMIT, "fetchBytesPerSecond": LIMIT }));

    let producers = [alice, client(&first, "bob"), client(&first, "bob")].map(|client| produces(client, 10_000));
    is_the_limit("three producers at one gateway", &[&first], "gateway_request_bytes_total");
    let [reader, ..] = producers.map(|producer| producer.join().unwrap());
    assert!(counted(&first, "gateway_throttled_seconds_total") > 0);

    let reading = reads(reader, 30_000);
    is_the_limit("a consumer", &[&first], "gateway_response_bytes_total");
    reading.join().unwrap();

    let second = started(&broker);
    let at = [client(&first, "alice"), client(&second, "bob"), client(&second, "alice")];
    let producers = at.map(|client| produces(client, 10_000));
    is_the_limit("one producer at one gateway, two at another", &[&first, &second], "gateway_request_bytes_total");
    producers.into_iter().for_each(|producer| drop(producer.join().unwrap()));

    let reading = [client(&first, "alice"), client(&second, "bob")].map(|client| reads(client, 16_000));
    is_the_limit("a consumer at each of two gateways", &[&first, &second], "gateway_response_bytes_total");
    reading.into_iter().for_each(|reader| reader.join().unwrap());
    [&first, &second].iter().for_each(|node| log_is_calm(&node.gateway.log(), CALM));
}

#[test]
fn what_is_beyond_a_limit_is_refused_with_its_name() {
    if !needs::met("what_is_beyond_a_limit_is_refused_with_its_name", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    declare(&node);
    let mut alice = client(&node, "alice");
    alice.does("create_topic", json!({ "topic": "orders" }));
    quota(&node, "whole", &json!({ "topics": 2, "partitions": 4 }));

    // Topics and partitions, for a client that is connected already.
    alice.fails("create_topic", json!({ "topic": "many", "partitions": 4 }), &["POLICY_VIOLATION"]);
    alice.does("create_topic", json!({ "topic": "some", "partitions": 2 }));
    alice.fails("create_topic", json!({ "topic": "third" }), &["POLICY_VIOLATION"]);
    alice.fails("create_partitions", json!({ "topic": "some", "partitions": 4 }), &["POLICY_VIOLATION"]);
    alice.does("create_partitions", json!({ "topic": "some", "partitions": 3 }));
    let refused = tool(&mut alice, "kafka-topics", "--create --topic third");
    assert!(refused.to_string().contains("2 topics of at most 2 (topics in its Quota)"), "{refused}");

    // Records.
    let send = || json!({ "topic": "orders", "records": records("order-", 2) });
    alice.does("produce", send());
    quota(&node, "whole", &json!({ "storageBytes": 1 }));
    let deadline = Instant::now() + Duration::from_secs(60);
    while counted(&node, "gateway_quota_refused_total") < 5 {
        assert!(Instant::now() < deadline, "records are taken beyond the limit");
        alice.does("describe_topic", json!({ "topic": "orders" }));
        let sent = tool(
            &mut alice,
            "kafka-producer-perf-test",
            "--topic orders --num-records 1 --record-size 9 --throughput -1",
        );
        if sent.to_string().contains("storageBytes in its Quota") {
            break;
        }
    }
    alice.fails("produce", send(), &["POLICY_VIOLATION"]);
    // Nor do others store more in it.
    let mut borrower = borrower(&node, "lent", &format!("{TENANT}.orders"));
    borrower.does("create_topic", json!({ "topic": "own" }));
    borrower.does("produce", json!({ "topic": "own", "records": records("own-", 1) }));
    borrower.fails("produce", json!({ "topic": "lent", "records": records("more-", 1) }), &["POLICY_VIOLATION"]);
    quota(&node, "whole", &json!({ "storageBytes": 1_000_000_000 }));
    alice.does("produce", send());

    // What a tenant sets for itself.
    let set = |client: &mut TeamClient, config: &str| {
        let arguments = format!("--alter --entity-type users --entity-name {TENANT}-bob --add-config {config}");
        tool(client, "kafka-configs", &arguments)
    };
    quota(&node, "bob", &json!({ "user": format!("{TENANT}-bob"), "produceBytesPerSecond": 5000 }));
    assert_eq!(set(&mut alice, "producer_byte_rate=4000")["status"], 0);
    let beyond = set(&mut alice, "producer_byte_rate=6000").to_string();
    assert!(beyond.contains("may be at most 5000"), "{beyond}");
    let shown = tool(&mut alice, "kafka-configs", "--describe --entity-type users").to_string();
    assert!(shown.contains(&format!("'{TENANT}-bob' are producer_byte_rate=4000.0")), "{shown}");
    log_is_calm(&node.gateway.log(), CALM);
}

#[test]
fn requests_are_shared_among_connections_whatever_they_call_themselves() {
    const PACE: u64 = 50;
    const CONNECTIONS: usize = 8;
    if !needs::met("requests_are_shared_among_connections_whatever_they_call_themselves", &[]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    declare(&node);
    quota(&node, "whole", &json!({ "requestsPerSecond": PACE }));
    let (ends, answered) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; CONNECTIONS]);
    let told = AtomicU64::new(0);
    let asks = |at: usize| {
        let user = format!("{TENANT}-{}", ["alice", "bob"][at % 2]);
        let mut socket = KafkaSocket::connect(&node.connection(&user)).unwrap();
        while !ends.load(Ordering::Relaxed) {
            let count = answered[at].fetch_add(1, Ordering::Relaxed);
            socket.call_client(&format!("{at}-{count}"));
            let answer = socket.ask(ApiKey::Metadata, 12, &json!({ "Topics": [] })).unwrap().value;
            let _ = told.fetch_max(answer["ThrottleTimeMs"].as_u64().unwrap(), Ordering::Relaxed);
        }
    };
    let counted = || answered.each_ref().map(|count| count.load(Ordering::Relaxed));
    let (took, each) = thread::scope(|scope| {
        let asks = &asks;
        (0..CONNECTIONS).for_each(|at| drop(scope.spawn(move || asks(at))));
        // What may be taken at once at the beginning is not measured.
        while counted().iter().sum::<u64>() < 3 * PACE {
            thread::sleep(Duration::from_millis(50));
        }
        let (before, begun) = (counted(), Instant::now());
        thread::sleep(MEASURED);
        let (after, took) = (counted(), begun.elapsed());
        ends.store(true, Ordering::Relaxed);
        (took, std::array::from_fn::<u64, CONNECTIONS, _>(|at| after[at] - before[at]))
    });
    let all: u64 = each.iter().sum();
    let allowed = u64::try_from(u128::from(PACE) * took.as_millis() / 1_000).unwrap();
    println!("{all} requests in {took:?}, {allowed} are allowed: {each:?}; the longest time told is {told:?} ms");
    assert!(all.abs_diff(allowed) <= allowed / 10, "{all} requests where {allowed} are allowed");
    let fair = all / each.len() as u64;
    assert!(each.iter().all(|count| count.abs_diff(fair) <= fair / 2), "one takes from another: {each:?}");
    assert!(told.into_inner() > 0, "clients are not told");
    log_is_calm(&node.gateway.log(), CALM);
}

#[test]
fn topics_are_counted_by_what_brokers_make_of_them() {
    if !needs::met("topics_are_counted_by_what_brokers_make_of_them", &[JAVA]) {
        return;
    }
    let own = [("KAFKA_NUM_PARTITIONS", "5"), ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "true")];
    let broker = Broker::start_with(1, &own.map(|(key, value)| (key, value.to_owned())));
    let node = started(&broker);
    declare(&node);
    let mut alice = client(&node, "alice");
    quota(&node, "whole", &json!({ "topics": 3, "partitions": 7 }));

    // Nobody says how many partitions: brokers give them five.
    assert_eq!(tool(&mut alice, "kafka-topics", "--create --topic first")["status"], 0);
    let refused = tool(&mut alice, "kafka-topics", "--create --topic second");
    assert!(refused.to_string().contains("5 partitions of at most 7, and these would be 5 more"), "{refused}");
    alice.refuses_to("produce", json!({ "topic": "by-itself", "records": records("x", 1) }));
    alice.does("create_topic", json!({ "topic": "second", "partitions": 2 }));
    assert_eq!(alice.does("list_topics", json!({}))["topics"], json!(["first", "second"]));

    // Nor does it matter how clients write the names.
    node.gateway.virtual_cluster(TENANT, &json!({ "namespace": { "mode": "enforce" } })).unwrap();
    let second = format!("{TENANT}.second");
    alice.fails("create_partitions", json!({ "topic": second, "partitions": 3 }), &["POLICY_VIOLATION"]);
    alice.fails("create_topic", json!({ "topic": format!("{TENANT}.third") }), &["POLICY_VIOLATION"]);
    quota(&node, "whole", &json!({ "topics": 3, "partitions": 8 }));
    alice.does("create_partitions", json!({ "topic": second, "partitions": 3 }));
    log_is_calm(&node.gateway.log(), CALM);
}

#[test]
fn one_connection_too_many_is_hung_up_on() {
    if !needs::met("one_connection_too_many_is_hung_up_on", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    declare(&node);
    let mut alice = client(&node, "alice");
    alice.does("create_topic", json!({ "topic": "orders" }));
    quota(&node, "bob", &json!({ "user": format!("{TENANT}-bob"), "connections": 0 }));
    client(&node, "bob").refuses_to("produce", json!({ "topic": "orders", "records": records("order-", 1) }));
    alice.does("produce", json!({ "topic": "orders", "records": records("order-", 1) }));
    assert!(counted(&node, "gateway_quota_refused_total") > 0);
    let log = node.gateway.log();
    let told = format!("user '{TENANT}-bob' has 0 connections of at most 0 (connections in its Quota)");
    assert!(log.contains(&told), "{log}");
}
