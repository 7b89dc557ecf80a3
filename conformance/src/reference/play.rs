//! One side of the comparison: its connections, what it kept, and its answers.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use wire::value;

use super::script::{Act, Request};
use super::template;
use crate::drivers::Connection;
use crate::drivers::socket::{KafkaSocket, Sent, SocketError};

/// How long what is on its way may take to arrive: a coordinator to load, a topic to be known.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(25);
/// Errors that say "ask again": a new partition has no leader yet, the coordinator is loading, is not available, or is elsewhere for a moment; the
/// transaction before is still being ended.
const ASK_AGAIN: [i64; 6] = [5, 6, 14, 15, 16, 51];

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// An answer.
    Answer(Value),
    /// There was no answer to wait for (yet).
    Sent,
    /// The connection was closed instead of an answer.
    Closed,
    /// The request could not be made: the reason.
    NotAsked(String),
    /// What was waited for did not come: the last answer.
    TooLate(Value),
    /// The answer could not be read: the reason.
    Unreadable(String),
}

/// A request as it was asked, and what it came to.
#[derive(Debug)]
pub(super) struct Played {
    /// The body with this side's values.
    pub body: Value,
    /// What it came to.
    pub outcome: Outcome,
    /// How long that took.
    pub took: Duration,
}

/// One side.
#[derive(Debug)]
pub(super) struct Player {
    connection: Connection,
    sockets: BTreeMap<String, KafkaSocket>,
    pending: BTreeMap<String, Sent>,
    kept: Map<String, Value>,
}

impl Player {
    /// A side that knows these variables already.
    pub(super) fn new(connection: Connection, known: Map<String, Value>) -> Self {
        Self { connection, sockets: BTreeMap::new(), pending: BTreeMap::new(), kept: known }
    }

    /// What was kept, with what was known before.
    pub(super) fn kept(&self) -> &Map<String, Value> {
        &self.kept
    }

    /// Asks everything in order.
    pub(super) fn play(&mut self, requests: &[Request]) -> Vec<Played> {
        requests.iter().map(|request| self.step(request)).collect()
    }

    fn step(&mut self, request: &Request) -> Played {
        let body = match template::fill(&request.body, &request.bound, &self.kept) {
            Ok(body) => body,
            Err(error) => {
                let outcome = Outcome::NotAsked(error.to_string());
                return Played { body: Value::Null, outcome, took: Duration::ZERO };
            }
        };
        let until = request.until.iter().map(|(pointer, value)| {
            let value = template::fill(value, &request.bound, &self.kept).unwrap_or_default();
            (pointer.clone(), value)
        });
        let until: Vec<_> = until.collect();
        let began = Instant::now();
        let outcome = loop {
            let outcome = self.once(request, &body);
            let Outcome::Answer(answer) = &outcome else { break outcome };
            let arrived = until.iter().all(|(pointer, value)| answer.pointer(pointer) == Some(value));
            let waiting = request.act == Act::Ask && (!arrived || says_again(answer));
            if !waiting {
                break outcome;
            }
            if began.elapsed() > PATIENCE {
                break Outcome::TooLate(answer.clone());
            }
            thread::sleep(PAUSE);
        };
        if let Outcome::Answer(answer) = &outcome {
            for (name, pointer) in &request.keep {
                if let Some(value) = answer.pointer(pointer) {
                    let _ = self.kept.insert(name.clone(), value.clone());
                } else {
                    let _ = self.kept.remove(name);
                }
            }
        }
        Played { body, outcome, took: began.elapsed() }
    }

    fn once(&mut self, request: &Request, body: &Value) -> Outcome {
        let done = self.exchange(request, body);
        done.unwrap_or_else(|error| {
            let _ = self.sockets.remove(&request.on);
            match error {
                SocketError::Io(_) => Outcome::Closed,
                SocketError::Codec { .. } | SocketError::Answer(_) => Outcome::Unreadable(error.to_string()),
                SocketError::Login { .. } => Outcome::NotAsked(error.to_string()),
            }
        })
    }

    fn exchange(&mut self, request: &Request, body: &Value) -> Result<Outcome, SocketError> {
        let bytes = match value::encode(request.key.request(), request.version, body) {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Outcome::NotAsked(error.to_string())),
        };
        if !self.sockets.contains_key(&request.on) {
            let _ = self.sockets.insert(request.on.clone(), KafkaSocket::connect(&self.connection)?);
        }
        let Some(socket) = self.sockets.get_mut(&request.on) else {
            return Ok(Outcome::NotAsked("there is no connection".to_owned()));
        };
        match &request.act {
            Act::Ask => {
                let sent = socket.send_body(request.key, request.version, &bytes)?;
                Ok(Outcome::Answer(socket.receive(sent)?.value))
            }
            Act::Send(name) => {
                let sent = socket.send_body(request.key, request.version, &bytes)?;
                let _ = self.pending.insert(name.clone(), sent);
                Ok(Outcome::Sent)
            }
            Act::SendUnanswered => socket.send_body(request.key, request.version, &bytes).map(|_| Outcome::Sent),
            Act::Receive(name) => match self.pending.remove(name) {
                Some(sent) => Ok(Outcome::Answer(socket.receive(sent)?.value)),
                None => Ok(Outcome::NotAsked(format!("nothing was sent as '{name}'"))),
            },
        }
    }
}

/// Whether an error anywhere in the answer asks for patience.
fn says_again(answer: &Value) -> bool {
    match answer {
        Value::Object(map) => map.iter().any(|(name, value)| match value {
            Value::Number(code) => name == "ErrorCode" && code.as_i64().is_some_and(|code| ASK_AGAIN.contains(&code)),
            nested => says_again(nested),
        }),
        Value::Array(list) => list.iter().any(says_again),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_that_asks_for_patience_is_found_anywhere() {
        assert!(says_again(&json!({ "Groups": [{ "ErrorCode": 0 }, { "ErrorCode": 15 }] })));
        assert!(!says_again(&json!({ "ErrorCode": 3, "Count": 15 })));
    }
}
