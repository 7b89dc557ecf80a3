//! A Kafka with every kind of listener at once, in a container: in the clear, by TLS, with client certificates, and with each
//! SASL mechanism. `fixtures/services/kafka` has its settings and its users, and says how to start the same by hand.
//!
//! ```ignore
//! let kafka = SecureKafka::start(&[]);                 // or WITH_ACLS, or any properties
//! kafka.address(At::SaslSsl);                          // "127.0.0.1:41234"
//! kafka.as_user(At::Sasl, "SCRAM-SHA-256", "alice");   // a `Connection` for any client of fixtures/clients
//! certificates().join("alice.pem");                    // what fixtures/certs made
//! ```

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::gateways::free_ports;
use serde_json::json;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::SyncRunner as _;
use testcontainers::{Container, CopyTargetOptions, GenericImage, ImageExt as _};
use wire::schema::ApiKey;

use super::needs;

/// ACLs on, default deny; `admin` and whoever comes by [`At::Plaintext`] may do everything.
pub(crate) const WITH_ACLS: &[(&str, &str)] =
    &[("authorizer.class.name", AUTHORIZER), ("super.users", "User:ANONYMOUS;User:admin")];
const AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// In the clear, anonymous: for preparing and looking after.
    Plaintext,
    /// PLAIN and SCRAM in the clear.
    Sasl,
    /// TLS, anonymous.
    Ssl,
    /// TLS with a client certificate; the principal is its common name.
    Mtls,
    /// PLAIN and SCRAM by TLS.
    SaslSsl,
    /// OAUTHBEARER in the clear.
    OAuth,
}

const LISTENERS: [(&str, At); 6] = [
    ("PLAINTEXT", At::Plaintext),
    ("SASL", At::Sasl),
    ("SSL", At::Ssl),
    ("MTLS", At::Mtls),
    ("SASLSSL", At::SaslSsl),
    ("OAUTH", At::OAuth),
];

/// Inside of the container only.
const INTERNAL: [(&str, &str); 2] = [("BROKER", "19094"), ("CONTROLLER", "19093")];
const USERS: [&str; 4] = ["admin", "gateway", "alice", "bob"];
const IN_CONTAINER: &str = "/certificates";

pub(crate) struct SecureKafka {
    _container: Container<GenericImage>,
    ports: [u16; LISTENERS.len()],
    certificates: PathBuf,
}

impl SecureKafka {
    /// Starts one, with properties of its own beside or instead of those of `server.properties`.
    pub(crate) fn start(more: &[(&str, &str)]) -> Self {
        let image = needs::image();
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let ports = LISTENERS.map(|_| free_ports(1).unwrap());
        let certificates = certificates();
        let mut request = GenericImage::new(name, tag)
            .with_wait_for(WaitFor::message_on_either_std("Kafka Server started"))
            .with_startup_timeout(Duration::from_secs(90));
        for port in ports {
            request = request.with_mapped_port(port, port.tcp());
        }
        for file in ["server.pem", "ca.pem", "jwks.json"] {
            // Readable for whoever the broker runs as.
            let target = CopyTargetOptions::new(format!("{IN_CONTAINER}/{file}")).with_mode(0o644);
            request = request.with_copy_to(target, certificates.join(file));
        }
        for (property, value) in properties(ports, more) {
            request = request.with_env_var(variable(&property), value);
        }
        let tokens = format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{IN_CONTAINER}/jwks.json");
        // Each image has its own name for it.
        request = request.with_env_var("KAFKA_JVM_OPTS", &tokens).with_env_var("KAFKA_OPTS", &tokens);
        let container = request.start().expect("the broker's container starts");
        let kafka = Self { _container: container, ports, certificates };
        kafka.make_scram_users();
        kafka
    }

    /// Where a listener is, as `host:port`.
    pub(crate) fn address(&self, at: At) -> String {
        let port = LISTENERS.iter().zip(self.ports).find(|((_, one), _)| *one == at).map(|(_, port)| port);
        format!("127.0.0.1:{}", port.expect("a port for every listener"))
    }

    /// How a client connects as one of the users, whose password is `<user>-secret`. `mechanism` is of no meaning where the
    /// listener has none; with [`At::Mtls`] the user is one that a certificate was made for.
    pub(crate) fn as_user(&self, at: At, mechanism: &str, user: &str) -> Connection {
        let (protocol, tls) = match at {
            At::Plaintext => ("PLAINTEXT", false),
            At::Sasl | At::OAuth => ("SASL_PLAINTEXT", false),
            At::Ssl | At::Mtls => ("SSL", true),
            At::SaslSsl => ("SASL_SSL", true),
        };
        Connection {
            bootstrap: self.address(at),
            security_protocol: protocol.to_owned(),
            mechanism: mechanism.to_owned(),
            username: user.to_owned(),
            password: format!("{user}-secret"),
            ca: tls.then(|| self.certificates.join("ca.pem")),
            identity: (at == At::Mtls).then(|| self.certificates.join(format!("{user}.pem"))),
            ..Connection::default()
        }
    }

    /// By Kafka's own API: an image may have laid out its storage without them.
    fn make_scram_users(&self) {
        const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
        let mut socket = KafkaSocket::open(&self.address(At::Plaintext)).unwrap();
        for (mechanism, by, length) in [(1, pbkdf2::PBKDF2_HMAC_SHA256, 32), (2, pbkdf2::PBKDF2_HMAC_SHA512, 64)] {
            // Both mechanisms of one user in one request are refused.
            let upsertions = USERS.map(|user| {
                let mut salted = vec![0; length];
                pbkdf2::derive(by, ITERATIONS, user.as_bytes(), format!("{user}-secret").as_bytes(), &mut salted);
                json!({
                    "Name": user, "Mechanism": mechanism, "Iterations": ITERATIONS.get(),
                    "Salt": STANDARD.encode(user), "SaltedPassword": STANDARD.encode(salted),
                })
            });
            let wanted = json!({ "Deletions": [], "Upsertions": upsertions });
            let answer = socket.ask(ApiKey::AlterUserScramCredentials, 0, &wanted).unwrap();
            let results = answer.value["Results"].as_array().expect("results");
            assert!(results.iter().all(|result| result["ErrorCode"] == 0), "{results:?}");
        }
    }
}

/// What `fixtures/certs` makes, once for all tests. The gateway's certificate is the same: it has the names that the tests of
/// routing by SNI use.
pub(crate) fn certificates() -> PathBuf {
    conformance::gateways::certificates(&needs::fixtures()).unwrap_or_else(|error| panic!("{error}"))
}

fn properties(ports: [u16; LISTENERS.len()], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let file = needs::fixtures().join("services/kafka/server.properties");
    let mut text = std::fs::read_to_string(&file).expect("the broker's settings");
    for ((listener, _), port) in LISTENERS.iter().zip(ports) {
        text = text.replace(&format!("{{{listener}}}"), &port.to_string());
    }
    for (listener, port) in INTERNAL {
        text = text.replace(&format!("{{{listener}}}"), port);
    }
    text = text.replace("{bind}", "0.0.0.0").replace("{host}", "127.0.0.1").replace("{certs}", IN_CONTAINER);
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    // Of a property given twice the later one counts.
    lines.chain(more.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// As the images name properties: `a.b-c` is `KAFKA_A_B___C`.
fn variable(property: &str) -> String {
    format!("KAFKA_{}", property.replace('-', "___").replace('.', "_").to_uppercase())
}

#[test]
fn a_property_has_its_variable() {
    assert_eq!(variable("listener.name.sasl.scram-sha-256.x"), "KAFKA_LISTENER_NAME_SASL_SCRAM___SHA___256_X");
}

/// The fixture is as the tests upon it believe: who is right is let in, who isn't is not.
#[test]
fn a_kafka_with_every_listener() {
    if !needs::met("a_kafka_with_every_listener", &["go"]) {
        return;
    }
    let kafka = SecureKafka::start(WITH_ACLS);
    let everybody = kafka.as_user(At::Plaintext, "", "");
    super::stand::start("go", &everybody).does("create_topic", json!({ "topic": "ledger" }));
    let ways = [
        (At::Plaintext, ""),
        (At::Sasl, "PLAIN"),
        (At::Sasl, "SCRAM-SHA-256"),
        (At::SaslSsl, "SCRAM-SHA-512"),
        (At::Ssl, ""),
        (At::Mtls, ""),
    ];
    for (at, mechanism) in ways {
        let connection = kafka.as_user(at, mechanism, "alice");
        let mut client = super::stand::start("go", &connection);
        let _ = client.does("list_topics", json!({}));
        if at == At::Mtls || !mechanism.is_empty() {
            client.fails("describe_topic", json!({ "topic": "ledger" }), &["TOPIC_AUTHORIZATION_FAILED"]);
        }
        if !mechanism.is_empty() {
            let wrong = Connection { password: "wrong".to_owned(), ..connection };
            super::stand::start("go", &wrong).fails("list_topics", json!({}), &["SASL_AUTHENTICATION_FAILED"]);
        }
    }
    let stranger = kafka.as_user(At::Mtls, "", "stranger");
    super::stand::start("go", &stranger).fails("list_topics", json!({}), &["TRANSPORT", "UNKNOWN_SERVER_ERROR"]);
}
