//! Failed logins make the next ones wait: those of the same principal from the same address, and nobody else's.
//!
//! An attempt is looked at when its turn comes; the first after a failure at once, later ones further and further apart. A
//! right password waits for its turn as well, because a guess that is right does not look different before it is checked.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two attempts after the first failure; it doubles with each one.
const FIRST_GAP: Duration = Duration::from_millis(250);
/// Attempts are never further apart.
const LONGEST_GAP: Duration = Duration::from_secs(4);
/// An attempt whose turn comes later than this is refused without being looked at.
const LONGEST_WAIT: Duration = Duration::from_secs(12);
/// After a quiet time as long as this, everything is forgotten.
const FORGIVEN: Duration = Duration::from_secs(300);
/// No more than so many are remembered, some dozens of bytes each.
const MOST: usize = 10_000;

/// Whose attempts count together: an address and a principal, hashed with a key of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(u64);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// When the next attempt is looked at.
    next: Instant,
}

/// The failed attempts of the last minutes.
#[derive(Debug, Default)]
pub struct Attempts {
    hashes: RandomState,
    failures: Mutex<HashMap<Who, Failures>>,
}

impl Attempts {
    /// Attempts of `principal`, as the client calls itself, from `address`. An IPv6 client has a whole network of 64 bits.
    pub fn who(&self, address: IpAddr, principal: &str) -> Who {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        };
        Who(self.hashes.hash_one((network, principal)))
    }

    /// When an attempt may be looked at; `None` where too many are waiting already.
    pub fn turn(&self, who: Who) -> Option<Instant> {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = failures.get_mut(&who).filter(|known| now - known.last < FORGIVEN) else {
            return Some(now);
        };
        let turn = known.next.max(now);
        if turn - now > LONGEST_WAIT {
            return None;
        }
        known.next = turn + gap(known.count);
        Some(turn)
    }

    /// An attempt has failed.
    pub fn failed(&self, who: Who) {
        let now = Instant::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST && !failures.contains_key(&who) {
            failures.retain(|_, known| now - known.last < FORGIVEN);
            // Those that are quiet for the longest time have the least to fear anyway.
            if failures.len() >= MOST
                && let Some(oldest) = failures.iter().min_by_key(|(_, known)| known.last).map(|(who, _)| *who)
            {
                let _ = failures.remove(&oldest);
            }
        }
        let known = failures.entry(who).or_insert(Failures { count: 0, last: now, next: now });
        if now - known.last >= FORGIVEN {
            known.count = 0;
        }
        known.count = known.count.saturating_add(1);
        known.last = now;
        known.next = known.next.max(now + gap(known.count.saturating_sub(1)));
    }

    /// An attempt has succeeded: the principal knows what it does.
    pub fn succeeded(&self, who: Who) {
        let _ = self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&who);
    }
}

/// How far apart attempts are after so many failures.
fn gap(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(more) => FIRST_GAP.saturating_mul(1 << more.min(8)).min(LONGEST_GAP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn wait(attempts: &Attempts, who: Who) -> Option<Duration> {
        let now = Instant::now();
        attempts.turn(who).map(|turn| turn - now)
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_makes_the_next_attempt_wait_longer_up_to_a_bound() {
        let attempts = Attempts::default();
        let who = attempts.who(ADDRESS, "alice");
        let mut waited = Vec::new();
        for _ in 0..8 {
            let turn = attempts.turn(who).unwrap();
            waited.push((turn - Instant::now()).as_millis());
            tokio::time::sleep_until(turn).await;
            attempts.failed(who);
        }
        assert_eq!(waited, [0, 0, 250, 500, 1000, 2000, 4000, 4000]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_principal_at_the_address_waits() {
        let attempts = Attempts::default();
        let who = attempts.who(ADDRESS, "alice");
        (0..20).for_each(|_| attempts.failed(who));
        assert_eq!(wait(&attempts, who), Some(LONGEST_GAP));
        for other in [attempts.who(ADDRESS, "bob"), attempts.who("10.0.0.1".parse().unwrap(), "alice")] {
            assert_eq!(wait(&attempts, other), Some(Duration::ZERO));
        }
        let network = |host: &str| attempts.who(host.parse().unwrap(), "alice");
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:127.0.0.1"), who);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_at_once_take_turns_and_too_many_are_refused() {
        let attempts = Attempts::default();
        let who = attempts.who(ADDRESS, "alice");
        (0..20).for_each(|_| attempts.failed(who));
        let turns = (0..6).map(|_| wait(&attempts, who).map(|wait| wait.as_secs())).collect::<Vec<_>>();
        assert_eq!(turns, [Some(4), Some(8), Some(12), None, None, None]);
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(attempts.turn(who).is_some(), "whoever was refused does not push the others back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_and_a_quiet_time_are_a_new_beginning() {
        let attempts = Attempts::default();
        let who = attempts.who(ADDRESS, "alice");
        (0..5).for_each(|_| attempts.failed(who));
        attempts.succeeded(who);
        assert_eq!(wait(&attempts, who), Some(Duration::ZERO));
        (0..5).for_each(|_| attempts.failed(who));
        tokio::time::sleep(FORGIVEN).await;
        assert_eq!(wait(&attempts, who), Some(Duration::ZERO));
        attempts.failed(who);
        assert_eq!(wait(&attempts, who), Some(Duration::ZERO), "the first failure of a new beginning");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_oldest_goes_first() {
        let attempts = Attempts::default();
        let first = attempts.who(ADDRESS, "first");
        (0..5).for_each(|_| attempts.failed(first));
        for n in 0..MOST {
            tokio::time::advance(Duration::from_micros(1)).await;
            attempts.failed(attempts.who(ADDRESS, &n.to_string()));
        }
        assert_eq!(attempts.failures.lock().unwrap().len(), MOST);
        assert_eq!(wait(&attempts, first), Some(Duration::ZERO));
    }
}
