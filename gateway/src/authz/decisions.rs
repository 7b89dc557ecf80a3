//! What becomes of requests and answers by the rights of who asks.

use super::acl::{AclBinding, PatternType, PermissionType, ResourcePattern};
use super::answer::shown;
use super::{Access, Authorizer, Decision, Operation, Permitted, Refused, Requester, ResourceType, Topics, permit};
use crate::apis::check::check;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use wire::schema::ApiKey;
use wire::{frame, value};

const ORDERS: [u8; 16] = [1; 16];
const SECRET: [u8; 16] = [2; 16];

/// `orders` and `secret`, on brokers that make what is absent.
struct Two;

impl Topics for Two {
    fn name(&self, id: &[u8; 16]) -> Option<String> {
        [(ORDERS, "orders"), (SECRET, "secret")]
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, name)| (*name).to_owned())
    }

    fn exists(&self, name: &str) -> bool {
        matches!(name, "orders" | "secret")
    }

    fn are_made_when_absent(&self) -> bool {
        true
    }
}

/// `orders` and what begins with `new` may be described, read and written, and the group and transactional id `mine` used.
fn rules() -> Authorizer {
    use Operation as O;
    let of = |resource_type, name: &str, pattern_type, operation| AclBinding {
        resource_pattern: ResourcePattern { resource_type, name: name.to_owned(), pattern_type },
        principal: "User:app".to_owned(),
        host: "*".to_owned(),
        operation,
        permission_type: PermissionType::Allow,
    };
    let topic = |operation| of(ResourceType::Topic, "orders", PatternType::Literal, operation);
    Authorizer::new(
        [],
        [
            topic(O::Read),
            topic(O::Write),
            of(ResourceType::Topic, "new", PatternType::Prefixed, O::Describe),
            of(ResourceType::Group, "mine", PatternType::Literal, O::Read),
            of(ResourceType::TransactionalId, "mine", PatternType::Literal, O::Write),
        ],
    )
}

/// What is told of a decision: the request as it is served, and what is refused of it.
#[derive(Debug, PartialEq)]
enum Told {
    Served(Value),
    Partly(Value, Value),
    Answered(Value),
    Refused(Operation, ResourceType, String),
    NewFetchSession,
    LookAgain,
}

fn decide(key: ApiKey, version: i16, request: &Value, last_word: bool) -> Told {
    let body = value::encode(key.request(), version, request).unwrap();
    let frame = frame::request(key, version, 7, None, &body);
    let authorizer = rules();
    let who = Requester { principal: "User:app", host: Ipv4Addr::LOCALHOST.into() };
    let access = Access { authorizer: &authorizer, who, topics: &Two, sessions: None };
    let served = |permitted: Permitted<'_>| value::decode(key.request(), version, &permitted.into_body().0).unwrap();
    match permit(check(&frame[4..]).unwrap(), &access, last_word).unwrap() {
        Decision::Serve(permitted, None) => Told::Served(served(permitted)),
        Decision::Serve(permitted, Some(Refused { request, .. })) => Told::Partly(served(permitted), request),
        Decision::Answer(Refused { request, .. }) => Told::Answered(request),
        Decision::Refuse { denial, .. } => Told::Refused(denial.operation, denial.ty, denial.name),
        Decision::NewFetchSession(_) => Told::NewFetchSession,
        Decision::LookAgain => Told::LookAgain,
        Decision::TooMany => panic!("too many"),
    }
}

fn names<'v>(request: &'v Value, list: &str, field: &str) -> Vec<&'v str> {
    request[list].as_array().unwrap().iter().map(|topic| topic[field].as_str().unwrap()).collect()
}

fn batch(transactional: bool) -> String {
    let mut bytes = vec![0; 61];
    bytes[11] = 49;
    bytes[22] = if transactional { 0x10 } else { 0 };
    STANDARD.encode(bytes)
}

fn produce(id: Option<&str>, transactional: bool, topics: &[&str]) -> Value {
    let records = batch(transactional);
    let of = |topic| json!({ "Name": topic, "PartitionData": [{ "Index": 0, "Records": records }] });
    json!({ "TransactionalId": id, "Acks": -1, "TopicData": topics.iter().map(of).collect::<Value>() })
}

#[test]
fn records_go_where_they_may_and_what_is_refused_holds_none() {
    let Told::Partly(served, refused) = decide(ApiKey::Produce, 9, &produce(None, false, &["secret", "orders"]), true)
    else {
        panic!("not in part")
    };
    assert_eq!(names(&served, "TopicData", "Name"), ["orders"]);
    assert_eq!(served["TopicData"][0]["PartitionData"][0]["Records"], batch(false));
    assert_eq!(names(&refused, "TopicData", "Name"), ["secret"]);
    assert_eq!(refused["TopicData"][0]["PartitionData"][0]["Records"], Value::Null);
}

#[test]
fn records_of_a_transaction_need_its_id() {
    let told = |id, transactional| decide(ApiKey::Produce, 9, &produce(id, transactional, &["orders"]), true);
    let refused = |id: &str| Told::Refused(Operation::Write, ResourceType::TransactionalId, id.to_owned());
    assert_eq!(told(Some("theirs"), true), refused("theirs"));
    assert_eq!(told(None, true), refused(""));
    assert!(matches!(told(Some("mine"), true), Told::Served(_)));
    assert!(matches!(told(Some("theirs"), false), Told::Served(_)), "an id alone is none of the records'");
}

#[test]
fn what_a_session_would_not_know_of_ends_it() {
    let fetch = |epoch: i32, ids: &[[u8; 16]]| {
        let topics: Value = ids.iter().map(|id| json!({ "TopicId": value::uuid_text(id), "Partitions": [] })).collect();
        let request = json!({ "SessionId": 42, "SessionEpoch": epoch, "Topics": topics });
        decide(ApiKey::Fetch, 13, &request, true)
    };
    assert!(matches!(fetch(3, &[ORDERS]), Told::Served(_)));
    assert_eq!(fetch(3, &[ORDERS, SECRET]), Told::NewFetchSession);
    let Told::Partly(served, refused) = fetch(0, &[ORDERS, SECRET]) else { panic!("not in part") };
    assert_eq!((&served["SessionId"], &served["SessionEpoch"]), (&json!(0), &json!(-1)));
    assert_eq!(names(&served, "Topics", "TopicId"), [value::uuid_text(&ORDERS)]);
    assert_eq!(names(&refused, "Topics", "TopicId"), [value::uuid_text(&SECRET)]);
    assert!(matches!(fetch(0, &[SECRET]), Told::Answered(_)));
}

/// To these brokers an empty list is a question for everything.
#[test]
fn nothing_left_is_not_everything() {
    let request = json!({ "Topics": [{ "Name": "secret" }], "ResponsePartitionLimit": 10 });
    assert!(matches!(decide(ApiKey::DescribeTopicPartitions, 0, &request, true), Told::Answered(_)));
    let request = json!({ "Topics": [{ "Name": "secret" }] });
    assert!(matches!(decide(ApiKey::Metadata, 1, &request, true), Told::Partly(..)), "the brokers are asked for, too");
    let body = json!({ "Topics": [{ "Name": "orders" }], "Brokers": [] });
    assert_eq!(seen(ApiKey::Metadata, 0, &body, true)["Topics"], json!([]), "what was not asked for is not shown");
}

#[test]
fn what_is_absent_is_made_by_nobody_who_may_not() {
    let ask = |name: &str, makes: bool, last_word| {
        let request = json!({ "Topics": [{ "Name": "orders" }, { "Name": name }], "AllowAutoTopicCreation": makes });
        decide(ApiKey::Metadata, 9, &request, last_word)
    };
    assert!(matches!(ask("new-one", false, true), Told::Served(_)));
    assert_eq!(ask("new-one", true, false), Told::LookAgain);
    let Told::Partly(served, refused) = ask("new-one", true, true) else { panic!("not in part") };
    assert_eq!(
        (names(&served, "Topics", "Name"), names(&refused, "Topics", "Name")),
        (vec!["orders"], vec!["new-one"])
    );
    let topology = json!({ "Epoch": 1, "Subtopologies": [{ "SubtopologyId": "a", "StateChangelogTopics": [{ "Name": "new-log" }] }] });
    let request = json!({ "GroupId": "mine", "MemberId": "m", "Topology": topology });
    let told = decide(ApiKey::StreamsGroupHeartbeat, 0, &request, true);
    assert_eq!(told, Told::Refused(Operation::Create, ResourceType::Topic, "new-log".to_owned()));
}

#[test]
fn a_transaction_takes_all_partitions_or_none() {
    let topics = json!([{ "Name": "orders", "Partitions": [0] }, { "Name": "secret", "Partitions": [0] }]);
    let request = json!({ "V3AndBelowTransactionalId": "mine", "V3AndBelowTopics": topics });
    let Told::Answered(told) = decide(ApiKey::AddPartitionsToTxn, 3, &request, true) else { panic!("not answered") };
    assert_eq!(names(&told, "V3AndBelowTopics", "Name"), ["orders", "secret"]);
}

#[test]
fn a_topic_of_a_refused_group_is_not_asked_about() {
    let of = |group: &str| json!({ "GroupId": group, "Topics": [{ "Name": "orders", "PartitionIndexes": [0] }, { "Name": "secret", "PartitionIndexes": [0] }] });
    let request = json!({ "Groups": [of("mine"), of("theirs")] });
    let Told::Partly(served, refused) = decide(ApiKey::OffsetFetch, 8, &request, true) else { panic!("not in part") };
    assert_eq!(names(&served, "Groups", "GroupId"), ["mine"]);
    assert_eq!(names(&served["Groups"][0], "Topics", "Name"), ["orders"]);
    assert_eq!(names(&refused["Groups"][0], "Topics", "Name"), ["secret"]);
    assert_eq!(names(&refused["Groups"][1], "Topics", "Name"), ["orders", "secret"]);
}

fn seen(key: ApiKey, version: i16, answer: &Value, no_topics: bool) -> Value {
    let body = value::encode(key.response(), version, answer).unwrap();
    let authorizer = rules();
    let who = Requester { principal: "User:app", host: Ipv4Addr::LOCALHOST.into() };
    let access = Access { authorizer: &authorizer, who, topics: &Two, sessions: None };
    let shown = shown(key, version, &body, &access, no_topics).unwrap();
    let mut told = value::decode(key.response(), version, &shown.body).unwrap();
    told["hidden"] = json!(shown.hidden);
    told
}

#[test]
fn lists_show_what_may_be_described() {
    let groups = json!({ "Groups": [{ "GroupId": "mine" }, { "GroupId": "theirs" }] });
    assert_eq!(names(&seen(ApiKey::ListGroups, 0, &groups, false), "Groups", "GroupId"), ["mine"]);
    let topics = json!({ "Topics": [
        { "Name": "orders", "TopicAuthorizedOperations": 3400 }, { "Name": "secret", "TopicAuthorizedOperations": 3400 },
    ], "Brokers": [], "ClusterAuthorizedOperations": 3400 });
    let told = seen(ApiKey::Metadata, 9, &topics, false);
    assert_eq!(names(&told, "Topics", "Name"), ["orders"]);
    assert_eq!(told["Topics"][0]["TopicAuthorizedOperations"], 1 << 3 | 1 << 4 | 1 << 8);
    assert_eq!(told["ClusterAuthorizedOperations"], 0);
}

#[test]
fn a_group_with_a_topic_that_may_not_be_described_is_hidden() {
    let group = |id: &str, topic: &[u8; 16], name: &str| {
        let parts = json!([{ "TopicId": value::uuid_text(topic), "TopicName": name, "Partitions": [0] }]);
        json!({ "GroupId": id, "Members": [{ "SubscribedTopicNames": ["secret"], "Assignment": { "TopicPartitions": parts }, "TargetAssignment": { "TopicPartitions": [] } }] })
    };
    let answer = json!({ "Groups": [group("one", &ORDERS, "orders"), group("two", &SECRET, "secret")] });
    let told = seen(ApiKey::ConsumerGroupDescribe, 0, &answer, false);
    assert_eq!(names(&told, "Groups", "GroupId"), ["one"], "a subscription alone hides nothing");
    assert_eq!(told["hidden"], json!(["two"]));
}

/// What a fetch brings after the right to it was lost.
#[test]
fn records_that_may_no_longer_be_read_are_left_out() {
    let of = |id: &[u8; 16]| json!({ "TopicId": value::uuid_text(id), "Partitions": [{ "Records": batch(false) }] });
    let told = seen(ApiKey::Fetch, 13, &json!({ "Responses": [of(&ORDERS), of(&SECRET)] }), false);
    assert_eq!(names(&told, "Responses", "TopicId"), [value::uuid_text(&ORDERS)]);
}
