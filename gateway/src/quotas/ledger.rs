//! All accounts of one node: who shares which bucket, and who is connected.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Rate;
use super::bucket::{Bucket, Delay};
use super::rules::{Holds, Rules};
use super::shares::{self, Demand};

/// More accounts of a virtual cluster are not kept: its clients that make up names for themselves share one then, and nobody else's
/// do.
const MOST_OF_ONE: usize = 4_000;
/// Those that nobody uses are looked for no more often than this, in nanoseconds.
const SWEEP: u64 = 1_000_000_000;
/// Of a name no more is looked at.
const LONGEST_NAME: usize = 256;
/// No more accounts are told to other nodes, those with the most waiting first.
const MOST_TOLD: usize = 500;
/// Whom clients share an account with when there are too many.
const OTHERS: &str = "(others)";

/// Who shares an account: a virtual cluster, which of the limits that hold at the same time, a user, a client id, what is limited.
type Key = (Arc<str>, u8, Option<Box<str>>, Option<Box<str>>, Rate);

/// The accounts of a node. Locked when a client comes or its limits change, never for a frame.
#[derive(Debug, Default)]
pub struct Ledger {
    buckets: Mutex<Buckets>,
    /// How many accounts there may be before those that nobody uses are forgotten.
    sweep_at: AtomicUsize,
    swept: AtomicU64,
    nodes: AtomicUsize,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Buckets {
    all: HashMap<Key, Arc<Bucket>>,
    /// How many each virtual cluster has.
    of: HashMap<Arc<str>, usize>,
}

impl Buckets {
    /// Forgets those that nobody uses.
    fn sweep(&mut self, now: u64) {
        self.all.retain(|_, bucket| Arc::strong_count(bucket) > 1 || !bucket.is_settled(now));
        self.of.clear();
        for (tenant, ..) in self.all.keys() {
            *self.of.entry(Arc::clone(tenant)).or_default() += 1;
        }
    }

    fn get_or_make(&mut self, key: Key, make: impl FnOnce() -> Bucket) -> Arc<Bucket> {
        if let Some(known) = self.all.get(&key) {
            return Arc::clone(known);
        }
        *self.of.entry(Arc::clone(&key.0)).or_default() += 1;
        Arc::clone(self.all.entry(key).or_insert_with(|| Arc::new(make())))
    }
}

/// Connections by virtual cluster and user.
type Counts = BTreeMap<(Arc<str>, Arc<str>), u64>;

#[derive(Debug, Default)]
struct Connections {
    here: Counts,
    elsewhere: Counts,
}

/// What one node tells the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// By account, as [`Ledger::usage`] names them.
    pub demands: BTreeMap<String, Demand>,
    /// Connections by virtual cluster and user.
    pub connections: Vec<(Arc<str>, Arc<str>, u64)>,
}

/// Which limit does not allow one more connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMany {
    /// That of the virtual cluster.
    #[error("virtual cluster '{name}' has {open} connections of at most {limit} (connections in its Quota)")]
    Whole {
        /// The virtual cluster.
        name: Arc<str>,
        /// Open at all nodes.
        open: u64,
        /// The limit.
        limit: u64,
    },
    /// That of the user.
    #[error("user '{name}' has {open} connections of at most {limit} (connections in its Quota)")]
    User {
        /// The user.
        name: Arc<str>,
        /// Open at all nodes.
        open: u64,
        /// The limit.
        limit: u64,
    },
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    ledger: Arc<Ledger>,
    who: (Arc<str>, Arc<str>),
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut connections = lock(&self.ledger.connections);
        if let Some(count) = connections.here.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                connections.here.remove(&self.who);
            }
        }
    }
}

/// The accounts that a client's requests are written down in.
#[derive(Debug, Clone, Default)]
pub struct Accounts([Vec<Arc<Bucket>>; 3]);

impl Accounts {
    /// Those for what is limited so.
    pub fn of(&self, rate: Rate) -> &[Arc<Bucket>] {
        &self.0[rate as usize]
    }

    /// Writes down what is taken in all that hold for it.
    pub fn take(&self, rate: Rate, now: u64, units: u64) -> Delay {
        take(self.of(rate), now, units)
    }

    /// What has to be waited before something is taken whose size is not known.
    pub fn ahead(&self, rate: Rate, now: u64) -> Delay {
        self.of(rate).iter().map(|bucket| bucket.ahead(now)).fold(Delay::default(), Delay::longer)
    }
}

/// Writes down what is taken in all of these.
pub fn take(buckets: &[Arc<Bucket>], now: u64, units: u64) -> Delay {
    buckets.iter().map(|bucket| bucket.take(now, units)).fold(Delay::default(), Delay::longer)
}

impl Ledger {
    /// The accounts that hold for a client now.
    pub fn accounts(&self, now: u64, tenant: &Arc<str>, rules: &Rules, user: &str, client_id: &str) -> Accounts {
        let (user, client_id) = (cut(user), cut(client_id));
        Accounts(Rate::ALL.map(|rate| {
            let holding = rules.holding(rate, user, client_id);
            let layers = (0_u8..).zip(holding).filter_map(|(layer, holds)| holds.map(|holds| (layer, holds)));
            layers.map(|(layer, holds)| self.bucket(now, tenant, layer, rate, holds)).collect()
        }))
    }

    fn bucket(&self, now: u64, tenant: &Arc<str>, layer: u8, rate: Rate, holds: Holds<'_>) -> Arc<Bucket> {
        let mut buckets = lock(&self.buckets);
        let rested = now.saturating_sub(self.swept.load(Ordering::Relaxed)) >= SWEEP;
        let many = buckets.of.get(tenant).is_some_and(|count| *count >= MOST_OF_ONE);
        if rested && (many || buckets.all.len() >= self.sweep_at.load(Ordering::Relaxed)) {
            self.swept.store(now, Ordering::Relaxed);
            buckets.sweep(now);
            self.sweep_at.store(buckets.all.len().saturating_mul(2).max(64), Ordering::Relaxed);
        }
        let many = buckets.of.get(tenant).is_some_and(|count| *count >= MOST_OF_ONE);
        let key = |user: Option<&str>, client_id: Option<&str>| {
            (Arc::clone(tenant), layer, user.map(Into::into), client_id.map(Into::into), rate)
        };
        let own = key(holds.user, holds.client_id);
        let key = if many && !buckets.all.contains_key(&own) {
            key(holds.user.map(|_| OTHERS), holds.client_id.map(|_| OTHERS))
        } else {
            own
        };
        let share = 1.0 / f64::from(u32::try_from(self.nodes.load(Ordering::Relaxed).max(1)).unwrap_or(u32::MAX));
        let bucket = buckets.get_or_make(key, || Bucket::new(holds.limit, share));
        drop(buckets);
        bucket.set_limit(holds.limit);
        bucket
    }

    /// Counts a connection of a client that has logged in, unless there are too many.
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn admit(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        user: &Arc<str>,
        rules: Option<&Rules>,
    ) -> Result<Admitted, TooMany> {
        let who = (Arc::clone(tenant), Arc::clone(user));
        let mut connections = lock(&self.connections);
        if let Some(limit) = rules.and_then(|rules| rules.connections) {
            let open = connections.count(|(of, _)| of == tenant);
            if open >= limit {
                return Err(TooMany::Whole { name: Arc::clone(tenant), open, limit });
            }
        }
        if let Some(limit) = rules.and_then(|rules| rules.connections_of(user)) {
            let open = connections.count(|of| *of == who);
            if open >= limit {
                return Err(TooMany::User { name: Arc::clone(user), open, limit });
            }
        }
        *connections.here.entry(who.clone()).or_default() += 1;
        drop(connections);
        Ok(Admitted { ledger: Arc::clone(self), who })
    }

    /// What was asked of this node until `now`, since the last time, `seconds` ago.
    pub fn usage(&self, now: u64, seconds: f64) -> Usage {
        let mut demands: Vec<(String, Demand)> = {
            let buckets = lock(&self.buckets);
            let told = buckets.all.iter().map(|(key, bucket)| {
                let (used, backlog) = bucket.drain(now);
                (name(key), Demand { used: float(used) / seconds.max(0.001), backlog: float(backlog) })
            });
            told.filter(|(_, demand)| demand.used > 0.0 || demand.backlog > 0.0).collect()
        };
        demands.sort_by(|(_, one), (_, other)| other.backlog.total_cmp(&one.backlog));
        demands.truncate(MOST_TOLD);
        let connections = lock(&self.connections);
        let connections = connections.here.iter().map(|((of, user), count)| (Arc::clone(of), Arc::clone(user), *count));
        Usage { demands: demands.into_iter().collect(), connections: connections.collect() }
    }

    /// Divides all limits among the nodes by what each has told; `me` is this one's place among them.
    pub fn divide(&self, me: usize, nodes: &[Usage]) {
        self.nodes.store(nodes.len(), Ordering::Relaxed);
        for (key, bucket) in &lock(&self.buckets).all {
            let name = name(key);
            let told = |node: &Usage| node.demands.get(&name).copied().unwrap_or_default();
            let limit = float(bucket.limit());
            let demands: Vec<Demand> = nodes.iter().map(told).collect();
            bucket.set_rate(limit * shares::share(limit, me, &demands));
        }
        let mut elsewhere = Counts::new();
        for (_, node) in nodes.iter().enumerate().filter(|(at, _)| *at != me) {
            for (of, user, count) in &node.connections {
                *elsewhere.entry((Arc::clone(of), Arc::clone(user))).or_default() += count;
            }
        }
        lock(&self.connections).elsewhere = elsewhere;
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        lock(&self.buckets).all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Connections {
    fn count(&self, which: impl Fn(&(Arc<str>, Arc<str>)) -> bool) -> u64 {
        let all = self.here.iter().chain(&self.elsewhere);
        all.filter(|(who, _)| which(who)).map(|(_, count)| count).sum()
    }
}

/// The same at every node: no two accounts have the same.
fn name((tenant, layer, user, client_id, rate): &Key) -> String {
    let part = |part: &Option<Box<str>>| part.as_deref().map_or_else(|| "-".to_owned(), |part| format!("{part:?}"));
    format!("{tenant} {layer} {} {} {}", part(user), part(client_id), rate.word())
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

#[allow(clippy::cast_precision_loss, reason = "a limit is not needed to the last of 2^53 bytes")]
const fn float(units: u64) -> f64 {
    units as f64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
