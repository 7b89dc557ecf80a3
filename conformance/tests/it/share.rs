//! Share groups (KIP-932): two teams use the same group, topic and member names at once, and one of them reaches for the
//! other's share session.

use std::thread;
use std::time::{Duration, Instant};

use conformance::drivers::socket::KafkaSocket;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::needs;
use super::stand::{Stand, Team, records};

const TOPIC: &str = "jobs";
const GROUP: &str = "workers";
const MEMBER: &str = "bWVtYmVyLW9mLWJvdGg";
/// The newest version.
const FETCH: i16 = 2;
const SHARE_SESSION_NOT_FOUND: i64 = 122;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_share_session_is_continued_by_nobody_else() {
    if !needs::met("a_share_session_is_continued_by_nobody_else", &["kcat"]) {
        return;
    }
    let stand = Stand::shared();
    let mut victim = Member::joins(&stand.payments);
    let mut attacker = Member::joins(&stand.search);
    assert_ne!(victim.topic_id, attacker.topic_id);

    assert_eq!(victim.fetch(GROUP, 0, &[])["ErrorCode"], 0);
    for group in [GROUP.to_owned(), format!("{}{GROUP}", stand.payments.prefix)] {
        for epoch in [1, -1] {
            let fetched = attacker.fetch(&group, epoch, &[&victim.topic_id]);
            assert_eq!(fetched["ErrorCode"], SHARE_SESSION_NOT_FOUND, "{group} {epoch}: {fetched}");
            let acknowledged = attacker.acknowledge(&group, epoch, &victim.topic_id.clone(), 0);
            assert_eq!(acknowledged["ErrorCode"], SHARE_SESSION_NOT_FOUND, "{group} {epoch}: {acknowledged}");
        }
    }
    foreign_ids_are_unknown(&mut attacker, &victim.topic_id);
    coordinators_are_told_alike(&mut attacker, &victim.topic_id);

    // The broker would have let it happen: group and member are the key, whatever the connection.
    let mut elsewhere = Member { socket: stand.payments.socket(), topic_id: victim.topic_id.clone() };
    assert_eq!(elsewhere.fetch(GROUP, 1, &[])["ErrorCode"], 0);
    // And nothing of the rest was noticed.
    let _ =
        stand.payments.client("kcat").does("produce", json!({ "topic": TOPIC, "records": records("payments-", 1) }));
    let (epoch, acquired) = victim.acquires(2);
    assert_eq!(acquired, [0]);
    let topic_id = victim.topic_id.clone();
    let acknowledged = victim.acknowledge(GROUP, epoch, &topic_id, acquired[0]);
    assert_eq!(acknowledged["Responses"][0]["Partitions"][0]["ErrorCode"], 0, "{acknowledged}");
    stand.log_is_calm(&[]);
}

/// Another tenant's id, in a session of one's own, is answered as one that nobody has: when it is sent, and when the session
/// answers for it later.
fn foreign_ids_are_unknown(attacker: &mut Member, foreign: &str) {
    let nobodys = "AbCdEfGhIjKlMnOpQrStUg";
    let mut answers: Vec<String> = Vec::new();
    for id in [foreign, nobodys] {
        let sent = attacker.fetch(GROUP, 0, &[id]);
        let later = attacker.fetch(GROUP, 1, &[]);
        for answer in [&sent, &later] {
            // Kafka 4.3 answers with an error of the whole request (-1), later ones with UNKNOWN_TOPIC_ID for the topic.
            let codes = [&answer["ErrorCode"], &answer["Responses"][0]["Partitions"][0]["ErrorCode"]];
            assert!(codes.contains(&&json!(-1)) || codes.contains(&&json!(100)), "{answer}");
        }
        answers.push(format!("{sent}{later}").replace(id, "ID"));
    }
    assert_eq!(answers[0], answers[1]);
}

/// For a key of a share partition a broker tells a coordinator whatever its topic id is.
fn coordinators_are_told_alike(attacker: &mut Member, foreign: &str) {
    let keys = [format!("{GROUP}:{foreign}:0"), format!("{GROUP}:AbCdEfGhIjKlMnOpQrStUg:0"), GROUP.to_owned()];
    let request = json!({ "KeyType": 2, "CoordinatorKeys": keys });
    let told = attacker.until("a coordinator", ApiKey::FindCoordinator, 6, &request, |answer| {
        answer["Coordinators"][0]["ErrorCode"] == 0 && answer["Coordinators"][1]["ErrorCode"] == 0
    });
    let coordinators = told["Coordinators"].as_array().expect("coordinators");
    let told: Vec<_> = coordinators.iter().map(|one| one["Key"].as_str().expect("a key")).collect();
    assert_eq!(told, keys);
    assert_eq!(coordinators[0]["Port"], coordinators[1]["Port"]);
    assert_eq!(coordinators[2]["ErrorCode"], 42, "a group alone is no key");
}

/// A member of the share group, by its own connection.
struct Member {
    socket: KafkaSocket,
    topic_id: String,
}

impl Member {
    fn joins(team: &Team) -> Self {
        let mut member = Self { socket: team.socket(), topic_id: String::new() };
        let topic = json!({ "Name": TOPIC, "NumPartitions": 1, "ReplicationFactor": 1 });
        let created = member.ask(ApiKey::CreateTopics, 7, &json!({ "Topics": [topic], "timeoutMs": 20_000 }));
        member.topic_id = created["Topics"][0]["TopicId"].as_str().expect("an id").to_owned();
        let group = json!({ "KeyType": 0, "CoordinatorKeys": [GROUP] });
        let _ = member
            .until("a coordinator", ApiKey::FindCoordinator, 6, &group, |a| a["Coordinators"][0]["ErrorCode"] == 0);
        let mut joining = json!({ "GroupId": GROUP, "MemberId": MEMBER, "SubscribedTopicNames": [TOPIC] });
        let started = Instant::now();
        loop {
            let heard = member.ask(ApiKey::ShareGroupHeartbeat, 1, &joining);
            let assigned = &heard["Assignment"]["TopicPartitions"][0];
            if assigned["TopicId"] == member.topic_id.as_str() {
                return member;
            }
            assert!(started.elapsed() < PATIENCE, "no assignment: {heard}");
            if heard["ErrorCode"] == 0 {
                joining["MemberEpoch"] = heard["MemberEpoch"].clone();
            }
            thread::sleep(Duration::from_millis(300));
        }
    }

    fn ask(&mut self, key: ApiKey, version: i16, request: &Value) -> Value {
        self.socket.ask(key, version, request).unwrap_or_else(|error| panic!("{key:?} {request}: {error}")).value
    }

    fn until(&mut self, what: &str, key: ApiKey, version: i16, request: &Value, done: fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.ask(key, version, request);
            if done(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "no {what}: {answer}");
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Fetches in the session of a group; at its begin, from the member's own topic or from `ids`.
    fn fetch(&mut self, group: &str, epoch: i32, ids: &[&str]) -> Value {
        let own = [self.topic_id.clone()];
        let ids: Vec<&str> = match ids {
            [] if epoch == 0 => own.iter().map(String::as_str).collect(),
            given => given.to_vec(),
        };
        let topics: Vec<_> =
            ids.iter().map(|id| json!({ "TopicId": id, "Partitions": [{ "PartitionIndex": 0 }] })).collect();
        let request = json!({
            "GroupId": group, "MemberId": MEMBER, "ShareSessionEpoch": epoch, "MaxWaitMs": 500, "MinBytes": 1,
            "MaxRecords": 10, "BatchSize": 10, "Topics": topics,
        });
        self.ask(ApiKey::ShareFetch, FETCH, &request)
    }

    /// Goes on with the session until it acquires records; returns its next epoch, and their offsets.
    fn acquires(&mut self, mut epoch: i32) -> (i32, Vec<i64>) {
        let started = Instant::now();
        loop {
            let answer = self.fetch(GROUP, epoch, &[]);
            assert_eq!(answer["ErrorCode"], 0, "{answer}");
            epoch += 1;
            let partition = &answer["Responses"][0]["Partitions"][0];
            let acquired = partition["AcquiredRecords"].as_array().into_iter().flatten();
            let offsets: Vec<i64> = acquired.filter_map(|batch| batch["FirstOffset"].as_i64()).collect();
            if !offsets.is_empty() {
                return (epoch, offsets);
            }
            assert!(started.elapsed() < PATIENCE, "nothing is acquired: {answer}");
        }
    }

    fn acknowledge(&mut self, group: &str, epoch: i32, topic_id: &str, offset: i64) -> Value {
        const ACCEPT: i32 = 1;
        let batch = json!({ "FirstOffset": offset, "LastOffset": offset, "AcknowledgeTypes": [ACCEPT] });
        let partitions = json!([{ "PartitionIndex": 0, "AcknowledgementBatches": [batch] }]);
        let topics = json!([{ "TopicId": topic_id, "Partitions": partitions }]);
        let request = json!({ "GroupId": group, "MemberId": MEMBER, "ShareSessionEpoch": epoch, "Topics": topics });
        self.ask(ApiKey::ShareAcknowledge, FETCH, &request)
    }
}
