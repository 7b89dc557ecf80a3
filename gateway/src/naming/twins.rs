//! Requests that call one physical topic by several names.
//!
//! A broker answers about a topic once, so that such a request becomes several, in each of which a topic has one name; their
//! answers are joined.

use super::Tenant;
use super::prefix::{Namespace, Picks};
use super::request::TOPIC_RESOURCE;
use crate::apis::plans;
use crate::authz::Permitted;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::walk::{Stop, Value, scan};

/// A part of a request, and the names that its answer is in.
pub type Part<'a> = (Permitted<'a>, Arc<Tenant>);

/// The names that the last heartbeat of a session has told, since the next ones tell none.
#[derive(Debug, Default)]
pub struct Subscribed(Picks);

/// The parts of a request of a tenant of whose topics some have several names; one for most requests.
///
/// # Errors
/// [`Stop::Malformed`]
pub fn parts<'a>(
    permitted: Permitted<'a>,
    tenant: &Arc<Tenant>,
    subscribed: &mut Subscribed,
) -> Result<Vec<Part<'a>>, Stop<Infallible>> {
    let (key, version) = (permitted.request().key(), permitted.request().version());
    let mut used = Used { tenant, resource: 0, by_physical: HashMap::new(), named: false };
    scan(plans::request(key, version), permitted.body(), &mut Look(&mut used))?;
    let Used { by_physical, named, .. } = used;
    let count = if is_split(key) { by_physical.values().map(Vec::len).max().unwrap_or(1) } else { 1 };
    let with = |picks: Picks| {
        let namespace = tenant.namespace.picking(picks);
        Arc::new(Tenant { namespace, ..Tenant::clone(tenant) })
    };
    let picks = |at: usize| -> Picks {
        let picked =
            by_physical.iter().filter_map(|(physical, names)| Some((physical.clone(), names.get(at)?.clone())));
        picked.collect()
    };
    if matches!(key, ApiKey::ConsumerGroupHeartbeat | ApiKey::ShareGroupHeartbeat) {
        if named {
            subscribed.0 = picks(0);
        }
        return Ok(vec![(permitted, with(subscribed.0.clone()))]);
    }
    if count == 1 {
        return Ok(vec![(permitted, with(picks(0)))]);
    }
    let mut parts = Vec::with_capacity(count);
    for at in 0..count {
        let mut used = Used { tenant, resource: 0, by_physical: HashMap::new(), named: false };
        let part = permitted.only(|role, value| {
            if !used.is_named(role, value) {
                return true;
            }
            // What has one name, and what nobody knows, is asked for once.
            let place = used
                .name(role, value)
                .and_then(|(physical, name)| by_physical.get(&physical)?.iter().position(|known| *known == name));
            place.unwrap_or_default() == at
        })?;
        parts.push((part, with(picks(at))));
    }
    Ok(parts)
}

/// The tenant as it reads the answer to a request that named nothing, once more: each topic by its next name. Empty for a tenant
/// whose topics have one name each.
pub fn further(key: ApiKey, tenant: &Tenant) -> Vec<Tenant> {
    let shows_topics = matches!(key, ApiKey::Metadata | ApiKey::DescribeTopicPartitions | ApiKey::ListConfigResources)
        || matches!(key, ApiKey::OffsetFetch | ApiKey::DescribeShareGroupOffsets);
    let Some(view) = tenant.namespace.view().filter(|view| shows_topics && view.has_twins()) else { return Vec::new() };
    let mut further: Vec<Picks> = Vec::new();
    for lent in view.topics() {
        for (at, name) in tenant.namespace.names_of(&lent.physical).skip(1).enumerate() {
            if at == further.len() {
                further.push(Picks::new());
            }
            let _ = further[at].insert(Arc::clone(&lent.physical), name.into());
        }
    }
    let of = |picks| Tenant { namespace: tenant.namespace.picking_only(picks), ..tenant.clone() };
    further.into_iter().map(of).collect()
}

/// Whether the answers of several requests can be joined to one, and the requests are heard apart.
const fn is_split(key: ApiKey) -> bool {
    use ApiKey as K;
    matches!(key, K::Produce | K::Fetch | K::ListOffsets | K::Metadata | K::OffsetCommit | K::OffsetFetch)
        || matches!(key, K::DeleteRecords | K::OffsetForLeaderEpoch | K::AddPartitionsToTxn | K::TxnOffsetCommit)
        || matches!(key, K::DescribeConfigs | K::AlterConfigs | K::IncrementalAlterConfigs | K::CreatePartitions)
        || matches!(key, K::DescribeProducers | K::DescribeTopicPartitions | K::OffsetDelete)
}

/// The names that a request uses for topics that have several.
struct Used<'a> {
    tenant: &'a Tenant,
    resource: i32,
    /// Each in the order of its first use.
    by_physical: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// A topic was named.
    named: bool,
}

impl Used<'_> {
    /// Whether the field says which topic or resource the element around it is about.
    fn is_named(&mut self, role: Role, value: Value<'_>) -> bool {
        match (role, value) {
            (Role::ResourceType, Value::Int(ty)) => self.resource = ty,
            (Role::Topic | Role::ResourceName, Value::Str(Some(_))) => return true,
            (Role::TopicId, Value::Uuid(id)) => return id != [0; 16],
            _ => {}
        }
        false
    }

    /// The physical and the virtual name of a topic that has several.
    fn name(&mut self, role: Role, value: Value<'_>) -> Option<(Arc<str>, Arc<str>)> {
        let namespace = &self.tenant.namespace;
        let (physical, name): (Arc<str>, Arc<str>) = match (role, value) {
            (Role::ResourceType, Value::Int(ty)) => {
                self.resource = ty;
                return None;
            }
            (Role::ResourceName, Value::Str(Some(_))) if self.resource != TOPIC_RESOURCE => return None,
            (Role::Topic | Role::ResourceName, Value::Str(Some(name))) => {
                self.named = true;
                let mut buffer = String::new();
                (namespace.map_topic(name, &mut buffer).into(), name.into())
            }
            (Role::TopicId, Value::Uuid(id)) => {
                let meant = self.tenant.topic_ids.meant(&id, namespace)?;
                (self.tenant.topic_ids.name(&meant.id)?, meant.name)
            }
            _ => return None,
        };
        (namespace.names_of(&physical).count() > 1).then_some((physical, name))
    }
}

struct Look<'u, 'a>(&'u mut Used<'a>);

impl wire::walk::Visitor for Look<'_, '_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<wire::walk::Action<'_>, Infallible> {
        if let Some((physical, name)) = self.0.name(role, value) {
            let names = self.0.by_physical.entry(physical).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(wire::walk::Action::Keep)
    }
}

/// Whether a tenant's requests have to be looked at for it.
pub fn concerns(namespace: &Namespace) -> bool {
    namespace.view().is_some_and(super::view::View::has_twins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::check::check;
    use crate::authz::{Access, Authorizer, Decision, Requester, Topics, permit};
    use crate::naming::Addresses;
    use crate::naming::sessions::FetchSessions;
    use crate::naming::topic_ids::TopicIds;
    use crate::naming::view::{Lent, LentFor, View};
    use serde_json::{Value as Json, json};
    use wire::{frame, value};

    struct Nowhere;

    impl Addresses for Nowhere {
        fn of(&self, _: i32) -> Option<(std::borrow::Cow<'_, str>, u16)> {
            None
        }
    }

    impl Topics for Nowhere {
        fn name(&self, _: &[u8; 16]) -> Option<String> {
            None
        }
        fn exists(&self, _: &str) -> bool {
            false
        }
        fn are_made_when_absent(&self) -> bool {
            false
        }
    }

    fn tenant() -> Arc<Tenant> {
        let lent = [("x", "b.t"), ("y", "b.t"), ("again", "a.own"), ("one", "b.one")].map(|(name, physical)| Lent {
            name: name.into(),
            physical: physical.into(),
            purpose: LentFor::Reading,
            filter: None,
        });
        Arc::new(Tenant {
            namespace: Namespace::new(Some("a.".into())).with_view(View::new("a.", false, lent, [])),
            cluster_id: "c".into(),
            topic_ids: Arc::new(TopicIds::new(&[7; 16]).unwrap()),
            addresses: Arc::new(Nowhere),
            fetch_sessions: Arc::new(FetchSessions::default()),
        })
    }

    fn split(key: ApiKey, version: i16, request: &Json) -> Vec<(Json, Arc<Tenant>)> {
        let body = value::encode(key.request(), version, request).unwrap();
        let frame = frame::request(key, version, 1, None, &body);
        let authorizer = Authorizer::unrestricted();
        let who = Requester { principal: "User:a", host: std::net::Ipv4Addr::LOCALHOST.into() };
        let access = Access { authorizer: &authorizer, who, topics: &Nowhere, sessions: None };
        let Ok(Decision::Serve(permitted, None)) = permit(check(&frame[4..]).unwrap(), &access, true) else { panic!() };
        let parts = parts(permitted, &tenant(), &mut Subscribed::default()).unwrap();
        let decoded = parts
            .into_iter()
            .map(|(part, tenant)| (value::decode(key.request(), version, part.body()).unwrap(), tenant));
        decoded.collect()
    }

    #[test]
    fn each_name_is_asked_for_once_and_each_topic_by_one_name_at_a_time() {
        let topics = ["x", "own", "other", "y", "again", "one"].map(|name| json!({ "Name": name }));
        let parts = split(ApiKey::Metadata, 12, &json!({ "Topics": topics }));
        let names = |part: &Json| {
            let topics = part["Topics"].as_array().unwrap();
            topics.iter().map(|topic| topic["Name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            parts.iter().map(|(part, _)| names(part)).collect::<Vec<_>>(),
            [vec!["x", "own", "other", "one"], vec!["y", "again"],]
        );
        let shown = |at: usize, physical: &str| parts[at].1.namespace.unmap_topic(physical).unwrap().to_owned();
        assert_eq!((shown(0, "b.t"), shown(1, "b.t")), ("x".to_owned(), "y".to_owned()));
        assert_eq!((shown(0, "a.own"), shown(1, "a.own")), ("own".to_owned(), "again".to_owned()));
        let resources = ["x", "y", "one"].map(|name| json!({ "ResourceType": 2, "ResourceName": name }));
        let parts = split(ApiKey::DescribeConfigs, 4, &json!({ "Resources": resources }));
        let counts = parts.iter().map(|(part, _)| part["Resources"].as_array().unwrap().len()).collect::<Vec<_>>();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn one_name_alone_is_the_one_that_is_answered() {
        let parts = split(ApiKey::Metadata, 12, &json!({ "Topics": [{ "Name": "y" }] }));
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].1.namespace.unmap_topic("b.t"), Some("y"));
    }

    #[test]
    fn a_list_of_everything_goes_on_with_the_further_names() {
        let further = further(ApiKey::Metadata, &tenant());
        assert_eq!(further.len(), 1);
        let shown = ["b.t", "a.own", "b.one", "a.other"].map(|name| further[0].namespace.unmap_topic(name));
        assert_eq!(shown, [Some("y"), Some("again"), None, None]);
    }
}
