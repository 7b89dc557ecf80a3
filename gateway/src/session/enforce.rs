//! What becomes of a request by the rights of its client, and of an answer by those of its reader. Every right that is missing
//! is reported here, and nowhere else.

use super::denied;
use super::joined::{self, Front};
use super::rights::Rights;
use super::{SessionError, Shared, local};
use crate::apis::check::Checked;
use crate::audit::event::Action;
use crate::authz::answer::{self, Shown};
use crate::authz::{Access, Authorizer, Decision, Denial, Operation, Permitted, ResourceType, Topics, permit};
use crate::naming::Tenant;
use crate::observe::metrics::FrameRefusal;
use crate::upstream::physical::Physical;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::value;

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
const SHARE_SESSION_NOT_FOUND: i16 = 122;
/// The settings of topics that a request made: more than this no broker tells.
const MOST_VALUES: usize = 200_000;
/// The elements of an answer with records begin within this many bytes: an answer with a longer text is an error, and has none.
const FRONT: usize = 1 << 10;

/// What becomes of a request.
pub(super) enum Ruling<'f> {
    /// It goes to the broker; what is refused of it stands in an answer of its own, to be joined to the broker's.
    Serve(Permitted<'f>, Option<Apart>),
    /// It is answered here.
    Answer(Vec<u8>),
    /// It depends on a topic that is not known yet.
    LookAgain,
}

/// What is refused of a request that is served.
#[derive(Debug, Clone)]
pub(super) struct Apart {
    /// The body of an answer that holds nothing else.
    pub(super) body: Vec<u8>,
    /// The client expects no answer: a broker closes the connection on it.
    pub(super) silent: bool,
    /// Nothing else is in the answer: the request had to be sent for other things than what it names.
    pub(super) alone: bool,
}

/// Decides about a request by the present rights of its client.
///
/// # Errors
/// [`SessionError::Frame`] for a frame that is not what it claims to be, [`SessionError::Ended`] where a client that expects no
/// answer is refused.
pub(super) fn rule<'f>(
    checked: Checked<'f>,
    rights: &mut Rights,
    tenant: &Tenant,
    shared: &Shared,
    last_word: bool,
    tell: &dyn Fn(Action),
) -> Result<Ruling<'f>, SessionError> {
    let (key, version) = (checked.key(), checked.version());
    let malformed =
        |e: String| SessionError::Frame { reason: FrameRefusal::Malformed, detail: format!("{key:?} {version}: {e}") };
    let fetches = key == ApiKey::ShareFetch;
    let goes_on = !fetches || rights.may_fetch_share(checked.body()).map_err(|e| malformed(e.to_string()))?;
    let topics = KnownTopics { tenant, cluster: &shared.cluster };
    let access = rights.access(tenant, &topics);
    // THE place where a right that is missing is told.
    let report = |denials: &[Denial]| denials.iter().for_each(|denial| tell(told(key, denial)));
    match permit(checked, &access, last_word).map_err(|e| malformed(e.to_string()))? {
        Decision::Serve(..) | Decision::Answer(_) if !goes_on => {
            local::answer(&checked, &json!({ "ErrorCode": SHARE_SESSION_NOT_FOUND })).map(Ruling::Answer)
        }
        Decision::Serve(permitted, None) => Ok(Ruling::Serve(permitted, None)),
        Decision::Serve(permitted, Some(refused)) => {
            report(&refused.denials);
            let apart = denied::elements(key, version, &refused, &access);
            let body = value::encode(key.response(), version, &apart);
            let body = body.map_err(|e| SessionError::Gateway(e.to_string()))?;
            Ok(Ruling::Serve(permitted, Some(Apart { body, silent: refused.silent, alone: refused.alone })))
        }
        Decision::Answer(refused) => {
            report(&refused.denials);
            if refused.silent {
                return Err(SessionError::Ended(SILENT));
            }
            denied::nothing_left(&checked, &refused, &access).map(Ruling::Answer)
        }
        Decision::Refuse { denial, silent } => {
            report(std::slice::from_ref(&denial));
            if silent {
                return Err(SessionError::Ended(SILENT));
            }
            denied::whole(&checked, &denial).map(Ruling::Answer)
        }
        Decision::NewFetchSession(denials) => {
            report(&denials);
            local::answer(&checked, &json!({ "ErrorCode": FETCH_SESSION_ID_NOT_FOUND })).map(Ruling::Answer)
        }
        Decision::LookAgain => Ok(Ruling::LookAgain),
        Decision::TooMany => Err(malformed("it names more than it may not than any honest request".to_owned())),
    }
}

/// Why the connection of a client that expects no answer ends, as it does at a broker.
pub(super) const SILENT: &str = "records were refused for want of a right, and their client expects no answer";

/// What is recorded of a right that is missing.
fn told(key: ApiKey, Denial { operation, ty, name }: &Denial) -> Action {
    Action::AuthorizationDenied {
        api: key.name().into(),
        operation: spelled(operation).as_str().into(),
        resource_type: spelled(ty).as_str().into(),
        resource: name.as_str().into(),
    }
}

/// As Kafka spells it, and resources do.
fn spelled(value: &impl serde::Serialize) -> String {
    let spelled = serde_json::to_value(value).ok();
    spelled.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An answer that is not what the broker said word for word.
pub(super) enum Written {
    /// A whole body.
    Body(Vec<u8>),
    /// The front of the segments, which are without it.
    Front(Vec<u8>),
}

/// An answer of the broker, in virtual names, as its reader may see it with what was refused of the request; `None` where
/// nothing has to be changed. `then` are the rights with which records were asked for.
///
/// # Errors
/// [`SessionError::Answer`]
#[allow(clippy::too_many_arguments, reason = "each is a different owner's")]
pub(super) fn shown(
    (key, version): (ApiKey, i16),
    segments: &mut Segments,
    body: &[u8],
    apart: Option<&Apart>,
    then: Option<&Arc<Authorizer>>,
    rights: &mut Rights,
    tenant: &Tenant,
    shared: &Shared,
) -> Result<Option<Written>, SessionError> {
    let wrong = |e: &dyn std::fmt::Display| SessionError::Answer(format!("{key:?} {version}: {e}"));
    rights.renew();
    let now = rights.authorizer();
    let changed = then.is_some_and(|then| !Arc::ptr_eq(then, now) && then != now);
    let looked_at =
        !rights.is_unrestricted() && (answer::depends_on_rights(key, changed) || key == ApiKey::CreateTopics);
    if !looked_at {
        let Some(apart) = apart else { return Ok(None) };
        if matches!(key, ApiKey::Fetch | ApiKey::ShareFetch) {
            let first = segments.front(body, FRONT);
            let front = joined::front(key, version, &first, &apart.body).map_err(|e| wrong(&e))?;
            return Ok(front.map(|Front { bytes, replaces }| {
                segments.cut(replaces);
                Written::Front(bytes)
            }));
        }
        let joined = joined::joined(key, version, &segments.to_vec(body), &apart.body);
        return joined.map(|body| Some(Written::Body(body))).map_err(|e| wrong(&e));
    }
    let topics = KnownTopics { tenant, cluster: &shared.cluster };
    let access = rights.access(tenant, &topics);
    let served = segments.to_vec(body);
    let mut out = if key == ApiKey::CreateTopics {
        without_settings(version, served, &access).map_err(|e| wrong(&e))?
    } else {
        let Shown { body, hidden } =
            answer::shown(key, version, &served, &access, apart.is_some_and(|apart| apart.alone))
                .map_err(|e| wrong(&e))?;
        let hidden = (!hidden.is_empty()).then(|| denied::hidden_groups(key, version, &hidden));
        match hidden {
            Some(hidden) => {
                let hidden = value::encode(key.response(), version, &hidden).map_err(|e| wrong(&e))?;
                joined::joined(key, version, &body, &hidden).map_err(|e| wrong(&e))?
            }
            None => body,
        }
    };
    if let Some(apart) = apart {
        out = joined::joined(key, version, &out, &apart.body).map_err(|e| wrong(&e))?;
    }
    Ok(Some(Written::Body(out)))
}

/// Settings of topics that were made are for who may describe them.
fn without_settings(version: i16, served: Vec<u8>, access: &Access<'_>) -> Result<Vec<u8>, value::ValueError> {
    if version < 5 {
        return Ok(served);
    }
    let message = ApiKey::CreateTopics.response();
    let mut answer = value::decode_at_most(message, version, &served, MOST_VALUES)?;
    for topic in answer["Topics"].as_array_mut().into_iter().flatten() {
        let name = topic["Name"].as_str().unwrap_or_default();
        let may = access.allows(Operation::DescribeConfigs, ResourceType::Topic, name);
        if topic["ErrorCode"] != 0 || may {
            continue;
        }
        for (field, none) in [("NumPartitions", json!(-1)), ("ReplicationFactor", json!(-1)), ("Configs", json!([]))] {
            topic[field] = none;
        }
        topic["TopicConfigErrorCode"] = Value::from(TOPIC_AUTHORIZATION_FAILED);
    }
    value::encode(message, version, &answer)
}

/// The topics of a virtual cluster, as far as the gateway knows them.
pub(super) struct KnownTopics<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) cluster: &'a Physical,
}

impl Topics for KnownTopics<'_> {
    fn name(&self, id: &[u8; 16]) -> Option<String> {
        self.tenant.topic_ids.meant(id, &self.tenant.namespace).map(|meant| meant.name.to_string())
    }

    fn forbids(&self, operation: Operation, ty: ResourceType, name: &str) -> bool {
        self.tenant.namespace.forbids(operation, ty, name)
    }

    fn may_forbid(&self) -> bool {
        self.tenant.namespace.may_forbid()
    }

    fn exists(&self, name: &str) -> bool {
        let mut buffer = String::new();
        let physical = self.tenant.namespace.map_topic(name, &mut buffer);
        self.cluster.topology().topics.iter().any(|(_, known)| known == physical)
    }

    fn are_made_when_absent(&self) -> bool {
        true
    }
}
