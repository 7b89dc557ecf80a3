//! Counters of the physical cluster's brokers, and how long each part of a request takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use contract::events::BrokerTraffic;
use wire::schema::ApiKey;

use super::histogram::Histogram;
use super::text::Text;

/// How many brokers get counters of their own; the rest share one set.
const MAX_BROKERS: usize = 256;
/// The number of that set, which is no broker's.
const OTHERS: i32 = i32::MIN;

/// The counters of all brokers.
#[derive(Debug, Default)]
pub struct Brokers {
    of: RwLock<BTreeMap<i32, Arc<BrokerMetrics>>>,
}

/// The counters of one broker.
#[derive(Debug, Default)]
pub struct BrokerMetrics {
    connections_open: AtomicI64,
    connections: AtomicU64,
    failures: AtomicU64,
    requests: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    duration: Histogram,
}

/// Counts a client's connection to a broker as open until it is dropped.
#[derive(Debug)]
pub struct OpenBrokerConnection {
    broker: Arc<BrokerMetrics>,
}

impl OpenBrokerConnection {
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.broker
    }
}

impl Drop for OpenBrokerConnection {
    fn drop(&mut self) {
        self.broker.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl BrokerMetrics {
    /// A request of this many bytes goes to the broker.
    pub fn request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The broker has answered with this many bytes.
    pub fn answer(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// It took this long.
    pub fn took(&self, time: Duration) {
        self.duration.observe(time);
    }
}

impl Brokers {
    /// A client's connection to a broker was made. Takes a lock: once per connection.
    pub(super) fn connected(&self, broker: i32) -> OpenBrokerConnection {
        let broker = self.broker(broker);
        broker.connections.fetch_add(1, Ordering::Relaxed);
        broker.connections_open.fetch_add(1, Ordering::Relaxed);
        OpenBrokerConnection { broker }
    }

    /// A client's connection to a broker could not be made.
    pub(super) fn failed(&self, broker: i32) {
        self.broker(broker).failures.fetch_add(1, Ordering::Relaxed);
    }

    fn broker(&self, id: i32) -> Arc<BrokerMetrics> {
        let known = self.of.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        known.unwrap_or_else(|| {
            let mut brokers = self.of.write().unwrap_or_else(PoisonError::into_inner);
            let full = brokers.len() >= MAX_BROKERS && !brokers.contains_key(&id);
            Arc::clone(brokers.entry(if full { OTHERS } else { id }).or_default())
        })
    }

    fn all(&self) -> Vec<(String, Arc<BrokerMetrics>)> {
        let brokers = self.of.read().unwrap_or_else(PoisonError::into_inner);
        let name = |id: i32| if id == OTHERS { super::tenants::OTHER.to_owned() } else { id.to_string() };
        brokers.iter().map(|(id, broker)| (name(*id), Arc::clone(broker))).collect()
    }

    /// Everything since the start.
    pub(super) fn traffic(&self) -> Vec<BrokerTraffic> {
        let traffic = |(broker, metrics): (String, Arc<BrokerMetrics>)| BrokerTraffic {
            broker,
            connections: metrics.connections_open.load(Ordering::Relaxed).try_into().unwrap_or_default(),
            requests: metrics.requests.load(Ordering::Relaxed),
            bytes_sent: metrics.bytes_sent.load(Ordering::Relaxed),
            bytes_received: metrics.bytes_received.load(Ordering::Relaxed),
        };
        self.all().into_iter().map(traffic).collect()
    }

    pub(super) fn render(&self, text: &mut Text) {
        let brokers = self.all();
        for Family { name, kind, help, value } in FAMILIES {
            text.family(name, kind, help);
            for (id, broker) in &brokers {
                text.sample(name, &[("broker", id)], value(broker));
            }
        }
        let duration = "gateway_upstream_request_duration_seconds";
        let help = "How long brokers take for an answer, without requests that they hold open.";
        text.family(duration, "histogram", help);
        for (id, broker) in brokers.iter().filter(|(_, broker)| broker.duration.count() > 0) {
            broker.duration.render(text, duration, &[("broker", id)]);
        }
    }
}

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&BrokerMetrics) -> i128,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "gateway_upstream_connections_open",
        kind: "gauge",
        help: "Connections of clients to brokers open now.",
        value: |broker| broker.connections_open.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_upstream_connections_total",
        kind: "counter",
        help: "Connections of clients to brokers that were made.",
        value: |broker| broker.connections.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_upstream_connection_failures_total",
        kind: "counter",
        help: "Brokers that could not be reached when a client needed them.",
        value: |broker| broker.failures.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_upstream_requests_total",
        kind: "counter",
        help: "Requests sent to brokers for clients.",
        value: |broker| broker.requests.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_upstream_request_bytes_total",
        kind: "counter",
        help: "Bytes of requests sent to brokers.",
        value: |broker| broker.bytes_sent.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_upstream_response_bytes_total",
        kind: "counter",
        help: "Bytes of answers received from brokers.",
        value: |broker| broker.bytes_received.load(Ordering::Relaxed).into(),
    },
];

/// How long the parts of requests take, by API, over all virtual clusters.
#[derive(Debug)]
pub struct Durations {
    apis: Box<[OnceLock<Box<Parts>>]>,
}

#[derive(Debug, Default)]
struct Parts {
    gateway: Histogram,
    upstream: Histogram,
    client: Histogram,
}

/// The parts of one request's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Checking, deciding and renaming, in both directions.
    pub gateway: Duration,
    /// Waiting for the broker.
    pub upstream: Duration,
    /// Writing the answer, for as long as the client takes to read it.
    pub client: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self { apis: ApiKey::ALL.iter().map(|_| OnceLock::new()).collect() }
    }
}

impl Durations {
    pub(super) fn observe(&self, api: ApiKey, spent: &Spent) {
        let parts = self.apis[api.index()].get_or_init(Box::default);
        parts.gateway.observe(spent.gateway);
        parts.upstream.observe(spent.upstream);
        parts.client.observe(spent.client);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let name = "gateway_request_duration_seconds";
        let help = "How long requests took that a broker answered: in the gateway, at the broker, and for the client to read the answer.";
        text.family(name, "histogram", help);
        for (api, parts) in ApiKey::ALL.iter().zip(&self.apis) {
            let Some(parts) = parts.get() else { continue };
            let parts = [("gateway", &parts.gateway), ("upstream", &parts.upstream), ("client", &parts.client)];
            for (part, histogram) in parts {
                histogram.render(text, name, &[("api", api.name()), ("part", part)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_beyond_the_bound_share_a_set() {
        let brokers = Brokers::default();
        let open: Vec<_> = (0..300).map(|id| brokers.connected(id)).collect();
        open[0].metrics().request(5);
        brokers.failed(1);
        let mut text = Text::new();
        brokers.render(&mut text);
        let text = text.finish();
        for line in [
            r#"gateway_upstream_connections_open{broker="0"} 1"#,
            r#"gateway_upstream_connections_open{broker="(other)"} 44"#,
            r#"gateway_upstream_request_bytes_total{broker="0"} 5"#,
            r#"gateway_upstream_connection_failures_total{broker="1"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        drop(open);
        assert!(brokers.traffic().iter().all(|broker| broker.connections == 0));
    }
}
