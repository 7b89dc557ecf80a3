//! The broker goes away under load and comes back: what was acknowledged is there, once.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::broker::Broker;
use super::needs;
use super::stand::{Stand, TeamClient};

const BEFORE: u64 = 500;
const AFTER: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(180);

/// What the gateway may well log while its upstream is gone.
const UPSTREAM_GONE: &[&str] = &["Kafka is not reachable; trying again"];

#[test]
fn a_broker_restart_loses_nothing_acknowledged() {
    if needs::met("a_broker_restart_loses_nothing_acknowledged", &["python"]) {
        nothing_is_lost(Broker::restart);
    }
}

#[test]
fn a_broker_crash_loses_nothing_acknowledged() {
    if needs::met("a_broker_crash_loses_nothing_acknowledged", &["python"]) {
        nothing_is_lost(Broker::crash);
    }
}

fn nothing_is_lost(disturb: impl Fn(&Broker)) {
    let stand = Stand::own();
    let mut teams = [("payments", stand.payments.client("python")), ("search", stand.search.client("python"))];
    for (name, client) in &mut teams {
        client.does("create_topic", json!({ "topic": "load", "partitions": 2 }));
        client.does("load_start", json!({ "topic": "load", "name": format!("{name}-"), "per_second": 300 }));
    }
    for (_, client) in &mut teams {
        let _ = grows_to(client, BEFORE);
    }
    disturb(&stand.broker);
    for (_, client) in &mut teams {
        let so_far = acked(client);
        let _ = grows_to(client, so_far + AFTER);
    }
    for (name, client) in &mut teams {
        let stopped = client.does("load_stop", json!({}));
        assert_eq!(stopped["failed"], json!([]), "the producer gave up on records of {name}");
        let mut sent: Vec<String> = serde_json::from_value(stopped["values"].clone()).unwrap();
        sent.sort();
        let found = client.consumes("load", "after", sent.len());
        let lost: Vec<_> = sent.iter().filter(|value| found.binary_search(value).is_err()).collect();
        assert!(lost.is_empty(), "{} of {} records of {name} are lost: {lost:?}", lost.len(), sent.len());
        // The producer is idempotent: a record retried is not a record twice. And nothing of the other team.
        assert_eq!(found.len(), sent.len(), "{name} found more than it sent");
        println!("{name}: {} records acknowledged before, during and after, all found once", sent.len());
    }
    stand.log_is_calm(UPSTREAM_GONE);
}

fn acked(client: &mut TeamClient) -> u64 {
    client.does("load_progress", json!({}))["acked"].as_u64().expect("a number")
}

fn grows_to(client: &mut TeamClient, wanted: u64) -> u64 {
    let began = Instant::now();
    loop {
        let now = acked(client);
        if now >= wanted {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{now} of {wanted} records acknowledged after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}
