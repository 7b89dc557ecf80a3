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
            let Some((physical, name)) = used.name(role, value) else { return true };
            let place = by_physical.get(&physical).and_then(|names| names.iter().position(|known| *known == name));
            place.unwrap_or_default() == at
        })?;
        parts.push((part, with(picks(at))));
    }
    Ok(parts)
}

/// The tenant as it reads the answer to a request that named nothing, once more: each topic by its next name. Empty for a tenant
/// whose topics have one name each.
pub fn further(key: ApiKey, tenant: &Tenant) -> Vec<Tenant> {
    let shows_topics = matches!(key, ApiKey::Metadata | ApiKey::DescribeTopicPartitions | ApiKey::ListConfigResources);
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
