//! What a test needs and may not find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use conformance::drivers::process::ProcessClient;
use conformance::drivers::{self, Connection};
use conformance::sandboxes;

/// The image of the broker; `apache/kafka:4.3.0` does as well where it can be pulled.
pub(crate) fn image() -> String {
    std::env::var("KAFKA_IMAGE").unwrap_or_else(|_| "kafka-local:4.3.0".to_owned())
}

pub(crate) fn fixtures() -> PathBuf {
    drivers::find_fixtures(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the folder fixtures of this project")
}

pub(crate) fn sandbox_program() -> PathBuf {
    sandboxes::find_program(std::env::var_os("SANDBOX_BIN").map(PathBuf::from))
}

/// The gateway that `fixtures/kerberos-gateway` builds.
pub(crate) fn kerberos_gateway() -> PathBuf {
    fixtures().with_file_name("target").join("fixtures/kerberos-gateway")
}

/// Whether the test may run; else it says why not.
pub(crate) fn met(test: &str, clients: &[&str]) -> bool {
    may_run(test, missing(clients))
}

/// The same for a test that needs Kerberos too.
pub(crate) fn met_with_kerberos(test: &str, clients: &[&str]) -> bool {
    may_run(test, missing(clients).or_else(without_kerberos))
}

fn may_run(test: &str, missing: Option<String>) -> bool {
    if let Some(why) = &missing {
        let required = std::env::var("REQUIRE_E2E").is_ok_and(|value| value == "1");
        assert!(!required, "{test} must run here and cannot: {why}");
        println!("SKIPPED {test}: {why}");
    }
    missing.is_none()
}

fn without_kerberos() -> Option<String> {
    if !succeeds(Command::new(kerberos_gateway()).arg("--version")) {
        return Some("no gateway with Kerberos; run fixtures/kerberos-gateway".to_owned());
    }
    let kdc = Command::new(fixtures().join("services/kdc")).arg("--check").output();
    let missing = |said: std::process::Output| String::from_utf8_lossy(&said.stderr).trim().to_owned();
    kdc.map_or_else(|error| Some(error.to_string()), |said| (!said.status.success()).then(|| missing(said)))
}

fn missing(clients: &[&str]) -> Option<String> {
    if !succeeds(Command::new("docker").arg("info")) {
        return Some("Docker does not answer; see fixtures/services/dockerd".to_owned());
    }
    let image = image();
    if !succeeds(Command::new("docker").args(["image", "inspect", &image])) {
        return Some(format!(
            "no image {image}; run fixtures/images/build-kafka-image, or set KAFKA_IMAGE and pull it"
        ));
    }
    let program = sandbox_program();
    if !succeeds(Command::new(&program).arg("--version")) {
        return Some(format!("{} does not run; build it with 'cargo build -p sandbox'", program.display()));
    }
    clients.iter().find_map(|name| why_not(name))
}

/// Why this client cannot be started, found out once.
fn why_not(client: &str) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = known.entry(client.to_owned()).or_insert_with(|| {
        // Saying hello takes no broker.
        let started = ProcessClient::start(&fixtures(), client, &Connection::plain("127.0.0.1:1"));
        started.err().map(|error| error.to_string())
    });
    found.clone()
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
