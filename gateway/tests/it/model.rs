//! The shape of a case file, and what its short spellings stand for.
//!
//! Messages are written as [`wire::value`] spells them, and besides
//! - `Name@4+` or `Name@0-3` is a field that the case has at these versions only;
//! - `id:1` is the topic id of sixteen bytes 1, `veiled:1` what the broker sees in its place where it is not the tenant's;
//!   `reserved` in place of the number is the id that Kafka gives to its metadata;
//! - `{ $text: abc }` are those bytes;
//! - `{ $subscription: 1, Topics: [...] }` and `{ $assignment: 1, ... }` are bytes of the consumer protocol at that version,
//!   and `$after` is what follows them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::resources::acl::AclBinding;
use contract::resources::quota::QuotaSpec;
use contract::resources::virtual_cluster::VirtualClusterSpec;
use gateway::naming::topic_ids::TopicIds;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use wire::schema::Message;
use wire::value;

/// The key with which unknown and foreign topic ids are veiled.
pub(crate) const VEIL: [u8; 16] = [0xA0; 16];

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) given: Given,
    pub(crate) when: When,
    pub(crate) then: Then,
}

/// What the case is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) api: String,
    /// `4-12`, or one version.
    pub(crate) versions: String,
    pub(crate) about: String,
}

/// The virtual cluster and what the gateway knows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Given {
    /// Absent for the transparent virtual cluster.
    pub(crate) prefix: Option<String>,
    /// The tenant's topics by virtual name, with the number of their id.
    #[serde(default)]
    pub(crate) topics: BTreeMap<String, u8>,
    /// Other topics by physical name.
    #[serde(default)]
    pub(crate) others: BTreeMap<String, u8>,
    /// Other topics by physical name that the gateway learns of when it looks again.
    #[serde(default)]
    pub(crate) later: BTreeMap<String, u8>,
    /// The fetch sessions that broker 1 issued to the virtual cluster.
    #[serde(default)]
    pub(crate) fetch_sessions: Vec<i32>,
    /// Service accounts; the client's virtual cluster is called `case`.
    #[serde(default)]
    pub(crate) accounts: Vec<ServiceAccount>,
    /// What is declared of the virtual cluster `case`, to which the client belongs as `User:case`.
    #[serde(default)]
    pub(crate) spec: VirtualClusterSpec,
    /// Rules that came by Kafka's API before.
    #[serde(default)]
    pub(crate) rules: BTreeSet<AclBinding>,
    /// The quotas of the virtual cluster.
    #[serde(default)]
    pub(crate) quotas: Vec<QuotaSpec>,
    /// The session has joined this group before.
    pub(crate) joined: Option<Joined>,
}

/// A service account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServiceAccount {
    pub(crate) name: String,
    pub(crate) virtual_cluster: String,
    /// Without one it logs in with tokens only.
    pub(crate) password: Option<String>,
}

/// A group that was joined before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Joined {
    pub(crate) group: String,
    pub(crate) protocol_type: String,
}

/// What the client sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    pub(crate) request: Value,
    /// Bytes that follow the last field.
    #[serde(default)]
    pub(crate) after: String,
}

/// What must come of it: one of `forwarded`, `refused` and `answered`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Then {
    /// What the broker gets; `unchanged` for the request itself.
    pub(crate) forwarded: Option<Value>,
    /// What the client gets in place of the broker's answer.
    pub(crate) refused: Option<Value>,
    /// What the client gets for a request that is the gateway's own business.
    pub(crate) answered: Option<Value>,
    /// No answer will come.
    #[serde(default)]
    pub(crate) silent: bool,
    pub(crate) answer: Option<Answer>,
    /// Entities of others that were counted on the way out.
    #[serde(default)]
    pub(crate) violations: u32,
    /// Fetch sessions that are the tenant's afterwards.
    #[serde(default)]
    pub(crate) issued: Vec<i32>,
    /// Fetch sessions that are not the tenant's afterwards.
    #[serde(default)]
    pub(crate) revoked: Vec<i32>,
    /// The rules that came by Kafka's API, afterwards, where that is different.
    pub(crate) rules: Option<BTreeSet<AclBinding>>,
}

/// What the broker answers, and what the client gets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) from: Value,
    /// `unchanged` for the broker's answer itself.
    pub(crate) to: Value,
}

/// The first and last version of `4-12` or `4`.
pub(crate) fn versions(text: &str) -> Result<(i16, i16), String> {
    let number = |t: &str| t.parse::<i16>().map_err(|_| format!("{text:?} is no range of versions such as \"4-12\""));
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    Ok((number(min)?, number(max)?))
}

/// The value that a case's spelling stands for at a version.
pub(crate) fn resolve(given: &Value, version: i16) -> Result<Value, String> {
    Ok(match given {
        Value::Object(map) => match map.keys().next().map(String::as_str) {
            Some("$text") => Value::String(STANDARD.encode(map["$text"].as_str().unwrap_or_default())),
            Some("$subscription") => embedded("ConsumerProtocolSubscription", "$subscription", map, version)?,
            Some("$assignment") => embedded("ConsumerProtocolAssignment", "$assignment", map, version)?,
            _ => object(map, version)?,
        },
        Value::Array(list) => Value::Array(list.iter().map(|item| resolve(item, version)).collect::<Result<_, _>>()?),
        Value::String(text) => Value::String(match (id_behind(text, "id:"), id_behind(text, "veiled:")) {
            (Some(id), _) => value::uuid_text(&id),
            (_, Some(id)) => value::uuid_text(&TopicIds::new(&VEIL).unwrap().veil(id)),
            _ => text.clone(),
        }),
        other => other.clone(),
    })
}

fn id_behind(text: &str, word: &str) -> Option<[u8; 16]> {
    match text.strip_prefix(word)? {
        "reserved" => Some(1u128.to_be_bytes()),
        number => Some([number.parse().ok()?; 16]),
    }
}

fn object(map: &Map<String, Value>, version: i16) -> Result<Value, String> {
    let mut out = Map::new();
    for (key, value) in map {
        let name = match key.split_once('@') {
            Some((name, range)) => {
                let (min, max) = match range.strip_suffix('+') {
                    Some(min) => (versions(min)?.0, i16::MAX),
                    None => versions(range)?,
                };
                if !(min..=max).contains(&version) {
                    continue;
                }
                name
            }
            None => key,
        };
        if out.insert(name.to_owned(), resolve(value, version)?).is_some() {
            return Err(format!("{name} is given twice at version {version}"));
        }
    }
    Ok(Value::Object(out))
}

/// Bytes of the consumer protocol. A version that is not known has the fields of the newest that is.
fn embedded(message: &str, word: &str, map: &Map<String, Value>, version: i16) -> Result<Value, String> {
    let message = Message::named(message).ok_or("the schema table has no consumer protocol")?;
    let own =
        map[word].as_i64().and_then(|n| i16::try_from(n).ok()).ok_or_else(|| format!("{word} wants a version"))?;
    let mut fields = map.clone();
    let after = fields.remove("$after");
    let _ = fields.remove(word);
    let mut bytes = own.to_be_bytes().to_vec();
    let fields = resolve(&Value::Object(fields), version)?;
    bytes.extend(value::encode(message, own.min(message.versions.max), &fields).map_err(|e| e.to_string())?);
    bytes.extend_from_slice(after.as_ref().and_then(Value::as_str).unwrap_or_default().as_bytes());
    Ok(Value::String(STANDARD.encode(bytes)))
}
