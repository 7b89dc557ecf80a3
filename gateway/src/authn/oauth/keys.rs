//! The keys that are there now, and who waits for others. Fetching them is [`super::provider`]'s.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::jwks::KeySet;

/// A login waits this long for a key at most: the pause between two fetches, a fetch, and a little.
const LONGEST_WAIT: Duration = Duration::from_secs(12);

/// The keys of a provider, replaced as a whole.
#[derive(Debug)]
pub struct Keys {
    state: watch::Sender<Arc<State>>,
    wanted: Notify,
}

/// What came of the fetches so far.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The last keys that were fetched, however long ago; `None` before the first time.
    pub set: Option<Arc<KeySet>>,
    /// Why the last fetch failed, if it did.
    pub failure: Option<String>,
    /// When the last fetch began.
    begun: Option<Instant>,
}

impl State {
    fn knows(&self, id: Option<&str>) -> bool {
        self.set.as_ref().is_some_and(|set| set.knows(id))
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { state: watch::Sender::new(Arc::default()), wanted: Notify::new() }
    }
}

impl Keys {
    /// What is known now.
    pub fn now(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Returns when a key with this id is there, or the provider has been asked since, or cannot be in time. However
    /// many wait, and for however many ids, they wait for one fetch.
    pub(super) async fn wait_for(&self, id: Option<&str>) {
        let since = Instant::now();
        let mut changes = self.state.subscribe();
        let answered = async {
            loop {
                {
                    let state = changes.borrow_and_update();
                    if state.knows(id) || state.begun.is_some_and(|begun| begun >= since) {
                        return;
                    }
                }
                self.wanted.notify_one();
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // In time or not: what is there then decides.
        let _ = timeout(LONGEST_WAIT, answered).await;
    }

    /// Returns when somebody waits for a key.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Takes over what a fetch brought. After a failure the keys from before go on holding.
    pub(super) fn fetched(&self, begun: Instant, fetched: Result<KeySet, String>) {
        let (set, failure) = match fetched {
            Ok(set) => (Some(Arc::new(set)), None),
            Err(failure) => (self.now().set.clone(), Some(failure)),
        };
        self.state.send_replace(Arc::new(State { set, failure, begun: Some(begun) }));
    }
}
