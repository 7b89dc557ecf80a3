//! Kafka Streams and Kafka Connect, with everything they keep in Kafka, in both sandboxes under the same names.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::needs;
use super::stand::{Stand, Team, TeamClient};

const JAVA: &str = "java-clients";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn java_streams_word_count_in_a_classic_group() {
    if needs::met("java_streams_word_count_in_a_classic_group", &[JAVA]) {
        word_count("classic");
    }
}

#[test]
fn java_streams_word_count_in_a_streams_group() {
    if needs::met("java_streams_word_count_in_a_streams_group", &[JAVA]) {
        word_count("streams");
    }
}

/// One run of the same application in both sandboxes, stopped and begun anew with nothing but what is in Kafka.
fn word_count(protocol: &str) {
    let stand = Stand::shared();
    let names = |what: &str| format!("{what}-{protocol}");
    let mut teams = [stand.payments.client(JAVA), stand.search.client(JAVA)];
    let lines = [["to be or not to be", "to do"], ["not a line", "a line"]];
    for client in &mut teams {
        for topic in ["lines", "counts"] {
            client.does("create_topic", json!({ "topic": names(topic), "partitions": 2 }));
        }
    }
    for round in 0..2 {
        for (client, lines) in teams.iter_mut().zip(lines) {
            let records = json!([{ "key": "line", "value": lines[round] }]);
            client.does("produce", json!({ "topic": names("lines"), "records": records }));
            let with = json!({
                "application_id": names("word-count"), "source": names("lines"), "target": names("counts"), "protocol": protocol,
            });
            client.does("streams_start", with);
        }
        for (client, lines) in teams.iter_mut().zip(lines) {
            counts_are(client, &names("counts"), &format!("reader-{round}"), &lines[..=round]);
        }
        for client in &mut teams {
            let application = json!({ "application_id": names("word-count") });
            let state = client.does("streams_state", application.clone());
            assert_eq!(state, json!({ "state": "RUNNING", "failure": null }));
            if protocol == "streams" {
                is_a_streams_group(client, &names("word-count"));
            }
            assert_eq!(client.does("streams_stop", application)["stopped"], true);
        }
    }
    for (client, team) in teams.iter_mut().zip([&stand.payments, &stand.search]) {
        let kept = [names("word-count") + "-counts-changelog", names("word-count") + "-words-repartition"];
        keeps_topics(client, team, &kept);
    }
    stand.log_is_calm(&[]);
}

/// By the words of Kafka's own tool.
fn is_a_streams_group(client: &mut TeamClient, group: &str) {
    let mut runs = |arguments: &[&str]| {
        let result = client.does("tool", json!({ "tool": "kafka-streams-groups", "arguments": arguments }));
        assert_eq!(result["status"], 0, "{result}");
        result["stdout"].as_str().unwrap().to_owned()
    };
    assert!(runs(&["--list"]).lines().any(|name| name == group));
    let members = runs(&["--describe", "--members", "--group", group]);
    assert!(members.lines().any(|line| line.starts_with(group)), "{members}");
    let offsets = runs(&["--describe", "--group", group]);
    assert!(offsets.contains(&format!("{group}-words-repartition")), "{offsets}");
}

/// Every word of the lines so far was counted once for each time it is there, and no other word was.
fn counts_are(client: &mut TeamClient, topic: &str, group: &str, lines: &[&str]) {
    let mut expected = BTreeMap::<&str, u64>::new();
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
    for word in &words {
        *expected.entry(word).or_default() += 1;
    }
    let group = format!("{group}-{topic}");
    let read =
        client.does("consume", json!({ "topic": topic, "group": group, "count": words.len(), "timeout_ms": 60000 }));
    let mut counts = BTreeMap::<&str, Vec<u64>>::new();
    for record in read["records"].as_array().unwrap() {
        let count = record["value"].as_str().unwrap().parse().unwrap();
        counts.entry(record["key"].as_str().unwrap()).or_default().push(count);
    }
    // Exactly once: a word that is there three times is counted 1, 2, 3, also across the restart.
    let expected: BTreeMap<&str, Vec<u64>> =
        expected.into_iter().map(|(word, count)| (word, (1..=count).collect())).collect();
    assert_eq!(counts, expected);
}

fn keeps_topics(client: &mut TeamClient, team: &Team, topics: &[String]) {
    let listed = client.does("list_topics", json!({}))["topics"].to_string();
    for topic in topics {
        assert!(listed.contains(&json!(topic).to_string()), "{topic} is not in {listed}");
    }
    assert!(!listed.contains(&team.prefix), "{listed}");
}

/// A source copies a file into a topic and a sink the topic into a file, with workers of one name in both sandboxes.
#[test]
fn java_connect_from_file_to_file() {
    if !needs::met("java_connect_from_file_to_file", &[JAVA]) {
        return;
    }
    let stand = Stand::shared();
    let mut teams = [
        ("payments", &stand.payments, stand.payments.client(JAVA)),
        ("search", &stand.search, stand.search.client(JAVA)),
    ];
    let folder = Folder::new();
    for (team, _, client) in &mut teams {
        fs::write(folder.file(team, "in"), format!("{team} one\n{team} two\n")).unwrap();
        client.does("connect_start", json!({ "group": "copying" }));
        let source = json!({
            "connector.class": "FileStreamSource", "tasks.max": "1", "topic": "copied", "file": folder.file(team, "in"),
            "topic.creation.default.partitions": "2", "topic.creation.default.replication.factor": "1",
        });
        put(client, "in", &source);
        let sink = json!({
            "connector.class": "FileStreamSink", "tasks.max": "1", "topics": "copied", "file": folder.file(team, "out"),
            "consumer.override.auto.offset.reset": "earliest",
        });
        put(client, "out", &sink);
    }
    for (team, ..) in &teams {
        folder.until_out_is(team, &format!("{team} one\n{team} two\n"));
    }
    for (team, place, client) in &mut teams {
        for connector in ["in", "out"] {
            runs(client, connector);
        }
        keeps_topics(
            client,
            place,
            &["copied", "copying-configs", "copying-offsets", "copying-status"].map(str::to_owned),
        );
        let groups = client.does("list_groups", json!({}))["groups"].to_string();
        assert!(groups.contains("\"copying\"") && groups.contains("\"connect-out\""), "{groups}");

        // A new worker knows from Kafka what it has to do, and how far the old one came.
        client.does("connect_stop", json!({}));
        fs::write(folder.file(team, "in"), format!("{team} one\n{team} two\n{team} three\n")).unwrap();
        client.does("connect_start", json!({ "group": "copying" }));
    }
    for (team, ..) in &teams {
        folder.until_out_is(team, &format!("{team} one\n{team} two\n{team} three\n"));
    }
    for (.., client) in &mut teams {
        client.does("connect_stop", json!({}));
    }
    stand.log_is_calm(&[]);
}

fn put(client: &mut TeamClient, name: &str, config: &Value) {
    let answer = client.does("connect_put", json!({ "name": name, "config": config }));
    assert_eq!(answer["status"], 201, "{answer}");
}

fn runs(client: &mut TeamClient, connector: &str) {
    let answer = client.does("connect_status", json!({ "name": connector }));
    assert_eq!(answer["body"]["connector"]["state"], "RUNNING", "{answer}");
    assert_eq!(answer["body"]["tasks"][0]["state"], "RUNNING", "{answer}");
}

/// Files of both teams, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("copying-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, team: &str, what: &str) -> PathBuf {
        self.0.join(format!("{team}-{what}.txt"))
    }

    fn until_out_is(&self, team: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let found = fs::read_to_string(self.file(team, "out")).unwrap_or_default();
            if found == expected {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE && expected.starts_with(&found),
                "{team} copied {found:?}, not {expected:?}"
            );
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
