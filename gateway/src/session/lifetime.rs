//! How long a session may go on, and how it gets longer (KIP-368).
//!
//! A client that is told of a lifetime logs in again on the open connection before its end. Behind the end nothing but that
//! is served, and shortly after the connection is closed in any case.

use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authn::Identity;

/// So long after its end a session that is silent is closed: a login that was begun in time may still come to its end.
const GRACE: Duration = Duration::from_secs(5);

/// When a session ends, unless its client logs in again.
#[derive(Debug)]
pub(super) struct Lifetime(watch::Sender<Option<Instant>>);

impl Lifetime {
    /// From now on for this long; `None` is for ever.
    pub(super) fn new(left: Option<Duration>) -> Self {
        Self(watch::Sender::new(end(left)))
    }

    /// Begins anew.
    pub(super) fn renew(&self, left: Option<Duration>) {
        let _ = self.0.send_replace(end(left));
    }

    /// Whether there is an end at all.
    pub(super) fn is_bounded(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Whether nothing more is served.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().is_some_and(|end| end <= Instant::now())
    }

    /// Returns when the session has to be closed, whatever the client does.
    pub(super) async fn closed(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let end = *changes.borrow_and_update();
            let until = async {
                match end {
                    // An end that no clock reaches is none.
                    Some(end) => match end.checked_add(GRACE) {
                        Some(close) => tokio::time::sleep_until(close).await,
                        None => std::future::pending().await,
                    },
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until => return,
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
            }
        }
    }
}

fn end(left: Option<Duration>) -> Option<Instant> {
    left.and_then(|left| Instant::now().checked_add(left))
}

/// How long a session of this identity may last: as long as its credentials, and no longer than `most`.
pub(super) fn of(identity: &Identity, most: Option<Duration>) -> Option<Duration> {
    let left = identity.expires_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
    match (left, most) {
        (Some(left), Some(most)) => Some(left.min(most)),
        (left, most) => left.or(most),
    }
}

/// The same for the client, in milliseconds; 0 says that it may go on for ever.
pub(super) fn milliseconds(left: Option<Duration>) -> i64 {
    // What is not quite nothing must not look like for ever.
    left.map_or(0, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_unless_it_is_renewed() {
        let lifetime = Lifetime::new(Some(Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(!lifetime.is_over());
        lifetime.renew(Some(Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(!lifetime.is_over());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(lifetime.is_over());
        let begun = Instant::now();
        lifetime.closed().await;
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_is_noticed_by_whoever_waits_for_the_end() {
        let lifetime = Lifetime::new(Some(Duration::from_secs(1)));
        let renewal = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            lifetime.renew(Some(Duration::from_secs(60)));
        };
        let begun = Instant::now();
        tokio::join!(lifetime.closed(), renewal);
        assert_eq!(begun.elapsed().as_secs(), 3 + 60 + GRACE.as_secs());
        let forever = Lifetime::new(None);
        assert!(!forever.is_bounded() && !forever.is_over());
        assert!(tokio::time::timeout(Duration::from_secs(1_000_000), forever.closed()).await.is_err());
    }

    #[test]
    fn the_shorter_of_credentials_and_setting_holds() {
        let identity = |left: Option<u64>| Identity {
            username: "app".into(),
            virtual_cluster: "dev".into(),
            expires_at: left.map(|left| SystemTime::now() + Duration::from_secs(left)),
            provider: None,
        };
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        assert_eq!(of(&identity(None), None), None);
        assert_eq!(of(&identity(None), minutes(1)), minutes(1));
        assert_eq!(of(&identity(Some(600)), minutes(1)), minutes(1));
        assert!(of(&identity(Some(600)), minutes(60)).is_some_and(|left| left <= Duration::from_secs(600)));
        assert_eq!((milliseconds(None), milliseconds(Some(Duration::ZERO))), (0, 1));
    }
}
