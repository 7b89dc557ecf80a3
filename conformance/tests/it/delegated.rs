//! Kafka decides who clients are: real clients log in through the gateway with what Kafka knows them by, are to Kafka who they
//! are, and log in again while they work (KIP-368).

use conformance::drivers::Connection;
use serde_json::json;

use super::needs;
use super::secure_kafka::{At, SecureKafka, WITH_ACLS};
use super::stand::{self, records, start, values};
use super::upstream::{Gateway, LIFETIME, PASSWORD, password, works_for_ten_seconds};

const REFUSED: &[&str] = &["SASL_AUTHENTICATION_FAILED"];
/// The gateway looks at all of Kafka for its clients.
pub(crate) const SUPER_USERS: (&str, &str) = ("super.users", "User:ANONYMOUS;User:admin;User:gateway");

/// Without a protocol of its own, the gateway takes logins as Kafka does.
fn delegating(kafka: &SecureKafka) -> Gateway {
    let login = password("PLAIN", PASSWORD);
    let gateway = Gateway::serving(&kafka.address(At::Sasl), "SASL_PLAINTEXT", &login, json!({}));
    gateway.is_ready();
    gateway
}

fn as_user(kafka: &SecureKafka, gateway: &Gateway, mechanism: &str, user: &str) -> Connection {
    Connection { bootstrap: gateway.clients.clone(), ..kafka.as_user(At::Sasl, mechanism, user) }
}

#[test]
fn clients_are_to_kafka_who_they_are() {
    if !needs::met("clients_are_to_kafka_who_they_are", &["kcat", "java", "go", "python"]) {
        return;
    }
    let with_acls = [WITH_ACLS[0], SUPER_USERS];
    let kafka = SecureKafka::start(&with_acls);
    let gateway = delegating(&kafka);
    let said = "clients.securityProtocol is not set: DELEGATED_SASL_PLAINTEXT, as the upstream is SASL_PLAINTEXT";
    assert!(gateway.log().contains(said), "{}", gateway.log());
    // Not SCRAM with kcat: librdkafka before 2.6.1 ends it with a wrong nonce, which Kafka refuses as well (CVE-2024-56128).
    let ways = [
        ("go", "PLAIN"),
        ("go", "SCRAM-SHA-256"),
        ("kcat", "PLAIN"),
        ("java", "PLAIN"),
        ("java", "SCRAM-SHA-512"),
        ("python", "PLAIN"),
        ("python", "SCRAM-SHA-512"),
    ];
    for (number, (client, mechanism)) in ways.into_iter().enumerate() {
        let topic = format!("way-{number}");
        let mut admin = start("go", &as_user(&kafka, &gateway, "PLAIN", "admin"));
        let _ = admin.does("create_topic", json!({ "topic": topic }));
        let mut known = start(client, &as_user(&kafka, &gateway, mechanism, "admin"));
        let _ = known.does("produce", json!({ "topic": topic, "records": records("r", 3) }));
        assert_eq!(known.consumes(&topic, &format!("{topic}-readers"), 3), values("r", 3), "{client} {mechanism}");
        // Kafka's rules hold: alice may nothing.
        let mut alice = start(client, &as_user(&kafka, &gateway, mechanism, "alice"));
        alice.refuses_to("produce", json!({ "topic": topic, "records": records("r", 1) }));
        let wrong = Connection { password: "wr0ng".to_owned(), ..as_user(&kafka, &gateway, mechanism, "alice") };
        start(client, &wrong).fails("list_topics", json!({}), REFUSED);
    }
    assert!(!gateway.log().contains("wr0ng") && !gateway.log().contains("admin-secret"), "a password in the log");
}

/// Clients stay for several lifetimes of their logins, and none of their requests fails.
#[test]
fn clients_log_in_again_at_kafka_while_they_work() {
    if !needs::met("clients_log_in_again_at_kafka_while_they_work", &["python"]) {
        return;
    }
    let kafka = SecureKafka::start(&[LIFETIME]);
    let gateway = delegating(&kafka);
    for (client, mechanism) in [("python", "PLAIN"), ("python", "SCRAM-SHA-512")] {
        works_for_ten_seconds(client, &as_user(&kafka, &gateway, mechanism, "alice"), mechanism);
        let counter = format!("gateway_reauthentications_total{{mechanism=\"{mechanism}\",outcome=\"success\"}}");
        assert!(gateway.counter(&counter) >= 3, "{}", gateway.log());
    }
    assert_eq!(gateway.counter("gateway_isolation_violations_total"), 0);
    stand::log_is_calm(&gateway.log(), &["audit.sinks is not set", "clients."]);
}
