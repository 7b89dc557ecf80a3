//! Whether a cluster is ready: every advertised broker answers, and a record goes round.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::cluster::{self, Broker, topic_name};
use super::{KafkaError, Link, Target};
use crate::identity;

const POLL: Duration = Duration::from_millis(25);
/// How long one attempt may take before the next is made.
const ATTEMPT: Duration = Duration::from_secs(5);
const TIMEOUT_MS: i32 = 5_000;
/// A topic of which a new leader is not known everywhere yet.
const NOT_YET: [i16; 4] = [3, 5, 6, 9];

/// Waits until every broker that the cluster advertises answers. Returns them, or what was wrong the last time.
pub fn brokers(target: &Target, deadline: Instant) -> Result<Vec<Broker>, KafkaError> {
    until(deadline, || every_broker(target, Instant::now() + ATTEMPT))
}

/// Asks once: each advertised broker, at its advertised address.
pub fn every_broker(target: &Target, deadline: Instant) -> Result<Vec<Broker>, KafkaError> {
    let brokers = cluster::describe(target, deadline)?.brokers;
    if brokers.is_empty() {
        return Err(KafkaError::Unexpected { what: format!("{} knows no broker yet", target.bootstrap) });
    }
    for broker in &brokers {
        let mut link = Link::open(&broker.address(), target.credentials.as_ref(), deadline)?;
        cluster::metadata(&mut link)?;
    }
    Ok(brokers)
}

/// Produces one record to a topic of its own, fetches it, deletes the topic.
pub fn round_trip(target: &Target, deadline: Instant) -> Result<(), KafkaError> {
    let suffix = identity::text(10).map_err(|failure| KafkaError::Unexpected { what: failure.message })?;
    let topic = format!("sandbox-probe-{suffix}");
    create(target, &topic, deadline)?;
    let result = send_and_fetch(target, &topic, deadline);
    // Also after a failure: nothing of the probe may stay in the sandbox.
    let deleted = cluster::delete_topics(target, std::slice::from_ref(&topic), deadline.max(Instant::now() + ATTEMPT));
    result.and(deleted)
}

fn create(target: &Target, topic: &str, deadline: Instant) -> Result<(), KafkaError> {
    let request = CreateTopicsRequest::default()
        .with_topics(vec![
            CreatableTopic::default().with_name(topic_name(topic)).with_num_partitions(1).with_replication_factor(-1),
        ])
        .with_timeout_ms(TIMEOUT_MS);
    let answer = cluster::bootstrap(target, deadline)?.call(&request, 4)?;
    let result = answer.topics.first();
    let code = result.map_or(0, |result| result.error_code);
    let message = result.and_then(|result| result.error_message.as_ref()).map(|text| text.as_str());
    KafkaError::check(code, message, || format!("creating topic '{topic}'"))
}

fn send_and_fetch(target: &Target, topic: &str, deadline: Instant) -> Result<(), KafkaError> {
    let value = Bytes::from(format!("through {topic}"));
    until(deadline, || {
        let mut leader = leader(target, topic, deadline)?;
        let offset = produce(&mut leader, topic, value.clone())?;
        let end = end_offset(&mut leader, topic)?;
        if end != offset + 1 {
            return Err(KafkaError::Unexpected { what: format!("the log ends at {end} after a record at {offset}") });
        }
        let fetched = fetch(&mut leader, topic, offset)?;
        if fetched == value {
            Ok(())
        } else {
            Err(KafkaError::Unexpected { what: "the record that came back is another one".to_owned() })
        }
    })
}

fn leader(target: &Target, topic: &str, deadline: Instant) -> Result<Link, KafkaError> {
    let mut link = cluster::bootstrap(target, deadline)?;
    let asked = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    let answer = link.call(&request, 8)?;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    let code = answer.topics.first().map_or(3, |topic| topic.error_code);
    KafkaError::check(code, None, || format!("looking for topic '{topic}'"))?;
    let broker = partition
        .and_then(|partition| answer.brokers.iter().find(|broker| broker.node_id == partition.leader_id))
        .ok_or_else(|| KafkaError::Refused {
            what: format!("looking for the leader of topic '{topic}'"),
            code: 5,
            reason: "it has none yet".to_owned(),
        })?;
    let broker = Broker { id: broker.node_id.0, host: broker.host.to_string(), port: broker.port };
    Link::open(&broker.address(), target.credentials.as_ref(), deadline)
}

fn produce(leader: &mut Link, topic: &str, value: Bytes) -> Result<i64, KafkaError> {
    let mut records = BytesMut::new();
    RecordBatchEncoder::encode(
        &mut records,
        [&record(value)],
        &RecordEncodeOptions { version: 2, compression: Compression::None },
    )
    .map_err(|error| KafkaError::Unexpected { what: format!("cannot encode a record: {error}") })?;
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(records.freeze()));
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![
        TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]),
    ]);
    let answer = leader.call(&request, 7)?;
    let partition = answer
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first())
        .ok_or_else(|| KafkaError::Unexpected { what: "a produced record got no answer".to_owned() })?;
    KafkaError::check(partition.error_code, None, || format!("producing to topic '{topic}'"))?;
    Ok(partition.base_offset)
}

fn end_offset(leader: &mut Link, topic: &str) -> Result<i64, KafkaError> {
    const LATEST: i64 = -1;
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(LATEST);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])]);
    let answer = leader.call(&request, 5)?;
    let partition = answer
        .topics
        .first()
        .and_then(|topic| topic.partitions.first())
        .ok_or_else(|| KafkaError::Unexpected { what: "asking for an offset got no answer".to_owned() })?;
    KafkaError::check(partition.error_code, None, || format!("asking for the end of topic '{topic}'"))?;
    Ok(partition.offset)
}

fn fetch(leader: &mut Link, topic: &str, offset: i64) -> Result<Bytes, KafkaError> {
    const ENOUGH: i32 = 1024 * 1024;
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(ENOUGH);
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(TIMEOUT_MS)
        .with_min_bytes(1)
        .with_max_bytes(ENOUGH)
        .with_session_epoch(-1)
        .with_topics(vec![FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition])]);
    let answer = leader.call(&request, 11)?;
    KafkaError::check(answer.error_code, None, || format!("fetching from topic '{topic}'"))?;
    let nothing = || KafkaError::Unexpected { what: format!("topic '{topic}' gave no record back") };
    let partition = answer.responses.first().and_then(|topic| topic.partitions.first()).ok_or_else(nothing)?;
    KafkaError::check(partition.error_code, None, || format!("fetching from topic '{topic}'"))?;
    let mut records = partition.records.clone().ok_or_else(nothing)?;
    let set = RecordBatchDecoder::decode(&mut records)
        .map_err(|error| KafkaError::Unexpected { what: format!("a fetched record cannot be read: {error}") })?;
    set.records.into_iter().find(|record| record.offset == offset).and_then(|record| record.value).ok_or_else(nothing)
}

fn record(value: Bytes) -> Record {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: i64::try_from(now.as_millis()).unwrap_or_default(),
        key: None,
        value: Some(value),
        headers: Default::default(),
    }
}

/// Tries again until it works or the deadline is over; then what was wrong the last time.
fn until<T>(deadline: Instant, mut attempt: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline || !may_pass(&error) => return Err(error),
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// Whether the same question may get a better answer in a moment.
fn may_pass(error: &KafkaError) -> bool {
    match error {
        KafkaError::Refused { code, .. } => NOT_YET.contains(code),
        KafkaError::Login { .. } | KafkaError::NotKafka { .. } => false,
        KafkaError::Unresolved { .. }
        | KafkaError::Connect { .. }
        | KafkaError::Broken { .. }
        | KafkaError::Deadline { .. }
        | KafkaError::Unexpected { .. } => true,
    }
}
