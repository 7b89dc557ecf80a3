//! Broker → client: an answer in the names that its request was in, as its reader may see it.

use super::SessionError;
use super::enforce::{self, Written};
use super::joined;
use super::pipeline::{SCRATCH, Session};
use super::queue::Awaited;
use super::refusal::with_refused_resources;
use super::rights::Rights;
use super::throttle;
use super::throttle_time::tell_in_segments;
use crate::naming::{Tenant, response, twins, unreadable};
use crate::transport::vectored;
use std::sync::Arc;
use wire::schema::ApiKey;
use wire::segments::Segments;

/// A topic id of an answer is looked for this often: what its broker knows, another one may learn a moment later, and a group's
/// assignment is told once.
const LOOKS: u32 = 4;

/// What the answering side keeps between answers.
pub(super) struct Reading {
    rights: Rights,
    memory: response::Memory,
    /// The answer to the parts of a request that were answered.
    parts: Option<Vec<u8>>,
}

impl Reading {
    pub(super) fn new(rights: Rights) -> Self {
        Self { rights, memory: response::Memory::default(), parts: None }
    }

    /// The client is answered without what came of its request.
    pub(super) fn forget_parts(&mut self) {
        self.parts = None;
    }
}

/// # Errors
/// [`SessionError`]
pub(super) async fn send_back(
    session: &Session<'_>,
    awaited: &Awaited,
    frame: &[u8],
    reading: &mut Reading,
    segments: &mut Segments,
) -> Result<(), SessionError> {
    let Awaited { key, version, correlation_id, asked, .. } = awaited;
    // A broker that does not know the version answers as version 0 does; the session asks for none such.
    let (answered, start) = wire::frame::response_header(key.response_header(*version), frame)
        .map_err(|e| SessionError::Answer(e.to_string()))?;
    if answered != *correlation_id {
        return Err(SessionError::Answer(format!("correlation id {answered} instead of {correlation_id}")));
    }
    let (head, body) = frame.split_at(start);
    reading.rights.renew();
    // What was lent when the request came may be lent no more.
    let now = Arc::clone(reading.rights.tenant());
    let changed = !now.namespace.is_of(&awaited.tenant.namespace);
    let tenant = if changed { now } else { Arc::clone(&awaited.tenant) };
    let found = mapped(session, awaited, &tenant, body, reading, segments).await?;
    if !changed {
        (0..found.violations + found.unknown_ids).for_each(|_| session.shared.metrics.isolation_violated());
    }
    if let Some(broker) = found.unreachable {
        tracing::warn!(broker, "a coordinator has no port on this gateway: raise clients.portCount");
    }
    let (mut whole, mut front) = (None, Vec::new());
    match shown(session, awaited, &tenant, body, reading, segments)? {
        Some(Written::Body(body)) => whole = Some(body),
        Some(Written::Front(bytes)) => front = bytes,
        None => {}
    }
    let is_rare = found.unreadable > 0 || awaited.more || reading.parts.is_some();
    if is_rare || asked.all && twins::concerns(&tenant.namespace) || !asked.refused.is_empty() {
        let written = whole.unwrap_or_else(|| [front.as_slice(), &segments.to_vec(body)].concat());
        let written = Box::pin(rarely(session, awaited, &tenant, body, written, reading, segments));
        let Some(written) = written.await? else { return Ok(()) };
        (whole, front) = (Some(written), Vec::new());
    }
    let length = whole.as_ref().map_or(front.len() + segments.len(), Vec::len);
    let wait = throttle::answered(awaited.owed.as_deref(), *key, head.len() + length, session.meter());
    if wait > 0 {
        tell_in_segments((*key, *version), wait, &mut whole, &mut front, segments, body)?;
    }
    if let Some(body) = whole {
        return session.answer(&wire::frame::response(*key, *version, *correlation_id, &body)).await;
    }
    let length = head.len() + front.len() + segments.len();
    let prefix = u32::try_from(length).map_err(|_| SessionError::Answer(format!("{length} bytes")))?.to_be_bytes();
    session.metrics.answer(length + 4);
    vectored::write(session.client, &[&prefix, head, &front], segments, body).await.map_err(SessionError::Client)
}

/// Maps the names, if need be after another look at the topics.
async fn mapped(
    session: &Session<'_>,
    awaited: &Awaited,
    tenant: &Tenant,
    body: &[u8],
    reading: &mut Reading,
    segments: &mut Segments,
) -> Result<response::Found, SessionError> {
    let Awaited { key, version, asked, .. } = awaited;
    let mut map = |segments: &mut Segments| {
        response::map(*key, *version, body, asked, tenant, session.broker, &mut reading.memory, segments)
            .map_err(|e| SessionError::Answer(format!("{key:?} {version}: {e}")))
    };
    let mut found = map(segments)?;
    let mut looks = 0..LOOKS;
    while found.unknown_ids > 0 && looks.next().is_some() {
        // A topic that was made a moment ago. Only this connection waits; without a broker to ask, the id stays unknown.
        let _ = session.shared.cluster.refresh().await;
        segments.clear(SCRATCH);
        found = map(segments)?;
    }
    Ok(found)
}

fn shown(
    session: &Session<'_>,
    awaited: &Awaited,
    tenant: &Tenant,
    body: &[u8],
    reading: &mut Reading,
    segments: &mut Segments,
) -> Result<Option<Written>, SessionError> {
    let Awaited { key, version, apart, then, .. } = awaited;
    let (apart, then) = (apart.as_ref(), then.as_ref());
    enforce::shown((*key, *version), segments, body, apart, then, &mut reading.rights, tenant, session.shared)
}

/// What only some answers need: `written` with what else belongs to it; `None` while more is to come.
async fn rarely(
    session: &Session<'_>,
    awaited: &Awaited,
    tenant: &Tenant,
    body: &[u8],
    mut written: Vec<u8>,
    reading: &mut Reading,
    segments: &mut Segments,
) -> Result<Option<Vec<u8>>, SessionError> {
    let Awaited { key, version, asked, .. } = awaited;
    let wrong = |e: &dyn std::fmt::Display| SessionError::Answer(format!("{key:?} {version}: {e}"));
    if asked.all {
        for tenant in twins::further(*key, tenant) {
            segments.clear(SCRATCH);
            let _ = mapped(session, awaited, &tenant, body, reading, segments).await?;
            let more = match shown(session, awaited, &tenant, body, reading, segments)? {
                Some(Written::Body(body)) => body,
                Some(Written::Front(front)) => [front.as_slice(), &segments.to_vec(body)].concat(),
                None => segments.to_vec(body),
            };
            written = joined::joined(*key, *version, &written, &more).map_err(|e| wrong(&e))?;
        }
    }
    if !asked.refused.is_empty() {
        written = with_refused_resources(*key, *version, &written, asked)?;
    }
    if matches!(key, ApiKey::Fetch | ApiKey::ShareFetch) {
        let (refused, count) = unreadable::refused(*key, *version, &written).map_err(|e| wrong(&e))?;
        (0..count).for_each(|_| session.shared.metrics.records_unreadable());
        written = refused;
    }
    if let Some(before) = reading.parts.take() {
        written = joined::joined(*key, *version, &written, &before).map_err(|e| wrong(&e))?;
    }
    if awaited.more {
        reading.parts = Some(written);
        return Ok(None);
    }
    Ok(Some(written))
}
