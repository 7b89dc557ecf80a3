//! A Kafka client that keeps what it was answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;
use wire::{frame, value};

use crate::broker;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    stream: TcpStream,
    /// Every answer, as it came.
    pub(crate) answers: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, answers: Vec::new() }
    }

    /// Sends bytes as they are, and takes what comes until the connection ends.
    pub(crate) fn shout(mut self, bytes: &[u8]) -> Vec<u8> {
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let _ = self.stream.read_to_end(&mut self.answers);
        self.answers
    }

    /// The body of the answer, if there is one.
    pub(crate) fn ask(&mut self, key: ApiKey, version: i16, body: &Value) -> Option<Value> {
        let body = value::encode(key.request(), version, body).unwrap();
        self.stream.write_all(&frame::request(key, version, 1, Some("canary"), &body)).ok()?;
        let answer = broker::read(&mut self.stream).ok()?;
        self.answers.extend(&answer);
        let (_, start) = frame::response_header(key.response_header(version), &answer).unwrap();
        Some(value::decode(key.response(), version, &answer[start..]).unwrap())
    }

    /// One message of a SASL mechanism; gives the answer's, and its error code.
    fn say(&mut self, message: &[u8]) -> Option<(Vec<u8>, i64)> {
        let answer = self.ask(ApiKey::SaslAuthenticate, 1, &json!({ "AuthBytes": STANDARD.encode(message) }))?;
        let bytes = STANDARD.decode(answer["AuthBytes"].as_str().unwrap_or_default()).unwrap();
        Some((bytes, answer["ErrorCode"].as_i64().unwrap()))
    }

    fn begin(&mut self, mechanism: &str) {
        let hello = self.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": mechanism })).unwrap();
        assert_eq!(hello["ErrorCode"], 0, "{mechanism}");
    }

    /// Whether the gateway let it in.
    pub(crate) fn plain(&mut self, user: &str, password: &str) -> bool {
        self.begin("PLAIN");
        self.say(format!("\0{user}\0{password}").as_bytes()).is_some_and(|(_, code)| code == 0)
    }

    pub(crate) fn oauthbearer(&mut self, token: &str) -> bool {
        self.begin("OAUTHBEARER");
        self.say(format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes())
            .is_some_and(|(bytes, code)| code == 0 && bytes.is_empty())
    }

    /// RFC 5802.
    pub(crate) fn scram_sha_256(&mut self, user: &str, password: &str) -> bool {
        self.begin("SCRAM-SHA-256");
        let bare = format!("n={user},r=0123456789abcdef");
        let Some((first, _)) = self.say(format!("n,,{bare}").as_bytes()) else { return false };
        let first = String::from_utf8(first).unwrap();
        let of = |name: &str| first.split(',').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        let (nonce, salt, rounds) = (of("r="), STANDARD.decode(of("s=")).unwrap(), of("i=").parse::<u32>().unwrap());
        let mut salted = [0; 32];
        let rounds = std::num::NonZeroU32::new(rounds).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
        let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
        let client_key = mac(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let last = format!("c=biws,r={nonce}");
        let signature = mac(stored.as_ref(), format!("{bare},{first},{last}").as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        self.say(format!("{last},p={}", STANDARD.encode(proof)).as_bytes()).is_some_and(|(_, code)| code == 0)
    }
}
