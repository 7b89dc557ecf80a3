//! The ports that clients dial: one per broker, each connection a session.

use crate::config::Config;
use crate::naming::Addresses;
use crate::observe::metrics::Metrics;
use crate::routing::port::Ports;
use crate::session::{self, SessionError, Shared};
use crate::transport::connection::Connection;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// After an error of `accept` (no file descriptors left), the next attempt waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the gateway does not listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't listen on {address} for Kafka clients: {source}. Free the port, or set clients.portStart (GATEWAY_PORT_START) to another range of {count} ports"
)]
pub struct ListenError {
    /// The address.
    address: String,
    /// How many ports are wanted in a row.
    count: u16,
    /// Why.
    source: io::Error,
}

impl Addresses for Ports {
    fn of(&self, id: i32) -> Option<(&str, u16)> {
        self.address(id)
    }
}

/// The bound ports.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<(i32, TcpListener)>,
}

impl Listeners {
    /// Binds every port of the range.
    ///
    /// # Errors
    /// [`ListenError`] for the first that can't be bound.
    pub async fn bind(config: &Config, ports: &Ports) -> Result<Self, ListenError> {
        let mut bound = Vec::new();
        for port in ports.all() {
            let address = format!("{}:{port}", config.clients.bind_host);
            let listener = TcpListener::bind(&address).await;
            let count = config.clients.port_count;
            bound.push((ports.broker(port), listener.map_err(|source| ListenError { address, count, source })?));
        }
        info!(bootstrap = ports.bootstrap(), ports = bound.len(), "listening for Kafka clients");
        Ok(Self { bound })
    }

    /// Accepts until dropped; then no new client comes in and the sessions end.
    pub async fn serve(self, shared: Arc<Shared>, max_connections: usize) {
        let mut accepting = JoinSet::new();
        for (broker, listener) in self.bound {
            let _ = accepting.spawn(accept(broker, listener, shared.clone(), max_connections));
        }
        while accepting.join_next().await.is_some() {}
    }
}

async fn accept(broker: i32, listener: TcpListener, shared: Arc<Shared>, max_connections: usize) {
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, peer)) => {
                if shared.metrics.connections_open() >= i64::try_from(max_connections).unwrap_or(i64::MAX) {
                    shared.metrics.connection_refused();
                    warn!(%peer, max_connections, "connection refused: the gateway is at its limit");
                    continue;
                }
                let open = shared.metrics.connection_opened();
                let shared = shared.clone();
                let _ = sessions.spawn(async move {
                    let ended = match Connection::plain(client) {
                        Ok(client) => session::serve(client, broker, shared.clone()).await,
                        Err(e) => Err(SessionError::Client(e)),
                    };
                    drop(open);
                    if let Err(e) = ended {
                        report(&shared.metrics, &e, &peer.to_string());
                    }
                });
            }
            Err(e) => {
                warn!(error = %e, "can't accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Refusals are worth a line; clients come and go all day.
fn report(metrics: &Metrics, error: &SessionError, peer: &str) {
    match error {
        SessionError::Frame { reason, .. } => {
            metrics.frame_refused(*reason);
            info!(peer, %error, "connection closed");
        }
        SessionError::Authentication(_) | SessionError::Ended(_) => info!(peer, %error, "connection closed"),
        SessionError::Answer(_) => {
            metrics.answer_withheld();
            warn!(peer, %error, "connection closed");
        }
        SessionError::Gateway(_) => warn!(peer, %error, "connection closed"),
        SessionError::Client(_) | SessionError::Broker(_) | SessionError::Upstream(_) => {
            debug!(peer, %error, "connection closed");
        }
    }
}
