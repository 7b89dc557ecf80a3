//! The attacker's connections. All that they receive runs past the tap.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::shape;
use super::tap::Tap;
use crate::drivers::Connection;
use crate::drivers::socket::{KafkaSocket, Sent, SocketError};

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It was answered.
    Answer(Value),
    /// The connection was closed, or nothing came in time.
    Closed(String),
    /// What came is not an answer of this API at this version.
    Garbled(String),
}

impl Reply {
    /// The answer, null where there is none.
    pub fn value(&self) -> &Value {
        static NONE: Value = Value::Null;
        if let Self::Answer(value) = self { value } else { &NONE }
    }

    /// Whether an error says no, or the connection ended. An answer without any error code refuses nothing.
    pub fn refused(&self) -> bool {
        match self {
            Self::Answer(value) => shape::errors(value).iter().any(|code| *code != 0),
            Self::Closed(_) => true,
            Self::Garbled(_) => false,
        }
    }

    /// Whether nothing was given: it was refused, or the answer's lists are empty.
    pub fn gave_nothing(&self) -> bool {
        let lists = |value: &Value| {
            value.as_object().into_iter().flatten().any(|(_, v)| v.as_array().is_some_and(|l| !l.is_empty()))
        };
        self.refused() || matches!(self, Self::Answer(value) if !lists(value))
    }

    /// The error codes without repetitions, or what else became of the request.
    pub fn codes(&self) -> String {
        match self {
            Self::Answer(value) => {
                let mut codes = shape::errors(value);
                codes.sort_unstable();
                codes.dedup();
                let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
                if codes.is_empty() { "no error code".into() } else { format!("error {}", codes.join(",")) }
            }
            Self::Closed(_) => "connection closed".into(),
            Self::Garbled(why) => format!("unreadable answer ({why})"),
        }
    }

    /// The answer without what differs by chance, with names replaced; or how the connection ended.
    pub fn comparable(&self, names: &[(&str, &str)]) -> Value {
        match self {
            Self::Answer(value) => shape::comparable(value, names),
            Self::Closed(_) => json!("closed"),
            Self::Garbled(_) => json!("garbled"),
        }
    }
}

/// Somebody who speaks Kafka with valid credentials of one sandbox.
#[derive(Debug)]
pub struct Attacker {
    connection: Connection,
    tap: Tap,
    line: Option<Line>,
}

impl Attacker {
    /// Connects when it first asks.
    pub fn new(connection: &Connection, tap: &Tap) -> Self {
        Self { connection: connection.clone(), tap: tap.clone(), line: None }
    }

    /// Asks over the one connection, which is made again after it was closed.
    ///
    /// # Errors
    /// [`SocketError`]: there is no connection to be had, or the request is none.
    pub fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Result<Reply, SocketError> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.line()?,
        };
        let reply = line.ask(key, version, body)?;
        if !matches!(reply, Reply::Closed(_)) {
            self.line = Some(line);
        }
        Ok(reply)
    }

    /// Ends the connection; the next request makes another one.
    pub fn hang_up(&mut self) {
        self.line = None;
    }

    /// Another connection, logged in.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn line(&self) -> Result<Line, SocketError> {
        Ok(Line { socket: KafkaSocket::connect(&self.connection)?, tap: self.tap.clone() })
    }

    /// Another connection before its login.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn stranger(&self) -> Result<Line, SocketError> {
        self.elsewhere(self.connection.bootstrap.split(',').next().unwrap_or_default())
    }

    /// A connection to another address, without a login.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn elsewhere(&self, address: &str) -> Result<Line, SocketError> {
        Ok(Line { socket: KafkaSocket::open(address)?, tap: self.tap.clone() })
    }
}

/// One connection of the attacker.
#[derive(Debug)]
pub struct Line {
    socket: KafkaSocket,
    tap: Tap,
}

impl Line {
    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// [`SocketError::Codec`]: the request is not one.
    pub fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Result<Reply, SocketError> {
        let encoded = encode(key, version, body)?;
        match self.socket.send_body(key, version, &encoded) {
            Ok(sent) => Ok(self.reply(&format!("{} {version}", key.name()), sent, &encoded, body)),
            Err(error) => Ok(Reply::Closed(error.to_string())),
        }
    }

    /// Reads the answer to what was sent.
    pub fn reply(&mut self, origin: &str, sent: Sent, encoded: &[u8], body: &Value) -> Reply {
        let bytes = match self.socket.receive_raw() {
            Ok(bytes) => bytes,
            Err(error) => return Reply::Closed(error.to_string()),
        };
        self.tap.saw(origin, encoded, &bytes);
        match sent.read(bytes) {
            Ok(answer) => {
                self.adopt(sent.key(), body, &answer.value);
                self.tap.saw_value(origin, body, &answer.value);
                Reply::Answer(answer.value)
            }
            Err(error) => Reply::Garbled(error.to_string()),
        }
    }

    /// What the attacker called its own it may see again in other answers.
    fn adopt(&self, key: ApiKey, body: &Value, answer: &Value) {
        match key {
            // A transactional id that was begun stays.
            ApiKey::InitProducerId if answer["ErrorCode"] == 0 => {
                body["TransactionalId"].as_str().into_iter().for_each(|id| self.tap.adopt(id, true));
            }
            ApiKey::ConsumerGroupHeartbeat | ApiKey::ShareGroupHeartbeat | ApiKey::StreamsGroupHeartbeat => {
                let topics = body["SubscribedTopicNames"].as_array().into_iter().flatten();
                let regex = &body["SubscribedTopicRegex"];
                let own = topics.chain([&body["MemberId"], &body["InstanceId"], &body["GroupId"], regex]);
                own.filter_map(Value::as_str).for_each(|name| self.tap.adopt(name, false));
            }
            _ => {}
        }
    }

    /// The socket itself, for what is not a request. What is read from it must be shown to the tap: see [`Self::rest`].
    pub fn socket(&mut self) -> &mut KafkaSocket {
        &mut self.socket
    }

    /// Reads frames until `limit` have come, the connection ends or nothing comes for `patience`.
    ///
    /// # Errors
    /// [`SocketError::Io`]: the patience cannot be set.
    pub fn rest(&mut self, origin: &str, said: &[u8], limit: usize, patience: Duration) -> Result<Rest, SocketError> {
        self.socket.set_patience(patience)?;
        let mut rest = Rest { frames: Vec::new(), closed: false };
        while rest.frames.len() < limit {
            match self.socket.receive_raw() {
                Ok(bytes) => {
                    self.tap.saw(origin, said, &bytes);
                    rest.frames.push(bytes);
                }
                Err(SocketError::Io(error)) => {
                    rest.closed = !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(rest)
    }
}

/// What came of its own accord.
#[derive(Debug)]
pub struct Rest {
    /// The frames without their lengths.
    pub frames: Vec<Vec<u8>>,
    /// The connection ended.
    pub closed: bool,
}

/// The body as bytes.
///
/// # Errors
/// [`SocketError::Codec`]
pub fn encode(key: ApiKey, version: i16, body: &Value) -> Result<Vec<u8>, SocketError> {
    let codec = |source| SocketError::Codec { message: format!("{} {version}", key.request().name), source };
    wire::value::encode(key.request(), version, body).map_err(codec)
}
