//! A gateway as a process that says everything it can say, with a secret in every place where one belongs.

use crate::broker;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use contract::client::AdminClient;
use gateway::transport::tls::export;

const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const TENANT: &str = "team-a";
pub(crate) const ACCOUNT: &str = "canary-account-name";

/// What must come out nowhere, by what it is.
pub(crate) type Secrets = BTreeMap<&'static str, String>;

/// One that nothing else looks like.
fn secret(what: &str) -> String {
    format!("canary-{what}-{:08x}!", std::process::id().wrapping_mul(2_654_435_761))
}

/// Ended, with its files, when it is dropped.
pub(crate) struct Stand {
    gateway: Child,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) admin_port: u16,
    pub(crate) secrets: Secrets,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Stand {
    pub(crate) fn start(name: &str) -> Self {
        let (upstream, _) = broker::start();
        let [port, tls_port, admin_port] = [free_port(), free_port(), free_port()];
        let folder = std::env::temp_dir().join(format!("canary-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let kinds = [
            "signing-key",
            "admin-password",
            "reader-password",
            "chain-key",
            "jaas-password",
            "key-store-password",
            "account-password",
            "wrong-plain-password",
            "wrong-admin-password",
            "oauth-token",
            "record-key",
            "record-value",
            "record-header",
            "member-metadata",
            "assignment",
            "cleartext-to-tls",
        ];
        let mut secrets: Secrets = kinds.into_iter().map(|kind| (kind, secret(kind))).collect();
        // Keys have a least length.
        for key in ["signing-key", "chain-key"] {
            secrets.entry(key).and_modify(|secret| *secret = secret.repeat(2));
        }
        let private_key = key_store(&folder, &secrets["key-store-password"]);
        // The first line of it, as a text and as bytes, tells it.
        let _ = secrets.insert("private-key", private_key);
        let settings = settings(&secrets, upstream, [port, tls_port, admin_port]);
        fs::write(folder.join("gateway.yaml"), settings).unwrap();
        let gateway = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["run", "--config", "gateway.yaml"])
            .current_dir(&folder)
            .env_clear()
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("GATEWAY_USER_POOL_SECRET_KEY", &secrets["signing-key"])
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .stdout(fs::File::create(folder.join("stdout")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let stand = Self { gateway, folder, port, tls_port, admin_port, secrets };
        let began = Instant::now();
        while !stand.admin("admin", &stand.secrets["admin-password"]).ready().unwrap_or(false) {
            assert!(began.elapsed() < PATIENCE, "the gateway does not get ready:\n{}", stand.read("log"));
            thread::sleep(Duration::from_millis(20));
        }
        stand
    }

    pub(crate) fn admin(&self, user: &str, password: &str) -> AdminClient {
        AdminClient::new(&format!("http://127.0.0.1:{}", self.admin_port), user, password)
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    /// Ends the gateway as an operator does, so that everything is written.
    pub(crate) fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.gateway.id().to_string()).status().unwrap();
        let began = Instant::now();
        while self.gateway.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "the gateway does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A key and a certificate under a password; gives the bytes that only the key has, as a text.
fn key_store(folder: &std::path::Path, password: &str) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der();
    let store = export::key_store("gateway", &key, &[made.cert.der()], password).unwrap();
    fs::write(folder.join("gateway.p12"), store).unwrap();
    // Of an EC key in PKCS8 the private number begins at byte 36.
    key[36..68].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn settings(secrets: &Secrets, upstream: u16, [port, tls_port, admin_port]: [u16; 3]) -> String {
    let of = |kind: &str| &secrets[kind];
    let jaas = of("jaas-password");
    format!(
        "upstream:
  bootstrapServers: '127.0.0.1:{upstream}'
  securityProtocol: SASL_PLAINTEXT
  properties:
    sasl.mechanism: PLAIN
    sasl.jaas.config: 'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"gw\" password=\"{jaas}\";'
clients:
  securityProtocol: SASL_PLAINTEXT
  portStart: {port}
  portCount: 1
  minBrokerId: 1
  listeners: [{{ name: tls, securityProtocol: SASL_SSL, portStart: {tls_port}, portCount: 1, minBrokerId: 1 }}]
oauth: {{ jwksUrl: 'file:///nowhere.json', expectedIssuer: 'https://login.test/', expectedAudiences: [kafka] }}
tls: {{ keyStore: {{ path: gateway.p12, password: '{}' }} }}
admin:
  port: {admin_port}
  users:
    - {{ username: admin, password: '{}' }}
    - {{ username: reader, password: '{}', admin: false }}
audit:
  sinks: [file, stdout]
  chainKey: '{}'
  adminRequests: true
  topicUses: true
",
        of("key-store-password"),
        of("admin-password"),
        of("reader-password"),
        of("chain-key")
    )
}
