//! As little HTTP as it takes to ask an admin API; the answer is kept as bytes, so that they can be searched for leaks.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 4 << 20;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status; 0 where none came.
    pub status: u16,
    /// All of it, head included.
    pub bytes: Vec<u8>,
}

/// The header of a name and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A token that nobody signed and that claims everything.
pub fn unsigned_token(user: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!(r#"{{"username":"{user}","sub":"{user}","admin":true,"exp":4102444800}}"#);
    format!("{}.{}.", part(r#"{"alg":"none","typ":"JWT"}"#), part(&claims))
}

impl Answer {
    /// The body, as JSON; null where it is none.
    pub fn body(&self) -> Value {
        let split = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        split.and_then(|at| serde_json::from_slice(&self.bytes[at + 4..]).ok()).unwrap_or_default()
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// There is no connection, or it broke.
pub fn ask(base: &str, method: &str, path: &str, authorization: Option<&str>, body: &str) -> io::Result<Answer> {
    send(base, method, path, authorization, ("application/json", body))
}

/// Posts a form, as token endpoints take it.
///
/// # Errors
/// There is no connection, or it broke.
pub fn post_form(base: &str, path: &str, authorization: Option<&str>, form: &str) -> io::Result<Answer> {
    send(base, "POST", path, authorization, ("application/x-www-form-urlencoded", form))
}

fn send(
    base: &str,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    (kind, body): (&str, &str),
) -> io::Result<Answer> {
    let address = base.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let login = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{login}Content-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut bytes = Vec::new();
    let _ = stream.take(LARGEST).read_to_end(&mut bytes)?;
    let status = std::str::from_utf8(bytes.get(9..12).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
    Ok(Answer { status: status.unwrap_or(0), bytes })
}
