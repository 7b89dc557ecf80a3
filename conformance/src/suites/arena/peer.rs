//! A connection of somebody honest, to whom everything must succeed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::schema::{ApiKey, Versions};

use super::Trouble;
use crate::drivers::Connection;
use crate::drivers::socket::KafkaSocket;
use crate::suites::shape;

/// Errors that go away: a coordinator is loading, a topic is too new, a transaction is ending.
const PASSING: [i64; 9] = [3, 5, 6, 14, 15, 16, 51, 79, 100];
const PATIENCE: Duration = Duration::from_secs(20);

/// What is served, by API.
pub type Served = BTreeMap<i16, Versions>;

/// A connection and what it is served.
#[derive(Debug)]
pub struct Peer {
    who: &'static str,
    socket: KafkaSocket,
    served: Served,
    /// Put before names: empty through the gateway, the physical prefix on the broker itself.
    prefix: String,
}

impl Peer {
    /// Connects, logs in and asks what is served.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn connect(who: &'static str, connection: &Connection, prefix: &str) -> Result<Self, Trouble> {
        let trouble = |source| Trouble::Socket { what: format!("{who} connects to {}", connection.bootstrap), source };
        let mut socket = KafkaSocket::connect(connection).map_err(trouble)?;
        let answer = socket.ask(ApiKey::ApiVersions, 0, &json!({})).map_err(trouble)?;
        let entries = answer.value["ApiKeys"].as_array().cloned().unwrap_or_default();
        let number = |entry: &Value, field: &str| entry[field].as_i64().and_then(|n| i16::try_from(n).ok());
        let served = entries.iter().filter_map(|entry| {
            let key = ApiKey::from_code(number(entry, "ApiKey")?)?;
            let offered = Versions { min: number(entry, "MinVersion")?, max: number(entry, "MaxVersion")? };
            Some((key.code(), offered.intersect(key.versions())))
        });
        let served = served.filter(|(_, versions)| !versions.is_empty()).collect();
        Ok(Self { who, socket, served, prefix: prefix.to_owned() })
    }

    /// What it is served.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Whether the API is served.
    pub fn has(&self, key: ApiKey) -> bool {
        self.served.contains_key(&key.code())
    }

    /// How this peer calls what its owner calls `name`.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What its requests call their client.
    pub fn call_client(&mut self, client_id: &str) {
        self.socket.call_client(client_id);
    }

    /// Asks at the newest version among `versions` that is served.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn ask(&mut self, key: ApiKey, versions: RangeInclusive<i16>, body: &Value) -> Result<Value, Trouble> {
        let wanted = Versions { min: *versions.start(), max: *versions.end() };
        let both = self.served.get(&key.code()).map_or(Versions::NONE, |served| served.intersect(wanted));
        if both.is_empty() {
            return Err(Trouble::State(format!("{} is not served {} {versions:?}", self.who, key.name())));
        }
        let what = format!("{} asks {} {}", self.who, key.name(), both.max);
        let answer = self.socket.ask(key, both.max, body).map_err(|source| Trouble::Socket { what, source })?;
        Ok(answer.value)
    }

    /// As [`Self::ask`]; errors that pass are waited for, any other is trouble.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn must(&mut self, key: ApiKey, versions: RangeInclusive<i16>, body: &Value) -> Result<Value, Trouble> {
        let began = Instant::now();
        loop {
            let answer = self.ask(key, versions.clone(), body)?;
            let errors: Vec<i64> = shape::errors(&answer).into_iter().filter(|code| *code != 0).collect();
            if errors.is_empty() {
                return Ok(answer);
            }
            if began.elapsed() > PATIENCE || !errors.iter().all(|code| PASSING.contains(code)) {
                let (who, name) = (self.who, key.name());
                return Err(Trouble::State(format!("{who} asked {name} with {body} and got {answer}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
