//! A request that calls one topic by several names goes to the broker in several parts.

use super::SessionError;
use super::pipeline::{Session, unsent};
use super::queue::{Awaited, Exchange, Queue};
use crate::authz::Permitted;
use crate::naming::request::{self, Refusal};
use crate::naming::twins;
use crate::transport::connection::Connection;
use crate::upstream::broker;
use wire::segments::Segments;

/// Sends all parts, or none where one is refused. `whole` is what the answer to the request would have to be.
///
/// # Errors
/// [`SessionError`]
pub(super) async fn send(
    session: &Session<'_>,
    upstream: &Connection,
    permitted: Permitted<'_>,
    whole: &mut Awaited,
    last_word: bool,
    memory: &mut request::Memory,
    queue: &Queue,
) -> Result<Result<(), Refusal>, SessionError> {
    let Awaited { key, version, correlation_id, tenant, .. } = whole;
    let (key, version, correlation_id) = (*key, *version, *correlation_id);
    let parts = match twins::parts(permitted, tenant, &mut memory.subscribed) {
        Ok(parts) => parts,
        Err(stop) => return unsent(key, version, stop.lift()).map(Err),
    };
    let mut pieces = parts.iter().map(|_| Segments::default()).collect::<Vec<_>>();
    let (mut ready, count) = (Vec::with_capacity(parts.len()), parts.len());
    for (at, ((permitted, tenant), segments)) in parts.into_iter().zip(&mut pieces).enumerate() {
        match request::map(permitted, &tenant, session.broker, last_word, memory, segments) {
            Ok((physical, asked)) => {
                let (then, more) = (whole.then.clone(), at + 1 < count);
                let (apart, owed) = (None, None);
                ready
                    .push((physical, Awaited { key, version, correlation_id, asked, apart, then, owed, tenant, more }));
            }
            Err(stop) => return unsent(key, version, stop).map(Err),
        }
    }
    // What was refused stands in the answer once, and the answer is written down once.
    if let Some((_, last)) = ready.last_mut() {
        (last.apart, last.owed) = (whole.apart.take(), whole.owed.take());
    }
    for (physical, awaited) in ready {
        queue.put(Exchange::Upstream(Box::new(awaited))).await?;
        let _ = broker::send(upstream, &physical).await.map_err(SessionError::Upstream)?;
    }
    Ok(Ok(()))
}
