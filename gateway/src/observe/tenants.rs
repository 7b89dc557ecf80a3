//! Counters of virtual clusters, and within each of the APIs that its clients use.
//!
//! A session takes its tenant's [`TenantMetrics`] once, when the client has logged in; from there on there are only additions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use contract::events::Traffic;
use wire::schema::ApiKey;

use super::errors::{ErrorClass, ErrorClasses};
use super::histogram::Histogram;
use super::text::Text;

/// How many virtual clusters get counters of their own; the rest share one set, labelled `(other)`, a name that no virtual
/// cluster can have.
const MAX_TENANTS: usize = 1_000;
pub(super) const OTHER: &str = "(other)";
/// What the table of APIs does not know.
const UNKNOWN_API: &str = "(unknown)";

/// What a denial can be about, as ACLs call it.
const DENIED: [&str; 6] = ["TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"];

/// The counters of all virtual clusters.
#[derive(Debug, Default)]
pub struct Tenants {
    all: RwLock<BTreeMap<Arc<str>, Arc<TenantMetrics>>>,
}

/// The counters of one virtual cluster.
#[derive(Debug)]
pub struct TenantMetrics {
    connections_open: AtomicI64,
    connections: AtomicU64,
    denials: [AtomicU64; DENIED.len()],
    throttled_microseconds: AtomicU64,
    quota_refused: AtomicU64,
    duration: Histogram,
    /// By [`ApiKey::index`], and one for what is none. Made when the first request comes, so that who uses few has few.
    apis: Box<[OnceLock<Box<ApiMetrics>>]>,
}

/// The counters of one API of one virtual cluster.
#[derive(Debug, Default)]
struct ApiMetrics {
    requests: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    errors: [AtomicU64; ErrorClass::ALL.len()],
}

impl Default for TenantMetrics {
    fn default() -> Self {
        Self {
            connections_open: AtomicI64::default(),
            connections: AtomicU64::default(),
            denials: Default::default(),
            throttled_microseconds: AtomicU64::default(),
            quota_refused: AtomicU64::default(),
            duration: Histogram::default(),
            apis: (0..=ApiKey::ALL.len()).map(|_| OnceLock::new()).collect(),
        }
    }
}

/// Counts a tenant's connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenTenantConnection {
    tenant: Arc<TenantMetrics>,
}

impl OpenTenantConnection {
    pub fn metrics(&self) -> &TenantMetrics {
        &self.tenant
    }
}

impl Drop for OpenTenantConnection {
    fn drop(&mut self) {
        self.tenant.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tenants {
    /// A client has logged in to a virtual cluster. Takes a lock: once per connection, not per request.
    pub(super) fn connection_opened(&self, virtual_cluster: &Arc<str>) -> OpenTenantConnection {
        let tenant = self.of(virtual_cluster);
        tenant.connections.fetch_add(1, Ordering::Relaxed);
        tenant.connections_open.fetch_add(1, Ordering::Relaxed);
        OpenTenantConnection { tenant }
    }

    /// Those of one, made if need be.
    pub(super) fn of(&self, virtual_cluster: &Arc<str>) -> Arc<TenantMetrics> {
        let known = self.all.read().unwrap_or_else(PoisonError::into_inner).get(virtual_cluster).cloned();
        known.unwrap_or_else(|| {
            let mut tenants = self.all.write().unwrap_or_else(PoisonError::into_inner);
            let full = tenants.len() >= MAX_TENANTS && !tenants.contains_key(virtual_cluster);
            let name = if full { Arc::from(OTHER) } else { Arc::clone(virtual_cluster) };
            Arc::clone(tenants.entry(name).or_default())
        })
    }

    /// Forgets the counters of virtual clusters that are no more, so that short-lived ones do not fill the table.
    pub(super) fn retain(&self, exists: impl Fn(&str) -> bool) {
        let mut tenants = self.all.write().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|name, _| &**name == OTHER || exists(name));
    }

    /// All of them now.
    pub(super) fn all(&self) -> BTreeMap<Arc<str>, Arc<TenantMetrics>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn render(&self, text: &mut Text) {
        let tenants = self.all();
        for family in FAMILIES {
            text.family(family.name, family.kind, family.help);
            for (name, tenant) in &tenants {
                text.sample(family.name, &[("virtual_cluster", name)], (family.value)(tenant));
            }
        }
        let throttled = "gateway_throttled_seconds_total";
        text.family(throttled, "counter", "How long clients were told to wait by quotas, all of them together.");
        for (name, tenant) in &tenants {
            let micros = tenant.throttled_microseconds.load(Ordering::Relaxed);
            let seconds = format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            text.sample(throttled, &[("virtual_cluster", name)], seconds);
        }
        let denials = "gateway_authorization_denials_total";
        text.family(denials, "counter", "Rights that clients wanted and did not have, by type of the resource.");
        for (name, tenant) in &tenants {
            let counted = tenant.denials.iter().map(|count| count.load(Ordering::Relaxed)).zip(DENIED);
            for (count, resource) in counted.filter(|(count, _)| *count > 0) {
                text.sample(denials, &[("virtual_cluster", name), ("resource_type", resource)], count);
            }
        }
        let duration = "gateway_virtual_cluster_request_duration_seconds";
        let help =
            "From a request's last byte in to its answer's last byte out, without requests that brokers hold open.";
        text.family(duration, "histogram", help);
        for (name, tenant) in tenants.iter().filter(|(_, tenant)| tenant.duration.count() > 0) {
            tenant.duration.render(text, duration, &[("virtual_cluster", name)]);
        }
        for family in API_FAMILIES {
            text.family(family.name, "counter", family.help);
            for (name, tenant) in &tenants {
                for (api, metrics) in tenant.apis() {
                    let count = (family.value)(metrics).load(Ordering::Relaxed);
                    text.sample(family.name, &[("virtual_cluster", name), ("api", api)], count);
                }
            }
        }
        let errors = "gateway_request_errors_total";
        text.family(errors, "counter", "Answers that hold an error, once for each class of Kafka's error codes in it.");
        for (name, tenant) in &tenants {
            for (api, metrics) in tenant.apis() {
                let counted = ErrorClass::ALL.into_iter().zip(&metrics.errors);
                for (class, count) in counted.map(|(class, count)| (class.label(), count.load(Ordering::Relaxed))) {
                    if count > 0 {
                        text.sample(errors, &[("virtual_cluster", name), ("api", api), ("class", class)], count);
                    }
                }
            }
        }
    }
}

impl TenantMetrics {
    fn api(&self, api: Option<ApiKey>) -> &ApiMetrics {
        self.apis[api.map_or(ApiKey::ALL.len(), ApiKey::index)].get_or_init(Box::default)
    }

    fn apis(&self) -> impl Iterator<Item = (&'static str, &ApiMetrics)> {
        let names = ApiKey::ALL.iter().map(|key| key.name()).chain([UNKNOWN_API]);
        names.zip(&self.apis).filter_map(|(name, api)| api.get().map(|api| (name, &**api)))
    }

    /// A request of this many bytes has come in; `None` where it is of no API that is known.
    pub fn request(&self, api: Option<ApiKey>, bytes: usize) {
        let api = self.api(api);
        api.requests.fetch_add(1, Ordering::Relaxed);
        api.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An answer of this many bytes goes out.
    pub fn answer(&self, api: Option<ApiKey>, bytes: usize, errors: ErrorClasses) {
        let api = self.api(api);
        api.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
        for class in errors.iter() {
            api.errors[class as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was answered with an error made here.
    pub fn request_refused(&self, api: Option<ApiKey>) {
        self.api(api).refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A client was told to wait, or a request of its was.
    pub fn throttled(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if microseconds > 0 {
            self.throttled_microseconds.fetch_add(microseconds, Ordering::Relaxed);
        }
    }

    /// A connection or a request was refused because of a quota.
    pub fn quota_refused(&self) {
        self.quota_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered within this time.
    pub fn took(&self, time: Duration) {
        self.duration.observe(time);
    }

    /// A right is missing on a resource of this type, as ACLs call it.
    pub fn denied(&self, resource_type: &str) {
        if let Some(at) = DENIED.iter().position(|known| *known == resource_type) {
            self.denials[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sum over all APIs.
    fn sum(&self, of: fn(&ApiMetrics) -> &AtomicU64) -> u64 {
        self.apis().map(|(_, api)| of(api).load(Ordering::Relaxed)).sum()
    }

    /// The bytes of all answers.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.sum(|api| &api.bytes_out)
    }

    /// Everything since the start, over all APIs.
    pub(super) fn traffic(&self, virtual_cluster: &str) -> Traffic {
        let errors = |api: &ApiMetrics| api.errors.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        Traffic {
            virtual_cluster: virtual_cluster.to_owned(),
            connections: self.connections_open.load(Ordering::Relaxed).try_into().unwrap_or_default(),
            requests: self.sum(|api| &api.requests),
            refused: self.sum(|api| &api.refused),
            errors: self.apis().map(|(_, api)| errors(api)).sum(),
            denials: self.denials.iter().map(|count| count.load(Ordering::Relaxed)).sum(),
            request_bytes: self.sum(|api| &api.bytes_in),
            response_bytes: self.bytes_sent(),
        }
    }
}

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&TenantMetrics) -> i128,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "gateway_virtual_cluster_connections_open",
        kind: "gauge",
        help: "Logged-in connections open now.",
        value: |tenant| tenant.connections_open.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_virtual_cluster_connections_total",
        kind: "counter",
        help: "Connections that logged in.",
        value: |tenant| tenant.connections.load(Ordering::Relaxed).into(),
    },
    Family {
        name: "gateway_quota_refused_total",
        kind: "counter",
        help: "Connections and requests refused because of a quota.",
        value: |tenant| tenant.quota_refused.load(Ordering::Relaxed).into(),
    },
];

struct ApiFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&ApiMetrics) -> &AtomicU64,
}

const API_FAMILIES: &[ApiFamily] = &[
    ApiFamily { name: "gateway_requests_total", help: "Requests received.", value: |api| &api.requests },
    ApiFamily {
        name: "gateway_requests_refused_total",
        help: "Requests answered with an error made by the gateway.",
        value: |api| &api.refused,
    },
    ApiFamily { name: "gateway_request_bytes_total", help: "Bytes of requests received.", value: |api| &api.bytes_in },
    ApiFamily { name: "gateway_response_bytes_total", help: "Bytes of answers sent.", value: |api| &api.bytes_out },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(tenants: &Tenants) -> String {
        let mut text = Text::new();
        tenants.render(&mut text);
        text.finish()
    }

    #[test]
    fn an_api_has_series_once_it_is_used() {
        let tenants = Tenants::default();
        let open = tenants.connection_opened(&Arc::from("dev"));
        let mut errors = ErrorClasses::default();
        errors.add(29);
        open.metrics().request(Some(ApiKey::Produce), 10);
        open.metrics().answer(Some(ApiKey::Produce), 20, errors);
        open.metrics().request(None, 7);
        open.metrics().denied("TOPIC");
        open.metrics().throttled(Duration::from_millis(1500));
        open.metrics().denied("something of a later Kafka");
        open.metrics().took(Duration::from_millis(3));
        let text = rendered(&tenants);
        for line in [
            r#"gateway_requests_total{virtual_cluster="dev",api="Produce"} 1"#,
            r#"gateway_requests_total{virtual_cluster="dev",api="(unknown)"} 1"#,
            r#"gateway_response_bytes_total{virtual_cluster="dev",api="Produce"} 20"#,
            r#"gateway_request_errors_total{virtual_cluster="dev",api="Produce",class="authorization"} 1"#,
            r#"gateway_authorization_denials_total{virtual_cluster="dev",resource_type="TOPIC"} 1"#,
            r#"gateway_virtual_cluster_request_duration_seconds_count{virtual_cluster="dev"} 1"#,
            r#"gateway_throttled_seconds_total{virtual_cluster="dev"} 1.500000"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains(r#"api="Fetch""#) && !text.contains("later Kafka"), "{text}");
        let traffic = open.metrics().traffic("dev");
        assert_eq!((traffic.requests, traffic.request_bytes, traffic.errors, traffic.denials), (2, 17, 1, 1));
    }

    #[test]
    fn the_table_of_tenants_is_bounded_and_what_is_deleted_disappears() {
        let tenants = Tenants::default();
        let name = |number: usize| Arc::from(format!("t{number}"));
        for number in 0..MAX_TENANTS + 10 {
            drop(tenants.connection_opened(&name(number)));
        }
        assert_eq!(tenants.all().len(), MAX_TENANTS + 1);
        drop(tenants.connection_opened(&name(3)));
        let text = rendered(&tenants);
        let others = format!("gateway_virtual_cluster_connections_total{{virtual_cluster=\"{OTHER}\"}} 10\n");
        assert!(text.contains(&others), "{text}");
        assert!(text.contains("gateway_virtual_cluster_connections_total{virtual_cluster=\"t3\"} 2\n"));
        tenants.retain(|name| name == "t4");
        let text = rendered(&tenants);
        assert!(!text.contains("\"t3\"") && text.contains("\"t4\"") && text.contains(&others));
        drop(tenants.connection_opened(&name(5000)));
        assert!(rendered(&tenants).contains("\"t5000\""), "there is room again");
    }
}
