//! One connection, in the clear or by TLS, that is read and written at the same time by one task.
//!
//! The clear one costs no more than its socket: no lock, no copy. Under TLS both directions share rustls' state, each poll
//! under a lock that nobody else holds.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{ClientConfig, ServerConfig};
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

/// A connection that is silent for this long is probed.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Probes follow each other in this time.
const KEEPALIVE_PROBES: Duration = Duration::from_secs(10);

/// So much is read at once of what is not looked at.
const IGNORED: usize = 16 << 10;

/// A fatal alert (RFC 8446, section 6; RFC 6066, section 3): type 21, TLS 1.2's record version, two bytes, unrecognized_name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A connection to a client or to a broker.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    local: SocketAddr,
    remote: SocketAddr,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<Mutex<TlsStream<TcpStream>>>),
}

impl Connection {
    /// A connection in the clear.
    ///
    /// # Errors
    /// The socket's.
    pub fn plain(socket: TcpStream) -> io::Result<Self> {
        let (local, remote) = prepare(&socket)?;
        Ok(Self { stream: Stream::Plain(socket), local, remote })
    }

    /// The server's side of a TLS handshake, by the configuration for the name that the client asks for (SNI); without one
    /// the client is told that the name is unknown. The caller bounds the time.
    ///
    /// # Errors
    /// The socket's, rustls' as [`io::ErrorKind::InvalidData`], and [`io::ErrorKind::AddrNotAvailable`] for an unknown name.
    pub async fn accept(
        socket: TcpStream,
        choose: impl FnOnce(Option<&str>) -> Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let (local, remote) = prepare(&socket)?;
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let name = start.client_hello().server_name().map(str::to_owned);
        let Some(config) = choose(name.as_deref()) else {
            // The client hangs up by itself when it is told; if it does not, the connection ends all the same.
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            let asked = name.map_or_else(|| "no name".to_owned(), |name| format!("'{name}'"));
            let text = format!("the client asked for {asked} (SNI), which stands for no broker");
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        };
        let stream = start.into_stream(config).await?;
        Ok(Self { stream: Stream::Tls(Box::new(Mutex::new(stream.into()))), local, remote })
    }

    /// The client's side of a TLS handshake with a server of this name. The caller bounds the time.
    ///
    /// # Errors
    /// The socket's, and rustls' as [`io::ErrorKind::InvalidData`].
    pub async fn connect(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
    ) -> io::Result<Self> {
        let (local, remote) = prepare(&socket)?;
        let stream = TlsConnector::from(config).connect(server, socket).await?;
        Ok(Self { stream: Stream::Tls(Box::new(Mutex::new(stream.into()))), local, remote })
    }

    /// This side's address.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address.
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether what goes over it is encrypted.
    pub const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The server name that the client asked for (SNI, RFC 6066), on the server's side of a TLS connection.
    pub fn server_name(&self) -> Option<String> {
        match &self.stream {
            Stream::Tls(stream) => match &*lock(stream) {
                TlsStream::Server(stream) => stream.get_ref().1.server_name().map(str::to_owned),
                TlsStream::Client(_) => None,
            },
            Stream::Plain(_) => None,
        }
    }

    /// The peer's certificate, verified by the handshake; `None` where it showed none.
    pub fn peer_certificate(&self) -> Option<CertificateDer<'static>> {
        match &self.stream {
            Stream::Tls(stream) => {
                let stream = lock(stream);
                let certificates = stream.get_ref().1.peer_certificates()?;
                Some(certificates.first()?.clone().into_owned())
            }
            Stream::Plain(_) => None,
        }
    }

    /// Reads what has arrived into the spare room of `buffer`; 0 at the end of the connection. Buffers that have none
    /// are not grown.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match &self.stream {
            Stream::Plain(socket) => loop {
                std::task::ready!(socket.poll_read_ready(cx))?;
                match socket.try_read_buf(buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Stream::Tls(stream) => {
                let mut stream = lock(stream);
                // It keeps nothing between two polls, so that a new one goes on where the last stopped.
                let read = pin!(stream.read_buf(buffer));
                match read.poll(cx) {
                    // Kafka's clients leave without TLS' goodbye; frames say their own length.
                    Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
                    done => done,
                }
            }
        }
    }

    /// Writes what the connection takes of the pieces; returns how many bytes that is.
    pub fn poll_write_vectored(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &self.stream {
            Stream::Plain(socket) => loop {
                std::task::ready!(socket.poll_write_ready(cx))?;
                match socket.try_write_vectored(pieces) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Stream::Tls(stream) => Pin::new(&mut *lock(stream)).poll_write_vectored(cx, pieces),
        }
    }

    /// Sends what TLS has encrypted and still holds. Without it the end of a frame may stay behind.
    ///
    /// # Errors
    /// The connection's.
    pub async fn flush(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => poll_fn(|cx| Pin::new(&mut *lock(stream)).poll_flush(cx)).await,
        }
    }
}

impl Connection {
    /// Says that nothing more is sent, and reads on, without looking at what comes, until the peer has hung up.
    ///
    /// # Errors
    /// The connection's.
    pub async fn finish(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Plain(socket) => SockRef::from(socket).shutdown(Shutdown::Write)?,
            Stream::Tls(stream) => poll_fn(|cx| Pin::new(&mut *lock(stream)).poll_shutdown(cx)).await?,
        }
        let mut ignored = Vec::with_capacity(IGNORED);
        loop {
            ignored.clear();
            if poll_fn(|cx| self.poll_read(cx, &mut ignored)).await? == 0 {
                return Ok(());
            }
            tokio::task::coop::consume_budget().await;
        }
    }
}

fn lock(stream: &Mutex<TlsStream<TcpStream>>) -> MutexGuard<'_, TlsStream<TcpStream>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small frames leave at once, and a peer that vanished without a word is noticed within some minutes.
fn prepare(socket: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_PROBES);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)?;
    Ok((socket.local_addr()?, socket.peer_addr()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Two ends of a connection in the clear.
    pub(crate) async fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        (client.unwrap(), Connection::plain(accepted.unwrap().0).unwrap())
    }
}
