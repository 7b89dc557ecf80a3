//! Kafka's command-line tools and its Admin client, in both sandboxes on the same names: each does what it should, and
//! prints only what is the team's, under the names that the team gave.

use serde_json::{Value, json};

use super::needs;
use super::stand::{Stand, TeamClient, records};

const JAVA: &str = "java-clients";

/// One team at its terminal.
struct Terminal<'a> {
    stand: &'a Stand,
    client: TeamClient,
    /// Tells the teams apart where they would be the same.
    size: u64,
}

impl Terminal<'_> {
    /// What a tool prints when it ends well.
    fn runs(&mut self, tool: &str, arguments: &[&str]) -> String {
        self.runs_with(json!({ "tool": tool, "arguments": arguments }))
    }

    fn runs_with(&mut self, with: Value) -> String {
        let (result, printed) = self.tries(with);
        assert_eq!(result["status"], 0, "{result}");
        printed
    }

    fn tries(&mut self, with: Value) -> (Value, String) {
        let result = self.client.does("tool", with);
        let printed = result["stdout"].as_str().unwrap().to_owned();
        self.shows_no_other_name(&result.to_string());
        (result, printed)
    }

    fn shows_no_other_name(&self, text: &str) {
        for secret in [&self.stand.payments.prefix, &self.stand.search.prefix, &self.stand.broker.address] {
            assert!(!text.contains(secret.as_str()), "{secret} is in {text}");
        }
    }

    /// What the Admin client answers.
    fn does(&mut self, action: &str, with: Value) -> Value {
        let answer = self.client.does(action, with);
        self.shows_no_other_name(&answer.to_string());
        answer
    }

    /// A topic with a number of records that only this team has.
    fn topic(&mut self, topic: &str) {
        self.does("create_topic", json!({ "topic": topic }));
        let records = records("r-", usize::try_from(self.size).unwrap());
        self.does("produce", json!({ "topic": topic, "records": records }));
    }

    fn consumes(&mut self, topic: &str, group: &str) {
        let read = self.client.consumes(topic, group, usize::try_from(self.size).unwrap());
        assert_eq!(read.len() as u64, self.size);
    }
}

/// Runs the same in both sandboxes, one step behind the other.
fn in_both(test: &str, steps: &[&dyn Fn(&mut Terminal<'_>)]) {
    if !needs::met(test, &[JAVA]) {
        return;
    }
    let stand = Stand::shared();
    let mut teams = [(&stand.payments, 7), (&stand.search, 3)].map(|(team, size)| Terminal {
        stand: &stand,
        client: team.client(JAVA),
        size,
    });
    for step in steps {
        for team in &mut teams {
            step(team);
        }
    }
    stand.log_is_calm(&[]);
}

/// The line of a table that begins with these words, as words.
fn line(printed: &str, begins: &[&str]) -> Vec<String> {
    let lines = printed.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let found: Vec<_> =
        lines.filter(|words| words.len() >= begins.len() && words.iter().zip(begins).all(|(a, b)| a == b)).collect();
    assert_eq!(found.len(), 1, "lines that begin with {begins:?} in\n{printed}");
    found.into_iter().next().unwrap()
}

#[test]
fn kafka_topics_tool() {
    const TOPIC: &str = "topics-tool";
    in_both(
        "kafka_topics_tool",
        &[
            &|team| {
                let partitions = team.size.to_string();
                let printed = team.runs("kafka-topics", &["--create", "--topic", TOPIC, "--partitions", &partitions]);
                assert_eq!(printed, format!("Created topic {TOPIC}.\n"));
            },
            &|team| {
                assert!(team.runs("kafka-topics", &["--list"]).lines().any(|name| name == TOPIC));
                let described = team.runs("kafka-topics", &["--describe", "--topic", TOPIC]);
                assert_eq!(described.lines().count() as u64, team.size + 1, "{described}");
                assert!(described.starts_with(&format!("Topic: {TOPIC}\t")), "{described}");
                let partitions = (team.size + 1).to_string();
                let _ = team.runs("kafka-topics", &["--alter", "--topic", TOPIC, "--partitions", &partitions]);
                let described = team.runs("kafka-topics", &["--describe", "--topic", TOPIC]);
                assert_eq!(described.lines().count() as u64, team.size + 2, "{described}");
            },
            &|team| {
                let _ = team.runs("kafka-topics", &["--delete", "--topic", TOPIC]);
                let (result, printed) =
                    team.tries(json!({ "tool": "kafka-topics", "arguments": ["--describe", "--topic", TOPIC] }));
                assert_eq!(result["status"], 1);
                assert!(printed.contains(&format!("Topic '{TOPIC}' does not exist as expected")), "{printed}");
            },
        ],
    );
}

#[test]
fn kafka_configs_tool() {
    const TOPIC: [&str; 4] = ["--entity-type", "topics", "--entity-name", "configs-tool"];
    const GROUP: [&str; 4] = ["--entity-type", "groups", "--entity-name", "configs-tool-group"];
    in_both(
        "kafka_configs_tool",
        &[
            &|team| {
                team.topic(TOPIC[3]);
                let retention = format!("retention.ms={}000000000", team.size);
                let _ = team.runs("kafka-configs", &[&["--alter", "--add-config", &retention][..], &TOPIC].concat());
                let timeout = format!("consumer.session.timeout.ms={}0000", 4 + team.size % 2);
                let _ = team.runs("kafka-configs", &[&["--alter", "--add-config", &timeout][..], &GROUP].concat());
            },
            &|team| {
                let described = team.runs("kafka-configs", &[&["--describe"][..], &TOPIC].concat());
                assert!(described.contains(&format!("retention.ms={}000000000 ", team.size)), "{described}");
                let described = team.runs("kafka-configs", &[&["--describe"][..], &GROUP].concat());
                assert!(
                    described.contains(&format!("consumer.session.timeout.ms={}0000 ", 4 + team.size % 2)),
                    "{described}"
                );
                let _ =
                    team.runs("kafka-configs", &[&["--alter", "--delete-config", "retention.ms"][..], &TOPIC].concat());
                let described = team.runs("kafka-configs", &[&["--describe"][..], &TOPIC].concat());
                assert!(!described.contains("retention.ms"), "{described}");
            },
        ],
    );
}

#[test]
fn kafka_consumer_groups_tool() {
    const NAME: &str = "consumer-groups-tool";
    let of = |more: &[&'static str]| [&["--group", NAME][..], more].concat();
    in_both(
        "kafka_consumer_groups_tool",
        &[
            &|team| {
                team.topic(NAME);
                team.consumes(NAME, NAME);
            },
            &|team| {
                assert!(team.runs("kafka-consumer-groups", &["--list"]).lines().any(|name| name == NAME));
                let size = team.size.to_string();
                let described = team.runs("kafka-consumer-groups", &of(&["--describe"]));
                assert_eq!(line(&described, &[NAME, NAME])[2..6], ["0", &size, &size, "0"], "{described}");
                assert!(team.runs("kafka-consumer-groups", &of(&["--describe", "--state"])).contains("Empty"));
                let reset = ["--reset-offsets", "--topic", NAME, "--to-earliest", "--execute"];
                assert_eq!(line(&team.runs("kafka-consumer-groups", &of(&reset)), &[NAME, NAME])[3], "0");
                let other = ["--delete-offsets", "--topic", NAME];
                assert_eq!(line(&team.runs("kafka-consumer-groups", &of(&other)), &[NAME])[2], "Successful");
                let _ = team.runs("kafka-consumer-groups", &of(&reset));
            },
            &|team| {
                let described = team.runs("kafka-consumer-groups", &of(&["--describe"]));
                let size = team.size.to_string();
                assert_eq!(line(&described, &[NAME, NAME])[2..6], ["0", "0", &size, &size], "{described}");
                team.does("member_start", json!({ "member": "one", "group": NAME, "topic": NAME }));
                team.client.until_partitions("one", 1);
                let described = team.runs("kafka-consumer-groups", &of(&["--describe", "--members", "--verbose"]));
                assert!(described.contains(&format!("{NAME}:0")), "{described}");
                team.does("member_stop", json!({ "member": "one" }));
                let deleted = team.runs("kafka-consumer-groups", &of(&["--delete"]));
                assert!(deleted.contains("was successful"), "{deleted}");
                assert!(!team.runs("kafka-consumer-groups", &["--list"]).contains(NAME));
            },
        ],
    );
}

#[test]
fn kafka_share_groups_tool() {
    const NAME: &str = "share-groups-tool";
    let of = |more: &[&'static str]| [&["--group", NAME][..], more].concat();
    in_both(
        "kafka_share_groups_tool",
        &[
            &|team| {
                team.topic(NAME);
                let set = json!({ "share.auto.offset.reset": "earliest" });
                team.does("configure", json!({ "group": NAME, "set": set }));
                let read = team.does("share", json!({ "topic": NAME, "group": NAME, "count": team.size }));
                assert_eq!(read["records"].as_array().unwrap().len() as u64, team.size);
            },
            &|team| {
                assert!(team.runs("kafka-share-groups", &["--list"]).lines().any(|name| name == NAME));
                assert_eq!(line(&team.runs("kafka-groups", &["--list"]), &[NAME])[1], "Share");
                // The start offset is behind what was accepted as long as the coordinator likes; the lag is not.
                let described = team.runs("kafka-share-groups", &of(&["--describe"]));
                assert_eq!(line(&described, &[NAME, NAME])[4], "0", "{described}");
                let reset = ["--reset-offsets", "--topic", NAME, "--to-earliest", "--execute"];
                assert_eq!(line(&team.runs("kafka-share-groups", &of(&reset)), &[NAME, NAME])[3], "0");
            },
            &|team| {
                let described = team.runs("kafka-share-groups", &of(&["--describe"]));
                assert_eq!(line(&described, &[NAME, NAME])[4], team.size.to_string(), "{described}");
                let forgotten = team.runs("kafka-share-groups", &of(&["--delete-offsets", "--topic", NAME]));
                assert!(forgotten.contains("Successful"), "{forgotten}");
                let deleted = team.runs("kafka-share-groups", &of(&["--delete"]));
                assert!(deleted.contains("successful"), "{deleted}");
                assert!(!team.runs("kafka-share-groups", &["--list"]).contains(NAME));
            },
        ],
    );
}

#[test]
fn kafka_transactions_tool() {
    const NAME: &str = "transactions-tool";
    in_both(
        "kafka_transactions_tool",
        &[
            &|team| {
                team.topic(NAME);
                let records = records("open-", 1);
                let with = json!({ "transactional_id": NAME, "topic": NAME, "records": records, "end": "leave" });
                team.does("transaction", with);
            },
            &|team| {
                let listed = team.runs("kafka-transactions", &["list"]);
                assert_eq!(line(&listed, &[NAME])[3], "Ongoing", "{listed}");
                let described = team.runs("kafka-transactions", &["describe", "--transactional-id", NAME]);
                assert!(described.contains(&format!("{NAME}-0")), "its partition: {described}");
                let partition = ["describe-producers", "--topic", NAME, "--partition", "0"];
                let producers = team.runs("kafka-transactions", &partition);
                let open_at = team.size.to_string();
                let open: Vec<_> = producers.lines().filter(|line| line.trim_end().ends_with(&open_at)).collect();
                assert_eq!(open.len(), 1, "{producers}");
                let hanging = team.runs("kafka-transactions", &["find-hanging", "--topic", NAME]);
                assert_eq!(hanging.lines().count(), 1, "{hanging}");
            },
            &|team| {
                let with = json!({ "transactional_id": NAME, "topic": NAME, "records": records("done-", 1) });
                team.does("transaction", with);
                assert_eq!(line(&team.runs("kafka-transactions", &["list"]), &[NAME])[3], "CompleteCommit");
            },
        ],
    );
}

#[test]
fn kafka_log_dirs_tool() {
    const TOPIC: &str = "log-dirs-tool";
    in_both(
        "kafka_log_dirs_tool",
        &[&|team| team.topic(TOPIC), &|team| {
            for arguments in [&["--describe"][..], &["--describe", "--topic-list", TOPIC]] {
                let printed = team.runs("kafka-log-dirs", arguments);
                let report: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
                let folder = &report["brokers"][0]["logDirs"][0];
                let partitions = folder["partitions"].as_array().unwrap();
                let own =
                    partitions.iter().find(|one| one["partition"] == format!("{TOPIC}-0")).expect("its partition");
                assert!(own["size"].as_u64().unwrap() > 0, "{report}");
                assert!(!printed.contains("__consumer_offsets") && !printed.contains("/var/lib"), "{printed}");
            }
        }],
    );
}

#[test]
fn kafka_get_offsets_and_delete_records_tools() {
    const TOPIC: &str = "offsets-tool";
    in_both(
        "kafka_get_offsets_and_delete_records_tools",
        &[
            &|team| team.topic(TOPIC),
            &|team| {
                let printed = team.runs("kafka-get-offsets", &["--topic", TOPIC]);
                assert_eq!(printed, format!("{TOPIC}:0:{}\n", team.size));
                let everything = team.runs("kafka-get-offsets", &[]);
                assert!(everything.lines().any(|line| line == printed.trim()), "{everything}");
                let before = team.size - 1;
                let input =
                    json!({ "version": 1, "partitions": [{ "topic": TOPIC, "partition": 0, "offset": before }] });
                let with = json!({
                    "tool": "kafka-delete-records", "arguments": ["--offset-json-file", "@input"], "input": input.to_string(),
                });
                let deleted = team.runs_with(with);
                assert!(deleted.contains(&format!("partition: {TOPIC}-0\tlow_watermark: {before}")), "{deleted}");
            },
            &|team| {
                let printed = team.runs("kafka-get-offsets", &["--topic", TOPIC, "--time", "earliest"]);
                assert_eq!(printed, format!("{TOPIC}:0:{}\n", team.size - 1));
            },
        ],
    );
}

#[test]
fn kafka_broker_api_versions_tool() {
    in_both(
        "kafka_broker_api_versions_tool",
        &[&|team| {
            // This tool waits five seconds and no longer, which is little where many tests run.
            let with = json!({ "tool": "kafka-broker-api-versions", "arguments": [] });
            let ended_well = |(result, _): &(Value, String)| result["status"] == 0;
            let (_, printed) = (0..5).map(|_| team.tries(with.clone())).find(ended_well).expect("it ends well");
            assert!(printed.contains("Produce(0): 0 to 13"), "{printed}");
            assert!(printed.contains("AddPartitionsToTxn(24): 0 to 3"), "4 is between brokers: {printed}");
            assert!(printed.contains("WriteTxnMarkers(27): UNSUPPORTED"), "{printed}");
        }],
    );
}

#[test]
fn java_admin_client() {
    const TOPIC: &str = "administered";
    in_both(
        "java_admin_client",
        &[
            &|team| {
                team.topic(TOPIC);
                team.does("create_partitions", json!({ "topic": TOPIC, "partitions": team.size }));
                let set = json!({ "retention.ms": (team.size * 1_000_000_000).to_string() });
                team.does("configure", json!({ "topic": TOPIC, "set": set }));
                team.does("configure", json!({ "group": TOPIC, "set": { "share.auto.offset.reset": "earliest" } }));
            },
            &|team| {
                assert_eq!(team.does("describe_topic", json!({ "topic": TOPIC }))["partitions"], team.size);
                let set = json!({ "retention.ms": (team.size * 1_000_000_000).to_string() });
                assert_eq!(team.does("configuration", json!({ "topic": TOPIC }))["set"], set);
                let set = json!({ "share.auto.offset.reset": "earliest" });
                assert_eq!(team.does("configuration", json!({ "group": TOPIC }))["set"], set);
                let offsets = team.does("list_offsets", json!({ "topic": TOPIC }))["offsets"].clone();
                assert_eq!(offsets[format!("{TOPIC}-0")], team.size, "{offsets}");
                assert_eq!(offsets.as_object().unwrap().len() as u64, team.size, "{offsets}");
                team.consumes(TOPIC, TOPIC);
                let at = json!({ "group": TOPIC, "topic": TOPIC, "partition": 0, "offset": team.size - 2 });
                team.does("set_group_offset", at);
            },
            &|team| {
                let offsets = team.does("group_offsets", json!({ "group": TOPIC }))["offsets"].clone();
                assert_eq!(offsets[format!("{TOPIC}-0")], team.size - 2, "{offsets}");
                let deleted = team.does("delete_records", json!({ "topic": TOPIC, "partition": 0, "before": 1 }));
                assert_eq!(deleted["low_watermark"], 1);
                assert_eq!(team.does("producers", json!({ "topic": TOPIC }))["active"][format!("{TOPIC}-0")], 1);
                let configured = team.does("list_configured", json!({}))["names"].clone();
                assert!(configured.as_array().unwrap().contains(&json!(TOPIC)), "{configured}");
                team.does("forget_group_offsets", json!({ "group": TOPIC, "topic": TOPIC }));
                assert_eq!(team.does("group_offsets", json!({ "group": TOPIC }))["offsets"], json!({}));
                team.does("delete_group", json!({ "group": TOPIC }));
                let cluster = team.does("describe_cluster", json!({}));
                assert_eq!(cluster["brokers"].as_array().unwrap().len(), 1, "{cluster}");
                team.does("delete_topic", json!({ "topic": TOPIC }));
            },
        ],
    );
}
