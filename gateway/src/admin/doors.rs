//! How requests come in: over TCP, in the clear or by TLS. A handshake that takes its time holds up nobody else, and who says nothing
//! does not stay.

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
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::places::{Place, Places};
use crate::transport::tls::server::ServerTls;

/// Who has not shaken hands by then is no client.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that go on at the same time; more wait at the operating system's door.
const HANDSHAKES: usize = 64;
/// Who neither sends nor takes a byte for so long is hung up on. A quiet stream of events says every fifteen seconds that it is there.
const IDLE: Duration = Duration::from_secs(120);
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
    greeting: JoinSet<Option<(Client, SocketAddr)>>,
    places: Arc<Places>,
}

impl Door {
    pub(super) fn new(tcp: TcpListener, tls: Option<Arc<ServerTls>>) -> Self {
        Self { tcp, tls, greeting: JoinSet::new(), places: Arc::default() }
    }

    async fn next(&mut self) -> io::Result<Option<(Client, SocketAddr)>> {
        let Some(tls) = self.tls.clone() else {
            let (socket, peer) = self.tcp.accept().await?;
            let place = self.places.take(peer.ip());
            return Ok(place.map(|place| (Client::new(Stream::Plain(socket), place), peer)));
        };
        tokio::select! {
            Some(greeted) = self.greeting.join_next() => {
                Ok(greeted.ok().flatten())
            }
            accepted = self.tcp.accept(), if self.greeting.len() < HANDSHAKES => {
                let (socket, peer) = accepted?;
                if let Some(place) = self.places.take(peer.ip()) {
                    let _ = self.greeting.spawn(greet(socket, peer, tls, place));
                }
                Ok(None)
            }
        }
    }
}

/// `None` for who speaks something else, or not at all.
async fn greet(socket: TcpStream, peer: SocketAddr, tls: Arc<ServerTls>, place: Place) -> Option<(Client, SocketAddr)> {
    let handshake = TlsAcceptor::from(tls.config()).accept(socket);
    match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Some((Client::new(Stream::Tls(Box::new(stream)), place), peer)),
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
pub(super) struct Client {
    stream: Stream,
    /// When it has been idle for too long.
    idle: Pin<Box<Sleep>>,
    _place: Place,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    fn new(stream: Stream, place: Place) -> Self {
        Self { stream, idle: Box::pin(tokio::time::sleep(IDLE)), _place: place }
    }

    /// What became of a read or a write: what waits for too long has failed, and whatever else happened is a sign of life.
    fn within<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return done;
        }
        self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        let read = match &mut client.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        client.within(cx, read)
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        let written = match &mut client.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        client.within(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut client, _) = Door::new(listener, None).accept().await;
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
