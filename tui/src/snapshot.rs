//! What is shown, by the screen and by `--once` alike: tenants with their rates between two readings of the gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::exposition::Sample;
use crate::plain::plain;

/// Counters of one virtual cluster since the gateway started, and what is open now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Counters {
    connections: f64,
    requests: f64,
    bytes_in: f64,
    bytes_out: f64,
    refused: f64,
}

/// One reading of the admin API.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reading {
    /// Monotonic time since the program started.
    pub at: Duration,
    pub version: String,
    pub healthy: bool,
    pub tenants: BTreeMap<String, Counters>,
    pub authentication_failures: f64,
    pub frames_refused: f64,
    pub isolation_violations: f64,
}

impl Reading {
    /// `names` are the declared virtual clusters: one without traffic has no counters yet and is shown all the same.
    pub(crate) fn new(at: Duration, version: &str, healthy: bool, names: &[String], samples: &[Sample]) -> Self {
        let mut reading = Self { at, version: plain(version), healthy, ..Self::default() };
        for name in names {
            reading.tenants.entry(plain(name)).or_default();
        }
        for sample in samples {
            if let Some(name) = sample.label("virtual_cluster") {
                let counters = reading.tenants.entry(plain(name)).or_default();
                if let Some(counter) = counters.of_family(&sample.family) {
                    *counter += sample.value;
                }
            }
            match sample.family.as_str() {
                "gateway_authentication_failures_total" => reading.authentication_failures += sample.value,
                "gateway_frames_refused_total" => reading.frames_refused += sample.value,
                "gateway_isolation_violations_total" => reading.isolation_violations += sample.value,
                _ => {}
            }
        }
        reading
    }
}

impl Counters {
    fn of_family(&mut self, family: &str) -> Option<&mut f64> {
        match family {
            "gateway_virtual_cluster_connections_open" => Some(&mut self.connections),
            "gateway_requests_total" => Some(&mut self.requests),
            "gateway_request_bytes_total" => Some(&mut self.bytes_in),
            "gateway_response_bytes_total" => Some(&mut self.bytes_out),
            "gateway_requests_refused_total" => Some(&mut self.refused),
            _ => None,
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
    pub authentication_failures: u64,
    pub frames_refused: u64,
    pub isolation_violations: u64,
    pub tenants: Vec<Tenant>,
}

impl Snapshot {
    pub(crate) fn between(gateway: &str, earlier: Option<&Reading>, now: &Reading) -> Self {
        let tenant = |(name, counters): (&String, &Counters)| {
            // A tenant seen for the first time began at zero, unless this is the first reading at all.
            let before = earlier.map(|earlier| earlier.tenants.get(name).copied().unwrap_or_default());
            let seconds = earlier.map_or(0.0, |earlier| now.at.saturating_sub(earlier.at).as_secs_f64());
            let rate = |of: fn(&Counters) -> f64| {
                let change = of(counters) - of(&before?);
                // A counter that went back belongs to a gateway that was restarted: no rate is better than a wrong one.
                (seconds > 0.0 && change >= 0.0).then(|| change / seconds)
            };
            Tenant {
                name: name.clone(),
                connections: counters.connections as u64,
                requests_per_second: rate(|counters| counters.requests),
                bytes_in_per_second: rate(|counters| counters.bytes_in),
                bytes_out_per_second: rate(|counters| counters.bytes_out),
                refusals_per_second: rate(|counters| counters.refused),
                requests: counters.requests as u64,
                refusals: counters.refused as u64,
            }
        };
        Self {
            api_version: "gateway-top/v1",
            gateway: plain(gateway),
            version: now.version.clone(),
            healthy: now.healthy,
            authentication_failures: now.authentication_failures as u64,
            frames_refused: now.frames_refused as u64,
            isolation_violations: now.isolation_violations as u64,
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
    use crate::exposition::parse;

    pub(crate) fn reading(seconds: u64, requests: u64) -> Reading {
        let samples = parse(&format!(
            "gateway_virtual_cluster_connections_open{{virtual_cluster=\"payments\"}} 3\n\
             gateway_requests_total{{virtual_cluster=\"payments\"}} {requests}\n\
             gateway_request_bytes_total{{virtual_cluster=\"payments\"}} {}\n\
             gateway_authentication_failures_total 2\n\
             gateway_frames_refused_total{{reason=\"oversized\"}} 1\n\
             gateway_frames_refused_total{{reason=\"malformed\"}} 1\n",
            requests * 1000
        ));
        Reading::new(Duration::from_secs(seconds), "0.1.0", true, &["idle".to_owned()], &samples)
    }

    #[test]
    fn rates_are_changes_over_time() {
        let snapshot = Snapshot::between("http://g", Some(&reading(10, 100)), &reading(12, 300));
        let [idle, payments] = snapshot.tenants.as_slice() else { panic!("{:?}", snapshot.tenants) };
        assert_eq!((idle.name.as_str(), idle.requests_per_second), ("idle", Some(0.0)));
        assert_eq!(payments.requests_per_second, Some(100.0));
        assert_eq!(payments.bytes_in_per_second, Some(100_000.0));
        assert_eq!((payments.connections, snapshot.frames_refused, snapshot.authentication_failures), (3, 2, 2));
    }

    #[test]
    fn no_rate_without_two_readings_or_after_a_restart() {
        let first = Snapshot::between("http://g", None, &reading(1, 5));
        assert!(first.tenants.iter().all(|tenant| tenant.requests_per_second.is_none()));
        let restarted = Snapshot::between("http://g", Some(&reading(1, 500)), &reading(2, 5));
        assert_eq!(restarted.tenants[1].requests_per_second, None);
    }

    #[test]
    fn numbers_stay_short() {
        let shown = [0.0, 0.25, 7.0, 99.94, 999.4, 999.6, 12_400.0, 3.1e6, 9e17].map(|value| short(Some(value)));
        assert_eq!(shown, ["0", "0.2", "7", "99.9", "999", "1.0k", "12.4k", "3.1M", "900P"]);
        assert_eq!(short(None), "-");
    }
}
