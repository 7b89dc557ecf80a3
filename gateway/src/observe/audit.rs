//! What became of the audit events: how many of which type, how many were kept where, and how many were lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::text::Text;

/// Counters of the audit. All but that of the queue are written by the audit's own tasks only, so a lock does not matter.
#[derive(Debug, Default)]
pub struct AuditCounters {
    lost_in_queue: AtomicU64,
    counts: Mutex<BTreeMap<(Family, &'static str), u64>>,
}

/// The counters that have a label. Every value of a label is a word of the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Events,
    Alerts,
    Kept,
    Lost,
    Failures,
}

const FAMILIES: [(Family, &str, &str, &str); 5] = [
    (Family::Events, "gateway_audit_events_total", "type", "Things that happened and are worth an audit event."),
    (Family::Alerts, "gateway_audit_alerts_total", "rule", "Alerts that the rules of the audit raised."),
    (Family::Kept, "gateway_audit_events_kept_total", "sink", "Audit events that a sink has taken."),
    (Family::Lost, "gateway_audit_events_lost_total", "at", "Audit events lost: anything but 0 is worth an alarm."),
    (Family::Failures, "gateway_audit_sink_failures_total", "sink", "Attempts to write that failed and are repeated."),
];

impl AuditCounters {
    /// An event found no room in the queue.
    pub fn lost_in_queue(&self) {
        let _ = self.lost_in_queue.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events found no room in the queue since the start.
    pub fn all_lost_in_queue(&self) -> u64 {
        self.lost_in_queue.load(Ordering::Relaxed)
    }

    /// An event of a type came in.
    pub fn event(&self, type_name: &'static str) {
        self.add(Family::Events, type_name, 1);
    }

    /// A rule raised an alert.
    pub fn alert(&self, rule: &'static str) {
        self.add(Family::Alerts, rule, 1);
    }

    /// A sink has taken this many events.
    pub fn kept(&self, sink: &'static str, events: usize) {
        self.add(Family::Kept, sink, events as u64);
    }

    /// An event found no room in a sink's queue.
    pub fn lost(&self, sink: &'static str) {
        self.add(Family::Lost, sink, 1);
    }

    /// A sink could not write.
    pub fn sink_failed(&self, sink: &'static str) {
        self.add(Family::Failures, sink, 1);
    }

    fn add(&self, family: Family, label: &'static str, count: u64) {
        // A panic elsewhere leaves plain numbers behind: a poisoned lock is as good as a sound one.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((family, label)).or_default() += count;
    }

    pub(super) fn render(&self, text: &mut Text) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (family, name, label, help) in FAMILIES {
            text.family(name, "counter", help);
            if family == Family::Lost {
                text.sample(name, &[(label, "queue")], self.all_lost_in_queue());
            }
            for ((_, value), count) in counts.iter().filter(|((found, _), _)| *found == family) {
                text.sample(name, &[(label, value)], count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::Metrics;

    #[test]
    fn what_is_lost_shows() {
        let metrics = Metrics::default();
        assert!(metrics.render().contains("gateway_audit_events_lost_total{at=\"queue\"} 0\n"));
        metrics.audit.lost_in_queue();
        metrics.audit.lost("file");
        metrics.audit.lost("file");
        metrics.audit.event("AUTHENTICATION");
        let text = metrics.render();
        for line in [
            "gateway_audit_events_lost_total{at=\"queue\"} 1",
            "gateway_audit_events_lost_total{at=\"file\"} 2",
            "gateway_audit_events_total{type=\"AUTHENTICATION\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
