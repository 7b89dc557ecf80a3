//! Which broker, and of which virtual cluster, an address stands for.

pub mod host;
pub mod port;

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::{Listener, Routing};
use host::Hosts;
use port::Ports;

/// The broker of an address by which clients begin: any will do.
pub const ANY_BROKER: i32 = -1;

/// What a client dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialled {
    /// The broker's id, whether there is such a broker or not; [`ANY_BROKER`] for a bootstrap address.
    pub broker: i32,
    /// The virtual cluster that the address names, in lower case: only its identities are served there.
    pub virtual_cluster: Option<Arc<str>>,
}

impl Dialled {
    /// The address of a broker that names no virtual cluster.
    pub const fn broker(id: i32) -> Self {
        Self { broker: id, virtual_cluster: None }
    }

    /// Whether identities of this virtual cluster are served at the address.
    pub fn serves(&self, virtual_cluster: &str) -> bool {
        self.virtual_cluster.as_deref().is_none_or(|dialled| dialled.eq_ignore_ascii_case(virtual_cluster))
    }
}

/// The addresses of one listener, both ways.
#[derive(Debug, Clone)]
pub enum Routes {
    /// A port per broker.
    Port(Ports),
    /// A host name per broker.
    Host(Hosts),
}

impl Routes {
    /// The addresses that a listener's settings ask for.
    pub fn new(listener: &Listener) -> Self {
        match &listener.routing {
            Routing::Port(routing) => Self::Port(Ports::new(&listener.advertised_host, routing)),
            Routing::Host(routing) => Self::Host(Hosts::new(&listener.advertised_host, routing.advertised_port)),
        }
    }

    /// What a connection to `port` that asked for `server_name` stands for; `None` where nothing is served.
    pub fn dialled(&self, port: u16, server_name: Option<&str>) -> Option<Dialled> {
        match self {
            Self::Port(ports) => Some(Dialled::broker(ports.broker(port))),
            Self::Host(hosts) => hosts.dialled(server_name?),
        }
    }

    /// Host and port that stand for a broker; `None` where none do.
    pub fn address(&self, virtual_cluster: &str, broker: i32) -> Option<(Cow<'_, str>, u16)> {
        match self {
            Self::Port(ports) => ports.address(broker).map(|(host, port)| (host.into(), port)),
            Self::Host(hosts) => hosts.address(virtual_cluster, broker).map(|(host, port)| (host.into(), port)),
        }
    }

    /// The address to give to clients of a virtual cluster first.
    pub fn bootstrap(&self, virtual_cluster: &str) -> String {
        match self {
            Self::Port(ports) => ports.bootstrap(),
            Self::Host(hosts) => hosts.bootstrap(virtual_cluster),
        }
    }
}
