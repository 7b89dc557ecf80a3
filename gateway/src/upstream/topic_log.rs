//! A topic of the gateway's own on the physical cluster: records go to one partition of it and come back in their order.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, FetchRequest, FetchResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use wire::schema::ApiKey;
use wire::walk::{KeepAll, scan};

use super::broker::{self, BrokerError};
use super::cluster::Cluster;
use super::physical::Physical;
use super::security::Link;
use crate::apis::plans;
use crate::config::HostPort;
use crate::transport::connection::Connection;

/// Versions that address topics by name; every Kafka from 4.0 on serves them.
const CREATE_TOPICS: i16 = 5;
const METADATA: i16 = 9;
const FETCH: i16 = 12;
const PRODUCE: i16 = 9;

const NO_ERROR: i16 = 0;
const TOPIC_ALREADY_EXISTS: i16 = 36;
/// A record is a few hundred bytes: this many fit in one answer.
const FETCH_BYTES: i32 = 16 << 20;
const ANSWER_MILLISECONDS: i32 = 5_000;
/// A batch is not made longer than this unless one record alone is.
const BATCH_BYTES: usize = 900_000;
/// What a record takes up beside its key and value, at most.
const RECORD_OVERHEAD: usize = 32;
/// Base offset and length, which stand before each batch.
const BATCH_HEADER: usize = 12;
/// Where a batch says how many records it has.
const RECORD_COUNT: std::ops::Range<usize> = 57..61;

/// Key and value; without a value what the key names is gone.
pub type Entry = (String, Option<Vec<u8>>);

/// Why a topic could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("Kafka answered {what} of topic '{topic}' with error {code}")]
    Refused { what: &'static str, topic: String, code: i16 },
    #[error("topic '{topic}' has no leader at present")]
    NoLeader { topic: String },
    #[error("an exchange about topic '{topic}' could not be encoded or decoded: {reason}")]
    Codec { topic: String, reason: String },
}

/// How a topic is made that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub partitions: i32,
    /// -1 for as many as the brokers' default says.
    pub replication_factor: i16,
    pub cleanup_policy: &'static str,
}

/// One partition. After an error the next call connects anew.
#[derive(Debug)]
pub struct TopicLog {
    cluster: Arc<Cluster>,
    topic: String,
    shape: Shape,
    /// Picks the partition, however many there are.
    share: u32,
    partition: i32,
    leader: Option<Link>,
    /// The physical cluster of the leader.
    at: Option<Arc<Physical>>,
}

/// What was read.
#[derive(Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where to read on.
    pub next: i64,
    /// Whether there was nothing behind it when it was read.
    pub is_last: bool,
}

impl TopicLog {
    /// Nothing is connected yet. Who gives the same `share` meets in the same partition.
    pub fn new(cluster: Arc<Cluster>, topic: String, shape: Shape, share: u32) -> Self {
        Self { cluster, topic, shape, share, partition: 0, leader: None, at: None }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Appends records; returns when all replicas have them. As many as a broker takes at once are written together or not at
    /// all.
    ///
    /// # Errors
    /// [`LogError`]. After a broken connection the records may be there nevertheless, and so may be the first of many.
    pub async fn append(&mut self, entries: Vec<Entry>) -> Result<(), LogError> {
        for entries in in_batches(entries) {
            self.append_batch(entries).await?;
        }
        Ok(())
    }

    async fn append_batch(&mut self, entries: Vec<Entry>) -> Result<(), LogError> {
        let batch = encode_batch(entries).map_err(|error| self.codec(error))?;
        let leader = self.leader().await?;
        let partition = PartitionProduceData::default().with_index(self.partition).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(self.name()).with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(ANSWER_MILLISECONDS).with_topic_data(vec![topic]);
        let answer: ProduceResponse = self.ask_leader(leader, ApiKey::Produce, PRODUCE, &request).await?;
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        self.accepted("the write", partition.map_or(-1, |partition| partition.error_code))
    }

    /// Reads on from an offset, without waiting for more.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn read(&mut self, from: i64) -> Result<Page, LogError> {
        let leader = self.leader().await?;
        let partition = FetchPartition::default().with_partition(self.partition).with_fetch_offset(from);
        let partition = partition.with_partition_max_bytes(FETCH_BYTES);
        let topic = FetchTopic::default().with_topic(self.name()).with_partitions(vec![partition]);
        let request =
            FetchRequest::default().with_max_bytes(FETCH_BYTES).with_session_epoch(-1).with_topics(vec![topic]);
        let answer: FetchResponse = self.ask_leader(leader, ApiKey::Fetch, FETCH, &request).await?;
        self.accepted("the read", answer.error_code)?;
        let partition = answer.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
        let Some(partition) = partition else { return self.accepted("the read", -1).map(|()| Page::empty(from)) };
        self.accepted("the read", partition.error_code)?;
        let mut page = Page::empty(from);
        for record in decode_batches(partition.records.unwrap_or_default()).map_err(|error| self.codec(error))? {
            page.next = page.next.max(record.offset + 1);
            // A batch can begin before the offset that was asked for.
            if record.offset >= from && !record.control {
                page.records.push(record);
            }
        }
        page.is_last = page.next >= partition.high_watermark || page.next == from;
        Ok(page)
    }

    async fn leader(&mut self) -> Result<Link, LogError> {
        let serves = self.at.as_ref().is_some_and(|at| Arc::ptr_eq(at, &self.cluster.active()));
        match self.leader.take().filter(|leader| serves && leader.is_fresh()) {
            Some(leader) => Ok(leader),
            None => self.connect().await,
        }
    }

    async fn ask_leader<Q: Encodable, A: Decodable>(
        &mut self,
        leader: Link,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A, LogError> {
        let answer = self.ask(&leader.connection, &leader.address, key, version, request).await?;
        // Only a connection that worked is kept.
        self.leader = Some(leader);
        Ok(answer)
    }

    /// Connects to the partition's leader; makes the topic if it is not there.
    async fn connect(&mut self) -> Result<Link, LogError> {
        // One cluster all the way, also where another one takes over meanwhile.
        let cluster = self.cluster.active();
        let Link { address, connection, .. } = cluster.connect(-1).await?;
        let config = |name: &'static str, value: &'static str| {
            let config = CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name));
            config.with_value(Some(StrBytes::from_static_str(value)))
        };
        let Shape { partitions, replication_factor, cleanup_policy } = self.shape;
        let topic = CreatableTopic::default().with_name(self.name()).with_num_partitions(partitions);
        let topic = topic.with_replication_factor(replication_factor);
        let topic = topic.with_configs(vec![config("cleanup.policy", cleanup_policy)]);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(ANSWER_MILLISECONDS);
        let created: CreateTopicsResponse =
            self.ask(&connection, &address, ApiKey::CreateTopics, CREATE_TOPICS, &create).await?;
        let code = created.topics.first().map_or(-1, |topic| topic.error_code);
        self.check("the creation", if code == TOPIC_ALREADY_EXISTS { NO_ERROR } else { code })?;
        let topic = MetadataRequestTopic::default().with_name(Some(self.name()));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let metadata: MetadataResponse = self.ask(&connection, &address, ApiKey::Metadata, METADATA, &request).await?;
        let found = leader_of(&metadata, self.share);
        let (partition, id, leader) = found.ok_or_else(|| LogError::NoLeader { topic: self.topic.clone() })?;
        self.partition = partition;
        let leader = cluster.connect_to(id, leader).await?;
        self.at = Some(cluster);
        Ok(leader)
    }

    async fn ask<Q: Encodable, A: Decodable>(
        &self,
        connection: &Connection,
        address: &str,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A, LogError> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).map_err(|error| self.codec(error))?;
        let answer = broker::ask(connection, address, key, version, &body).await?;
        // The decoder reserves what an answer claims; a walk finds out first whether it holds as much.
        scan(plans::response(key, version), &answer, &mut KeepAll).map_err(|error| self.codec(error))?;
        A::decode(&mut Bytes::from(answer), version).map_err(|error| self.codec(error))
    }

    /// An error may mean that this broker does not lead any more: look for the leader next time.
    fn accepted(&mut self, what: &'static str, code: i16) -> Result<(), LogError> {
        let accepted = self.check(what, code);
        if accepted.is_err() {
            self.leader = None;
        }
        accepted
    }

    fn check(&self, what: &'static str, code: i16) -> Result<(), LogError> {
        if code == NO_ERROR { Ok(()) } else { Err(LogError::Refused { what, topic: self.topic.clone(), code }) }
    }

    fn name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.clone()))
    }

    fn codec(&self, error: impl ToString) -> LogError {
        LogError::Codec { topic: self.topic.clone(), reason: error.to_string() }
    }
}

impl Page {
    fn empty(from: i64) -> Self {
        Self { records: Vec::new(), next: from, is_last: true }
    }
}

/// The partition that belongs to a share, and its leader.
fn leader_of(metadata: &MetadataResponse, share: u32) -> Option<(i32, i32, String)> {
    let partitions = &metadata.topics.first()?.partitions;
    let index = i32::try_from(share.checked_rem(u32::try_from(partitions.len()).ok()?)?).ok()?;
    let partition = partitions.iter().find(|partition| partition.partition_index == index)?;
    let leader: BrokerId = partition.leader_id;
    let broker = metadata.brokers.iter().find(|broker| broker.node_id == leader)?;
    let address = HostPort { host: broker.host.as_str().to_owned(), port: u16::try_from(broker.port).ok()? };
    Some((index, leader.0, address.to_string()))
}

/// Cuts records into pieces that a broker takes as one batch (`max.message.bytes`, 1 MiB unless it is set).
fn in_batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let (mut batches, mut room) = (vec![Vec::new()], BATCH_BYTES);
    for (key, value) in entries {
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len) + RECORD_OVERHEAD;
        if bytes > room {
            batches.push(Vec::new());
            room = BATCH_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(batch) = batches.last_mut() {
            batch.push((key, value));
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn encode_batch(entries: Vec<Entry>) -> Result<Bytes, io::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let timestamp = i64::try_from(now).unwrap_or(i64::MAX);
    let records = entries.into_iter().zip(0..).map(|((key, value), offset)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        // The encoder puts records with consecutive sequences in one batch.
        sequence: i32::try_from(offset).unwrap_or(0),
        timestamp,
        key: Some(Bytes::from(key)),
        value: value.map(Bytes::from),
        headers: Default::default(),
    });
    let records = records.collect::<Vec<_>>();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records.iter(), &options).map_err(io::Error::other)?;
    Ok(batch.freeze())
}

/// The records of all whole batches; a broker may cut the last one off.
fn decode_batches(mut bytes: Bytes) -> Result<Vec<Record>, io::Error> {
    let mut records = Vec::new();
    while bytes.len() >= BATCH_HEADER {
        let length = (&bytes[8..BATCH_HEADER]).get_u32() as usize + BATCH_HEADER;
        if bytes.len() < length {
            break;
        }
        let mut batch = bytes.split_to(length);
        let claimed = batch.get(RECORD_COUNT).map_or(0, |mut count| count.get_u32()) as usize;
        if claimed > batch.len() {
            return Err(io::Error::other(format!("a batch of {length} bytes claims {claimed} records")));
        }
        records.extend(RecordBatchDecoder::decode(&mut batch).map_err(io::Error::other)?.records);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![("a".into(), Some(b"1".to_vec())), ("b".into(), None), ("c".into(), Some(Vec::new()))]
    }

    #[test]
    fn batches_hold_what_was_put_in() {
        let batch = encode_batch(entries()).unwrap();
        let records = decode_batches(batch).unwrap();
        let found = records.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>();
        let expected = entries().into_iter().map(|(key, value)| (Some(Bytes::from(key)), value.map(Bytes::from)));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn many_records_are_cut_into_batches_that_a_broker_takes() {
        let entries = (0..30_000).map(|n| (format!("{n:0>100}"), Some(b"{}".to_vec()))).collect::<Vec<_>>();
        let batches = in_batches(entries.clone());
        assert!(batches.len() > 3, "{}", batches.len());
        for batch in &batches {
            assert!(encode_batch(batch.clone()).unwrap().len() < 1 << 20);
        }
        assert_eq!(batches.concat(), entries, "in the same order");
        assert_eq!(in_batches(vec![("long".into(), Some(vec![0; 2 << 20])), ("k".into(), None)]).len(), 2);
        assert_eq!(in_batches(Vec::new()).len(), 0);
    }

    #[test]
    fn a_batch_that_claims_more_records_than_it_has_bytes_is_refused_before_they_are_reserved() {
        let mut batch = BytesMut::from(&encode_batch(entries()).unwrap()[..]);
        batch[RECORD_COUNT].copy_from_slice(&i32::MAX.to_be_bytes());
        let why = decode_batches(batch.freeze()).unwrap_err().to_string();
        assert!(why.ends_with("claims 2147483647 records"), "{why}");
    }

    #[test]
    fn a_batch_cut_off_is_left_for_the_next_read() {
        let whole = encode_batch(entries()).unwrap();
        let mut two = BytesMut::from(&whole[..]);
        two.extend_from_slice(&whole[..whole.len() - 1]);
        assert_eq!(decode_batches(two.freeze()).unwrap().len(), 3);
        assert_eq!(decode_batches(Bytes::new()).unwrap().len(), 0);
    }
}
