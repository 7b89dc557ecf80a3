//! A connection to one broker.

use super::sasl::{Login, LoginError};
use super::tls;
use crate::naming::request::Physical;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use crate::transport::vectored;
use std::io;
use std::time::Duration;
use wire::frame;
use wire::schema::ApiKey;
use wire::segments::Segments;

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
    /// Somebody else asked at the same time.
    #[error("{trouble}")]
    Seen {
        /// What came of it.
        trouble: String,
    },
    /// TLS was not agreed on.
    #[error("broker at {address}: TLS: {reason} ({hint})")]
    Tls {
        /// Where the broker is.
        address: String,
        /// What happened.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The broker does not know the gateway, or the gateway not the broker.
    #[error("broker at {address}: login as '{principal}' by {mechanism}: {source}")]
    Login {
        /// Where the broker is.
        address: String,
        /// By what.
        mechanism: &'static str,
        /// Who the gateway said it is.
        principal: String,
        /// What happened.
        source: LoginError,
    },
    /// The connection ended where the first answer should be.
    #[error(
        "broker at {address} closed the connection on the first request: does the listener want TLS or a login that \
             security.protocol, KAFKA_SECURITY_PROTOCOL, does not say?"
    )]
    Closed {
        /// Where the broker is.
        address: String,
    },
}

impl BrokerError {
    /// What became of a connection.
    pub fn of(address: &str, source: io::Error) -> Self {
        let address = address.to_owned();
        match tls::hint(&source) {
            Some(hint) => Self::Tls { address, reason: source.to_string(), hint },
            None => Self::Io { address, source },
        }
    }

    /// What became of a login.
    pub fn login(address: &str, login: &Login, source: LoginError) -> Self {
        let (mechanism, principal) = (login.mechanism(), login.principal().to_owned());
        Self::Login { address: address.to_owned(), mechanism, principal, source }
    }
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
    let failed = |source| BrokerError::of(address, source);
    let exchange = async {
        let request = frame::request(key, version, 0, Some("gateway"), body);
        vectored::write(connection, &[&request], &Segments::default(), &[]).await?;
        let mut reader = FrameReader::default();
        match reader.next(connection, |_| ANSWER_MAX).await {
            Ok(Some(range)) => Ok(Ok(reader.bytes(range).to_vec())),
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(FrameError::Io(e)) => Err(e),
            // An alert of TLS, read as a length.
            Err(FrameError::TooLong { length, .. }) if length >> 16 == 0x1503 => Ok(Err(())),
            Err(e @ FrameError::TooLong { .. }) => Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
        }
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                BrokerError::Closed { address: address.to_owned() }
            }
            _ => failed(error),
        })?;
    let answer = answer.map_err(|()| BrokerError::Tls {
        address: address.to_owned(),
        reason: "the listener wants it".to_owned(),
        hint: "set security.protocol, KAFKA_SECURITY_PROTOCOL, to SSL or SASL_SSL",
    })?;
    let (_, start) = frame::response_header(key.response_header(version), &answer)
        .map_err(|e| BrokerError::Answer { address: address.to_owned(), key, reason: e.to_string() })?;
    Ok(answer[start..].to_vec())
}
