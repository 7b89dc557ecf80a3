//! Counters of the keys by which tokens of identity providers are checked.

use std::sync::atomic::{AtomicU64, Ordering};

use super::text::Text;

/// What became of fetching them.
#[derive(Debug, Default)]
pub struct IdentityKeyCounters {
    known: AtomicU64,
    fetches: AtomicU64,
    failures: AtomicU64,
}

/// The keys of one provider, which count for as long as this exists.
#[derive(Debug)]
pub struct ProviderKeys<'a> {
    counters: &'a IdentityKeyCounters,
    known: u64,
}

impl ProviderKeys<'_> {
    /// They were fetched, and how many there are; `None` where that failed, so that those from before hold.
    pub fn fetched(&mut self, keys: Option<usize>) {
        match keys {
            Some(keys) => {
                self.counters.fetches.fetch_add(1, Ordering::Relaxed);
                self.know(keys as u64);
            }
            None => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn know(&mut self, keys: u64) {
        self.counters.known.fetch_add(keys, Ordering::Relaxed);
        self.counters.known.fetch_sub(std::mem::replace(&mut self.known, keys), Ordering::Relaxed);
    }
}

impl Drop for ProviderKeys<'_> {
    fn drop(&mut self) {
        self.know(0);
    }
}

impl IdentityKeyCounters {
    /// Of one more provider, of which nothing is known yet.
    pub fn provider(&self) -> ProviderKeys<'_> {
        ProviderKeys { counters: self, known: 0 }
    }

    pub(super) fn render(&self, text: &mut Text) {
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        text.family(
            "gateway_oauth_keys",
            "gauge",
            "Keys of identity providers that are known, of all of them together.",
        );
        text.sample("gateway_oauth_keys", &[], count(&self.known));
        let name = "gateway_oauth_key_fetches_total";
        text.family(name, "counter", "Fetches of identity providers' keys, by result.");
        text.sample(name, &[("result", "ok")], count(&self.fetches));
        text.sample(name, &[("result", "failed")], count(&self.failures));
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::Metrics;

    #[test]
    fn the_keys_of_all_providers_count_for_as_long_as_there_are_these() {
        let metrics = Metrics::default();
        let keys = |known: u64| metrics.render().contains(&format!("gateway_oauth_keys {known}\n"));
        let (mut one, mut other) = (metrics.identity_keys.provider(), metrics.identity_keys.provider());
        one.fetched(Some(3));
        other.fetched(Some(1));
        assert!(keys(4));
        one.fetched(Some(2));
        one.fetched(None);
        assert!(keys(3));
        drop(other);
        assert!(keys(2));
        assert!(metrics.render().contains("gateway_oauth_key_fetches_total{result=\"failed\"} 1\n"));
    }
}
