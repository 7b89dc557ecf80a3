//! A topic of the physical cluster, which no client sees. All lines of one gateway are in one partition, in their order.

use std::sync::Arc;

use super::SinkError;
use crate::config::AuditTopic;
use crate::upstream::cluster::Cluster;
use crate::upstream::topic_log::{Shape, TopicLog};

#[derive(Debug)]
pub(super) struct TopicSink {
    log: TopicLog,
    node: String,
}

impl TopicSink {
    pub(super) fn new(settings: &AuditTopic, cluster: Arc<Cluster>, node: &str) -> Self {
        let AuditTopic { name, partitions, replication_factor } = settings;
        let shape =
            Shape { partitions: *partitions, replication_factor: *replication_factor, cleanup_policy: "delete" };
        let share = node.bytes().fold(0u32, |share, byte| share.wrapping_mul(31).wrapping_add(byte.into()));
        Self { log: TopicLog::new(cluster, name.clone(), shape, share), node: node.to_owned() }
    }

    /// Without an answer the lines may be there nevertheless: they are written once more, which the chain shows for what it is.
    pub(super) async fn append(&mut self, lines: &[String]) -> Result<(), SinkError> {
        let entries = lines.iter().map(|line| (self.node.clone(), Some(line.clone().into_bytes())));
        self.log.append(entries.collect()).await.map(drop).map_err(SinkError::Topic)
    }
}
