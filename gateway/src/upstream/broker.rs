//! A connection to one broker.

use crate::naming::request::Physical;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use crate::transport::vectored;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use wire::frame;
use wire::schema::ApiKey;
use wire::segments::Segments;

/// A broker that does not accept within this time counts as down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
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
pub async fn connect(address: &str) -> Result<Connection, BrokerError> {
    let failed = |source| BrokerError::Io { address: address.to_owned(), source };
    let socket = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    Connection::plain(socket).map_err(failed)
}

/// Sends a request on: the only way on which a client's request reaches a broker.
///
/// # Errors
/// The connection's.
pub async fn send(connection: &Connection, request: &Physical<'_>) -> io::Result<usize> {
    let length = request.head().len() + request.segments().len();
    let prefix = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?.to_be_bytes();
    vectored::write(connection, &[&prefix, request.head()], request.segments(), request.body()).await?;
    Ok(length + 4)
}

/// Asks a broker something on the gateway's own behalf; returns the answer's body.
///
/// # Errors
/// [`BrokerError`]
pub async fn ask(
    connection: &Connection,
    address: &str,
    key: ApiKey,
    version: i16,
    body: &[u8],
) -> Result<Vec<u8>, BrokerError> {
    let failed = |source| BrokerError::Io { address: address.to_owned(), source };
    let exchange = async {
        let request = frame::request(key, version, 0, Some("gateway"), body);
        vectored::write(connection, &[&request], &Segments::default(), &[]).await?;
        let mut reader = FrameReader::default();
        match reader.next(connection, |_| ANSWER_MAX).await {
            Ok(Some(range)) => Ok(reader.bytes(range).to_vec()),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(FrameError::Io(e)) => Err(e),
            Err(e @ FrameError::TooLong { .. }) => Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
        }
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    let (_, start) = frame::response_header(key.response_header(version), &answer)
        .map_err(|e| BrokerError::Answer { address: address.to_owned(), key, reason: e.to_string() })?;
    Ok(answer[start..].to_vec())
}
