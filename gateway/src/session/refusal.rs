//! Every error → Kafka error code, only here; in the answer's own shape.
//!
//! An answer that refuses looks as Kafka's own: the error code at the top where the API has one there, else on each element
//! that the request named, in the request's order.

use super::SessionError;
use super::local;
use crate::apis::check::Unserved;
use crate::apis::plans;
use crate::naming::request::{Asked, Refusal};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use wire::read::{Cursor, put_varint};
use wire::schema::{ApiKey, Field, Type};
use wire::walk::{Stop, untagged_end};
use wire::{frame, value};

const INVALID_GROUP_ID: i16 = 24;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const SHARE_SESSION_NOT_FOUND: i16 = 122;
const INVALID_REGULAR_EXPRESSION: i16 = 128;

/// Requests that hold more values than this are refused at the top of the answer alone: a value takes some hundred bytes of
/// memory, and as little as one in the frame.
const MOST_VALUES: usize = 2_000;

/// The answer to a request that the table does not serve; `None` where no answer can be made, and the connection is to be
/// closed as a broker does.
pub fn unserved(unserved: &Unserved, frame: &[u8]) -> Option<Vec<u8>> {
    let (key, version, correlation_id, code, text) = match unserved {
        Unserved::Malformed(_) | Unserved::UnknownKey(_) => return None,
        Unserved::Version { key, version, correlation_id, .. } => {
            (*key, *version, *correlation_id, UNSUPPORTED_VERSION, "The version of API is not supported.".to_owned())
        }
        Unserved::Denied { key, version, correlation_id, reason } => {
            let text = format!("{} is not available in a virtual cluster: {reason}.", key.name());
            (*key, *version, *correlation_id, CLUSTER_AUTHORIZATION_FAILED, text)
        }
    };
    if !key.versions().contains(version) {
        return None;
    }
    let start = wire::frame::request_header(key, frame).ok()?.body;
    answer(key, version, correlation_id, &frame[start..], code, &text).ok()
}

/// The answer to a request that must not be forwarded.
///
/// # Errors
/// [`SessionError::Gateway`]
pub fn refused(
    refusal: &Refusal,
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &[u8],
) -> Result<Vec<u8>, SessionError> {
    let code = match refusal {
        Refusal::FetchSession(_) => {
            let body = json!({ "ErrorCode": FETCH_SESSION_ID_NOT_FOUND });
            return local::encode(key, version, correlation_id, &body);
        }
        Refusal::EmptyGroup => INVALID_GROUP_ID,
        Refusal::ShareSession => SHARE_SESSION_NOT_FOUND,
        Refusal::Pattern { .. } => INVALID_REGULAR_EXPRESSION,
        Refusal::UnknownTopicId | Refusal::TooMany | Refusal::Unwritable => INVALID_REQUEST,
    };
    answer(key, version, correlation_id, body, code, &refusal.to_string())
}

fn answer(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &[u8],
    code: i16,
    text: &str,
) -> Result<Vec<u8>, SessionError> {
    let fields = key.response().fields;
    // An answer with its error at the top repeats nothing of the request, as Kafka's own.
    let request = if fields.iter().any(|f| f.name == "ErrorCode" && f.versions.contains(version)) {
        Value::Null
    } else {
        value::decode_at_most(key.request(), version, body, MOST_VALUES).unwrap_or_default()
    };
    let shape = Shape { version, code, text }.fields(fields, &request);
    let body = value::encode(key.response(), version, &shape).map_err(|e| SessionError::Gateway(e.to_string()))?;
    Ok(frame::response(key, version, correlation_id, &body))
}

/// An answer that refuses.
struct Shape<'a> {
    version: i16,
    code: i16,
    text: &'a str,
}

impl Shape<'_> {
    fn fields(&self, fields: &'static [Field], request: &Value) -> Value {
        let present = || fields.iter().filter(|f| f.versions.contains(self.version));
        let has_code = present().any(|f| f.name == "ErrorCode");
        let mut out = Map::new();
        for field in present() {
            let value = match (field.name, field.ty) {
                ("ErrorCode", _) => Some(json!(self.code)),
                ("ErrorMessage", _) => Some(json!(self.text)),
                // With a code at the top, Kafka leaves the elements out.
                (_, Type::Array(Type::Struct(element))) if !has_code => Some(self.elements(element, request)),
                (_, Type::Array(_) | Type::Struct(_)) => None,
                (name, _) => request.get(name).cloned(),
            };
            if let Some(value) = value {
                let _ = out.insert(field.name.to_owned(), value);
            }
        }
        Value::Object(out)
    }

    /// One element for each that the request named: those of its arrays whose elements have the most in common with the
    /// answer's. Several have equally much where what is deleted and what is set stand in lists of their own.
    fn elements(&self, element: &'static [Field], request: &Value) -> Value {
        let Value::Object(request) = request else { return json!([]) };
        let common = |list: &Vec<Value>| match list.first() {
            Some(Value::Object(first)) => element.iter().filter(|f| first.contains_key(f.name)).count(),
            Some(Value::String(_)) => usize::from(name_of(element).is_some()),
            _ => 0,
        };
        let lists = || request.values().filter_map(Value::as_array).filter(|list| !list.is_empty());
        let most = lists().map(common).max().unwrap_or(0);
        let elements = lists().filter(|list| common(list) == most).flatten().map(|item| match item {
            Value::Object(named) => {
                let mut named = named.clone();
                if let (Some(field), Some(name)) = (name_of(element), named.get("Name").cloned()) {
                    let _ = named.entry(field.name).or_insert(name);
                }
                self.fields(element, &Value::Object(named))
            }
            other => {
                let named = name_of(element).map(|f| (f.name.to_owned(), other.clone()));
                self.fields(element, &Value::Object(named.into_iter().collect()))
            }
        });
        elements.collect()
    }
}

/// The field that a bare string of the request stands in.
fn name_of(element: &'static [Field]) -> Option<&'static Field> {
    element.iter().find(|f| matches!(f.ty, Type::String) && f.name != "ErrorMessage")
}

/// Adds to an answer the config resources that were not forwarded, each with its refusal.
///
/// # Errors
/// [`SessionError::Gateway`]
pub fn with_refused_resources(key: ApiKey, version: i16, body: &[u8], asked: &Asked) -> Result<Vec<u8>, SessionError> {
    let (list, text) = match key {
        ApiKey::DescribeConfigs => {
            ("Results", "Only settings of topics, groups and brokers are available in a virtual cluster.")
        }
        _ => ("Responses", "Only settings of topics and groups are available in a virtual cluster."),
    };
    let refused: Value = asked
        .refused
        .iter()
        .map(|resource| {
            json!({
                "ErrorCode": CLUSTER_AUTHORIZATION_FAILED,
                "ErrorMessage": text,
                "ResourceType": resource.ty,
                "ResourceName": resource.name,
            })
        })
        .collect();
    let refused = value::encode(key.response(), version, &json!({ list: refused }))
        .map_err(|e| SessionError::Gateway(e.to_string()))?;
    joined(key, version, body, &refused).map_err(|e| SessionError::Answer(format!("{key:?} {version}: {e}")))
}

/// Two answers of one list, which is the last field that is not a tagged one, as one. Only the bytes are moved: settings of
/// many topics, decoded, would take many times the memory of the answer.
fn joined(key: ApiKey, version: i16, body: &[u8], more: &[u8]) -> Result<Vec<u8>, Stop<Infallible>> {
    let plan = plans::response(key, version);
    let list = |body: &[u8]| {
        let mut cursor = Cursor::new(body);
        let _throttle_time = cursor.i32()?;
        let count = cursor.count(plan.flexible, false, 1)?.unwrap_or_default();
        Ok::<_, Stop<Infallible>>((count, cursor.at()..untagged_end(plan, body)?))
    };
    let ((count, first), (more_count, second)) = (list(body)?, list(more)?);
    let mut out = Vec::with_capacity(body.len() + more.len());
    out.extend_from_slice(&body[..4]);
    let count = u32::try_from(count + more_count).unwrap_or(u32::MAX);
    if plan.flexible {
        put_varint(&mut out, count.saturating_add(1));
    } else {
        out.extend_from_slice(&count.to_be_bytes());
    }
    let end = first.end;
    out.extend_from_slice(&body[first]);
    out.extend_from_slice(&more[second]);
    out.extend_from_slice(&body[end..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(key: ApiKey, version: i16, request: &Value) -> Value {
        let body = value::encode(key.request(), version, request).unwrap();
        let frame = answer(key, version, 7, &body, 31, "no").unwrap();
        let (correlation_id, start) = wire::frame::response_header(key.response_header(version), &frame[4..]).unwrap();
        assert_eq!(correlation_id, 7);
        value::decode(key.response(), version, &frame[4 + start..]).unwrap()
    }

    #[test]
    fn every_api_at_every_version_can_be_refused() {
        for key in ApiKey::ALL {
            for version in key.versions().min..=key.versions().max {
                let _ = refuse(*key, version, &json!({}));
            }
        }
    }

    #[test]
    fn an_error_stands_at_the_top_where_the_api_has_one_there() {
        let answer = refuse(ApiKey::ConsumerGroupHeartbeat, 0, &json!({ "GroupId": "g", "ServerAssignor": null }));
        assert_eq!((&answer["ErrorCode"], &answer["ErrorMessage"]), (&json!(31), &json!("no")));
        assert_eq!(refuse(ApiKey::DescribeAcls, 3, &json!({}))["ErrorCode"], 31);
    }

    #[test]
    fn else_it_stands_on_each_element_of_the_request() {
        let answer = refuse(ApiKey::ShareGroupDescribe, 1, &json!({ "GroupIds": ["a", "b"] }));
        let groups: Vec<_> =
            answer["Groups"].as_array().unwrap().iter().map(|g| (&g["GroupId"], &g["ErrorCode"])).collect();
        assert_eq!(groups, [(&json!("a"), &json!(31)), (&json!("b"), &json!(31))]);
        let request = json!({ "Topics": [{ "Name": "t", "PartitionIndexes": [0] }] });
        let answer = refuse(ApiKey::DescribeProducers, 0, &request);
        assert_eq!(answer["Topics"][0]["Name"], "t");
    }

    /// An answer without any element would say that all went well.
    #[test]
    fn deletions_are_refused_as_well_as_what_is_set() {
        let deletion = json!({ "Name": "alice", "Mechanism": 1 });
        let answer =
            refuse(ApiKey::AlterUserScramCredentials, 0, &json!({ "Deletions": [deletion], "Upsertions": [] }));
        let results = answer["Results"].as_array().unwrap();
        assert_eq!((results.len(), &results[0]["User"], &results[0]["ErrorCode"]), (1, &json!("alice"), &json!(31)));
        let upsertion =
            json!({ "Name": "bob", "Mechanism": 1, "Iterations": 4096, "Salt": "AAAA", "SaltedPassword": "AAAA" });
        let both = json!({ "Deletions": [{ "Name": "alice", "Mechanism": 1 }], "Upsertions": [upsertion] });
        let answer = refuse(ApiKey::AlterUserScramCredentials, 0, &both);
        let users: Vec<_> = answer["Results"].as_array().unwrap().iter().map(|r| &r["User"]).collect();
        assert_eq!(users, [&json!("alice"), &json!("bob")]);
    }
}
