//! Counters, and their text for Prometheus.
//!
//! On the path of a request there are only additions to atomics: a session takes its tenant's [`TenantMetrics`] and its broker's
//! counters once, and keeps them. Every label has a bounded number of values.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use contract::events::{Totals, Traffic};
use wire::schema::ApiKey;

use super::audit::AuditCounters;
use super::brokers::{Brokers, Durations, OpenBrokerConnection, Spent};
use super::identity_keys::IdentityKeyCounters;
use super::nodes::NodeCounters;
use super::process;
use super::state::StateCounters;
use super::stream::EventStream;
use super::tenants::{OpenTenantConnection, TenantMetrics, Tenants};
use super::text::Text;
use super::traces::SpanCounters;
use super::upstreams::UpstreamCounters;

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
}

impl FrameRefusal {
    const ALL: [Self; 5] =
        [Self::Oversized, Self::Malformed, Self::UnknownApi, Self::UnknownVersion, Self::Unauthenticated];

    /// As it stands in metrics and audit events.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::UnknownApi => "unknown_api",
            Self::UnknownVersion => "unknown_version",
            Self::Unauthenticated => "unauthenticated",
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
    /// The gateways of the same cluster.
    pub nodes: NodeCounters,
    tls_handshakes_failed: AtomicU64,
    certificate_reloads: [AtomicU64; 2],
    certificates: RwLock<Vec<CertificateExpiry>>,
    tenants: Tenants,
    brokers: Brokers,
    durations: Durations,
    /// What became of the spans of requests.
    pub spans: SpanCounters,
    /// The live event stream.
    pub stream: EventStream,
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

    /// A broker could not be reached when a client needed it.
    pub fn upstream_connection_failed(&self, broker: i32) {
        self.brokers.failed(broker);
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
        self.tenants.of(virtual_cluster).quota_refused();
    }

    /// A client has logged in to a virtual cluster. Takes a lock: once per connection, not per request.
    pub fn tenant_connection_opened(&self, virtual_cluster: &Arc<str>) -> OpenTenantConnection {
        self.tenants.connection_opened(virtual_cluster)
    }

    /// Another world holds: the counters of virtual clusters that are not in it are forgotten.
    pub fn world_published(&self, virtual_clusters: usize, exists: impl Fn(&str) -> bool) {
        self.state.world_published(virtual_clusters);
        self.tenants.retain(exists);
    }

    /// The bytes of answers that each virtual cluster with counters of its own was sent.
    pub fn bytes_sent(&self) -> BTreeMap<Arc<str>, u64> {
        self.tenants.all().into_iter().map(|(name, tenant)| (name, tenant.bytes_sent())).collect()
    }

    /// What each virtual cluster with counters of its own did since the start.
    pub fn traffic(&self) -> BTreeMap<Arc<str>, Traffic> {
        let traffic = |(name, tenant): (Arc<str>, Arc<TenantMetrics>)| (Arc::clone(&name), tenant.traffic(&name));
        self.tenants.all().into_iter().map(traffic).collect()
    }

    /// What concerns all virtual clusters.
    pub fn totals(&self) -> Totals {
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        Totals {
            connections: self.connections_open().try_into().unwrap_or_default(),
            authentication_failures: count(&self.authentication_failures),
            frames_refused: self.refused_frames.iter().map(count).sum(),
            isolation_violations: count(&self.isolation_violations),
            events_dropped: self.stream.all_dropped(),
            brokers: self.brokers.traffic(),
        }
    }

    /// A client's connection to a broker was made. Takes a lock: once per connection.
    pub fn upstream_connected(&self, broker: i32) -> OpenBrokerConnection {
        self.brokers.connected(broker)
    }

    /// A request that a broker has answered took this long.
    pub fn request_took(&self, api: ApiKey, spent: &Spent) {
        self.durations.observe(api, spent);
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Text::new();
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
        self.nodes.render(&mut text);
        self.render_tls(&mut text);
        self.spans.render(&mut text);
        self.stream.render(&mut text);
        self.tenants.render(&mut text);
        self.brokers.render(&mut text);
        self.durations.render(&mut text);
        process::render(&mut text);
        text.finish()
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::errors::ErrorClasses;

    #[test]
    fn counts_and_renders() {
        let metrics = Arc::new(Metrics::default());
        let open = metrics.connection_opened();
        drop(metrics.connection_opened());
        let tenant = metrics.tenant_connection_opened(&Arc::from("dev"));
        tenant.metrics().request(Some(ApiKey::Fetch), 10);
        tenant.metrics().answer(Some(ApiKey::Fetch), 20, ErrorClasses::default());
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
            "gateway_request_bytes_total{virtual_cluster=\"dev\",api=\"Fetch\"} 10",
            "gateway_response_bytes_total{virtual_cluster=\"dev\",api=\"Fetch\"} 20",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        drop(open);
        assert_eq!(metrics.connections_open(), 0);
    }
}
