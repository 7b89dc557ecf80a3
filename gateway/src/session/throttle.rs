//! How long a client waits for what it takes: each request is written down in the accounts of the quotas that hold for it.
//!
//! As at a Kafka broker (KIP-219): a request is served, its answer says how long the client should wait, and until then nothing
//! more is read from its connection, whether it listens or not. Only a request that has too much before it waits by itself.

use super::rights::Rights;
use super::room::Made;
use super::throttle_time::tell_in_frame;
use super::usage::Stored;
use crate::observe::metrics::TenantMetrics;
use crate::quotas::Rate;
use crate::quotas::bucket::LONGEST_MUTE;
use crate::quotas::ledger::{Accounts, Ledger};
use crate::quotas::rules::Rules;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wire::frame;
use wire::read::{Cursor, Malformed};
use wire::schema::ApiKey;

/// The accounts of this node and the clock that they go by.
#[derive(Debug)]
pub struct Quotas {
    /// The accounts.
    pub ledger: Arc<Ledger>,
    /// What topics hold.
    pub stored: Stored,
    /// Topics that were made a moment ago.
    pub made: Made,
    started: Instant,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { ledger: Arc::default(), stored: Stored::default(), made: Made::default(), started: Instant::now() }
    }
}

impl Quotas {
    /// Nanoseconds that only go forward.
    pub fn now(&self) -> u64 {
        // The first second is there so that everybody begins with a burst to spare.
        u64::try_from((self.started.elapsed() + Duration::from_secs(1)).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Until when nothing is read from a client, by the clock of [`Quotas`]; 0 for a client that was never told to wait.
#[derive(Debug, Default)]
pub(super) struct Muted(AtomicU64);

impl Muted {
    fn until(&self, until: u64) {
        self.0.fetch_max(until, Ordering::Relaxed);
    }

    /// Returns when reading may go on.
    pub(super) async fn over(&self, quotas: &Quotas) {
        loop {
            let until = self.0.load(Ordering::Relaxed);
            let left = if until == 0 { 0 } else { until.saturating_sub(quotas.now()) };
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_nanos(left)).await;
        }
    }

    /// What a client is told of it.
    fn milliseconds(&self, quotas: &Quotas) -> i32 {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(quotas.now());
        i32::try_from(left / 1_000_000).unwrap_or(i32::MAX)
    }
}

/// Where a client is told to wait, and how that is counted.
#[derive(Clone, Copy)]
pub(super) struct Meter<'a> {
    pub(super) quotas: &'a Quotas,
    pub(super) muted: &'a Muted,
    pub(super) metrics: &'a TenantMetrics,
}

impl Meter<'_> {
    fn waits(&self, hold: Duration, mute: Duration, now: u64) {
        // Less than what an answer can tell stays on the account.
        if mute >= Duration::from_millis(1) {
            let until = u64::try_from((hold + mute).as_nanos()).unwrap_or(u64::MAX).saturating_add(now);
            self.muted.until(until);
        }
        self.metrics.throttled(hold + mute);
    }
}

/// The requests of a client that some quota holds for.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// Boxed, since most have none.
    client: Option<Box<Client>>,
    /// The next request is written down already.
    written: bool,
}

#[derive(Debug)]
struct Client {
    rules: Arc<Rules>,
    client_id: String,
    accounts: Arc<Accounts>,
}

/// What the answer to a request is written down in; the client waits for the request itself already.
#[derive(Debug)]
pub(super) struct Owed(Arc<Accounts>);

impl Charges {
    /// The next request was written down when it was looked at before.
    pub(super) const fn is_written(&mut self) {
        self.written = true;
    }

    /// Writes a request down, before anything else becomes of it, and lets it wait for its turn. `None` where no quota holds.
    pub(super) async fn admit(
        &mut self,
        frame: &mut [u8],
        rights: &mut Rights,
        virtual_cluster: &Arc<str>,
        user: &str,
        meter: Meter<'_>,
    ) -> Option<Box<Owed>> {
        rights.renew();
        let Some(rules) = rights.quotas() else {
            *self = Self::default();
            return None;
        };
        let (code, version, _) = frame::request_start(frame).ok()?;
        let key = ApiKey::from_code(code)?;
        let header = frame::request_header(key, frame).ok()?;
        let (client_id, body) = (header.client_id.unwrap_or_default(), header.body);
        let now = meter.quotas.now();
        let same = |client: &&Client| Arc::ptr_eq(&client.rules, rules) && client.client_id == client_id;
        let accounts = match self.client.as_deref().filter(same) {
            Some(client) => Arc::clone(&client.accounts),
            None => {
                let accounts = Arc::new(meter.quotas.ledger.accounts(now, virtual_cluster, rules, user, client_id));
                let (rules, client_id) = (Arc::clone(rules), client_id.to_owned());
                self.client = Some(Box::new(Client { rules, client_id, accounts: Arc::clone(&accounts) }));
                accounts
            }
        };
        if !std::mem::take(&mut self.written) {
            let mut delay = accounts.take(Rate::Requests, now, 1);
            if key == ApiKey::Produce {
                delay = delay.longer(accounts.take(Rate::Produce, now, frame.len() as u64));
            } else if matches!(key, ApiKey::Fetch | ApiKey::ShareFetch) {
                delay = delay.longer(accounts.ahead(Rate::Fetch, now));
            }
            meter.waits(delay.hold, delay.mute, now);
            if !delay.hold.is_zero() {
                tokio::time::sleep(delay.hold).await;
            }
        }
        if let Some(most) = most_at_once(&accounts) {
            let _ = ask_for_less(key, version, &mut frame[body..], most);
        }
        Some(Box::new(Owed(accounts)))
    }
}

/// What the client of an answer of this length is told to wait, in milliseconds.
pub(super) fn answered(owed: Option<&Owed>, key: ApiKey, length: usize, meter: Meter<'_>) -> i32 {
    let Some(Owed(accounts)) = owed else { return 0 };
    if matches!(key, ApiKey::Fetch | ApiKey::ShareFetch) && !accounts.of(Rate::Fetch).is_empty() {
        let now = meter.quotas.now();
        let delay = accounts.take(Rate::Fetch, now, length as u64);
        meter.waits(Duration::ZERO, (delay.hold + delay.mute).min(LONGEST_MUTE), now);
    }
    meter.muted.milliseconds(meter.quotas)
}

/// An answer that was made here, with the time that its client has to wait.
pub(super) fn told(request: &[u8], mut answer: Vec<u8>, owed: Option<&Owed>, meter: Meter<'_>) -> Vec<u8> {
    let started = owed.and_then(|_| frame::request_start(request).ok());
    if let Some((code, version, _)) = started
        && let Some(key) = ApiKey::from_code(code)
    {
        let wait = answered(owed, key, answer.len(), meter);
        tell_in_frame(key, version, &mut answer, wait);
    }
    answer
}

/// The bytes that an answer with records may have: a second's worth, as brokers answer with no more than their window holds.
fn most_at_once(accounts: &Accounts) -> Option<i32> {
    let rates = accounts.of(Rate::Fetch).iter().map(|bucket| bucket.rate());
    let least = rates.fold(None, |least: Option<f64>, rate| Some(least.map_or(rate, |least| least.min(rate))));
    #[allow(clippy::cast_possible_truncation, reason = "what is too large becomes the largest")]
    least.map(|least| (least as i32).max(1))
}

/// Lowers `MaxBytes` of a request for records. A broker answers with one batch all the same.
fn ask_for_less(key: ApiKey, version: i16, body: &mut [u8], most: i32) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(body);
    match key {
        // Replica id before version 15, longest wait, least bytes.
        ApiKey::Fetch => drop(cursor.take(if version < 15 { 12 } else { 8 })?),
        // Group, member, epoch, longest wait, least bytes.
        ApiKey::ShareFetch => {
            for _ in 0..2 {
                let length = cursor.length(true, true, true)?.unwrap_or_default();
                let _ = cursor.take(length)?;
            }
            let _ = cursor.take(12)?;
        }
        _ => return Ok(()),
    }
    let at = cursor.at();
    let asked = cursor.i32()?;
    body[at..at + 4].copy_from_slice(&asked.min(most).to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wire::value;

    #[test]
    fn less_is_asked_for_at_every_version() {
        for (key, versions) in crate::apis::served() {
            if !matches!(key, ApiKey::Fetch | ApiKey::ShareFetch) {
                continue;
            }
            for version in versions.min..=versions.max {
                for (asked, expected) in [(1000, 70), (50, 50)] {
                    let mut request = json!({ "MaxWaitMs": 3, "MinBytes": 1, "MaxBytes": asked });
                    if key == ApiKey::ShareFetch {
                        request["GroupId"] = "g".into();
                        request["MemberId"] = "m".into();
                    }
                    let mut body = value::encode(key.request(), version, &request).unwrap();
                    ask_for_less(key, version, &mut body, 70).unwrap();
                    let said = value::decode(key.request(), version, &body).unwrap();
                    assert_eq!(
                        (&said["MaxBytes"], &said["MinBytes"]),
                        (&json!(expected), &json!(1)),
                        "{key:?} {version}"
                    );
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_until_the_last_wait_is_over() {
        let (quotas, muted, metrics) = (Quotas::default(), Muted::default(), TenantMetrics::default());
        let meter = Meter { quotas: &quotas, muted: &muted, metrics: &metrics };
        let began = Instant::now();
        muted.over(&quotas).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        meter.waits(Duration::ZERO, Duration::from_secs(3), quotas.now());
        meter.waits(Duration::from_secs(1), Duration::from_secs(4), quotas.now());
        meter.waits(Duration::ZERO, Duration::from_secs(2), quotas.now());
        assert_eq!(muted.milliseconds(&quotas), 5000);
        muted.over(&quotas).await;
        assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() < Duration::from_secs(6));
    }
}
