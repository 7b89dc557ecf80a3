//! One limit by the second, shared by everybody whom it holds for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Who took less for a while may take as much at once as the limit allows in this time.
pub const BURST: Duration = Duration::from_millis(500);
/// This much work is let through ahead of its time, and paid for by waiting afterwards: its client is told how long, as Kafka's
/// are (KIP-219). What comes on top of it waits before it is let through.
pub const AHEAD: Duration = Duration::from_secs(1);
/// A request waits no longer for its turn: clients give up after 30 seconds (`request.timeout.ms`).
pub const LONGEST_HOLD: Duration = Duration::from_secs(20);
/// Nothing is read from a client for no longer than this: as long as a producer keeps a record (`delivery.timeout.ms`).
pub const LONGEST_MUTE: Duration = Duration::from_secs(120);
/// What is owed is forgotten beyond this: twice of what a client can be made to wait.
const LONGEST_DEBT: u64 = 280 * NANOS;
const NANOS: u64 = 1_000_000_000;

/// What a client has to wait for what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delay {
    /// Before its request is served.
    pub hold: Duration,
    /// From then on, until the next one is read.
    pub mute: Duration,
}

impl Delay {
    /// As long as both.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        Self { hold: self.hold.max(other.hold), mute: self.mute.max(other.mute) }
    }
}

/// The account of one limit. Times are nanoseconds of a clock that only goes forward.
#[derive(Debug)]
pub struct Bucket {
    /// What all nodes together allow a second.
    limit: AtomicU64,
    /// What this node allows a second, the bits of a float.
    rate: AtomicU64,
    /// When everything that was taken is paid off.
    paid_at: AtomicU64,
    used: AtomicU64,
    /// The most that was owed since somebody asked, in units.
    backlog: AtomicU64,
    /// What was told of it then.
    told: AtomicU64,
}

impl Bucket {
    /// A limit of so many units a second, of which this node may give the part `share`.
    pub fn new(limit: u64, share: f64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            rate: AtomicU64::new(rate(limit, share).to_bits()),
            paid_at: AtomicU64::new(0),
            used: AtomicU64::new(0),
            backlog: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Units a second at all nodes together.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Units a second at this node.
    pub fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// From now on it is another limit, of which this node has as much as before.
    pub fn set_limit(&self, limit: u64) {
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if before != limit {
            self.set_rate(self.rate() / count(before).max(1.0) * count(limit));
        }
    }

    /// From now on this node gives so many units a second.
    pub fn set_rate(&self, rate: f64) {
        self.rate.store(rate.max(LEAST).to_bits(), Ordering::Relaxed);
    }

    /// Writes down that `units` are taken, whatever is owed already; tells what has to be waited for it.
    pub fn take(&self, now: u64, units: u64) -> Delay {
        let rate = self.rate();
        let cost = nanos(count(units) / rate);
        let earliest = now.saturating_sub(nanos_of(BURST));
        let paid = |before: u64| before.max(earliest).saturating_add(cost).min(now.saturating_add(LONGEST_DEBT));
        let update = self.paid_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(paid(before)));
        let before = update.unwrap_or_else(|before| before);
        let owed = paid(before).saturating_sub(now);
        self.used.fetch_add(units, Ordering::Relaxed);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of some hundred seconds")]
        self.backlog.fetch_max((Duration::from_nanos(owed).as_secs_f64() * rate) as u64, Ordering::Relaxed);
        delay(before.saturating_sub(now), owed)
    }

    /// What has to be waited before something is taken whose size will be known only then.
    pub fn ahead(&self, now: u64) -> Delay {
        let owed = self.paid_at.load(Ordering::Relaxed).saturating_sub(now);
        delay(owed, 0)
    }

    /// Whether nothing is owed, so that it can be forgotten and begun anew.
    pub fn is_settled(&self, now: u64) -> bool {
        self.paid_at.load(Ordering::Relaxed).saturating_add(nanos_of(BURST)) <= now
    }

    /// What was taken since the last time, and the most that was owed at once. Who still pays off what was taken before waits as
    /// much as then.
    pub fn drain(&self, now: u64) -> (u64, u64) {
        let (used, most) = (self.used.swap(0, Ordering::Relaxed), self.backlog.swap(0, Ordering::Relaxed));
        let pays = used == 0 && self.paid_at.load(Ordering::Relaxed) > now;
        let backlog = if pays { self.told.load(Ordering::Relaxed) } else { most };
        self.told.store(backlog, Ordering::Relaxed);
        (used, backlog)
    }
}

/// Less than this no limit allows, in units a second.
const LEAST: f64 = 0.01;

fn rate(limit: u64, share: f64) -> f64 {
    (count(limit) * share).max(LEAST)
}

#[allow(clippy::cast_precision_loss, reason = "a limit is not needed to the last of 2^53 bytes")]
const fn count(units: u64) -> f64 {
    units as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too large becomes the largest")]
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Splits what is owed, from when the others' is paid off until all is.
fn delay(others: u64, all: u64) -> Delay {
    let hold = Duration::from_nanos(others).saturating_sub(AHEAD).min(LONGEST_HOLD);
    Delay { hold, mute: Duration::from_nanos(all).saturating_sub(hold).min(LONGEST_MUTE) }
}
