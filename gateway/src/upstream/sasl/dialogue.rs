//! SaslHandshake and SaslAuthenticate around a mechanism's messages (KIP-43, KIP-152, KIP-368).

use super::{Client, Login, LoginError, Step};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use wire::schema::ApiKey;
use wire::value;

/// With this version tokens follow in SaslAuthenticate, not bare.
const HANDSHAKE: i16 = 1;
/// From version 1 on with the session's lifetime; Kafka 2.5 and later answer this one.
const AUTHENTICATE: i16 = 2;
/// No broker serves as many mechanisms.
const MOST_VALUES: usize = 200;
/// What is shown of a broker's words.
const SHOWN: usize = 300;
const UNSUPPORTED_SASL_MECHANISM: i64 = 33;

/// A request of the login.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// SaslHandshake or SaslAuthenticate.
    pub key: ApiKey,
    /// Its version.
    pub version: i16,
    /// Its body.
    pub body: Vec<u8>,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, and nothing else before its answer.
    Ask(Request),
    /// The broker knows the gateway, for this long where it says so.
    Done(Option<Duration>),
}

/// One login under way.
#[derive(Debug)]
pub struct Dialogue {
    login: Arc<Login>,
    client: Client,
    /// What the next answer is the answer to.
    awaited: ApiKey,
    finished: bool,
}

impl Dialogue {
    pub(super) fn new(login: Arc<Login>, client: Client) -> Self {
        Self { login, client, awaited: ApiKey::SaslHandshake, finished: false }
    }

    /// The first request.
    ///
    /// # Errors
    /// None for the schema table as it is.
    pub fn first(&self) -> Result<Request, LoginError> {
        request(ApiKey::SaslHandshake, HANDSHAKE, &json!({ "Mechanism": self.login.mechanism() }))
    }

    /// Takes the answer's body. May take some milliseconds of CPU.
    ///
    /// # Errors
    /// [`LoginError`]; the connection is of no use then.
    pub fn next(&mut self, answer: &[u8]) -> Result<Next, LoginError> {
        if self.awaited == ApiKey::SaslHandshake {
            self.handshaken(&decode(self.awaited, HANDSHAKE, answer)?)?;
            self.awaited = ApiKey::SaslAuthenticate;
            return say(&self.client.first());
        }
        let answer = decode(self.awaited, AUTHENTICATE, answer)?;
        if answer["ErrorCode"] != 0 {
            let reason = cleaned(answer["ErrorMessage"].as_str().unwrap_or_default());
            let reason = if reason.is_empty() { format!("error {}", answer["ErrorCode"]) } else { reason };
            return Err(LoginError::Refused { reason, hint: self.login.hint() });
        }
        let bytes = answer["AuthBytes"].as_str().unwrap_or_default();
        let bytes = BASE64_STANDARD.decode(bytes).map_err(|_| LoginError::Malformed("its bytes are none"))?;
        if self.finished {
            return Err(LoginError::Malformed("the exchange has ended"));
        }
        match self.client.step(&bytes)? {
            Step::Say(message) => say(&message),
            Step::Done => {
                self.finished = true;
                let lifetime = answer["SessionLifetimeMs"].as_u64().filter(|milliseconds| *milliseconds > 0);
                Ok(Next::Done(lifetime.map(Duration::from_millis)))
            }
        }
    }

    /// [`Self::next`] off the threads that serve clients: a salted password takes some milliseconds of CPU.
    ///
    /// # Errors
    /// [`LoginError`]
    pub async fn advance(mut self, answer: Vec<u8>) -> Result<(Self, Next), LoginError> {
        let stepped = tokio::task::spawn_blocking(move || self.next(&answer).map(|next| (self, next))).await;
        stepped.unwrap_or(Err(LoginError::Malformed("it could not be looked at")))
    }

    fn handshaken(&self, answer: &Value) -> Result<(), LoginError> {
        let code = answer["ErrorCode"].as_i64().unwrap_or(-1);
        if code == 0 {
            return Ok(());
        }
        let served = answer["Mechanisms"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if code == UNSUPPORTED_SASL_MECHANISM {
            return Err(LoginError::Mechanism { served: served.map(cleaned).collect() });
        }
        let hint = "the listener may not be one for SASL: check security.protocol";
        Err(LoginError::Refused { reason: format!("error {code} to the handshake"), hint })
    }
}

fn say(message: &[u8]) -> Result<Next, LoginError> {
    let body = json!({ "AuthBytes": BASE64_STANDARD.encode(message) });
    request(ApiKey::SaslAuthenticate, AUTHENTICATE, &body).map(Next::Ask)
}

fn request(key: ApiKey, version: i16, body: &Value) -> Result<Request, LoginError> {
    let body =
        value::encode(key.request(), version, body).map_err(|_| LoginError::Malformed("it cannot be answered"))?;
    Ok(Request { key, version, body })
}

fn decode(key: ApiKey, version: i16, body: &[u8]) -> Result<Value, LoginError> {
    value::decode_at_most(key.response(), version, body, MOST_VALUES)
        .map_err(|_| LoginError::Malformed("it is no answer to a login"))
}

/// A stranger's text, fit for a log line.
pub(super) fn cleaned(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::upstream::{Password, Sasl, ScramHash};
    use contract::secret::Secret;

    fn password() -> Password {
        Password { username: "gw".to_owned(), password: Secret::new("hunter2"), delegation_token: false }
    }

    async fn dialogue(settings: &Sasl) -> Dialogue {
        Arc::new(Login::new(settings).unwrap()).start("localhost").await.unwrap()
    }

    fn handshaken(code: i16) -> Vec<u8> {
        let body = json!({ "ErrorCode": code, "Mechanisms": ["PLAIN", "OAUTHBEARER"] });
        value::encode(ApiKey::SaslHandshake.response(), HANDSHAKE, &body).unwrap()
    }

    fn authenticated(body: &Value) -> Vec<u8> {
        value::encode(ApiKey::SaslAuthenticate.response(), AUTHENTICATE, body).unwrap()
    }

    fn said(next: Next) -> Vec<u8> {
        let Next::Ask(request) = next else { panic!("{next:?}") };
        assert_eq!((request.key, request.version), (ApiKey::SaslAuthenticate, 2));
        let body = value::decode(ApiKey::SaslAuthenticate.request(), 2, &request.body).unwrap();
        BASE64_STANDARD.decode(body["AuthBytes"].as_str().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn plain_takes_two_requests_and_hears_of_its_lifetime() {
        let mut dialogue = dialogue(&Sasl::Plain(password())).await;
        let first = dialogue.first().unwrap();
        assert_eq!((first.key, first.version), (ApiKey::SaslHandshake, 1));
        assert_eq!(said(dialogue.next(&handshaken(0)).unwrap()), b"\0gw\0hunter2");
        let answer = authenticated(&json!({ "SessionLifetimeMs": 1500 }));
        assert_eq!(dialogue.next(&answer), Ok(Next::Done(Some(Duration::from_millis(1500)))));
        assert!(dialogue.next(&answer).is_err(), "nothing follows the end");
    }

    #[tokio::test]
    async fn an_unknown_mechanism_names_those_that_are_served() {
        let scram = Sasl::Scram { hash: ScramHash::Sha256, login: password() };
        let mut dialogue = dialogue(&scram).await;
        let error = dialogue.next(&handshaken(33)).unwrap_err();
        assert_eq!(error, LoginError::Mechanism { served: vec!["PLAIN".to_owned(), "OAUTHBEARER".to_owned()] });
        assert!(error.to_string().starts_with("the broker serves PLAIN, OAUTHBEARER and not"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_brokers_words_without_line_breaks() {
        let mut dialogue = dialogue(&Sasl::Plain(password())).await;
        let _ = dialogue.next(&handshaken(0)).unwrap();
        let answer = json!({ "ErrorCode": 58, "ErrorMessage": "Authentication failed:\nwrong" });
        let error = dialogue.next(&authenticated(&answer)).unwrap_err();
        assert!(error.to_string().starts_with("refused: Authentication failed: wrong (check username"), "{error}");
    }

    #[tokio::test]
    async fn a_scram_broker_that_accepts_without_a_proof_is_not_believed() {
        let scram = Sasl::Scram { hash: ScramHash::Sha512, login: password() };
        let mut dialogue = dialogue(&scram).await;
        let _ = dialogue.next(&handshaken(0)).unwrap();
        assert!(dialogue.next(&authenticated(&json!({}))).is_err());
    }

    #[tokio::test]
    async fn bytes_that_are_no_answer_are_refused() {
        for bytes in [&b""[..], b"\x00", &[0xff; 40]] {
            let mut dialogue = dialogue(&Sasl::Plain(password())).await;
            assert!(matches!(dialogue.next(bytes), Err(LoginError::Malformed(_))));
        }
    }
}
