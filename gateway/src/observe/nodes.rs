//! The gateways of one cluster, as this one hears them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::text::Text;

/// How many there are.
#[derive(Debug, Default)]
pub struct NodeCounters {
    cluster: OnceLock<Arc<str>>,
    heard: AtomicU64,
}

impl NodeCounters {
    /// So many are heard of the cluster that is called so, this one included. What a cluster is called does not change.
    pub fn heard(&self, cluster: &str, nodes: usize) {
        let _ = self.cluster.get_or_init(|| cluster.into());
        self.heard.store(nodes as u64, Ordering::Relaxed);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let name = "gateway_nodes";
        text.family(name, "gauge", "Gateways of the same cluster that are heard, this one included.");
        if let Some(cluster) = self.cluster.get() {
            text.sample(name, &[("cluster", cluster)], self.heard.load(Ordering::Relaxed));
        }
    }
}
