//! Runs one case at one version through the stages of a session, in the session's order.

use crate::model::{Answer, Case, Given, ServiceAccount, Then, VEIL, resolve};
use contract::resources::quota::{QuotaKind, QuotaMetadata, QuotaSpec};
use contract::resources::{GatewayServiceAccount, OwnApiVersion, Quota, Resource, VirtualCluster};
use gateway::apis::check::{Checked, check};
use gateway::apis::{Verdict, row};
use gateway::authn::Account;
use gateway::authn::credentials::Credentials;
use gateway::authz::acl::{AclBinding, AclFilter};
use gateway::authz::{Access, Authorizer, Decision, Permitted, Requester, Topics, permit};
use gateway::naming::prefix::Namespace;
use gateway::naming::request::{self, Asked, Physical, Refusal};
use gateway::naming::sessions::FetchSessions;
use gateway::naming::topic_ids::TopicIds;
use gateway::naming::{Addresses, Tenant, response};
use gateway::session::acls::{self, AclKeeper, Kept};
use gateway::session::quotas::{QuotaKeeper, Setting};
use gateway::session::{handshake, quotas, refusal, scram};
use gateway::world::{self, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use wire::schema::{ApiKey, Message};
use wire::segments::Segments;
use wire::walk::Stop;
use wire::{frame, value};

/// The broker that the client is connected to.
pub(crate) const BROKER: i32 = 1;
/// The cluster id that clients see.
const CLUSTER: &str = "virtual-cluster";
const CORRELATION: i32 = 77;

/// Brokers 1 and 2 have a port on the gateway, others have none.
struct Gateway;

impl Addresses for Gateway {
    fn of(&self, id: i32) -> Option<(std::borrow::Cow<'_, str>, u16)> {
        match id {
            1 => Some(("gateway".into(), 9001)),
            2 => Some(("gateway".into(), 9002)),
            _ => None,
        }
    }
}

/// The virtual cluster of a case.
pub(crate) fn tenant(given: &Given) -> Tenant {
    let topic_ids = TopicIds::new(&VEIL).unwrap();
    let prefix = given.prefix.as_deref().unwrap_or_default();
    for (name, id) in &given.topics {
        topic_ids.learn([*id; 16], &format!("{prefix}{name}"));
    }
    for (name, id) in &given.others {
        topic_ids.learn([*id; 16], name);
    }
    let fetch_sessions = FetchSessions::default();
    for session in &given.fetch_sessions {
        fetch_sessions.issue(prefix, BROKER, *session);
    }
    Tenant {
        namespace: Namespace::new(given.prefix.as_deref().map(Arc::from)),
        cluster_id: CLUSTER.into(),
        topic_ids: Arc::new(topic_ids),
        addresses: Arc::new(Gateway),
        fetch_sessions: Arc::new(fetch_sessions),
    }
}

/// A virtual cluster that nothing is known of.
pub(crate) fn tenant_of(prefix: &str) -> Tenant {
    tenant(&Given { prefix: Some(prefix.to_owned()), ..Given::default() })
}

/// The virtual cluster without a prefix.
pub(crate) fn transparent() -> Tenant {
    tenant(&Given::default())
}

/// The body that a broker gets for the body of a client.
pub(crate) fn forwarded(prefix: &str, key: ApiKey, version: i16, body: &[u8]) -> Result<Vec<u8>, String> {
    sent(&tenant_of(prefix), key, version, body).map(|(body, _)| body)
}

/// The same for a client of `tenant`, with what the answer has to know.
pub(crate) fn sent(tenant: &Tenant, key: ApiKey, version: i16, body: &[u8]) -> Result<(Vec<u8>, Asked), String> {
    let frame = frame::request(key, version, CORRELATION, None, body);
    match send(&frame, tenant, &mut request::Memory::default())? {
        Outcome::Forwarded(body, asked) => Ok((body, asked)),
        Outcome::Refused(answer) => Err(format!("refused: {answer}")),
    }
}

/// Runs `case` at `version`; an error says which expectation failed and how.
pub(crate) fn run(case: &Case, key: ApiKey, version: i16) -> Result<(), String> {
    let tenant = tenant(&case.given);
    let mut memory = request::Memory::default();
    if let Some(joined) = &case.given.joined {
        let request = json!({ "GroupId": joined.group, "ProtocolType": joined.protocol_type });
        let _ = send(&request_frame(ApiKey::JoinGroup, 5, &request)?, &tenant, &mut memory)?;
    }
    let request = resolve(&case.when.request, version)?;
    let mut frame = request_frame(key, version, &request)?;
    frame.extend_from_slice(case.when.after.as_bytes());
    let then = &case.then;
    match (&then.forwarded, &then.refused, &then.answered) {
        (Some(forwarded), None, None) => {
            let (sent, asked) = match send(&frame, &tenant, &mut memory)? {
                Outcome::Forwarded(sent, asked) => (sent, asked),
                Outcome::Refused(answer) => return Err(format!("the request is not forwarded but answered {answer}")),
            };
            let expected = if forwarded == "unchanged" { request } else { resolve(forwarded, version)? };
            same("forwarded", key.request(), version, &expected, &sent)?;
            if asked.silent != then.silent {
                return Err(format!("silent is {}", asked.silent));
            }
            let violations = match &then.answer {
                Some(answer) => answered(answer, key, version, &asked, &tenant, &case.given.later)?,
                None if then.silent => 0,
                None => return Err("the case says nothing of the answer".to_owned()),
            };
            if violations != then.violations {
                return Err(format!("{violations} violations are counted, not {}", then.violations));
            }
            sessions(then, &tenant)
        }
        (None, Some(refused), None) => match send(&frame, &tenant, &mut memory)? {
            Outcome::Refused(answer) => {
                compare("refused", key.response(), version, &resolve(refused, version)?, &answer)
            }
            Outcome::Forwarded(..) => Err("the request is forwarded".to_owned()),
        },
        (None, None, Some(answered)) => {
            let kept = Arc::new(KeptRules(Mutex::new(case.given.rules.clone())));
            let answer = own_answer(&checked(&frame)?, &case.given, &kept)?;
            compare("answered", key.response(), version, &resolve(answered, version)?, &answer)?;
            let (kept, expected) = (kept.0.lock().unwrap(), then.rules.as_ref().unwrap_or(&case.given.rules));
            if *kept == *expected { Ok(()) } else { Err(format!("the rules are {kept:#?}")) }
        }
        _ => Err("a case has one of forwarded, refused and answered".to_owned()),
    }
}

/// Compares what is left of the tenant's sessions with what the case says.
fn sessions(then: &Then, tenant: &Tenant) -> Result<(), String> {
    let holds = |session: &i32| tenant.fetch_sessions.holds(tenant.namespace.prefix(), BROKER, *session);
    if let Some(session) = then.issued.iter().find(|session| !holds(session)) {
        return Err(format!("fetch session {session} is not the tenant's afterwards"));
    }
    match then.revoked.iter().find(|session| holds(session)) {
        Some(session) => Err(format!("fetch session {session} is still the tenant's afterwards")),
        None => Ok(()),
    }
}

pub(crate) enum Outcome {
    /// The body that a broker gets.
    Forwarded(Vec<u8>, Asked),
    /// The answer that the client gets at once.
    Refused(Value),
}

pub(crate) fn request_frame(key: ApiKey, version: i16, request: &Value) -> Result<Vec<u8>, String> {
    let body = value::encode(key.request(), version, request).map_err(|e| format!("when.request: {e}"))?;
    Ok(frame::request(key, version, CORRELATION, Some("case"), &body))
}

/// A frame without its length is what sessions check.
fn checked(frame: &[u8]) -> Result<Checked<'_>, String> {
    check(&frame[4..]).map_err(|e| format!("not served: {e}"))
}

/// Sends a request as far as the broker's connection, which it would go out on.
pub(crate) fn send(frame: &[u8], tenant: &Tenant, memory: &mut request::Memory) -> Result<Outcome, String> {
    let checked = checked(frame)?;
    let (key, version) = (checked.key(), checked.version());
    if row(key).verdict != Verdict::Map {
        return Err("the gateway answers this API itself: use then.answered".to_owned());
    }
    for last_word in [false, true] {
        let mut segments = Segments::default();
        match request::map(permitted(checked), tenant, BROKER, last_word, memory, &mut segments) {
            Ok((physical, asked)) => {
                if physical.head() != checked.head() {
                    return Err("the header changed".to_owned());
                }
                return Ok(Outcome::Forwarded(body_of(&physical), asked));
            }
            Err(Stop::Refused(Refusal::UnknownTopicId)) if !last_word => {}
            Err(Stop::Refused(why)) => {
                let answer =
                    refusal::refused(&why, key, version, CORRELATION, checked.body()).map_err(|e| e.to_string())?;
                return response_of(key, version, &answer).map(Outcome::Refused);
            }
            Err(other) => return Err(format!("request: {other}")),
        }
    }
    Err("the last word was not the last".to_owned())
}

/// Whether the request waits until the gateway has looked at the physical cluster again.
pub(crate) fn asks_again(key: ApiKey, version: i16, body: &[u8], tenant: &Tenant) -> bool {
    let frame = frame::request(key, version, CORRELATION, None, body);
    let permitted = permitted(checked(&frame).unwrap());
    let (mut memory, mut segments) = (request::Memory::default(), Segments::default());
    let first = request::map(permitted, tenant, BROKER, false, &mut memory, &mut segments);
    matches!(first, Err(Stop::Refused(Refusal::UnknownTopicId)))
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

fn body_of(physical: &Physical<'_>) -> Vec<u8> {
    physical.segments().to_vec(physical.body())
}

/// Maps the broker's answer and compares it; returns the violations.
fn answered(
    answer: &Answer,
    key: ApiKey,
    version: i16,
    asked: &Asked,
    tenant: &Tenant,
    later: &BTreeMap<String, u8>,
) -> Result<u32, String> {
    let from = resolve(&answer.from, version)?;
    let body = value::encode(key.response(), version, &from).map_err(|e| format!("then.answer.from: {e}"))?;
    let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
    let mut map =
        |segments: &mut Segments| response::map(key, version, &body, asked, tenant, BROKER, &mut memory, segments);
    let mut found = map(&mut segments).map_err(|e| format!("answer: {e}"))?;
    if found.unknown_ids > 0 {
        for (name, id) in later {
            tenant.topic_ids.learn([*id; 16], name);
        }
        segments = Segments::default();
        found = map(&mut segments).map_err(|e| format!("answer, the second time: {e}"))?;
    }
    let expected = if answer.to == "unchanged" { from } else { resolve(&answer.to, version)? };
    let mut got = segments.to_vec(&body);
    if !asked.refused.is_empty() {
        got = refusal::with_refused_resources(key, version, &got, asked).map_err(|e| e.to_string())?;
    }
    same("answer.to", key.response(), version, &expected, &got)?;
    Ok(found.violations + found.unknown_ids)
}

/// The answer to an API that the session answers itself, after authentication.
fn own_answer(request: &Checked<'_>, given: &Given, kept: &Arc<KeptRules>) -> Result<Value, String> {
    let answer = match request.key() {
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => handshake::already_authenticated(request),
        ApiKey::DescribeClientQuotas => {
            let rules = world(given).virtual_cluster("case").unwrap().quotas.clone();
            quotas::describe(request, &tenant(given).namespace, rules.as_deref())
        }
        ApiKey::AlterClientQuotas => {
            let rules = world(given).virtual_cluster("case").unwrap().quotas.clone();
            let keeper = Arc::clone(kept) as Arc<dyn QuotaKeeper>;
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (namespace, cluster) = (tenant(given).namespace, "case".into());
            runtime.block_on(quotas::alter(request, &namespace, &cluster, rules.as_deref(), &keeper))
        }
        ApiKey::DescribeUserScramCredentials => scram::describe(request, &world(given), "case"),
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => {
            let (world, keeper) = (world(given), Arc::clone(kept) as Arc<dyn AclKeeper>);
            let who = Requester { principal: "User:case", host: "10.0.0.1".parse().unwrap() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(acls::answer(request, &who, world.virtual_cluster("case").unwrap(), &keeper))
        }
        other => return Err(format!("{other:?} is not answered without a broker")),
    };
    response_of(request.key(), request.version(), &answer.map_err(|e| e.to_string())?)
}

fn world(given: &Given) -> World {
    let account = |given: &ServiceAccount| {
        let credentials = given.password.as_deref().map(|password| Credentials::from_password(password).unwrap());
        let declared = GatewayServiceAccount::local(&given.name, &given.virtual_cluster, None);
        Arc::new(Account::new(declared, credentials))
    };
    let accounts: Vec<_> = given.accounts.iter().map(account).collect();
    let clusters = accounts.iter().map(|account| &*account.virtual_cluster).chain(["case"]).collect::<BTreeSet<_>>();
    let declared = |name: &str| {
        let mut cluster = VirtualCluster::new(name);
        if name == "case" {
            cluster.spec = given.spec.clone();
        }
        cluster
    };
    let clusters: Vec<_> = clusters.into_iter().map(declared).collect();
    let rules = BTreeMap::from([("case".to_owned(), Arc::new(given.rules.clone()))]);
    let quota = |(number, spec): (usize, &QuotaSpec)| {
        let metadata = QuotaMetadata { name: number.to_string(), v_cluster: Some("case".to_owned()), labels: None };
        Resource::from(Quota {
            kind: QuotaKind::Quota,
            api_version: OwnApiVersion::AnabranchV1,
            metadata,
            spec: spec.clone(),
        })
    };
    let quotas: Vec<Resource> = given.quotas.iter().enumerate().map(quota).collect();
    world::build(&clusters, &accounts, rules.iter().filter(|(_, rules)| !rules.is_empty()), &quotas).unwrap()
}

/// Keeps the rules of the only virtual cluster there is.
#[derive(Debug)]
struct KeptRules(Mutex<BTreeSet<AclBinding>>);

/// What is set is in no case's answer.
impl QuotaKeeper for KeptRules {
    fn set(self: Arc<Self>, _: Arc<str>, _: Vec<Setting>) -> Kept<()> {
        Box::pin(async { Ok(()) })
    }
}

impl AclKeeper for KeptRules {
    fn create(self: Arc<Self>, _: Arc<str>, rules: Vec<AclBinding>) -> Kept<()> {
        self.0.lock().unwrap().extend(rules);
        Box::pin(async { Ok(()) })
    }

    fn delete(self: Arc<Self>, _: Arc<str>, filters: Vec<AclFilter>) -> Kept<Vec<Vec<AclBinding>>> {
        let mut kept = self.0.lock().unwrap();
        let meant = |filter: &AclFilter| kept.iter().filter(|rule| filter.matches(rule)).cloned().collect::<Vec<_>>();
        let deleted = filters.iter().map(meant).collect::<Vec<_>>();
        kept.retain(|rule| !deleted.iter().flatten().any(|gone| gone == rule));
        Box::pin(async { Ok(deleted) })
    }
}

/// The body of a whole response frame.
fn response_of(key: ApiKey, version: i16, answer: &[u8]) -> Result<Value, String> {
    let (correlation_id, start) =
        frame::response_header(key.response_header(version), &answer[4..]).map_err(|e| e.to_string())?;
    if correlation_id != CORRELATION {
        return Err(format!("the answer has correlation id {correlation_id}"));
    }
    value::decode(key.response(), version, &answer[4 + start..]).map_err(|e| format!("the answer does not decode: {e}"))
}

fn same(what: &str, message: &'static Message, version: i16, expected: &Value, got: &[u8]) -> Result<(), String> {
    let got = value::decode(message, version, got).map_err(|e| format!("{what} does not decode: {e}"))?;
    compare(what, message, version, expected, &got)
}

/// Compares what is said of a message with the message; what is left unsaid has its default, on both sides.
fn compare(what: &str, message: &'static Message, version: i16, expected: &Value, got: &Value) -> Result<(), String> {
    let whole = |value: &Value| {
        let body = value::encode(message, version, value)?;
        value::decode(message, version, &body)
    };
    let expected = whole(expected).map_err(|e| format!("then.{what}: {e}"))?;
    let got = whole(got).map_err(|e| format!("{what}: {e}"))?;
    if expected == got { Ok(()) } else { Err(format!("{what}\n  expected {expected}\n  got      {got}")) }
}
