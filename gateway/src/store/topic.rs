//! A log of changes in a compacted topic of one partition on the physical cluster: every gateway reads the same order.

use std::sync::Arc;

use super::{Change, entry};
use crate::upstream::cluster::Cluster;
use crate::upstream::topic_log::{LogError, Shape, TopicLog};

/// Every gateway reads one order.
const SHAPE: Shape = Shape { partitions: 1, replication_factor: -1, cleanup_policy: "compact", settings: &[] };

/// The log. After an error the next call connects anew.
#[derive(Debug)]
pub struct StateLog(TopicLog);

/// What was read.
#[derive(Debug)]
pub struct Page {
    pub changes: Vec<Change>,
    /// Where to read on.
    pub next: i64,
    /// Whether there was nothing behind it when it was read.
    pub is_last: bool,
}

impl StateLog {
    pub fn new(cluster: Arc<Cluster>, topic: String) -> Self {
        Self(TopicLog::new(cluster, topic, SHAPE, 0))
    }

    /// Appends changes; returns when all replicas have them. As many as a broker takes at once hold together or not at all;
    /// longer ones are thousands of rules, each of which holds by itself.
    ///
    /// # Errors
    /// [`LogError`]. After a broken connection the changes may be in the log nevertheless, and so may be the first of many.
    pub async fn append(&mut self, changes: &[Change]) -> Result<(), LogError> {
        let entries = changes.iter().map(entry::write).collect::<Result<Vec<_>, _>>();
        let topic = || self.0.topic().to_owned();
        let entries = entries.map_err(|error| LogError::Codec { topic: topic(), reason: error.to_string() })?;
        self.0.append(entries).await.map(drop)
    }

    /// Reads on from an offset, without waiting for more.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn read(&mut self, from: i64) -> Result<Page, LogError> {
        let page = self.0.read(from).await?;
        let mut changes = Vec::with_capacity(page.records.len());
        for record in page.records {
            match entry::read(record.key.as_deref().unwrap_or_default(), record.value.as_deref()) {
                Ok(change) => changes.push(change),
                Err(error) => {
                    tracing::warn!(topic = self.0.topic(), offset = record.offset, "ignored a record: {error}");
                }
            }
        }
        Ok(Page { changes, next: page.next, is_last: page.is_last })
    }
}
