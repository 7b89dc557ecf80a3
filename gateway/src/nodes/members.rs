//! How this node says that it is there, hears the others, and says goodbye.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::beat::{self, Beat, Reach};
use super::heard::{Change, Heard};
use super::view::{Node, View};
use crate::config::{Listener, Nodes};
use crate::upstream::cluster::Cluster;
use crate::upstream::topic_log::{LogError, Shape, TopicLog, UP_TO_THREE};

/// Beats are worth nothing after seconds: old ones go by age and by key.
const SHAPE: Shape = Shape { partitions: 1, replication_factor: UP_TO_THREE, cleanup_policy: "compact,delete" };
const SETTINGS: &[(&str, &str)] = &[("retention.ms", "3600000"), ("segment.ms", "600000")];
/// A node is gone after so many beats that were not heard.
const MISSED: u32 = 4;
/// A node that comes reads so many of the latest records: the last beat of every other is among them.
const BACK: i64 = 1024;
/// What a node shares with the others is no longer than this, in bytes of JSON.
const LONGEST_USAGE: usize = 256 << 10;
/// A goodbye takes no longer; the others notice by themselves then.
const GOODBYE: Duration = Duration::from_secs(2);
/// Trouble that ends sooner is not worth a line: a topic that is made at this moment has no leader yet.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
/// For so long clients are asked to look once more where a coordinator is.
const LATELY: Duration = Duration::from_secs(300);
/// Kafka's OFFSET_OUT_OF_RANGE: the topic was made anew, or its records are too old.
const OUT_OF_RANGE: i16 = 1;

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Here,
    Leaving,
    Gone,
}

/// This node among the others.
#[derive(Debug)]
pub struct Members {
    settings: Nodes,
    me: Beat,
    usage: Mutex<Value>,
    view: watch::Sender<Arc<View>>,
    stage: watch::Sender<Stage>,
}

/// The conversation with the others.
struct Talk {
    log: TopicLog,
    heard: Heard,
    /// The topic by its id: another one means another cluster, or a topic that was made anew.
    topic: Option<[u8; 16]>,
    /// Where to read on, and the offset of this node's first beat; `None` before it.
    place: Option<(i64, i64)>,
    beat_due: Instant,
    read_at: Instant,
    failing: Option<Failing>,
    conflict_told: bool,
    /// How many nodes have left, and when the last one did.
    departures: u32,
    departed: Option<Instant>,
}

struct Failing {
    since: Instant,
    told: bool,
}

impl Members {
    /// The node with these settings and listeners; `default_id` is what it is called where the settings say nothing. Alone until
    /// [`Self::run`] has heard of others.
    pub fn new(settings: &Nodes, listeners: &[Listener], machine: &str, default_id: &str) -> Self {
        let started = milliseconds();
        let me = Beat {
            node: settings.id.clone().unwrap_or_else(|| default_id.to_owned()),
            incarnation: format!("{machine}-{}-{started}", std::process::id()),
            machine: machine.to_owned(),
            rack: settings.rack.clone(),
            listeners: listeners.iter().map(|listener| (listener.name.clone(), Reach::of(listener))).collect(),
            started,
            expires: started,
            lasts: u64::try_from((settings.heartbeat * MISSED).as_millis()).unwrap_or(u64::MAX),
            usage: Value::Null,
        };
        let alone = View::new(Node::new(Arc::new(me.clone()), machine), [], false, &BTreeMap::new());
        let (view, stage) = (watch::Sender::new(Arc::new(alone)), watch::Sender::new(Stage::Here));
        Self { settings: settings.clone(), me, usage: Mutex::default(), view, stage }
    }

    /// Who is there, now and whenever it changes.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Whether there is anybody to leave clients to.
    pub fn has_others(&self) -> bool {
        self.view.borrow().nodes().len() > 1
    }

    /// How long it may take until what this node says is known to all.
    pub fn until_known(&self) -> Duration {
        self.settings.heartbeat
    }

    /// What goes out with the next beat, in place of what was there. More than 256 KiB of JSON is not taken; tells whether it was.
    pub fn share(&self, usage: Value) -> bool {
        let fits = usage.to_string().len() <= LONGEST_USAGE;
        if fits {
            *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        }
        fits
    }

    /// Beats and listens for as long as it is polled.
    pub async fn run(&self, cluster: &Arc<Cluster>) {
        if !self.settings.together {
            return std::future::pending().await;
        }
        let now = Instant::now();
        let mut talk = Talk {
            log: TopicLog::new(Arc::clone(cluster), self.settings.topic.clone(), SHAPE, 0).strict(SETTINGS),
            heard: Heard::default(),
            topic: None,
            place: None,
            beat_due: now,
            read_at: now,
            failing: None,
            conflict_told: false,
            departures: 0,
            departed: None,
        };
        let mut stage = self.stage.subscribe();
        let mut serves = cluster.follow();
        loop {
            let at = *stage.borrow_and_update();
            let _ = serves.borrow_and_update();
            let done = tokio::select! {
                done = self.round(&mut talk, at) => done,
                // The others are at another cluster now: the former one may hang, and they would take this node for dead.
                Ok(()) = serves.changed() => continue,
            };
            match done {
                Ok(()) => talk.recovered(),
                Err(error) => talk.failed(&error),
            }
            self.publish(&talk, cluster);
            tokio::select! {
                () = tokio::time::sleep(self.settings.heartbeat / 2) => {}
                _ = stage.changed() => {}
            }
        }
    }

    /// Says goodbye; returns when that is written, or could not be in time.
    pub async fn leave(&self) {
        if self.settings.together {
            let _ = self.stage.send_replace(Stage::Leaving);
            let mut stage = self.stage.subscribe();
            let _ = tokio::time::timeout(GOODBYE, stage.wait_for(|stage| *stage == Stage::Gone)).await;
        }
    }

    async fn round(&self, talk: &mut Talk, stage: Stage) -> Result<(), LogError> {
        let key = || beat::key(&self.settings.cluster_id, &self.me.node);
        let topic = talk.log.id().await?;
        if talk.topic.replace(topic).is_some_and(|before| before != topic) {
            talk.start_over();
        }
        match stage {
            Stage::Here if Instant::now() >= talk.beat_due => {
                let due = Instant::now() + self.settings.heartbeat;
                let value = self.beat().write();
                let codec = |error: serde_json::Error| LogError::Codec {
                    topic: self.settings.topic.clone(),
                    reason: error.to_string(),
                };
                let offset = talk.log.append(vec![(key(), Some(value.map_err(codec)?))]).await?;
                talk.beat_due = due;
                let _ = talk.place.get_or_insert(((offset - BACK).max(0), offset));
            }
            Stage::Leaving => {
                let _ = talk.log.append(vec![(key(), None)]).await?;
                let _ = self.stage.send_replace(Stage::Gone);
            }
            Stage::Here | Stage::Gone => {}
        }
        self.listen(talk).await
    }

    fn beat(&self) -> Beat {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Beat { expires: milliseconds().saturating_add(self.me.lasts), usage, ..self.me.clone() }
    }

    async fn listen(&self, talk: &mut Talk) -> Result<(), LogError> {
        while let Some((next, first)) = talk.place {
            let page = match talk.log.read(next).await {
                Ok(page) => page,
                Err(error) => {
                    if matches!(error, LogError::Refused { code: OUT_OF_RANGE, .. }) {
                        // From its first beat on there must be something, or from the next one on.
                        talk.place = (next < first).then_some((first, first));
                    }
                    return Err(error);
                }
            };
            for record in &page.records {
                let key = record.key.as_deref().unwrap_or_default();
                self.hear(talk, key, record.value.as_deref(), record.offset, first);
            }
            talk.place = Some((page.next, first));
            if page.is_last {
                break;
            }
        }
        let now = Instant::now();
        if talk.failing.is_some() || now.duration_since(talk.read_at) > 2 * self.settings.heartbeat {
            talk.heard.spare(now);
        }
        talk.read_at = now;
        for change in talk.heard.expire(now) {
            self.note(talk, &change);
        }
        Ok(())
    }

    fn hear(&self, talk: &mut Talk, key: &[u8], value: Option<&[u8]>, offset: i64, first: i64) {
        let Some(node) = beat::node_of(&self.settings.cluster_id, key) else { return };
        let is_me = node == self.me.node;
        let Some(value) = value else {
            // Of this name an earlier process may have said goodbye.
            if !is_me && let Some(change) = talk.heard.goodbye(node, offset < first) {
                self.note(talk, &change);
            }
            return;
        };
        let beat = match Beat::read(node, value) {
            Ok(beat) => beat,
            Err(error) => {
                tracing::debug!(topic = talk.log.topic(), offset, "ignored a beat: {error}");
                return;
            }
        };
        if is_me {
            if offset > first && beat.incarnation != self.me.incarnation && !talk.conflict_told {
                talk.conflict_told = true;
                tracing::warn!(
                    node,
                    machine = beat.machine.escape_debug().to_string(),
                    "another gateway calls itself by the same name: the others see only one of both; set nodes.id, GATEWAY_NODE_ID"
                );
            }
        } else if let Some(change) = talk.heard.beat(beat, Instant::now(), milliseconds(), offset < first) {
            self.note(talk, &change);
        }
    }

    fn note(&self, talk: &mut Talk, change: &Change) {
        if !matches!(change, Change::Came(_)) {
            talk.departures = talk.departures.wrapping_add(1).max(1);
            talk.departed = Some(Instant::now());
        }
        let cluster = self.settings.cluster_id.as_str();
        match change {
            Change::Came(node) => tracing::info!(cluster, node = %node.escape_debug(), "a node joined"),
            Change::Left(node) => tracing::info!(cluster, node = %node.escape_debug(), "a node left"),
            Change::Expired(node) => {
                tracing::info!(cluster, node = %node.escape_debug(), "a node is gone: no heartbeat in time");
            }
        }
    }

    fn publish(&self, talk: &Talk, cluster: &Cluster) {
        let topology = cluster.topology();
        let brokers = topology.brokers.keys().map(|id| (*id, topology.racks.get(id).cloned())).collect();
        let leaving = *self.stage.borrow() != Stage::Here;
        let me = Node::new(Arc::new(self.beat()), &self.me.machine);
        let others = talk.heard.beats().map(|beat| Node::new(beat, &self.me.machine));
        let lately = talk.departed.is_some_and(|departed| departed.elapsed() < LATELY);
        let departure = NonZeroU32::new(talk.departures).filter(|_| lately);
        let view = View::new(me, others, leaving, &brokers).after(departure);
        let _ = self.view.send_replace(Arc::new(view));
    }
}

impl Talk {
    /// Offsets of the former topic mean nothing in this one: the next beat says where to read on. Nobody is gone for that.
    fn start_over(&mut self) {
        let now = Instant::now();
        (self.place, self.beat_due) = (None, now);
        self.heard.start_over(now);
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some_and(|failing| failing.told) {
            tracing::info!(topic = self.log.topic(), "the nodes hear each other again");
        }
    }

    fn failed(&mut self, error: &LogError) {
        let failing = self.failing.get_or_insert(Failing { since: Instant::now(), told: false });
        if !failing.told && failing.since.elapsed() >= WORTH_A_LINE {
            failing.told = true;
            tracing::warn!("this node and the others cannot hear each other; trying again until they can: {error}");
        }
    }
}

fn milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
