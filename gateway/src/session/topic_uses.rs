//! Which topics a request reads, writes or empties, for the audit. Only where somebody asked for that: it takes a walk of its own.

use std::collections::BTreeSet;
use std::convert::Infallible;

use crate::apis::plans;
use crate::audit::Watched;
use crate::audit::event::Action;
use crate::authz::Permitted;
use crate::naming::Tenant;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::walk::{self, Value, Visitor, scan};

/// More topics of one request are not told one by one.
const MOST: usize = 1000;

/// Tells the topics that are watched and that a permitted request uses, by their virtual names.
pub(super) fn tell(request: &Permitted<'_>, tenant: &Tenant, watched: &Watched, record: &dyn Fn(Action)) {
    let key = request.request().key();
    let uses_records = matches!(
        key,
        ApiKey::Produce | ApiKey::Fetch | ApiKey::ShareFetch | ApiKey::DeleteRecords | ApiKey::DeleteTopics
    );
    if !uses_records || watched.is_nothing() {
        return;
    }
    let mut names = Names { tenant, found: BTreeSet::new() };
    // What is malformed is refused by who maps it, in a moment.
    if scan(plans::request(key, request.request().version()), request.body(), &mut names).is_err() {
        return;
    }
    for topic in names.found {
        if let Some(sensitive) = watched.is_sensitive(&topic) {
            record(Action::TopicUsed { api: key.name().into(), topic: topic.into(), sensitive });
        }
    }
}

struct Names<'a> {
    tenant: &'a Tenant,
    found: BTreeSet<String>,
}

impl Visitor for Names<'_> {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<walk::Action<'_>, Infallible> {
        let name = match (role, value) {
            (Role::Topic, Value::Str(Some(name))) => Some(name.to_owned()),
            (Role::TopicId, Value::Uuid(id)) => {
                self.tenant.topic_ids.meant(&id, &self.tenant.namespace).map(|meant| meant.name.to_string())
            }
            _ => None,
        };
        if self.found.len() < MOST {
            self.found.extend(name.filter(|name| !name.is_empty()));
        }
        Ok(walk::Action::Keep)
    }
}
