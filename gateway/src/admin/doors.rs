//! How requests come in: over TCP, in the clear or by TLS. A handshake that takes its time holds up nobody else.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::transport::tls::server::ServerTls;

/// Who has not shaken hands by then is no client.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that go on at the same time; more wait at the operating system's door.
const HANDSHAKES: usize = 64;
/// After the operating system has refused a connection, out of memory or files.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The bound port.
#[derive(Debug)]
pub(super) struct Door {
    tcp: TcpListener,
    tls: Option<Arc<ServerTls>>,
    greeting: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Door {
    pub(super) fn new(tcp: TcpListener, tls: Option<Arc<ServerTls>>) -> Self {
        Self { tcp, tls, greeting: JoinSet::new() }
    }

    async fn next(&mut self) -> io::Result<Option<(Client, SocketAddr)>> {
        let Some(tls) = self.tls.clone() else {
            let (socket, peer) = self.tcp.accept().await?;
            return Ok(Some((Client::Plain(socket), peer)));
        };
        tokio::select! {
            Some(greeted) = self.greeting.join_next() => {
                Ok(greeted.ok().flatten().map(|(stream, peer)| (Client::Tls(Box::new(stream)), peer)))
            }
            accepted = self.tcp.accept(), if self.greeting.len() < HANDSHAKES => {
                let (socket, peer) = accepted?;
                let _ = self.greeting.spawn(greet(socket, peer, tls));
                Ok(None)
            }
        }
    }
}

/// `None` for who speaks something else, or not at all.
async fn greet(socket: TcpStream, peer: SocketAddr, tls: Arc<ServerTls>) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    let handshake = TlsAcceptor::from(tls.config()).accept(socket);
    match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Some((stream, peer)),
        Ok(Err(error)) => {
            tracing::info!(%peer, %error, "TLS handshake of the admin API failed");
            None
        }
        Err(_) => None,
    }
}

impl Listener for Door {
    type Io = Client;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Client, SocketAddr) {
        loop {
            match self.next().await {
                Ok(Some(client)) => return client,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection to the admin API");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) enum Client {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
