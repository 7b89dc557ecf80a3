//! What is shown, by the screen and by `--once` alike: tenants with their rates between two readings of the gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::events::{self, Totals, Traffic};
use serde::Serialize;

use crate::plain::plain;

/// One reading of the admin API.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reading {
    /// Monotonic time since the program started.
    pub at: Duration,
    pub version: String,
    pub healthy: bool,
    /// What each virtual cluster did since the gateway started, and what is open now.
    pub tenants: BTreeMap<String, Traffic>,
    /// What concerns all of them; not told to who may see one only.
    pub totals: Option<Totals>,
}

impl Reading {
    pub(crate) fn new(at: Duration, snapshot: &events::Snapshot) -> Self {
        let tenants = snapshot.virtual_clusters.iter();
        Self {
            at,
            version: plain(&snapshot.version),
            healthy: snapshot.ready,
            tenants: tenants.map(|traffic| (plain(&traffic.virtual_cluster), traffic.clone())).collect(),
            totals: snapshot.gateway.clone(),
        }
    }
}

/// One row. A rate is `None` until there are two readings to compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tenant {
    pub name: String,
    pub connections: u64,
    pub requests_per_second: Option<f64>,
    pub bytes_in_per_second: Option<f64>,
    pub bytes_out_per_second: Option<f64>,
    pub refusals_per_second: Option<f64>,
    pub requests: u64,
    pub refusals: u64,
}

/// Everything that is shown, also as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    pub api_version: &'static str,
    pub gateway: String,
    pub version: String,
    pub healthy: bool,
    /// As the next two: `None` for who may see one virtual cluster only.
    pub authentication_failures: Option<u64>,
    pub frames_refused: Option<u64>,
    pub isolation_violations: Option<u64>,
    pub tenants: Vec<Tenant>,
}

impl Snapshot {
    pub(crate) fn between(gateway: &str, earlier: Option<&Reading>, now: &Reading) -> Self {
        let tenant = |(name, counters): (&String, &Traffic)| {
            // A tenant seen for the first time began at zero, unless this is the first reading at all.
            let before = earlier.map(|earlier| earlier.tenants.get(name).cloned().unwrap_or_default());
            let seconds = earlier.map_or(0.0, |earlier| now.at.saturating_sub(earlier.at).as_secs_f64());
            let rate = |of: fn(&Traffic) -> u64| {
                // A counter that went back belongs to a gateway that was restarted: no rate is better than a wrong one.
                let change = of(counters).checked_sub(of(before.as_ref()?))?;
                (seconds > 0.0).then(|| change as f64 / seconds)
            };
            Tenant {
                name: name.clone(),
                connections: counters.connections,
                requests_per_second: rate(|counters| counters.requests),
                bytes_in_per_second: rate(|counters| counters.request_bytes),
                bytes_out_per_second: rate(|counters| counters.response_bytes),
                refusals_per_second: rate(|counters| counters.refused),
                requests: counters.requests,
                refusals: counters.refused,
            }
        };
        let totals = now.totals.as_ref();
        Self {
            api_version: "gateway-top/v1",
            gateway: plain(gateway),
            version: now.version.clone(),
            healthy: now.healthy,
            authentication_failures: totals.map(|totals| totals.authentication_failures),
            frames_refused: totals.map(|totals| totals.frames_refused),
            isolation_violations: totals.map(|totals| totals.isolation_violations),
            tenants: now.tenants.iter().map(tenant).collect(),
        }
    }
}

/// A count in the same form.
pub(crate) fn short_count(count: u64) -> String {
    short(Some(count as f64))
}

/// A number of at most five characters: `987`, `12.4k`, `3.1M`.
pub(crate) fn short(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let (mut scaled, mut unit) = (value, 0);
    // 999.5 and more would be written with four digits.
    while scaled >= 999.5 && unit < 5 {
        scaled /= 1000.0;
        unit += 1;
    }
    let unit = ["", "k", "M", "G", "T", "P"][unit];
    if scaled >= 99.95 || scaled.fract() == 0.0 { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn reading(seconds: u64, requests: u64) -> Reading {
        Reading::new(Duration::from_secs(seconds), &told(requests))
    }

    /// What a gateway answers.
    pub(crate) fn told(requests: u64) -> events::Snapshot {
        let traffic = |name: &str| Traffic { virtual_cluster: name.to_owned(), ..Traffic::default() };
        let payments = Traffic { connections: 3, requests, request_bytes: requests * 1000, ..traffic("payments") };
        events::Snapshot {
            time: "2026-01-01T00:00:00.000Z".to_owned(),
            version: "0.1.0".to_owned(),
            ready: true,
            virtual_clusters: vec![traffic("idle"), payments],
            gateway: Some(Totals {
                connections: 3,
                authentication_failures: 2,
                frames_refused: 2,
                isolation_violations: 0,
                events_dropped: 0,
                brokers: Vec::new(),
            }),
        }
    }

    #[test]
    fn rates_are_changes_over_time() {
        let snapshot = Snapshot::between("http://g", Some(&reading(10, 100)), &reading(12, 300));
        let [idle, payments] = snapshot.tenants.as_slice() else { panic!("{:?}", snapshot.tenants) };
        assert_eq!((idle.name.as_str(), idle.requests_per_second), ("idle", Some(0.0)));
        assert_eq!(payments.requests_per_second, Some(100.0));
        assert_eq!(payments.bytes_in_per_second, Some(100_000.0));
        assert_eq!(
            (payments.connections, snapshot.frames_refused, snapshot.authentication_failures),
            (3, Some(2), Some(2))
        );
    }

    #[test]
    fn no_rate_without_two_readings_or_after_a_restart() {
        let first = Snapshot::between("http://g", None, &reading(1, 5));
        assert!(first.tenants.iter().all(|tenant| tenant.requests_per_second.is_none()));
        let restarted = Snapshot::between("http://g", Some(&reading(1, 500)), &reading(2, 5));
        assert_eq!(restarted.tenants[1].requests_per_second, None);
    }

    #[test]
    fn what_concerns_all_is_left_open_for_who_may_see_one() {
        let own = Reading { totals: None, ..reading(1, 5) };
        let shown = Snapshot::between("http://g", None, &own);
        assert_eq!((shown.authentication_failures, shown.isolation_violations, shown.tenants.len()), (None, None, 2));
    }

    #[test]
    fn numbers_stay_short() {
        let shown = [0.0, 0.25, 7.0, 99.94, 999.4, 999.6, 12_400.0, 3.1e6, 9e17].map(|value| short(Some(value)));
        assert_eq!(shown, ["0", "0.2", "7", "99.9", "999", "1.0k", "12.4k", "3.1M", "900P"]);
        assert_eq!(short(None), "-");
    }
}
