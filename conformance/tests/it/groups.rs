//! Two console consumers of one group share its topic, while a group of the same name does so in the other sandbox.
//! Clients that can say what their members have are in `members`.

use std::thread;

use serde_json::json;

use super::needs;
use super::stand::{Stand, Team, records, values};

const RECORDS: usize = 40;

#[test]
fn java_console_tools_members_share_a_topic() {
    if needs::met("java_console_tools_members_share_a_topic", &["java"]) {
        members_share("java");
    }
}

fn members_share(name: &str) {
    let stand = Stand::shared();
    let topic = format!("shared-{name}");
    for team in [&stand.payments, &stand.search] {
        team.client(name).does("create_topic", json!({ "topic": topic, "partitions": 4 }));
    }
    thread::scope(|scope| {
        let topic = topic.as_str();
        let read = |team| scope.spawn(move || read_on(team, name, topic));
        let readers = [read(&stand.payments), read(&stand.payments), read(&stand.search)];
        // Let both members join before there is anything to read, so that neither takes all of it.
        thread::sleep(std::time::Duration::from_secs(8));
        let produce = |team: &Team, prefix| {
            let _ = team.client(name).does("produce", json!({ "topic": topic, "records": records(prefix, RECORDS) }));
        };
        produce(&stand.payments, "payments-");
        produce(&stand.search, "search-");

        let [one, two, alone] = readers.map(|reader| reader.join().expect("a reader"));
        assert!(!one.is_empty() && !two.is_empty(), "one member read everything: {} and {}", one.len(), two.len());
        let mut both = [one, two].concat();
        both.sort();
        assert_eq!(both, values("payments-", RECORDS));
        assert_eq!(alone, values("search-", RECORDS));
    });
    stand.log_is_calm(&[]);
}

/// Reads until the time is up: how many records this member gets is not known before.
fn read_on(team: &Team, name: &str, topic: &str) -> Vec<String> {
    let more_than_there_are = RECORDS + 1;
    let with = json!({ "topic": topic, "group": format!("workers-{name}"), "count": more_than_there_are, "timeout_ms": 18000 });
    team.client(name).consumes_with(with)
}
