//! Counters, and their text for Prometheus.
//!
//! On the path of a request there are only additions to atomics: a session takes its tenant's [`TenantMetrics`] once,
//! when the client has logged in, and keeps it. The number of tenants with counters of their own is bounded.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::audit::AuditCounters;
use super::identity_keys::IdentityKeyCounters;
use super::state::StateCounters;
use super::upstreams::UpstreamCounters;

/// How many virtual clusters get counters of their own; the rest share one set, labelled `(other)`.
const MAX_TENANTS: usize = 2_000;
const OTHER: &str = "(other)";

/// Why a frame was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRefusal {
    /// Longer than the limit, or negative length.
    Oversized,
    /// Its bytes do not follow Kafka's specification.
    Malformed,
    /// An API that is unknown or not served.
    UnknownApi,
    /// A version that was not reviewed.
    UnknownVersion,
    /// A request before the client has logged in.
    Unauthenticated,
    /// More requests in flight than allowed.
    TooManyInFlight,
}

impl FrameRefusal {
    const ALL: [Self; 6] = [
        Self::Oversized,
        Self::Malformed,
        Self::UnknownApi,
        Self::UnknownVersion,
        Self::Unauthenticated,
        Self::TooManyInFlight,
    ];

    /// As it stands in metrics and audit events.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::UnknownApi => "unknown_api",
            Self::UnknownVersion => "unknown_version",
            Self::Unauthenticated => "unauthenticated",
            Self::TooManyInFlight => "too_many_in_flight",
        }
    }
}

/// What tells counters of logins apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LoginLabels {
    again: bool,
    mechanism: &'static str,
    succeeded: bool,
}

/// All counters of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    connections_open: AtomicI64,
    connections: AtomicU64,
    connections_refused: AtomicU64,
    refused_frames: [AtomicU64; FrameRefusal::ALL.len()],
    authentication_failures: AtomicU64,
    logins: Mutex<BTreeMap<LoginLabels, u64>>,
    sessions_expired: AtomicU64,
    isolation_violations: AtomicU64,
    records_unreadable: AtomicU64,
    upstream_connection_failures: AtomicU64,
    upstream_login_renewals: AtomicU64,
    answers_withheld: AtomicU64,
    /// The keys of the identity provider.
    pub identity_keys: IdentityKeyCounters,
    /// Where declarations are kept.
    pub state: StateCounters,
    /// What became of the audit events.
    pub audit: AuditCounters,
    /// The physical clusters, where there are several.
    pub upstreams: UpstreamCounters,
    tls_handshakes_failed: AtomicU64,
    certificate_reloads: [AtomicU64; 2],
    certificates: RwLock<Vec<CertificateExpiry>>,
    tenants: RwLock<BTreeMap<Arc<str>, Arc<TenantMetrics>>>,
}

/// A certificate that the gateway shows or trusts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateExpiry {
    /// The file.
    pub place: String,
    /// Its subject.
    pub subject: String,
    /// Its last second, since 1970.
    pub not_after: i64,
}

/// The counters of one virtual cluster.
#[derive(Debug, Default)]
pub struct TenantMetrics {
    connections_open: AtomicI64,
    connections: AtomicU64,
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    refused_requests: AtomicU64,
    throttled_microseconds: AtomicU64,
    quota_refused: AtomicU64,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    metrics: Arc<Metrics>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.connections_open.fetch_sub(1, Ordering::Relaxed);
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

impl Metrics {
    /// A client has connected.
    pub fn connection_opened(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.connections_open.fetch_add(1, Ordering::Relaxed);
        OpenConnection { metrics: Arc::clone(self) }
    }

    /// A client was turned away before anything was read, because there are too many.
    pub fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many clients are connected.
    pub fn connections_open(&self) -> i64 {
        self.connections_open.load(Ordering::Relaxed)
    }

    /// A frame was not served.
    pub fn frame_refused(&self, reason: FrameRefusal) {
        self.refused_frames[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A client logged in, or again on its open connection, or could not prove who it is. `mechanism` is a word of the
    /// gateway's own.
    pub fn authenticated(&self, mechanism: &'static str, again: bool, succeeded: bool) {
        if !succeeded {
            self.authentication_failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        *logins.entry(LoginLabels { again, mechanism, succeeded }).or_default() += 1;
    }

    /// A session ended because its client did not log in again in time.
    pub fn session_expired(&self) {
        self.sessions_expired.fetch_add(1, Ordering::Relaxed);
    }

    /// Something of another tenant was about to reach a client and was held back: always a bug, never normal.
    pub fn isolation_violated(&self) {
        self.isolation_violations.fetch_add(1, Ordering::Relaxed);
    }

    /// The records of a partition were refused, since nobody could tell which of them a filter shows.
    pub fn records_unreadable(&self) {
        self.records_unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// A broker could not be reached.
    pub fn upstream_connection_failed(&self) {
        self.upstream_connection_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The gateway logged in anew on a connection that goes on.
    pub fn upstream_login_renewed(&self) {
        self.upstream_login_renewals.fetch_add(1, Ordering::Relaxed);
    }

    /// A broker's answer was none that can be sent on; its connection was closed.
    pub fn answer_withheld(&self) {
        self.answers_withheld.fetch_add(1, Ordering::Relaxed);
    }

    /// A client began TLS and did not get through, or sent something else to a port that speaks TLS.
    pub fn tls_handshake_failed(&self) {
        self.tls_handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Certificates have changed, and can be used or not.
    pub fn tls_reloaded(&self, used: bool) {
        self.certificate_reloads[usize::from(used)].fetch_add(1, Ordering::Relaxed);
    }

    /// The certificates in use, all of them.
    pub fn set_certificates(&self, mut certificates: Vec<CertificateExpiry>) {
        // One family of a name has one sample of each set of labels: where there are several, the one that ends first.
        certificates.sort();
        certificates.dedup_by(|later, kept| (&later.place, &later.subject) == (&kept.place, &kept.subject));
        *self.certificates.write().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// A client that has logged in was turned away because of a quota.
    pub fn quota_refused(&self, virtual_cluster: &Arc<str>) {
        self.tenant(virtual_cluster).quota_refused();
    }

    /// A client has logged in to a virtual cluster. Takes a lock: once per connection, not per request.
    pub fn tenant_connection_opened(&self, virtual_cluster: &Arc<str>) -> OpenTenantConnection {
        let tenant = self.tenant(virtual_cluster);
        tenant.connections.fetch_add(1, Ordering::Relaxed);
        tenant.connections_open.fetch_add(1, Ordering::Relaxed);
        OpenTenantConnection { tenant }
    }

    fn tenant(&self, virtual_cluster: &Arc<str>) -> Arc<TenantMetrics> {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(virtual_cluster).cloned();
        known.unwrap_or_else(|| {
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            let full = tenants.len() >= MAX_TENANTS;
            let name = if full { Arc::from(OTHER) } else { Arc::clone(virtual_cluster) };
            Arc::clone(tenants.entry(name).or_default())
        })
    }

    /// Forgets the counters of a deleted virtual cluster, so that short-lived ones do not fill the table.
    pub fn forget_tenant(&self, virtual_cluster: &str) {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).remove(virtual_cluster);
    }

    /// The bytes of answers that each virtual cluster with counters of its own was sent.
    pub fn bytes_sent(&self) -> BTreeMap<Arc<str>, u64> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.iter().map(|(name, tenant)| (Arc::clone(name), tenant.bytes_out.load(Ordering::Relaxed))).collect()
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Text(String::with_capacity(4096));
        let gauge = |value: &AtomicI64| value.load(Ordering::Relaxed);
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        text.family("gateway_connections_open", "gauge", "Client connections open now.");
        text.sample("gateway_connections_open", &[], gauge(&self.connections_open));
        text.family("gateway_connections_total", "counter", "Client connections accepted.");
        text.sample("gateway_connections_total", &[], count(&self.connections));
        text.family("gateway_connections_refused_total", "counter", "Client connections turned away at the limit.");
        text.sample("gateway_connections_refused_total", &[], count(&self.connections_refused));
        text.family("gateway_frames_refused_total", "counter", "Frames not served, by reason.");
        for reason in FrameRefusal::ALL {
            let labels = [("reason", reason.label())];
            text.sample("gateway_frames_refused_total", &labels, count(&self.refused_frames[reason as usize]));
        }
        text.family("gateway_authentication_failures_total", "counter", "Logins that failed.");
        text.sample("gateway_authentication_failures_total", &[], count(&self.authentication_failures));
        self.render_logins(&mut text);
        let help = "Sessions that ended because their clients did not log in again in time.";
        text.family("gateway_sessions_expired_total", "counter", help);
        text.sample("gateway_sessions_expired_total", &[], count(&self.sessions_expired));
        let help = "Answers held back because they held something of another tenant. Anything but 0 is a bug.";
        text.family("gateway_isolation_violations_total", "counter", help);
        text.sample("gateway_isolation_violations_total", &[], count(&self.isolation_violations));
        let help = "Partitions of filtered topics that were refused because their records can't be read.";
        text.family("gateway_unreadable_records_total", "counter", help);
        text.sample("gateway_unreadable_records_total", &[], count(&self.records_unreadable));
        text.family("gateway_upstream_connection_failures_total", "counter", "Brokers that could not be reached.");
        text.sample("gateway_upstream_connection_failures_total", &[], count(&self.upstream_connection_failures));
        let renewals = "Logins at brokers that were renewed before they expired, on connections that went on.";
        text.family("gateway_upstream_login_renewals_total", "counter", renewals);
        text.sample("gateway_upstream_login_renewals_total", &[], count(&self.upstream_login_renewals));
        let help = "Answers of brokers that were malformed or not asked for, each with its connection closed.";
        text.family("gateway_upstream_answers_withheld_total", "counter", help);
        text.sample("gateway_upstream_answers_withheld_total", &[], count(&self.answers_withheld));
        self.identity_keys.render(&mut text);
        self.state.render(&mut text);
        self.audit.render(&mut text);
        self.upstreams.render(&mut text);
        self.render_tls(&mut text);
        self.render_tenants(&mut text);
        text.0
    }

    fn render_tls(&self, text: &mut Text) {
        let help = "TLS handshakes of clients that failed.";
        text.family("gateway_tls_handshakes_failed_total", "counter", help);
        text.sample("gateway_tls_handshakes_failed_total", &[], self.tls_handshakes_failed.load(Ordering::Relaxed));
        let name = "gateway_certificate_reloads_total";
        text.family(name, "counter", "Changed certificates, used or refused.");
        for (reloads, result) in self.certificate_reloads.iter().zip(["refused", "used"]) {
            text.sample(name, &[("result", result)], reloads.load(Ordering::Relaxed));
        }
        let name = "gateway_certificate_expiry_timestamp_seconds";
        text.family(name, "gauge", "When certificates that the gateway shows or trusts end.");
        for certificate in &*self.certificates.read().unwrap_or_else(PoisonError::into_inner) {
            let labels = [("place", certificate.place.as_str()), ("subject", certificate.subject.as_str())];
            text.sample(name, &labels, certificate.not_after);
        }
    }

    fn render_logins(&self, text: &mut Text) {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (again, name, help) in [
            (false, "gateway_authentications_total", "Logins at the beginning of a connection."),
            (true, "gateway_reauthentications_total", "Logins on connections that were logged in already (KIP-368)."),
        ] {
            text.family(name, "counter", help);
            for (labels, count) in logins.iter().filter(|(labels, _)| labels.again == again) {
                let outcome = if labels.succeeded { "success" } else { "failure" };
                text.sample(name, &[("mechanism", labels.mechanism), ("outcome", outcome)], count);
            }
        }
    }

    fn render_tenants(&self, text: &mut Text) {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner).clone();
        for family in TENANT_FAMILIES {
            text.family(family.name, family.kind, family.help);
            for (name, tenant) in &tenants {
                text.sample(family.name, &[("virtual_cluster", name)], (family.value)(tenant));
            }
        }
    }
}

impl TenantMetrics {
    /// A request of this many bytes has come in.
    pub fn request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// An answer of this many bytes has gone out.
    pub fn answer(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A client was told to wait, or a request of its was.
    pub fn throttled(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if microseconds > 0 {
            self.throttled_microseconds.fetch_add(microseconds, Ordering::Relaxed);
        }
    }

    /// A request was refused because of a quota.
    pub fn quota_refused(&self) {
        self.quota_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered with an error made here.
    pub fn request_refused(&self) {
        self.refused_requests.fetch_add(1, Ordering::Relaxed);
    }
}

struct TenantFamily {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&TenantMetrics) -> i128,
}

const TENANT_FAMILIES: &[TenantFamily] = &[
    TenantFamily {
        name: "gateway_virtual_cluster_connections_open",
        kind: "gauge",
        help: "Logged-in connections open now.",
        value: |tenant| tenant.connections_open.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_virtual_cluster_connections_total",
        kind: "counter",
        help: "Connections that logged in.",
        value: |tenant| tenant.connections.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_requests_total",
        kind: "counter",
        help: "Requests received.",
        value: |tenant| tenant.requests.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_requests_refused_total",
        kind: "counter",
        help: "Requests answered with an error made by the gateway.",
        value: |tenant| tenant.refused_requests.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_request_bytes_total",
        kind: "counter",
        help: "Bytes of requests received.",
        value: |tenant| tenant.bytes_in.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_response_bytes_total",
        kind: "counter",
        help: "Bytes of answers sent.",
        value: |tenant| tenant.bytes_out.load(Ordering::Relaxed).into(),
    },
    TenantFamily {
        name: "gateway_throttled_milliseconds_total",
        kind: "counter",
        help: "Milliseconds that clients were told to wait by quotas, all of them together.",
        value: |tenant| (tenant.throttled_microseconds.load(Ordering::Relaxed) / 1000).into(),
    },
    TenantFamily {
        name: "gateway_quota_refused_total",
        kind: "counter",
        help: "Connections and requests refused because of a quota.",
        value: |tenant| tenant.quota_refused.load(Ordering::Relaxed).into(),
    },
];

/// The text under construction. Writing to a `String` cannot fail, hence the ignored results.
pub(super) struct Text(String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_renders() {
        let metrics = Arc::new(Metrics::default());
        let open = metrics.connection_opened();
        drop(metrics.connection_opened());
        let tenant = metrics.tenant_connection_opened(&Arc::from("dev"));
        tenant.metrics().request(10);
        tenant.metrics().answer(20);
        metrics.frame_refused(FrameRefusal::UnknownVersion);
        metrics.authenticated("PLAIN", false, false);
        metrics.authenticated("OAUTHBEARER", true, true);
        let text = metrics.render();
        for line in [
            "gateway_connections_open 1",
            "gateway_connections_total 2",
            "gateway_frames_refused_total{reason=\"unknown_version\"} 1",
            "gateway_authentication_failures_total 1",
            "gateway_authentications_total{mechanism=\"PLAIN\",outcome=\"failure\"} 1",
            "gateway_reauthentications_total{mechanism=\"OAUTHBEARER\",outcome=\"success\"} 1",
            "gateway_isolation_violations_total 0",
            "gateway_virtual_cluster_connections_open{virtual_cluster=\"dev\"} 1",
            "gateway_request_bytes_total{virtual_cluster=\"dev\"} 10",
            "gateway_response_bytes_total{virtual_cluster=\"dev\"} 20",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        drop(open);
        assert_eq!(metrics.connections_open(), 0);
    }

    #[test]
    fn the_table_of_tenants_is_bounded() {
        let metrics = Arc::new(Metrics::default());
        for tenant in 0..MAX_TENANTS + 10 {
            drop(metrics.tenant_connection_opened(&Arc::from(tenant.to_string())));
        }
        assert_eq!(metrics.tenants.read().unwrap().len(), MAX_TENANTS + 1);
        let line = format!("gateway_virtual_cluster_connections_total{{virtual_cluster=\"{OTHER}\"}} 10");
        assert!(metrics.render().contains(&line));
    }
}
