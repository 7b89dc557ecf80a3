//! Every client with every mechanism at every kind of listener: one gateway with all of them, two tenants with the same names.
//!
//! What was run is printed as a table.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use conformance::drivers::Connection;
use conformance::gateways::{DOMAIN, Gateway, TENANTS, free_ports};
use serde_json::{Value, json};

use super::needs;
use super::openid::Provider;
use super::secure_kafka::{At, SecureKafka, certificates};
use super::stand::{records, start, values};

const CLIENTS: [&str; 4] = ["kcat", "java-clients", "python", "go"];
const REFUSED: &[&str] = &["SASL_AUTHENTICATION_FAILED"];

/// How somebody proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Nothing,
    Certificate,
    /// A password of the account.
    Password(&'static str),
    /// A signed token of the admin API as the password.
    SignedToken,
    /// A token of the identity provider.
    OAuth,
    /// What Kafka itself knows: it is handed on to it.
    Kafkas(&'static str),
    /// A token that is handed on to Kafka.
    KafkasToken,
}

impl Proof {
    fn mechanism(self) -> &'static str {
        match self {
            Self::Nothing | Self::Certificate => "",
            Self::Password(mechanism) | Self::Kafkas(mechanism) => mechanism,
            Self::SignedToken => "PLAIN",
            Self::OAuth | Self::KafkasToken => "OAUTHBEARER",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Nothing => "none (anonymous)",
            Self::Certificate => "certificate",
            Self::SignedToken => "PLAIN, signed token",
            other => other.mechanism(),
        }
    }

    fn is_token(self) -> bool {
        matches!(self, Self::OAuth | Self::KafkasToken)
    }
}

/// One row of the table: a listener and a way in. The number says which of the gateway's listeners.
const ROWS: [(usize, &str, Proof); 16] = [
    (0, "SASL_PLAINTEXT", Proof::SignedToken),
    (0, "SASL_PLAINTEXT", Proof::Password("PLAIN")),
    (0, "SASL_PLAINTEXT", Proof::Password("SCRAM-SHA-256")),
    (0, "SASL_PLAINTEXT", Proof::Password("SCRAM-SHA-512")),
    (0, "SASL_PLAINTEXT", Proof::OAuth),
    (1, "PLAINTEXT", Proof::Nothing),
    (2, "SSL", Proof::Nothing),
    (3, "SSL, client certificate", Proof::Certificate),
    (4, "SASL_SSL", Proof::SignedToken),
    (4, "SASL_SSL", Proof::Password("SCRAM-SHA-512")),
    (4, "SASL_SSL", Proof::OAuth),
    (5, "SASL_SSL, host names", Proof::Password("SCRAM-SHA-512")),
    (6, "SASL_PLAINTEXT, delegated", Proof::Kafkas("PLAIN")),
    (6, "SASL_PLAINTEXT, delegated", Proof::Kafkas("SCRAM-SHA-256")),
    (6, "SASL_PLAINTEXT, delegated", Proof::Kafkas("SCRAM-SHA-512")),
    (6, "SASL_PLAINTEXT, delegated", Proof::KafkasToken),
];
/// The one whose clients ask for brokers by host name.
const BY_HOST: usize = 5;

/// What a client cannot do, and why: it is not tried.
fn cannot(client: &str, (number, _, proof): (usize, &str, Proof)) -> Option<&'static str> {
    match (client, proof) {
        ("kcat" | "python", _) if number == BY_HOST => Some("not run: host names need DNS here"),
        ("kcat", Proof::OAuth | Proof::KafkasToken) => Some("no: Debian's is built without OIDC"),
        // It sends a wrong nonce (CVE-2024-56128), which the gateway takes and Kafka does not.
        ("kcat", Proof::Kafkas("SCRAM-SHA-256" | "SCRAM-SHA-512")) => Some("no: Kafka refuses librdkafka before 2.6.1"),
        _ => None,
    }
}

/// The gateway of the matrix and what its clients need to know.
struct Doors {
    gateway: Gateway,
    provider: Provider,
    ports: u16,
    // Goes last.
    _kafka: SecureKafka,
}

impl Doors {
    fn open() -> Self {
        let kafka = SecureKafka::start(&KNOWS_TOKENS);
        let provider = Provider::start();
        let ports = free_ports(7).unwrap();
        let certificates = certificates();
        let file = |name: &str| certificates.join(name).to_string_lossy().into_owned();
        let listener = |number: u16, name: &str, protocol: &str| json!({ "name": name, "securityProtocol": protocol, "portStart": ports + number, "portCount": 1, "minBrokerId": 1 });
        let with = |mut listener: Value, more: Value| {
            listener.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            listener
        };
        let settings = json!({
            "upstream": upstream(&kafka),
            "clients": {
                "securityProtocol": "SASL_PLAINTEXT", "portStart": ports, "portCount": 1, "minBrokerId": 1,
                "listeners": [
                    with(listener(1, "plain", "PLAINTEXT"), json!({ "anonymous": TENANTS[0] })),
                    with(listener(2, "tls", "SSL"), json!({ "anonymous": TENANTS[0] })),
                    with(listener(3, "mtls", "SSL"), json!({ "clientAuth": "REQUIRE" })),
                    listener(4, "sasl-tls", "SASL_SSL"),
                    json!({
                        "name": "hosts", "securityProtocol": "SASL_SSL", "portStart": ports + 5, "routing": "host",
                        "advertisedHost": DOMAIN,
                    }),
                    listener(6, "delegated", "DELEGATED_SASL_PLAINTEXT"),
                ],
            },
            "tls": { "keyStore": { "path": file("server.pem") }, "trustStore": { "path": file("ca.pem") } },
            "oauth": {
                "jwksUrl": format!("{}/jwks", provider.issuer), "expectedIssuer": provider.issuer,
                "expectedAudiences": ["kafka"],
            },
            "state": { "store": "memory" },
        });
        let gateway = Gateway::start(&needs::sandbox_program(), &settings).unwrap_or_else(|error| panic!("{error}"));
        for tenant in TENANTS {
            declare(&gateway, tenant);
        }
        Self { gateway, provider, ports, _kafka: kafka }
    }

    fn address(&self, tenant: &str, number: usize) -> String {
        let host = if number == BY_HOST { format!("{tenant}.{DOMAIN}") } else { "127.0.0.1".to_owned() };
        format!("{host}:{}", usize::from(self.ports) + number)
    }

    /// How a tenant's client comes in by a row.
    fn connection(&self, tenant: &str, number: usize, protocol: &str, proof: Proof) -> Connection {
        let certificates = certificates();
        let protocol = protocol.split(',').next().unwrap_or_default();
        let (username, password) = match proof {
            Proof::OAuth | Proof::KafkasToken => (format!("{tenant}-client"), "any".to_owned()),
            Proof::Kafkas(_) => (kafkas_user(tenant).to_owned(), format!("{}-secret", kafkas_user(tenant))),
            Proof::SignedToken => (app(tenant), self.gateway.token(tenant, &app(tenant), 3600).unwrap()),
            _ => (app(tenant), password(tenant)),
        };
        Connection {
            bootstrap: self.address(tenant, number),
            security_protocol: protocol.to_owned(),
            mechanism: proof.mechanism().to_owned(),
            username,
            password,
            ca: protocol.ends_with("SSL").then(|| certificates.join("ca.pem")),
            identity: (proof == Proof::Certificate).then(|| certificates.join(format!("{}.pem", kafkas_user(tenant)))),
            hosts: if number == BY_HOST { hosts(tenant) } else { String::new() },
            token_endpoint: proof.is_token().then(|| format!("{}/token", self.provider.issuer)),
        }
    }
}

fn app(tenant: &str) -> String {
    format!("{tenant}-app")
}

fn password(tenant: &str) -> String {
    format!("{tenant}-password")
}

/// Who a tenant's client is for Kafka.
fn kafkas_user(tenant: &str) -> &'static str {
    if tenant == TENANTS[0] { "alice" } else { "bob" }
}

fn hosts(tenant: &str) -> String {
    format!("{tenant}.{DOMAIN}=127.0.0.1 broker-1.{tenant}.{DOMAIN}=127.0.0.1")
}

/// A listener that takes the tokens as well as passwords: what is handed on to Kafka goes to one listener.
pub(crate) const KNOWS_TOKENS: [(&str, &str); 5] = [
    ("listener.name.saslssl.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"),
    (
        "listener.name.saslssl.oauthbearer.sasl.jaas.config",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
    ),
    (
        "listener.name.saslssl.oauthbearer.sasl.server.callback.handler.class",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
    ),
    ("listener.name.saslssl.oauthbearer.sasl.oauthbearer.jwks.endpoint.url", "file:///certificates/jwks.json"),
    ("listener.name.saslssl.oauthbearer.sasl.oauthbearer.expected.audience", "kafka"),
];

/// By TLS, as a user of Kafka's.
pub(crate) fn upstream(kafka: &SecureKafka) -> Value {
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"gateway\" \
                 password=\"gateway-secret\";";
    json!({
        "bootstrapServers": kafka.address(At::SaslSsl), "securityProtocol": "SASL_SSL",
        "properties": {
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": login, "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates().join("ca.pem"),
        },
    })
}

/// A tenant with a local account, and one for each way in which others vouch for somebody.
fn declare(gateway: &Gateway, tenant: &str) {
    gateway.virtual_cluster(tenant, &json!({})).unwrap();
    let local = json!({ "type": "LOCAL", "password": password(tenant) });
    gateway.account(tenant, &app(tenant), &local).unwrap();
    let subject =
        if tenant == TENANTS[0] { "CN=alice,OU=payments,O=Anabranch" } else { "CN=bob,OU=search,O=Anabranch" };
    let vouched = [
        ("by-certificate", subject.to_owned()),
        ("by-token", format!("{tenant}-client")),
        ("by-kafka", kafkas_user(tenant).to_owned()),
    ];
    for (name, external) in vouched {
        let spec = json!({ "type": "EXTERNAL", "externalNames": [external] });
        gateway.account(tenant, &format!("{tenant}-{name}"), &spec).unwrap();
    }
}

/// Produces, reads with a group, describes; and is refused with a wrong password.
fn cell(doors: &Doors, client: &str, row: usize) {
    let (number, protocol, proof) = ROWS[row];
    let connection = doors.connection(TENANTS[0], number, protocol, proof);
    let topic = format!("matrix-{client}-{row}");
    let mut at_work = start(client, &connection);
    let kept = json!({ "topic": topic });
    prepare(doors, TENANTS[0], &kept);
    prepare(doors, TENANTS[1], &kept);
    at_work.does("produce", json!({ "topic": topic, "records": records("record-", 3) }));
    let read = json!({ "topic": topic, "group": format!("group-{client}-{row}"), "count": 3, "linger_ms": 100 });
    assert_eq!(at_work.consumes_with(read), values("record-", 3));
    assert_eq!(at_work.does("describe_topic", kept)["partitions"], 1);
    // A wrong one of each kind once is enough: after failures the gateway lets everybody at this address wait.
    let wrong = match proof {
        Proof::Nothing | Proof::SignedToken => return,
        _ if proof.mechanism() == "SCRAM-SHA-256" || protocol == "SASL_SSL" => return,
        // The right password at another tenant's address.
        _ if number == BY_HOST => {
            Connection { bootstrap: doors.address(TENANTS[1], number), hosts: hosts(TENANTS[1]), ..connection }
        }
        Proof::Certificate => Connection { identity: Some(certificates().join("stranger.pem")), ..connection },
        Proof::OAuth | Proof::KafkasToken => {
            Connection { username: "payments-client.elsewhere".to_owned(), ..connection }
        }
        Proof::Password(_) | Proof::Kafkas(_) => Connection { password: "wrong".to_owned(), ..connection },
    };
    kept_out(client, &wrong, proof);
}

/// By a client that can, at the one listener that everybody can use.
fn prepare(doors: &Doors, tenant: &str, topic: &Value) {
    let (number, protocol, proof) = ROWS[1];
    let _ = start("go", &doors.connection(tenant, number, protocol, proof)).does("create_topic", topic.clone());
}

fn kept_out(client: &str, wrong: &Connection, proof: Proof) {
    let mut refused = start(client, wrong);
    // Who shows no good certificate never comes to speak Kafka; clients have their own names for that.
    let codes: &[&str] = match proof {
        Proof::Certificate => &["TRANSPORT", "UNKNOWN_SERVER_ERROR", "TIMED_OUT", "_SSL", "SASL_AUTHENTICATION_FAILED"],
        // franz-go has no name for it when a broker says in the middle of OAUTHBEARER what is wrong with a token (RFC 7628).
        _ if proof.is_token() && client == "go" => &["SASL_AUTHENTICATION_FAILED", "UNKNOWN_SERVER_ERROR"],
        _ => REFUSED,
    };
    refused.fails("list_topics", json!({}), codes);
}

/// All rows of one client: what came of each.
fn column(doors: &Doors, client: &'static str) -> Vec<Result<&'static str, String>> {
    let cell = |row: usize| {
        if let Some(why) = cannot(client, ROWS[row]) {
            return Ok(why);
        }
        let done = catch_unwind(AssertUnwindSafe(|| cell(doors, client, row)));
        done.map(|()| "yes")
            .map_err(|why| why.downcast_ref::<String>().cloned().unwrap_or_else(|| "it failed".to_owned()))
    };
    (0..ROWS.len()).map(cell).collect()
}

#[test]
fn every_client_by_every_mechanism_at_every_listener() {
    if !needs::met("every_client_by_every_mechanism_at_every_listener", &CLIENTS) {
        return;
    }
    let doors = Doors::open();
    let columns: BTreeMap<&str, Vec<Result<&str, String>>> = thread::scope(|scope| {
        let running = CLIENTS.map(|client| (client, scope.spawn(|| column(&doors, client))));
        running.into_iter().map(|(client, column)| (client, column.join().unwrap())).collect()
    });
    println!("| listener | login | {} |\n| --- | --- |{}", CLIENTS.join(" | "), " --- |".repeat(CLIENTS.len()));
    for (row, (_, protocol, proof)) in ROWS.iter().enumerate() {
        let cells = CLIENTS.map(|client| columns[client][row].as_ref().map_or("FAILED", |cell| *cell));
        println!("| {protocol} | {} | {} |", proof.label(), cells.join(" | "));
    }
    let failed: Vec<String> = columns
        .iter()
        .flat_map(|(client, column)| column.iter().zip(ROWS).map(move |(cell, row)| (client, cell, row)))
        .filter_map(|(client, cell, (_, protocol, proof))| Some((client, cell.as_ref().err()?, protocol, proof)))
        .map(|(client, why, protocol, proof)| format!("{client} at {protocol} by {}: {why}", proof.label()))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let expected = ["audit.sinks is not set", "rule=\"authentication-failures\""];
    super::stand::log_is_calm(&doors.gateway.log(), &expected);
}
