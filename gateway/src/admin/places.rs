//! How many connections the admin API has at the same time: Kafka's clients need files and memory as well.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// All of them together.
const MOST: usize = 1000;
/// Those of one address, which may be a proxy's.
const OF_ONE: usize = 250;

/// The connections that are open, by address.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<IpAddr, usize>>);

/// The place of one connection, which is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    /// `None` where all are taken: that connection is not served.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, ours) = (taken.values().sum::<usize>(), taken.get(&address).copied().unwrap_or_default());
        if all >= MOST || ours >= OF_ONE {
            tracing::info!(%address, all, of_this_address = ours, "too many connections to the admin API: one was closed");
            return None;
        }
        *taken.entry(address).or_default() += 1;
        Some(Place { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ours) = taken.get_mut(&self.address) {
            *ours -= 1;
            if *ours == 0 {
                let _ = taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let places = Arc::<Places>::default();
        let address = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
        let mut held: Vec<_> = std::iter::from_fn(|| places.take(address(1))).collect();
        assert_eq!(held.len(), OF_ONE);
        held.extend((2..100).flat_map(|last| places.take(address(last))));
        assert_eq!(held.len(), OF_ONE + 98);
        held.extend((2..=5).flat_map(|last| std::iter::from_fn(|| places.take(address(last))).collect::<Vec<_>>()));
        assert_eq!(held.len(), MOST);
        drop(held);
        assert!(places.0.lock().unwrap().is_empty() && places.take(address(1)).is_some());
    }
}
