//! What is refused for want of a right, in the answer's own shape and with Kafka's own codes: a whole request, or elements that
//! stand in the answer beside those that were served.

use super::{SessionError, local};
use crate::apis::check::Checked;
use crate::apis::plans;
use crate::authz::{Access, Denial, Operation, Refused, ResourceType};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use wire::plan::Role;
use wire::schema::{ApiKey, Field, Type};
use wire::segments::Segments;
use wire::value;
use wire::walk::{Action, Visitor, walk_prefix};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const OPERATION_NOT_ATTEMPTED: i16 = 55;
/// A request that is refused as a whole repeats no more of what it named than this.
const MOST_VALUES: usize = 50_000;
/// What brokers say of a group that they hide.
const CLIENT_MAY_NOT: &str = "The group has described topic(s) that the client is not authorized to describe.";
const STREAMS_CLIENT_MAY_NOT: &str = "The described group uses topics that the client is not authorized to describe.";

/// The code of a right that is missing.
pub(super) const fn code(ty: ResourceType) -> i16 {
    match ty {
        ResourceType::Topic => TOPIC_AUTHORIZATION_FAILED,
        ResourceType::Group => 30,
        ResourceType::Cluster => 31,
        ResourceType::TransactionalId => 53,
        // No request that is served needs a right on these.
        ResourceType::DelegationToken | ResourceType::User => 65,
    }
}

const fn text(ty: ResourceType) -> &'static str {
    match ty {
        ResourceType::Topic => "Topic authorization failed.",
        ResourceType::Group => "Group authorization failed.",
        ResourceType::Cluster => "Cluster authorization failed.",
        ResourceType::TransactionalId => "Transactional Id authorization failed.",
        ResourceType::DelegationToken | ResourceType::User => "Delegation Token authorization failed.",
    }
}

/// The answer to a request that is refused as a whole.
///
/// # Errors
/// [`SessionError::Gateway`]
pub(super) fn whole(request: &Checked<'_>, denial: &Denial) -> Result<Vec<u8>, SessionError> {
    let (key, version) = (request.key(), request.version());
    let element = Element { key, version, code: code(denial.ty), text: whole_text(key, version, denial.ty) };
    let fields = key.response().fields;
    let mut answer = element.top();
    let repeats = !has_code(fields, version) && key != ApiKey::DescribeLogDirs;
    if repeats || key == ApiKey::ListPartitionReassignments {
        let named = named(request)?;
        if let Some(list) = list(key, version) {
            let _ = answer.insert(list.name.to_owned(), element.list(list, &named));
        }
    }
    match key {
        // No generation, and no protocol.
        ApiKey::JoinGroup if version >= 7 => drop(answer.insert("ProtocolName".to_owned(), Value::Null)),
        ApiKey::InitProducerId => drop(answer.insert("ProducerEpoch".to_owned(), json!(-1))),
        // Beside the code of the whole, the same of nobody.
        ApiKey::DescribeUserScramCredentials => {
            answer.extend([("ErrorMessage".to_owned(), Value::Null)]);
            answer.extend([("Results".to_owned(), json!([{ "ErrorCode": element.code, "ErrorMessage": null }]))]);
        }
        // Clients find the answers to their entries by the entities in them.
        ApiKey::AlterClientQuotas => {
            let asked = local::asked(request)?;
            let entries = asked["Entries"].as_array().into_iter().flatten();
            let refused = |entry: &Value| json!({ "ErrorCode": element.code, "ErrorMessage": text(denial.ty), "Entity": entry["Entity"] });
            let _ = answer.insert("Entries".to_owned(), entries.map(refused).collect());
        }
        ApiKey::DescribeClientQuotas => {
            answer.extend(["Entries", "ErrorMessage"].map(|field| (field.to_owned(), Value::Null)));
        }
        _ => {}
    }
    local::answer(request, &Value::Object(answer))
}

/// What brokers say of a request that is refused as a whole: mostly nothing beside the code.
const fn whole_text(key: ApiKey, version: i16, ty: ResourceType) -> Option<&'static str> {
    match key {
        ApiKey::ListPartitionReassignments => Some(text(ty)),
        ApiKey::AlterShareGroupOffsets | ApiKey::DeleteShareGroupOffsets => Some(text(ty)),
        ApiKey::FindCoordinator if version < 4 => Some(text(ty)),
        _ => None,
    }
}

/// The request without its records; nothing of one that names more than any honest one.
pub(super) fn named(request: &Checked<'_>) -> Result<Value, SessionError> {
    struct NoRecords;
    impl Visitor for NoRecords {
        type Error = Infallible;

        fn field(&mut self, role: Role, _: wire::walk::Value<'_>) -> Result<Action<'_>, Infallible> {
            Ok(if role == Role::Records { Action::Null } else { Action::Keep })
        }
    }
    let (key, version, mut segments) = (request.key(), request.version(), Segments::default());
    let walked = walk_prefix(plans::request(key, version), request.body(), &mut NoRecords, &mut segments);
    let wrong = |e: String| SessionError::Gateway(format!("{key:?} {version}: {e}"));
    let _ = walked.map_err(|e| wrong(e.to_string()))?;
    let body = segments.to_vec(request.body());
    value::decode_at_most(key.request(), version, &body, MOST_VALUES).map_err(|e| wrong(e.to_string()))
}

/// The answer to a request that names nothing but what is refused.
///
/// # Errors
/// [`SessionError::Gateway`]
pub(super) fn nothing_left(
    request: &Checked<'_>,
    refused: &Refused,
    access: &Access<'_>,
) -> Result<Vec<u8>, SessionError> {
    local::answer(request, &elements(request.key(), request.version(), refused, access))
}

/// An answer that holds the elements that are refused, and nothing else.
pub(super) fn elements(key: ApiKey, version: i16, refused: &Refused, access: &Access<'_>) -> Value {
    let Some(list) = list(key, version) else { return json!({}) };
    let request = &refused.request;
    let elements: Value = items(request).map(|item| one(key, version, list, request, item, access)).collect();
    json!({ list.name: elements })
}

/// One element of what is refused.
fn one(key: ApiKey, version: i16, list: &'static Field, request: &Value, item: &Value, access: &Access<'_>) -> Value {
    let topic = |text| Element { key, version, code: TOPIC_AUTHORIZATION_FAILED, text };
    let by_type = |ty| Element { key, version, code: code(ty), text: None };
    match key {
        ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs => {
            let ty = match item["ResourceType"].as_i64() {
                Some(2) => ResourceType::Topic,
                Some(32) => ResourceType::Group,
                _ => ResourceType::Cluster,
            };
            Element { text: Some(text(ty)), ..by_type(ty) }.of(list, item)
        }
        ApiKey::FindCoordinator => {
            let (ty, text) = match request["KeyType"].as_i64() {
                Some(0) => (ResourceType::Group, None),
                Some(1) => (ResourceType::TransactionalId, None),
                _ => (ResourceType::Cluster, Some(text(ResourceType::Cluster))),
            };
            Element { text, ..by_type(ty) }.of(list, item)
        }
        ApiKey::DescribeGroups | ApiKey::DeleteGroups | ApiKey::ConsumerGroupDescribe => {
            by_type(ResourceType::Group).of(list, item)
        }
        ApiKey::ShareGroupDescribe | ApiKey::StreamsGroupDescribe => by_type(ResourceType::Group).of(list, item),
        ApiKey::DescribeTransactions => by_type(ResourceType::TransactionalId).of(list, item),
        ApiKey::OffsetFetch | ApiKey::DescribeShareGroupOffsets if version_has_groups(key, version) => {
            let group = item["GroupId"].as_str().unwrap_or_default();
            if !access.allows(Operation::Describe, ResourceType::Group, group) {
                return by_type(ResourceType::Group).of(list, item);
            }
            let fields = match list.ty {
                Type::Array(Type::Struct(fields)) => *fields,
                _ => &[],
            };
            let topics = fields.iter().find(|f| f.name == "Topics");
            let said = (key == ApiKey::DescribeShareGroupOffsets).then(|| text(ResourceType::Topic));
            let refused = topics.map(|topics| topic(said).list(topics, item));
            json!({ "GroupId": group, "Topics": refused })
        }
        ApiKey::AddPartitionsToTxn => {
            let name = item["Name"].as_str().unwrap_or_default();
            let allowed = access.allows(Operation::Write, ResourceType::Topic, name);
            let code = if allowed { OPERATION_NOT_ATTEMPTED } else { TOPIC_AUTHORIZATION_FAILED };
            Element { code, ..topic(None) }.of(list, item)
        }
        ApiKey::DeleteTopics => deletion(version, list, item, access),
        ApiKey::CreateTopics => topic(Some("Authorization failed.")).of(list, item),
        ApiKey::DescribeProducers | ApiKey::AlterShareGroupOffsets | ApiKey::DeleteShareGroupOffsets => {
            topic(Some(text(ResourceType::Topic))).of(list, item)
        }
        _ => topic(None).of(list, item),
    }
}

/// A topic that may not be deleted. Who may not describe it either is not told what its id stands for, nor whether it exists.
fn deletion(version: i16, list: &'static Field, item: &Value, access: &Access<'_>) -> Value {
    let refused = |code, said| Element { key: ApiKey::DeleteTopics, version, code, text: Some(said) };
    let describes = |name: &str| access.allows(Operation::Describe, ResourceType::Topic, name);
    let denied = refused(TOPIC_AUTHORIZATION_FAILED, text(ResourceType::Topic));
    let id = item["TopicId"].as_str().and_then(value::uuid_from_text).filter(|id| *id != [0; 16]);
    let name = item.as_str().or_else(|| item["Name"].as_str());
    match (name, id.and_then(|id| access.topics.name(&id))) {
        (None, Some(name)) => {
            let shown = describes(&name).then_some(name);
            denied.of(list, &json!({ "Name": shown, "TopicId": item["TopicId"] }))
        }
        (Some(name), _) if describes(name) && !access.topics.exists(name) => {
            refused(UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.").of(list, item)
        }
        _ => denied.of(list, item),
    }
}

const fn version_has_groups(key: ApiKey, version: i16) -> bool {
    !matches!(key, ApiKey::OffsetFetch) || version >= 8
}

/// An answer that holds groups which were hidden for their topics, and nothing else.
pub(super) fn hidden_groups(key: ApiKey, version: i16, hidden: &[String]) -> Value {
    let said = if key == ApiKey::StreamsGroupDescribe { STREAMS_CLIENT_MAY_NOT } else { CLIENT_MAY_NOT };
    let element = Element { key, version, code: TOPIC_AUTHORIZATION_FAILED, text: Some(said) };
    let Some(list) = list(key, version) else { return json!({}) };
    let groups: Value = hidden.iter().map(|group| element.of(list, &json!(group))).collect();
    json!({ list.name: groups })
}

/// The list of an answer in which stands what was asked for.
pub(super) fn list(key: ApiKey, version: i16) -> Option<&'static Field> {
    let structs = |f: &&Field| matches!(f.ty, Type::Array(Type::Struct(_))) && f.versions.contains(version);
    let mut fields = key.response().fields.iter().filter(structs);
    // Brokers stand before the topics.
    fields.find(|f| f.name != "Brokers")
}

/// What stands in the lists of a request.
fn items(request: &Value) -> impl Iterator<Item = &Value> {
    let lists = request.as_object().into_iter().flatten().filter(|(name, _)| *name != "ForgottenTopicsData");
    lists.filter_map(|(_, value)| value.as_array()).flatten()
}

fn has_code(fields: &[Field], version: i16) -> bool {
    fields.iter().any(|f| is_code(f.name) && f.versions.contains(version))
}

fn is_code(name: &str) -> bool {
    matches!(name, "ErrorCode" | "PartitionErrorCode")
}

/// How something is refused.
#[derive(Clone, Copy)]
struct Element {
    key: ApiKey,
    version: i16,
    code: i16,
    text: Option<&'static str>,
}

impl Element {
    /// The error of the answer as a whole.
    fn top(&self) -> Map<String, Value> {
        let mut out = Map::new();
        for field in self.key.response().fields.iter().filter(|f| f.versions.contains(self.version)) {
            if let Some(value) = self.error(field).or_else(|| absent(field.name)) {
                let _ = out.insert(field.name.to_owned(), value);
            }
        }
        out
    }

    fn error(&self, field: &Field) -> Option<Value> {
        match field.name {
            name if is_code(name) => Some(json!(self.code)),
            "ErrorMessage" => self.text.map(|text| json!(text)),
            _ => None,
        }
    }

    /// The refusal of an element of `list` that the request names as `item`.
    fn of(&self, list: &'static Field, item: &Value) -> Value {
        match list.ty {
            Type::Array(Type::Struct(fields)) => self.fields(fields, item),
            _ => Value::Null,
        }
    }

    fn list(&self, list: &'static Field, request: &Value) -> Value {
        items(request).map(|item| self.of(list, item)).collect()
    }

    fn fields(&self, fields: &'static [Field], item: &Value) -> Value {
        let mut out = Map::new();
        let refused_here = has_code(fields, self.version);
        for field in fields.iter().filter(|f| f.versions.contains(self.version)) {
            let value = match field.ty {
                // The code stands on the partitions.
                Type::Array(Type::Struct(_)) if !refused_here => Some(self.list(field, item)),
                _ => self.error(field).or_else(|| identity(field, item)).or_else(|| absent(field.name)),
            };
            if let Some(value) = value {
                let _ = out.insert(field.name.to_owned(), value);
            }
        }
        let acknowledges = item["AcknowledgementBatches"].as_array().is_some_and(|batches| !batches.is_empty());
        if acknowledges && fields.iter().any(|f| f.name == "AcknowledgeErrorCode") {
            let _ = out.insert("AcknowledgeErrorCode".to_owned(), json!(self.code));
        }
        Value::Object(out)
    }
}

/// What in an answer says which element of the request it is about.
fn identity(field: &Field, item: &Value) -> Option<Value> {
    const TOPIC: &[&str] = &["Name", "Topic", "TopicName"];
    const PARTITION: &[&str] = &["PartitionIndex", "Partition", "Index"];
    let names: &[&str] = match field.name {
        "Name" | "Topic" | "TopicName" => TOPIC,
        "PartitionIndex" | "Partition" | "Index" => PARTITION,
        "GroupId" => &["GroupId"],
        "TopicId" => &["TopicId"],
        "ResourceType" => &["ResourceType"],
        "ResourceName" => &["ResourceName"],
        "TransactionalId" | "Key" => &[],
        _ => return None,
    };
    match item {
        Value::String(_) if field.ty == Type::String => Some(item.clone()),
        Value::Number(_) if field.ty == Type::Int32 => Some(item.clone()),
        Value::Object(item) => names.iter().find_map(|name| item.get(*name)).cloned(),
        _ => None,
    }
}

/// What brokers say where there is nothing, and the definitions say something else.
fn absent(name: &str) -> Option<Value> {
    match name {
        "CommittedOffset" | "HighWatermark" | "BaseOffset" | "LowWatermark" | "StartOffset" => Some(json!(-1)),
        "NodeId" | "Port" => Some(json!(-1)),
        _ => None,
    }
}
