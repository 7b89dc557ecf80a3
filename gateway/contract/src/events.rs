//! The live event stream of the admin API (`GET /anabranch/v1/events`) and the state it starts from
//! (`GET /anabranch/v1/snapshot`).
//!
//! Each kind has a JSON Schema in `schemas/events`. No event has a place for a payload or a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the stream is.
pub const EVENTS_PATH: &str = "/anabranch/v1/events";
/// Where the snapshot is.
pub const SNAPSHOT_PATH: &str = "/anabranch/v1/snapshot";

/// The kinds, as they stand in `?kinds=` and in the line `event:`, each with its schema. `dropped` comes whatever was asked for.
pub const SCHEMAS: [(&str, &str); 5] = [
    ("connection", include_str!("../schemas/events/connection.json")),
    ("denial", include_str!("../schemas/events/denial.json")),
    ("audit", include_str!("../schemas/events/audit.json")),
    ("traffic", include_str!("../schemas/events/traffic.json")),
    ("dropped", include_str!("../schemas/events/dropped.json")),
];

/// One event, as it stands in the line `data:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Counts the events that this reader was to get, from 1. Where a number is missing, the event was dropped.
    pub sequence: u64,
    /// When, in RFC 3339.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "camelCase")]
pub enum Event {
    /// A client has logged in, or is gone.
    Connection(Connection),
    /// Something was refused.
    Denial(Denial),
    /// Something else that the audit records.
    Audit(Audit),
    /// What a virtual cluster did since the last event of this kind about it.
    Traffic(Traffic),
    /// This reader was too slow.
    Dropped(Dropped),
}

impl Event {
    /// The kind's name, the first half of its row in [`SCHEMAS`].
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::Denial(_) => "denial",
            Self::Audit(_) => "audit",
            Self::Traffic(_) => "traffic",
            Self::Dropped(_) => "dropped",
        }
    }
}

/// Whether a connection begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionState {
    /// The client has logged in.
    Opened,
    /// The connection has ended.
    Closed,
}

/// A client's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Which of the two.
    pub state: ConnectionState,
    /// Of which virtual cluster.
    pub virtual_cluster: String,
    /// Who the client is.
    pub user: String,
    /// From where it connects.
    pub remote_address: String,
    /// The listener's name.
    pub listener: String,
    /// The broker that the dialled address stands for.
    pub broker: i32,
    /// Why it ended, where that was not the client's doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// How the audit calls it, such as `AUTHORIZATION`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of which virtual cluster, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_cluster: Option<String>,
    /// Whom, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<String>,
    /// What exactly, as the audit's `eventData`; its fields depend on the type.
    pub details: serde_json::Value,
}

/// Something that the audit records and that is no denial.
pub type Audit = Denial;

/// What a virtual cluster does: in an event since the last one, in a snapshot since the gateway's start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Its name.
    pub virtual_cluster: String,
    /// Connections open now.
    pub connections: u64,
    /// Requests that came.
    pub requests: u64,
    /// Requests that the gateway itself answered with an error.
    pub refused: u64,
    /// Answers with an error in them, once for each class.
    pub errors: u64,
    /// Rights that were missing.
    pub denials: u64,
    /// Bytes of requests.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
}

impl Traffic {
    /// What was added since `before`; connections are those open now. Counters that went back began anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = |of: fn(&Self) -> u64| of(self).checked_sub(of(before)).unwrap_or_else(|| of(self));
        Self {
            virtual_cluster: self.virtual_cluster.clone(),
            connections: self.connections,
            requests: more(|traffic| traffic.requests),
            refused: more(|traffic| traffic.refused),
            errors: more(|traffic| traffic.errors),
            denials: more(|traffic| traffic.denials),
            request_bytes: more(|traffic| traffic.request_bytes),
            response_bytes: more(|traffic| traffic.response_bytes),
        }
    }
}

/// Events that this reader did not get because it was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// How many, since the last event that it got.
    pub count: u64,
}

/// A broker, as this gateway uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerTraffic {
    /// Its id; `(other)` for all beyond the first few hundred.
    pub broker: String,
    /// Clients' connections open now.
    pub connections: u64,
    /// Requests sent since the start.
    pub requests: u64,
    /// Bytes sent since the start.
    pub bytes_sent: u64,
    /// Bytes received since the start.
    pub bytes_received: u64,
}

/// How the gateway is at one moment, as far as who asks may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When, in RFC 3339.
    pub time: String,
    /// The gateway's version.
    pub version: String,
    /// Whether new clients are welcome.
    pub ready: bool,
    /// Each virtual cluster there is, since the gateway's start.
    pub virtual_clusters: Vec<Traffic>,
    /// What concerns everybody; left out for who may see some virtual clusters only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Totals>,
}

/// What concerns all virtual clusters, since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Clients' connections open now, logged in or not.
    pub connections: u64,
    /// Logins that failed.
    pub authentication_failures: u64,
    /// Frames that were not served.
    pub frames_refused: u64,
    /// Answers that held something of another tenant. Anything but 0 is a bug.
    pub isolation_violations: u64,
    /// Events that readers of the stream were too slow for.
    pub events_dropped: u64,
    /// The physical cluster's brokers.
    pub brokers: Vec<BrokerTraffic>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn samples() -> Vec<Event> {
        let connection = Connection {
            state: ConnectionState::Closed,
            virtual_cluster: "dev".into(),
            user: "alice".into(),
            remote_address: "127.0.0.1:50000".into(),
            listener: "default".into(),
            broker: 1,
            reason: Some("gateway: the account is gone".into()),
        };
        let denial = Denial {
            kind: "AUTHORIZATION".into(),
            virtual_cluster: Some("dev".into()),
            user: Some("alice".into()),
            remote_address: Some("127.0.0.1:50000".into()),
            details: json!({ "api": "Produce" }),
        };
        let traffic = Traffic { virtual_cluster: "dev".into(), requests: 3, ..Traffic::default() };
        vec![
            Event::Connection(connection),
            Event::Denial(denial.clone()),
            Event::Audit(denial),
            Event::Traffic(traffic),
            Event::Dropped(Dropped { count: 4 }),
        ]
    }

    /// As much of JSON Schema as the schemas here use; anything else in them fails.
    fn complaint(schema: &Value, value: &Value, path: &str) -> Option<String> {
        for (keyword, says) in schema.as_object().unwrap() {
            let wrong = match keyword.as_str() {
                "$schema" | "$id" | "title" | "description" | "format" => None,
                "type" => {
                    let is = match value {
                        Value::Object(_) => "object",
                        Value::String(_) => "string",
                        Value::Number(_) => "integer",
                        _ => "other",
                    };
                    (says != is).then(|| format!("{path} is {is}, not {says}"))
                }
                "const" => (says != value).then(|| format!("{path} is {value}, not {says}")),
                "enum" => (!says.as_array().unwrap().contains(value)).then(|| format!("{path} is {value}")),
                "minimum" => (value.as_i64() < says.as_i64()).then(|| format!("{path} is {value}")),
                "required" => {
                    let missing =
                        says.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                    missing.map(|name| format!("{path} has no {name}"))
                }
                "additionalProperties" => {
                    assert_eq!(says, false);
                    let known = schema["properties"].as_object().unwrap();
                    let strange = value.as_object().unwrap().keys().find(|name| !known.contains_key(*name));
                    strange.map(|name| format!("{path} has {name}"))
                }
                "properties" => says.as_object().unwrap().iter().find_map(|(name, schema)| {
                    value.get(name).and_then(|value| complaint(schema, value, &format!("{path}.{name}")))
                }),
                other => panic!("{other} is not checked here"),
            };
            if wrong.is_some() {
                return wrong;
            }
        }
        None
    }

    #[test]
    fn each_kind_is_as_its_schema_says_and_can_be_read_back() {
        let mut kinds = BTreeSet::new();
        for event in samples() {
            let schema = SCHEMAS.iter().find(|(kind, _)| *kind == event.kind()).unwrap().1;
            let schema: Value = serde_json::from_str(schema).unwrap();
            let envelope = Envelope { sequence: 1, time: "2026-01-01T00:00:00Z".into(), event };
            let value = serde_json::to_value(&envelope).unwrap();
            assert_eq!(complaint(&schema, &value, "$"), None, "{value}");
            assert_eq!(value["kind"], envelope.event.kind());
            assert_eq!(serde_json::from_value::<Envelope>(value.clone()).unwrap(), envelope);
            // That the schemas say something: every field of the data is named in them, and a wrong one is seen.
            let named = schema["properties"]["data"]["properties"].as_object().unwrap();
            assert!(value["data"].as_object().unwrap().keys().all(|name| named.contains_key(name)), "{value}");
            let mut wrong = value;
            wrong["data"]["surprise"] = json!(1);
            assert!(complaint(&schema, &wrong, "$").is_some());
            kinds.insert(envelope.event.kind());
        }
        assert_eq!(kinds, SCHEMAS.iter().map(|(kind, _)| *kind).collect());
    }

    #[test]
    fn traffic_is_what_was_added() {
        let before = Traffic { requests: 5, request_bytes: 9, connections: 2, ..Traffic::default() };
        let now = Traffic { requests: 8, request_bytes: 4, connections: 1, ..Traffic::default() };
        let since = now.since(&before);
        assert_eq!((since.requests, since.request_bytes, since.connections), (3, 4, 1));
    }
}
