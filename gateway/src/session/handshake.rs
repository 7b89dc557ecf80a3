//! Before a client is known: only ApiVersions, SaslHandshake and SaslAuthenticate are read, few of them, in small frames, within
//! a deadline. Everything else closes the connection.

use super::conversation::{Conversation, ILLEGAL_SASL_STATE, Known, Then};
use super::delegated::{Alone, Kafka as _};
use super::{SessionError, Shared, local};
use crate::apis::check::{Checked, Unserved, check};
use crate::authn::Identity;
use crate::observe::metrics::FrameRefusal;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use crate::transport::vectored;
use serde_json::json;
use std::sync::Arc;
use wire::schema::ApiKey;
use wire::segments::Segments;

/// A login takes four requests, or five where the version of ApiVersions is too new; some more where mechanisms are tried.
const MOST_FRAMES: usize = 20;

/// Everybody, where clients are not asked who they are.
pub fn anonymous(virtual_cluster: &Arc<str>) -> Identity {
    Identity {
        username: "ANONYMOUS".into(),
        virtual_cluster: Arc::clone(virtual_cluster),
        expires_at: None,
        provider: None,
    }
}

/// Serves a client until it is known by SASL; `None` where it left before. Where Kafka decided, its connection stays in `kafka`.
///
/// # Errors
/// [`SessionError`]
pub(super) async fn authenticate(
    client: &Connection,
    reader: &mut FrameReader,
    conversation: &mut Conversation<'_>,
    kafka: &mut Alone<'_>,
    broker: i32,
    shared: &Shared,
) -> Result<Option<Known>, SessionError> {
    // SaslHandshake v0 is followed by tokens without any header.
    let mut raw = false;
    for _ in 0..MOST_FRAMES {
        let most = conversation.longest();
        let range = match reader.next(client, |_| most).await {
            Ok(Some(range)) => range,
            Ok(None) => return conversation.left().map(|()| None),
            Err(FrameError::Io(e)) => return Err(SessionError::Client(e)),
            Err(e @ FrameError::TooLong { .. }) => {
                return Err(SessionError::Frame { reason: FrameRefusal::Oversized, detail: e.to_string() });
            }
        };
        let bytes = reader.bytes(range.clone()).to_vec();
        reader.consume(&range);
        let turn = if raw {
            conversation.token(bytes, kafka).await?
        } else {
            let request = match check(&bytes) {
                Ok(request) => request,
                Err(Unserved::Version { key: ApiKey::ApiVersions, correlation_id, .. }) => {
                    let answer = local::api_versions_fallback(correlation_id, broker, shared).await?;
                    write(client, &answer).await?;
                    continue;
                }
                Err(other) => return Err(unauthenticated(other.to_string())),
            };
            match request.key() {
                ApiKey::ApiVersions => {
                    write(client, &local::api_versions(&request, broker, shared).await?).await?;
                    continue;
                }
                ApiKey::SaslHandshake => {
                    let turn = conversation.handshake(&request, kafka).await?;
                    raw = request.version() == 0 && conversation.is_under_way();
                    turn
                }
                ApiKey::SaslAuthenticate => conversation.authenticate(&request, kafka).await?,
                other => return Err(unauthenticated(format!("{other:?} before authentication"))),
            }
        };
        if !turn.frame.is_empty() {
            write(client, &turn.frame).await?;
        }
        match turn.then {
            Then::GoOn => {}
            Then::Known(known) => return Ok(Some(*known)),
            Then::Close(reason) => {
                kafka.begin();
                return Err(SessionError::Authentication(reason));
            }
        }
    }
    Err(unauthenticated(format!("more than {MOST_FRAMES} requests before authentication")))
}

const fn unauthenticated(detail: String) -> SessionError {
    SessionError::Frame { reason: FrameRefusal::Unauthenticated, detail }
}

async fn write(client: &Connection, bytes: &[u8]) -> Result<(), SessionError> {
    vectored::write(client, &[bytes], &Segments::default(), &[]).await.map_err(SessionError::Client)
}

/// The answer to a SASL request of a client that has no reason to log in again.
///
/// # Errors
/// [`SessionError::Gateway`]
pub fn already_authenticated(request: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
    local::answer(request, &json!({ "ErrorCode": ILLEGAL_SASL_STATE }))
}
