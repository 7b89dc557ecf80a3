//! The audit: what is worth knowing about who came, what was refused and what was changed, as one JSON event each.
//!
//! Whoever refuses, admits or changes something calls [`Audit::record`] and goes on: it never waits. One task, the
//! [`recorder::Recorder`], takes the events out of a bounded queue, looks for what is odd ([`anomaly`]), joins what repeats
//! itself ([`repeats`]) and hands lines to the sinks, each of which chains ([`chain`]) and keeps them.
//!
//! Invariant: no event holds a payload, a password, a token or a key; its types have no place for one.

pub mod anomaly;
pub mod caller;
pub mod chain;
pub mod event;
mod live;
mod record;
pub mod recorder;
mod repeats;
pub mod sinks;
pub mod verify;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{self, NamePattern};
use crate::observe::metrics::Metrics;
use event::Event;

/// Where events go in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
    watched: Arc<Watched>,
}

/// Which uses of topics are events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    all: bool,
    sensitive: Vec<NamePattern>,
}

impl Watched {
    /// As it was set.
    pub fn new(settings: &config::Audit) -> Self {
        Self { all: settings.topic_uses, sensitive: settings.sensitive_topics.clone() }
    }

    /// Whether no use of any topic is.
    pub fn is_nothing(&self) -> bool {
        !self.all && self.sensitive.is_empty()
    }

    /// Whether a topic's use is an event: then, whether it is a sensitive one.
    pub fn is_sensitive(&self, topic: &str) -> Option<bool> {
        let sensitive = self.sensitive.iter().any(|pattern| pattern.matches(topic));
        (sensitive || self.all).then_some(sensitive)
    }
}

impl Audit {
    /// The handle, and the end of the queue that [`recorder::Recorder`] takes events from. Where that is dropped, every event
    /// counts as lost.
    pub fn new(capacity: usize, watched: Watched, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(capacity.max(1));
        (Self { queue, metrics, watched: Arc::new(watched) }, events)
    }

    /// Which uses of topics are events.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Records an event without waiting. One that finds no room is counted, and told as `EVENTS_LOST` once there is room.
    pub fn record(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.metrics.audit.lost_in_queue();
        }
    }
}
