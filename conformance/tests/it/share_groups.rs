//! Share groups: records handed out one by one, in a group and a topic of the same names in both sandboxes.

use serde_json::{Value, json};

use super::needs;
use super::stand::{Stand, TeamClient, records, values};

#[test]
fn java_share_group() {
    if needs::met("java_share_group", &["java-clients"]) {
        handed_out_to_one_team("java-clients");
    }
}

#[test]
fn confluent_kafka_share_group() {
    if needs::met("confluent_kafka_share_group", &["python"]) {
        handed_out_to_one_team("python");
    }
}

#[test]
fn franz_go_share_group() {
    if needs::met("franz_go_share_group", &["go"]) {
        handed_out_to_one_team("go");
    }
}

/// What is released is handed out again and says so, what is accepted is not, and the other team's group does neither.
fn handed_out_to_one_team(name: &str) {
    let stand = Stand::shared();
    let topic = format!("handed-out-{name}");
    let (mut payments, mut search) = (stand.payments.client(name), stand.search.client(name));
    for (client, prefix, count) in [(&mut payments, "payments-", 6), (&mut search, "search-", 4)] {
        client.does("create_topic", json!({ "topic": topic, "partitions": 2 }));
        client.does("configure", json!({ "group": topic, "set": { "share.auto.offset.reset": "earliest" } }));
        client.does("produce", json!({ "topic": topic, "records": records(prefix, count) }));
    }
    let _ = share(&mut payments, &topic, "release", 6);
    assert_eq!(share(&mut search, &topic, "accept", 4), (values("search-", 4), 1));
    let (again, deliveries) = share(&mut payments, &topic, "accept", 6);
    assert_eq!(again, values("payments-", 6));
    assert!(deliveries > 1, "released records are handed out again, not {deliveries} times");
    for client in [&mut payments, &mut search] {
        assert_eq!(share(client, &topic, "accept", 0), (Vec::new(), 0), "what was accepted is not handed out again");
        // confluent-kafka lists consumer groups and no others.
        if name != "python" {
            let groups = client.does("list_groups", json!({}))["groups"].to_string();
            assert!(groups.contains(&topic) && !groups.contains(&stand.payments.prefix), "{groups}");
        }
    }
    stand.log_is_calm(&[]);
}

/// The values handed out, sorted, and the fewest times that one of them has been so far.
fn share(client: &mut TeamClient, topic: &str, acknowledge: &str, count: usize) -> (Vec<String>, u64) {
    // Who waits for nothing waits a while; who releases must not wait, or is given the same records until they count as bad.
    let (timeout, linger) =
        if count == 0 { (4000, 0) } else { (30000, if acknowledge == "release" { 0 } else { 1000 }) };
    let with = json!({
        "topic": topic, "group": topic, "acknowledge": acknowledge, "count": count, "timeout_ms": timeout, "linger_ms": linger,
    });
    let answer = client.does("share", with);
    let records = answer["records"].as_array().expect("records");
    let mut found: Vec<String> = records.iter().map(|record| record["value"].as_str().unwrap().to_owned()).collect();
    found.sort();
    let deliveries = |record: &Value| record["deliveries"].as_u64().unwrap();
    (found, records.iter().map(deliveries).min().unwrap_or_default())
}
