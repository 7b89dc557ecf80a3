//! What the victim has: topics with records, groups of each kind, transactions, settings. Everything carries tokens that
//! exist nowhere else.
//!
//! The *bait* has names that anybody may use, so that the attacker can use them too; the *secret* entities have names
//! that are tokens themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;
use wire::value::{uuid_from_text, uuid_text};

use super::peer::Peer;
use super::{Tenant, Trouble};
use crate::drivers::Connection;
use crate::records::{Batch, attributes};
use crate::suites::forge::{assignment, subscription};
use crate::suites::seed::{Dice, Seed};
use crate::suites::tap::Tap;

/// As long as brokers allow by default: what is set up once stays as it is while the attacks last.
const SESSION_MS: i32 = 1_800_000;
const TRANSACTION_MS: i32 = 900_000;

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// As its owner calls it.
    pub name: String,
    /// As the broker calls it.
    pub physical: String,
    /// As Kafka prints it.
    pub id: String,
}

/// A group with one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As its owner calls it.
    pub name: String,
    /// Its only member.
    pub member: String,
    /// The name of its static member; empty where it has none.
    pub instance: String,
    /// The generation, or the member's epoch.
    pub generation: i64,
}

/// A transactional id and its producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// As its owner calls it.
    pub id: String,
    /// The producer's number.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i64,
}

/// The victim.
#[derive(Debug, Clone)]
pub struct Victim {
    /// A topic whose name others use as well.
    pub bait: Topic,
    /// A topic whose name is a token.
    pub secret: Topic,
    /// The topic that its clients work on all the while.
    pub live: Topic,
    /// A classic group whose name others use as well, with a static member.
    pub bait_group: Group,
    /// A classic group with a dynamic member.
    pub secret_group: Group,
    /// A group without members and with committed offsets.
    pub stored_group: String,
    /// A consumer group of the new protocol, where the broker has it.
    pub modern_group: Option<Group>,
    /// A share group, where the broker has it.
    pub share_group: Option<Group>,
    /// A transactional id whose name others use as well; its last transaction is complete.
    pub bait_transaction: Transaction,
    /// A transaction that is open.
    pub secret_transaction: Transaction,
    /// A topic that is written in transactions while attacks go on.
    pub ledger: Topic,
    /// The transactional id that it is written with.
    pub ledger_transaction: String,
    /// What the victim's clients call themselves.
    pub client_id: String,
}

impl Victim {
    /// Makes all of it, and tells the tap what to look for.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn set_up(target: &Tenant, direct: &Connection, tap: &Tap, seed: Seed) -> Result<Self, Trouble> {
        let mut scribe = Scribe { dice: seed.dice("victim"), tap };
        let mut own = Peer::connect("the victim", &target.connection, "")?;
        let mut broker = Peer::connect("the harness", direct, &target.prefix)?;
        let client_id = scribe.token("the victim's client id");
        own.call_client(&client_id);
        broker.call_client(&client_id);
        // A broker makes the topics of its coordinators when somebody first asks for one.
        for (name, kind) in [("billing", 0), ("settle", 1)] {
            let _ = own.must(ApiKey::FindCoordinator, 1..=3, &json!({ "Key": name, "KeyType": kind }))?;
        }

        let retention = scribe.digits("a setting of the victim's topic");
        let configs = json!([{ "Name": "retention.ms", "Value": retention }]);
        let topic = |own: &mut Peer, scribe: &mut Scribe<'_>, name: String, configs: &Value| {
            let id = create_topic(own, &name, configs)?;
            scribe.topic(&id);
            Ok::<_, Trouble>(Topic { physical: format!("{}{name}", target.prefix), name, id })
        };
        let bait = topic(&mut own, &mut scribe, "orders".to_owned(), &configs)?;
        let name = scribe.token("the victim's topic name");
        let secret = topic(&mut own, &mut scribe, name, &configs)?;
        let name = scribe.token("the victim's topic name");
        let live = topic(&mut own, &mut scribe, name, &kept())?;
        let name = scribe.token("the victim's topic name");
        let ledger = topic(&mut own, &mut scribe, name, &kept())?;
        for topic in [&bait, &secret] {
            let batch = Batch::of(&scribe.token("the key of a record"), &scribe.token("the value of a record"));
            let _ = produce(&mut own, &topic.name, &batch, None)?;
            let packed = Batch {
                attributes: attributes::GZIP,
                ..Batch::of(&scribe.token("the key of a packed record"), &scribe.token("the value of a packed record"))
            };
            let _ = produce(&mut own, &topic.name, &packed, None)?;
        }
        let instance = scribe.token("the victim's group instance id");
        let bait_group = classic_group(&mut own, &mut scribe, "billing", &instance, &secret.name)?;
        let name = scribe.token("the victim's group");
        let secret_group = classic_group(&mut own, &mut scribe, &name, "", &secret.name)?;
        let stored_group = scribe.token("the victim's group");
        commit(&mut own, &mut scribe, &stored_group, &secret)?;
        let modern_group = modern(&mut own, &mut broker, &mut scribe, &secret.name)?;
        let share_group = share(&mut own, &mut broker, &mut scribe, &secret.name)?;
        let bait_transaction = transaction(&mut own, &mut scribe, "settle".to_owned(), &secret.name, true)?;
        let id = scribe.token("the victim's transactional id");
        let secret_transaction = transaction(&mut own, &mut scribe, id, &secret.name, false)?;
        Ok(Self {
            bait,
            secret,
            live,
            bait_group,
            secret_group,
            stored_group,
            modern_group,
            share_group,
            bait_transaction,
            secret_transaction,
            ledger,
            ledger_transaction: scribe.token("the victim's transactional id"),
            client_id,
        })
    }
}

/// Writes tokens and remembers them.
struct Scribe<'a> {
    dice: Dice,
    tap: &'a Tap,
}

impl Scribe<'_> {
    fn token(&mut self, what: &str) -> String {
        let word = self.dice.word(14);
        self.tap.canary(what, word.as_bytes());
        word
    }

    /// A number that is text in answers.
    fn digits(&mut self, what: &str) -> String {
        let number = (100_000_000_000 + self.dice.next() % 900_000_000_000).to_string();
        self.tap.canary(what, number.as_bytes());
        number
    }

    /// A number that is 64 bits in answers.
    fn number(&mut self, what: &str) -> i64 {
        let number = 0x3000_0000_0000_0000 + i64::try_from(self.dice.next() >> 8).unwrap_or(0);
        self.tap.canary(what, &number.to_be_bytes());
        number
    }

    fn topic(&self, id: &str) {
        self.tap.canary("the victim's topic id", id.as_bytes());
        if let Some(bytes) = uuid_from_text(id) {
            self.tap.canary("the victim's topic id", &bytes);
        }
    }
}

/// The settings of a topic whose records stay: they are all of one time, which lies longer ago than brokers keep by default.
pub fn kept() -> Value {
    json!([{ "Name": "retention.ms", "Value": "-1" }])
}

/// Creates a topic of one partition and says its id.
///
/// # Errors
/// [`Trouble`]
pub fn create_topic(peer: &mut Peer, name: &str, configs: &Value) -> Result<String, Trouble> {
    let topic = json!({ "Name": peer.name(name), "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [],
        "Configs": configs });
    let answer = peer.must(ApiKey::CreateTopics, 7..=7, &json!({ "Topics": [topic], "timeoutMs": 10_000 }))?;
    Ok(answer["Topics"][0]["TopicId"].as_str().unwrap_or_default().to_owned())
}

/// Writes a batch to partition 0; says its first offset.
///
/// # Errors
/// [`Trouble`]
pub fn produce(peer: &mut Peer, topic: &str, batch: &Batch, transaction: Option<&str>) -> Result<i64, Trouble> {
    let partition = json!({ "Index": 0, "Records": STANDARD.encode(batch.bytes()) });
    let body = json!({ "TransactionalId": transaction.map(|id| peer.name(id)), "Acks": -1, "TimeoutMs": 10_000,
        "TopicData": [{ "Name": peer.name(topic), "PartitionData": [partition] }] });
    let answer = peer.must(ApiKey::Produce, 7..=9, &body)?;
    Ok(answer["Responses"][0]["PartitionResponses"][0]["BaseOffset"].as_i64().unwrap_or(-1))
}

fn classic_group(
    peer: &mut Peer,
    scribe: &mut Scribe<'_>,
    name: &str,
    instance: &str,
    topic: &str,
) -> Result<Group, Trouble> {
    let wanted = subscription(&[topic], scribe.token("the user data of a member").as_bytes());
    let instance_id = if instance.is_empty() { Value::Null } else { json!(instance) };
    let mut join = json!({ "GroupId": peer.name(name), "SessionTimeoutMs": SESSION_MS, "RebalanceTimeoutMs": 10_000,
        "MemberId": "", "GroupInstanceId": instance_id, "ProtocolType": "consumer",
        "Protocols": [{ "Name": "range", "Metadata": STANDARD.encode(wanted) }] });
    // A dynamic member is first told its id.
    if instance.is_empty() {
        let told = peer.ask(ApiKey::JoinGroup, 5..=7, &join)?;
        join["MemberId"] = told["MemberId"].clone();
    }
    let joined = peer.must(ApiKey::JoinGroup, 5..=7, &join)?;
    let member = joined["MemberId"].as_str().unwrap_or_default().to_owned();
    scribe.tap.canary("the victim's member id", member.as_bytes());
    let handed = assignment(topic, scribe.token("the user data of an assignment").as_bytes());
    let sync = json!({ "GroupId": peer.name(name), "GenerationId": joined["GenerationId"], "MemberId": member,
        "GroupInstanceId": instance_id,
        "Assignments": [{ "MemberId": member, "Assignment": STANDARD.encode(handed) }] });
    let _ = peer.must(ApiKey::SyncGroup, 3..=4, &sync)?;
    let generation = joined["GenerationId"].as_i64().unwrap_or(-1);
    Ok(Group { name: name.to_owned(), member, instance: instance.to_owned(), generation })
}

fn commit(peer: &mut Peer, scribe: &mut Scribe<'_>, group: &str, topic: &Topic) -> Result<(), Trouble> {
    let partition = json!({ "PartitionIndex": 0, "CommittedOffset": scribe.number("the victim's committed offset"),
        "CommittedMetadata": scribe.token("the note of a committed offset") });
    let topics = json!([{ "Name": peer.name(&topic.name), "Partitions": [partition] }]);
    let body =
        json!({ "GroupId": peer.name(group), "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": topics });
    peer.must(ApiKey::OffsetCommit, 5..=8, &body).map(drop)
}

/// Through the gateway once it serves the API, else on the broker itself; `None` where the broker has none.
fn way<'a>(own: &'a mut Peer, broker: &'a mut Peer, key: ApiKey) -> Option<&'a mut Peer> {
    let known = broker.has(key);
    [own, broker].into_iter().find(|peer| known && peer.has(key))
}

fn modern(own: &mut Peer, broker: &mut Peer, scribe: &mut Scribe<'_>, topic: &str) -> Result<Option<Group>, Trouble> {
    let Some(peer) = way(own, broker, ApiKey::ConsumerGroupHeartbeat) else { return Ok(None) };
    let (name, instance) = (scribe.token("the victim's group"), scribe.token("the victim's group instance id"));
    let member = scribe.member();
    let body = json!({ "GroupId": peer.name(&name), "MemberId": member, "MemberEpoch": 0, "InstanceId": instance,
        "RebalanceTimeoutMs": 60_000, "SubscribedTopicNames": [peer.name(topic)], "TopicPartitions": [] });
    let joined = peer.must(ApiKey::ConsumerGroupHeartbeat, 0..=1, &body)?;
    let generation = joined["MemberEpoch"].as_i64().unwrap_or(-1);
    Ok(Some(Group { name, member, instance, generation }))
}

fn share(own: &mut Peer, broker: &mut Peer, scribe: &mut Scribe<'_>, topic: &str) -> Result<Option<Group>, Trouble> {
    let Some(peer) = way(own, broker, ApiKey::ShareGroupHeartbeat) else { return Ok(None) };
    let (name, member) = (scribe.token("the victim's share group"), scribe.member());
    let body = json!({ "GroupId": peer.name(&name), "MemberId": member, "MemberEpoch": 0,
        "SubscribedTopicNames": [peer.name(topic)] });
    let joined = peer.must(ApiKey::ShareGroupHeartbeat, 1..=1, &body)?;
    let generation = joined["MemberEpoch"].as_i64().unwrap_or(-1);
    Ok(Some(Group { name, member, instance: String::new(), generation }))
}

impl Scribe<'_> {
    /// The id of a member, which its client chooses.
    fn member(&mut self) -> String {
        let id = uuid_text(&self.dice.uuid());
        self.tap.canary("the victim's member id", id.as_bytes());
        id
    }
}

fn transaction(
    peer: &mut Peer,
    scribe: &mut Scribe<'_>,
    id: String,
    topic: &str,
    complete: bool,
) -> Result<Transaction, Trouble> {
    let name = peer.name(&id);
    let body = json!({ "TransactionalId": name, "TransactionTimeoutMs": TRANSACTION_MS });
    let begun = peer.must(ApiKey::InitProducerId, 2..=4, &body)?;
    let (producer_id, epoch) = (begun["ProducerId"].as_i64().unwrap_or(-1), begun["ProducerEpoch"].as_i64());
    let epoch = epoch.unwrap_or(-1);
    // The first id of a new broker is what answers hold that have none.
    if producer_id != 0 {
        scribe.tap.number("the victim's producer id", &["ProducerId"], producer_id);
    }
    let topics = json!([{ "Name": peer.name(topic), "Partitions": [0] }]);
    let add = json!({ "V3AndBelowTransactionalId": name, "V3AndBelowProducerId": producer_id,
        "V3AndBelowProducerEpoch": epoch, "V3AndBelowTopics": topics });
    let _ = peer.must(ApiKey::AddPartitionsToTxn, 0..=3, &add)?;
    let batch = Batch {
        attributes: attributes::TRANSACTIONAL,
        producer_id,
        producer_epoch: i16::try_from(epoch).unwrap_or(-1),
        base_sequence: 0,
        ..Batch::of("transactional", &scribe.token("the value of a record in a transaction"))
    };
    let _ = produce(peer, topic, &batch, Some(&id))?;
    if complete {
        let end =
            json!({ "TransactionalId": name, "ProducerId": producer_id, "ProducerEpoch": epoch, "Committed": true });
        let _ = peer.must(ApiKey::EndTxn, 0..=4, &end)?;
    }
    Ok(Transaction { id, producer_id, epoch })
}
