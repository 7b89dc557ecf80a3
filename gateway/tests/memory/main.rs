//! How much memory a frame costs while it is looked at, whatever is in it: a multiple of its length, and a constant.
//!
//! A counting allocator measures the most that was held at once. It is one for the process, so that all is one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod dense;
#[path = "../frames/tenant.rs"]
mod tenant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::resources::VirtualCluster;
use dense::KINDS;
use gateway::apis::check::{Checked, check};
use gateway::apis::{self, Verdict, plans};
use gateway::authz::Requester;
use gateway::authz::acl::{AclBinding, AclFilter};
use gateway::naming::request::{self, Asked, Refusal, RefusedResource};
use gateway::naming::{Tenant, growth_allowed, response};
use gateway::session::acls::{self, AclKeeper, Kept};
use gateway::session::quotas::{QuotaKeeper, Setting};
use gateway::session::{SessionError, handshake, quotas, refusal, scram};
use gateway::world::{self, World};
use peak_alloc::PeakAlloc;
use serde_json::json;
use std::sync::Arc;
use tenant::{BROKER, permitted, tenant};
use wire::schema::{ApiKey, Kind, Message, Versions};
use wire::segments::Segments;
use wire::walk::Stop;
use wire::{frame, value};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Frames are about this long: requests of this length may grow the most in proportion.
const LENGTH: usize = 64 << 10;
/// The longest prefix that a virtual cluster can have.
const PREFIX: usize = 100;

/// What a frame of N bytes may cost that goes on as M bytes: N, and `BUFFERS` times M. A buffer that grows is held twice for
/// a moment, at half of its new size: three times what was written to it. An untouched run of 49 bytes and the piece behind it
/// take 48 bytes in the list of pieces, which grows in the same way.
const BUFFERS: usize = 3;
/// And what it may cost besides: the ids and resources that its answer needs, a thousand of each.
const BESIDES: usize = 128 << 10;
/// M is at most N and `growth_allowed(N)`, which is 5 N and 1 MiB. Together with what a refusal may cost that makes
/// **16 N and 6 MiB** for a request, **21 N and 7 MiB** for one of a group, whose names stand inside bytes, and
/// **18 N and 4 MiB** for an answer, of which some is read ahead; with refused resources joined to it, **28 N and 6 MiB**.
/// Only names, addresses and texts make M more than N: without them it is 4 N for a request and 6 N for an answer.
const fn most(length: usize, sent: usize) -> usize {
    length + BUFFERS * sent + BESIDES
}
/// What a refusal may cost: the values to which a request is decoded, of some hundred bytes each, and those of the answer.
const REFUSAL: usize = 2 << 20;

/// And what is answered here: ten thousand values and those of the answer.
const OWN: usize = 4 << 20;

/// The most memory that `work` held at once, and what it gave.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let done = work();
    (ALLOCATOR.peak_usage() - before, done)
}

/// The worst that was seen.
#[derive(Debug)]
struct Worst {
    frames: usize,
    cost: usize,
    length: usize,
    by: String,
    broken: Vec<String>,
}

impl Worst {
    const fn new() -> Self {
        Self { frames: 0, cost: 0, length: 0, by: String::new(), broken: Vec::new() }
    }

    fn note(&mut self, what: String, length: usize, cost: usize, most: usize) {
        self.frames += 1;
        if cost > most {
            self.broken.push(format!("{what}: {cost} bytes for {length}, at most {most} are allowed"));
        }
        if cost * self.length >= self.cost * length {
            (self.cost, self.length, self.by) = (cost, length, what);
        }
    }

    fn show(&self, of: &str) {
        println!("{of}: {} frames, at most {} bytes for {}: {}", self.frames, self.cost, self.length, self.by);
        assert!(self.broken.is_empty(), "{of}\n{}", self.broken.join("\n"));
    }
}

/// The newest version and the newest whose lengths are not compact; all of them where it is asked for.
fn versions(key: ApiKey, min: i16, max: i16) -> Vec<i16> {
    if std::env::var_os("ALL_VERSIONS").is_some() {
        return (min..=max).collect();
    }
    let fixed = (min..=max).rev().find(|version| !key.request().flexible.contains(*version));
    fixed.into_iter().chain([max]).collect()
}

/// Time is counted in bytes that are written: each at most once for every array around it.
fn worked(segments: &Segments, length: usize) {
    const DEEPEST: usize = 6;
    let most = DEEPEST * (length + segments.len());
    assert!(segments.written() <= most, "{} bytes written for {length}", segments.written());
}

/// Looks at a request as a session does, and keeps all that it keeps until the request is sent; gives the length of what
/// would be sent.
fn look_at(bytes: &[u8], tenant: &Tenant) -> Option<usize> {
    let checked = match check(bytes) {
        Ok(checked) => checked,
        Err(unserved) => {
            drop(refusal::unserved(&unserved, bytes));
            return None;
        }
    };
    let (mut memory, mut segments) = (request::Memory::default(), Segments::default());
    for last_word in [false, true] {
        segments.clear(4 << 10);
        match request::map(permitted(checked), tenant, BROKER, last_word, &mut memory, &mut segments) {
            Err(Stop::Refused(Refusal::UnknownTopicId)) => {}
            Err(Stop::Refused(why)) => {
                drop(refusal::refused(&why, checked.key(), checked.version(), 7, checked.body()).unwrap());
                return None;
            }
            Ok((physical, _asked)) => {
                worked(physical.segments(), bytes.len());
                return Some(physical.segments().len());
            }
            Err(other) => panic!("{:?} {}: {other}", checked.key(), checked.version()),
        }
    }
    None
}

/// Looks at a request as a session does that answers it here.
fn answer_here(bytes: &[u8], tenant: &Tenant) {
    let checked = check(bytes).unwrap();
    drop(match checked.key() {
        ApiKey::DescribeClientQuotas => quotas::describe(&checked, &tenant.namespace, None),
        ApiKey::AlterClientQuotas => {
            let keeper: Arc<dyn QuotaKeeper> = Arc::new(Forgetful);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let cluster = "team-a".into();
            runtime.block_on(quotas::alter(&checked, &tenant.namespace, &cluster, None, &keeper))
        }
        ApiKey::DescribeUserScramCredentials => scram::describe(&checked, &World::empty(), "team-a"),
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => handshake::already_authenticated(&checked),
        // Nothing in it is looked at.
        ApiKey::ApiVersions => Ok(Vec::new()),
        ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => change_rules(&checked),
        other => panic!("{other:?} is answered here too: measure it"),
    });
}

/// A change of rules by one who may do everything, up to where it is kept.
fn change_rules(checked: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
    let mut declared = VirtualCluster::new("team-a");
    declared.spec.acl_enabled = Some(true);
    declared.spec.super_users = Some(vec!["app".into()]);
    let world = world::build([&declared], [], [], []).unwrap();
    let who = Requester { principal: "User:app", host: "10.0.0.1".parse().unwrap() };
    let keeper: Arc<dyn AclKeeper> = Arc::new(Forgetful);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(acls::answer(checked, &who, world.virtual_cluster("team-a").unwrap(), &keeper))
}

/// Takes all changes and keeps none.
#[derive(Debug)]
struct Forgetful;

impl QuotaKeeper for Forgetful {
    fn set(self: Arc<Self>, _: Arc<str>, settings: Vec<Setting>) -> Kept<()> {
        drop(settings);
        Box::pin(async { Ok(()) })
    }
}

impl AclKeeper for Forgetful {
    fn create(self: Arc<Self>, _: Arc<str>, rules: Vec<AclBinding>) -> Kept<()> {
        drop(rules);
        Box::pin(async { Ok(()) })
    }

    fn delete(self: Arc<Self>, _: Arc<str>, filters: Vec<AclFilter>) -> Kept<Vec<Vec<AclBinding>>> {
        Box::pin(async move { Ok(filters.iter().map(|_| Vec::new()).collect()) })
    }
}

/// Dense frames of a message at some of its versions.
fn each(key: ApiKey, range: Versions, kind: Kind, length: usize, mut check: impl FnMut(String, i16, Vec<u8>)) {
    let message = if kind == Kind::Request { key.request() } else { key.response() };
    for version in versions(key, range.min, range.max) {
        // Plans are made once for all.
        let _ = (plans::request(key, version), plans::response(key, version));
        if let Some(body) = dense::tags(message, version, length) {
            check(format!("{} {version} tagged fields", message.name), version, body);
        }
        for elements in KINDS {
            for (array, body) in dense::bodies(message, version, elements, length) {
                check(format!("{} {version} {array} {elements:?}", message.name), version, body);
            }
        }
    }
}

#[test]
fn memory_for_a_frame_stays_within_a_multiple_of_its_length() {
    let tenant = tenant(Some(&"p".repeat(PREFIX)));
    let [mut sent, mut refused, mut own, mut answers] = [const { Worst::new() }; 4];
    for key in ApiKey::ALL {
        let row = apis::row(*key);
        let length = if row.verdict == Verdict::Deny { LENGTH / 8 } else { LENGTH };
        let range = if row.verdict == Verdict::Deny { key.versions() } else { row.versions };
        each(*key, range, Kind::Request, length, |what, version, body| {
            let bytes = frame::request(*key, version, 7, None, &body).split_off(4);
            if row.verdict == Verdict::Own {
                let (cost, ()) = peak(|| answer_here(&bytes, &tenant));
                return own.note(what, bytes.len(), cost, bytes.len() + OWN);
            }
            let (cost, went) = peak(|| look_at(&bytes, &tenant));
            let length = bytes.len();
            match went {
                Some(went) => {
                    assert!(went <= length + growth_allowed(length), "{what}: {length} bytes became {went}");
                    sent.note(what, length, cost, most(length, went));
                }
                // It was refused when it had grown by all that is allowed, or at once.
                None if row.verdict == Verdict::Map => {
                    refused.note(what, length, cost, most(length, length + growth_allowed(length)) + REFUSAL);
                }
                None => refused.note(what, length, cost, length + REFUSAL),
            }
        });
    }
    for (what, body) in group_messages() {
        let bytes = frame::request(ApiKey::JoinGroup, 9, 7, None, &body).split_off(4);
        let (cost, went) = peak(|| look_at(&bytes, &tenant));
        let sent = went.unwrap_or(bytes.len() + growth_allowed(bytes.len()));
        // The bytes inside are written on their own first, and then to where they belong: once more than others.
        refused.note(what, bytes.len(), cost, most(bytes.len(), sent) + sent + REFUSAL);
    }
    for (key, range) in apis::served().filter(|(key, _)| apis::row(*key).verdict == Verdict::Map) {
        each(key, range, Kind::Response, LENGTH, |what, version, body| {
            let (cost, went) = peak(|| answer(key, version, &body, &tenant));
            assert!(
                went.0 <= body.len() + growth_allowed(body.len()),
                "{what}: {} bytes became {}",
                body.len(),
                went.0
            );
            // Some are read ahead, for what follows a field that it decides about.
            answers.note(what, body.len(), cost, 2 * body.len() + most(body.len(), went.0) + 2 * went.1);
        });
    }
    sent.show("requests that go on");
    own.show("requests that are answered here");
    refused.show("requests that are refused");
    answers.show("answers");
}

/// JoinGroup requests full of names that are inside the bytes of the consumer protocol: in one member's, and in many.
fn group_messages() -> [(String, Vec<u8>); 3] {
    let subscription = |topics: usize| {
        let (message, topics) = (Message::named("ConsumerProtocolSubscription").unwrap(), vec!["x"; topics]);
        let body = value::encode(message, 0, &json!({ "Topics": topics, "UserData": null })).unwrap();
        STANDARD.encode([&[0, 0][..], &body].concat())
    };
    let request = |protocols: usize, topics: usize| {
        let metadata = subscription(topics);
        let protocols: Vec<_> = (0..protocols).map(|_| json!({ "Name": "", "Metadata": metadata })).collect();
        let request = json!({ "GroupId": "g", "ProtocolType": "consumer", "Protocols": protocols });
        let body = value::encode(ApiKey::JoinGroup.request(), 9, &request).unwrap();
        (format!("{} subscriptions to {topics} topics", protocols.len()), body)
    };
    // The first stays below the growth that is allowed, the second does not.
    [request(1, 9_000), request(1, LENGTH / 3), request(LENGTH / 20, 1)]
}

/// Looks at an answer as a session does; gives the length of what
/// would be sent, and of the copy with what was refused.
fn answer(key: ApiKey, version: i16, body: &[u8], tenant: &Tenant) -> (usize, usize) {
    let asked = Asked { refused: vec![RefusedResource { ty: 4, name: "1".to_owned() }], ..Asked::default() };
    let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
    match response::map(key, version, body, &asked, tenant, BROKER, &mut memory, &mut segments) {
        Ok(_) => worked(&segments, body.len()),
        Err(other) => panic!("{key:?} {version}: {other}"),
    }
    if matches!(key, ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs) {
        let sent = segments.to_vec(body);
        return (sent.len(), refusal::with_refused_resources(key, version, &sent, &asked).unwrap().len());
    }
    (segments.len(), 0)
}
