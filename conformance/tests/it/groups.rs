//! Two console consumers of one group share its topic, while a group of the same name does so in the other sandbox.
//! Clients that can say what their members have are in `members`.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::needs;
use super::stand::{Stand, Team, records, values};

const RECORDS: usize = 40;
const PARTITIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn java_console_tools_members_share_a_topic() {
    if needs::met("java_console_tools_members_share_a_topic", &["java", "java-clients"]) {
        members_share("java");
    }
}

fn members_share(name: &str) {
    let stand = Stand::shared();
    let topic = format!("shared-{name}");
    for team in [&stand.payments, &stand.search] {
        team.client(name).does("create_topic", json!({ "topic": topic, "partitions": PARTITIONS }));
    }
    thread::scope(|scope| {
        let topic = topic.as_str();
        let read = |team| scope.spawn(move || read_on(team, name, topic));
        let readers = [read(&stand.payments), read(&stand.payments), read(&stand.search)];
        // Both have joined before there is anything to read, so that neither takes all of it.
        until_members(&stand.payments, topic, 2);
        until_members(&stand.search, topic, 1);
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

/// Reads on for a while after its first record: how many this member gets is not known before.
fn read_on(team: &Team, name: &str, topic: &str) -> Vec<String> {
    let with = json!({ "topic": topic, "group": topic, "count": 1, "timeout_ms": 90000, "linger_ms": 8000 });
    team.client(name).consumes_with(with)
}

/// Waits until the group has so many members, and all partitions are among them.
fn until_members(team: &Team, group: &str, members: usize) {
    let mut client = team.client("java-clients");
    let began = Instant::now();
    loop {
        let found = client.does("describe_group", json!({ "group": group }));
        if found["members"] == members && found["partitions"].as_array().is_some_and(|all| all.len() == PARTITIONS) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{members} members with {PARTITIONS} partitions, found {found}");
        thread::sleep(Duration::from_millis(500));
    }
}
