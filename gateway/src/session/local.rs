//! Requests that are answered here.

use super::{SessionError, Shared};
use crate::apis::check::Checked;
use crate::apis::plans;
use crate::apis::{self, SHOWN_FEATURES};
use crate::observe::metrics::FrameRefusal;
use crate::upstream::broker::{self, BrokerError};
use crate::upstream::security::Link;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::{frame, value};

/// What a broker offers changes when it is upgraded, which takes longer than this.
const FRESH: Duration = Duration::from_secs(15);
/// Each value takes some hundred bytes of memory. No honest request that is answered here holds as many, nor what a broker says
/// of its APIs and features.
const MOST_VALUES: usize = 10_000;
/// The version in which brokers are asked: the first with features. Kafka 2.4 and later answer it.
const ASKED_VERSION: i16 = 3;
/// The first version in which a feature may be supported from version 0 on: Kafka 3.9 and later answer it (KAFKA-17011). Answers
/// of earlier ones leave such features out.
const ALL_FEATURES_VERSION: i16 = 4;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
/// What franz-go calls itself, unless its program says otherwise (`kgo.SoftwareNameAndVersion`).
const FRANZ_GO: &str = "kgo";

/// What each broker answered to ApiVersions, for a while.
pub type ApiVersionsCache = Mutex<HashMap<i32, (Instant, Arc<Value>)>>;

/// The request of a client, for what is answered here.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none, or that holds more values than any honest one.
pub fn asked(request: &Checked<'_>) -> Result<Value, SessionError> {
    value::decode_at_most(request.key().request(), request.version(), request.body(), MOST_VALUES)
        .map_err(|e| SessionError::Frame { reason: FrameRefusal::Malformed, detail: e.to_string() })
}

/// Encodes an answer that was made here.
///
/// # Errors
/// [`SessionError::Gateway`]: the value is not the API's answer, which is a mistake here.
pub fn answer(request: &Checked<'_>, body: &Value) -> Result<Vec<u8>, SessionError> {
    encode(request.key(), request.version(), request.header().correlation_id, body)
}

/// As [`answer`], for a request that did not pass the check.
///
/// # Errors
/// As [`answer`].
pub fn encode(key: ApiKey, version: i16, correlation_id: i32, body: &Value) -> Result<Vec<u8>, SessionError> {
    let body = fitting(key, version, body);
    let body = value::encode(key.response(), version, &body).map_err(|e| SessionError::Gateway(e.to_string()))?;
    Ok(frame::response(key, version, correlation_id, &body))
}

/// Leaves out top-level fields that the version does not have.
fn fitting(key: ApiKey, version: i16, body: &Value) -> Value {
    let Value::Object(map) = body else { return body.clone() };
    let has = |name: &str| key.response().fields.iter().any(|f| f.name == name && f.versions.contains(version));
    map.iter().filter(|(name, _)| has(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The answer to ApiVersions: what the broker offers, the schema table describes and the table of APIs hands out.
///
/// # Errors
/// [`SessionError::Broker`]
pub async fn api_versions(request: &Checked<'_>, broker: i32, shared: &Shared) -> Result<Vec<u8>, SessionError> {
    if !names_its_software(request) {
        return answer(request, &json!({ "ErrorCode": INVALID_REQUEST }));
    }
    let offered = offered(broker, shared).await?;
    let by_names = shared.active.is_some() && is_true_to_topic_ids(request);
    answer(request, &virtual_versions(&offered, request.version(), by_names))
}

/// Whether the client is franz-go, which never believes a topic that has another id than before, as all have at the physical cluster
/// that takes over: it would neither produce to them nor read them until its program is started anew.
fn is_true_to_topic_ids(request: &Checked<'_>) -> bool {
    asked(request).is_ok_and(|body| body["ClientSoftwareName"] == FRANZ_GO)
}

/// Whether client software and version are such as a broker takes (KIP-511): letters and digits, and `-` and `.` between.
fn names_its_software(request: &Checked<'_>) -> bool {
    let Ok(body) = value::decode(request.key().request(), request.version(), request.body()) else { return false };
    ["ClientSoftwareName", "ClientSoftwareVersion"].iter().filter_map(|field| body.get(field)).all(|text| {
        let text = text.as_str().unwrap_or_default().as_bytes();
        let ends =
            text.first().zip(text.last()).is_some_and(|(a, z)| a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric());
        ends && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}

/// The answer to an ApiVersions request of a version that is not served: version 0, with the error and what is served, so
/// that the client asks again (KIP-511).
///
/// # Errors
/// [`SessionError::Broker`]
pub async fn api_versions_fallback(correlation_id: i32, broker: i32, shared: &Shared) -> Result<Vec<u8>, SessionError> {
    let mut body = virtual_versions(&*offered(broker, shared).await?, 0, false);
    body["ErrorCode"] = json!(UNSUPPORTED_VERSION);
    encode(ApiKey::ApiVersions, 0, correlation_id, &body)
}

async fn offered(broker: i32, shared: &Shared) -> Result<Arc<Value>, SessionError> {
    let known = shared.api_versions.lock().unwrap_or_else(PoisonError::into_inner).get(&broker).cloned();
    if let Some((at, known)) = known
        && at.elapsed() < FRESH
    {
        return Ok(known);
    }
    let Link { broker: id, address, connection, .. } = shared.cluster.connect(broker).await?;
    let request = json!({ "ClientSoftwareName": "anabranch", "ClientSoftwareVersion": env!("CARGO_PKG_VERSION") });
    let wrong = |reason: String| BrokerError::Answer { address: address.clone(), key: ApiKey::ApiVersions, reason };
    let ask = async |version| {
        let key = ApiKey::ApiVersions;
        let request = value::encode(key.request(), version, &request).map_err(|e| wrong(e.to_string()))?;
        let body = broker::ask(&connection, &address, key, version, &request).await?;
        let answer = value::decode_at_most(key.response(), version, &body, MOST_VALUES);
        let answer = answer.map_err(|e| wrong(e.to_string()))?;
        if answer["ErrorCode"] == 0 { Ok(answer) } else { Err(wrong(format!("error code {}", answer["ErrorCode"]))) }
    };
    let mut answer = ask(ASKED_VERSION).await?;
    if range(&answer, ApiKey::ApiVersions.code()).is_some_and(|(_, max)| max >= ALL_FEATURES_VERSION.into()) {
        answer = ask(ALL_FEATURES_VERSION).await?;
    }
    let answer = Arc::new(answer);
    let mut cache = shared.api_versions.lock().unwrap_or_else(PoisonError::into_inner);
    for id in [id, broker] {
        let _ = cache.insert(id, (Instant::now(), answer.clone()));
    }
    Ok(answer)
}

/// The first and last version that a broker offers of an API.
fn range(offered: &Value, code: i16) -> Option<(i64, i64)> {
    let entry = offered["ApiKeys"].as_array()?.iter().find(|e| e["ApiKey"] == code)?;
    Some((entry["MinVersion"].as_i64()?, entry["MaxVersion"].as_i64()?))
}

/// The last version without topic ids, if there is one.
fn last_by_names(key: ApiKey, min: i64, max: i64) -> Option<i64> {
    let by_names = |version: &i64| {
        i16::try_from(*version).is_ok_and(|version| {
            let plans = [plans::request(key, version), plans::response(key, version)];
            plans.iter().all(|plan| !plan.has(Role::TopicId))
        })
    };
    (min..=max).rev().find(by_names)
}

/// What of a broker's offer a virtual cluster is shown in an answer of this version, to a client that shall go `by_names` without
/// what has topic ids.
fn virtual_versions(offered: &Value, version: i16, by_names: bool) -> Value {
    let keys: Vec<Value> = apis::served()
        .filter_map(|(key, versions)| {
            let ours = (i64::from(versions.min), i64::from(versions.max));
            // What the gateway answers itself does not depend on the broker.
            let own = apis::row(key).verdict == apis::Verdict::Own;
            let (min, max) =
                if own { ours } else { range(offered, key.code()).map(|(a, b)| (a.max(ours.0), b.min(ours.1)))? };
            let max = if by_names { last_by_names(key, min, max)? } else { max };
            // Brokers show Produce from version 0: old librdkafka loses compression otherwise (KAFKA-18659).
            let min = if key == ApiKey::Produce { 0 } else { min };
            (min <= max).then(|| json!({ "ApiKey": key.code(), "MinVersion": min, "MaxVersion": max }))
        })
        .collect();
    let visible = |list: &Value| -> Vec<Value> {
        let carried = |key: ApiKey| keys.iter().any(|entry| entry["ApiKey"] == key.code());
        let shown = |f: &&Value| SHOWN_FEATURES.iter().any(|(name, key)| f["Name"] == *name && key.is_none_or(carried));
        let fits = |f: &&Value| version >= ALL_FEATURES_VERSION || f["MinVersion"] != 0;
        list.as_array().into_iter().flatten().filter(shown).filter(fits).cloned().collect()
    };
    json!({
        "ApiKeys": keys,
        // Clients of older versions take a feature from level 0 on for none (KIP-1022).
        "SupportedFeatures": visible(&offered["SupportedFeatures"])
            .into_iter().filter(|feature| version > 3 || feature["MinVersion"] != 0).collect::<Vec<_>>(),
        // The cluster's own epoch counts every change of metadata, those of other tenants too.
        "FinalizedFeaturesEpoch": if offered["FinalizedFeatures"].as_array().is_some_and(|f| !f.is_empty()) { 0 } else { -1 },
        "FinalizedFeatures": visible(&offered["FinalizedFeatures"]),
    })
}

/// Bytes in the spelling of the value codec.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes from the spelling of the value codec.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_cluster_is_shown_what_all_three_have_in_common() {
        let offered = json!({
            "ApiKeys": [
                { "ApiKey": 0, "MinVersion": 0, "MaxVersion": 11 },
                { "ApiKey": 1, "MinVersion": 4, "MaxVersion": 99 },
                { "ApiKey": 55, "MinVersion": 0, "MaxVersion": 1 },
                { "ApiKey": 68, "MinVersion": 0, "MaxVersion": 1 },
                { "ApiKey": 76, "MinVersion": 1, "MaxVersion": 1 },
                { "ApiKey": 88, "MinVersion": 99, "MaxVersion": 99 },
                { "ApiKey": 10000, "MinVersion": 0, "MaxVersion": 1 },
            ],
            "SupportedFeatures": [{ "Name": "group.version", "MinVersion": 0, "MaxVersion": 1 }, { "Name": "metadata.version", "MinVersion": 7, "MaxVersion": 29 }],
            "FinalizedFeatures": [{ "Name": "streams.version" }, { "Name": "eligible.leader.replicas.version" }, { "Name": "share.version" }],
            "FinalizedFeaturesEpoch": 178,
        });
        let shown = virtual_versions(&offered, 4, false);
        let entry = |code: i64| shown["ApiKeys"].as_array().unwrap().iter().find(|e| e["ApiKey"] == code).cloned();
        assert_eq!(entry(0), Some(json!({ "ApiKey": 0, "MinVersion": 0, "MaxVersion": 11 })));
        assert_eq!(entry(1), Some(json!({ "ApiKey": 1, "MinVersion": 4, "MaxVersion": 18 })));
        assert_eq!(entry(18), Some(json!({ "ApiKey": 18, "MinVersion": 0, "MaxVersion": 4 })));
        assert_eq!((entry(55), entry(10_000), entry(2)), (None, None, None));
        assert_eq!(shown["FinalizedFeatures"], json!([{ "Name": "share.version" }]));
        assert_eq!(shown["FinalizedFeaturesEpoch"], 0, "not what other tenants do");
        assert_eq!(shown["SupportedFeatures"], offered["SupportedFeatures"]);
        let before = virtual_versions(&offered, 3, false);
        assert_eq!(before["SupportedFeatures"].as_array().map(Vec::len), Some(1), "clients of then take no version 0");
        assert_eq!(before["FinalizedFeatures"], shown["FinalizedFeatures"]);
    }

    #[test]
    fn a_client_that_goes_by_names_is_shown_no_version_with_topic_ids() {
        let all: Vec<Value> = apis::served()
            .map(|(key, versions)| json!({ "ApiKey": key.code(), "MinVersion": versions.min, "MaxVersion": versions.max }))
            .collect();
        let features =
            json!([{ "Name": "group.version", "MinVersion": 0 }, { "Name": "share.version", "MinVersion": 0 }]);
        let offered = json!({ "ApiKeys": all, "SupportedFeatures": features, "FinalizedFeatures": features });
        let shown = virtual_versions(&offered, 4, true);
        let last = |key: ApiKey| range(&shown, key.code()).map(|(_, max)| max);
        assert_eq!([ApiKey::Produce, ApiKey::Fetch, ApiKey::Metadata].map(last), [Some(12), Some(12), Some(9)]);
        assert_eq!(
            [ApiKey::OffsetCommit, ApiKey::OffsetFetch, ApiKey::Heartbeat].map(last),
            [Some(9), Some(9), Some(4)]
        );
        assert_eq!([ApiKey::ConsumerGroupHeartbeat, ApiKey::ShareFetch].map(last), [None, None]);
        assert_eq!(shown["SupportedFeatures"], json!([]), "nor what only such versions do");
    }
}
