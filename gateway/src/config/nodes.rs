//! Several gateways as the nodes of one cluster: how they find each other, and how one of them leaves.

use std::time::Duration;

use serde_yaml::Value;

use super::State;
use super::reader::{Reader, text};
use super::settings::{Setting, file_only, internal_topic, setting};

/// The nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Gateways that name the same cluster are its nodes.
    pub cluster_id: String,
    /// Whether this one looks for others; else it is the only one.
    pub together: bool,
    /// How this node calls itself, where that is not its host's name and first port.
    pub id: Option<String>,
    /// Where it stands: brokers of the same rack are reached through it.
    pub rack: Option<String>,
    /// Whether clients are sent to the node that has a broker; else all addresses are this node's own, or its balancer's.
    pub internal_balancing: bool,
    /// Where the nodes tell each other that they are there.
    pub topic: String,
    /// How often they do.
    pub heartbeat: Duration,
    /// What is in flight when the node is told to stop may take this long.
    pub drain: Duration,
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("nodes.clusterId", "GATEWAY_CLUSTER_ID"),
    setting("nodes.id", "GATEWAY_NODE_ID"),
    setting("nodes.rackId", "GATEWAY_RACK_ID"),
    setting("nodes.internalLoadBalancing", BALANCING),
    file_only("nodes.topic"),
    file_only("nodes.heartbeatMs"),
    setting("nodes.drainSeconds", "GATEWAY_DRAIN_SECONDS"),
];

const BALANCING: &str = "GATEWAY_FEATURE_FLAGS_INTERNAL_LOAD_BALANCING";
const CLUSTER_ID: &str = "gateway";
const TOPIC: &str = "_anabranch.nodes";
/// The longest name: that of a host.
const LONGEST_NAME: usize = 253;

pub(super) fn read(reader: &mut Reader, state: &State) -> Nodes {
    let together = reader.is_given("nodes.clusterId") || matches!(state, State::Topic(_));
    let cluster_id = reader.value("nodes.clusterId", cluster_id).unwrap_or_else(|| CLUSTER_ID.to_owned());
    let internal_balancing = reader.flag("nodes.internalLoadBalancing", true);
    if !internal_balancing && !reader.is_given("clients.advertisedListener") {
        let place = reader.place("nodes.internalLoadBalancing").to_owned();
        reader.warning(format!(
            "{place} is false and clients.advertisedListener (GATEWAY_ADVERTISED_LISTENER) is not set: clients are told \
             this node's own addresses and go past the load balancer; set it to the balancer's host"
        ));
    }
    if reader.is_given("nodes.clusterId") && !reader.is_given("tokens.signingKey") {
        let place = reader.place("nodes.clusterId").to_owned();
        reader.warning(format!(
            "{place} is set and tokens.signingKey (GATEWAY_USER_POOL_SECRET_KEY) is not: a token of one node is refused \
             by the others; give all nodes the same key"
        ));
    }
    Nodes {
        cluster_id,
        together,
        id: reader.value("nodes.id", name),
        rack: reader.value("nodes.rackId", name),
        internal_balancing,
        topic: reader.value("nodes.topic", internal_topic).unwrap_or_else(|| TOPIC.to_owned()),
        heartbeat: Duration::from_millis(reader.number("nodes.heartbeatMs", 1000, 100, 60_000).unsigned_abs()),
        drain: Duration::from_secs(reader.number("nodes.drainSeconds", 25, 0, 3600).unsigned_abs()),
    }
}

/// It stands before a slash in the keys of the topic.
fn cluster_id(value: &Value) -> Result<String, String> {
    let name = name(value)?;
    if name.contains('/') { Err(format!("'{name}' holds a slash")) } else { Ok(name) }
}

fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if name.len() <= LONGEST_NAME && name.chars().all(|char| char.is_ascii_graphic()) {
        Ok(name)
    } else {
        Err(format!("must be at most {LONGEST_NAME} letters, digits and signs, without blanks"))
    }
}
