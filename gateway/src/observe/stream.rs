//! The live event stream: who publishes never waits, and each reader gets what it may see, numbered for itself.
//!
//! Invariant: what one reader is told, its numbers included, does not depend on events that it may not see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use contract::events::{Dropped, Envelope, Event, Traffic};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::metrics::Metrics;
use super::text::Text;

/// Events that wait for one reader; more are dropped and counted.
const QUEUE: usize = 1024;
/// How many may read at once.
const MOST_READERS: usize = 32;
/// So many of them are kept for operators, whatever the users of virtual clusters open.
const FOR_OPERATORS: usize = 8;
/// How many may read at once what one virtual cluster does.
const MOST_OF_ONE: usize = 4;

/// Where events go in.
#[derive(Debug, Default)]
pub struct EventStream {
    readers: Mutex<Readers>,
    /// How many readers there are, so that nobody takes the lock for none.
    count: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Readers {
    all: Vec<Reader>,
    closed: bool,
}

#[derive(Debug)]
struct Reader {
    wanted: Wanted,
    queue: mpsc::Sender<Envelope>,
    /// The number of the last event that it was to get.
    sequence: u64,
    /// Dropped since the last one that it got.
    lost: u64,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Only what its clients do of these virtual clusters; `None` for everything.
    pub virtual_clusters: Option<BTreeSet<String>>,
    /// These kinds; empty for all.
    pub kinds: BTreeSet<String>,
}

impl Wanted {
    /// Whether a reader that may see only some virtual clusters may see those of this name.
    pub fn may_see(&self, virtual_cluster: &str) -> bool {
        self.virtual_clusters.as_ref().is_none_or(|own| own.contains(virtual_cluster))
    }

    /// Whether a reader of some virtual clusters leaves enough for operators and for other virtual clusters.
    fn leaves_room(&self, readers: &[Reader]) -> bool {
        let Some(own) = &self.virtual_clusters else { return true };
        let others = || readers.iter().filter_map(|reader| reader.wanted.virtual_clusters.as_ref());
        others().count() < MOST_READERS - FOR_OPERATORS && others().filter(|other| *other == own).count() < MOST_OF_ONE
    }

    fn takes(&self, event: &Event) -> bool {
        let wanted = self.kinds.is_empty() || self.kinds.contains(event.kind());
        wanted && (self.virtual_clusters.is_none() || owner(event).is_some_and(|owner| self.may_see(owner)))
    }
}

/// What of the audit the users of a virtual cluster may know, where one of its clients did it.
const OF_TENANTS: [&str; 3] = ["AUTHENTICATION", "ACL", "TOPIC_USED"];

/// Whose an event is; `None` where it is the operators' alone. What somebody else than a tenant's own client did to a virtual
/// cluster says who administers the gateway from where.
fn owner(event: &Event) -> Option<&str> {
    match event {
        Event::Connection(connection) => Some(&connection.virtual_cluster),
        Event::Traffic(traffic) => Some(&traffic.virtual_cluster),
        // Why a session ended may be for the operator only; that it did is a connection's event.
        Event::Audit(event) if !OF_TENANTS.contains(&event.kind.as_str()) => None,
        Event::Denial(event) | Event::Audit(event) => event.user.as_ref().and(event.virtual_cluster.as_deref()),
        Event::Dropped(_) => None,
    }
}

/// Why nobody else can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// The bound is reached.
    #[error(
        "as many read the events of this gateway as may, {MOST_READERS} and of one virtual cluster {MOST_OF_ONE}: end one of \
         them, or ask again later"
    )]
    TooMany,
    /// The gateway ends.
    #[error("the gateway is about to end: read the events of another one")]
    Ending,
}

impl EventStream {
    /// Whether anybody reads: without, an event need not be made.
    pub fn is_read(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Another reader. It ends when the receiver is dropped.
    ///
    /// # Errors
    /// [`NotRead`]
    pub fn read(&self, wanted: Wanted) -> Result<mpsc::Receiver<Envelope>, NotRead> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.all.retain(|reader| !reader.queue.is_closed());
        if readers.closed {
            return Err(NotRead::Ending);
        }
        if readers.all.len() >= MOST_READERS || !wanted.leaves_room(&readers.all) {
            self.count.store(readers.all.len(), Ordering::Relaxed);
            return Err(NotRead::TooMany);
        }
        let (queue, events) = mpsc::channel(QUEUE);
        readers.all.push(Reader { wanted, queue, sequence: 0, lost: 0 });
        self.count.store(readers.all.len(), Ordering::Relaxed);
        Ok(events)
    }

    /// Tells every reader that may know and wants to, without waiting for any.
    pub fn publish(&self, event: &Event) {
        if !self.is_read() {
            return;
        }
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has left was not too slow.
        readers.all.retain(|reader| !reader.queue.is_closed());
        for reader in readers.all.iter_mut().filter(|reader| reader.wanted.takes(event)) {
            let dropped = reader.tell(event, &time);
            self.dropped.fetch_add(u64::from(dropped), Ordering::Relaxed);
        }
        self.count.store(readers.all.len(), Ordering::Relaxed);
    }

    /// Ends the streams of all readers, who may come back if they still may read.
    pub fn send_away(&self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.all.clear();
        self.count.store(0, Ordering::Relaxed);
    }

    /// Ends the streams of all readers, and lets nobody else read.
    pub fn close(&self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        *readers = Readers { all: Vec::new(), closed: true };
        self.count.store(0, Ordering::Relaxed);
    }

    /// How many events readers were too slow for.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn render(&self, text: &mut Text) {
        let readers = self.count.load(Ordering::Relaxed);
        text.single("gateway_event_stream_readers", "gauge", "Who reads the live event stream now.", readers);
        let help = "Events of the live event stream that readers were too slow for.";
        text.single("gateway_event_stream_dropped_total", "counter", help, self.all_dropped());
    }
}

impl Reader {
    /// Tells it; returns whether the event was dropped.
    fn tell(&mut self, event: &Event, time: &str) -> bool {
        self.sequence += 1;
        let envelope = |sequence, event| Envelope { sequence, time: time.to_owned(), event };
        if self.lost > 0 {
            // What was dropped is told first, by the number of the last one of it.
            if self.queue.capacity() < 2 {
                self.lost += 1;
                return true;
            }
            let dropped = Event::Dropped(Dropped { count: self.lost });
            if self.queue.try_send(envelope(self.sequence - 1, dropped)).is_ok() {
                self.lost = 0;
            }
        }
        let dropped = self.queue.try_send(envelope(self.sequence, event.clone())).is_err();
        self.lost += u64::from(dropped);
        dropped
    }
}

/// Tells readers of the stream once a second what each virtual cluster did in it; does not end.
pub async fn tell_traffic<T>(metrics: Arc<Metrics>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<BTreeMap<Arc<str>, Traffic>> = None;
    loop {
        let _ = ticks.tick().await;
        if !metrics.stream.is_read() {
            before = None;
            continue;
        }
        let now = metrics.traffic();
        for (name, traffic) in before.iter().flat_map(|before| now.iter().map(move |now| (before.get(now.0), now.1))) {
            let since = name.map_or_else(|| traffic.clone(), |before| traffic.since(before));
            let quiet = Traffic { virtual_cluster: since.virtual_cluster.clone(), ..Traffic::default() };
            let is_quiet = since == Traffic { connections: since.connections, ..quiet };
            if !is_quiet || name.is_none_or(|before| before.connections != since.connections) {
                metrics.stream.publish(&Event::Traffic(since));
            }
        }
        before = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use contract::events::Denial;

    use super::*;

    fn traffic(of: &str) -> Event {
        Event::Traffic(Traffic { virtual_cluster: of.into(), ..Traffic::default() })
    }

    fn wanted(virtual_cluster: Option<&str>, kinds: &[&str]) -> Wanted {
        let own = |name: &str| BTreeSet::from([name.to_owned()]);
        Wanted {
            virtual_clusters: virtual_cluster.map(own),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        }
    }

    fn got(events: &mut mpsc::Receiver<Envelope>) -> Vec<(u64, Event)> {
        std::iter::from_fn(|| events.try_recv().ok()).map(|envelope| (envelope.sequence, envelope.event)).collect()
    }

    #[test]
    fn a_tenant_sees_its_own_and_counts_nothing_else() {
        let stream = EventStream::default();
        stream.publish(&traffic("dev"));
        let mut all = stream.read(wanted(None, &[])).unwrap();
        let mut dev = stream.read(wanted(Some("dev"), &[])).unwrap();
        let mut connections = stream.read(wanted(None, &["connection"])).unwrap();
        stream.publish(&traffic("prod"));
        let by_admin = Denial { virtual_cluster: Some("dev".into()), ..Denial::default() };
        stream.publish(&Event::Audit(by_admin.clone()));
        stream.publish(&Event::Denial(Denial { user: Some("alice".into()), ..by_admin }));
        stream.publish(&traffic("dev"));
        assert_eq!(got(&mut all).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let dev = got(&mut dev);
        assert_eq!(
            dev.iter().map(|(at, event)| (*at, event.kind())).collect::<Vec<_>>(),
            [(1, "denial"), (2, "traffic")]
        );
        assert_eq!(got(&mut connections), []);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed_and_holds_nobody_up() {
        let stream = EventStream::default();
        let mut slow = stream.read(wanted(None, &[])).unwrap();
        (0..QUEUE + 10).for_each(|_| stream.publish(&traffic("dev")));
        assert_eq!(stream.all_dropped(), 10);
        assert_eq!(got(&mut slow).len(), QUEUE);
        stream.publish(&traffic("dev"));
        let last = u64::try_from(QUEUE).unwrap() + 11;
        assert_eq!(got(&mut slow), [(last - 1, Event::Dropped(Dropped { count: 10 })), (last, traffic("dev"))]);
    }

    #[tokio::test(start_paused = true)]
    async fn traffic_is_told_by_the_second_and_only_where_there_is_some() {
        let metrics = Arc::<Metrics>::default();
        let open = metrics.tenant_connection_opened(&Arc::from("dev"));
        let _idle = metrics.tenant_connection_opened(&Arc::from("idle"));
        open.metrics().request(None, 5);
        let mut events = metrics.stream.read(wanted(None, &["traffic"])).unwrap();
        let telling = tokio::spawn(tell_traffic::<()>(Arc::clone(&metrics)));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        open.metrics().request(None, 7);
        let told = events.recv().await.unwrap();
        let expected = Traffic {
            virtual_cluster: "dev".into(),
            connections: 1,
            requests: 1,
            request_bytes: 7,
            ..Traffic::default()
        };
        assert_eq!((told.sequence, told.event), (1, Event::Traffic(expected)));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(got(&mut events), []);
        telling.abort();
    }

    #[test]
    fn no_tenant_takes_the_places_of_others_or_of_operators() {
        let stream = EventStream::default();
        let mut readers: Vec<_> = (0..MOST_OF_ONE).map(|_| stream.read(wanted(Some("dev"), &[])).unwrap()).collect();
        assert_eq!(stream.read(wanted(Some("dev"), &["denial"])).unwrap_err(), NotRead::TooMany);
        for other in 0..MOST_READERS - FOR_OPERATORS - MOST_OF_ONE {
            readers.push(stream.read(wanted(Some(&format!("t{other}")), &[])).unwrap());
        }
        assert_eq!(stream.read(wanted(Some("last"), &[])).unwrap_err(), NotRead::TooMany);
        readers.extend((0..FOR_OPERATORS).map(|_| stream.read(wanted(None, &[])).unwrap()));
        assert_eq!(stream.read(wanted(None, &[])).unwrap_err(), NotRead::TooMany);
    }

    #[test]
    fn readers_are_bounded_and_leave() {
        let stream = EventStream::default();
        let readers: Vec<_> = (0..MOST_READERS).map(|_| stream.read(wanted(None, &[])).unwrap()).collect();
        assert_eq!(stream.read(wanted(None, &[])).unwrap_err(), NotRead::TooMany);
        drop(readers);
        assert!(stream.is_read(), "nobody has looked yet");
        stream.publish(&traffic("dev"));
        assert!(!stream.is_read());
        assert_eq!(stream.all_dropped(), 0, "who has left was not too slow");
        let mut last = stream.read(wanted(None, &[])).unwrap();
        stream.close();
        assert_eq!(last.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert_eq!(stream.read(wanted(None, &[])).unwrap_err(), NotRead::Ending);
    }
}
