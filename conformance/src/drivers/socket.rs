//! A connection that speaks any API at any version: requests as JSON by the schema table, answers as JSON and as the bytes
//! they came in.
//!
//! What is searched for leaks is the bytes, so that a mistake of the codec cannot hide one.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::frame;
use wire::schema::ApiKey;
use wire::value::{self, ValueError};

use super::Connection;
use super::tls::{Hello, Stream};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);
/// No honest answer to what is asked here is longer.
const LARGEST_ANSWER: usize = 64 << 20;
const UNSUPPORTED_VERSION: i16 = 35;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The connection could not be made or ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The request is not one of the schema, or the answer isn't.
    #[error("{message}: {source}")]
    Codec {
        /// Which message at which version.
        message: String,
        /// What is wrong with it.
        source: ValueError,
    },
    /// The answer is not one to the request.
    #[error("{0}")]
    Answer(String),
    /// The login was refused.
    #[error("SASL {mechanism} was refused with error {code}: {text}")]
    Login {
        /// How it was tried.
        mechanism: String,
        /// Kafka's error code.
        code: i64,
        /// What was said.
        text: String,
    },
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The body, as [`wire::value`] spells it.
    pub value: Value,
    /// The whole frame without its length: header and body.
    pub bytes: Vec<u8>,
}

/// A request on its way: what is needed to read its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    key: ApiKey,
    version: i16,
    correlation_id: i32,
}

impl Sent {
    /// Which API was asked.
    pub fn key(self) -> ApiKey {
        self.key
    }

    /// Reads a frame as the answer to this request.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn read(self, bytes: Vec<u8>) -> Result<Answer, SocketError> {
        let Sent { key, version, correlation_id } = self;
        let wrong = |what: String| SocketError::Answer(format!("the answer to {} {version}: {what}", key.name()));
        let (answered, start) =
            frame::response_header(key.response_header(version), &bytes).map_err(|e| wrong(e.to_string()))?;
        if answered != correlation_id {
            return Err(wrong(format!("it has correlation id {answered} and not {correlation_id}")));
        }
        let codec = |source| SocketError::Codec { message: format!("{} {version}", key.response().name), source };
        let fallback =
            key == ApiKey::ApiVersions && bytes.get(start..start + 2) == Some(&UNSUPPORTED_VERSION.to_be_bytes());
        // A version of ApiVersions that is not known is answered as version 0 (KIP-511).
        let version = if fallback { 0 } else { version };
        Ok(Answer { value: value::decode(key.response(), version, &bytes[start..]).map_err(codec)?, bytes })
    }
}

/// One connection to a broker or to what stands for one.
#[derive(Debug)]
pub struct KafkaSocket {
    stream: Stream,
    next: i32,
    client_id: String,
}

impl KafkaSocket {
    /// Connects to the first address of the connection's bootstrap list, and logs in where it says so (PLAIN).
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn connect(connection: &Connection) -> Result<Self, SocketError> {
        let address = connection.bootstrap.split(',').next().unwrap_or_default();
        Self::connect_to(address, connection)
    }

    /// As [`Self::connect`], to another address: that of a broker that Metadata named.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn connect_to(address: &str, connection: &Connection) -> Result<Self, SocketError> {
        let mut socket = Self::open(address)?;
        if connection.security_protocol.starts_with("SASL") {
            socket.log_in(connection)?;
        }
        Ok(socket)
    }

    /// Connects without logging in.
    ///
    /// # Errors
    /// [`SocketError::Io`]
    pub fn open(address: &str) -> Result<Self, SocketError> {
        let nowhere = || io::Error::new(io::ErrorKind::NotFound, format!("no address is called '{address}'"));
        let resolved = address.to_socket_addrs()?.next().ok_or_else(nowhere)?;
        let stream = TcpStream::connect_timeout(&resolved, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Stream::Plain(stream), next: 1, client_id: "conformance".to_owned() })
    }

    /// Connects by TLS as `hello` says, without logging in.
    ///
    /// # Errors
    /// [`SocketError::Io`]: also where the handshake fails.
    pub fn open_tls(address: &str, hello: &Hello) -> Result<Self, SocketError> {
        let plain = Self::open(address)?;
        let stream = hello.shake(plain.stream.tcp().try_clone()?)?;
        Ok(Self { stream: Stream::Tls(Box::new(stream)), ..plain })
    }

    /// Whether TLS went on with a session of before; `None` in the clear.
    pub fn resumed(&self) -> Option<bool> {
        self.stream.resumed()
    }

    /// Logs in by PLAIN.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn log_in(&mut self, connection: &Connection) -> Result<(), SocketError> {
        let refused = |answer: &Answer| SocketError::Login {
            mechanism: "PLAIN".to_owned(),
            code: answer.value["ErrorCode"].as_i64().unwrap_or(-1),
            text: answer.value["ErrorMessage"].as_str().unwrap_or_default().to_owned(),
        };
        let answer = self.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": "PLAIN" }))?;
        if answer.value["ErrorCode"] != 0 {
            return Err(refused(&answer));
        }
        let token = format!("\0{}\0{}", connection.username, connection.password);
        let answer = self.ask(ApiKey::SaslAuthenticate, 2, &json!({ "AuthBytes": STANDARD.encode(token) }))?;
        if answer.value["ErrorCode"] == 0 { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Result<Answer, SocketError> {
        let sent = self.send(key, version, body)?;
        self.receive(sent)
    }

    /// Sends a request; its answer is read by [`Self::receive`], in the order of the requests.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn send(&mut self, key: ApiKey, version: i16, body: &Value) -> Result<Sent, SocketError> {
        let codec = |source| SocketError::Codec { message: format!("{} {version}", key.request().name), source };
        let body = value::encode(key.request(), version, body).map_err(codec)?;
        self.send_body(key, version, &body)
    }

    /// As [`Self::send`], with a body that is bytes already, however wrong.
    ///
    /// # Errors
    /// [`SocketError::Io`]
    pub fn send_body(&mut self, key: ApiKey, version: i16, body: &[u8]) -> Result<Sent, SocketError> {
        let correlation_id = self.next;
        self.next = self.next.wrapping_add(1);
        self.send_raw(&frame::request(key, version, correlation_id, Some(&self.client_id), body))?;
        Ok(Sent { key, version, correlation_id })
    }

    /// What the requests from now on call their client.
    pub fn call_client(&mut self, client_id: &str) {
        client_id.clone_into(&mut self.client_id);
    }

    /// Chooses the correlation id of the next request; those after it count up.
    pub fn correlate(&mut self, correlation_id: i32) {
        self.next = correlation_id;
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// [`SocketError::Io`]
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads the answer to a request.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn receive(&mut self, sent: Sent) -> Result<Answer, SocketError> {
        sent.read(self.receive_raw()?)
    }

    /// Reads one frame, without its length.
    ///
    /// # Errors
    /// [`SocketError::Io`]: also where the connection ends, which is what hostile frames should come to.
    pub fn receive_raw(&mut self) -> Result<Vec<u8>, SocketError> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LARGEST_ANSWER {
            return Err(SocketError::Answer(format!("an answer of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// How long to wait for the next answers.
    ///
    /// # Errors
    /// [`SocketError::Io`]
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), SocketError> {
        Ok(self.stream.tcp().set_read_timeout(Some(patience))?)
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// [`SocketError::Io`]
    pub fn finish(&mut self) -> Result<(), SocketError> {
        Ok(self.stream.finish()?)
    }
}
