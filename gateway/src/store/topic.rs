//! A log of changes in a compacted topic of one partition on the physical cluster: every gateway reads the same order.

use std::sync::Arc;
use std::time::Duration;

use super::{Change, entry, secrets};
use crate::crypto::sealed::SealingKeys;
use crate::upstream::cluster::Cluster;
use crate::upstream::topic_log::{Entry, LogError, Shape, TopicLog, UP_TO_THREE};

/// Every gateway reads one order.
const SHAPE: Shape = Shape { partitions: 1, replication_factor: UP_TO_THREE, cleanup_policy: "compact" };

/// Small segments, so that old values go soon and a start reads little; a deletion stays for as long as a gateway that was cut
/// off goes on from where it was (see [`super::follower`]).
const SETTINGS: &[(&str, &str)] = &[
    ("segment.bytes", "16777216"),
    ("segment.ms", "86400000"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("delete.retention.ms", "604800000"),
    ("max.message.bytes", "1048588"),
    ("unclean.leader.election.enable", "false"),
];

/// The key of the record that says that the log holds what another physical cluster's held.
const COPIED: &str = "Copied";

/// The log. After an error the next call connects anew.
#[derive(Debug)]
pub struct StateLog {
    log: TopicLog,
    keys: Option<Arc<SealingKeys>>,
}

/// One change in the log.
#[derive(Debug)]
pub struct Noted {
    pub offset: i64,
    pub key: String,
    pub change: Change,
}

/// A record, or a batch of them, that holds no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub offset: i64,
    pub reason: String,
}

/// What was read.
#[derive(Debug)]
pub struct Page {
    pub noted: Vec<Noted>,
    pub skipped: Vec<Skipped>,
    /// The number of the last move to this log, if the page tells one.
    pub copied: Option<i64>,
    /// Where to read on.
    pub next: i64,
    /// Whether there was nothing behind it when it was read.
    pub is_last: bool,
}

impl StateLog {
    /// The log in a topic, which is made if it is missing: with as many replicas as it takes, three unless it is said, or all
    /// brokers where there are less.
    pub fn new(cluster: Arc<Cluster>, topic: String, replication_factor: Option<i16>) -> Self {
        let shape = Shape { replication_factor: replication_factor.unwrap_or(UP_TO_THREE), ..SHAPE };
        Self { log: TopicLog::new(cluster, topic, shape, 0).strict(SETTINGS), keys: None }
    }

    /// Encrypts what is secret by these keys.
    #[must_use]
    pub fn sealed_by(self, keys: Option<Arc<SealingKeys>>) -> Self {
        Self { keys, ..self }
    }

    /// The same log over a connection of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { log: self.log.another(), keys: self.keys.clone() }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.log.topic()
    }

    /// The topic's id: another one is another log. Connects where that has not been done.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn id(&mut self) -> Result<[u8; 16], LogError> {
        self.log.id().await
    }

    /// The first offset that is there.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn beginning(&mut self) -> Result<i64, LogError> {
        self.log.beginning().await
    }

    /// Looks whether the topic is there and keeps what is in it.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn check(&mut self) -> Result<(), LogError> {
        self.log.check().await
    }

    /// Ends the connection: the next call makes a new one, and looks at the topic then.
    pub fn disconnect(&mut self) {
        self.log.disconnect();
    }

    /// Waits for a record at or behind an offset, for at most this long.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn wait(&mut self, from: i64, longest: Duration) -> Result<bool, LogError> {
        self.log.wait(from, longest).await
    }

    /// Appends changes; returns the offset of the last one when all replicas have them. As many as a broker takes at once hold
    /// together or not at all; longer ones are thousands of rules, each of which holds by itself.
    ///
    /// # Errors
    /// [`LogError`]. After a broken connection the changes may be in the log nevertheless, and so may be the first of many.
    pub async fn append(&mut self, changes: &[Change]) -> Result<i64, LogError> {
        let entries = self.entries(changes)?;
        self.log.append(entries).await
    }

    /// The same, and then that all of what another log held is here: the `move_number`th time that the log moved.
    ///
    /// # Errors
    /// [`LogError`], as for [`Self::append`].
    pub async fn append_copy(&mut self, changes: &[Change], move_number: i64) -> Result<i64, LogError> {
        let mut entries = self.entries(changes)?;
        entries.push((COPIED.to_owned(), Some(move_number.to_string().into_bytes())));
        self.log.append(entries).await
    }

    fn entries(&self, changes: &[Change]) -> Result<Vec<Entry>, LogError> {
        let entry = |change| {
            let entry = entry::write(change).map_err(|error| error.to_string())?;
            secrets::seal(self.keys.as_deref(), change, entry)
        };
        let entries = changes.iter().map(entry).collect::<Result<Vec<_>, _>>();
        entries.map_err(|reason| LogError::Codec { topic: self.topic().to_owned(), reason })
    }

    /// Reads on from an offset, without waiting for more.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn read(&mut self, from: i64) -> Result<Page, LogError> {
        let page = self.log.read(from).await?;
        let skipped = page.damaged.into_iter().map(|(offset, reason)| Skipped { offset, reason });
        let mut read = Page {
            noted: Vec::with_capacity(page.records.len()),
            skipped: skipped.collect(),
            copied: None,
            next: page.next,
            is_last: page.is_last,
        };
        for record in page.records {
            let (offset, key) = (record.offset, record.key.as_deref().unwrap_or_default());
            let value = record.value.as_deref();
            if key == COPIED.as_bytes() {
                let number = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                read.copied = number.or(read.copied);
                continue;
            }
            let opened = value.and_then(|value| secrets::open(self.keys.as_deref(), key, value));
            let opened = match opened.transpose() {
                Ok(opened) => opened,
                Err(reason) => {
                    read.skipped.push(Skipped { offset, reason });
                    continue;
                }
            };
            match entry::read(key, opened.as_deref().or(value)) {
                Ok(change) => {
                    let key = String::from_utf8_lossy(key).into_owned();
                    read.noted.push(Noted { offset, key, change });
                }
                Err(error) => read.skipped.push(Skipped { offset, reason: error.to_string() }),
            }
        }
        Ok(read)
    }
}
