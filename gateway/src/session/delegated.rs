//! Logins that Kafka decides about: the client's messages go to the broker and its answers come back.
//!
//! The connection on which the broker said yes is the one that the session uses, so that the client is to Kafka who it is.
//! Invariant: nobody is anybody here before Kafka has said so.

use super::conversation::{Refusal, SASL_AUTHENTICATION_FAILED, UNSUPPORTED_SASL_MECHANISM, Verdict};
use super::{SessionError, Shared, lifetime, local};
use crate::authn::oauth::OAuth;
use crate::authn::sasl::seen::Mechanism;
use crate::authn::{AccountLookup, Failure, external};
use crate::config::Unmapped;
use crate::observe::shown::Shown;
use crate::upstream::broker;
use crate::upstream::security::Link;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wire::schema::ApiKey;
use wire::value;

/// With this version messages follow in SaslAuthenticate, not bare.
const HANDSHAKE: i16 = 1;
/// From version 1 on with the session's lifetime; Kafka 2.5 and later answer this one.
const AUTHENTICATE: i16 = 2;
/// No broker offers as many mechanisms.
const MOST_VALUES: usize = 200;
/// No exchange has more answers.
const MOST_ANSWERS: usize = 4;
/// Asks for a mechanism that no broker has; the answer names those that it has.
const NO_MECHANISM: &str = "NONE";

/// How a listener has Kafka decide.
#[derive(Debug)]
pub struct Delegation {
    /// What becomes of those whom Kafka knows and no account names.
    pub unmapped: Unmapped,
    /// Checks tokens before Kafka sees them.
    pub validator: Option<Arc<OAuth>>,
    /// The longest token that is passed on, in bytes.
    pub longest_token: usize,
    /// Whether Kafka's rules are the only ones.
    pub kafka_authorizes: bool,
}

/// A broker that is asked about a client.
pub(super) trait Kafka {
    /// A new login begins.
    fn begin(&mut self);

    /// The body of the broker's answer.
    async fn ask(&mut self, key: ApiKey, version: i16, body: Vec<u8>) -> Result<Vec<u8>, SessionError>;
}

/// A broker over a connection that nobody else uses, which is opened when it is needed.
pub(super) struct Alone<'a> {
    shared: &'a Shared,
    broker: i32,
    link: Option<Link>,
}

impl<'a> Alone<'a> {
    pub(super) const fn new(shared: &'a Shared, broker: i32) -> Self {
        Self { shared, broker, link: None }
    }

    /// The connection, if there is one.
    pub(super) fn into_link(self) -> Option<Link> {
        self.link
    }
}

impl Kafka for Alone<'_> {
    fn begin(&mut self) {
        // Brokers close theirs after a mechanism that they do not have.
        self.link = None;
    }

    async fn ask(&mut self, key: ApiKey, version: i16, body: Vec<u8>) -> Result<Vec<u8>, SessionError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                let dialled = self.shared.cluster.dial(self.broker).await;
                dialled.inspect_err(|_| self.shared.metrics.upstream_connection_failed(self.broker))?
            }
        };
        let answer = broker::ask(&link.connection, &link.address, key, version, &body).await?;
        self.link = Some(link);
        Ok(answer)
    }
}

/// One login that Kafka decides about.
pub(super) struct Delegated {
    mechanism: Mechanism,
    unmapped: Unmapped,
    validator: Option<Arc<OAuth>>,
    longest_message: usize,
    /// Whose the client's first message claims to be, and until when that can hold.
    claimed: Option<(String, Option<SystemTime>)>,
    answers: usize,
}

impl Delegated {
    /// Asks the broker for a mechanism. Returns the code for the client, the login if it has begun, and the mechanisms that can be
    /// delegated of those that the broker has.
    pub(super) async fn begin(
        delegation: &Delegation,
        mechanism: &str,
        kafka: &mut impl Kafka,
    ) -> Result<(i16, Option<Self>, Vec<String>), SessionError> {
        kafka.begin();
        let known = Mechanism::named(mechanism);
        let asked = known.map_or(NO_MECHANISM, Mechanism::name);
        let answer = ask(kafka, ApiKey::SaslHandshake, HANDSHAKE, &json!({ "Mechanism": asked })).await?;
        let named = answer["Mechanisms"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let offered = named.filter_map(Mechanism::named).map(|mechanism| mechanism.name().to_owned()).collect();
        let code = answer["ErrorCode"].as_i64().and_then(|code| i16::try_from(code).ok());
        let code = code.unwrap_or(UNSUPPORTED_SASL_MECHANISM);
        Ok(match known {
            Some(mechanism) if code == 0 => {
                let begun = Self {
                    mechanism,
                    unmapped: delegation.unmapped,
                    validator: delegation.validator.clone(),
                    longest_message: mechanism.longest_message(delegation.longest_token),
                    claimed: None,
                    answers: 0,
                };
                (0, Some(begun), offered)
            }
            _ => (if code == 0 { UNSUPPORTED_SASL_MECHANISM } else { code }, None, offered),
        })
    }

    pub(super) const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whose the messages claim to be, once they do.
    pub(super) fn principal(&self) -> Option<&str> {
        self.claimed.as_ref().map(|(name, _)| name.as_str())
    }

    /// The longest message that is passed on, in bytes.
    pub(super) const fn longest_message(&self) -> usize {
        self.longest_message
    }

    /// What Kafka says to a message, and what follows from it here.
    ///
    /// # Errors
    /// [`SessionError`], where the broker cannot be asked or its answer is none.
    pub(super) async fn judge(
        &mut self,
        message: &[u8],
        kafka: &mut impl Kafka,
        accounts: &dyn AccountLookup,
        most: Option<Duration>,
    ) -> Result<Verdict, SessionError> {
        let (name, expires_at) = match self.admitted(message).await {
            Ok(claimed) => claimed,
            Err(failure) => return Ok(Verdict::Refused(failure.into())),
        };
        let body = json!({ "AuthBytes": local::to_base64(message) });
        let answer = ask(kafka, ApiKey::SaslAuthenticate, AUTHENTICATE, &body).await?;
        self.answers += 1;
        if answer["ErrorCode"] != 0 {
            return Ok(Verdict::Refused(refused(&answer)));
        }
        let bytes = answer["AuthBytes"].as_str().and_then(local::from_base64).unwrap_or_default();
        if !self.mechanism.is_final(self.answers, &bytes) {
            return Ok(if self.mechanism == Mechanism::OAuthBearer && self.answers == 1 {
                let text = "Kafka does not take the token".to_owned();
                Verdict::Challenged(bytes, Refusal { code: SASL_AUTHENTICATION_FAILED, reason: text.clone(), text })
            } else if self.answers < MOST_ANSWERS {
                Verdict::Continue(bytes)
            } else {
                Verdict::Refused(Failure::OutOfTurn.into())
            });
        }
        Ok(match external::identity(accounts, &name, expires_at, self.unmapped) {
            Ok(identity) => {
                let kafkas = answer["SessionLifetimeMs"].as_u64().filter(|left| *left > 0).map(Duration::from_millis);
                let most = most.into_iter().chain(kafkas).min();
                let left = lifetime::of(&identity, most);
                Verdict::Done(bytes, identity, left)
            }
            Err(failure) => Verdict::Refused(failure.into()),
        })
    }

    /// Whose the messages claim to be, if Kafka may see this one.
    async fn admitted(&mut self, message: &[u8]) -> Result<(String, Option<SystemTime>), Failure> {
        if message.len() > self.longest_message {
            return Err(Failure::TooLong);
        }
        if let Some(claimed) = &self.claimed {
            return Ok(claimed.clone());
        }
        let claimed = match (&self.validator, self.mechanism) {
            (Some(validator), Mechanism::OAuthBearer) => {
                let token = self.mechanism.token(message)?;
                validator.prepare(token).await;
                let verified = validator.verify(token, SystemTime::now());
                let verified = verified.map_err(|rejection| Failure::Token(Box::new(rejection)))?;
                (verified.principal, Some(verified.expires_at))
            }
            _ => (self.mechanism.claimed(message)?, None),
        };
        Ok(self.claimed.insert(claimed).clone())
    }
}

/// Kafka's no, in Kafka's words.
fn refused(answer: &Value) -> Refusal {
    let code = answer["ErrorCode"].as_i64().and_then(|code| i16::try_from(code).ok()).unwrap_or(-1);
    let said = Shown::from(answer["ErrorMessage"].as_str().unwrap_or_default()).to_string();
    let text = if said.is_empty() { "Authentication failed".to_owned() } else { said };
    Refusal { code, reason: format!("Kafka says: {text}"), text }
}

async fn ask(kafka: &mut impl Kafka, key: ApiKey, version: i16, body: &Value) -> Result<Value, SessionError> {
    let body = value::encode(key.request(), version, body).map_err(|e| SessionError::Gateway(e.to_string()))?;
    let answer = kafka.ask(key, version, body).await?;
    value::decode_at_most(key.response(), version, &answer, MOST_VALUES)
        .map_err(|e| SessionError::Answer(format!("{key:?} {version}: {e}")))
}
