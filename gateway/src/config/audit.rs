//! What is recorded of who came, what was refused and what was changed, and where.

use std::path::PathBuf;
use std::time::Duration;

use contract::secret::Secret;
use serde_yaml::Value;

use super::reader::{Reader, listed, text};
use super::settings::{SHORTEST_KEY, Setting, file_only, internal_topic, setting, structured};

/// The audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How this gateway calls itself in events, where that is not its host's name and first port.
    pub node: Option<String>,
    /// A file.
    pub file: Option<AuditFile>,
    /// Standard output.
    pub stdout: bool,
    /// A topic of the physical cluster.
    pub topic: Option<AuditTopic>,
    /// Without one, whoever may write the record can also compute its hashes anew.
    pub chain_key: Option<Secret>,
    /// Events that wait to be recorded.
    pub queue: usize,
    /// Whether each request to the admin API is an event.
    pub admin_requests: bool,
    /// Whether each use of a topic is an event.
    pub topic_uses: bool,
    /// Topics whose use is an event, and the first use by an account an alert.
    pub sensitive_topics: Vec<NamePattern>,
    /// So many failed logins of one principal or address raise an alert.
    pub failures: u32,
    /// Within this time.
    pub window: Duration,
}

/// The file that events are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFile {
    pub path: PathBuf,
    /// Whether each batch is on the disk before the next one is taken.
    pub fsync: bool,
}

/// The topic that events are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditTopic {
    pub name: String,
    /// When it has to be made: so many partitions.
    pub partitions: i32,
    /// When it has to be made: so many replicas; -1 for as many as the brokers' default says.
    pub replication_factor: i16,
}

/// A name, or what names begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamePattern {
    Literal(String),
    Prefix(String),
}

impl NamePattern {
    /// Whether it is the pattern of a name.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(literal) => name == literal,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    structured("audit.sinks", "GATEWAY_AUDIT_LOG_SINKS"),
    setting("audit.file", "GATEWAY_AUDIT_LOG_FILE"),
    file_only("audit.fsync"),
    setting("audit.topic", "GATEWAY_AUDIT_LOG_TOPIC"),
    setting("audit.topicPartitions", "GATEWAY_AUDIT_LOG_NUM_PARTITIONS_OF_TOPIC"),
    setting("audit.topicReplicationFactor", "GATEWAY_AUDIT_LOG_REPLICATION_FACTOR_OF_TOPIC"),
    setting("audit.node", "GATEWAY_AUDIT_LOG_NODE"),
    setting("audit.chainKey", "GATEWAY_AUDIT_LOG_CHAIN_KEY"),
    file_only("audit.queue"),
    file_only("audit.adminRequests"),
    file_only("audit.topicUses"),
    file_only("audit.sensitiveTopics"),
    file_only("audit.failures"),
    file_only("audit.failureWindowSeconds"),
];

const TOPIC: &str = "_anabranch.audit";
const FILE: &str = "audit.log";
const SINKS: [&str; 3] = ["file", "stdout", "topic"];
/// Kafka's partitions are counted by 32 bits with a sign, replicas by 16; more than these are a mistake.
const MOST_PARTITIONS: i64 = 1000;
const MOST_REPLICAS: i64 = 100;

pub(super) fn read(reader: &mut Reader) -> Audit {
    let given = reader.value("audit.sinks", sinks);
    if given.is_none() {
        reader.warning(
            "audit.sinks is not set: who logged in, what was refused and what was changed is recorded nowhere",
        );
    }
    let given = given.unwrap_or_default();
    let has = |sink: &str| given.iter().any(|found| found == sink);
    let path = reader.text("audit.file").unwrap_or_else(|| FILE.to_owned()).into();
    let fsync = reader.flag("audit.fsync", true);
    let topic = AuditTopic {
        name: reader.value("audit.topic", internal_topic).unwrap_or_else(|| TOPIC.to_owned()),
        partitions: i32::try_from(reader.number("audit.topicPartitions", 1, 1, MOST_PARTITIONS)).unwrap_or(1),
        replication_factor: i16::try_from(reader.number("audit.topicReplicationFactor", -1, -1, MOST_REPLICAS))
            .unwrap_or(-1),
    };
    let window = reader.number("audit.failureWindowSeconds", 60, 1, 86_400).unsigned_abs();
    Audit {
        node: reader.value("audit.node", node),
        file: has("file").then_some(AuditFile { path, fsync }),
        stdout: has("stdout"),
        topic: has("topic").then_some(topic),
        chain_key: reader.value("audit.chainKey", |value| match text(value)? {
            key if key.len() < SHORTEST_KEY => {
                Err(format!("must have at least {SHORTEST_KEY} characters; make one with: openssl rand -base64 32"))
            }
            key => Ok(Secret::new(key)),
        }),
        queue: usize::try_from(reader.number("audit.queue", 8192, 1, 1_000_000)).unwrap_or(usize::MAX),
        admin_requests: reader.flag("audit.adminRequests", false),
        topic_uses: reader.flag("audit.topicUses", false),
        sensitive_topics: reader.value("audit.sensitiveTopics", patterns).unwrap_or_default(),
        failures: u32::try_from(reader.number("audit.failures", 10, 1, 1_000_000)).unwrap_or(u32::MAX),
        window: Duration::from_secs(window),
    }
}

fn sinks(value: &Value) -> Result<Vec<String>, String> {
    let entries = value.as_sequence().ok_or_else(|| format!("must be a list of {}", listed(SINKS.into_iter())))?;
    let mut sinks = Vec::with_capacity(entries.len());
    for entry in entries {
        let sink = text(entry)?;
        if !SINKS.contains(&sink.as_str()) {
            return Err(format!("'{sink}' is none of {}", listed(SINKS.into_iter())));
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

/// It stands in addresses, keys and on lines of their own.
fn node(value: &Value) -> Result<String, String> {
    let node = text(value)?;
    let fits = node.len() <= 100 && node.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
    if fits {
        Ok(node)
    } else {
        Err(format!("'{node}' is longer than 100 characters or has others than letters, digits and ._-:"))
    }
}

fn patterns(value: &Value) -> Result<Vec<NamePattern>, String> {
    let entries = value.as_sequence().ok_or("must be a list of topics, such as [cards, 'payments.*']")?;
    let pattern = |entry: &Value| {
        let name = text(entry)?;
        let (name, is_prefix) = match name.strip_suffix('*') {
            Some(prefix) => (prefix.to_owned(), true),
            None => (name, false),
        };
        if name.contains('*') {
            return Err(format!("'{name}': only the last character may be a *, which stands for the rest of a name"));
        }
        Ok(if is_prefix { NamePattern::Prefix(name) } else { NamePattern::Literal(name) })
    };
    entries.iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn audit(text: &str) -> Audit {
        let text = format!("upstream: {{bootstrapServers: 'k:1'}}\naudit: {text}");
        Config::parse(&text, []).unwrap().config.audit
    }

    #[test]
    fn nothing_is_kept_unless_a_sink_is_named_and_that_is_said() {
        let loaded = Config::parse("upstream: {bootstrapServers: 'k:1'}", []).unwrap();
        let none = loaded.config.audit;
        assert_eq!((none.file, none.stdout, none.topic), (None, false, None));
        assert!(loaded.warnings.iter().any(|warning| warning.starts_with("audit.sinks is not set")));
        assert!(
            Config::parse("upstream: {bootstrapServers: 'k:1'}\naudit: {sinks: []}", [])
                .unwrap()
                .warnings
                .iter()
                .all(|warning| !warning.starts_with("audit.sinks"))
        );
    }

    #[test]
    fn sinks_have_their_settings() {
        let all =
            audit("{sinks: [file, stdout, topic], file: /var/log/a.log, topic: _anabranch.x, topicPartitions: 3}");
        assert_eq!(all.file, Some(AuditFile { path: "/var/log/a.log".into(), fsync: true }));
        let topic = AuditTopic { name: "_anabranch.x".into(), partitions: 3, replication_factor: -1 };
        assert_eq!((all.stdout, all.topic), (true, Some(topic)));
    }

    #[test]
    fn a_pattern_matches_a_name_or_what_it_begins_with() {
        let patterns = audit("{sensitiveTopics: [cards, 'payments.*']}").sensitive_topics;
        let sensitive = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        assert!(sensitive("cards") && sensitive("payments.eu"));
        assert!(!sensitive("cards.eu") && !sensitive("payments"));
    }

    #[test]
    fn the_key_is_in_no_output() {
        let keyed = audit("{chainKey: 0123456789abcdef0123456789abcdef}");
        assert!(!format!("{keyed:?}").contains("0123456789abcdef"));
    }
}
