//! Producers and groups go on while gateways switch to another Kafka and back; what was acknowledged is on one of the two.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use conformance::drivers::Connection;
use conformance::gateways::{Gateway, free_ports};
use serde_json::{Value, json};

use super::broker::Broker;
use super::needs;
use super::stand::{self, TeamClient};

const PATIENCE: Duration = Duration::from_secs(180);
const PASSWORD: &str = "password-of-the-app";
const TOPIC: &str = "load";
/// Each producer gets this many records acknowledged between two events.
const STRETCH: usize = 150;
/// On the way back a group waits for its members of before to be timed out by the Kafka that they never said goodbye to.
const SESSION_TIMEOUT_MS: u32 = 10_000;
/// What gateways may well log while a Kafka is away, or when one of them was.
const EXPECTED: &[&str] = &[
    "Kafka is not reachable; trying again",
    "a physical cluster that could be switched to is not reachable",
    "a physical cluster does not answer",
    "cannot read the declarations",
    "cannot reach the topic",
    "other gateways",
    "_anabranch.nodes",
];

/// Two Kafkas and gateways in front of both.
struct Pair {
    gateways: Vec<Gateway>,
    ports: Vec<u16>,
    bootstrap: String,
    main: Broker,
    failover: Broker,
}

fn settings(main: &Broker, failover: &Broker, port: u16) -> Value {
    json!({
        "upstream": {
            "bootstrapServers": main.address,
            "clusters": { "failover": { "bootstrap.servers": failover.address, "gateway.roles": "failover" } },
        },
        "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": 10, "minBrokerId": 0 },
        "state": { "store": "topic" },
        "tokens": { "signingKey": "a key that all gateways of this test have in common" },
        "audit": { "sinks": [] },
    })
}

impl Pair {
    fn start(gateways: usize, second_id: i32) -> Self {
        let (main, failover) = thread::scope(|scope| {
            let other = scope.spawn(|| Broker::start_as(second_id));
            (Broker::start(), other.join().unwrap())
        });
        let ports: Vec<u16> = (0..gateways).map(|_| free_ports(10).unwrap()).collect();
        let program = needs::sandbox_program();
        let start = |port: &u16| Gateway::start(&program, &settings(&main, &failover, *port)).unwrap();
        let gateways: Vec<Gateway> = ports.iter().map(start).collect();
        gateways[0].virtual_cluster("shop", &json!({})).unwrap();
        gateways[0].account("shop", "app", &json!({ "type": "LOCAL", "password": PASSWORD })).unwrap();
        let bootstrap = ports.iter().map(|port| format!("127.0.0.1:{}", port + 1)).collect::<Vec<_>>().join(",");
        let pair = Self { gateways, ports, bootstrap, main, failover };
        // Copying topics is not the gateway's business: somebody has made them on both.
        for broker in [&pair.main, &pair.failover] {
            let mut client = stand::start("python", &Connection::plain(&broker.address));
            let _ = client.does("create_topic", json!({ "topic": format!("shop.{TOPIC}"), "partitions": 2 }));
        }
        for gateway in &pair.gateways {
            within("the account is known everywhere", || knows(gateway, "app"));
        }
        pair
    }

    fn connection(&self) -> Connection {
        Connection {
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: "app".to_owned(),
            password: PASSWORD.to_owned(),
            ..Connection::plain(&self.bootstrap)
        }
    }

    /// Switches by one gateway; returns the answer when all gateways have followed, and how long that took.
    fn switch(&self, by: usize, to: &str) -> (Value, Duration) {
        let began = Instant::now();
        let path = format!("/admin/pclusters/v1/pcluster/main/switch?to={to}");
        let answer = self.gateways[by].ask("POST", &path, &json!({})).unwrap();
        for gateway in &self.gateways {
            within("all gateways have switched", || active(gateway) == to);
        }
        (answer, began.elapsed())
    }

    /// Every value of the topic, with how often it is there on both Kafkas together.
    fn found(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (at, broker) in [&self.main, &self.failover].into_iter().enumerate() {
            let arguments =
                ["-b", &broker.address, "-C", "-t", &format!("shop.{TOPIC}"), "-o", "beginning", "-e", "-q"];
            let read = Command::new("kcat").args(arguments).output().unwrap();
            let read = String::from_utf8(read.stdout).unwrap();
            println!("{} of two: {} records", at + 1, read.lines().count());
            read.lines().for_each(|value| *found.entry(value.to_owned()).or_default() += 1);
        }
        found
    }
}

fn active(gateway: &Gateway) -> String {
    let all = gateway.ask("GET", "/admin/pclusters/v1/pcluster", &json!({})).unwrap();
    let all = all.as_array().unwrap();
    let serving: Vec<&Value> = all.iter().filter(|cluster| cluster["active"] == true).collect();
    assert_eq!(serving.len(), 1, "{all:?}");
    serving[0]["name"].as_str().unwrap().to_owned()
}

fn knows(gateway: &Gateway, account: &str) -> bool {
    let all = gateway.ask("GET", "/gateway/v2/service-account?vcluster=shop", &json!({})).unwrap();
    all.as_array().unwrap().iter().any(|known| known["metadata"]["name"] == account)
}

fn within(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Kafka's own verifiable producer: what the Java client got acknowledged.
struct JavaProducer {
    process: Child,
    acked: Arc<Mutex<Vec<String>>>,
    failed: Arc<Mutex<Vec<String>>>,
    file: std::path::PathBuf,
}

impl Drop for JavaProducer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

impl JavaProducer {
    fn start(pair: &Pair) -> Self {
        let jars = Command::new(needs::fixtures().join("kafka-jars")).output().unwrap();
        let jars = String::from_utf8(jars.stdout).unwrap();
        let file = std::env::temp_dir().join(format!("failover-{}-{}.properties", std::process::id(), pair.ports[0]));
        let login = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nenable.idempotence=true\nretries=2147483647\n\
             sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"app\" password=\"{PASSWORD}\";\n"
        );
        fs::write(&file, login).unwrap();
        let mut command = Command::new("java");
        let command = command.args(["-Xmx128m", "-XX:+UseSerialGC", "-cp", &format!("{}/*", jars.trim())]);
        let command =
            command.args(["org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", &pair.bootstrap]);
        let command = command
            .args(["--topic", TOPIC, "--throughput", "100", "--value-prefix", "7", "--command-config"])
            .arg(&file);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (acked, failed) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (good, bad) = (Arc::clone(&acked), Arc::clone(&failed));
        let lines = BufReader::new(process.stdout.take().unwrap());
        let _ = thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                let value = event["value"].as_str().unwrap_or_default().to_owned();
                match event["name"].as_str() {
                    Some("producer_send_success") => lock(&good).push(value),
                    Some("producer_send_error") => lock(&bad).push(event.to_string()),
                    _ => {}
                }
            }
        });
        Self { process, acked, failed, file }
    }

    fn acked(&self) -> usize {
        lock(&self.acked).len()
    }

    /// What was acknowledged, and what failed.
    fn stop(mut self) -> (Vec<String>, Vec<String>) {
        let pid = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        within("the Java producer ends", || self.process.try_wait().unwrap().is_some());
        (lock(&self.acked).clone(), lock(&self.failed).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A producer and a group member of each library, at work.
struct Clients {
    java: JavaProducer,
    /// Those that produce by themselves, with what is said of them and what they got acknowledged before they were started anew.
    loads: [(&'static str, TeamClient, Vec<String>); 2],
    java_group: TeamClient,
}

impl Clients {
    fn start(pair: &Pair) -> Self {
        let connection = pair.connection();
        let member = |group: &str| json!({ "member": "m", "group": format!("of-{group}"), "topic": TOPIC, "session_timeout_ms": SESSION_TIMEOUT_MS });
        let loads = [("librdkafka", "python"), ("franz-go", "go")].map(|(library, name)| {
            let mut client = stand::start(name, &connection);
            let _ = client.does("load_start", load(&format!("{name}-")));
            let _ = client.does("member_start", member(name));
            (library, client, Vec::new())
        });
        let mut java_group = stand::start("java-clients", &connection);
        let _ = java_group.does("member_start", member("java"));
        Self { java: JavaProducer::start(pair), loads, java_group }
    }

    /// How many records each producer got acknowledged, and how many each member read.
    fn progress(&mut self) -> BTreeMap<String, usize> {
        fn read(client: &mut TeamClient) -> usize {
            let state = client.does("member_state", json!({ "member": "m" }));
            assert!(state["error"].is_null(), "{}", state["error"]);
            state["values"].as_array().map_or(0, Vec::len)
        }
        let java =
            [("acked to java".to_owned(), self.java.acked()), ("read by java".to_owned(), read(&mut self.java_group))];
        let others = self.loads.iter_mut().flat_map(|(library, client, _)| {
            let acked = client.does("load_progress", json!({}))["acked"].as_u64().unwrap();
            [
                (format!("acked to {library}"), usize::try_from(acked).unwrap()),
                (format!("read by {library}"), read(client)),
            ]
        });
        java.into_iter().chain(others).collect()
    }

    /// An idempotent producer of librdkafka does not survive the way back to a cluster that it has written to: its sequence numbers
    /// have a gap there. It is ended before, and another one is started behind.
    fn around(&mut self, way_back: impl FnOnce()) {
        let (library, client, acked) = &mut self.loads[0];
        acked.append(&mut stopped(library, client));
        way_back();
        let _ = client.does("load_start", load("again-"));
    }

    /// All of them go on from here.
    fn go_on(&mut self, what: &str) {
        let began = Instant::now();
        let before = self.progress();
        let mut now = before.clone();
        let mut took: BTreeMap<String, Duration> = BTreeMap::new();
        while took.len() < before.len() {
            assert!(
                began.elapsed() < PATIENCE,
                "{what}: not all went on by {STRETCH} records within {PATIENCE:?}: {before:?}, then {now:?}"
            );
            thread::sleep(Duration::from_millis(200));
            now = self.progress();
            let done = now.iter().filter(|(of, now)| **now >= before[*of] + STRETCH).map(|(of, _)| of.clone());
            done.for_each(|of| _ = took.entry(of).or_insert_with(|| began.elapsed()));
        }
        println!("{what}: producers and members of three libraries went on by {STRETCH} records: {took:.1?}");
    }

    /// Ends them and counts; returns what is lost.
    fn count(self, pair: &Pair) -> Vec<String> {
        let mut producers: Vec<(&str, Vec<String>)> = Vec::new();
        for (library, mut client, mut acked) in self.loads {
            acked.append(&mut stopped(library, &mut client));
            producers.push((library, acked));
        }
        let (java, java_failed) = self.java.stop();
        assert!(
            java_failed.is_empty(),
            "the Java producer gave up on {} records, such as {}",
            java_failed.len(),
            java_failed[0]
        );
        producers.push(("java", java));
        let found = pair.found();
        let mut lost = Vec::new();
        for (name, acked) in producers {
            let missing: Vec<&String> = acked.iter().filter(|value| !found.contains_key(*value)).collect();
            let twice = acked.iter().filter(|value| found.get(*value).is_some_and(|times| *times > 1)).count();
            let acked = acked.len();
            println!("{name}: sent and acked {acked}, failed 0, lost {}, duplicated {twice}", missing.len());
            lost.extend(missing.into_iter().cloned());
        }
        lost
    }
}

fn load(name: &str) -> Value {
    json!({ "topic": TOPIC, "name": name, "per_second": 100 })
}

/// Ends a producer; returns what it got acknowledged, which is all.
fn stopped(library: &str, client: &mut TeamClient) -> Vec<String> {
    let stopped = client.does("load_stop", json!({}));
    assert_eq!(stopped["failed"], json!([]), "the {library} producer gave up on records");
    serde_json::from_value(stopped["values"].clone()).unwrap()
}

#[test]
fn gateways_switch_to_a_cluster_with_the_same_broker_ids_and_back_under_load() {
    let clients = ["python", "java-clients", "go", "kcat"];
    if !needs::met("gateways_switch_to_a_cluster_with_the_same_broker_ids_and_back_under_load", &clients) {
        return;
    }
    let mut pair = Pair::start(2, 1);
    let mut clients = Clients::start(&pair);
    clients.go_on("before the switch");
    let (answer, took) = pair.switch(0, "failover");
    println!("both gateways switched within {took:?}: {answer:#}");
    assert_eq!((&answer["result"], &answer["notTold"]), (&json!("SWITCHED"), &json!([])));
    assert!(answer["notReplicated"].as_array().unwrap().len() > 3);
    clients.go_on("at the failover cluster");
    stays_so(&mut pair);
    clients.around(|| println!("and back within {:?}", pair.switch(1, "main").1));
    clients.go_on("back at the main cluster");
    let lost = clients.count(&pair);
    assert_eq!(lost, [""; 0], "acknowledged and nowhere");
    for gateway in &pair.gateways {
        assert!(knows(gateway, "late"), "what was declared meanwhile holds after the way back");
        stand::log_is_calm(&gateway.log(), EXPECTED);
    }
    is_told(&pair);
}

/// Declarations go on at the other cluster, and a gateway that starts there finds out.
fn stays_so(pair: &mut Pair) {
    let late = json!({ "type": "LOCAL", "password": PASSWORD });
    pair.gateways[1].account("shop", "late", &late).unwrap();
    within("the other gateway knows what was declared", || knows(&pair.gateways[0], "late"));
    let started =
        Gateway::start(&needs::sandbox_program(), &settings(&pair.main, &pair.failover, free_ports(10).unwrap()));
    let mut started = started.unwrap();
    assert_eq!(active(&started), "failover");
    within("a new gateway knows it too", || knows(&started, "late"));
    let again = settings(&pair.main, &pair.failover, pair.ports[1]);
    pair.gateways[1].kill().unwrap();
    pair.gateways[1] = Gateway::start(&needs::sandbox_program(), &again).unwrap();
    assert_eq!(active(&pair.gateways[1]), "failover", "a gateway that comes back finds out, too");
    let resources = started.ask("GET", "/anabranch/v1/upstream-cluster/failover", &json!({})).unwrap();
    assert_eq!((&resources["spec"]["role"], &resources["status"]["active"]), (&json!("failover"), &json!(true)));
    // Clients may have been sent to it, and librdkafka comes back from an only broker that is gone after five minutes.
    started.terminate();
    within("the new gateway leaves", || started.ended().unwrap().is_some());
}

fn is_told(pair: &Pair) {
    let metrics = pair.gateways[0].metrics().unwrap();
    for line in [
        "gateway_upstream_active{cluster=\"main\"} 1",
        "gateway_upstream_active{cluster=\"failover\"} 0",
        "gateway_upstream_switch_epoch 2",
        "gateway_upstream_switches_total 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in the metrics");
    }
}

#[test]
fn a_cluster_with_other_broker_ids_takes_over_from_one_that_was_killed() {
    let clients = ["python", "java-clients", "go", "kcat"];
    if !needs::met("a_cluster_with_other_broker_ids_takes_over_from_one_that_was_killed", &clients) {
        return;
    }
    let pair = Pair::start(2, 7);
    let mut clients = Clients::start(&pair);
    clients.go_on("before the end of the main cluster");
    pair.main.kill();
    let (answer, took) = pair.switch(0, "failover");
    println!("both gateways switched within {took:?} of the request, the main cluster being dead");
    assert_eq!(answer["result"], "SWITCHED");
    assert_eq!(answer["notTold"][0]["cluster"], "main", "{answer:#}");
    clients.go_on("at a cluster with other broker ids");
    pair.main.start_again();
    let reachable = || {
        let main = pair.gateways[0].ask("GET", "/admin/pclusters/v1/pcluster/main", &json!({})).unwrap();
        main["reachable"] == true
    };
    within("the main cluster is seen again", reachable);
    assert_eq!(active(&pair.gateways[1]), "failover", "that it is back changes nothing");
    clients.around(|| println!("and back within {:?}", pair.switch(1, "main").1));
    clients.go_on("back at the main cluster");
    let metrics = pair.gateways.iter().map(|gateway| gateway.metrics().unwrap()).collect::<String>();
    metrics.lines().filter(|line| line.starts_with("gateway_upstream_")).for_each(|line| println!("{line}"));
    let lost = clients.count(&pair);
    assert_eq!(lost, [""; 0], "acknowledged and nowhere");
    pair.gateways.iter().for_each(|gateway| stand::log_is_calm(&gateway.log(), EXPECTED));
}
