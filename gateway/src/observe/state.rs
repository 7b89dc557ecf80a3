//! What is declared, where it is kept, and how fresh this gateway's knowledge of it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::text::Text;

/// What was read of the log or the folder of declarations.
#[derive(Debug, Default)]
pub struct StateCounters {
    skipped: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    resources: AtomicU64,
    worlds: AtomicU64,
    virtual_clusters: AtomicU64,
    changed_at: AtomicU64,
    next_offset: AtomicI64,
    read_at: AtomicU64,
}

impl StateCounters {
    /// So many records hold no change and were left out.
    pub fn skipped(&self, records: usize) {
        self.skipped.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// So many changes in the log do not hold at present.
    pub fn set_rejected(&self, changes: usize) {
        self.rejected.store(changes as u64, Ordering::Relaxed);
    }

    /// Declarations could not be read, or files of them do not hold.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// So many resources are declared.
    pub fn set_resources(&self, resources: usize) {
        self.resources.store(resources as u64, Ordering::Relaxed);
    }

    /// Another world holds, with so many virtual clusters.
    pub fn world_published(&self, virtual_clusters: usize) {
        self.worlds.fetch_add(1, Ordering::Relaxed);
        self.virtual_clusters.store(virtual_clusters as u64, Ordering::Relaxed);
        self.changed_at.store(now(), Ordering::Relaxed);
    }

    /// The topic of declarations was read to its end, which is before this offset.
    pub fn read_until(&self, next_offset: i64) {
        self.next_offset.store(next_offset, Ordering::Relaxed);
        self.read_at.store(now(), Ordering::Relaxed);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        text.family("gateway_state_resources", "gauge", "Resources that are declared.");
        text.sample("gateway_state_resources", &[], count(&self.resources));
        let name = "gateway_state_records_skipped_total";
        text.family(name, "counter", "Records in the topic of declarations that hold none, and were left out.");
        text.sample(name, &[], count(&self.skipped));
        let name = "gateway_state_records_rejected";
        text.family(name, "gauge", "Declarations in the topic that do not go with earlier ones, and do not hold.");
        text.sample(name, &[], count(&self.rejected));
        let name = "gateway_state_read_failures_total";
        text.family(name, "counter", "Attempts to read declarations that failed; the former ones go on holding.");
        text.sample(name, &[], count(&self.failures));
        let help = "The offset behind the last record of the topic of declarations that was read; 0 without a topic.";
        text.single("gateway_state_next_offset", "gauge", help, self.next_offset.load(Ordering::Relaxed));
        let help =
            "When declarations were read to their end the last time, since 1970; 0 where they are only in memory.";
        text.single("gateway_state_read_timestamp_seconds", "gauge", help, count(&self.read_at));
        let help = "How often what is declared has changed since the start.";
        text.single("gateway_world_revision", "gauge", help, count(&self.worlds));
        let help = "When what is declared changed the last time, since 1970.";
        text.single("gateway_world_changed_timestamp_seconds", "gauge", help, count(&self.changed_at));
        let help = "Virtual clusters that there are.";
        text.single("gateway_virtual_clusters", "gauge", help, count(&self.virtual_clusters));
    }
}

/// In seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
