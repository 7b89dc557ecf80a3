//! Every mechanism with every client that can speak it, with the right password and with a wrong one.

use serde_json::json;

use super::needs;
use super::stand::Stand;

const REFUSED: &[&str] = &["SASL_AUTHENTICATION_FAILED"];

fn logs_in(name: &str, mechanisms: &[&str]) {
    let stand = Stand::shared();
    for mechanism in mechanisms {
        let _ = stand.payments.client_over(name, mechanism, None).does("list_topics", json!({}));
        stand.payments.client_over(name, mechanism, Some("wrong")).fails("list_topics", json!({}), REFUSED);
    }
    stand.log_is_calm(&[]);
}

const ALL: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// SCRAM too: librdkafka before 2.6.1 ends it with its own nonce doubled, which the gateway takes and Kafka refuses.
#[test]
fn kcat_logs_in() {
    if needs::met("kcat_logs_in", &["kcat"]) {
        logs_in("kcat", ALL);
    }
}

#[test]
fn java_console_tools_log_in() {
    if needs::met("java_console_tools_log_in", &["java"]) {
        logs_in("java", ALL);
    }
}

#[test]
fn confluent_kafka_logs_in() {
    if needs::met("confluent_kafka_logs_in", &["python"]) {
        logs_in("python", ALL);
    }
}

#[test]
fn franz_go_logs_in() {
    if needs::met("franz_go_logs_in", &["go"]) {
        logs_in("go", ALL);
    }
}
