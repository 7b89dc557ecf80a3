//! The proxy that plays a gateway with one mistake: frame by frame, one at a time, everything else as the gateway says.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use wire::schema::ApiKey;
use wire::{frame, value};

use super::mistakes::Mistake;
use crate::drivers::Connection;

/// A frame longer than this is handed on without a look.
const LARGEST: usize = 64 << 20;
/// Behind a frame that is none, bytes are only handed on.
const PATIENCE: Duration = Duration::from_secs(15);

/// A running proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    connection: Connection,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// One request on its way, and the two that can answer it.
pub(super) struct Exchange<'a> {
    /// Which API.
    pub(super) key: ApiKey,
    /// At which version.
    pub(super) version: i16,
    /// The request's body.
    pub(super) body: Value,
    /// What the attacker's names start with on the broker.
    pub(super) prefix: &'a str,
    correlation_id: i32,
    gateway: &'a mut TcpStream,
    direct: &'a str,
    frame: &'a [u8],
}

impl Exchange<'_> {
    /// The gateway's answer to the request as it is.
    pub(super) fn of_gateway(&mut self) -> io::Result<Value> {
        write_frame(self.gateway, self.frame)?;
        let answer = read_frame(self.gateway)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.decode(&answer)
    }

    /// The broker's own answer to a body.
    pub(super) fn of_broker(&mut self, body: &Value) -> io::Result<Value> {
        let encoded = value::encode(self.key.request(), self.version, body).map_err(io::Error::other)?;
        let mut broker = TcpStream::connect(self.direct)?;
        broker.set_read_timeout(Some(PATIENCE))?;
        broker.write_all(&frame::request(
            self.key,
            self.version,
            self.correlation_id,
            Some("conformance"),
            &encoded,
        ))?;
        let answer = read_frame(&mut broker)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.decode(&answer)
    }

    fn decode(&self, answer: &[u8]) -> io::Result<Value> {
        let header = self.key.response_header(self.version);
        let (_, start) = frame::response_header(header, answer).map_err(io::Error::other)?;
        value::decode(self.key.response(), self.version, &answer[start..]).map_err(io::Error::other)
    }

    fn encode(&self, answer: &Value) -> io::Result<Vec<u8>> {
        let body = value::encode(self.key.response(), self.version, answer).map_err(io::Error::other)?;
        Ok(frame::response(self.key, self.version, self.correlation_id, &body))
    }
}

impl Proxy {
    /// Listens on a port of its own, before the gateway.
    pub(super) fn start(gateway: &Connection, direct: &Connection, prefix: &str, mistake: Mistake) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let connection = Connection { bootstrap: listener.local_addr()?.to_string(), ..gateway.clone() };
        let stop = Arc::new(AtomicBool::new(false));
        let gateway = gateway.bootstrap.split(',').next().unwrap_or_default().to_owned();
        let (direct, prefix, stopped) = (direct.bootstrap.clone(), prefix.to_owned(), Arc::clone(&stop));
        let listener = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (gateway, direct, prefix) = (gateway.clone(), direct.clone(), prefix.clone());
                // Ends with its client.
                let _ = thread::spawn(move || serve(client, &gateway, &direct, &prefix, mistake));
            }
        });
        Ok(Self { connection, stop, listener: Some(listener) })
    }

    /// How the attacker connects to it.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the listener, so that it sees that it is to stop.
        let _ = TcpStream::connect(&self.connection.bootstrap);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Until one of the two ends.
fn serve(mut client: TcpStream, gateway: &str, direct: &str, prefix: &str, mistake: Mistake) -> io::Result<()> {
    let mut gateway = TcpStream::connect(gateway)?;
    client.set_nodelay(true)?;
    gateway.set_nodelay(true)?;
    while let Some(request) = read_frame(&mut client)? {
        let Some((key, version, correlation_id, body)) = read(&request) else {
            // Not a request that anybody could make a mistake about.
            write_frame(&mut gateway, &request)?;
            return hand_on(client, gateway);
        };
        let silent = key == ApiKey::Produce && body["Acks"] == 0;
        let exchange =
            Exchange { key, version, body, prefix, correlation_id, gateway: &mut gateway, direct, frame: &request };
        if let Some(answer) = mistaken(exchange, mistake)? {
            client.write_all(&answer)?;
            continue;
        }
        write_frame(&mut gateway, &request)?;
        if !silent {
            let Some(answer) = read_frame(&mut gateway)? else { return client.shutdown(Shutdown::Both) };
            write_frame(&mut client, &answer)?;
        }
    }
    Ok(())
}

fn mistaken(mut exchange: Exchange<'_>, mistake: Mistake) -> io::Result<Option<Vec<u8>>> {
    match mistake(&mut exchange)? {
        Some(answer) => exchange.encode(&answer).map(Some),
        None => Ok(None),
    }
}

fn read(request: &[u8]) -> Option<(ApiKey, i16, i32, Value)> {
    let (code, version, correlation_id) = frame::request_start(request).ok()?;
    let key = ApiKey::from_code(code).filter(|key| key.versions().contains(version))?;
    let header = frame::request_header(key, request).ok()?;
    let body = value::decode(key.request(), version, request.get(header.body..)?).ok()?;
    Some((key, version, correlation_id, body))
}

/// Both ways until both ends are done.
fn hand_on(client: TcpStream, gateway: TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = (client.try_clone()?, client);
    let (mut from_gateway, mut to_gateway) = (gateway.try_clone()?, gateway);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_gateway, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut from_client, &mut to_gateway);
    let _ = to_gateway.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

fn write_frame(to: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    to.write_all(&[&length.to_be_bytes()[..], frame].concat())
}

/// `None` at the end of the connection.
fn read_frame(from: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LARGEST {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}
