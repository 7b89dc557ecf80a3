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
use super::live;
use super::record::record;
use super::repeats::Repeats;
use super::sinks::{self, Ready, SinkError};
use crate::config;
use crate::observe::metrics::Metrics;
use crate::upstream::cluster::Cluster;

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
        cluster: &Arc<Cluster>,
        events: mpsc::Receiver<Event>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SinkError> {
        let ready = sinks::open(settings, &node, cluster).await?;
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
        live::publish(event, &self.metrics.stream);
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
        live::publish(alert, &self.metrics.stream);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::audit::Audit;
    use crate::audit::chain::Hasher;
    use crate::audit::verify::{Expected, Fault, Report, verify};
    use crate::config::AuditFile;
    use crate::naming::topic_ids::TopicIds;
    use crate::upstream::physical::Physical;
    use crate::upstream::security::Security;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("recorder-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self) -> PathBuf {
            self.0.join("audit.log")
        }

        fn settings(&self) -> config::Audit {
            let loaded = config::Config::parse("upstream: {bootstrapServers: '127.0.0.1:1'}", []).unwrap();
            let file = AuditFile { path: self.file(), fsync: false };
            config::Audit { file: Some(file), ..loaded.config.audit }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    async fn open(settings: &config::Audit, queue: usize) -> (Audit, Recorder, Arc<Metrics>) {
        let metrics = Arc::<Metrics>::default();
        let (audit, events) = Audit::new(queue, crate::audit::Watched::default(), Arc::clone(&metrics));
        let cluster = Arc::new(Cluster::new(
            Arc::new(Physical::new("main", &[], Security::default(), Arc::new(TopicIds::new(&[1; 16]).unwrap()))),
            Vec::new(),
        ));
        let recorder = Recorder::open(settings, "gw-1".into(), &cluster, events, Arc::clone(&metrics)).await.unwrap();
        (audit, recorder, metrics)
    }

    fn ended(reason: &str) -> Event {
        Event::new(Action::SessionEnded { reason: reason.into() })
    }

    fn refused(api: &str) -> Event {
        Event::new(Action::RequestRefused { api: api.into(), reason: "no".into() })
    }

    fn checked(file: &Path) -> Report {
        let text = std::fs::read(file).unwrap();
        let expected = Expected { hasher: Hasher::new(None), after: BTreeSet::new(), last: BTreeSet::new() };
        verify(&text[..], &expected).unwrap()
    }

    #[tokio::test]
    async fn each_run_goes_on_where_the_last_one_ended() {
        let folder = Folder::new("runs");
        for run in 0..3 {
            let (audit, recorder, _) = open(&folder.settings(), 100).await;
            recorder.during(async { (0..5).for_each(|n| audit.record(ended(&format!("{run}-{n}")))) }).await;
        }
        let report = checked(&folder.file());
        assert_eq!((report.events, report.chains.len(), report.broken), (18, 1, None));
        let text = std::fs::read_to_string(folder.file()).unwrap();
        assert_eq!(text.matches("\"type\":\"CHAIN_STARTED\"").count(), 3, "each run says that it began");
        assert!(text.lines().nth(6).unwrap().contains("goes on behind the last line"));
    }

    #[tokio::test]
    async fn a_last_line_that_was_changed_is_not_built_upon() {
        let folder = Folder::new("changed");
        let run = async || {
            let (audit, recorder, _) = open(&folder.settings(), 100).await;
            recorder.during(async { audit.record(ended("revoked")) }).await;
        };
        run().await;
        let text = std::fs::read_to_string(folder.file()).unwrap();
        std::fs::write(folder.file(), text.replace("revoked", "expired")).unwrap();
        run().await;
        let report = checked(&folder.file());
        assert_eq!(report.chains.len(), 2, "a chain of its own, which is intact");
        assert_eq!(report.broken.map(|broken| (broken.line, broken.fault)), Some((2, Fault::Changed)));
        assert!(std::fs::read_to_string(folder.file()).unwrap().contains("it was changed, or the key was"));
    }

    #[tokio::test]
    async fn a_flood_is_a_few_lines_and_what_does_not_fit_is_counted_and_told() {
        let folder = Folder::new("flood");
        let (audit, recorder, metrics) = open(&folder.settings(), 10).await;
        (0..1000).for_each(|_| audit.record(refused("Fetch")));
        assert_eq!(metrics.audit.all_lost_in_queue(), 990);
        recorder.during(async {}).await;
        let text = std::fs::read_to_string(folder.file()).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r#""type":"EVENTS_LOST""#) && text.contains(r#"{"count":990,"at":"queue"}"#), "{text}");
        assert!(text.lines().last().unwrap().contains(r#""count":9"#), "{text}");
        assert_eq!(checked(&folder.file()).broken, None, "what was lost before it had a place breaks no chain");
    }

    #[tokio::test]
    async fn a_sink_that_takes_nothing_holds_nobody_up_and_tells_later() {
        let folder = Folder::new("stuck");
        std::fs::create_dir(folder.0.join("sub")).unwrap();
        let mut settings = folder.settings();
        settings.file = Some(AuditFile { path: folder.0.join("sub/audit.log"), fsync: false });
        let (audit, recorder, metrics) = open(&settings, 20_000).await;
        // From here on the file can't be opened anew, as with a disk that is gone.
        std::fs::rename(folder.0.join("sub"), folder.0.join("gone")).unwrap();
        recorder
            .during(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                (0..12_000).for_each(|n| audit.record(ended(&n.to_string())));
                while !metrics.render().contains("gateway_audit_events_total{type=\"SESSION_ENDED\"} 12000\n") {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                assert!(metrics.render().contains("gateway_audit_events_lost_total{at=\"file\"} "));
                std::fs::rename(folder.0.join("gone"), folder.0.join("sub")).unwrap();
                while !metrics.render().contains("gateway_audit_events_kept_total{sink=\"file\"} 1") {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                audit.record(ended("afterwards"));
            })
            .await;
        let file = folder.0.join("sub/audit.log");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(r#""at":"file""#) && text.contains("afterwards"), "{}", text.len());
        assert_eq!(checked(&file).broken, None);
    }
}
