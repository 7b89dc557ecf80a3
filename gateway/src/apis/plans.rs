//! The compiled plans of all messages at all versions, each made when it is first needed.

use super::roles::role_of;
use std::sync::{LazyLock, OnceLock};
use wire::plan::Plan;
use wire::schema::{ApiKey, Message};

/// More versions than any API has.
const VERSIONS: usize = 32;

static PLANS: LazyLock<Vec<OnceLock<Plan>>> =
    LazyLock::new(|| (0..ApiKey::ALL.len() * 2 * VERSIONS).map(|_| OnceLock::new()).collect());

/// The plan of a request. `version` must be one that the table describes, as [`super::check`] ensures.
pub fn request(key: ApiKey, version: i16) -> &'static Plan {
    plan(key.request(), key.index() * 2, version)
}

/// The plan of a response, likewise.
pub fn response(key: ApiKey, version: i16) -> &'static Plan {
    plan(key.response(), key.index() * 2 + 1, version)
}

fn plan(message: &'static Message, index: usize, version: i16) -> &'static Plan {
    let slot = usize::try_from(version).unwrap_or(0).min(VERSIONS - 1);
    PLANS[index * VERSIONS + slot].get_or_init(|| Plan::compile(message, version, &role_of))
}

/// The plan of embedded bytes of the consumer protocol.
pub fn embedded(message: &'static Message, version: i16) -> Plan {
    Plan::compile(message, version, &role_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_its_own_slot() {
        assert!(ApiKey::ALL.iter().all(|key| usize::try_from(key.versions().max).unwrap() < VERSIONS));
        assert!(request(ApiKey::Fetch, 13).has(wire::plan::Role::TopicId));
        assert!(!request(ApiKey::Fetch, 12).has(wire::plan::Role::TopicId));
    }
}
