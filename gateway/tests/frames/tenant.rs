//! The virtual cluster whose client or broker is hostile, and what the gateway knows of it.

use gateway::apis::check::Checked;
use gateway::authz::{Access, Authorizer, Decision, Permitted, Requester, Topics, permit};
use gateway::naming::prefix::Namespace;
use gateway::naming::sessions::FetchSessions;
use gateway::naming::topic_ids::TopicIds;
use gateway::naming::{Addresses, Tenant};
use std::net::Ipv4Addr;
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

/// A request of somebody who may do everything.
pub(crate) fn permitted(checked: Checked<'_>) -> Permitted<'_> {
    struct NoTopics;
    impl Topics for NoTopics {
        fn name(&self, _: &[u8; 16]) -> Option<String> {
            None
        }
        fn exists(&self, _: &str) -> bool {
            false
        }
        fn are_made_when_absent(&self) -> bool {
            true
        }
    }
    let who = Requester { principal: "User:app", host: Ipv4Addr::LOCALHOST.into() };
    let authorizer = Authorizer::unrestricted();
    let access = Access { authorizer: &authorizer, who, topics: &NoTopics, sessions: None };
    match permit(checked, &access, true) {
        Ok(Decision::Serve(permitted, None)) => permitted,
        other => panic!("{other:?}"),
    }
}
