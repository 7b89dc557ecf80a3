//! A broker with two sandboxes on it, and clients that speak for one or the other.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use conformance::drivers::process::ProcessClient;
use conformance::drivers::socket::KafkaSocket;
use conformance::drivers::{Connection, Outcome};
use conformance::sandboxes::{self, Sandboxes};
use serde_json::{Value, json};

use super::broker::Broker;
use super::needs;

const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Fields are dropped in this order: sandboxes go down while their broker is still there.
pub(crate) struct Stand {
    sandboxes: Mutex<Sandboxes>,
    pub(crate) payments: Team,
    pub(crate) search: Team,
    pub(crate) broker: Broker,
}

pub(crate) struct Team {
    connection: Connection,
    /// What the team's names begin with on the broker.
    pub(crate) prefix: String,
}

impl Stand {
    /// One stand for all tests that run at the same time; it goes when the last of them is done.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stand>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let stand = Arc::new(Self::own());
            *shared = Arc::downgrade(&stand);
            stand
        })
    }

    /// A stand that nobody else uses.
    pub(crate) fn own() -> Self {
        let broker = Broker::start();
        let mut sandboxes = Sandboxes::isolated(needs::sandbox_program(), up_arguments(&broker)).unwrap();
        let mut team = |name: &str| {
            let found = sandboxes.up(name).unwrap().unwrap_or_else(|refusal| panic!("sandbox up {name}: {refusal}"));
            Team { connection: sandboxes::connection(&found), prefix: found["prefix"].as_str().unwrap().to_owned() }
        };
        let (payments, search) = (team("payments"), team("search"));
        assert_eq!(payments.connection.bootstrap, search.connection.bootstrap, "one gateway serves both");
        Self { sandboxes: Mutex::new(sandboxes), payments, search, broker }
    }

    /// Fails on a warning in the gateway's log that has no reason given in `expected`.
    pub(crate) fn log_is_calm(&self, expected: &[&str]) {
        let log = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).gateway_log().unwrap();
        log_is_calm(&fs::read_to_string(&log).expect("the gateway's log"), expected);
    }
}

pub(crate) fn up_arguments(broker: &Broker) -> Vec<String> {
    ["--local", "--provider", "existing", "--bootstrap", &broker.address].map(str::to_owned).to_vec()
}

pub(crate) fn log_is_calm(log: &str, expected: &[&str]) {
    let unexpected = unexpected(log, expected);
    assert!(unexpected.is_empty(), "the gateway's log has what nobody expected:\n{}", unexpected.join("\n"));
}

/// The warnings and errors that contain none of the expected texts.
fn unexpected<'a>(log: &'a str, expected: &[&str]) -> Vec<&'a str> {
    let loud = |line: &&str| ["WARN", "ERROR", "panicked"].iter().any(|word| line.contains(word));
    log.lines().filter(loud).filter(|line| !expected.iter().any(|known| line.contains(known))).collect()
}

impl Team {
    pub(crate) fn client(&self, name: &str) -> TeamClient {
        start(name, &self.connection)
    }

    /// A connection that speaks any API.
    pub(crate) fn socket(&self) -> KafkaSocket {
        KafkaSocket::connect(&self.connection).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same account with another way to prove who it is.
    pub(crate) fn client_over(&self, name: &str, mechanism: &str, password: Option<&str>) -> TeamClient {
        let own = &self.connection;
        let password = password.unwrap_or(&own.password).to_owned();
        start(name, &Connection { mechanism: mechanism.to_owned(), password, ..own.clone() })
    }
}

pub(crate) fn start(name: &str, connection: &Connection) -> TeamClient {
    let client = ProcessClient::start(&needs::fixtures(), name, connection);
    TeamClient { client: client.unwrap_or_else(|error| panic!("{error}")) }
}

pub(crate) struct TeamClient {
    client: ProcessClient,
}

impl TeamClient {
    pub(crate) fn can(&self, action: &str) -> bool {
        self.client.hello().capabilities.iter().any(|known| known == action)
    }

    fn outcome(&mut self, action: &str, with: &Value) -> Outcome {
        let with = with.as_object().expect("parameters are an object");
        self.client.step(action, with, STEP_LIMIT).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn does(&mut self, action: &str, with: Value) -> Value {
        self.outcome(action, &with).unwrap_or_else(|refusal| panic!("{action} {with}: {refusal}"))
    }

    /// The step is refused with one of these codes.
    pub(crate) fn fails(&mut self, action: &str, with: Value, codes: &[&str]) {
        match self.outcome(action, &with) {
            Err(refusal) => assert!(codes.contains(&refusal.code.as_str()), "{action} {with}: {refusal}"),
            Ok(result) => panic!("{action} {with} came to {result}, expected {codes:?}"),
        }
    }

    /// The step is refused, by whatever name the client has for that.
    pub(crate) fn refuses_to(&mut self, action: &str, with: Value) {
        if let Ok(result) = self.outcome(action, &with) {
            panic!("{action} {with} came to {result}");
        }
    }

    /// The values read, sorted.
    pub(crate) fn consumes(&mut self, topic: &str, group: &str, count: usize) -> Vec<String> {
        self.consumes_with(json!({ "topic": topic, "group": group, "count": count }))
    }

    pub(crate) fn consumes_with(&mut self, with: Value) -> Vec<String> {
        let result = self.does("consume", with);
        let records = result["records"].as_array().expect("records");
        let mut values: Vec<String> =
            records.iter().map(|record| record["value"].as_str().expect("a value").to_owned()).collect();
        values.sort();
        values
    }
}

/// `count` records `<name>00`, `<name>01`, … with keys.
pub(crate) fn records(name: &str, count: usize) -> Value {
    (0..count).map(|number| json!({ "key": format!("k{number}"), "value": format!("{name}{number:02}") })).collect()
}

pub(crate) fn values(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}{number:02}")).collect()
}

#[test]
fn a_loud_log_is_noticed() {
    let log = "INFO up\nWARN Kafka is gone\nERROR lost";
    assert_eq!(unexpected(log, &["Kafka is gone"]), ["ERROR lost"]);
}
