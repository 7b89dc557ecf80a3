//! How a session ends when another physical cluster takes over: what was asked is answered, nothing more is asked, and the client
//! comes back on a new connection, which belongs to the new cluster.
//!
//! A client knows brokers by their ids. Where the new cluster has none of those that it knows, a client that understands it is told
//! to begin anew from its bootstrap addresses (KIP-1102); others find the new brokers because every address of the gateway leads to
//! some broker.
//!
//! What it has learned of topics at the cluster before may still be in its requests; for records that matters, see [`are_stale`].

use super::measure::Made;
use super::pipeline::Session;
use super::queue::Queue;
use super::{SessionError, Shared, local};
use crate::apis::check::{Checked, check};
use crate::apis::plans;
use crate::naming::Tenant;
use crate::naming::topic_ids::TopicIds;
use crate::transport::frames::FrameReader;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::walk::{Action, Value, Visitor, scan};

/// What was in flight may take this long, and a client that is to be told something has this long to ask.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The first version of Metadata with an error of its own.
const METADATA_WITH_ERROR: i16 = 13;
const REBOOTSTRAP_REQUIRED: i16 = 129;

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

/// Whether another cluster serves now.
pub(super) fn is_due(shared: &Shared) -> bool {
    shared.active.as_ref().is_some_and(|active| !Arc::ptr_eq(&active.borrow().physical, &shared.cluster))
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

/// Whether records are sent under an id that their topic has at another physical cluster.
///
/// Kafka refuses them, and they come again, but behind what the client sent under the right id meanwhile; and since a broker takes
/// any sequence number as the first of a producer that it does not know, those in front would be out of order for good: an idempotent
/// producer of Java waits for them until `delivery.timeout.ms`. So the connection ends in front of the first of them, and all come
/// again in their order.
pub(super) fn are_stale(shared: &Shared, tenant: &Tenant, request: &Checked<'_>) -> bool {
    if request.key() != ApiKey::Produce || shared.topic_ids.is_empty() {
        return false;
    }
    let mut ids = Stale { all: &shared.topic_ids, tenant, found: false };
    // What is malformed is refused by who maps it, in a moment.
    scan(plans::request(request.key(), request.version()), request.body(), &mut ids).is_ok() && ids.found
}

/// Looks for ids that stand for a topic of the tenant elsewhere, and for none here.
struct Stale<'a> {
    all: &'a [Arc<TopicIds>],
    tenant: &'a Tenant,
    found: bool,
}

impl Visitor for Stale<'_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        if let (Role::TopicId, Value::Uuid(id)) = (role, value) {
            let means = |ids: &TopicIds| ids.meant(&id, &self.tenant.namespace).is_some();
            self.found |= !means(&self.tenant.topic_ids) && self.all.iter().any(|ids| means(ids));
        }
        Ok(Action::Keep)
    }
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
            let frame = reader.bytes(range.clone());
            let told = check(frame).ok().and_then(|request| begin_anew(&request));
            let Some(answer) = told else { return Ok(()) };
            let begun = self.begin(frame);
            queue.put(Made::exchange(answer?, begun)).await?;
            self.shared.metrics.upstreams.client_sent_to_bootstrap();
            reader.consume(&range);
        }
        Ok(())
    }
}
