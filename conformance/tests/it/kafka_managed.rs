//! Kafka's own rules are the only ones, in a virtual cluster as well: clients log in by TLS with what Kafka knows them by, are to it
//! who they are, and may there what Kafka's ACLs say of the physical names. Tokens are looked at before Kafka is.

use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::gateways::{Gateway, free_ports};
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::delegated::SUPER_USERS;
use super::matrix::{KNOWS_TOKENS, upstream};
use super::needs;
use super::openid::Provider;
use super::secure_kafka::{At, SecureKafka, WITH_ACLS, certificates};
use super::stand::{log_is_calm, records, start, values};

const TENANT: &str = "team";
/// Who comes by a token: the provider names its clients so.
const BY_TOKEN: &str = "orders-app";
const FORBIDDEN: &[&str] = &["TOPIC_AUTHORIZATION_FAILED"];

/// `user` may write, read and describe one physical topic, and any group of the virtual cluster.
fn allow(kafka: &SecureKafka, user: &str) {
    let (topic, group, any_operation, allow, literal, prefixed) = (2, 3, 2, 3, 3, 4);
    let rule = |ty: i8, name: &str, pattern: i8| {
        json!({
            "ResourceType": ty, "ResourceName": name, "ResourcePatternType": pattern, "Principal": format!("User:{user}"),
            "Host": "*", "Operation": any_operation, "PermissionType": allow,
        })
    };
    let rules = [rule(topic, "team.open", literal), rule(group, "team.", prefixed)];
    let mut socket = KafkaSocket::open(&kafka.address(At::Plaintext)).unwrap();
    let answer = socket.ask(ApiKey::CreateAcls, 3, &json!({ "Creations": rules })).unwrap();
    let results = answer.value["Results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["ErrorCode"] == 0), "{results:?}");
}

fn settings(kafka: &SecureKafka, provider: &Provider, port: u16) -> Value {
    let file = |name: &str| certificates().join(name).to_string_lossy().into_owned();
    json!({
        "upstream": upstream(kafka),
        "clients": {
            "securityProtocol": "DELEGATED_SASL_SSL", "securityMode": "KAFKA_MANAGED", "delegatedTokens": "validate_forward",
            "portStart": port, "portCount": 1, "minBrokerId": 1,
        },
        "tls": { "keyStore": { "path": file("server.pem") } },
        "oauth": {
            "jwksUrl": format!("{}/jwks", provider.issuer), "expectedIssuer": provider.issuer,
            "expectedAudiences": ["kafka"],
        },
        "state": { "store": "memory" },
    })
}

/// A client may at the one topic what Kafka lets it, and sees no other.
fn may_what_kafka_says(client: &str, connection: &Connection, group: &str) {
    let mut client = start(client, connection);
    let _ = client.does("produce", json!({ "topic": "open", "records": records(group, 3) }));
    let with = json!({ "topic": "open", "group": group, "count": 3, "linger_ms": 100 });
    let found = client.consumes_with(with);
    assert!(values(group, 3).iter().all(|value| found.contains(value)), "{found:?}");
    client.fails("produce", json!({ "topic": "closed", "records": records("x", 1) }), FORBIDDEN);
    assert_eq!(
        client.does("list_topics", json!({}))["topics"],
        json!(["open"]),
        "the virtual cluster, as far as Kafka lets it"
    );
}

#[test]
fn kafkas_rules_hold_in_a_virtual_cluster() {
    if !needs::met("kafkas_rules_hold_in_a_virtual_cluster", &["java-clients", "python", "go"]) {
        return;
    }
    let kafka = SecureKafka::start(&[&[WITH_ACLS[0], SUPER_USERS], &KNOWS_TOKENS[..]].concat());
    let provider = Provider::start();
    let port = free_ports(1).unwrap();
    let gateway = Gateway::start(&needs::sandbox_program(), &settings(&kafka, &provider, port)).unwrap();
    // With rules of its own it would refuse everything to accounts without any.
    gateway.virtual_cluster(TENANT, &json!({ "aclEnabled": true })).unwrap();
    for user in ["alice", BY_TOKEN] {
        let spec = json!({ "type": "EXTERNAL", "externalNames": [user] });
        gateway.account(TENANT, &format!("{user}-at-kafka"), &spec).unwrap();
        allow(&kafka, user);
    }
    let mut everybody = start("go", &kafka.as_user(At::Plaintext, "", ""));
    for topic in ["team.open", "team.closed", "open", "elsewhere"] {
        let _ = everybody.does("create_topic", json!({ "topic": topic }));
    }
    let by = |at: Connection| Connection { bootstrap: format!("127.0.0.1:{port}"), ..at };
    let alice = |mechanism: &str| by(kafka.as_user(At::SaslSsl, mechanism, "alice"));
    let token = |client: &str| Connection {
        mechanism: "OAUTHBEARER".to_owned(),
        username: client.to_owned(),
        token_endpoint: Some(format!("{}/token", provider.issuer)),
        ..alice("PLAIN")
    };
    may_what_kafka_says("java-clients", &alice("SCRAM-SHA-512"), "java");
    may_what_kafka_says("go", &alice("PLAIN"), "go");
    may_what_kafka_says("python", &alice("SCRAM-SHA-256"), "python");
    may_what_kafka_says("python", &token(BY_TOKEN), "token");

    let listed =
        start("java-clients", &alice("PLAIN")).does("tool", json!({ "tool": "kafka-acls", "arguments": ["--list"] }));
    assert_ne!(listed["status"], 0, "{listed}");
    assert!(listed.to_string().contains("KAFKA_MANAGED"), "{listed}");
    start("python", &token(&format!("{BY_TOKEN}.elsewhere"))).fails(
        "list_topics",
        json!({}),
        &["SASL_AUTHENTICATION_FAILED"],
    );
    let log = gateway.log();
    assert!(log.contains("made for 'elsewhere', which is not in oauth.expectedAudiences"), "{log}");
    log_is_calm(&log, &["audit.sinks is not set"]);
}
