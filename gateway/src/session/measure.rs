//! What requests cost: counted and timed where they pass, for metrics and traces.
//!
//! The time of a request has five parts that follow each other: it is decided about (`request`), waits for the answers to earlier
//! ones of its connection (`queued`), is with the broker (`upstream`), its answer is renamed (`answer`) and taken by the client
//! (`client`).

use super::SessionError;
use super::pipeline::Session;
use super::queue::Exchange;
use crate::apis::error_codes;
use crate::observe::brokers::Spent;
use crate::observe::errors::ErrorClasses;
use crate::observe::traces::RequestSpan;
use crate::transport::vectored;
use std::time::Instant;
use wire::frame;
use wire::schema::ApiKey;
use wire::segments::Segments;

/// A request that has come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    at: Instant,
    pub(super) api: Option<ApiKey>,
    version: i16,
    bytes: usize,
}

/// An answer that was made here: a whole frame.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) frame: Vec<u8>,
    pub(super) to: Begun,
}

/// A request that was decided about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) begun: Begun,
    pub(super) at: Instant,
}

/// When what happened to a request that a broker answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) sent: Sent,
    /// Earlier answers of the connection were out of the way.
    pub(super) free: Instant,
    /// Its answer was there.
    pub(super) received: Instant,
}

/// The API and version that a frame says it is of.
pub(super) fn named(frame: &[u8]) -> (Option<ApiKey>, i16) {
    frame::request_start(frame).map_or((None, 0), |(code, version, _)| (ApiKey::from_code(code), version))
}

/// Whether brokers hold such a request open until there is something to say: its time says nothing about speed.
const fn is_held(api: ApiKey) -> bool {
    matches!(api, ApiKey::Fetch | ApiKey::ShareFetch | ApiKey::JoinGroup | ApiKey::SyncGroup)
}

impl Made {
    /// As it waits for its turn.
    pub(super) fn exchange(frame: Vec<u8>, to: Begun) -> Exchange {
        Exchange::Local(Box::new(Self { frame, to }))
    }

    fn errors(&self) -> ErrorClasses {
        let Some(api) = self.to.api else { return ErrorClasses::default() };
        let answer = self.frame.get(4..).unwrap_or_default();
        match frame::response_header(api.response_header(self.to.version), answer) {
            Ok((_, start)) => error_codes::classes(api, self.to.version, answer.get(start..).unwrap_or_default()),
            Err(_) => ErrorClasses::default(),
        }
    }
}

impl Session<'_> {
    /// Counts a request.
    pub(super) fn begin(&self, frame: &[u8]) -> Begun {
        let (api, version) = named(frame);
        self.metrics.request(api, frame.len());
        Begun { at: Instant::now(), api, version, bytes: frame.len() }
    }

    /// Sends an answer that was made here.
    ///
    /// # Errors
    /// [`SessionError::Client`]
    pub(super) async fn answer(&self, made: &Made) -> Result<(), SessionError> {
        let errors = made.errors();
        self.metrics.answer(made.to.api, made.frame.len(), errors);
        let ready = Instant::now();
        let written = vectored::write(self.client, &[&made.frame], &Segments::default(), &[]).await;
        written.map_err(SessionError::Client)?;
        let now = Instant::now();
        self.metrics.took(now - made.to.at);
        let (Some(traces), Some(api)) = (&self.shared.traces, made.to.api) else { return Ok(()) };
        if traces.chooses() {
            traces.send(&RequestSpan {
                api,
                version: made.to.version,
                virtual_cluster: &self.identity.virtual_cluster,
                broker: None,
                request_bytes: made.to.bytes,
                response_bytes: made.frame.len(),
                errors,
                parts: &[("request", ready - made.to.at), ("client", now - ready)],
            });
        }
        Ok(())
    }

    /// So many bytes of a request went to the broker.
    pub(super) fn sent(&self, bytes: usize) {
        self.upstream.iter().for_each(|broker| broker.metrics().request(bytes));
    }

    /// So many bytes of an answer came from the broker.
    pub(super) fn received(&self, bytes: usize) {
        self.upstream.iter().for_each(|broker| broker.metrics().answer(bytes));
    }

    /// Times an answer of the broker, of so many bytes, that was ready at some time and has gone out now.
    pub(super) fn answered(&self, times: &Times, ready: Instant, bytes: usize, errors: ErrorClasses) {
        let Times { sent: Sent { begun, at: sent }, free, received } = *times;
        let Some(api) = begun.api else { return };
        let now = Instant::now();
        let free = free.max(sent);
        // An answer may be there before its turn has come.
        let received = received.max(free);
        let (asking, upstream, answering) =
            (sent - begun.at, received - free, ready.saturating_duration_since(received));
        let spent = Spent { gateway: asking + answering, upstream, client: now.saturating_duration_since(ready) };
        self.shared.metrics.request_took(api, &spent);
        if !is_held(api) {
            self.metrics.took(now - begun.at);
            self.upstream.iter().for_each(|broker| broker.metrics().took(upstream));
        }
        let Some(traces) = self.shared.traces.as_ref().filter(|traces| traces.chooses()) else { return };
        traces.send(&RequestSpan {
            api,
            version: begun.version,
            virtual_cluster: &self.identity.virtual_cluster,
            broker: Some(self.broker),
            request_bytes: begun.bytes,
            response_bytes: bytes,
            errors,
            parts: &[
                ("request", asking),
                ("queued", free - sent),
                ("upstream", upstream),
                ("answer", answering),
                ("client", spent.client),
            ],
        });
    }
}
