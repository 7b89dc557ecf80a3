//! How a session ends when another physical cluster takes over: what was asked is answered, nothing more is asked, and the client
//! comes back on a new connection, which belongs to the new cluster.
//!
//! A client knows brokers by their ids. Where the new cluster has none of those that it knows, a client that understands it is told
//! to begin anew from its bootstrap addresses (KIP-1102); others find the new brokers because every address of the gateway leads to
//! some broker.

use super::pipeline::Session;
use super::queue::{Exchange, Queue};
use super::{SessionError, Shared, local};
use crate::apis::check::{Checked, check};
use crate::transport::frames::FrameReader;
use crate::upstream::cluster::Active;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use wire::schema::ApiKey;
use wire::value;

/// What was in flight may take this long, and a client that is to be told something has this long to ask.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The first version of Metadata with an error of its own.
const METADATA_WITH_ERROR: i16 = 13;
const REBOOTSTRAP_REQUIRED: i16 = 129;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const UNKNOWN_PRODUCER_ID: i16 = 59;
/// No answer to a Produce request holds as many.
const MOST_VALUES: usize = 100_000;

/// The end of the time in which a session's cluster serves; `None` where it is the only one.
pub(super) type Leave = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Waits for another cluster to take over. Boxed, since most gateways have none.
pub(super) fn leave(shared: &Shared) -> Leave {
    let mut active = shared.active.clone()?;
    let ours = Arc::clone(&shared.cluster);
    Some(Box::pin(async move {
        if active.wait_for(|active| !Arc::ptr_eq(&active.physical, &ours)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }))
}

/// Returns when it is time to leave.
pub(super) async fn due(leave: &mut Leave) {
    match leave {
        Some(leave) => leave.await,
        None => std::future::pending().await,
    }
}

/// Whether the cluster that took over has none of the brokers that clients of this one know.
fn is_elsewhere(shared: &Shared) -> bool {
    let Some(active) = &shared.active else { return false };
    let (before, now) = (shared.cluster.topology(), active.borrow().physical.topology());
    !now.brokers.is_empty() && !before.brokers.keys().any(|id| now.brokers.contains_key(id))
}

/// What tells a client to begin anew, as the answer to this request; `None` where it would not be understood.
fn begin_anew(request: &Checked<'_>) -> Option<Result<Vec<u8>, SessionError>> {
    let understands = request.key() == ApiKey::Metadata && request.version() >= METADATA_WITH_ERROR;
    let body = json!({ "ErrorCode": REBOOTSTRAP_REQUIRED, "Brokers": [], "Topics": [], "ControllerId": -1 });
    understands.then(|| local::answer(request, &body))
}

/// The answer to a Produce request where gateways have switched before: a cluster that remembers a producer id from an earlier time
/// finds a gap in its sequence numbers, which was filled at another cluster. What a producer is told is that the broker does not
/// know it, so that it begins a new sequence where it would give up otherwise. `None` where there is no such gap.
pub(super) fn with_sequences_anew(shared: &Shared, key: ApiKey, version: i16, body: &[u8]) -> Option<Vec<u8>> {
    let switched = |active: &watch::Receiver<Arc<Active>>| active.borrow().switch.is_some();
    if key != ApiKey::Produce || !shared.active.as_ref().is_some_and(switched) {
        return None;
    }
    // Answers without errors are most, and short.
    let code = OUT_OF_ORDER_SEQUENCE_NUMBER.to_be_bytes();
    body.windows(code.len()).find(|bytes| **bytes == code)?;
    let mut answer = value::decode_at_most(key.response(), version, body, MOST_VALUES).ok()?;
    let mut changed = false;
    for topic in answer["Responses"].as_array_mut().into_iter().flatten() {
        for partition in topic["PartitionResponses"].as_array_mut().into_iter().flatten() {
            if partition["ErrorCode"] == OUT_OF_ORDER_SEQUENCE_NUMBER {
                partition["ErrorCode"] = json!(UNKNOWN_PRODUCER_ID);
                // Without a beginning of the log clients ask again for ever.
                partition["LogStartOffset"] = json!(partition["LogStartOffset"].as_i64().unwrap_or(0).max(0));
                changed = true;
            }
        }
    }
    if changed { value::encode(key.response(), version, &answer).ok() } else { None }
}

impl Session<'_> {
    /// The last words to a client whose cluster no longer serves.
    pub(super) async fn farewell(&self, reader: &mut FrameReader, queue: &Queue) -> Result<(), SessionError> {
        self.shared.metrics.upstreams.session_left();
        if !is_elsewhere(self.shared) {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(next) = tokio::time::timeout_at(until, self.next(reader)).await {
            let Some(range) = next? else { return Ok(()) };
            let told = check(reader.bytes(range.clone())).ok().and_then(|request| begin_anew(&request));
            let Some(answer) = told else { return Ok(()) };
            queue.put(Exchange::Local(answer?)).await?;
            self.shared.metrics.upstreams.client_sent_to_bootstrap();
            reader.consume(&range);
        }
        Ok(())
    }
}
