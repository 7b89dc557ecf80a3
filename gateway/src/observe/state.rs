//! Counters of where declarations are kept.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::Text;

/// What was read of the log or the folder of declarations.
#[derive(Debug, Default)]
pub struct StateCounters {
    skipped: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    resources: AtomicU64,
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
    }
}
