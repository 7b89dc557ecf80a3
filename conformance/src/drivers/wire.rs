//! Raw frames over a socket of its own: what no client library would send.
//!
//! It knows the few bytes of Kafka's framing it needs, written out by hand, so that a mistake of our own codec cannot
//! hide itself here.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Connection, DriverError, Outcome, Refusal};

const STEPS: &str = "api_versions, send_denied, send_garbage, hold, held_works";
const PATIENCE: Duration = Duration::from_secs(10);

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;
const ELECT_LEADERS: i16 = 43;
const LARGEST_ANSWER: i32 = 1 << 20;
const CORRELATION: i32 = 7;

/// One tenant's raw connections.
#[derive(Debug)]
pub struct WireClient {
    connection: Connection,
    held: Option<TcpStream>,
}

impl WireClient {
    pub fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), held: None }
    }

    /// `api_versions`: the keys offered before login. `send_denied`: a request outside the served set, after login.
    /// `send_garbage` (`kind`: `oversized`, `negative`, `text`, `truncated`, `lying`): what becomes of the connection.
    /// `hold`: opens a logged-in connection; `held_works`: asks over that same connection.
    pub fn step(&mut self, action: &str, with: &Map<String, Value>) -> Result<Outcome, DriverError> {
        let done = match action {
            "api_versions" => self.open().and_then(|mut socket| api_versions(&mut socket)),
            "send_denied" => self.logged_in().and_then(|mut socket| send_denied(&mut socket)),
            "send_garbage" => match garbage(with) {
                // Only a tenant can lie inside a request; the rest needs no login.
                Some(bytes) if with.get("kind") == Some(&json!("lying")) => {
                    self.logged_in().and_then(|mut socket| send_garbage(&mut socket, &bytes))
                }
                Some(bytes) => self.open().and_then(|mut socket| send_garbage(&mut socket, &bytes)),
                None => {
                    return Err(DriverError::BadStep {
                        client: "wire".into(),
                        action: action.into(),
                        problem: format!("`kind` is {:?}", with.get("kind")),
                    });
                }
            },
            "hold" => self.logged_in().map(|socket| {
                self.held = Some(socket);
                json!({})
            }),
            "held_works" => match self.held.as_mut() {
                Some(socket) => api_versions(socket),
                None => {
                    Err(std::io::Error::new(ErrorKind::NotConnected, "no connection is held; take the step `hold`"))
                }
            },
            _ => {
                return Err(DriverError::NoSuchStep {
                    client: "wire".into(),
                    action: action.into(),
                    known: STEPS.into(),
                });
            }
        };
        Ok(done.map_err(|error| {
            let code =
                if error.kind() == ErrorKind::PermissionDenied { "SASL_AUTHENTICATION_FAILED" } else { "TRANSPORT" };
            Refusal { code: code.into(), message: error.to_string() }
        }))
    }

    fn open(&self) -> std::io::Result<TcpStream> {
        let address = self.connection.bootstrap.split(',').next().unwrap_or_default().to_socket_addrs()?.next();
        let address =
            address.ok_or_else(|| std::io::Error::new(ErrorKind::NotFound, "the bootstrap address is empty"))?;
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    fn logged_in(&self) -> std::io::Result<TcpStream> {
        let mut socket = self.open()?;
        if !self.connection.security_protocol.starts_with("SASL") {
            return Ok(socket);
        }
        let _ = ask(&mut socket, SASL_HANDSHAKE, 1, &string("PLAIN"))?;
        let token = format!("\0{}\0{}", self.connection.username, self.connection.password);
        let mut body = size(token.len()).to_vec();
        body.extend(token.as_bytes());
        let answer = ask(&mut socket, SASL_AUTHENTICATE, 0, &body)?;
        match i16_at(&answer, 0)? {
            0 => Ok(socket),
            code => Err(std::io::Error::new(ErrorKind::PermissionDenied, format!("error {code} to SASL PLAIN"))),
        }
    }
}

fn api_versions(socket: &mut TcpStream) -> std::io::Result<Value> {
    let answer = ask(socket, API_VERSIONS, 0, &[])?;
    let entries = answer.get(6..).unwrap_or_default().chunks_exact(6);
    let keys = entries.map(|entry| i16_at(entry, 0)).collect::<std::io::Result<Vec<_>>>()?;
    Ok(json!({ "error": i16_at(&answer, 0)?, "keys": keys }))
}

/// ElectLeaders of everything: the preferred ones, all partitions, at once. The error follows the throttle time.
fn send_denied(socket: &mut TcpStream) -> std::io::Result<Value> {
    let answer = ask(socket, ELECT_LEADERS, 1, &[0, 255, 255, 255, 255, 0, 0, 0, 0])?;
    let error = i16_at(&answer, 4)?;
    // The connection must have survived the refusal.
    let after = api_versions(socket)?;
    Ok(json!({ "refused": error != 0, "error": error, "open": after.get("error") == Some(&json!(0)) }))
}

fn garbage(with: &Map<String, Value>) -> Option<Vec<u8>> {
    match with.get("kind")?.as_str()? {
        // A frame of 2 GiB less one byte is announced.
        "oversized" => Some([&i32::MAX.to_be_bytes()[..], &[0; 64]].concat()),
        "negative" => Some([&(-5_i32).to_be_bytes()[..], &[0; 64]].concat()),
        "text" => Some(b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n".to_vec()),
        // A whole frame whose header ends in the middle.
        "truncated" => Some(vec![0, 0, 0, 3, 0, 18, 0]),
        // Metadata that claims two thousand million topics and has none.
        "lying" => Some(framed(METADATA, 0, &i32::MAX.to_be_bytes())),
        _ => None,
    }
}

fn send_garbage(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Value> {
    socket.write_all(bytes)?;
    let mut rest = Vec::new();
    let closed = match socket.take(1 << 16).read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    Ok(json!({ "closed": closed, "answered": rest.len() }))
}

/// One request with a version 1 header, as it goes over the wire.
fn framed(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let header = [&key.to_be_bytes()[..], &version.to_be_bytes(), &CORRELATION.to_be_bytes(), &string("conformance")];
    let frame = [&header.concat()[..], body].concat();
    [&size(frame.len())[..], &frame].concat()
}

/// Sends one request and returns the body of its answer.
fn ask(socket: &mut TcpStream, key: i16, version: i16, body: &[u8]) -> std::io::Result<Vec<u8>> {
    socket.write_all(&framed(key, version, body))?;

    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length);
    if !(4..=LARGEST_ANSWER).contains(&length) {
        return Err(unreadable(format!("an answer of {length} bytes")));
    }
    let mut answer = vec![0; usize::try_from(length).unwrap_or_default()];
    socket.read_exact(&mut answer)?;
    let body = answer.split_off(4);
    if answer == CORRELATION.to_be_bytes() { Ok(body) } else { Err(unreadable("an answer to another request".into())) }
}

fn size(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

fn string(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

fn i16_at(bytes: &[u8], at: usize) -> std::io::Result<i16> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied();
    found.map(i16::from_be_bytes).ok_or_else(|| unreadable(format!("an answer of {} bytes is too short", bytes.len())))
}

fn unreadable(problem: String) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, problem)
}
