//! Virtual ↔ physical: the names and ids of one tenant.

mod ahead;
pub mod embedded;
pub mod filter;
mod paging;
pub mod prefix;
pub mod regex;
pub mod request;
pub mod response;
pub mod sessions;
pub mod share_key;
pub mod texts;
pub mod topic_ids;
pub mod twins;
pub mod unreadable;
pub mod view;

use self::prefix::Namespace;
use self::topic_ids::TopicIds;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// How much longer than a frame of `length` bytes a mapping may make it. Names grow by the prefix, and a frame can hold one
/// in every two bytes. Of honest names these are ten thousand with the longest prefix, and any number with an ordinary one.
pub const fn growth_allowed(length: usize) -> usize {
    (1 << 20) + 4 * length
}

/// Where a broker is to be reached, for the clients of a virtual cluster.
pub trait Addresses: Send + Sync {
    /// Host and port that stand for the broker `id`; `None` where there are none.
    fn of(&self, id: i32) -> Option<(Cow<'_, str>, u16)>;
}

/// What the names of one session are mapped with.
#[derive(Clone)]
pub struct Tenant {
    /// The prefix.
    pub namespace: Namespace,
    /// The cluster id that clients see.
    pub cluster_id: Arc<str>,
    /// Which physical topic each id stands for.
    pub topic_ids: Arc<TopicIds>,
    /// The addresses that clients see.
    pub addresses: Arc<dyn Addresses>,
    /// The fetch sessions that were issued to virtual clusters.
    pub fetch_sessions: Arc<sessions::FetchSessions>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenant").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Topic ids that a session saw to be its tenant's. An id is never given to another topic, so that the answer holds forever
/// and the shared table is asked once per id and direction.
#[derive(Debug, Default)]
pub struct OwnIds(HashSet<[u8; 16]>);

impl OwnIds {
    /// More ids than this are forgotten together, so that memory stays bounded.
    const MOST: usize = 4096;

    fn owns(&mut self, tenant: &Tenant, id: &[u8; 16]) -> bool {
        if self.0.contains(id) {
            return true;
        }
        let owned = tenant.topic_ids.belongs(id, &tenant.namespace);
        // What is lent may be taken back.
        if owned && tenant.namespace.lends_topics().is_none() {
            if self.0.len() >= Self::MOST {
                self.0.clear();
            }
            let _ = self.0.insert(*id);
        }
        owned
    }
}
