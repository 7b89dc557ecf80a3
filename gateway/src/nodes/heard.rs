//! What was heard of the other nodes, and until when it counts: by this node's own clock, so that clocks may differ.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::beat::Beat;

/// More nodes than this are not looked at: the topic is the operator's, but a mistake in it must not take all memory.
const MOST_NODES: usize = 256;
/// No beat counts longer.
const LONGEST: Duration = Duration::from_secs(600);

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Heard {
    nodes: BTreeMap<String, Peer>,
}

#[derive(Debug)]
struct Peer {
    beat: Arc<Beat>,
    until: Instant,
    /// Whether it was heard in another topic, and not in this one yet.
    is_from_before: bool,
}

/// What became of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Came(String),
    Left(String),
    Expired(String),
}

impl Heard {
    /// Takes in a beat that was written just now, or, when it is old, one that counts until the time it says (`wall` is that of
    /// this node, in milliseconds since 1970).
    pub(super) fn beat(&mut self, beat: Beat, now: Instant, wall: u64, is_old: bool) -> Option<Change> {
        let lasts = if is_old { beat.expires.saturating_sub(wall).min(beat.lasts) } else { beat.lasts };
        let lasts = Duration::from_millis(lasts).min(LONGEST);
        if lasts.is_zero() || (self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(&beat.node)) {
            return None;
        }
        let node = beat.node.clone();
        let peer = Peer { beat: Arc::new(beat), until: now + lasts, is_from_before: false };
        self.nodes.insert(node.clone(), peer).is_none().then_some(Change::Came(node))
    }

    /// A node has said goodbye; where that `is_old`, it was behind what was heard in the same topic, and not in another one.
    pub(super) fn goodbye(&mut self, node: &str, is_old: bool) -> Option<Change> {
        if is_old && self.nodes.get(node).is_some_and(|peer| peer.is_from_before) {
            return None;
        }
        self.nodes.remove(node).map(|_| Change::Left(node.to_owned()))
    }

    /// From here on another topic is heard.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.spare(now);
        self.nodes.values_mut().for_each(|peer| peer.is_from_before = true);
    }

    /// Forgets those that were not heard of in time.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let gone: Vec<String> =
            self.nodes.iter().filter(|(_, peer)| peer.until <= now).map(|(node, _)| node.clone()).collect();
        for node in &gone {
            let _ = self.nodes.remove(node);
        }
        gone.into_iter().map(Change::Expired).collect()
    }

    /// Nothing could be heard until now: nobody is gone for that.
    pub(super) fn spare(&mut self, now: Instant) {
        for peer in self.nodes.values_mut() {
            peer.until = peer.until.max(now + Duration::from_millis(peer.beat.lasts).min(LONGEST));
        }
    }

    /// Those that are there.
    pub(super) fn beats(&self) -> impl Iterator<Item = Arc<Beat>> {
        self.nodes.values().map(|peer| Arc::clone(&peer.beat))
    }
}
