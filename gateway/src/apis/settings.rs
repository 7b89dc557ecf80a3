//! The settings of brokers that virtual clusters are shown, and the settings that name something.

/// What the physical cluster makes of topics, groups and transactions that say nothing themselves, and its limits for them,
/// in alphabetical order. Everything else tells of machines, listeners and secrets and is left out, also what Kafka adds
/// tomorrow.
const SHOWN: [&str; 52] = [
    "auto.create.topics.enable",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "default.replication.factor",
    "delete.topic.enable",
    "fetch.max.bytes",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.max.heartbeat.interval.ms",
    "group.consumer.max.session.timeout.ms",
    "group.consumer.max.size",
    "group.consumer.min.heartbeat.interval.ms",
    "group.consumer.min.session.timeout.ms",
    "group.consumer.session.timeout.ms",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "group.share.heartbeat.interval.ms",
    "group.share.max.size",
    "group.share.record.lock.duration.ms",
    "group.share.session.timeout.ms",
    "group.streams.heartbeat.interval.ms",
    "group.streams.max.size",
    "group.streams.session.timeout.ms",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleanup.policy",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.message.timestamp.after.max.ms",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "log.roll.hours",
    "log.roll.ms",
    "log.segment.bytes",
    "log.segment.delete.delay.ms",
    "message.max.bytes",
    "min.insync.replicas",
    "num.partitions",
    "offset.metadata.max.bytes",
    "offsets.retention.minutes",
    "transaction.max.timeout.ms",
    "transactional.id.expiration.ms",
    "unclean.leader.election.enable",
];

/// Whether a virtual cluster is shown this setting of a broker.
pub fn is_shown(name: &str) -> bool {
    SHOWN.binary_search(&name).is_ok()
}

/// The settings whose value is the name of a topic: to the dead-letter topic of a share group brokers write what its consumers
/// reject (KIP-1191).
const NAMING_TOPICS: [&str; 1] = ["errors.deadletterqueue.topic.name"];

/// Whether the value of this setting is the name of a topic.
pub fn names_topic(name: &str) -> bool {
    NAMING_TOPICS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_found_and_nothing_else() {
        assert!(SHOWN.is_sorted() && SHOWN.iter().all(|name| is_shown(name)));
        for hidden in ["listeners", "log.dirs", "sasl.jaas.config", "zookeeper.connect", "num.partition", ""] {
            assert!(!is_shown(hidden), "{hidden}");
        }
    }
}
