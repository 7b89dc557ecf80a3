//! A topic of the gateway's own on the physical cluster: records go to one partition of it and come back in their order.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse, FetchRequest,
    FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::Record;
use tokio::time::{Instant, sleep};
use wire::schema::ApiKey;
use wire::walk::{KeepAll, scan};

use super::batches::{Batches, decode_batches, encode_batch, in_batches};
use super::broker::{self, BrokerError};
use super::cluster::Cluster;
use super::physical::Physical;
use super::security::Link;
use crate::apis::plans;
use crate::config::{HostPort, INTERNAL_TOPICS};
use crate::transport::connection::Connection;

/// Versions that address topics by name; every Kafka from 4.0 on serves them.
const CREATE_TOPICS: i16 = 5;
const DESCRIBE_CONFIGS: i16 = 4;
/// The first that tells topic ids.
const METADATA: i16 = 10;
const FETCH: i16 = 12;
const LIST_OFFSETS: i16 = 6;
const PRODUCE: i16 = 9;

const NO_ERROR: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const TOPIC_ALREADY_EXISTS: i16 = 36;
/// In the place of a time, for the first offset.
const EARLIEST: i64 = -2;
/// A topic's number in DescribeConfigs.
const TOPIC: i8 = 2;
const CLEANUP_POLICY: &str = "cleanup.policy";
/// For [`Shape::replication_factor`]: three, or as many as there are brokers, and all replicas but one must have what is written
/// as soon as there are three.
pub const UP_TO_THREE: i16 = -2;
/// A record is a few hundred bytes: this many fit in one answer.
const FETCH_BYTES: i32 = 16 << 20;
const ANSWER_MILLISECONDS: i32 = 5_000;
/// A new topic that a broker does not know by then is worth an error.
const UNTIL_KNOWN: Duration = Duration::from_secs(5);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(20);
/// Somebody who only waits for records needs none of them.
const ONE_BATCH: i32 = 1;

/// Key and value; without a value what the key names is gone.
pub type Entry = (String, Option<Vec<u8>>);

/// Why a topic could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("Kafka answered {what} of topic '{topic}' with error {code}{}", named(*.code))]
    Refused { what: &'static str, topic: String, code: i16 },
    #[error(
        "topic '{topic}' has cleanup.policy={found}, by which Kafka loses what is in it: set it to {expected} (kafka-configs \
         --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy={expected})"
    )]
    CleanupPolicy { topic: String, found: String, expected: &'static str },
    #[error("topic '{topic}' has no leader at present")]
    NoLeader { topic: String },
    #[error("an exchange about topic '{topic}' could not be encoded or decoded: {reason}")]
    Codec { topic: String, reason: String },
}

/// Kafka's name for an error, and what to do about it where that is known.
fn named(code: i16) -> String {
    let name = ResponseError::try_from_code(code).map(|error| format!(" ({error:?})")).unwrap_or_default();
    if !matches!(code, TOPIC_AUTHORIZATION_FAILED | CLUSTER_AUTHORIZATION_FAILED) {
        return name;
    }
    format!(
        "{name}: let the gateway's own user do everything with its topics (kafka-acls --add --allow-principal User:… \
         --operation All --topic {INTERNAL_TOPICS} --resource-pattern-type prefixed)"
    )
}

impl LogError {
    /// Whether the topic does not reach to where it should be read on: it is another one than before.
    pub fn is_out_of_range(&self) -> bool {
        matches!(self, Self::Refused { code: OFFSET_OUT_OF_RANGE, .. })
    }
}

/// How a topic is made that is not there.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub partitions: i32,
    /// -1 for as many as the brokers' default says, or [`UP_TO_THREE`].
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
    /// The topic's id when it was last looked up: another one is another topic.
    id: [u8; 16],
    /// What else a topic is made with.
    settings: &'static [(&'static str, &'static str)],
    /// Whether another clean-up policy is an error.
    strict: bool,
    leader: Option<Link>,
    /// The physical cluster of the leader.
    at: Option<Arc<Physical>>,
}

/// What was read.
#[derive(Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// Batches that could not be read: their first offsets, and why not.
    pub damaged: Vec<(i64, String)>,
    /// Where to read on.
    pub next: i64,
    /// Whether there was nothing behind it when it was read.
    pub is_last: bool,
}

impl TopicLog {
    /// Nothing is connected yet. Who gives the same `share` meets in the same partition.
    pub fn new(cluster: Arc<Cluster>, topic: String, shape: Shape, share: u32) -> Self {
        let (partition, id, settings, strict, leader) = (0, [0; 16], &[], false, None);
        Self { cluster, topic, shape, share, partition, id, settings, strict, leader, at: None }
    }

    /// The topic is made with these settings too, and must have its clean-up policy: with another one nothing is read or written.
    #[must_use]
    pub fn strict(self, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { settings, strict: true, ..self }
    }

    /// The same topic over a connection of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        let new = Self::new(Arc::clone(&self.cluster), self.topic.clone(), self.shape, self.share);
        Self { settings: self.settings, strict: self.strict, ..new }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's id: another one is another topic of the same name. Connects where that has not been done.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn id(&mut self) -> Result<[u8; 16], LogError> {
        self.leader = Some(self.leader().await?);
        Ok(self.id)
    }

    /// The first offset that is there.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn beginning(&mut self) -> Result<i64, LogError> {
        let leader = self.leader().await?;
        let partition = ListOffsetsPartition::default().with_partition_index(self.partition).with_timestamp(EARLIEST);
        let topic = ListOffsetsTopic::default().with_name(self.name()).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer: ListOffsetsResponse = self.ask_leader(leader, ApiKey::ListOffsets, LIST_OFFSETS, &request).await?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        self.accepted("the look for the beginning", partition.map_or(-1, |partition| partition.error_code))?;
        Ok(partition.map_or(0, |partition| partition.offset.max(0)))
    }

    /// Ends the connection: the next call makes a new one.
    pub fn disconnect(&mut self) {
        self.leader = None;
    }

    /// Looks the topic up once more: that it is there, and as it must be.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn check(&mut self) -> Result<(), LogError> {
        self.leader = None;
        self.leader = Some(self.leader().await?);
        Ok(())
    }

    /// Appends records; returns the offset of the last one when all replicas have them. As many as a broker takes at once are
    /// written together or not at all.
    ///
    /// # Errors
    /// [`LogError`]. After a broken connection the records may be there nevertheless, and so may be the first of many.
    pub async fn append(&mut self, entries: Vec<Entry>) -> Result<i64, LogError> {
        let mut last = -1;
        for entries in in_batches(entries) {
            last = self.append_batch(entries).await?;
        }
        Ok(last)
    }

    async fn append_batch(&mut self, entries: Vec<Entry>) -> Result<i64, LogError> {
        let count = i64::try_from(entries.len()).unwrap_or(1);
        let batch = encode_batch(entries).map_err(|error| self.codec(error))?;
        let leader = self.leader().await?;
        let partition = PartitionProduceData::default().with_index(self.partition).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(self.name()).with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(ANSWER_MILLISECONDS).with_topic_data(vec![topic]);
        let answer: ProduceResponse = self.ask_leader(leader, ApiKey::Produce, PRODUCE, &request).await?;
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        self.accepted("the write", partition.map_or(-1, |partition| partition.error_code))?;
        Ok(partition.map_or(-1, |partition| partition.base_offset.saturating_add(count - 1)))
    }

    /// Reads on from an offset, without waiting for more.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn read(&mut self, from: i64) -> Result<Page, LogError> {
        let (bytes, high_watermark) = self.fetch(from, FETCH_BYTES, Duration::ZERO).await?;
        let Batches { mut records, next, mut damaged } = decode_batches(bytes);
        let next = next.map_or(from, |next| next.max(from));
        // A batch can begin before the offset that was asked for.
        records.retain(|record| record.offset >= from && !record.control);
        damaged.retain(|(offset, _)| *offset >= from);
        Ok(Page { records, damaged, next, is_last: next >= high_watermark || next == from })
    }

    /// Waits for a record at or behind an offset, for at most this long; tells whether there is one.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn wait(&mut self, from: i64, longest: Duration) -> Result<bool, LogError> {
        let (bytes, _) = self.fetch(from, ONE_BATCH, longest).await?;
        Ok(!bytes.is_empty())
    }

    /// What is there, and the offset behind the last record that counts.
    async fn fetch(&mut self, from: i64, most: i32, wait: Duration) -> Result<(Bytes, i64), LogError> {
        let leader = self.leader().await?;
        let partition = FetchPartition::default().with_partition(self.partition).with_fetch_offset(from);
        let partition = partition.with_partition_max_bytes(most);
        let topic = FetchTopic::default().with_topic(self.name()).with_partitions(vec![partition]);
        let wait = i32::try_from(wait.as_millis()).unwrap_or(ANSWER_MILLISECONDS).min(ANSWER_MILLISECONDS);
        let request = FetchRequest::default().with_max_wait_ms(wait).with_min_bytes(1).with_max_bytes(FETCH_BYTES);
        let request = request.with_session_epoch(-1).with_topics(vec![topic]);
        let answer: FetchResponse = self.ask_leader(leader, ApiKey::Fetch, FETCH, &request).await?;
        self.accepted("the read", answer.error_code)?;
        let partition = answer.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
        let Some(partition) = partition else { return self.accepted("the read", -1).map(|()| (Bytes::new(), from)) };
        self.accepted("the read", partition.error_code)?;
        Ok((partition.records.unwrap_or_default(), partition.high_watermark))
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
        let any = cluster.connect(-1).await?;
        let mut metadata = self.look_up(&any).await?;
        if error_of(&metadata) == UNKNOWN_TOPIC {
            self.create(&any).await?;
            metadata = self.look_up_new(&any).await?;
        }
        self.verify("the look-up", error_of(&metadata))?;
        if self.strict {
            self.check_policy(&any).await?;
        }
        let found = leader_of(&metadata, self.share);
        let (partition, id, leader) = found.ok_or_else(|| LogError::NoLeader { topic: self.topic.clone() })?;
        self.partition = partition;
        self.id = metadata.topics.first().map_or([0; 16], |topic| topic.topic_id.into_bytes());
        let leader = cluster.connect_to(id, leader).await?;
        self.at = Some(cluster);
        Ok(leader)
    }

    async fn look_up(&self, any: &Link) -> Result<MetadataResponse, LogError> {
        let topic = MetadataRequestTopic::default().with_name(Some(self.name()));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        self.ask(&any.connection, &any.address, ApiKey::Metadata, METADATA, &request).await
    }

    /// A broker knows a topic a moment later than the controller that made it.
    async fn look_up_new(&self, any: &Link) -> Result<MetadataResponse, LogError> {
        let until = Instant::now() + UNTIL_KNOWN;
        loop {
            let metadata = self.look_up(any).await?;
            let is_known = error_of(&metadata) != UNKNOWN_TOPIC && leader_of(&metadata, self.share).is_some();
            if is_known || Instant::now() >= until {
                return Ok(metadata);
            }
            sleep(PAUSE).await;
        }
    }

    async fn create(&self, any: &Link) -> Result<(), LogError> {
        let config = |name: &'static str, value: &'static str| {
            let config = CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name));
            config.with_value(Some(StrBytes::from_static_str(value)))
        };
        let Shape { partitions, replication_factor, cleanup_policy } = self.shape;
        let mut configs = vec![config(CLEANUP_POLICY, cleanup_policy)];
        configs.extend(self.settings.iter().map(|(name, value)| config(name, value)));
        let replicas = match replication_factor {
            UP_TO_THREE => i16::try_from(self.cluster.topology().brokers.len()).unwrap_or(3).clamp(1, 3),
            factor => factor,
        };
        if self.strict {
            configs.push(config("min.insync.replicas", if replicas >= 3 { "2" } else { "1" }));
        }
        let topic = CreatableTopic::default().with_name(self.name()).with_num_partitions(partitions);
        let topic = topic.with_replication_factor(replicas).with_configs(configs);
        let create = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(ANSWER_MILLISECONDS);
        let created: CreateTopicsResponse =
            self.ask(&any.connection, &any.address, ApiKey::CreateTopics, CREATE_TOPICS, &create).await?;
        let code = created.topics.first().map_or(-1, |topic| topic.error_code);
        self.verify("the creation", if code == TOPIC_ALREADY_EXISTS { NO_ERROR } else { code })?;
        if code == NO_ERROR {
            tracing::info!(topic = self.topic, replicas, "made a topic of the gateway's own");
        }
        Ok(())
    }

    async fn check_policy(&self, any: &Link) -> Result<(), LogError> {
        let name = StrBytes::from_string(self.topic.clone());
        let resource = DescribeConfigsResource::default().with_resource_type(TOPIC).with_resource_name(name);
        let resource = resource.with_configuration_keys(Some(vec![StrBytes::from_static_str(CLEANUP_POLICY)]));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer: DescribeConfigsResponse =
            self.ask(&any.connection, &any.address, ApiKey::DescribeConfigs, DESCRIBE_CONFIGS, &request).await?;
        let Some(result) = answer.results.first() else { return self.verify("the look at the settings", -1) };
        if matches!(result.error_code, TOPIC_AUTHORIZATION_FAILED | CLUSTER_AUTHORIZATION_FAILED) {
            tracing::info!(topic = self.topic, "Kafka does not let the gateway see the topic's settings: not checked");
            return Ok(());
        }
        self.verify("the look at the settings", result.error_code)?;
        let found = result.configs.iter().find(|config| config.name.as_str() == CLEANUP_POLICY);
        let found = found.and_then(|config| config.value.as_ref()).map_or("unknown", StrBytes::as_str);
        if found == self.shape.cleanup_policy {
            return Ok(());
        }
        let (topic, expected) = (self.topic.clone(), self.shape.cleanup_policy);
        Err(LogError::CleanupPolicy { topic, found: found.to_owned(), expected })
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
        let accepted = self.verify(what, code);
        if accepted.is_err() {
            self.leader = None;
        }
        accepted
    }

    fn verify(&self, what: &'static str, code: i16) -> Result<(), LogError> {
        if code == NO_ERROR { Ok(()) } else { Err(LogError::Refused { what, topic: self.topic.clone(), code }) }
    }

    fn name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.clone()))
    }

    fn codec(&self, error: impl ToString) -> LogError {
        LogError::Codec { topic: self.topic.clone(), reason: error.to_string() }
    }
}

/// What a look-up says about the topic.
fn error_of(metadata: &MetadataResponse) -> i16 {
    metadata.topics.first().map_or(-1, |topic| topic.error_code)
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
