//! A gateway built with Kerberos (`fixtures/kerberos-gateway`) logs in to a Kafka that wants it, by tickets of a real KDC
//! (`fixtures/services/kdc`).

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use conformance::gateways::free_ports;
use serde_json::json;

use super::needs;
use super::rights::Kafka;
use super::stand;
use super::upstream::{Gateway, LIFETIME, load_goes_on_while_logins_are_renewed, records_go_through};

const PATIENCE: Duration = Duration::from_secs(30);
/// By name: Java's clients, unlike the gateway, would make a name of an address before they ask for a ticket.
const SERVICE: &str = "kafka/localhost";
/// The last one has a keytab that the KDC no longer knows.
const PRINCIPALS: [&str; 3] = [SERVICE, "gateway", "unknown:stranger"];
const REALM: &str = "GATEWAY.TEST";

/// A KDC as a process.
struct Kdc {
    folder: PathBuf,
    port: u16,
    /// What it said: `KRB5_CONFIG`, and the keytab of each principal.
    said: BTreeMap<String, String>,
}

impl Kdc {
    fn start() -> Self {
        let port = free_ports(1).unwrap();
        let folder = std::env::temp_dir().join(format!("kerberos-{}-{port}", std::process::id()));
        let mut kdc = Self { folder, port, said: BTreeMap::new() };
        kdc.run();
        kdc
    }

    /// Starts it, or starts it again.
    fn run(&mut self) {
        let mut program = Command::new(needs::fixtures().join("services/kdc"));
        let _ = program.arg(&self.folder).arg(self.port.to_string()).args(PRINCIPALS);
        // So short that new ones are needed while the load lasts.
        let done = program.env("TICKET_LIFETIME", "12s").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let said = String::from_utf8(done.stdout).unwrap();
        self.said = said.lines().map(|line| line.split_once('=').unwrap()).map(owned).collect();
    }

    /// Ends it and waits until nobody answers there.
    fn stop(&self) {
        self.end();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(began.elapsed() < PATIENCE, "the KDC does not end");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(&self) {
        if let Ok(pid) = fs::read_to_string(self.folder.join("pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("kdc.log")).unwrap_or_default()
    }

    fn keytab(&self, principal: &str) -> &str {
        &self.said[&format!("{principal}@{REALM}")]
    }

    /// A Kafka that lets in by tickets only, where others have passwords.
    fn kafka(&self) -> Kafka {
        let jaas = login(&format!("isInitiator=false {}", self.whose(SERVICE)));
        let (name, value) = LIFETIME;
        let properties = [
            format!("{name}={value}"),
            "listener.name.sasl.sasl.enabled.mechanisms=GSSAPI".to_owned(),
            "listener.name.sasl.sasl.kerberos.service.name=kafka".to_owned(),
            format!("listener.name.sasl.gssapi.sasl.jaas.config={jaas}"),
        ];
        let java = format!("-Djava.security.krb5.conf={}", self.said["KRB5_CONFIG"]);
        Kafka::with(&self.folder.join("kafka"), &properties, &[("KAFKA_JVM_OPTS", &java), ("KAFKA_HOST", "localhost")])
    }

    /// A gateway that logs in as this principal.
    fn gateway(&self, kafka: &Kafka, principal: &str) -> Gateway {
        let properties = [
            ("sasl.mechanism", "GSSAPI".to_owned()),
            ("sasl.kerberos.service.name", "kafka".to_owned()),
            ("sasl.jaas.config", login(&self.whose(principal))),
        ];
        let mut program = Command::new(needs::kerberos_gateway());
        let _ = program.arg("run").env_clear().env("KRB5_CONFIG", &self.said["KRB5_CONFIG"]);
        let address = format!("localhost:{}", kafka.port + 1);
        let clients = json!({ "securityProtocol": "PLAINTEXT" });
        Gateway::by(&mut program, &address, "SASL_PLAINTEXT", &properties, clients)
    }

    fn whose(&self, principal: &str) -> String {
        let keytab = self.keytab(principal);
        format!("useKeyTab=true storeKey=true keyTab=\"{keytab}\" principal=\"{principal}@{REALM}\"")
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("the KDC's log:\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn login(options: &str) -> String {
    format!("com.sun.security.auth.module.Krb5LoginModule required {options};")
}

/// It is not ready, and says why in its health and once in its log.
fn is_refused(gateway: &Gateway, why: &str, keytab: &Path) {
    let _ = gateway.waits_until(why, |health| health.contains(why));
    let ready = gateway.get("/health/ready");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    // It tries again and again meanwhile.
    thread::sleep(Duration::from_secs(2));
    let log = gateway.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("Kafka is not reachable")).collect();
    assert!(matches!(told[..], [line] if line.contains(why)), "{log}");
    stand::log_is_calm(&log, &["audit.sinks is not set", "clients.", "Kafka is not reachable"]);
    has_no_key(&log, keytab);
}

/// Neither in hexadecimal digits nor as a list of numbers.
fn has_no_key(log: &str, keytab: &Path) {
    let bytes = fs::read(keytab).unwrap();
    for part in bytes.windows(8) {
        let digits: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let numbers = format!("{part:?}");
        assert!(!log.to_lowercase().contains(&digits), "the keytab's {digits} in {log}");
        assert!(!log.contains(numbers.trim_matches(['[', ']'])), "the keytab's {numbers} in {log}");
    }
}

#[test]
fn a_gateway_logs_in_by_kerberos() {
    if !needs::met_with_kerberos("a_gateway_logs_in_by_kerberos", &["kcat", "go", "python"]) {
        return;
    }
    let mut kdc = Kdc::start();
    let kafka = kdc.kafka();
    let keytab = |kdc: &Kdc, principal| PathBuf::from(kdc.keytab(principal));

    let gateway = kdc.gateway(&kafka, "gateway");
    records_go_through("kcat", &gateway, "tickets");
    load_goes_on_while_logins_are_renewed(&gateway, "long");
    has_no_key(&gateway.log(), &keytab(&kdc, "gateway"));
    let log = kdc.log();
    let tickets = log.lines().filter(|line| line.contains("ISSUE") && line.contains(&format!("for krbtgt/{REALM}")));
    assert!(tickets.count() >= 2, "tickets of twelve seconds, and no new one in ten:\n{log}");
    drop(gateway);

    let stranger = kdc.gateway(&kafka, "stranger");
    is_refused(&stranger, "not found in Kerberos database", &keytab(&kdc, "stranger"));
    drop(stranger);

    kdc.stop();
    let early = kdc.gateway(&kafka, "gateway");
    is_refused(&early, "Cannot contact any KDC", &keytab(&kdc, "gateway"));
    kdc.run();
    early.is_ready();
}
