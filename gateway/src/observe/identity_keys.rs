//! Counters of the keys by which tokens of an identity provider are checked.

use std::sync::atomic::{AtomicU64, Ordering};

use super::text::Text;

/// What became of fetching them.
#[derive(Debug, Default)]
pub struct IdentityKeyCounters {
    known: AtomicU64,
    fetches: AtomicU64,
    failures: AtomicU64,
}

impl IdentityKeyCounters {
    /// They were fetched, and how many there are; `None` where that failed, so that those from before hold.
    pub fn fetched(&self, keys: Option<usize>) {
        match keys {
            Some(keys) => {
                self.fetches.fetch_add(1, Ordering::Relaxed);
                self.known.store(keys as u64, Ordering::Relaxed);
            }
            None => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn render(&self, text: &mut Text) {
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        text.family("gateway_oauth_keys", "gauge", "Keys of the identity provider that are known.");
        text.sample("gateway_oauth_keys", &[], count(&self.known));
        let name = "gateway_oauth_key_fetches_total";
        text.family(name, "counter", "Fetches of the identity provider's keys, by result.");
        text.sample(name, &[("result", "ok")], count(&self.fetches));
        text.sample(name, &[("result", "failed")], count(&self.failures));
    }
}
