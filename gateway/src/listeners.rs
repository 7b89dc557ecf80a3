//! The ports that clients dial; each connection becomes a session.

use crate::audit::event::{Action, Connection as Ends, Event};
use crate::config::HostPort;
use crate::observe::metrics::Metrics;
use crate::session::{self, Listener, SessionError, Shared};
use crate::transport::connection::Connection;
use crate::transport::tls::server::ServerTls;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// After an error of `accept` (no file descriptors left), the next attempt waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the gateway does not listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "can't listen on {address} for Kafka clients of the listener '{listener}': {source}. Free the port, or set portStart (GATEWAY_PORT_START) to another range of {count} ports"
)]
pub struct ListenError {
    /// The address.
    address: String,
    /// The listener's name.
    listener: Arc<str>,
    /// How many ports are wanted in a row.
    count: usize,
    /// Why.
    source: io::Error,
}

/// The bound ports.
#[derive(Debug, Default)]
pub struct Listeners {
    bound: Vec<(Arc<Listener>, Option<Arc<ServerTls>>, TcpListener)>,
}

impl Listeners {
    /// Binds every port of a listener.
    ///
    /// # Errors
    /// [`ListenError`] for the first that can't be bound.
    pub async fn bind(
        &mut self,
        listener: &Arc<Listener>,
        tls: Option<&Arc<ServerTls>>,
        host: &str,
        ports: RangeInclusive<u16>,
    ) -> Result<(), ListenError> {
        let count = ports.len();
        for port in ports {
            let address = HostPort { host: host.to_owned(), port }.to_string();
            let bound = TcpListener::bind(&address).await.map_err(|source| ListenError {
                address,
                listener: Arc::clone(&listener.name),
                count,
                source,
            })?;
            self.bound.push((Arc::clone(listener), tls.cloned(), bound));
        }
        Ok(())
    }

    /// Accepts until the sessions shall end, and returns when they have. Dropped, it ends them at once. A new client gets what `shared`
    /// holds at that moment.
    pub async fn serve(self, shared: &watch::Sender<Arc<Shared>>) {
        let mut accepting = JoinSet::new();
        for (listener, tls, bound) in self.bound {
            let _ = accepting.spawn(accept(listener, tls, bound, shared.subscribe()));
        }
        while accepting.join_next().await.is_some() {}
    }
}

async fn accept(
    listener: Arc<Listener>,
    tls: Option<Arc<ServerTls>>,
    bound: TcpListener,
    present: watch::Receiver<Arc<Shared>>,
) {
    let mut sessions = JoinSet::new();
    let drain = Arc::clone(&present.borrow().drain);
    let drain = drain.attend().await;
    loop {
        while sessions.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = bound.accept() => accepted,
            () = drain.begun() => break,
        };
        match accepted {
            Ok((client, peer)) => {
                let shared = present.borrow().clone();
                let max_connections = shared.limits.max_connections;
                if shared.metrics.connections_open() >= i64::try_from(max_connections).unwrap_or(i64::MAX) {
                    shared.metrics.connection_refused();
                    warn!(%peer, max_connections, "connection refused: the gateway is at its limit");
                    refused(&shared, client.local_addr().ok(), peer, "the gateway is at its limit");
                    continue;
                }
                let open = shared.metrics.connection_opened();
                let (listener, tls) = (listener.clone(), tls.clone());
                let _ = sessions.spawn(async move {
                    let ended = connection(client, listener, tls, shared.clone()).await;
                    drop(open);
                    if let Err(e) = ended {
                        if let SessionError::Tls(_) = e {
                            refused(&shared, None, peer, &e.to_string());
                        }
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
    drop(bound);
    while sessions.join_next().await.is_some() {}
}

async fn connection(
    socket: TcpStream,
    listener: Arc<Listener>,
    tls: Option<Arc<ServerTls>>,
    shared: Arc<Shared>,
) -> Result<(), SessionError> {
    let attendance = shared.drain.attend().await;
    let port = socket.local_addr().map_err(SessionError::Client)?.port();
    let client = match tls {
        None => Connection::plain(socket).map_err(SessionError::Client)?,
        Some(tls) => {
            let known = |name: Option<&str>| listener.routes.dialled(port, name).map(|_| tls.config());
            let greeting = Connection::accept(socket, known);
            let greeting = tokio::time::timeout(shared.limits.handshake, greeting);
            let Some(greeted) = attendance.until_known(greeting).await else { return Ok(()) };
            greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(SessionError::Tls)?
        }
    };
    let dialled = listener.routes.dialled(port, client.server_name().as_deref());
    let dialled = dialled.ok_or(SessionError::Ended("the address stands for no broker"))?;
    session::serve(client, dialled, listener, Arc::clone(&shared), &attendance).await
}

/// Records a connection that was closed before its client could say anything.
fn refused(shared: &Shared, local: Option<SocketAddr>, remote: SocketAddr, reason: &str) {
    let action = Action::ConnectionRefused { reason: reason.into() };
    shared.audit.record(Event::new(action).over(Ends { local, remote: Some(remote) }));
}

/// Refusals are worth a line; clients come and go all day.
fn report(metrics: &Metrics, error: &SessionError, peer: &str) {
    match error {
        SessionError::Frame { reason, .. } => {
            metrics.frame_refused(*reason);
            info!(peer, %error, "connection closed");
        }
        SessionError::Tls(_) => {
            metrics.tls_handshake_failed();
            info!(peer, %error, "connection closed");
        }
        SessionError::Expired => {
            metrics.session_expired();
            info!(peer, %error, "connection closed");
        }
        SessionError::Authentication(_) | SessionError::Ended(_) | SessionError::TooMany(_) => {
            info!(peer, %error, "connection closed")
        }
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
