//! Where resources are kept, and how they are kept secret there.

use std::path::PathBuf;

use contract::secret::Secret;
use serde_yaml::Value;

use super::reader::{Reader, listed, text};
use super::settings::{SHORTEST_KEY, Setting, file_only, internal_topic, setting};

/// Where resources are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In the process: gone when it ends.
    Memory,
    /// In this topic of the physical cluster, shared by all gateways that name it.
    Topic(String),
    /// In the files of this folder, which others write and the gateway watches.
    Folder(PathBuf),
}

/// How resources are kept in a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtRest {
    /// Replicas of a topic that is made; three, or as many as there are brokers, if not given.
    pub replication_factor: Option<i16>,
    /// By which secrets are encrypted.
    pub key: Option<KeySource>,
    /// By which they were encrypted before.
    pub former_keys: Vec<Secret>,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    Given(Secret),
    File(PathBuf),
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("state.store", "GATEWAY_STATE"),
    file_only("state.topic"),
    setting("state.replicationFactor", "GATEWAY_STATE_REPLICATION_FACTOR"),
    setting("state.encryptionKey", "GATEWAY_STATE_ENCRYPTION_KEY"),
    setting("state.encryptionKeyFile", "GATEWAY_STATE_ENCRYPTION_KEY_FILE"),
    file_only("state.formerEncryptionKeys"),
];

const TOPIC: &str = "_anabranch.state";
const MOST_REPLICAS: i64 = 32;

pub(super) fn read(reader: &mut Reader) -> (State, AtRest) {
    let topic = reader.value("state.topic", internal_topic);
    let state = reader.value("state.store", |value| store(value, topic)).unwrap_or(State::Memory);
    let file = reader.text("state.encryptionKeyFile").map(|path| KeySource::File(PathBuf::from(path)));
    let given = reader.value("state.encryptionKey", key).map(KeySource::Given);
    if file.is_some() && given.is_some() {
        let place = reader.place("state.encryptionKeyFile").to_owned();
        reader.problem(&place, "is given, and so is state.encryptionKey: which one is it? Leave one out");
    }
    let former_keys = reader.value("state.formerEncryptionKeys", keys).unwrap_or_default();
    let replicas = reader.is_given("state.replicationFactor");
    let replicas = replicas.then(|| reader.number("state.replicationFactor", 3, 1, MOST_REPLICAS));
    let replication_factor = replicas.and_then(|replicas| i16::try_from(replicas).ok());
    (state, AtRest { replication_factor, key: file.or(given), former_keys })
}

/// `memory`, `topic`, `topic:NAME` or `dir:PATH`.
fn store(value: &Value, topic: Option<String>) -> Result<State, String> {
    let word = text(value)?;
    match word.split_once(':') {
        Some(("dir", path)) if !path.is_empty() => return Ok(State::Folder(PathBuf::from(path))),
        Some(("topic", name)) => return internal_topic(&Value::from(name)).map(State::Topic),
        _ => {}
    }
    match word.trim().to_ascii_lowercase().as_str() {
        "memory" => Ok(State::Memory),
        "topic" => Ok(State::Topic(topic.unwrap_or_else(|| TOPIC.to_owned()))),
        _ => {
            let names = ["memory", "topic", "topic:NAME", "dir:PATH"];
            Err(format!("'{word}' is not served; served are {}", listed(names.into_iter())))
        }
    }
}

fn key(value: &Value) -> Result<Secret, String> {
    match text(value)? {
        key if key.len() < SHORTEST_KEY => {
            Err(format!("must have at least {SHORTEST_KEY} characters; make one with: openssl rand -base64 32"))
        }
        key => Ok(Secret::new(key)),
    }
}

fn keys(value: &Value) -> Result<Vec<Secret>, String> {
    let entries = value.as_sequence().ok_or("must be a list of keys")?;
    entries.iter().map(key).collect()
}
