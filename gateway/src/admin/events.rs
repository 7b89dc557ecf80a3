//! `/anabranch/v1/events`: what happens, as it happens, as server-sent events.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use contract::events::{Envelope, SCHEMAS};
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::Admin;
use super::answer::{ApiError, query};
use super::roles::Asker;
use crate::observe::stream::Wanted;

/// A stream ends by then, so that rights which were taken since do not last: readers connect again.
const LONGEST: Duration = Duration::from_secs(3600);
/// What is between may close a connection on which nothing is said.
const QUIET: Duration = Duration::from_secs(15);

/// `?kinds=connection,denial`
#[derive(Debug, Default, Deserialize)]
pub(super) struct EventsQuery {
    kinds: Option<String>,
}

pub(super) async fn stream(
    State(admin): State<Arc<Admin>>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
) -> Result<impl IntoResponse, ApiError> {
    let EventsQuery { kinds } = query(&uri)?;
    let virtual_clusters = asker.only().map(|own| BTreeSet::from([own.to_owned()]));
    let wanted = Wanted { virtual_clusters, kinds: named(kinds.as_deref())? };
    let events = admin.metrics.stream.read(wanted);
    let events = events.map_err(|not| ApiError::busy(not.to_string()))?;
    let feed = Feed { events, over: Box::pin(tokio::time::sleep(LONGEST)) };
    Ok(Sse::new(feed).keep_alive(KeepAlive::new().interval(QUIET)))
}

fn named(kinds: Option<&str>) -> Result<BTreeSet<String>, ApiError> {
    let kinds: BTreeSet<String> = kinds.into_iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect();
    let known = || SCHEMAS.iter().map(|(kind, _)| *kind);
    match kinds.iter().find(|kind| !known().any(|known| known == kind.as_str())) {
        Some(kind) => {
            let known = known().collect::<Vec<_>>().join(", ");
            Err(ApiError::invalid(format!("the query: kinds: '{kind}' is none of {known}")))
        }
        None => Ok(kinds),
    }
}

/// One reader's events, until the gateway ends or the time is over.
struct Feed {
    events: mpsc::Receiver<Envelope>,
    over: Pin<Box<Sleep>>,
}

impl Stream for Feed {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let Some(envelope) = ready!(self.events.poll_recv(cx)) else { return Poll::Ready(None) };
        let event = Event::default().id(envelope.sequence.to_string()).event(envelope.event.kind());
        Poll::Ready(Some(Ok(match serde_json::to_string(&envelope) {
            Ok(data) => event.data(data),
            // Its number then tells that it is missing.
            Err(error) => event.comment(error.to_string()),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_they_are() {
        assert_eq!(named(None).unwrap().len(), 0);
        assert_eq!(named(Some("denial,traffic")).unwrap().len(), 2);
        let error = named(Some("denial,trafic")).unwrap_err();
        assert!(error.body.msg.unwrap().contains("'trafic' is none of connection, denial, audit, traffic, dropped"));
    }
}
