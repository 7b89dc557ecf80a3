//! The admin API as its own OpenAPI document describes it: every operation, with what is valid and what is not, against a
//! gateway that keeps its state in a real Kafka.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use conformance::gateways::free_ports;
use contract::client::AdminClient;

use super::broker::Broker;
use super::{needs, stand};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of the generated cases: the same ones in each run.
const SEED: &str = "20261121";

/// A gateway of its own; it ends with the test.
struct Gateway {
    process: Child,
    folder: PathBuf,
    address: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Gateway {
    fn start(broker: &Broker) -> Self {
        let folder = std::env::temp_dir().join(format!("admin-api-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (port, admin) = (free_ports(1).unwrap(), free_ports(1).unwrap());
        let settings = format!(
            "upstream: {{ bootstrapServers: '{}' }}\n\
             clients: {{ securityProtocol: SASL_PLAINTEXT, portStart: {port}, portCount: 1, minBrokerId: 1 }}\n\
             state: {{ store: topic }}\n\
             admin: {{ port: {admin}, users: [{{ username: root, password: password-of-root }}] }}\n",
            broker.address
        );
        fs::write(folder.join("gateway.yaml"), settings).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(needs::sandbox_program().with_file_name("gateway"));
        let command = command.args(["run", "--config", "gateway.yaml"]).current_dir(&folder);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let address = format!("http://127.0.0.1:{admin}");
        let gateway = Self { process, folder, address };
        let client = AdminClient::new(&gateway.address, "root", "password-of-root");
        let began = Instant::now();
        while !client.ready().unwrap_or(false) {
            assert!(began.elapsed() < PATIENCE, "not ready: {}", gateway.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        gateway
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

/// The folder of the script that walks, if what it needs was set up.
fn walker(test: &str) -> Option<PathBuf> {
    let folder = needs::fixtures().join("openapi-walk");
    let set_up = Command::new(folder.join("setup")).stdin(Stdio::null()).output().unwrap();
    if set_up.status.success() {
        return Some(folder);
    }
    let why = String::from_utf8_lossy(&set_up.stderr).into_owned();
    assert!(!std::env::var("REQUIRE_E2E").is_ok_and(|value| value == "1"), "{test} must run here and cannot: {why}");
    println!("SKIPPED {test}: fixtures/openapi-walk/setup: {}", why.lines().last().unwrap_or_default());
    None
}

/// What the walk says of itself: a number before a word.
fn figure(said: &str, word: &str) -> Option<u32> {
    let words = said.split_whitespace().collect::<Vec<_>>();
    let mut pairs = words.windows(2).filter(|pair| pair[1].trim_end_matches(',') == word);
    pairs.find_map(|pair| pair[0].parse().ok())
}

fn walk(folder: &Path, gateway: &Gateway, password: &str) -> (bool, String) {
    let user = format!("root:{password}");
    let mut command = Command::new(folder.join("run"));
    let command = command.args([&gateway.address, &user]).current_dir(&gateway.folder);
    let command = command.args(["--phases", "examples,coverage,fuzzing", "--checks", "all", "--continue-on-failure"]);
    let command = command.args(["--max-examples", "10", "--seed", SEED, "--suppress-health-check", "all"]);
    let walked = command.env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap();
    (walked.status.success(), String::from_utf8_lossy(&walked.stdout).into_owned())
}

#[test]
fn every_operation_does_what_the_document_says() {
    const TEST: &str = "every_operation_does_what_the_document_says";
    if !needs::met(TEST, &[]) {
        return;
    }
    let Some(folder) = walker(TEST) else { return };
    let broker = Broker::start();
    let gateway = Gateway::start(&broker);
    let (went_well, said) = walk(&folder, &gateway, "password-of-root");
    assert!(went_well, "{said}");
    let generated = figure(&said, "generated").unwrap_or_else(|| panic!("no figures: {said}"));
    let operations = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")).unwrap_or_default();
    println!(
        "{operations} operations of the OpenAPI document, {generated} requests, none answered otherwise than it says"
    );
    assert!(generated > 1000 && operations.parse::<u32>().is_ok_and(|count| count > 25), "{said}");
    // Requests without a password are part of the walk, and enough of them to be told; and providers that are nowhere.
    let expected =
        ["audit.sinks is not set", "authentication-failures", "cannot fetch the keys of the identity provider"];
    stand::log_is_calm(&gateway.log(), &expected);
    // The walk can fail.
    assert!(!walk(&folder, &gateway, "wrong").0);
}
