//! The broker's answers in their order, and what is answered in its place when the gateway stops.

use super::pipeline::Session;
use super::queue::Awaited;
use super::{SessionError, local};
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use serde_json::json;
use std::future::poll_fn;
use std::ops::Range;
use std::task::Poll;
use wire::schema::ApiKey;

/// The next frame of the broker behind those that nobody waits for.
pub(super) async fn answer_of(
    session: &Session<'_>,
    upstream: &Connection,
    reader: &mut FrameReader,
    unread: &mut u32,
) -> Result<Range<usize>, SessionError> {
    let most = session.shared.limits.max_answer_bytes;
    loop {
        let range = match reader.next(upstream, |_| most).await {
            Ok(Some(range)) => range,
            Ok(None) => return Err(SessionError::Upstream(std::io::ErrorKind::UnexpectedEof.into())),
            Err(FrameError::Io(e)) => return Err(SessionError::Upstream(e)),
            Err(e @ FrameError::TooLong { .. }) => return Err(SessionError::Answer(e.to_string())),
        };
        if *unread == 0 {
            return Ok(range);
        }
        *unread -= 1;
        reader.consume(&range);
    }
}

/// As [`answer_of`]; `None` where the gateway stops while the broker waits for records. Whatever else was asked for is waited
/// for, because it may have changed something.
pub(super) async fn answer_unless_leaving(
    session: &Session<'_>,
    upstream: &Connection,
    reader: &mut FrameReader,
    unread: &mut u32,
    awaited: &Awaited,
) -> Result<Option<Range<usize>>, SessionError> {
    if awaited.key == ApiKey::Fetch {
        let leaving = poll_fn(|_| if session.shared.drain.has_begun() { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            biased;
            range = answer_of(session, upstream, reader, unread) => return range.map(Some),
            () = leaving => {}
        }
        // An answer that has begun to come is on its way.
        if *unread > 0 || reader.buffered() == 0 {
            return Ok(None);
        }
    }
    answer_of(session, upstream, reader, unread).await.map(Some)
}

/// No records, as a broker says it that would rather be asked later. The client's fetch session is over.
pub(super) fn nothing_yet(awaited: &Awaited) -> Result<Vec<u8>, SessionError> {
    let Awaited { key, version, correlation_id, .. } = awaited;
    local::encode(*key, *version, *correlation_id, &json!({ "ThrottleTimeMs": 1, "Responses": [] }))
}
