//! Before a client is known: only ApiVersions, SaslHandshake and SaslAuthenticate are read, in small frames, within a
//! deadline. Everything else closes the connection.

use super::audited::Attempt;
use super::{SessionError, Shared, local};
use crate::apis::check::{Checked, Unserved, check};
use crate::authn::sasl::{Authenticator, SaslExchange, Step};
use crate::authn::{Failure, Identity};
use crate::observe::metrics::FrameRefusal;
use crate::routing::Dialled;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use crate::transport::vectored;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::value;

/// No honest frame before authentication is longer.
const LONGEST: usize = 16 << 10;
/// These messages have two fields; the others are tagged ones that nobody knows.
const MOST_VALUES: usize = 100;
/// A failed attempt is answered after this time, so that guessing takes its time.
const FAILURE_DELAY: Duration = Duration::from_millis(200);
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// Everybody, where clients are not asked who they are.
pub fn anonymous(virtual_cluster: &Arc<str>) -> Identity {
    Identity { username: "ANONYMOUS".into(), virtual_cluster: Arc::clone(virtual_cluster), expires_at: None }
}

/// Where a login stands.
#[derive(Default)]
struct Login {
    exchange: Option<SaslExchange>,
    attempt: Attempt,
    /// SaslHandshake v0 is followed by tokens without any header.
    raw: bool,
    /// Why the login has failed, if it has and the client may still say something.
    refused: Option<String>,
}

/// Serves a client until it is known; `None` where it left before.
///
/// # Errors
/// [`SessionError`]
pub async fn authenticate(
    client: &Connection,
    reader: &mut FrameReader,
    dialled: &Dialled,
    authenticator: &Arc<Authenticator>,
    shared: &Shared,
) -> Result<Option<Identity>, SessionError> {
    let (mut login, broker) = (Login::default(), dialled.broker);
    loop {
        let longest = login.exchange.as_ref().map_or(LONGEST, |exchange| exchange.longest_message().max(LONGEST));
        let range = match reader.next(client, |_| longest).await {
            Ok(Some(range)) => range,
            Ok(None) => return login.refused.map_or(Ok(None), |reason| Err(SessionError::Authentication(reason))),
            Err(FrameError::Io(e)) => return Err(SessionError::Client(e)),
            Err(e @ FrameError::TooLong { .. }) => {
                return Err(SessionError::Frame { reason: FrameRefusal::Oversized, detail: e.to_string() });
            }
        };
        let bytes = reader.bytes(range.clone()).to_vec();
        reader.consume(&range);
        if login.raw {
            if let Some(identity) = raw_token(client, &mut login, bytes, shared).await? {
                return Ok(Some(identity));
            }
            continue;
        }
        let request = match check(&bytes) {
            Ok(request) => request,
            Err(Unserved::Version { key: ApiKey::ApiVersions, correlation_id, .. }) => {
                let answer = local::api_versions_fallback(correlation_id, broker, shared).await?;
                write(client, &answer).await?;
                continue;
            }
            Err(other) => {
                return Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, detail: other.to_string() });
            }
        };
        match request.key() {
            ApiKey::ApiVersions => write(client, &local::api_versions(&request, broker, shared).await?).await?,
            ApiKey::SaslHandshake => {
                let answer = handshake(client, &request, &mut login, authenticator, shared)?;
                write(client, &answer).await?;
            }
            ApiKey::SaslAuthenticate => {
                if let Some(identity) = token(client, &request, &mut login, shared).await? {
                    return Ok(Some(identity));
                }
            }
            other => {
                let detail = format!("{other:?} before authentication");
                return Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, detail });
            }
        }
    }
}

fn handshake(
    client: &Connection,
    request: &Checked<'_>,
    login: &mut Login,
    authenticator: &Arc<Authenticator>,
    shared: &Shared,
) -> Result<Vec<u8>, SessionError> {
    // One attempt a connection: another one would not have waited for the first.
    if let Some(reason) = &login.refused {
        return Err(SessionError::Authentication(reason.clone()));
    }
    let asked = decode(request)?;
    let accounts = shared.world.borrow().clone();
    let mechanism = asked["Mechanism"].as_str().unwrap_or_default();
    login.attempt.begin(mechanism);
    let code = match authenticator.start(mechanism, accounts) {
        Ok(exchange) => {
            (login.exchange, login.raw) = (Some(exchange), request.version() == 0);
            0
        }
        Err(unknown) => {
            shared.audit.record(login.attempt.failed(client, &unknown.to_string()));
            UNSUPPORTED_SASL_MECHANISM
        }
    };
    local::answer(request, &json!({ "ErrorCode": code, "Mechanisms": authenticator.mechanisms() }))
}

async fn token(
    client: &Connection,
    request: &Checked<'_>,
    login: &mut Login,
    shared: &Shared,
) -> Result<Option<Identity>, SessionError> {
    let asked = decode(request)?;
    let bytes = asked["AuthBytes"].as_str().and_then(local::from_base64).unwrap_or_default();
    let Some(step) = advance(login, bytes).await? else {
        let text = "SaslHandshake comes before SaslAuthenticate";
        write(client, &local::answer(request, &json!({ "ErrorCode": ILLEGAL_SASL_STATE, "ErrorMessage": text }))?)
            .await?;
        return Err(SessionError::Authentication(text.to_owned()));
    };
    match step {
        Step::Continue(bytes) => {
            write(client, &local::answer(request, &json!({ "AuthBytes": local::to_base64(&bytes) }))?).await?;
            Ok(None)
        }
        Step::Done { answer, identity } => {
            shared.audit.record(login.attempt.succeeded(client, &identity));
            write(client, &local::answer(request, &json!({ "AuthBytes": local::to_base64(&answer) }))?).await?;
            Ok(Some(identity))
        }
        Step::Refused { answer, failure } => {
            refused(client, login, &failure, shared).await;
            write(client, &local::answer(request, &json!({ "AuthBytes": local::to_base64(&answer) }))?).await?;
            Ok(None)
        }
        Step::Failed(failure) => {
            refused(client, login, &failure, shared).await;
            let body = json!({ "ErrorCode": SASL_AUTHENTICATION_FAILED, "ErrorMessage": failure.message() });
            write(client, &local::answer(request, &body)?).await?;
            Err(SessionError::Authentication(failure.to_string()))
        }
    }
}

async fn raw_token(
    client: &Connection,
    login: &mut Login,
    bytes: Vec<u8>,
    shared: &Shared,
) -> Result<Option<Identity>, SessionError> {
    let (answer, identity) = match advance(login, bytes).await? {
        Some(Step::Continue(bytes)) => (bytes, None),
        Some(Step::Done { answer, identity }) => {
            shared.audit.record(login.attempt.succeeded(client, &identity));
            (answer, Some(identity))
        }
        Some(Step::Refused { answer, failure }) => {
            refused(client, login, &failure, shared).await;
            (answer, None)
        }
        Some(Step::Failed(failure)) => {
            refused(client, login, &failure, shared).await;
            return Err(SessionError::Authentication(failure.to_string()));
        }
        None => return Err(SessionError::Authentication("a token without a handshake".to_owned())),
    };
    let mut frame = u32::try_from(answer.len()).unwrap_or_default().to_be_bytes().to_vec();
    frame.extend_from_slice(&answer);
    write(client, &frame).await?;
    Ok(identity)
}

/// Counts and records a failed login once, also where the client has the last word, and lets it wait.
async fn refused(client: &Connection, login: &mut Login, failure: &Failure, shared: &Shared) {
    if login.refused.is_none() {
        login.refused = Some(failure.to_string());
        shared.metrics.authentication_failed();
        shared.audit.record(login.attempt.failed(client, &failure.reason()));
        tokio::time::sleep(FAILURE_DELAY).await;
    }
}

/// One step of the exchange, off the threads that serve other clients: a password's hash takes milliseconds.
async fn advance(login: &mut Login, bytes: Vec<u8>) -> Result<Option<Step>, SessionError> {
    let Some(mut exchange) = login.exchange.take() else { return Ok(None) };
    login.attempt.said(&bytes);
    exchange.prepare(&bytes).await;
    let (exchange, step) = tokio::task::spawn_blocking(move || {
        let step = exchange.step(&bytes);
        (exchange, step)
    })
    .await
    .map_err(|e| SessionError::Gateway(e.to_string()))?;
    if let Some(principal) = exchange.principal() {
        login.attempt.is(principal);
    }
    if matches!(step, Step::Continue(_) | Step::Refused { .. }) {
        login.exchange = Some(exchange);
    }
    Ok(Some(step))
}

fn decode(request: &Checked<'_>) -> Result<serde_json::Value, SessionError> {
    value::decode_at_most(request.key().request(), request.version(), request.body(), MOST_VALUES)
        .map_err(|e| SessionError::Frame { reason: FrameRefusal::Malformed, detail: e.to_string() })
}

async fn write(client: &Connection, bytes: &[u8]) -> Result<(), SessionError> {
    vectored::write(client, &[bytes], &Segments::default(), &[]).await.map_err(SessionError::Client)
}

/// The answer to a SASL request of a client that is authenticated already.
///
/// # Errors
/// [`SessionError::Gateway`]
pub fn already_authenticated(request: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
    local::answer(request, &json!({ "ErrorCode": ILLEGAL_SASL_STATE }))
}
