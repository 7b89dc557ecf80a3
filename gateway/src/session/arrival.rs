//! How answers of the broker arrive.

use super::SessionError;
use super::pipeline::Session;
use super::queue::Awaited;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use std::future::poll_fn;
use std::task::Poll;
use wire::schema::ApiKey;

/// The next frame of the broker behind those that are owed.
///
/// # Errors
/// [`SessionError::Upstream`], [`SessionError::Answer`]
pub(super) async fn answer_of(
    session: &Session<'_>,
    upstream: &Connection,
    reader: &mut FrameReader,
    owed: &mut u32,
) -> Result<std::ops::Range<usize>, SessionError> {
    let most = session.shared.limits.max_answer_bytes;
    loop {
        let range = match reader.next(upstream, |_| most).await {
            Ok(Some(range)) => range,
            Ok(None) => return Err(SessionError::Upstream(std::io::ErrorKind::UnexpectedEof.into())),
            Err(FrameError::Io(e)) => return Err(SessionError::Upstream(e)),
            Err(e @ FrameError::TooLong { .. }) => return Err(SessionError::Answer(e.to_string())),
        };
        if *owed == 0 {
            return Ok(range);
        }
        *owed -= 1;
        reader.consume(&range);
    }
}

/// As [`answer_of`]; `None` where the gateway stops while the broker waits for records. Whatever else was asked for is waited
/// for, because it may have changed something.
///
/// # Errors
/// As [`answer_of`].
pub(super) async fn answer_unless_leaving(
    session: &Session<'_>,
    upstream: &Connection,
    reader: &mut FrameReader,
    owed: &mut u32,
    awaited: &Awaited,
) -> Result<Option<std::ops::Range<usize>>, SessionError> {
    if awaited.key == ApiKey::Fetch {
        let leaving = poll_fn(|_| if session.shared.drain.has_begun() { Poll::Ready(()) } else { Poll::Pending });
        tokio::select! {
            biased;
            range = answer_of(session, upstream, reader, owed) => return range.map(Some),
            () = leaving => {}
        }
        // An answer that has begun to come is on its way.
        if *owed > 0 || reader.buffered() == 0 {
            return Ok(None);
        }
    }
    answer_of(session, upstream, reader, owed).await.map(Some)
}
