//! With the same access control lists, a virtual cluster allows and refuses what Kafka's own StandardAuthorizer does.
//!
//! Both brokers and the gateway are processes here: rules about addresses see the same one on both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use conformance::gateways::free_ports;
use conformance::reference::rights::{self, ADMIN, Sides, USERS, password};
use conformance::reference::{Report, Rules};
use contract::client::AdminClient;
use contract::resources::{GatewayServiceAccount, VirtualCluster};
use contract::secret::Secret;

use super::needs;

/// What a broker listens on, of which two are used here.
const PORTS: u16 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
const TENANT: &str = "compared";

#[test]
fn a_virtual_cluster_allows_and_refuses_as_a_kafka_with_the_same_rules() {
    if !needs::met("a_virtual_cluster_allows_and_refuses_as_a_kafka_with_the_same_rules", &[]) {
        return;
    }
    let mut report = compare();
    if !report.is_good() {
        // What Kafka does in the background can overtake a script; a difference of the gateway's comes again.
        println!("once more, with other brokers");
        report = compare();
    }
    assert!(report.is_good(), "{} answers differ, see above", report.findings.len());
    // Less would mean that somebody was left out.
    assert!(report.requests > 2_500 && report.apis >= 45, "{} requests, {} APIs", report.requests, report.apis);
}

fn compare() -> Report {
    let now = UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let folder = std::env::temp_dir().join(format!("rights-{}-{now}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (reference, shared) = std::thread::scope(|scope| {
        let reference = scope.spawn(|| Kafka::start(&folder.join("reference"), &with_rules()));
        let shared = scope.spawn(|| Kafka::start(&folder.join("shared"), &quick()));
        (reference.join().unwrap(), shared.join().unwrap())
    });
    let gateway = Gateway::start(&folder, &shared.address(0));
    let sides = Sides { reference: reference.address(1), r#virtual: gateway.address.clone() };
    let report = rights::run(&sides, &Rules::of_rights().unwrap()).unwrap();
    println!("{}", report.human());
    drop((gateway, reference, shared));
    fs::remove_dir_all(&folder).unwrap();
    report
}

/// Heartbeats often enough that nobody waits for an assignment.
fn quick() -> Vec<String> {
    let kinds = ["consumer", "share", "streams"];
    let of = |kind| {
        [format!("group.{kind}.heartbeat.interval.ms=500"), format!("group.{kind}.min.heartbeat.interval.ms=500")]
    };
    kinds.into_iter().flat_map(of).collect()
}

fn with_rules() -> Vec<String> {
    let users: String =
        USERS.iter().chain([&ADMIN]).map(|user| format!(" user_{user}=\"{}\"", password(user))).collect();
    let more = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        // Brokers and controllers come without a name.
        format!("super.users=User:ANONYMOUS;User:{ADMIN}"),
        format!(
            "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required{users};"
        ),
    ];
    quick().into_iter().chain(more).collect()
}

/// A broker as a process.
pub(crate) struct Kafka {
    folder: PathBuf,
    /// The first of its ports.
    pub(crate) port: u16,
}

impl Kafka {
    fn start(folder: &Path, properties: &[String]) -> Self {
        Self::with(folder, properties, &[])
    }

    /// With variables of `fixtures/services/kafka/run`.
    pub(crate) fn with(folder: &Path, properties: &[String], variables: &[(&str, &str)]) -> Self {
        let port = free_ports(PORTS).unwrap();
        let mut program = Command::new(needs::fixtures().join("services/kafka/run"));
        let _ = program.envs(variables.iter().copied());
        let done = program.arg(folder).arg(port.to_string()).args(properties).output().unwrap();
        // The broker's own words are long, and the last ones tell.
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}", said.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        Self { folder: folder.to_owned(), port }
    }

    fn address(&self, listener: u16) -> String {
        format!("127.0.0.1:{}", self.port + listener)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.folder.join("pid")) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

/// A gateway in front of a broker, with a tenant whose rules the admin keeps by Kafka's own API.
struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    fn start(folder: &Path, broker: &str) -> Self {
        let port = free_ports(3).unwrap();
        let config = folder.join("gateway.yaml");
        let text = format!(
            "upstream: {{ bootstrapServers: '{broker}' }}\n\
             clients: {{ securityProtocol: SASL_PLAINTEXT, portStart: {port}, portCount: 2, minBrokerId: 1 }}\n\
             admin: {{ port: {admin}, users: [{{ username: admin, password: admin-of-a-test }}] }}\n",
            admin = port + 2
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.join("gateway.log")).unwrap();
        let mut command = Command::new(needs::sandbox_program());
        let _ =
            command.args(["gateway", "--config"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        let gateway = Self { process, address: format!("127.0.0.1:{port}") };
        declare(&AdminClient::new(&format!("http://127.0.0.1:{}", port + 2), "admin", "admin-of-a-test"));
        gateway
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn declare(admin: &AdminClient) {
    let began = Instant::now();
    while !admin.ready().is_ok_and(|ready| ready) {
        assert!(began.elapsed() < PATIENCE, "the gateway is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut tenant = VirtualCluster::new(TENANT);
    tenant.spec.acl_enabled = Some(true);
    tenant.spec.super_users = Some(vec![ADMIN.to_owned()]);
    drop(admin.put_virtual_cluster(&tenant, false).unwrap());
    for user in USERS.iter().chain([&ADMIN]) {
        let account = GatewayServiceAccount::local(*user, TENANT, Some(Secret::new(password(user))));
        drop(admin.put_service_account(&account, false).unwrap());
    }
}
