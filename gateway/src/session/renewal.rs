//! The gateway's login at a broker is renewed before it expires (KIP-368), as exchanges in the queue like any other.
//!
//! Requests that were sent before are answered first, and no request of the client is sent until it is done: a broker takes
//! nothing else in between.

use super::SessionError;
use super::queue::{Exchange, Queue};
use crate::observe::metrics::Metrics;
use crate::transport::connection::Connection;
use crate::transport::vectored;
use crate::upstream::sasl::{Next, Request};
use crate::upstream::security::Renewal;
use tokio::sync::oneshot;
use wire::frame;
use wire::schema::ApiKey;
use wire::segments::Segments;

/// The gateway's own requests are found again by their place in the queue.
const CORRELATION_ID: i32 = 0;

/// Returns when it is time; never where nothing is to be renewed.
pub(super) async fn due(renewal: Option<&Renewal>) {
    match renewal {
        Some(renewal) => renewal.due().await,
        None => std::future::pending().await,
    }
}

/// Logs in anew.
///
/// # Errors
/// The connection's, and [`SessionError::Broker`] where the broker refuses.
pub(super) async fn renew(
    renewal: Option<&mut Renewal>,
    upstream: &Connection,
    queue: &Queue,
    metrics: &Metrics,
) -> Result<(), SessionError> {
    let Some(renewal) = renewal else { return Ok(()) };
    let mut dialogue = renewal.start().await?;
    let mut request = dialogue.first().map_err(|error| renewal.failed(error))?;
    loop {
        let answer = exchange(&request, upstream, queue).await?;
        match dialogue.advance(answer).await.map_err(|error| renewal.failed(error))? {
            (next, Next::Ask(following)) => (dialogue, request) = (next, following),
            (_, Next::Done(lifetime)) => {
                renewal.renewed(lifetime);
                metrics.upstream_login_renewed();
                return Ok(());
            }
        }
    }
}

/// Asks the broker in between the client's requests; returns the body of its answer.
///
/// # Errors
/// The connection's.
pub(super) async fn exchange(request: &Request, upstream: &Connection, queue: &Queue) -> Result<Vec<u8>, SessionError> {
    let (answered, answer) = oneshot::channel();
    queue.put(Exchange::Own(request.key, request.version, answered)).await?;
    let frame = frame::request(request.key, request.version, CORRELATION_ID, Some("gateway"), &request.body);
    vectored::write(upstream, &[&frame], &Segments::default(), &[]).await.map_err(SessionError::Upstream)?;
    answer.await.map_err(|_| SessionError::Ended("the answering side ended"))
}

/// Gives the broker's answer to whoever waits for it.
///
/// # Errors
/// [`SessionError::Answer`] for one to another request.
pub(super) fn hand_over(
    key: ApiKey,
    version: i16,
    frame: &[u8],
    waiting: oneshot::Sender<Vec<u8>>,
) -> Result<(), SessionError> {
    let header = frame::response_header(key.response_header(version), frame);
    let (answered, start) = header.map_err(|e| SessionError::Answer(e.to_string()))?;
    if answered != CORRELATION_ID {
        return Err(SessionError::Answer(format!("correlation id {answered} to {key:?} of the gateway's own")));
    }
    // Whoever waited is gone with the session.
    let _ = waiting.send(frame[start..].to_vec());
    Ok(())
}
