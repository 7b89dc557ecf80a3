//! What a node says of itself: a JSON record under the key `<cluster id>/<node id>`. Without a value it has left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{self, PortRouting, Routing};
use crate::routing::Routes;
use crate::routing::host::Hosts;
use crate::routing::port::Ports;

/// A beat. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// The node's id.
    pub node: String,
    /// Different in each process: two nodes of one id would take turns.
    pub incarnation: String,
    /// The machine, by its host name.
    pub machine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// How clients reach each of its listeners, by the listeners' names.
    #[serde(default)]
    pub listeners: BTreeMap<String, Reach>,
    /// When the process started.
    pub started: u64,
    /// When this beat counts no longer.
    pub expires: u64,
    /// How long it counts, by the clock of whoever hears it.
    pub lasts: u64,
    /// What the node has used of what all nodes share; whoever put it there knows what it means.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub usage: Value,
}

/// How clients reach a listener of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "routing")]
pub enum Reach {
    /// A port per broker.
    #[serde(rename_all = "camelCase")]
    Port { host: String, port_start: u16, port_count: u16, min_broker_id: i32 },
    /// A host name per broker.
    #[serde(rename_all = "camelCase")]
    Host { domain: String, port: u16 },
}

impl Reach {
    /// How clients reach a listener with these settings.
    pub fn of(listener: &config::Listener) -> Self {
        let host = listener.advertised_host.clone();
        match &listener.routing {
            Routing::Port(PortRouting { count, advertised_start, min_broker_id, .. }) => {
                Self::Port { host, port_start: *advertised_start, port_count: *count, min_broker_id: *min_broker_id }
            }
            Routing::Host(routing) => Self::Host { domain: host, port: routing.advertised_port },
        }
    }

    /// The addresses of the brokers there.
    pub fn routes(&self) -> Routes {
        match self {
            Self::Port { host, port_start: start, port_count: count, min_broker_id } => {
                let (advertised_start, min_broker_id) = (*start, *min_broker_id);
                let routing = PortRouting { start: *start, count: *count, advertised_start, min_broker_id };
                Routes::Port(Ports::new(host, &routing))
            }
            Self::Host { domain, port } => Routes::Host(Hosts::new(domain, *port)),
        }
    }

    fn host(&self) -> &str {
        match self {
            Self::Port { host, .. } | Self::Host { domain: host, .. } => host,
        }
    }

    /// Whether clients elsewhere can't reach it.
    fn is_loopback(&self) -> bool {
        let host = self.host();
        let name = host.strip_suffix('.').unwrap_or(host);
        name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether it can be told to clients at all.
    fn is_sound(&self) -> bool {
        let host = self.host();
        !host.is_empty() && host.len() <= LONGEST_HOST && host.chars().all(|char| char.is_ascii_graphic())
    }
}

/// No host name is longer.
const LONGEST_HOST: usize = 253;

impl Beat {
    /// Whether clients of a node on `machine` may be sent to this one: an address that means "here" is somewhere else on another
    /// machine.
    pub fn reaches_from(&self, machine: &str, listener: &str) -> bool {
        self.listeners.get(listener).is_some_and(|reach| self.machine == machine || !reach.is_loopback())
    }

    /// The record's value.
    ///
    /// # Errors
    /// None for what a node says of itself.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a record's value; its key must say the same node.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(node: &str, value: &[u8]) -> Result<Self, String> {
        let beat: Self = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if beat.node != node {
            return Err(format!("the key says node '{node}' and the value another one"));
        }
        if let Some((name, _)) = beat.listeners.iter().find(|(_, reach)| !reach.is_sound()) {
            return Err(format!("the host of listener '{}' is none", name.escape_debug()));
        }
        Ok(beat)
    }
}

/// The key of a node's records.
pub fn key(cluster: &str, node: &str) -> String {
    format!("{cluster}/{node}")
}

/// The node that a key is about, if it is one of this cluster.
pub fn node_of<'k>(cluster: &str, key: &'k [u8]) -> Option<&'k str> {
    let node = std::str::from_utf8(key).ok()?.strip_prefix(cluster)?.strip_prefix('/')?;
    (!node.is_empty()).then_some(node)
}
