//! What two gateways record in a topic of a real Kafka: the operator reads it with kcat and checks it, and nobody else sees it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::gateways::free_ports;
use contract::client::AdminClient;
use contract::resources::{GatewayServiceAccount, VirtualCluster};
use contract::secret::Secret;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;

const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "_anabranch.audit";
const KEY: &str = "a key that only the safe of the operator knows";
const PASSWORD: &str = "password-of-an-audited-client";

/// A gateway that records in the topic and in a file; it ends with the test.
struct Gateway {
    process: Child,
    folder: PathBuf,
    port: u16,
    admin: AdminClient,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    needs::sandbox_program().with_file_name("gateway")
}

impl Gateway {
    fn start(folder: &Path, node: &str, broker: &Broker) -> Self {
        let folder = folder.join(node);
        fs::create_dir_all(&folder).unwrap();
        let (port, admin) = (free_ports(1).unwrap(), free_ports(1).unwrap());
        let settings = format!(
            "upstream: {{ bootstrapServers: '{}' }}\n\
             clients: {{ securityProtocol: SASL_PLAINTEXT, portStart: {port}, portCount: 1, minBrokerId: 1 }}\n\
             admin: {{ port: {admin}, users: [{{ username: root, password: password-of-root }}] }}\n\
             audit: {{ sinks: [topic, file], node: {node}, chainKey: '{KEY}', topicPartitions: 3, sensitiveTopics: ['cards*'] }}\n",
            broker.address
        );
        fs::write(folder.join("gateway.yaml"), settings).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(program());
        let command = command.args(["run", "--config", "gateway.yaml"]).current_dir(&folder);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let admin = AdminClient::new(&format!("http://127.0.0.1:{admin}"), "root", "password-of-root");
        let gateway = Self { process, folder, port, admin };
        within("the gateway gets ready", || gateway.admin.ready().unwrap_or(false));
        gateway
    }

    fn declare(&self) {
        let mut tenant = VirtualCluster::new("shop");
        tenant.spec.acl_enabled = Some(true);
        tenant.spec.super_users = Some(vec!["owner".to_owned()]);
        let _ = self.admin.put_virtual_cluster(&tenant, false).unwrap();
        for name in ["owner", "guest"] {
            let account = GatewayServiceAccount::local(name, "shop", Some(Secret::new(PASSWORD)));
            let _ = self.admin.put_service_account(&account, false).unwrap();
        }
        let everything = GatewayServiceAccount::local("migrator", "passthrough", Some(Secret::new(PASSWORD)));
        let _ = self.admin.put_service_account(&everything, false).unwrap();
    }

    fn connection(&self, user: &str, password: &str) -> Connection {
        Connection {
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: user.to_owned(),
            password: password.to_owned(),
            ..Connection::plain(&format!("127.0.0.1:{}", self.port))
        }
    }

    fn socket(&self, user: &str) -> KafkaSocket {
        KafkaSocket::connect(&self.connection(user, PASSWORD)).unwrap_or_else(|error| panic!("{user}: {error}"))
    }

    fn file(&self) -> PathBuf {
        self.folder.join("audit.log")
    }
}

fn within(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The lines of the topic, as an operator reads them.
fn read(broker: &Broker) -> String {
    let arguments = ["-b", &broker.address, "-C", "-t", TOPIC, "-o", "beginning", "-e", "-q"];
    let done = Command::new("kcat").args(arguments).output().unwrap();
    String::from_utf8(done.stdout).unwrap()
}

fn verify(lines: &str, key_file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(program());
    let command = command.args(["audit", "verify", "--key-file"]).arg(key_file).args(more).arg("-");
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    running.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn events(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_happened_is_in_the_topic_and_a_change_of_it_shows() {
    if !needs::met("what_happened_is_in_the_topic_and_a_change_of_it_shows", &["kcat"]) {
        return;
    }
    assert!(program().exists(), "build it with 'cargo build -p gateway'");
    let folder = std::env::temp_dir().join(format!("audit-topic-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let key_file = folder.join("key");
    fs::write(&key_file, format!("{KEY}\n")).unwrap();
    let broker = Broker::start();
    let gateways = ["gw-1", "gw-2"].map(|node| Gateway::start(&folder, node, &broker));
    gateways.iter().for_each(Gateway::declare);
    let [one, other] = &gateways;
    happen(one, other);
    let recorded = || events(&read(&broker));
    within("the alert about the ACL", || recorded().iter().any(|event| event["eventData"]["rule"] == "acl-changed"));
    is_told(&recorded());
    stays_hidden(one);
    outage(&broker, other);
    let lines = read(&broker);
    let checked = verify(&lines, &key_file, &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));
    assert!(said(&checked).contains("nodes: gw-1, gw-2"), "{}", said(&checked));
    tampered(&lines, &key_file);
    as_a_shell_does(&gateways);
    println!("{}", said(&checked));
    drop(gateways);
    fs::remove_dir_all(&folder).unwrap();
}

/// A wrong password, a missing right, a right that is given, a sensitive topic that is used.
fn happen(one: &Gateway, other: &Gateway) {
    assert!(KafkaSocket::connect(&one.connection("guest", "wrong")).is_err());
    let topics = json!({ "Topics": [{ "Name": "cards", "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": [] }],
        "timeoutMs": 10_000, "validateOnly": false });
    let made = other.socket("owner").ask(ApiKey::CreateTopics, 5, &topics).unwrap();
    assert_eq!(made.value["Topics"][0]["ErrorCode"], 0, "{:?}", made.value);
    let fetch = json!({ "ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1000, "SessionEpoch": -1, "Topics": [
        { "Topic": "cards", "Partitions": [{ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000 }] },
    ] });
    let refused = one.socket("guest").ask(ApiKey::Fetch, 11, &fetch).unwrap();
    assert_eq!(refused.value["Responses"][0]["Partitions"][0]["ErrorCode"], 29, "{:?}", refused.value);
    let rule = json!({ "Creations": [{ "ResourceType": 2, "ResourceName": "cards", "ResourcePatternType": 3,
        "Principal": "User:guest", "Host": "*", "Operation": 3, "PermissionType": 3 }] });
    let given = one.socket("owner").ask(ApiKey::CreateAcls, 3, &rule).unwrap();
    assert_eq!(given.value["Results"][0]["ErrorCode"], 0, "{:?}", given.value);
    let allowed = one.socket("guest").ask(ApiKey::Fetch, 11, &fetch).unwrap();
    assert_ne!(allowed.value["Responses"][0]["Partitions"][0]["ErrorCode"], 29, "{:?}", allowed.value);
}

fn is_told(recorded: &[Value]) {
    let one = |what: &str, fits: &dyn Fn(&Value) -> bool| -> Value {
        recorded.iter().find(|event| fits(event)).unwrap_or_else(|| panic!("{what} is not told")).clone()
    };
    let failure = one("the wrong password", &|event| event["eventData"] == "FAILURE");
    assert_eq!((&failure["type"], &failure["authenticationPrincipal"]), (&json!("AUTHENTICATION"), &json!("guest")));
    assert!(failure["connection"]["remoteAddress"].as_str().unwrap().starts_with("/127.0.0.1:"));
    let denied = one("the missing right", &|event| event["type"] == "AUTHORIZATION");
    assert_eq!((&denied["userName"], &denied["virtualCluster"]), (&json!("guest"), &json!("shop")));
    assert_eq!(denied["eventData"]["api"], "Fetch");
    assert_eq!(denied["eventData"]["resource"], json!({ "type": "TOPIC", "name": "cards" }), "by its virtual name");
    let rule = one("the rule", &|event| event["type"] == "ACL");
    assert_eq!((&rule["userName"], &rule["eventData"]["change"]), (&json!("owner"), &json!("CREATED")));
    let used = one("the first use", &|event| event["eventData"]["rule"] == "sensitive-topic");
    assert_eq!(used["userName"], "guest");
    let made = one("the account", &|event| event["eventData"]["kind"] == "GatewayServiceAccount");
    assert_eq!(made["authenticationPrincipal"], "root");
    assert!(!recorded.iter().any(|event| event.to_string().contains(PASSWORD)));
}

/// Not even who sees all of Kafka sees it.
fn stays_hidden(gateway: &Gateway) {
    let mut migrator = gateway.socket("migrator");
    let all = migrator.ask(ApiKey::Metadata, 9, &json!({ "Topics": null, "AllowAutoTopicCreation": false })).unwrap();
    let names: Vec<_> = all.value["Topics"].as_array().unwrap().iter().map(|topic| topic["Name"].clone()).collect();
    assert!(names.contains(&json!("shop.cards")) && !names.contains(&json!(TOPIC)), "{names:?}");
    let one = json!({ "Topics": [{ "Name": TOPIC }], "AllowAutoTopicCreation": false });
    let found = migrator.ask(ApiKey::Metadata, 9, &one).unwrap();
    assert_ne!(found.value["Topics"][0]["ErrorCode"], 0, "{:?}", found.value);
}

/// What happens while Kafka is away is written when it is back.
fn outage(broker: &Broker, gateway: &Gateway) {
    broker.stopped(|| {
        let _ = gateway.admin.put_virtual_cluster(&VirtualCluster::new("meanwhile"), false).unwrap();
        let failed = || gateway.admin.metrics().unwrap().contains("gateway_audit_sink_failures_total{sink=\"topic\"}");
        within("the topic cannot be written", failed);
    });
    within("what happened meanwhile is there", || read(broker).contains("\"name\":\"meanwhile\""));
}

fn tampered(lines: &str, key_file: &Path) {
    let all: Vec<&str> = lines.lines().collect();
    let denied = all.iter().position(|line| line.contains("\"type\":\"AUTHORIZATION\"")).unwrap();
    let removed: Vec<&str> = all.iter().enumerate().filter(|(at, _)| *at != denied).map(|(_, line)| *line).collect();
    let found = verify(&removed.join("\n"), key_file, &[]);
    assert!(found.status.code() == Some(1) && said(&found).contains("lines were removed"), "{}", said(&found));
    let changed = lines.replacen("\"api\":\"Fetch\"", "\"api\":\"Fetcj\"", 1);
    let found = verify(&changed, key_file, &[]);
    let told = format!("BROKEN at line {}: it was changed", denied + 1);
    assert!(found.status.code() == Some(1) && said(&found).contains(&told), "{}", said(&found));
    let last = "0".repeat(64);
    assert_eq!(verify(lines, key_file, &["--last", &last]).status.code(), Some(1), "an end that is not there");
}

/// The documented way to compute a hash, with other programs than ours.
fn as_a_shell_does(gateways: &[Gateway]) {
    for gateway in gateways {
        let script = "sed -n 3p \"$0\" | sed 's/,\"hash\":\"[0-9a-f]*\"}}$/}}/' | tr -d '\\n' | openssl dgst -sha256 -hmac \"$1\" -r";
        let done = Command::new("sh").args(["-c", script]).arg(gateway.file()).arg(KEY).output().unwrap();
        let computed = String::from_utf8(done.stdout).unwrap();
        let lines = fs::read_to_string(gateway.file()).unwrap();
        let third: Value = serde_json::from_str(lines.lines().nth(2).unwrap()).unwrap();
        assert_eq!(computed.split(' ').next(), third["chain"]["hash"].as_str());
    }
}
