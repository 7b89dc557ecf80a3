//! Every client with every mechanism at every kind of listener: one gateway with all of them, two tenants with the same names.
//!
//! What was run is printed as a table.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use conformance::drivers::Connection;
use conformance::gateways::{Gateway, TENANTS, free_ports};
use serde_json::{Value, json};

use super::broker::Broker;
use super::needs;
use super::openid::Provider;
use super::secure_kafka::certificates;
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
}

impl Proof {
    fn mechanism(self) -> &'static str {
        match self {
            Self::Nothing | Self::Certificate => "",
            Self::Password(mechanism) => mechanism,
            Self::SignedToken => "PLAIN",
            Self::OAuth => "OAUTHBEARER",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Nothing => "none (anonymous)",
            Self::Certificate => "certificate",
            Self::Password(mechanism) => mechanism,
            Self::SignedToken => "PLAIN, signed token",
            Self::OAuth => "OAUTHBEARER",
        }
    }
}

/// One row of the table: a listener and a way in. The number says which of the gateway's listeners.
const ROWS: [(usize, &str, Proof); 11] = [
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
];

/// What a client cannot do, and why: it is not tried.
const CANNOT: [(&str, Proof, &str); 1] = [("kcat", Proof::OAuth, "no: Debian's is built without OIDC")];

/// The gateway of the matrix and what its clients need to know.
struct Doors {
    gateway: Gateway,
    provider: Provider,
    ports: u16,
    // Goes last.
    _broker: Broker,
}

impl Doors {
    fn open() -> Self {
        let broker = Broker::start();
        let provider = Provider::start();
        let ports = free_ports(5).unwrap();
        let certificates = certificates();
        let file = |name: &str| certificates.join(name).to_string_lossy().into_owned();
        let listener = |number: u16, name: &str, protocol: &str| json!({ "name": name, "securityProtocol": protocol, "portStart": ports + number, "portCount": 1, "minBrokerId": 1 });
        let with = |mut listener: Value, more: Value| {
            listener.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            listener
        };
        let settings = json!({
            "upstream": { "bootstrapServers": broker.address },
            "clients": {
                "securityProtocol": "SASL_PLAINTEXT", "portStart": ports, "portCount": 1, "minBrokerId": 1,
                "listeners": [
                    with(listener(1, "plain", "PLAINTEXT"), json!({ "anonymous": TENANTS[0] })),
                    with(listener(2, "tls", "SSL"), json!({ "anonymous": TENANTS[0] })),
                    with(listener(3, "mtls", "SSL"), json!({ "clientAuth": "REQUIRE" })),
                    listener(4, "sasl-tls", "SASL_SSL"),
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
        Self { gateway, provider, ports, _broker: broker }
    }

    /// How a tenant's client comes in by a row.
    fn connection(&self, tenant: &str, number: usize, protocol: &str, proof: Proof) -> Connection {
        let certificates = certificates();
        let protocol = protocol.split(',').next().unwrap_or_default();
        let (username, password) = match proof {
            Proof::OAuth => (format!("{tenant}-client"), "any".to_owned()),
            Proof::SignedToken => (app(tenant), self.gateway.token(tenant, &app(tenant), 3600).unwrap()),
            _ => (app(tenant), password(tenant)),
        };
        Connection {
            bootstrap: format!("127.0.0.1:{}", usize::from(self.ports) + number),
            security_protocol: protocol.to_owned(),
            mechanism: proof.mechanism().to_owned(),
            username,
            password,
            ca: protocol.ends_with("SSL").then(|| certificates.join("ca.pem")),
            identity: (proof == Proof::Certificate).then(|| certificates.join(identity(tenant))),
            token_endpoint: (proof == Proof::OAuth).then(|| format!("{}/token", self.provider.issuer)),
            ..Connection::default()
        }
    }
}

fn app(tenant: &str) -> String {
    format!("{tenant}-app")
}

fn password(tenant: &str) -> String {
    format!("{tenant}-password")
}

/// Whose certificate a tenant's client shows.
fn identity(tenant: &str) -> &'static str {
    if tenant == TENANTS[0] { "alice.pem" } else { "bob.pem" }
}

/// A tenant with a local account, and one for each way in which others vouch for somebody.
fn declare(gateway: &Gateway, tenant: &str) {
    gateway.virtual_cluster(tenant, &json!({})).unwrap();
    let local = json!({ "type": "LOCAL", "password": password(tenant) });
    gateway.account(tenant, &app(tenant), &local).unwrap();
    let subject =
        if tenant == TENANTS[0] { "CN=alice,OU=payments,O=Anabranch" } else { "CN=bob,OU=search,O=Anabranch" };
    for (name, external) in [("by-certificate", subject.to_owned()), ("by-token", format!("{tenant}-client"))] {
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
    // A wrong one of each kind once is enough.
    let wrong = match proof {
        Proof::Nothing => return,
        _ if protocol == "SASL_SSL" => return,
        Proof::Certificate => Connection { identity: Some(certificates().join("stranger.pem")), ..connection },
        Proof::OAuth => Connection { username: "payments-client.elsewhere".to_owned(), ..connection },
        Proof::Password(_) | Proof::SignedToken => Connection { password: "wrong".to_owned(), ..connection },
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
        Proof::OAuth if client == "go" => &["SASL_AUTHENTICATION_FAILED", "UNKNOWN_SERVER_ERROR"],
        _ => REFUSED,
    };
    refused.fails("list_topics", json!({}), codes);
}

/// All rows of one client: what came of each.
fn column(doors: &Doors, client: &'static str) -> Vec<Result<&'static str, String>> {
    let cell = |row: usize| {
        let cannot = CANNOT.iter().find(|(one, proof, _)| *one == client && *proof == ROWS[row].2);
        if let Some((_, _, why)) = cannot {
            return Ok(*why);
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
    super::stand::log_is_calm(&doors.gateway.log(), &[]);
}
