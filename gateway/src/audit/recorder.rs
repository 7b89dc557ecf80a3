//! The task behind the queue: it alone decides what becomes of an event, and never waits for a sink.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::anomaly::{Anomalies, MINUTE, Rules};
use super::event::{Action, Event};
use super::record::record;
use super::repeats::Repeats;
use super::sinks::{self, Ready, SinkError};
use crate::config;
use crate::observe::metrics::Metrics;

/// What repeated itself is looked at this often.
const TICK: Duration = Duration::from_secs(1);
/// When the gateway ends, its sinks get this long for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Takes events out of the queue until the gateway ends.
#[derive(Debug)]
pub struct Recorder {
    node: String,
    events: mpsc::Receiver<Event>,
    metrics: Arc<Metrics>,
    anomalies: Anomalies,
    repeats: Repeats,
    ready: Vec<Ready>,
    keepers: Vec<Keeper>,
    told_lost: u64,
}

/// The near end of a sink's queue.
#[derive(Debug)]
struct Keeper {
    name: &'static str,
    records: mpsc::Sender<Arc<str>>,
    /// Since it was last told.
    lost: u64,
}

impl Recorder {
    /// Opens the sinks.
    ///
    /// # Errors
    /// [`SinkError`]: a gateway that was told to keep a record does not run without.
    pub async fn open(
        settings: &config::Audit,
        node: String,
        events: mpsc::Receiver<Event>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SinkError> {
        let ready = sinks::open(settings).await?;
        let rules = Rules { failures: settings.failures, window: settings.window };
        let (anomalies, repeats) = (Anomalies::new(rules), Repeats::default());
        Ok(Self { node, events, metrics, anomalies, repeats, ready, keepers: Vec::new(), told_lost: 0 })
    }

    /// Records while `work` is done, and at its end what is still in the queue.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let (over, closing) = oneshot::channel::<()>();
        let work = async {
            let done = work.await;
            drop(over);
            done
        };
        // A task of its own: the recorder must not wait while the work computes.
        let recording = tokio::spawn(self.run(async { closing.await.unwrap_or_default() }));
        let done = work.await;
        if let Err(error) = recording.await {
            tracing::warn!(%error, "the audit ended before the gateway did");
        }
        done
    }

    async fn run(mut self, closing: impl Future<Output = ()>) {
        let mut keeping = JoinSet::new();
        for ready in std::mem::take(&mut self.ready) {
            let (sender, receiver) = Ready::queue();
            self.keepers.push(Keeper { name: ready.name(), records: sender, lost: 0 });
            let _ = keeping.spawn(ready.keep(self.node.clone(), receiver, Arc::clone(&self.metrics)));
        }
        tokio::pin!(closing);
        let (mut ticks, mut minutes) = (interval(TICK), interval(MINUTE));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.take(&event),
                    None => break,
                },
                _ = ticks.tick() => self.tick(),
                _ = minutes.tick() => self.minute(),
                () = &mut closing => break,
            }
        }
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            self.take(&event);
        }
        self.tell_lost();
        for (event, count) in self.repeats.all() {
            self.keep(&event, count);
        }
        self.keepers.clear();
        let written = async { while keeping.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, written).await.is_err() {
            tracing::warn!("audit events that no sink took until the gateway's end are lost");
        }
    }

    fn take(&mut self, event: &Event) {
        let now = Instant::now();
        self.tell_lost();
        self.metrics.audit.event(event.action.type_name());
        if self.repeats.is_first(event, now) {
            self.keep(event, 1);
        }
        for alert in self.anomalies.seen(event, now) {
            self.alert(&alert);
        }
    }

    fn tick(&mut self) {
        self.tell_lost();
        for (event, count) in self.repeats.over(Instant::now()) {
            self.keep(&event, count);
        }
    }

    fn minute(&mut self) {
        let sent: BTreeMap<Arc<str>, u64> = self.metrics.bytes_sent();
        for alert in self.anomalies.minute(&sent) {
            self.alert(&alert);
        }
    }

    fn alert(&mut self, alert: &Event) {
        if let Action::Alert { rule, subject, detail } = &alert.action {
            self.metrics.audit.alert(rule);
            tracing::warn!(rule, %subject, %detail, "audit alert");
        }
        self.keep(alert, 1);
    }

    fn tell_lost(&mut self) {
        let lost = self.metrics.audit.all_lost_in_queue();
        if lost > self.told_lost {
            let count = lost - std::mem::replace(&mut self.told_lost, lost);
            tracing::warn!(count, "audit events lost: more came than the queue takes (audit.queue)");
            self.keep(&Event::new(Action::EventsLost { count, at: "queue" }), 1);
        }
    }

    fn keep(&mut self, event: &Event, count: u64) {
        if self.keepers.is_empty() {
            return;
        }
        let line: Arc<str> = record(event, count, &self.node).into();
        for keeper in &mut self.keepers {
            keeper.take(&line, &self.node, &self.metrics);
        }
    }
}

impl Keeper {
    fn take(&mut self, line: &Arc<str>, node: &str, metrics: &Metrics) {
        if self.lost > 0 {
            let lost = Event::new(Action::EventsLost { count: self.lost, at: self.name });
            if self.records.try_send(record(&lost, 1, node).into()).is_ok() {
                self.lost = 0;
            }
        }
        if self.lost > 0 || self.records.try_send(Arc::clone(line)).is_err() {
            self.lost += 1;
            metrics.audit.lost(self.name);
        }
    }
}
