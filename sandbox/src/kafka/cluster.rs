//! What is in a cluster, and taking it away.

use std::time::Instant;

use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, GroupId, ListGroupsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{KafkaError, Link, Target};

/// How long a broker may take to delete topics before it answers.
const DELETE_TIMEOUT_MS: i32 = 20_000;
const NON_EMPTY_GROUP: i16 = 68;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: i32,
}

impl Broker {
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub partitions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub state: String,
    /// The address of the broker that coordinates it.
    coordinator: String,
}

/// A cluster as its metadata tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub id: Option<String>,
    pub brokers: Vec<Broker>,
    pub topics: Vec<Topic>,
}

/// Asks the bootstrap servers in their order for brokers and topics; internal topics are left out.
pub fn describe(target: &Target, deadline: Instant) -> Result<Cluster, KafkaError> {
    let mut link = bootstrap(target, deadline)?;
    Ok(told(&metadata(&mut link)?))
}

/// Asks every broker for the groups it coordinates.
pub fn groups(target: &Target, brokers: &[Broker], deadline: Instant) -> Result<Vec<Group>, KafkaError> {
    let mut groups = Vec::new();
    for broker in brokers {
        let address = broker.address();
        let mut link = Link::open(&address, target.credentials.as_ref(), deadline)?;
        let answer = link.call(&ListGroupsRequest::default(), 4)?;
        KafkaError::check(answer.error_code, None, || format!("listing the groups of broker {}", broker.id))?;
        groups.extend(answer.groups.into_iter().map(|group| Group {
            name: group.group_id.0.to_string(),
            state: group.group_state.to_string(),
            coordinator: address.clone(),
        }));
    }
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

/// Deletes topics. One that is already gone is no failure.
pub fn delete_topics(target: &Target, names: &[String], deadline: Instant) -> Result<(), KafkaError> {
    const UNKNOWN_TOPIC: i16 = 3;
    if names.is_empty() {
        return Ok(());
    }
    let request = DeleteTopicsRequest::default()
        .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        .with_timeout_ms(DELETE_TIMEOUT_MS);
    let answer = bootstrap(target, deadline)?.call(&request, 4)?;
    for result in answer.responses.iter().filter(|result| result.error_code != UNKNOWN_TOPIC) {
        let name = result.name.as_ref().map_or("?", |name| name.0.as_str());
        KafkaError::check(result.error_code, None, || format!("deleting topic '{name}'"))?;
    }
    Ok(())
}

/// Deletes groups and returns those that still have members.
pub fn delete_groups(target: &Target, groups: &[Group], deadline: Instant) -> Result<Vec<Group>, KafkaError> {
    const UNKNOWN_GROUP: i16 = 69;
    let mut in_use = Vec::new();
    for group in groups {
        let mut link = Link::open(&group.coordinator, target.credentials.as_ref(), deadline)?;
        let name = GroupId(StrBytes::from_string(group.name.clone()));
        let answer = link.call(&DeleteGroupsRequest::default().with_groups_names(vec![name]), 1)?;
        match answer.results.first().map(|result| result.error_code) {
            Some(NON_EMPTY_GROUP) => in_use.push(group.clone()),
            Some(UNKNOWN_GROUP) => {}
            Some(code) => KafkaError::check(code, None, || format!("deleting group '{}'", group.name))?,
            None => {
                return Err(KafkaError::Unexpected { what: format!("no answer about group '{}'", group.name) });
            }
        }
    }
    Ok(in_use)
}

/// A connection to the first bootstrap server that answers.
pub(super) fn bootstrap(target: &Target, deadline: Instant) -> Result<Link, KafkaError> {
    let mut failure = None;
    for address in target.bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        match Link::open(address, target.credentials.as_ref(), deadline) {
            Ok(link) => return Ok(link),
            // The first failure tells most: the others are often the same.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    Err(failure.unwrap_or_else(|| KafkaError::Unresolved {
        address: target.bootstrap.clone(),
        reason: "no bootstrap server is named".to_owned(),
    }))
}

pub(super) fn metadata(link: &mut Link) -> Result<MetadataResponse, KafkaError> {
    link.call(&MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false), 8)
}

pub(super) fn told(answer: &MetadataResponse) -> Cluster {
    let brokers = answer
        .brokers
        .iter()
        .map(|broker| Broker { id: broker.node_id.0, host: broker.host.to_string(), port: broker.port })
        .collect();
    let mut topics = answer
        .topics
        .iter()
        .filter(|topic| !topic.is_internal)
        .filter_map(|topic| {
            Some(Topic { name: topic.name.as_ref()?.0.to_string(), partitions: topic.partitions.len() })
        })
        .collect::<Vec<_>>();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    Cluster { id: answer.cluster_id.as_ref().map(ToString::to_string), brokers, topics }
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
