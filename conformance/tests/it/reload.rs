//! What is declared, and what is set, takes effect on open connections of every node, and nobody else's end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{fs, thread};

use conformance::drivers::Connection;
use conformance::drivers::socket::{KafkaSocket, SocketError};
use conformance::gateways::Gateway;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::nodes::{Node, TOPIC_IS_NEW};
use super::openid::Provider;
use super::stand::log_is_calm;

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "password-of-everybody";
/// Medians want more of them than what has to be shown.
const ROUNDS: &str = "RELOAD_ROUNDS";
const ALLOWED: i64 = 0;
const UNKNOWN_TOPIC: i64 = 3;
const TOPIC_AUTHORIZATION_FAILED: i64 = 29;
const POLICY_VIOLATION: i64 = 44;

/// Two nodes on one Kafka, and how long changes took to have an effect at each.
struct Two {
    nodes: [Node; 2],
    took: BTreeMap<(&'static str, usize), Vec<Duration>>,
    broker: Broker,
}

impl Two {
    fn start() -> Self {
        let broker = Broker::start();
        let mut nodes = ["first", "second"].map(|name| Node::new(name, &broker.address, &json!({})));
        for node in &mut nodes {
            let _ = node.start();
        }
        let two = Self { nodes, took: BTreeMap::new(), broker };
        two.create("shop.orders");
        two.create("reference");
        two
    }

    /// A topic of the physical cluster.
    fn create(&self, name: &str) {
        let mut kafka = KafkaSocket::connect(&Connection::plain(&self.broker.address)).unwrap();
        let answer = kafka.ask(ApiKey::CreateTopics, 5, &creation(name, false)).unwrap().value;
        assert_eq!(answer["Topics"][0]["ErrorCode"], 0, "{answer}");
    }

    fn first(&mut self) -> &Gateway {
        self.nodes[0].running()
    }

    fn put(&mut self, path: &str, kind: &str, name: &str, spec: Value) {
        let api = if path.starts_with("/gateway") { "gateway/v2" } else { "anabranch/v1" };
        let mut metadata = json!({ "name": name });
        if ["AliasTopic", "Quota"].contains(&kind) {
            metadata["vCluster"] = "shop".into();
        }
        let body = json!({ "kind": kind, "apiVersion": api, "metadata": metadata, "spec": spec });
        self.first().ask("PUT", path, &body).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A connection of an account to each node.
    fn connect(&self, name: &str) -> [KafkaSocket; 2] {
        [0, 1].map(|node| {
            let connection = Connection {
                security_protocol: "SASL_PLAINTEXT".to_owned(),
                mechanism: "PLAIN".to_owned(),
                username: name.to_owned(),
                password: PASSWORD.to_owned(),
                ..Connection::plain(&self.nodes[node].address())
            };
            KafkaSocket::connect(&connection).unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// Makes a change at the first node, and waits until it is seen at both.
    fn change(
        &mut self,
        what: &'static str,
        change: impl FnOnce(&mut Self),
        mut seen: impl FnMut(&mut Self, usize) -> bool,
    ) {
        let began = Instant::now();
        change(self);
        let mut waiting = vec![0, 1];
        while !waiting.is_empty() {
            assert!(began.elapsed() < PATIENCE, "{what}: no effect at {waiting:?} within {PATIENCE:?}");
            for node in std::mem::take(&mut waiting) {
                if seen(self, node) {
                    self.took.entry((what, node)).or_default().push(began.elapsed());
                } else {
                    waiting.push(node);
                }
            }
        }
    }

    fn print(&mut self) {
        for ((what, node), took) in &mut self.took {
            took.sort();
            let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
            println!(
                "{what}, at the {} node: median {median:?}, longest {most:?} of {}",
                self.nodes[*node].name,
                took.len()
            );
        }
    }
}

fn creation(name: &str, only_validate: bool) -> Value {
    let topic = json!({ "Name": name, "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": [] });
    json!({ "Topics": [topic], "timeoutMs": 10_000, "validateOnly": only_validate })
}

/// What a client is told of a topic.
fn told(socket: &mut KafkaSocket, topic: &str) -> i64 {
    let body = json!({ "Topics": [{ "Name": topic }], "AllowAutoTopicCreation": false });
    let answer = socket.ask(ApiKey::Metadata, 8, &body).unwrap_or_else(|error| panic!("{error}")).value;
    answer["Topics"][0]["ErrorCode"].as_i64().unwrap_or(-1)
}

/// Whether the gateway has hung up, without being asked anything.
fn is_closed(socket: &mut KafkaSocket) -> bool {
    socket.set_patience(Duration::from_millis(5)).unwrap();
    match socket.receive_raw() {
        Err(SocketError::Io(error)) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock),
        other => panic!("an answer to nothing: {other:?}"),
    }
}

fn rule(operation: &str) -> Value {
    json!({ "resourcePattern": { "resourceType": "TOPIC", "name": "orders", "patternType": "LITERAL" },
            "principal": "User:shop-app", "host": "*", "operation": operation, "permissionType": "ALLOW" })
}

const CLUSTERS: &str = "/gateway/v2/virtual-cluster";
const ACCOUNTS: &str = "/gateway/v2/service-account";

#[test]
fn open_connections_keep_to_what_is_declared_now() {
    if !needs::met("open_connections_keep_to_what_is_declared_now", &[]) {
        return;
    }
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let provider = Provider::start();
    let mut two = Two::start();
    let local = json!({ "type": "LOCAL", "password": PASSWORD });
    for (tenant, account) in [("shop", "shop-app"), ("shop", "shop-other"), ("bank", "bank-app")] {
        two.first().virtual_cluster(tenant, &json!({})).unwrap();
        two.first().account(tenant, account, &local).unwrap();
    }
    two.change("settling", |_| (), |two, node| knows(two, node, "bank-app"));
    // Those whom no change concerns.
    let (mut same_tenant, mut other_tenant) = (two.connect("shop-other"), two.connect("bank-app"));
    for _ in 0..rounds {
        rights_and_names(&mut two);
        sessions(&mut two, &local);
        identity_provider(&mut two, &provider);
        for socket in same_tenant.iter_mut().chain(&mut other_tenant) {
            assert!(!is_closed(socket), "a connection that no change concerned was closed");
            socket.set_patience(PATIENCE).unwrap();
            assert_eq!(told(socket, "nowhere"), UNKNOWN_TOPIC);
        }
    }
    two.print();
    // On a slow machine many logins fail before the account is changed everywhere, which is an alert.
    let expected = [TOPIC_IS_NEW, &["cannot be fetched", "rule=\"authentication-failures\""]].concat();
    two.nodes.iter_mut().for_each(|node| log_is_calm(&node.running().log(), &expected));
}

/// Whether a node knows an account: to be asked before a login, because failed ones wait.
fn knows(two: &mut Two, node: usize, account: &str) -> bool {
    two.nodes[node].running().ask("GET", ACCOUNTS, &json!({})).unwrap().to_string().contains(account)
}

/// Each kind of declaration that changes what a client may and sees.
fn rights_and_names(two: &mut Two) {
    let mut app = two.connect("shop-app");
    // What one node has taken is what the next one answers, as behind a balancer.
    for round in 0..10 {
        two.put("/gateway/v2/group", "GatewayGroup", "people", json!({ "externalGroups": [format!("round{round}")] }));
        let shown = two.nodes[1].running().ask("GET", "/gateway/v2/group/people", &json!({})).unwrap();
        assert_eq!(shown["spec"]["externalGroups"][0], format!("round{round}"), "{shown}");
    }
    delete(two, "/gateway/v2/group/people", json!({}));
    let mut cluster = |two: &mut Two, what, spec: Value, topic: &str, expected| {
        let put = |two: &mut Two| two.first().virtual_cluster("shop", &spec).unwrap();
        two.change(what, put, |_, node| told(&mut app[node], topic) == expected);
    };
    let closed = |supers: &[&str], acls: &[Value]| {
        let supers = supers.iter().copied().chain(["shop-other"]).collect::<Vec<_>>();
        json!({ "aclEnabled": true, "aclMode": "REST_API", "superUsers": supers, "acls": acls })
    };
    cluster(two, "access control switched on", closed(&[], &[]), "orders", TOPIC_AUTHORIZATION_FAILED);
    cluster(two, "super user added", closed(&["shop-app"], &[]), "orders", ALLOWED);
    cluster(two, "super user removed", closed(&[], &[]), "orders", TOPIC_AUTHORIZATION_FAILED);
    cluster(two, "ACL added", closed(&[], &[rule("READ")]), "orders", ALLOWED);
    cluster(two, "ACL removed", closed(&[], &[]), "orders", TOPIC_AUTHORIZATION_FAILED);
    cluster(two, "access control switched off", json!({}), "orders", ALLOWED);
    let namespace = |namespace: Value| json!({ "namespace": namespace });
    cluster(two, "mode enforce", namespace(json!({ "mode": "enforce" })), "shop.orders", ALLOWED);
    cluster(two, "mode hide", json!({}), "shop.orders", UNKNOWN_TOPIC);
    let exposed = json!({ "expose": [{ "topic": "reference" }] });
    cluster(two, "expose added", namespace(exposed), "reference", ALLOWED);
    cluster(two, "expose removed", json!({}), "reference", UNKNOWN_TOPIC);

    let alias = |two: &mut Two| {
        two.put("/gateway/v2/alias-topic", "AliasTopic", "countries", json!({ "physicalName": "reference" }));
    };
    two.change("alias added", alias, |_, node| told(&mut app[node], "countries") == ALLOWED);
    let no_alias =
        |two: &mut Two| delete(two, "/gateway/v2/alias-topic", json!({ "name": "countries", "vCluster": "shop" }));
    two.change("alias removed", no_alias, |_, node| told(&mut app[node], "countries") == UNKNOWN_TOPIC);

    let mut may_create = |node: usize, expected: i64| {
        let answer = app[node].ask(ApiKey::CreateTopics, 5, &creation("more", true)).unwrap().value;
        answer["Topics"][0]["ErrorCode"] == expected
    };
    let quota = |two: &mut Two| two.put("/anabranch/v1/quota", "Quota", "few", json!({ "topics": 1 }));
    two.change("quota added", quota, |_, node| may_create(node, POLICY_VIOLATION));
    let no_quota = |two: &mut Two| delete(two, "/anabranch/v1/quota", json!({ "name": "few", "vCluster": "shop" }));
    two.change("quota removed", no_quota, |_, node| may_create(node, ALLOWED));
    let group = |two: &mut Two| {
        let members = json!({ "members": [{ "name": "shop-app", "vCluster": "shop" }] });
        two.put("/gateway/v2/group", "GatewayGroup", "people", members);
    };
    let shown =
        |two: &mut Two, node: usize| two.nodes[node].running().ask("GET", "/gateway/v2/group/people", &json!({}));
    two.change("group added", group, |two, node| shown(two, node).is_ok());
    let no_group = |two: &mut Two| delete(two, "/gateway/v2/group/people", json!({}));
    two.change("group removed", no_group, |two, node| shown(two, node).is_err());
    assert!(app.iter_mut().all(|socket| !is_closed(socket)), "a session ended where only its rights changed");
}

fn delete(two: &mut Two, path: &str, body: Value) {
    two.first().ask("DELETE", path, &body).unwrap_or_else(|error| panic!("{error}"));
}

/// A session ends when its account does, also when it is idle.
fn sessions(two: &mut Two, local: &Value) {
    let account =
        |name: &'static str, spec: Value| move |two: &mut Two| two.first().account("shop", name, &spec).unwrap();
    two.change("account added", account("guest", local.clone()), |two, node| knows(two, node, "guest"));
    let mut guest = two.connect("guest");
    let other = json!({ "type": "LOCAL", "password": "another-password-of-a-guest" });
    two.change("password changed", account("guest", other), |_, node| is_closed(&mut guest[node]));
    two.first().account("shop", "guest", local).unwrap();
    thread::sleep(Duration::from_millis(500));
    let mut guest = two.connect("guest");
    let gone = |two: &mut Two| delete(two, ACCOUNTS, json!({ "name": "guest", "vCluster": "shop" }));
    two.change("account deleted", gone, |_, node| is_closed(&mut guest[node]));
}

/// Whoever an identity provider vouches for comes in once it is declared, and no longer than it is.
fn identity_provider(two: &mut Two, provider: &Provider) {
    let account = json!({ "type": "EXTERNAL", "externalNames": ["orders-app"] });
    two.first().account("shop", "token-app", &account).unwrap();
    let spec =
        json!({ "jwksUrl": format!("{}/jwks", provider.issuer), "issuer": provider.issuer, "audiences": ["kafka"] });
    let token = provider.token("orders-app", "kafka");
    let mut sockets = [None, None];
    let declare = |two: &mut Two| two.put("/anabranch/v1/identity-provider", "IdentityProvider", "sso", spec);
    two.change("identity provider added", declare, |two, node| {
        sockets[node] = super::oauth::log_in(&two.nodes[node].address(), &token).ok();
        sockets[node].is_some()
    });
    let mut sockets = sockets.map(Option::unwrap);
    let gone = |two: &mut Two| delete(two, "/anabranch/v1/identity-provider/sso", json!({}));
    two.change("identity provider removed", gone, |_, node| is_closed(&mut sockets[node]));
    delete(two, ACCOUNTS, json!({ "name": "token-app", "vCluster": "shop" }));
}

/// A changed file of settings holds as far as it can, and says what it cannot; a broken one changes nothing.
#[test]
fn changed_settings_hold_or_are_named() {
    if !needs::met("changed_settings_hold_or_are_named", &[]) {
        return;
    }
    let broker = Broker::start();
    let mut node = Node::new("alone", &broker.address, &json!({}));
    let gateway = node.start();
    let file = gateway.folder().join("gateway.yaml");
    let before: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    gateway.virtual_cluster("shop", &json!({})).unwrap();
    gateway.account("shop", "shop-app", &json!({ "type": "LOCAL", "password": PASSWORD })).unwrap();
    let says = |text: &str| {
        let began = Instant::now();
        while !gateway.ask("GET", "/health", &json!({})).unwrap().to_string().contains(text) {
            assert!(began.elapsed() < PATIENCE, "/health does not say '{text}'; the log:\n{}", gateway.log());
            thread::sleep(Duration::from_millis(20));
        }
    };
    let status = |user: &str, password: &str| {
        let login = conformance::drivers::http::basic(user, password);
        let asked = conformance::drivers::http::ask(gateway.admin(), "GET", CLUSTERS, Some(&login), "");
        asked.unwrap().status
    };
    let mut changed = before.clone();
    let users = changed["admin"]["users"].as_array_mut().unwrap();
    users.push(json!({ "username": "second", "password": "of-the-second-user" }));
    changed["clients"]["maxConnections"] = 3.into();
    changed["log"] = json!({ "level": "debug" });
    changed["nodes"]["clusterId"] = "another".into();
    assert_eq!(status("second", "of-the-second-user"), 401);
    fs::write(&file, changed.to_string()).unwrap();
    says("hold only after a restart: nodes.clusterId");
    assert_eq!(status("second", "of-the-second-user"), 200);
    let log = gateway.log();
    assert!(log.contains("from now on: clients.maxConnections, log.level, admin.users"), "{log}");

    fs::write(&file, "upstream: { bootstrapServerz: here:1 }").unwrap();
    says("did you mean 'bootstrapServers'?");
    assert_eq!(status("second", "of-the-second-user"), 200);

    fs::write(&file, before.to_string()).unwrap();
    gateway.hang_up();
    let began = Instant::now();
    while status("second", "of-the-second-user") != 401 {
        assert!(began.elapsed() < PATIENCE, "a removed user stays");
    }
    let health = gateway.ask("GET", "/health", &json!({})).unwrap().to_string();
    assert!(!health.contains("settings"), "{health}");
    log_is_calm(&gateway.log(), &[TOPIC_IS_NEW, &["hold only after a restart", "cannot be used"]].concat());
}
