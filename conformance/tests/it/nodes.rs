//! Several gateways as one cluster: who is sent where, and what becomes of records, transactions and groups when one of three
//! is killed, comes back, and when one is told to leave.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::gateways::{Gateway, free_ports};
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::needs;
use super::stand::{self, TeamClient, log_is_calm};
use super::trio::Trio;

const PATIENCE: Duration = Duration::from_secs(120);
const KEY: &str = "a key that all nodes have, of 32 bytes or more";
/// Each client produces and copies so many records between two disturbances.
const STRETCH: u64 = 800;
pub(crate) const PORTS: u16 = 4;
const PARTITIONS: u32 = 6;

/// A broker knows a topic a moment later than the one that was asked to make it, and two nodes that begin together both ask.
pub(crate) const TOPIC_IS_NEW: &[&str] = &["of topic '_anabranch.state' with error 3 (UnknownTopicOrPartition)"];

/// One of several gateways; it comes back at the same ports.
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    settings: Value,
    gateway: Option<Gateway>,
}

impl Node {
    pub(crate) fn new(name: &'static str, upstream: &str, more: &Value) -> Self {
        let port = free_ports(PORTS).unwrap();
        let mut settings = json!({
            "upstream": { "bootstrapServers": upstream },
            "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": PORTS, "minBrokerId": 1 },
            "nodes": { "clusterId": "three", "id": name },
            "state": { "store": "topic" },
            "tokens": { "signingKey": KEY },
            "audit": { "sinks": [] },
        });
        for (section, values) in more.as_object().unwrap() {
            let mut merged = settings[section].as_object().cloned().unwrap_or_default();
            merged.extend(values.as_object().unwrap().clone());
            settings[section] = merged.into();
        }
        Self { name, port, settings, gateway: None }
    }

    pub(crate) fn start(&mut self) -> &Gateway {
        let gateway =
            Gateway::start(&needs::sandbox_program(), &self.settings).unwrap_or_else(|error| panic!("{error}"));
        self.gateway.insert(gateway)
    }

    pub(crate) fn running(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("the node runs")
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn has(&self, port: u16) -> bool {
        (self.port..self.port + PORTS).contains(&port)
    }
}

pub(crate) fn within(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

/// The ports of all brokers, as an answer of Metadata tells them.
fn told(socket: &mut KafkaSocket) -> BTreeMap<i64, u16> {
    let answer = socket.ask(ApiKey::Metadata, 9, &json!({ "Topics": [] })).unwrap_or_else(|error| panic!("{error}"));
    let brokers = answer.value["Brokers"].as_array().expect("brokers").clone();
    let port = |broker: &Value| u16::try_from(broker["Port"].as_u64().unwrap()).unwrap();
    brokers.iter().map(|broker| (broker["NodeId"].as_i64().unwrap(), port(broker))).collect()
}

/// The names of the nodes that the brokers are told to be at.
fn owners(nodes: &[Node], told: &BTreeMap<i64, u16>) -> BTreeMap<i64, &'static str> {
    let name = |port: u16| nodes.iter().find(|node| node.has(port)).map_or("nobody", |node| node.name);
    told.iter().map(|(broker, port)| (*broker, name(*port))).collect()
}

struct Three {
    nodes: Vec<Node>,
    connection: Connection,
    _kafka: Trio,
}

impl Three {
    fn start() -> Self {
        let kafka = Trio::start();
        let mut nodes: Vec<Node> =
            ["node-a", "node-b", "node-c"].map(|name| Node::new(name, &kafka.addresses, &json!({}))).into();
        for node in &mut nodes {
            let _ = node.start();
        }
        let first = nodes[0].running();
        first.virtual_cluster("team", &json!({})).unwrap();
        first.account("team", "app", &json!({ "type": "LOCAL" })).unwrap();
        let password = first.token("team", "app", 3600).unwrap();
        let bootstrap = nodes.iter().map(Node::address).collect::<Vec<_>>().join(",");
        let connection = Connection {
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: "app".to_owned(),
            password,
            ..Connection::plain(&bootstrap)
        };
        let three = Self { nodes, connection, _kafka: kafka };
        for node in &three.nodes {
            within("all nodes know who may log in", || three.try_socket(node).is_some());
        }
        three
    }

    fn try_socket(&self, node: &Node) -> Option<KafkaSocket> {
        KafkaSocket::connect_to(&node.address(), &self.connection).ok()
    }

    fn socket(&self, node: usize) -> KafkaSocket {
        self.try_socket(&self.nodes[node]).expect("a connection to a node")
    }

    /// Waits until a node tells that these nodes have the brokers, and tells how long that took.
    fn shared_among(&self, asked: usize, names: &[&str]) -> Duration {
        let mut socket = self.socket(asked);
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        within(&format!("{} sends clients to {names:?}", self.nodes[asked].name), || {
            let owners = owners(&self.nodes, &told(&mut socket));
            owners.len() == 3 && owners.values().copied().collect::<BTreeSet<_>>() == wanted
        })
    }
}

/// A client with all it has under way.
struct Busy {
    name: &'static str,
    client: TeamClient,
}

impl Busy {
    fn start(name: &'static str, connection: &Connection) -> Self {
        let mut client = stand::start(name, connection);
        client.does("create_topic", json!({ "topic": format!("copy-{name}"), "partitions": PARTITIONS }));
        client.does("load_start", json!({ "topic": "orders", "name": format!("{name}-"), "per_second": 100 }));
        let copy = json!({
            "source": "orders", "target": format!("copy-{name}"), "group": format!("copies-{name}"),
            "transactional_id": format!("copy-{name}"),
        });
        client.does("pump_start", copy);
        for member in ["one", "two"] {
            client.does(
                "member_start",
                json!({ "member": member, "group": format!("readers-{name}"), "topic": "orders" }),
            );
        }
        Self { name, client }
    }

    /// How many records were acknowledged, and how many copied.
    fn progress(&mut self) -> (u64, u64) {
        let (load, pump) = (self.client.does("load_progress", json!({})), self.client.does("pump_progress", json!({})));
        (load["acked"].as_u64().unwrap(), pump["copied"].as_u64().unwrap())
    }

    /// What the client told its program, beyond connections that ended.
    fn errors(&mut self) -> Vec<String> {
        let told = ["load_progress", "pump_progress"].map(|step| self.client.does(step, json!({}))["errors"].take());
        told.iter().flat_map(|errors| errors.as_array().expect("errors").iter().map(ToString::to_string)).collect()
    }
}

fn goes_on(busy: &mut [Busy]) {
    let before: Vec<_> = busy.iter_mut().map(Busy::progress).collect();
    for (one, before) in busy.iter_mut().zip(before) {
        let began = Instant::now();
        loop {
            let (acked, copied) = one.progress();
            if acked >= before.0 + STRETCH && copied >= before.1 + STRETCH {
                break;
            }
            let (name, errors) = (one.name, one.errors());
            assert!(
                began.elapsed() < PATIENCE,
                "{name} has {acked} records acknowledged and {copied} copied, {before:?} {PATIENCE:?} ago; it was told {errors:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_killed_node_a_new_one_and_one_that_leaves_lose_nothing_and_double_nothing() {
    if !needs::met(
        "a_killed_node_a_new_one_and_one_that_leaves_lose_nothing_and_double_nothing",
        &["python", "java-clients", "go"],
    ) {
        return;
    }
    let mut three = Three::start();
    let all = ["node-a", "node-b", "node-c"];
    for asked in 0..3 {
        let _ = three.shared_among(asked, &all);
    }
    let mut admin = stand::start("python", &three.connection);
    admin.does("create_topic", json!({ "topic": "orders", "partitions": PARTITIONS }));
    let mut busy = ["python", "java-clients", "go"].map(|name| Busy::start(name, &three.connection));
    goes_on(&mut busy);

    three.nodes[1].running().kill().unwrap();
    let took = three.shared_among(0, &["node-a", "node-c"]);
    println!("kill -9: clients were sent to the other nodes after {took:?}");
    goes_on(&mut busy);
    for one in &mut busy {
        let errors = one.errors();
        println!("kill -9: {} was told {errors:?}", one.name);
    }

    let began = Instant::now();
    let _ = three.nodes[1].start();
    let ready = began.elapsed();
    let took = three.shared_among(0, &all);
    println!("join: the node was ready after {ready:?}, and {took:?} later clients were sent to it");
    goes_on(&mut busy);

    let errors = busy.each_mut().map(Busy::errors);
    three.nodes[2].running().terminate();
    let took = three.shared_among(0, &["node-a", "node-b"]);
    println!("SIGTERM: clients were sent to the other nodes after {took:?}");
    let gateway = three.nodes[2].running();
    let took = took + within("the node ends", || gateway.ended().unwrap().is_some());
    println!("SIGTERM: the node had ended after {took:?}");
    assert!(gateway.ended().unwrap().unwrap().success(), "{}", gateway.log());
    goes_on(&mut busy);
    assert_eq!(busy.each_mut().map(Busy::errors), errors, "nobody is told more than that a connection ended");

    let counted = busy.each_mut().map(|one| one.client.does("load_stop", json!({})));
    let mut sent = BTreeSet::new();
    for (one, load) in busy.iter().zip(counted) {
        assert_eq!(load["failed"], json!([]), "{} gave up on records", one.name);
        sent.extend(serde_json::from_value::<Vec<String>>(load["values"].clone()).unwrap());
    }
    verify(&mut admin, &mut busy, &sent);
    for node in &three.nodes {
        log_is_calm(&node.gateway.as_ref().expect("the node's last log").log(), TOPIC_IS_NEW);
    }
}

/// All that was acknowledged is there, once and in order, in the topic, in both copies, and members have read it.
fn verify(admin: &mut TeamClient, busy: &mut [Busy], sent: &BTreeSet<String>) {
    let count = u64::try_from(sent.len()).unwrap();
    found(admin, "orders", sent);
    for one in busy {
        within(&format!("{} has copied all", one.name), || one.progress().1 >= count);
        let stopped = one.client.does("pump_stop", json!({}));
        assert_eq!(stopped["copied"], count, "{} copied more than there was", one.name);
        found(admin, &format!("copy-{}", one.name), sent);
        let mut read = BTreeSet::new();
        within(&format!("members of {} have read all", one.name), || {
            for member in ["one", "two"] {
                let state = one.client.does("member_state", json!({ "member": member }));
                assert_eq!(state["error"], Value::Null, "{}", one.name);
                read.extend(serde_json::from_value::<Vec<String>>(state["values"].clone()).unwrap());
            }
            read.len() >= sent.len()
        });
        assert_eq!(&read, sent, "what members of {} have read", one.name);
    }
}

fn found(client: &mut TeamClient, topic: &str, sent: &BTreeSet<String>) {
    let limit =
        json!({ "topic": topic, "group": "check", "count": sent.len(), "timeout_ms": 60_000, "linger_ms": 2_000 });
    let result = client.does("consume", limit);
    let records = result["records"].as_array().expect("records");
    let mut last: BTreeMap<(i64, &str), u64> = BTreeMap::new();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let value = record["value"].as_str().unwrap();
        *times.entry(value).or_default() += 1;
        let (name, number) = value.rsplit_once('-').unwrap();
        let number: u64 = number.parse().unwrap();
        if let Some(before) = last.insert((record["partition"].as_i64().unwrap(), name), number) {
            assert!(before < number, "{topic}: {value} comes behind {name}-{before}");
        }
    }
    let lost = sent.iter().filter(|value| !times.contains_key(value.as_str())).count();
    let doubled = times.values().filter(|times| **times > 1).count();
    let unknown = times.keys().filter(|value| !sent.contains(**value)).count();
    println!(
        "{topic}: {} acknowledged, {} found, {lost} lost, {doubled} twice, {unknown} not acknowledged",
        sent.len(),
        records.len()
    );
    assert_eq!((lost, doubled, unknown), (0, 0, 0), "{topic}");
}
