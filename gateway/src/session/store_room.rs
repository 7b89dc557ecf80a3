//! Whether records may still be stored: in the virtual cluster of who sends them, and in those that own the topics which they were
//! lent.

use super::enforce::Apart;
use super::room::{POLICY_VIOLATION, Room, elements, fitted, with_body};
use super::{SessionError, Shared, denied, local};
use crate::apis::check::Checked;
use crate::apis::plans;
use crate::naming::Tenant;
use crate::observe::metrics::FrameRefusal;
use crate::quotas::rules::Rules;
use crate::world::World;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use wire::plan::Role;
use wire::value;
use wire::walk::{self, Action, Visitor, scan};

/// What it says of a topic that somebody else owns, whose name and use are not told.
const OWNER_IS_FULL: &str = "the topic was lent by a virtual cluster that may store no more (storageBytes in its Quota): ask the \
                             gateway's operator";

/// Records, where no more may be stored. A code that clients do not try again on: room comes only by what somebody does.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub(super) fn stores(
    request: &Checked<'_>,
    rules: Option<&Rules>,
    tenant: &Tenant,
    cluster: &str,
    shared: &Shared,
) -> Result<Room, SessionError> {
    if let Some((stored, limit)) = full(cluster, rules, shared) {
        let why = format!(
            "virtual cluster '{cluster}' stores {stored} bytes of at most {limit} (storageBytes in its Quota): delete records \
             or topics, shorten their retention, or ask the gateway's operator for more"
        );
        return refuse(request, &|_| true, why);
    }
    if tenant.namespace.lends_topics().is_none() || shared.quotas.stored.is_empty() {
        return Ok(Room::Fits);
    }
    let mut owners = Owners { tenant, shared, world: shared.world.borrow().clone(), full: Vec::new() };
    let (key, version) = (request.key(), request.version());
    let scanned = scan(plans::request(key, version), request.body(), &mut owners);
    scanned.map_err(|e| SessionError::Frame { reason: FrameRefusal::Malformed, detail: e.to_string() })?;
    if owners.full.contains(&true) {
        return refuse(request, &|at| owners.full.get(at) == Some(&true), OWNER_IS_FULL.to_owned());
    }
    Ok(Room::Fits)
}

/// What a virtual cluster stores and may store, where that is no less.
fn full(cluster: &str, rules: Option<&Rules>, shared: &Shared) -> Option<(u64, u64)> {
    let limit = rules?.storage?;
    let stored = shared.quotas.stored.of(cluster);
    (stored >= limit).then_some((stored, limit))
}

/// Refuses some topics of a request, by their places in it.
fn refuse(request: &Checked<'_>, is_refused: &dyn Fn(usize) -> bool, why: String) -> Result<Room, SessionError> {
    let named = denied::named(request)?;
    if named["Acks"] == 0 {
        return Ok(Room::Refused(None, why));
    }
    let partition = |partition: &Value| {
        json!({ "Index": partition["Index"], "ErrorCode": POLICY_VIOLATION, "BaseOffset": -1, "LogAppendTimeMs": -1,
            "LogStartOffset": -1, "ErrorMessage": why })
    };
    let topic = |topic: &Value| {
        let partitions: Vec<Value> = elements(&topic["PartitionData"]).iter().map(partition).collect();
        let mut answer = json!({ "PartitionResponses": partitions });
        for field in ["Name", "TopicId"] {
            if let Some(value) = topic.get(field) {
                answer[field] = value.clone();
            }
        }
        answer
    };
    let all = elements(&named["TopicData"]);
    let refused: Vec<Value> =
        all.iter().enumerate().filter(|(at, _)| is_refused(*at)).map(|(_, one)| topic(one)).collect();
    let (key, version, nothing_left) = (request.key(), request.version(), refused.len() == all.len());
    let answer = fitted(key, version, &json!({ "Responses": refused }));
    if nothing_left {
        return Ok(Room::Refused(Some(local::answer(request, &answer)?), why));
    }
    let mut asked = local::asked(request)?;
    if let Some(topics) = asked["TopicData"].as_array_mut() {
        let mut at = 0..;
        topics.retain(|_| at.next().is_some_and(|at| !is_refused(at)));
    }
    let body = value::encode(key.response(), version, &answer).map_err(|e| SessionError::Gateway(e.to_string()))?;
    Ok(Room::Less(with_body(request, &asked)?, Apart { body, silent: false, alone: false }, why))
}

/// Looks whether the owners of lent topics may store more, topic by topic.
struct Owners<'a> {
    tenant: &'a Tenant,
    shared: &'a Shared,
    world: Arc<World>,
    full: Vec<bool>,
}

impl Owners<'_> {
    fn is_full(&self, name: &str) -> bool {
        let Some(lent) = self.tenant.namespace.lent(name) else { return false };
        let mut clusters = self.world.virtual_clusters();
        let owner =
            clusters.find(|cluster| cluster.prefix.as_deref().is_some_and(|prefix| lent.physical.starts_with(prefix)));
        owner.is_some_and(|owner| full(&owner.name, owner.quotas.as_deref(), self.shared).is_some())
    }
}

impl Visitor for Owners<'_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: walk::Value<'_>) -> Result<Action<'_>, Infallible> {
        let full = match (role, value) {
            (Role::Topic, walk::Value::Str(Some(name))) => self.is_full(name),
            (Role::TopicId, walk::Value::Uuid(id)) => {
                let meant = self.tenant.topic_ids.meant(&id, &self.tenant.namespace);
                meant.is_some_and(|meant| self.is_full(&meant.name))
            }
            _ => return Ok(Action::Keep),
        };
        self.full.push(full);
        Ok(Action::Keep)
    }
}
