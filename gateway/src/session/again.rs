//! A client that logs in again on its open connection, so that its session may go on (KIP-368).
//!
//! It may while its session has an end, at most once a second, as the same identity by the same mechanism. Between its
//! handshake and the outcome it may send nothing else: whose request would that be?

use super::conversation::{Conversation, Then, Turn};
use super::delegated::Kafka;
use super::lifetime::Lifetime;
use super::queue::Queue;
use super::{SessionError, handshake, renewal};
use crate::apis::check::Checked;
use crate::observe::metrics::FrameRefusal;
use crate::transport::connection::Connection;
use crate::upstream::sasl::Request;
use std::time::Duration;
use tokio::time::Instant;
use wire::schema::ApiKey;

/// Brokers look at no more logins of one connection either.
const APART: Duration = Duration::from_secs(1);

/// The later logins of a session.
pub(super) struct Again<'a> {
    /// `None` where nobody logs in by SASL.
    conversation: Option<Conversation<'a>>,
    lifetime: &'a Lifetime,
    begun: Option<Instant>,
}

/// A broker that is asked among the requests of the session.
pub(super) struct Among<'a> {
    pub(super) upstream: &'a Connection,
    pub(super) queue: &'a Queue,
}

impl Kafka for Among<'_> {
    fn begin(&mut self) {}

    async fn ask(&mut self, key: ApiKey, version: i16, body: Vec<u8>) -> Result<Vec<u8>, SessionError> {
        renewal::exchange(&Request { key, version, body }, self.upstream, self.queue).await
    }
}

impl<'a> Again<'a> {
    pub(super) const fn new(conversation: Option<Conversation<'a>>, lifetime: &'a Lifetime) -> Self {
        Self { conversation, lifetime, begun: None }
    }

    /// Whether a request may be served now.
    ///
    /// # Errors
    /// [`SessionError::Ended`] behind the session's end, [`SessionError::Frame`] while the client logs in.
    pub(super) fn may_serve(&self, key: ApiKey) -> Result<(), SessionError> {
        if matches!(key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate) {
            return Ok(());
        }
        if self.conversation.as_ref().is_some_and(Conversation::is_under_way) {
            let detail = format!("{key:?} before the end of a login");
            return Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, detail });
        }
        if self.lifetime.is_over() { Err(SessionError::Expired) } else { Ok(()) }
    }

    /// Answers a SaslHandshake or SaslAuthenticate.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(super) async fn answer(&mut self, request: &Checked<'_>, kafka: &mut impl Kafka) -> Result<Turn, SessionError> {
        let Some(conversation) = &mut self.conversation else { return out_of_turn(request) };
        if request.key() == ApiKey::SaslHandshake {
            let soon = self.begun.is_some_and(|begun| begun.elapsed() < APART);
            // Tokens without a header could not be told from requests.
            if !self.lifetime.is_bounded() || soon || request.version() == 0 {
                return out_of_turn(request);
            }
            self.begun = Some(Instant::now());
            return conversation.handshake(request, kafka).await;
        }
        if !conversation.is_under_way() {
            return out_of_turn(request);
        }
        let mut turn = conversation.authenticate(request, kafka).await?;
        if let Then::Known(known) = turn.then {
            self.lifetime.renew(known.left);
            conversation.settle(*known);
            turn.then = Then::GoOn;
        }
        Ok(turn)
    }
}

fn out_of_turn(request: &Checked<'_>) -> Result<Turn, SessionError> {
    Ok(Turn { frame: handshake::already_authenticated(request)?, then: Then::GoOn })
}
