//! What a gateway over a real Kafka tells about itself: metrics, live events, a snapshot, traces, its log; and to whom.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conformance::drivers::socket::KafkaSocket;
use conformance::drivers::{Connection, http};
use conformance::gateways::free_ports;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "password-of-an-observed-client";
const TOPIC: &str = "cards-of-customers";

/// A gateway that tells everything; it ends with the test.
struct Gateway {
    process: Child,
    folder: PathBuf,
    port: u16,
    admin: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn within(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Gateway {
    fn start(broker: &Broker, collector: &str) -> Self {
        let (port, admin) = (free_ports(1).unwrap(), free_ports(1).unwrap());
        let folder = std::env::temp_dir().join(format!("observe-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let tenant = |name: &str| json!({ "username": name, "password": PASSWORD, "role": "tenant", "vCluster": name });
        let settings = json!({
            "upstream": { "bootstrapServers": broker.address },
            "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": 1, "minBrokerId": 1 },
            "admin": { "port": admin, "users": [{ "username": "root", "password": PASSWORD }, tenant("shop"), tenant("bank")] },
            "state": { "store": "topic" },
            "log": { "format": "json" },
            "tracing": { "endpoint": collector, "sampleRatio": 1 },
        });
        fs::write(folder.join("gateway.yaml"), settings.to_string()).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(needs::sandbox_program().with_file_name("gateway"));
        let command = command.args(["run", "--config", "gateway.yaml"]).current_dir(&folder);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let gateway = Self { process, folder, port, admin: format!("127.0.0.1:{admin}") };
        let ready =
            || http::ask(&gateway.admin, "GET", "/health/ready", None, "").is_ok_and(|answer| answer.status == 200);
        within("the gateway gets ready", ready);
        gateway
    }

    fn ask(&self, user: &str, method: &str, path: &str, body: &Value) -> http::Answer {
        http::ask(&self.admin, method, path, Some(&http::basic(user, PASSWORD)), &body.to_string()).unwrap()
    }

    fn put(&self, path: &str, kind: &str, metadata: &Value, spec: &Value) {
        let body = json!({ "kind": kind, "apiVersion": "gateway/v2", "metadata": metadata, "spec": spec });
        let answer = self.ask("root", "PUT", path, &body);
        assert_eq!(answer.status, 200, "{}", answer.body());
    }

    fn declare(&self) {
        for (tenant, spec) in [("shop", json!({ "aclEnabled": true, "superUsers": ["owner"] })), ("bank", json!({}))] {
            self.put("/gateway/v2/virtual-cluster", "VirtualCluster", &json!({ "name": tenant }), &spec);
        }
        for (name, tenant) in [("owner", "shop"), ("guest", "shop"), ("teller", "bank")] {
            let spec = json!({ "type": "LOCAL", "password": PASSWORD });
            let metadata = json!({ "name": name, "vCluster": tenant });
            self.put("/gateway/v2/service-account", "GatewayServiceAccount", &metadata, &spec);
        }
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.ask("root", "GET", "/metrics", &Value::Null).bytes).unwrap()
    }

    fn snapshot(&self, user: &str) -> Value {
        self.ask(user, "GET", "/anabranch/v1/snapshot", &Value::Null).body()
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

    /// The events that a user of the admin API is told, as they come.
    fn events(&self, user: &str) -> Arc<Mutex<Vec<Value>>> {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        let login = http::basic(user, PASSWORD);
        let request = format!("GET /anabranch/v1/events HTTP/1.1\r\nhost: gateway\r\nauthorization: {login}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next().unwrap().unwrap();
        assert!(status.contains(" 200 "), "{status}");
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let told = Arc::clone(&events);
        drop(std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(data) = line.strip_prefix("data: ") {
                    told.lock().unwrap().push(serde_json::from_str(data).unwrap());
                }
            }
        }));
        events
    }
}

/// A collector of traces: its address, and every byte that it was sent.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let bodies = Arc::<Mutex<Vec<u8>>>::default();
    let got = Arc::clone(&bodies);
    drop(std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let mut client = BufReader::new(client);
            let (mut line, mut length) = (String::new(), 0);
            while client.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = said.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    let mut body = vec![0; length];
                    client.read_exact(&mut body).unwrap();
                    got.lock().unwrap().extend(body);
                    client.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
                line.clear();
            }
        }
    }));
    (address, bodies)
}

fn has(events: &Mutex<Vec<Value>>, fits: impl Fn(&Value) -> bool) -> bool {
    events.lock().unwrap().iter().any(fits)
}

#[test]
fn what_a_gateway_does_is_told_to_whom_it_concerns() {
    if !needs::met("what_a_gateway_does_is_told_to_whom_it_concerns", &[]) {
        return;
    }
    let broker = Broker::start();
    let (address, traces) = collector();
    let mut gateway = Gateway::start(&broker, &address);
    gateway.declare();
    let [root, shop, bank] = ["root", "shop", "bank"].map(|user| gateway.events(user));
    let owner = happen(&gateway);
    let denied = |event: &Value| event["kind"] == "denial" && event["data"]["type"] == "AUTHORIZATION";
    let busy = |event: &Value| event["kind"] == "traffic" && event["data"]["virtualCluster"] == "shop";
    let opened = |event: &Value| event["kind"] == "connection" && event["data"]["user"] == "owner";
    let guessed = |event: &Value| event["kind"] == "denial" && event["data"]["type"] == "AUTHENTICATION";
    for (who, events) in [("root", &root), ("shop", &shop)] {
        within(who, || has(events, denied) && has(events, busy) && has(events, opened));
    }
    within("the wrong password", || has(&root, guessed));
    assert!(!has(&shop, guessed), "whose it was nobody knows");
    assert!(!has(&bank, |event| event["data"].to_string().contains("shop")), "{:?}", bank.lock().unwrap());
    for events in [&root, &shop, &bank] {
        let told: Vec<_> = events.lock().unwrap().iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
        assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>(), "none of the others' counts");
    }
    counted(&gateway);
    shown(&gateway);
    traced(&traces);
    drop(owner);
    forgotten(&gateway);
    // Readers of events do not keep it from ending.
    let process = Pid::from_raw(i32::try_from(gateway.process.id()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
    within("the gateway ends", || gateway.process.try_wait().unwrap().is_some());
    logged(&gateway.folder);
    fs::remove_dir_all(&gateway.folder).unwrap();
}

/// A wrong password, a topic that is made, a missing right. The owner stays connected.
fn happen(gateway: &Gateway) -> KafkaSocket {
    assert!(KafkaSocket::connect(&gateway.connection("guest", "wrong")).is_err());
    let mut owner = gateway.socket("owner");
    let topic = json!({ "Name": TOPIC, "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": [] });
    let topics = json!({ "Topics": [topic], "timeoutMs": 10_000, "validateOnly": false });
    let made = owner.ask(ApiKey::CreateTopics, 5, &topics).unwrap();
    assert_eq!(made.value["Topics"][0]["ErrorCode"], 0, "{:?}", made.value);
    let fetch = json!({ "ReplicaId": -1, "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1000, "SessionEpoch": -1, "Topics": [
        { "Topic": TOPIC, "Partitions": [{ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000 }] },
    ] });
    let refused = gateway.socket("guest").ask(ApiKey::Fetch, 11, &fetch).unwrap();
    assert_eq!(refused.value["Responses"][0]["Partitions"][0]["ErrorCode"], 29, "{:?}", refused.value);
    let mut teller = gateway.socket("teller");
    let _ = teller.ask(ApiKey::Metadata, 9, &json!({ "Topics": null, "AllowAutoTopicCreation": false })).unwrap();
    // What is told of traffic is told by the second: there must be some in the next one, too.
    std::thread::sleep(Duration::from_millis(1500));
    let _ = owner.ask(ApiKey::Metadata, 9, &json!({ "Topics": null, "AllowAutoTopicCreation": false })).unwrap();
    owner
}

fn counted(gateway: &Gateway) {
    let text = gateway.metrics();
    for line in [
        r#"gateway_requests_total{virtual_cluster="shop",api="CreateTopics"} 1"#,
        r#"gateway_request_errors_total{virtual_cluster="shop",api="Fetch",class="authorization"} 1"#,
        r#"gateway_authorization_denials_total{virtual_cluster="shop",resource_type="TOPIC"} 1"#,
        r#"gateway_virtual_cluster_connections_open{virtual_cluster="shop"} 1"#,
        r#"gateway_upstream_connections_open{broker="1"} 1"#,
        r#"gateway_request_duration_seconds_count{api="CreateTopics",part="gateway"} 1"#,
        r#"gateway_request_duration_seconds_count{api="CreateTopics",part="upstream"} 1"#,
        "gateway_virtual_clusters 3",
        "gateway_isolation_violations_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse().unwrap()
    };
    assert!(number("gateway_state_next_offset") > 0 && number("gateway_state_read_timestamp_seconds") > 0);
    assert!(number("process_resident_memory_bytes") > 0 && number("gateway_world_revision") > 1);
    assert!(!text.contains(TOPIC), "no label has the name of a topic");
}

fn shown(gateway: &Gateway) {
    let all = gateway.snapshot("root");
    let names = |snapshot: &Value| -> Vec<Value> {
        snapshot["virtualClusters"].as_array().unwrap().iter().map(|one| one["virtualCluster"].clone()).collect()
    };
    assert!(names(&all).contains(&json!("shop")) && names(&all).contains(&json!("bank")), "{all}");
    assert_eq!(all["gateway"]["brokers"][0]["broker"], "1", "{all}");
    let own = gateway.snapshot("shop");
    assert_eq!((names(&own), &own["gateway"]), (vec![json!("shop")], &Value::Null), "{own}");
    assert_eq!(gateway.ask("shop", "GET", "/metrics", &Value::Null).status, 403, "of all virtual clusters");
    let misspelt = gateway.ask("shop", "GET", "/anabranch/v1/events?kinds=trafic", &Value::Null);
    assert_eq!(misspelt.status, 400, "{}", misspelt.body());
}

fn traced(bodies: &Mutex<Vec<u8>>) {
    let holds = |what: &str| bodies.lock().unwrap().windows(what.len()).any(|part| part == what.as_bytes());
    within("the requests are traced", || holds("CreateTopics") && holds("upstream") && holds("shop"));
    for secret in [TOPIC, PASSWORD, "owner", "guest"] {
        assert!(!holds(secret), "{secret} is in a trace");
    }
}

fn forgotten(gateway: &Gateway) {
    for name in ["owner", "guest"] {
        let account = json!({ "name": name, "vCluster": "shop" });
        let gone = gateway.ask("root", "DELETE", "/gateway/v2/service-account", &account);
        assert_eq!(gone.status, 204, "{}", gone.body());
    }
    let gone = gateway.ask("root", "DELETE", "/gateway/v2/virtual-cluster/shop", &Value::Null);
    assert_eq!(gone.status, 204, "{}", gone.body());
    within("what is deleted has no series", || !gateway.metrics().contains("virtual_cluster=\"shop\""));
}

fn logged(folder: &Path) {
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
        let calm = line["level"] == "INFO" || line["message"].as_str().unwrap().starts_with("audit.sinks is not set");
        assert!(calm, "{line}");
    }
    assert!(!log.contains(PASSWORD));
}
