//! A small blocking Kafka client: enough to know that a cluster answers and to tidy it up.
//!
//! It speaks versions that every Kafka since 2.4 serves, so it asks for no version list. Every wait ends at a deadline,
//! and no frame over a fixed size is read: whoever listens at an address that was typed need not be Kafka.

pub mod cluster;
mod link;
pub mod probe;
mod scram;

use contract::secret::Secret;

pub use link::Link;

use crate::connection::Connection;
use crate::error::{Failure, Kind};

/// Where a cluster is and who asks.
#[derive(Debug, Clone)]
pub struct Target {
    pub bootstrap: String,
    pub credentials: Option<Credentials>,
}

#[derive(Debug, Clone)]
pub struct Credentials {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: Secret,
}

/// How the password is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha512,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Target {
    /// A cluster that asks for no login.
    pub fn open(bootstrap: impl Into<String>) -> Self {
        Self { bootstrap: bootstrap.into(), credentials: None }
    }
}

impl From<&Connection> for Target {
    fn from(connection: &Connection) -> Self {
        let mechanism =
            if connection.mechanism == Mechanism::Plain.name() { Mechanism::Plain } else { Mechanism::ScramSha512 };
        let credentials =
            Credentials { mechanism, username: connection.username.clone(), password: connection.password.clone() };
        Self { bootstrap: connection.bootstrap.clone(), credentials: Some(credentials) }
    }
}

/// Why a cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("'{address}' does not resolve: {reason}")]
    Unresolved { address: String, reason: String },
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("the connection to {address} broke: {source}")]
    Broken { address: String, source: std::io::Error },
    #[error("{address} did not answer in time")]
    Deadline { address: String },
    #[error("{address} does not speak Kafka: {what}")]
    NotKafka { address: String, what: String },
    #[error("{address} refused user '{username}': {reason}")]
    Login { address: String, username: String, reason: String },
    #[error("{what} failed: {reason}")]
    Refused { what: String, code: i16, reason: String },
    #[error("{what}")]
    Unexpected { what: String },
}

impl KafkaError {
    /// The name of Kafka's error code, or success.
    fn check(code: i16, message: Option<&str>, what: impl FnOnce() -> String) -> Result<(), Self> {
        use kafka_protocol::ResponseError;
        let Some(error) = ResponseError::try_from_code(code) else { return Ok(()) };
        let reason = match message {
            Some(message) => format!("{error:?}: {message}"),
            None => format!("{error:?}"),
        };
        Err(Self::Refused { what: what(), code, reason })
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        let kind = match error {
            KafkaError::Unresolved { .. } | KafkaError::Connect { .. } | KafkaError::Broken { .. } => Kind::Unreachable,
            KafkaError::Deadline { .. } => Kind::TimedOut,
            KafkaError::NotKafka { .. } => Kind::Unreachable,
            KafkaError::Login { .. } => Kind::Denied,
            KafkaError::Refused { .. } | KafkaError::Unexpected { .. } => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
