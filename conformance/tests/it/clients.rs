//! Each client in both sandboxes at once, with the same names in both: nothing crosses.

use serde_json::json;

use super::needs;
use super::stand::{Stand, Team, TeamClient, records, values};

/// The same steps in both sandboxes, with values that tell the teams apart. Names are the test's own: tests share a stand.
fn nothing_crosses(name: &str) {
    let stand = Stand::shared();
    let topic = format!("orders-{name}");
    let group = format!("billing-{name}");
    let (mut payments, mut search) = (stand.payments.client(name), stand.search.client(name));
    create(&stand.payments, &mut payments, &topic, 2);
    create(&stand.search, &mut search, &topic, 3);
    assert_eq!(payments.does("describe_topic", json!({ "topic": topic }))["partitions"], 2);
    assert_eq!(search.does("describe_topic", json!({ "topic": topic }))["partitions"], 3);

    payments.does("produce", json!({ "topic": topic, "records": records("payments-", 20) }));
    search.does("produce", json!({ "topic": topic, "records": records("search-", 10) }));
    assert_eq!(payments.consumes(&topic, &group, 20), values("payments-", 20));
    assert_eq!(search.consumes(&topic, &group, 10), values("search-", 10));

    // The group goes on where it stood.
    payments.does("produce", json!({ "topic": topic, "records": records("later-", 3) }));
    assert_eq!(payments.consumes(&topic, &group, 3), values("later-", 3));
    lists(&mut payments, &topic, &stand);
    lists(&mut search, &topic, &stand);
    names_of_the_broker_are_unknown(&mut search, &stand, &topic);
    stand.log_is_calm(&[]);
}

/// kcat cannot create topics; another client does it for the same team.
fn create(team: &Team, client: &mut TeamClient, topic: &str, partitions: u32) {
    let with = json!({ "topic": topic, "partitions": partitions });
    if client.can("create_topic") {
        client.does("create_topic", with.clone());
        client.fails("create_topic", with, &["TOPIC_ALREADY_EXISTS"]);
    } else {
        team.client("python").does("create_topic", with);
    }
}

/// Only names as the team gave them, whatever else is on the broker.
fn lists(client: &mut TeamClient, topic: &str, stand: &Stand) {
    let mut seen = vec![client.does("list_topics", json!({}))["topics"].clone()];
    if client.can("list_groups") {
        seen.push(client.does("list_groups", json!({}))["groups"].clone());
    }
    let text = json!(seen).to_string();
    assert!(text.contains(topic), "{topic} is not in {text}");
    for prefix in [&stand.payments.prefix, &stand.search.prefix] {
        assert!(!text.contains(prefix.as_str()), "{prefix} is in {text}");
    }
}

fn names_of_the_broker_are_unknown(client: &mut TeamClient, stand: &Stand, topic: &str) {
    const UNKNOWN: &[&str] = &["UNKNOWN_TOPIC_OR_PARTITION"];
    for prefix in [&stand.payments.prefix, &stand.search.prefix] {
        let physical = format!("{prefix}{topic}");
        client.fails("describe_topic", json!({ "topic": physical }), UNKNOWN);
        client.fails("produce", json!({ "topic": physical, "records": records("stray-", 1) }), UNKNOWN);
    }
}

#[test]
fn kcat_in_two_sandboxes() {
    if needs::met("kcat_in_two_sandboxes", &["kcat", "python"]) {
        nothing_crosses("kcat");
    }
}

#[test]
fn java_console_tools_in_two_sandboxes() {
    if needs::met("java_console_tools_in_two_sandboxes", &["java"]) {
        nothing_crosses("java");
    }
}

#[test]
fn java_clients_in_two_sandboxes() {
    if needs::met("java_clients_in_two_sandboxes", &["java-clients"]) {
        nothing_crosses("java-clients");
    }
}

#[test]
fn confluent_kafka_in_two_sandboxes() {
    if needs::met("confluent_kafka_in_two_sandboxes", &["python"]) {
        nothing_crosses("python");
    }
}

#[test]
fn franz_go_in_two_sandboxes() {
    if needs::met("franz_go_in_two_sandboxes", &["go"]) {
        nothing_crosses("go");
    }
}

#[test]
fn java_transactions() {
    if needs::met("java_transactions", &["java-clients"]) {
        transactions("java-clients");
    }
}

#[test]
fn confluent_kafka_transactions() {
    if needs::met("confluent_kafka_transactions", &["python"]) {
        transactions("python");
    }
}

#[test]
fn franz_go_transactions() {
    if needs::met("franz_go_transactions", &["go"]) {
        transactions("go");
    }
}

/// One team commits while the other aborts under the same transactional id; neither touches the other.
fn transactions(name: &str) {
    let stand = Stand::shared();
    // Clients that run at the same time would not agree on a protocol in one group.
    let (topic, id, group) = (format!("ledger-{name}"), format!("settle-{name}"), format!("audit-{name}"));
    let (mut payments, mut search) = (stand.payments.client(name), stand.search.client(name));
    for client in [&mut payments, &mut search] {
        client.does("create_topic", json!({ "topic": topic, "partitions": 2 }));
    }
    for (round, end) in [(1, "commit"), (2, "abort"), (3, "commit")] {
        let with = |team: &str, end: &str| {
            let records = records(&format!("{team}-{round}-"), 4);
            json!({ "transactional_id": id, "topic": topic, "records": records, "end": end })
        };
        payments.does("transaction", with("payments", end));
        search.does("transaction", with("search", "abort"));
    }
    let committed = [values("payments-1-", 4), values("payments-3-", 4)].concat();
    assert_eq!(payments.consumes(&topic, &group, 8), committed);
    search.does("produce", json!({ "topic": topic, "records": records("search-plain-", 1) }));
    assert_eq!(search.consumes(&topic, &group, 1), values("search-plain-", 1));
    stand.log_is_calm(&[]);
}

#[test]
fn java_consume_process_produce() {
    if needs::met("java_consume_process_produce", &["java-clients"]) {
        exactly_once("java-clients", "classic");
    }
}

#[test]
fn java_consume_process_produce_in_a_consumer_group() {
    if needs::met("java_consume_process_produce_in_a_consumer_group", &["java-clients"]) {
        exactly_once("java-clients", "consumer");
    }
}

#[test]
fn confluent_kafka_consume_process_produce() {
    if needs::met("confluent_kafka_consume_process_produce", &["python"]) {
        exactly_once("python", "classic");
    }
}

#[test]
fn confluent_kafka_consume_process_produce_in_a_consumer_group() {
    if needs::met("confluent_kafka_consume_process_produce_in_a_consumer_group", &["python"]) {
        exactly_once("python", "consumer");
    }
}

#[test]
fn franz_go_consume_process_produce() {
    if needs::met("franz_go_consume_process_produce", &["go"]) {
        exactly_once("go", "classic");
    }
}

/// What an aborted run read is read again, what a committed one read is not; in both sandboxes under the same names.
fn exactly_once(name: &str, protocol: &str) {
    let stand = Stand::shared();
    let of = |what: &str| format!("{what}-{name}-{protocol}");
    let mut teams = [("payments", stand.payments.client(name)), ("search", stand.search.client(name))];
    for (team, client) in &mut teams {
        for topic in ["raw", "cooked"] {
            client.does("create_topic", json!({ "topic": of(topic) }));
        }
        client.does("produce", json!({ "topic": of("raw"), "records": records(&format!("{team}-"), 5) }));
    }
    for end in ["abort", "commit"] {
        for (team, client) in &mut teams {
            let with = json!({
                "transactional_id": of("cook"), "group": of("cooks"), "source": of("raw"), "target": of("cooked"),
                "count": 5, "end": end, "protocol": protocol,
            });
            assert_eq!(client.does("transform", with)["acked"], 5, "{team}, {end}");
        }
    }
    for (team, client) in &mut teams {
        assert_eq!(client.consumes(&of("cooked"), &of("eaters"), 5), values(&format!("{}-", team.to_uppercase()), 5));
        client.does("produce", json!({ "topic": of("raw"), "records": records(&format!("{team}-late-"), 1) }));
        let with = json!({ "topic": of("raw"), "group": of("cooks"), "count": 1, "protocol": protocol });
        assert_eq!(client.consumes_with(with), values(&format!("{team}-late-"), 1));
    }
    stand.log_is_calm(&[]);
}
