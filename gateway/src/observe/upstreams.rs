//! Counters of the physical clusters, where there are several to switch between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use super::text::Text;

/// How one physical cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamState {
    /// Its name in the settings.
    pub name: String,
    /// Whether it serves clients.
    pub active: bool,
    /// Whether it answered when it was last asked.
    pub reachable: bool,
}

/// What switches came to.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    /// Empty where there is one cluster only.
    clusters: RwLock<Vec<UpstreamState>>,
    epoch: AtomicU64,
    switches: AtomicU64,
    sessions_left: AtomicU64,
    sent_to_bootstrap: AtomicU64,
}

impl UpstreamCounters {
    /// How all of them are now.
    pub fn set(&self, clusters: Vec<UpstreamState>, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
        *self.clusters.write().unwrap_or_else(PoisonError::into_inner) = clusters;
    }

    /// Another cluster serves from now on.
    pub fn switched(&self) {
        self.switches.fetch_add(1, Ordering::Relaxed);
    }

    /// A session ended because its cluster no longer serves.
    pub fn session_left(&self) {
        self.sessions_left.fetch_add(1, Ordering::Relaxed);
    }

    /// A client was told to begin anew from its bootstrap addresses (KIP-1102).
    pub fn client_sent_to_bootstrap(&self) {
        self.sent_to_bootstrap.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        if clusters.is_empty() {
            return;
        }
        let name = "gateway_upstream_active";
        text.family(name, "gauge", "1 for the physical cluster that serves clients.");
        for cluster in &*clusters {
            text.sample(name, &[("cluster", &cluster.name)], u8::from(cluster.active));
        }
        let name = "gateway_upstream_reachable";
        text.family(name, "gauge", "1 for a physical cluster that answered when it was last asked.");
        for cluster in &*clusters {
            text.sample(name, &[("cluster", &cluster.name)], u8::from(cluster.reachable));
        }
        let help = "Counts the switches of all gateways together; differs between gateways for as long as one lags.";
        text.family("gateway_upstream_switch_epoch", "gauge", help);
        text.sample("gateway_upstream_switch_epoch", &[], self.epoch.load(Ordering::Relaxed));
        for (name, help, value) in [
            ("gateway_upstream_switches_total", "Switches to another physical cluster.", &self.switches),
            (
                "gateway_upstream_switch_sessions_total",
                "Client connections that ended because another physical cluster serves than their client believed.",
                &self.sessions_left,
            ),
            (
                "gateway_upstream_rebootstraps_total",
                "Metadata requests answered with REBOOTSTRAP_REQUIRED, because of other broker ids.",
                &self.sent_to_bootstrap,
            ),
        ] {
            text.family(name, "counter", help);
            text.sample(name, &[], value.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::Metrics;

    use super::*;

    #[test]
    fn nothing_is_shown_where_there_is_one_cluster() {
        let metrics = Metrics::default();
        assert!(!metrics.render().contains("gateway_upstream_active"));
        let state = |name: &str, active| UpstreamState { name: name.into(), active, reachable: !active };
        metrics.upstreams.set(vec![state("main", false), state("failover", true)], 3);
        metrics.upstreams.switched();
        let text = metrics.render();
        for line in [
            "gateway_upstream_active{cluster=\"main\"} 0",
            "gateway_upstream_active{cluster=\"failover\"} 1",
            "gateway_upstream_reachable{cluster=\"failover\"} 0",
            "gateway_upstream_switch_epoch 3",
            "gateway_upstream_switches_total 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }
}
