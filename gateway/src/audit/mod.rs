//! The audit: what is worth knowing about who came, what was refused and what was changed, as one JSON event each.
//!
//! Whoever refuses, admits or changes something calls [`Audit::record`] and goes on: it never waits. One task, the
//! [`recorder::Recorder`], takes the events out of a bounded queue, looks for what is odd ([`anomaly`]), joins what repeats
//! itself ([`repeats`]) and hands lines to the sinks, each of which chains ([`chain`]) and keeps them.
//!
//! Invariant: no event holds a payload, a password, a token or a key; its types have no place for one.

pub mod anomaly;
pub mod chain;
pub mod event;
mod record;
pub mod recorder;
mod repeats;
pub mod sinks;
pub mod verify;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::observe::metrics::Metrics;
use event::Event;

/// Where events go in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// The handle, and the end of the queue that [`recorder::Recorder`] takes events from. Where that is dropped, every event
    /// counts as lost.
    pub fn new(capacity: usize, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(capacity.max(1));
        (Self { queue, metrics }, events)
    }

    /// Records an event without waiting. One that finds no room is counted, and told as `EVENTS_LOST` once there is room.
    pub fn record(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.metrics.audit.lost_in_queue();
        }
    }
}
