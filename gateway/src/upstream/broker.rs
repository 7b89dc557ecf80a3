//! A connection to one broker.

use crate::naming::request::Physical;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wire::frame;
use wire::schema::ApiKey;

/// A broker that does not accept within this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent for this long is probed.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Probes follow each other in this time.
const KEEPALIVE_PROBES: Duration = Duration::from_secs(10);
/// The gateway's own requests are answered within this time or count as failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// No answer to the gateway's own requests is longer: the metadata of a million partitions is.
const ANSWER_MAX: usize = 256 << 20;

/// Why a broker did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The connection could not be made or broke.
    #[error("broker at {address}: {source}")]
    Io {
        /// Where the broker should be.
        address: String,
        /// What happened.
        source: io::Error,
    },
    /// The answer is not one.
    #[error("broker at {address} answered {key:?} with something else: {reason}")]
    Answer {
        /// Where the broker is.
        address: String,
        /// What was asked.
        key: ApiKey,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// Opens a connection.
///
/// # Errors
/// [`BrokerError::Io`], also where the broker does not accept in time.
pub async fn connect(address: &str) -> Result<TcpStream, BrokerError> {
    let failed = |source| BrokerError::Io { address: address.to_owned(), source };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    prepare(&stream).map_err(failed)?;
    Ok(stream)
}

/// Sets a connection up, to a broker or of a client: small frames leave at once, and a peer that vanished without a word is
/// noticed within some minutes.
///
/// # Errors
/// The socket's.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Sends a request on: the only way on which a client's request reaches a broker.
///
/// # Errors
/// The connection's.
pub async fn send(stream: &TcpStream, request: &Physical<'_>) -> io::Result<usize> {
    let length = request.head().len() + request.segments().len();
    let prefix = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?.to_be_bytes();
    crate::upstream::vectored::write(stream, &[&prefix, request.head()], request.segments(), request.body()).await?;
    Ok(length + 4)
}

/// Asks a broker something on the gateway's own behalf; returns the answer's body.
///
/// # Errors
/// [`BrokerError`]
pub async fn ask(
    stream: &mut TcpStream,
    address: &str,
    key: ApiKey,
    version: i16,
    body: &[u8],
) -> Result<Vec<u8>, BrokerError> {
    let failed = |source| BrokerError::Io { address: address.to_owned(), source };
    let exchange = async {
        stream.write_all(&frame::request(key, version, 0, Some("gateway"), body)).await?;
        let mut length = [0; 4];
        let _ = stream.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("an answer of {length} bytes")));
        }
        let mut answer = Vec::new();
        let read = stream.take(length as u64).read_to_end(&mut answer).await?;
        if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let (_, start) = frame::response_header(key.response_header(version), &answer)
        .map_err(|e| BrokerError::Answer { address: address.to_owned(), key, reason: e.to_string() })?;
    Ok(answer[start..].to_vec())
}
