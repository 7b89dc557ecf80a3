//! SASL with one client: SaslHandshake picks the mechanism, SaslAuthenticate carries its messages (KIP-43, KIP-152).
//!
//! The same before a client is known and when it logs in again (KIP-368); whoever reads the frames says when they may come.
//! Invariant: an unknown user, a wrong password and somebody of another virtual cluster get the same answer by the same path.

use super::attempts::Who;
use super::audited::Attempt;
use super::delegated::{Delegated, Kafka};
use super::{Delegation, Login, SessionError, Shared, lifetime, local};
use crate::apis::check::Checked;
use crate::authn::sasl::seen::Mechanism;
use crate::authn::sasl::{Authenticator, SaslExchange, Step};
use crate::authn::{Failure, Identity};
use crate::observe::metrics::FrameRefusal;
use crate::routing::Dialled;
use crate::transport::connection::Connection;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::value;

/// These messages have two fields; the others are tagged ones that nobody knows.
const MOST_VALUES: usize = 100;
/// A client that finds none of the mechanisms to its taste leaves before this many questions.
const MOST_HANDSHAKES: usize = 6;
/// A failed attempt is answered this long after it came in, however soon it was clear.
const FAILURE_DELAY: Duration = Duration::from_millis(200);
/// No honest frame of this kind is longer, except where it carries somebody's token.
const LONGEST: usize = 16 << 10;
/// A request's header and the ends of its fields.
const AROUND_A_MESSAGE: usize = 1 << 10;
pub(super) const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
pub(super) const ILLEGAL_SASL_STATE: i16 = 34;
pub(super) const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// What goes out, and what follows.
#[derive(Debug)]
pub(super) struct Turn {
    /// A whole frame; nothing where it is empty.
    pub(super) frame: Vec<u8>,
    pub(super) then: Then,
}

/// What follows a turn.
#[derive(Debug)]
pub(super) enum Then {
    /// The client goes on.
    GoOn,
    /// The client is known.
    Known(Box<Known>),
    /// The connection is closed, for this reason.
    Close(String),
}

/// Who a client has proven to be, and how.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) identity: Identity,
    pub(super) mechanism: Mechanism,
    /// How long the session may last.
    pub(super) left: Option<Duration>,
}

/// What becomes of a client's message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// These bytes go out; the client will answer.
    Continue(Vec<u8>),
    /// These bytes go out; the client is who it says, for this long.
    Done(Vec<u8>, Identity, Option<Duration>),
    /// It is not, and these bytes say so in the mechanism's own way; the client will answer, and then be told.
    Challenged(Vec<u8>, Refusal),
    /// It is not.
    Refused(Refusal),
}

/// Why a client is not let in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i16,
    /// What the client is told.
    pub(super) text: String,
    /// What the operator is told.
    pub(super) reason: String,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (text, reason) = (failure.message().to_owned(), failure.reason().into_owned());
        Self { code: SASL_AUTHENTICATION_FAILED, text, reason }
    }
}

impl Refusal {
    fn out_of_turn(text: &str) -> Self {
        Self { code: ILLEGAL_SASL_STATE, text: text.to_owned(), reason: text.to_owned() }
    }
}

/// A mechanism's exchange under way.
struct Exchange {
    mechanism: Mechanism,
    judge: Judge,
    /// Once the client has said who it claims to be.
    who: Option<Who>,
}

impl Exchange {
    /// Whom somebody else vouches for.
    fn principal(&self) -> Option<&str> {
        match &self.judge {
            Judge::Gateway(judge) => judge.principal(),
            Judge::Kafka(judge) => judge.principal(),
        }
    }
}

/// Who decides.
enum Judge {
    Gateway(SaslExchange),
    Kafka(Delegated),
}

/// Who decides about logins at a listener.
#[derive(Clone, Copy)]
enum By<'a> {
    Gateway(&'a Arc<Authenticator>),
    Kafka(&'a Delegation),
}

/// The logins of one connection.
pub(super) struct Conversation<'a> {
    client: &'a Connection,
    dialled: &'a Dialled,
    shared: &'a Shared,
    by: By<'a>,
    /// Who the client has to be, where it logs in again.
    known: Option<Known>,
    exchange: Option<Exchange>,
    attempt: Attempt,
    handshakes: usize,
    /// Why the login has failed, if it has and the client may still say something.
    refused: Option<String>,
}

impl<'a> Conversation<'a> {
    /// `None` where the listener asks nobody to log in by SASL.
    pub(super) fn new(
        client: &'a Connection,
        dialled: &'a Dialled,
        login: &'a Login,
        shared: &'a Shared,
    ) -> Option<Self> {
        let by = match login {
            Login::Sasl(authenticator) => By::Gateway(authenticator),
            Login::Delegated(delegation) => By::Kafka(delegation),
            Login::Anonymous(_) | Login::Certificate(_) => return None,
        };
        let attempt = Attempt::default();
        Some(Self { client, dialled, shared, by, known: None, exchange: None, attempt, handshakes: 0, refused: None })
    }

    /// From here on the client can only be who it is.
    pub(super) fn settle(&mut self, known: Known) {
        self.known = Some(known);
        self.handshakes = 0;
    }

    /// Whether the client has begun to log in and has not come to an end.
    pub(super) const fn is_under_way(&self) -> bool {
        self.exchange.is_some()
    }

    /// What it comes to that the client hangs up.
    ///
    /// # Errors
    /// [`SessionError::Authentication`] where its login had failed.
    pub(super) fn left(&mut self) -> Result<(), SessionError> {
        self.refused.take().map_or(Ok(()), |reason| Err(SessionError::Authentication(reason)))
    }

    /// The longest frame that is read next.
    pub(super) fn longest(&self) -> usize {
        let message = self.exchange.as_ref().map_or(0, |exchange| match &exchange.judge {
            Judge::Gateway(judge) => judge.longest_message(),
            Judge::Kafka(judge) => judge.longest_message(),
        });
        (message + AROUND_A_MESSAGE).max(LONGEST)
    }

    /// Answers a SaslHandshake.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(super) async fn handshake(
        &mut self,
        request: &Checked<'_>,
        kafka: &mut impl Kafka,
    ) -> Result<Turn, SessionError> {
        // One attempt a connection: another one would not have waited for the first.
        self.left()?;
        self.handshakes += 1;
        if self.handshakes > MOST_HANDSHAKES {
            return Err(SessionError::Authentication("asked for a mechanism once too often".to_owned()));
        }
        let asked = decode(request)?;
        let name = asked["Mechanism"].as_str().unwrap_or_default();
        self.attempt.begin(name);
        let (code, offered) = match self.by {
            By::Gateway(authenticator) => {
                let accounts = self.shared.world.borrow().clone();
                let started = Mechanism::named(name).zip(authenticator.start(name, accounts).ok());
                let exchange = |(mechanism, judge)| Exchange { mechanism, judge: Judge::Gateway(judge), who: None };
                self.exchange = started.map(exchange);
                let code = if self.exchange.is_some() { 0 } else { UNSUPPORTED_SASL_MECHANISM };
                (code, authenticator.mechanisms().iter().map(|name| (*name).to_owned()).collect())
            }
            By::Kafka(delegation) => {
                let (code, begun, offered) = Delegated::begin(delegation, name, kafka).await?;
                let exchange =
                    |judge: Delegated| Exchange { mechanism: judge.mechanism(), judge: Judge::Kafka(judge), who: None };
                self.exchange = begun.map(exchange);
                (code, offered)
            }
        };
        if code != 0 {
            let served: Vec<String> = offered;
            let reason = format!("a mechanism that is not served; served are {}", served.join(", "));
            self.shared.audit.record(self.attempt.failed(self.client, &reason));
            let frame = local::answer(request, &json!({ "ErrorCode": code, "Mechanisms": served }))?;
            return Ok(Turn { frame, then: Then::GoOn });
        }
        let frame = local::answer(request, &json!({ "ErrorCode": code, "Mechanisms": offered }))?;
        Ok(Turn { frame, then: Then::GoOn })
    }

    /// Answers a SaslAuthenticate.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(super) async fn authenticate(
        &mut self,
        request: &Checked<'_>,
        kafka: &mut impl Kafka,
    ) -> Result<Turn, SessionError> {
        let asked = decode(request)?;
        let message = asked["AuthBytes"].as_str().and_then(local::from_base64).unwrap_or_default();
        let (body, then) = match self.judged(message, kafka).await? {
            Verdict::Continue(answer) | Verdict::Challenged(answer, _) => {
                (json!({ "AuthBytes": local::to_base64(&answer) }), Then::GoOn)
            }
            Verdict::Done(answer, identity, left) => {
                let lifetime = lifetime::milliseconds(left);
                let body = json!({ "AuthBytes": local::to_base64(&answer), "SessionLifetimeMs": lifetime });
                (body, self.done(identity, left))
            }
            Verdict::Refused(Refusal { code, text, reason }) => {
                (json!({ "ErrorCode": code, "ErrorMessage": text }), Then::Close(reason))
            }
        };
        Ok(Turn { frame: local::answer(request, &body)?, then })
    }

    /// Answers a token that came without a header, behind a SaslHandshake of version 0.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(super) async fn token(&mut self, token: Vec<u8>, kafka: &mut impl Kafka) -> Result<Turn, SessionError> {
        let (answer, then) = match self.judged(token, kafka).await? {
            Verdict::Continue(answer) | Verdict::Challenged(answer, _) => (answer, Then::GoOn),
            Verdict::Done(answer, identity, left) => (answer, self.done(identity, left)),
            // There is no answer that says no.
            Verdict::Refused(refusal) => {
                return Ok(Turn { frame: Vec::new(), then: Then::Close(refusal.reason) });
            }
        };
        let mut frame = u32::try_from(answer.len()).unwrap_or_default().to_be_bytes().to_vec();
        frame.extend_from_slice(&answer);
        Ok(Turn { frame, then })
    }

    fn done(&mut self, identity: Identity, left: Option<Duration>) -> Then {
        let mechanism = self.exchange.take().map_or(Mechanism::Plain, |exchange| exchange.mechanism);
        Then::Known(Box::new(Known { identity, mechanism, left }))
    }

    /// What becomes of a message: when its turn comes, by whoever decides, counted and recorded.
    async fn judged(&mut self, message: Vec<u8>, kafka: &mut impl Kafka) -> Result<Verdict, SessionError> {
        let Some(mut exchange) = self.exchange.take() else {
            return Ok(Verdict::Refused(Refusal::out_of_turn("SaslHandshake comes before SaslAuthenticate")));
        };
        self.attempt.said(&message);
        let attempts = &self.shared.attempts;
        let (who, turn) = match exchange.who {
            Some(who) => (who, Some(Instant::now())),
            None => {
                let claimed = exchange.mechanism.claimed(&message).unwrap_or_default();
                let who = attempts.who(self.client.remote().ip(), &claimed);
                (who, attempts.turn(who))
            }
        };
        exchange.who = Some(who);
        if let Some(turn) = turn {
            tokio::time::sleep_until(turn).await;
        }
        let begun = Instant::now();
        let verdict = match turn {
            // Too many of them are waiting already.
            None => Verdict::Refused(Failure::InvalidCredentials.into()),
            Some(_) => {
                let verdict = self.verdict(&mut exchange, message, kafka).await?;
                self.expected(&exchange, verdict)
            }
        };
        if let Some(principal) = exchange.principal() {
            self.attempt.is(principal);
        }
        let (name, again) = (exchange.mechanism.name(), self.known.is_some());
        match &verdict {
            Verdict::Continue(_) => {}
            Verdict::Done(_, identity, _) => {
                attempts.succeeded(who);
                self.shared.metrics.authenticated(name, again, true);
                self.shared.audit.record(self.attempt.succeeded(self.client, identity));
            }
            Verdict::Challenged(_, refusal) | Verdict::Refused(refusal) if self.refused.is_none() => {
                if turn.is_some() {
                    attempts.failed(who);
                }
                self.shared.metrics.authenticated(name, again, false);
                self.shared.audit.record(self.attempt.failed(self.client, &refusal.reason));
                self.refused = Some(refusal.reason.clone());
                tokio::time::sleep_until(begun + FAILURE_DELAY).await;
            }
            // That one is counted.
            Verdict::Challenged(..) | Verdict::Refused(_) => {}
        }
        if !matches!(verdict, Verdict::Refused(_)) {
            self.exchange = Some(exchange);
        }
        Ok(verdict)
    }

    async fn verdict(
        &self,
        exchange: &mut Exchange,
        message: Vec<u8>,
        kafka: &mut impl Kafka,
    ) -> Result<Verdict, SessionError> {
        if let Some(known) = &self.known
            && known.mechanism != exchange.mechanism
        {
            let (asked, before) = (exchange.mechanism.name(), known.mechanism.name());
            let text = format!("Authentication failed: {asked} cannot renew a login by {before}");
            return Ok(Verdict::Refused(Refusal { code: SASL_AUTHENTICATION_FAILED, reason: text.clone(), text }));
        }
        let most = self.shared.limits.max_reauth;
        match &mut exchange.judge {
            Judge::Kafka(judge) => {
                let world = self.shared.world.borrow().clone();
                judge.judge(&message, kafka, &*world, most).await
            }
            Judge::Gateway(judge) => Ok(match step(judge, message).await? {
                Step::Continue(answer) => Verdict::Continue(answer),
                Step::Done { answer, identity } => {
                    let left = lifetime::of(&identity, most);
                    Verdict::Done(answer, identity, left)
                }
                Step::Refused { answer, failure } => Verdict::Challenged(answer, failure.into()),
                Step::Failed(failure) => Verdict::Refused(failure.into()),
            }),
        }
    }

    /// The verdict, unless the client is somebody whom nobody expects here: of another virtual cluster than the address, or
    /// another one than before. Who has proven to be somebody by a password is told what a wrong password is told.
    fn expected(&self, exchange: &Exchange, verdict: Verdict) -> Verdict {
        let Verdict::Done(_, identity, _) = &verdict else { return verdict };
        if !self.dialled.serves(&identity.virtual_cluster) {
            let by_password =
                matches!(exchange.judge, Judge::Gateway(_)) && !matches!(exchange.mechanism, Mechanism::OAuthBearer);
            let failure = if by_password { Failure::InvalidCredentials } else { Failure::Unmapped };
            let reason = "the address belongs to another virtual cluster".to_owned();
            return Verdict::Refused(Refusal { reason, ..Refusal::from(failure) });
        }
        let same = |known: &Known| {
            (&known.identity.username, &known.identity.virtual_cluster)
                == (&identity.username, &identity.virtual_cluster)
        };
        if self.known.as_ref().is_none_or(same) {
            return verdict;
        }
        let text = "Authentication failed: a session stays with who began it; open a connection for somebody else";
        let (code, text) = (SASL_AUTHENTICATION_FAILED, text.to_owned());
        Verdict::Refused(Refusal { code, text, reason: "another identity than that of the session".to_owned() })
    }
}

/// One step of the exchange, off the threads that serve other clients: a password's hash takes milliseconds.
async fn step(judge: &mut SaslExchange, message: Vec<u8>) -> Result<Step, SessionError> {
    judge.prepare(&message).await;
    let mut moved = std::mem::take(judge);
    let (moved, step) = tokio::task::spawn_blocking(move || {
        let step = moved.step(&message);
        (moved, step)
    })
    .await
    .map_err(|e| SessionError::Gateway(e.to_string()))?;
    *judge = moved;
    Ok(step)
}

fn decode(request: &Checked<'_>) -> Result<serde_json::Value, SessionError> {
    value::decode_at_most(request.key().request(), request.version(), request.body(), MOST_VALUES)
        .map_err(|e| SessionError::Frame { reason: FrameRefusal::Malformed, detail: e.to_string() })
}
