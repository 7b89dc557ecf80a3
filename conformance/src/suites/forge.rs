//! Requests made from the schema: every field that names something holds what the attacker wants to name, so that an API
//! that is served tomorrow is attacked tomorrow.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wire::schema::{ApiKey, Entity, Field, Message, Type};
use wire::value::uuid_text;

use crate::records::Batch;

/// What a forged request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// In each field for a topic's name.
    pub topic: String,
    /// In each field for a topic's id, as Kafka prints it.
    pub topic_id: String,
    /// In each field for a group.
    pub group: String,
    /// In each field for a transactional id.
    pub transaction: String,
    /// In each field for a member of a group.
    pub member: String,
    /// In each field for a group's static member.
    pub instance: String,
}

impl Names {
    /// The strings of these names beside those of others: what to replace to compare two answers.
    pub fn beside<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, &'a str)> {
        let all = |names: &'a Self| {
            [&names.topic, &names.topic_id, &names.group, &names.transaction, &names.member, &names.instance]
        };
        let mut pairs: Vec<_> = all(self).into_iter().zip(all(other)).map(|(a, b)| (a.as_str(), b.as_str())).collect();
        pairs.retain(|(a, b)| a != b && !a.is_empty());
        // A name that contains another one is replaced first.
        pairs.sort_by_key(|(a, _)| std::cmp::Reverse(a.len()));
        pairs
    }
}

/// A request of `key` at `version` that names these everywhere.
pub fn request(key: ApiKey, version: i16, names: &Names) -> Value {
    request_with(key, version, names, &[])
}

/// As [`request`], with fields set wherever they occur and the version has them.
pub fn request_with(key: ApiKey, version: i16, names: &Names, set: &[(&str, Value)]) -> Value {
    let forge = Forge { key, version, names, set };
    let mut body = forge.fields(key.request().fields);
    refine(key, version, names, &mut body);
    body
}

/// Whether the API names a topic, a topic's id, a group or a transaction at this version.
pub fn names_something(key: ApiKey, version: i16) -> bool {
    fn any(fields: &[Field], version: i16) -> bool {
        fields.iter().filter(|f| f.versions.contains(version)).any(|f| {
            matches!(f.entity, Some(Entity::TopicName | Entity::GroupId | Entity::TransactionalId))
                || is_topic_id(f)
                || NAMING.contains(&f.name)
                || match f.ty {
                    Type::Struct(fields) => any(fields, version),
                    Type::Array(Type::Struct(fields)) => any(fields, version),
                    _ => false,
                }
        })
    }
    key == ApiKey::FindCoordinator || any(key.request().fields, version)
}

/// Whether the API takes a topic's id at this version.
pub fn takes_topic_id(key: ApiKey, version: i16) -> bool {
    fn any(fields: &[Field], version: i16) -> bool {
        fields.iter().filter(|f| f.versions.contains(version)).any(|f| {
            is_topic_id(f)
                || match f.ty {
                    Type::Struct(fields) => any(fields, version),
                    Type::Array(Type::Struct(fields)) => any(fields, version),
                    _ => false,
                }
        })
    }
    any(key.request().fields, version)
}

/// Fields that name something although the definitions do not mark them.
const NAMING: [&str; 2] = ["CoordinatorKeys", "ResourceName"];

fn is_topic_id(field: &Field) -> bool {
    matches!(field.ty, Type::Uuid | Type::Array(Type::Uuid)) && field.name.contains("TopicId")
}

struct Forge<'a> {
    key: ApiKey,
    version: i16,
    names: &'a Names,
    set: &'a [(&'a str, Value)],
}

impl Forge<'_> {
    fn fields(&self, fields: &'static [Field]) -> Value {
        let mut map = Map::new();
        for field in fields.iter().filter(|f| f.versions.contains(self.version)) {
            let set = self.set.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value.clone());
            // What is optional stays out, unless it names something.
            let tagged = field.tagged.contains(self.version);
            let forged = || self.field(field).filter(|_| !tagged || field.entity.is_some() || is_topic_id(field));
            if let Some(value) = set.or_else(forged) {
                let _ = map.insert(field.name.to_owned(), value);
            }
        }
        Value::Object(map)
    }

    /// `None`: the default does.
    fn field(&self, field: &'static Field) -> Option<Value> {
        let one = match field.ty {
            Type::Array(element) => *element,
            ty => ty,
        };
        let value = match (one, self.named(field)) {
            (_, Some(named)) => json!(named),
            (Type::Struct(fields), _) if field.name != "Cursor" => self.fields(fields),
            (Type::Int32, _) if matches!(field.ty, Type::Array(_)) => json!(0),
            (Type::Records, _) => json!(STANDARD.encode(Batch::of("k", "from the attacker").bytes())),
            _ => return number(self.key, field),
        };
        Some(if matches!(field.ty, Type::Array(_)) { json!([value]) } else { value })
    }

    fn named(&self, field: &'static Field) -> Option<&str> {
        let names = self.names;
        Some(match (field.entity, field.name) {
            (Some(Entity::TopicName), _) => &names.topic,
            (Some(Entity::GroupId), _) => &names.group,
            (Some(Entity::TransactionalId), _) => &names.transaction,
            _ if is_topic_id(field) => &names.topic_id,
            (_, "CoordinatorKeys" | "Key") if self.key == ApiKey::FindCoordinator => &names.group,
            (_, "ResourceName") => &names.topic,
            (_, "MemberId") => &names.member,
            (_, "GroupInstanceId" | "InstanceId") => &names.instance,
            _ => return None,
        })
    }
}

/// Numbers without which a broker would not even look at the names.
fn number(key: ApiKey, field: &Field) -> Option<Value> {
    let number = match field.name {
        "Acks" | "NumPartitions" | "Count" | "MaxRecords" | "BatchSize" | "ReplicationFactor" => 1,
        "TimeoutMs" | "timeoutMs" | "ValidityPeriodMs" => 2000,
        "TransactionTimeoutMs" | "SessionTimeoutMs" => 10_000,
        // Who joins does not wait long for those that joined before.
        "RebalanceTimeoutMs" => 50,
        "MaxBytes" | "PartitionMaxBytes" => 1 << 20,
        // A member that is new.
        "MemberEpoch" if HEARTBEATS.contains(&key) => 0,
        "ReplicaId" | "ProducerId" | "ProducerEpoch" | "GenerationId" | "CurrentLeaderEpoch" | "MemberEpoch" => -1,
        // Without a session.
        "SessionEpoch" if key == ApiKey::Fetch => -1,
        "ResourceType" => 2,
        "ResponsePartitionLimit" => 2000,
        _ => return text(key, field),
    };
    matches!(field.ty, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64).then(|| json!(number))
}

const HEARTBEATS: [ApiKey; 3] =
    [ApiKey::ConsumerGroupHeartbeat, ApiKey::ShareGroupHeartbeat, ApiKey::StreamsGroupHeartbeat];

fn text(key: ApiKey, field: &Field) -> Option<Value> {
    let text = match (field.name, key) {
        ("ProtocolType", _) => "consumer",
        ("ProtocolName", ApiKey::SyncGroup) => "range",
        ("Name", ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs | ApiKey::CreateTopics) => "retention.ms",
        ("Value", ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs | ApiKey::CreateTopics) => "123456789",
        ("ConfigurationKeys", ApiKey::DescribeConfigs) => return Some(Value::Null),
        _ => return None,
    };
    matches!(field.ty, Type::String).then(|| json!(text))
}

/// What the fields alone do not say.
fn refine(key: ApiKey, version: i16, names: &Names, body: &mut Value) {
    match key {
        ApiKey::Metadata if version >= 4 => body["AllowAutoTopicCreation"] = json!(false),
        // By id or by name, as a client does.
        ApiKey::Metadata | ApiKey::DeleteTopics if takes_topic_id(key, version) && names.topic.is_empty() => {
            if let Some(topics) = body["Topics"].as_array_mut() {
                topics.iter_mut().for_each(|topic| topic["Name"] = Value::Null);
            }
        }
        ApiKey::JoinGroup => {
            let subscription = subscription(&[&names.topic], b"");
            body["Protocols"] = json!([{ "Name": "range", "Metadata": STANDARD.encode(subscription) }]);
        }
        ApiKey::CreateTopics => {
            let topics = body["Topics"].as_array_mut().into_iter().flatten();
            topics.for_each(|topic| {
                topic["Assignments"] = json!([]);
                topic["Configs"] = json!([]);
            });
        }
        _ => {}
    }
    if matches!(key, ApiKey::Metadata | ApiKey::DeleteTopics) && takes_topic_id(key, version) && !names.topic.is_empty()
    {
        for topic in body["Topics"].as_array_mut().into_iter().flatten() {
            topic["TopicId"] = json!(uuid_text(&[0; 16]));
        }
    }
}

/// The bytes inside JoinGroup of a consumer that wants these topics.
pub fn subscription(topics: &[&str], user_data: &[u8]) -> Vec<u8> {
    embedded("ConsumerProtocolSubscription", &json!({ "Topics": topics, "UserData": STANDARD.encode(user_data) }))
}

/// The bytes inside SyncGroup that hand a consumer this topic's partition 0.
pub fn assignment(topic: &str, user_data: &[u8]) -> Vec<u8> {
    let assigned = json!([{ "Topic": topic, "Partitions": [0] }]);
    embedded(
        "ConsumerProtocolAssignment",
        &json!({ "AssignedPartitions": assigned, "UserData": STANDARD.encode(user_data) }),
    )
}

fn embedded(message: &str, body: &Value) -> Vec<u8> {
    let encoded = Message::named(message).and_then(|message| wire::value::encode(message, 1, body).ok());
    [&1i16.to_be_bytes()[..], &encoded.unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            topic: "the-topic".into(),
            topic_id: uuid_text(&[7; 16]),
            group: "the-group".into(),
            transaction: "the-transaction".into(),
            member: "the-member".into(),
            instance: "the-instance".into(),
        }
    }

    #[test]
    fn every_request_at_every_version_can_be_forged() {
        for key in ApiKey::ALL {
            for version in key.versions().min..=key.versions().max {
                let body = request(*key, version, &names());
                let bytes = wire::value::encode(key.request(), version, &body);
                assert!(bytes.is_ok(), "{key:?} {version}: {bytes:?} of {body}");
                if names_something(*key, version) {
                    let text = body.to_string();
                    assert!(text.contains("the-") || text.contains(&names().topic_id), "{key:?} {version}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_consumers_bytes_hold_their_topic() {
        assert!(subscription(&["orders"], b"note").windows(6).any(|w| w == b"orders"));
        assert!(assignment("orders", b"note").windows(4).any(|w| w == b"note"));
    }
}
