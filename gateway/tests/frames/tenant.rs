//! The virtual cluster whose client or broker is hostile, and what the gateway knows of it.

use gateway::authn::Identity;
use gateway::naming::prefix::Namespace;
use gateway::naming::sessions::FetchSessions;
use gateway::naming::topic_ids::TopicIds;
use gateway::naming::{Addresses, Tenant};
use std::sync::Arc;

/// The broker that the client is connected to.
pub(crate) const BROKER: i32 = 1;
/// The topic id of `orders`.
pub(crate) const OURS: [u8; 16] = [0x11; 16];
/// The topic id of another tenant's topic.
pub(crate) const THEIRS: [u8; 16] = [0xEE; 16];
/// A fetch session that the broker issued to the tenant.
pub(crate) const SESSION: i32 = 42;
/// What clients see in place of a broker's host.
pub(crate) const HOST: &str = "gateway.test";

struct Ports;

impl Addresses for Ports {
    fn of(&self, id: i32) -> Option<(std::borrow::Cow<'_, str>, u16)> {
        matches!(id, 1 | 2).then_some((HOST.into(), 6969))
    }
}

/// A virtual cluster with a topic, beside another's; without a prefix the transparent one.
pub(crate) fn tenant(prefix: Option<&str>) -> Tenant {
    let topic_ids = TopicIds::new(&[9; 16]).unwrap();
    topic_ids.learn(OURS, &format!("{}orders", prefix.unwrap_or_default()));
    topic_ids.learn(THEIRS, "team-b.secret");
    let fetch_sessions = FetchSessions::default();
    fetch_sessions.issue(prefix.unwrap_or_default(), BROKER, SESSION);
    Tenant {
        namespace: Namespace::new(prefix.map(Arc::from)),
        cluster_id: "virtual-cluster".into(),
        topic_ids: Arc::new(topic_ids),
        addresses: Arc::new(Ports),
        fetch_sessions: Arc::new(fetch_sessions),
    }
}

/// Who is served as the tenant.
pub(crate) fn identity() -> Identity {
    Identity { username: "app".into(), virtual_cluster: "team-a".into(), expires_at: None }
}
