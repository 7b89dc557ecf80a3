//! What the gateway knows of the physical cluster: brokers, topics, cluster id, read from Metadata answers by the walker.

use crate::apis::plans;
use std::collections::BTreeMap;
use std::convert::Infallible;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::value::{self, ValueError};
use wire::walk::{Action, Stop, Value, Visitor, scan};

/// The version that the gateway asks in: the first with topic ids is enough.
pub const VERSION: i16 = 10;

/// The physical cluster as a Metadata answer shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Host and port of each broker.
    pub brokers: BTreeMap<i32, (String, u16)>,
    /// The rack of each broker that has one.
    pub racks: BTreeMap<i32, String>,
    /// Id and name of each topic.
    pub topics: Vec<([u8; 16], String)>,
    /// The id of the physical cluster.
    pub cluster_id: String,
}

/// The body of a request for everything (`topics`) or for the brokers alone.
///
/// # Errors
/// None for the schema table as it is.
pub fn request(topics: bool) -> Result<Vec<u8>, ValueError> {
    let topics = if topics { serde_json::Value::Null } else { serde_json::json!([]) };
    value::encode(
        ApiKey::Metadata.request(),
        VERSION,
        &serde_json::json!({ "Topics": topics, "AllowAutoTopicCreation": false }),
    )
}

/// Reads an answer.
///
/// # Errors
/// [`Stop::Malformed`]
pub fn read(body: &[u8]) -> Result<Topology, Stop<Infallible>> {
    let mut reader = Reader::default();
    scan(plans::response(ApiKey::Metadata, VERSION), body, &mut reader)?;
    Ok(reader.topology)
}

#[derive(Default)]
struct Reader {
    topology: Topology,
    broker: i32,
    host: String,
    topic: String,
}

impl Visitor for Reader {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        match (role, value) {
            (Role::BrokerId, Value::Int(id)) => self.broker = id,
            (Role::Host, Value::Str(Some(host))) => host.clone_into(&mut self.host),
            (Role::Port, Value::Int(port)) => {
                if let Ok(port) = u16::try_from(port) {
                    let _ = self.topology.brokers.insert(self.broker, (self.host.clone(), port));
                }
            }
            (Role::Rack, Value::Str(Some(rack))) => {
                let _ = self.topology.racks.insert(self.broker, rack.to_owned());
            }
            (Role::Topic, Value::Str(Some(name))) => name.clone_into(&mut self.topic),
            (Role::TopicId, Value::Uuid(id)) => self.topology.topics.push((id, std::mem::take(&mut self.topic))),
            (Role::ClusterId, Value::Str(Some(id))) => id.clone_into(&mut self.topology.cluster_id),
            _ => {}
        }
        Ok(Action::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_topics_are_read() {
        let body = value::encode(
            ApiKey::Metadata.response(),
            VERSION,
            &serde_json::json!({
                "Brokers": [{"NodeId": 3, "Host": "h", "Port": 9092, "Rack": "r"}, {"NodeId": 4, "Host": "i", "Port": 9092}], "ClusterId": "c", "ControllerId": 3,
                "Topics": [{"Name": "t", "TopicId": value::uuid_text(&[5; 16])}],
            }),
        )
        .unwrap();
        let topology = read(&body).unwrap();
        assert_eq!(topology.brokers, BTreeMap::from([(3, ("h".to_owned(), 9092)), (4, ("i".to_owned(), 9092))]));
        assert_eq!(topology.racks, BTreeMap::from([(3, "r".to_owned())]));
        assert_eq!(topology.topics, [([5; 16], "t".to_owned())]);
        assert_eq!(topology.cluster_id, "c");
    }
}
