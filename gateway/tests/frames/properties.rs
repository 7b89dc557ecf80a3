//! What must hold for any bytes whatever: the bodies of the fuzz targets, which tests run over generated frames too.
//!
//! A property panics where it does not hold. What it returns tells a test whether its frames got anywhere.

use crate::inside::{Answered, Sent, Violations};
use crate::tenant::{BROKER, THEIRS, permitted, tenant};
use gateway::apis::check::{Checked, check};
use gateway::apis::{self, Verdict, plans};
use gateway::authn::oauth::OAuth;
use gateway::authn::sasl::{Authenticator, Step};
use gateway::authn::tokens::TokenKey;
use gateway::authn::{Account, AccountLookup};
use gateway::config::Config;
use gateway::naming::Tenant;
use gateway::naming::embedded::{self, Embedded};
use gateway::naming::prefix::Namespace;
use gateway::naming::regex;
use gateway::naming::request::{self, Asked, Coordinator, Refusal, RefusedResource};
use gateway::naming::response;
use gateway::session::refusal;
use std::sync::{Arc, LazyLock};
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Stop, scan, walk};
use wire::{frame, value};

/// What became of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They go on, changed where they have to be.
    Forwarded,
    /// They are answered with an error in the API's own shape.
    Refused,
    /// The connection ends.
    Closed,
}

/// A virtual cluster, and the transparent one.
const PREFIXES: [Option<&str>; 2] = [Some("team-a."), None];

/// Requests teach the gateway nothing, so that one tenant of each kind does for all.
static TENANTS: LazyLock<[Tenant; 2]> = LazyLock::new(|| PREFIXES.map(tenant));

/// A frame of a client, without its length: what would be sent is a request of the same API whose every name is the
/// tenant's, or there is an answer that a client can read.
pub(crate) fn request(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::Closed;
    for tenant in &*TENANTS {
        outcome = match check(bytes) {
            Err(unserved) => match refusal::unserved(&unserved, bytes) {
                Some(answer) => {
                    let (key, version, id) = frame::request_start(bytes).unwrap();
                    readable(ApiKey::from_code(key).unwrap(), version, id, &answer);
                    Outcome::Refused
                }
                None => Outcome::Closed,
            },
            Ok(checked) if apis::row(checked.key()).verdict == Verdict::Map => mapped(checked, tenant),
            Ok(_) => Outcome::Refused,
        };
    }
    outcome
}

fn mapped(checked: Checked<'_>, tenant: &Tenant) -> Outcome {
    let (key, version, body) = (checked.key(), checked.version(), checked.body());
    let id = checked.header().correlation_id;
    let mut memory = request::Memory::default();
    for last_word in [false, true] {
        let mut segments = Segments::default();
        match request::map(permitted(checked), tenant, BROKER, last_word, &mut memory, &mut segments) {
            Ok((physical, _)) => {
                assert_eq!(physical.head(), checked.head());
                let sent = physical.segments().to_vec(physical.body());
                worked(&segments, body);
                let mut inside = Sent::new(tenant);
                let walked = walk(plans::request(key, version), &sent, &mut inside, &mut Segments::default());
                assert!(walked.is_ok(), "{key:?} {version}: what would be sent is no request: {walked:?}");
                inside.violations.assert_none(key, version);
                return Outcome::Forwarded;
            }
            Err(Stop::Refused(Refusal::UnknownTopicId)) => assert!(!last_word, "{key:?} {version}: the last word"),
            Err(Stop::Refused(why)) => {
                readable(key, version, id, &refusal::refused(&why, key, version, id, body).unwrap());
                return Outcome::Refused;
            }
            // A name that is longer than a string can be, with the prefix.
            Err(Stop::Malformed(_) | Stop::Kind(_)) => return Outcome::Closed,
            Err(other) => panic!("{key:?} {version}: {other}"),
        }
    }
    unreachable!("the last word was not the last")
}

/// A walk writes every byte of its output a bounded number of times.
fn worked(segments: &Segments, body: &[u8]) {
    // Arrays in arrays: a byte moves at most once for each around it, and none is deeper than this.
    const DEEPEST: usize = 6;
    let most = DEEPEST * (body.len() + segments.len()) + 64;
    assert!(segments.written() <= most, "{} bytes written for {}", segments.written(), body.len());
}

/// An answer that was made here is one that the client can read.
fn readable(key: ApiKey, version: i16, id: i32, answer: &[u8]) {
    assert_eq!(u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize, answer.len() - 4);
    let (answered, start) = frame::response_header(key.response_header(version), &answer[4..]).unwrap();
    assert_eq!(answered, id);
    if let Err(why) = value::decode(key.response(), version, &answer[4 + start..]) {
        panic!("{key:?} {version}: the answer does not decode: {why}");
    }
}

/// An answer of a broker; the first three bytes say to which API, version and request. What the client gets is an answer of
/// that API, and nothing in it is another tenant's.
pub(crate) fn response(bytes: &[u8]) -> Outcome {
    let &[which, version, how, ref body @ ..] = bytes else { return Outcome::Closed };
    let served: Vec<_> = apis::served().filter(|(key, _)| apis::row(*key).verdict == Verdict::Map).collect();
    let (key, range) = served[usize::from(which) % served.len()];
    let version = range.min + i16::from(version) % (range.max - range.min + 1);
    answer(key, version, how, body)
}

/// An answer of `key` at `version`; `how` chooses what was asked.
pub(crate) fn answer(key: ApiKey, version: i16, how: u8, body: &[u8]) -> Outcome {
    let mut outcome = Outcome::Closed;
    for prefix in PREFIXES {
        let tenant = tenant(prefix);
        let asked = asked(&tenant, how);
        let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
        outcome = match response::map(key, version, body, &asked, &tenant, BROKER, &mut memory, &mut segments) {
            Ok(_) => {
                let sent = segments.to_vec(body);
                worked(&segments, body);
                let mut inside = Answered::new(&tenant, &asked);
                scan(plans::response(key, version), body, &mut inside.came()).unwrap();
                let walked = walk(plans::response(key, version), &sent, &mut inside, &mut Segments::default());
                assert!(walked.is_ok(), "{key:?} {version}: what would be sent is no answer: {walked:?}");
                inside.violations.assert_none(key, version);
                with_refused(key, version, &sent, &asked);
                Outcome::Forwarded
            }
            Err(Stop::Refused(_) | Stop::Malformed(_) | Stop::NothingToDrop) => Outcome::Closed,
            Err(other) => panic!("{key:?} {version}: {other}"),
        };
    }
    outcome
}

fn asked(tenant: &Tenant, how: u8) -> Asked {
    let mut asked = Asked {
        coordinator: [None, Some(Coordinator::Group), Some(Coordinator::Transaction), Some(Coordinator::Share)]
            [usize::from(how & 3)],
        consumer_protocol: [None, Some(true), Some(false)][usize::from(how >> 2 & 3) % 3],
        ..Asked::default()
    };
    if how & 16 != 0 {
        let _ = asked.veiled.insert(tenant.topic_ids.veil(THEIRS));
    }
    asked
}

fn with_refused(key: ApiKey, version: i16, sent: &[u8], asked: &Asked) {
    if !matches!(key, ApiKey::DescribeConfigs | ApiKey::AlterConfigs | ApiKey::IncrementalAlterConfigs) {
        return;
    }
    let refused = vec![RefusedResource { ty: 4, name: "1".to_owned() }];
    let joined = refusal::with_refused_resources(key, version, sent, &Asked { refused, ..asked.clone() }).unwrap();
    // A text that nothing is looked for in may be of any bytes.
    let decode = |body: &[u8]| value::decode(key.response(), version, body);
    let (Ok(before), Ok(after)) = (decode(sent), decode(&joined)) else { return };
    let list = if key == ApiKey::DescribeConfigs { "Results" } else { "Responses" };
    assert_eq!(before[list].as_array().unwrap().len() + 1, after[list].as_array().unwrap().len());
}

/// Bytes inside a group message: what the broker gets names topics of the tenant only, and comes back as it was.
pub(crate) fn embedded(bytes: &[u8]) -> Outcome {
    let Some((kind, bytes)) = bytes.split_first() else { return Outcome::Closed };
    let kind = if kind % 2 == 0 { Embedded::Subscription } else { Embedded::Assignment };
    let namespace = Namespace::new(Some("team-a.".into()));
    let mut outcome = Outcome::Closed;
    for consumer in [Some(true), None] {
        let Ok(Some(physical)) = embedded::incoming(&namespace, kind, consumer, bytes, 1 << 20) else { continue };
        outcome = Outcome::Forwarded;
        let mut violations = Violations::default();
        violations.embedded(&TENANTS[0], kind, &physical);
        violations.assert_none(ApiKey::JoinGroup, 0);
        // Lengths are not spelled in more than one way there.
        assert_eq!(embedded::outgoing(&namespace, kind, consumer, &physical).unwrap(), bytes);
    }
    // Seen as the bytes of a broker, nothing comes out longer than it went in.
    let out = embedded::outgoing(&namespace, kind, Some(true), bytes);
    assert!(out.is_none_or(|out| out.len() <= bytes.len()));
    outcome
}

/// A pattern of names: what the broker gets matches nothing outside the tenant, and is shown as it was written.
pub(crate) fn pattern(bytes: &[u8]) -> Outcome {
    const OUTSIDE: [&str; 7] =
        ["team-b.secret", "secret", "", "team-a", "xteam-a.orders", "\nteam-a.orders", "TEAM-A.x"];
    let Ok(pattern) = std::str::from_utf8(bytes) else { return Outcome::Closed };
    let namespace = Namespace::new(Some("team-a.".into()));
    let Ok(physical) = regex::rewrite(&namespace, pattern) else { return Outcome::Refused };
    assert_eq!(regex::restore(&namespace, &physical).as_deref(), Some(pattern));
    // Quotes are RE2's own; of the rest both say the same, or the other does not take it.
    let other = ::regex::RegexBuilder::new(&format!("\\A(?:{physical})\\z")).size_limit(1 << 17).build();
    if let Ok(other) = other
        && !pattern.is_empty()
        && !pattern.contains("\\Q")
    {
        assert!(OUTSIDE.iter().all(|name| !other.is_match(name)), "{pattern:?} became {physical:?}");
    }
    Outcome::Forwarded
}

/// Any bytes as a frame: header and body are all of it, of a request as of an answer.
pub(crate) fn header(bytes: &[u8]) -> Outcome {
    for key in ApiKey::ALL {
        for version in [key.response_header(0), key.response_header(i16::MAX), 1] {
            if let Ok((_, start)) = frame::response_header(version, bytes) {
                assert!(start <= bytes.len());
            }
        }
        if let Ok(header) = frame::request_header(*key, bytes) {
            assert!(header.body <= bytes.len());
        }
    }
    match check(bytes) {
        Ok(checked) => {
            assert_eq!([checked.head(), checked.body()].concat(), bytes);
            assert!(apis::row(checked.key()).versions.contains(checked.version()));
            Outcome::Forwarded
        }
        Err(_) => Outcome::Closed,
    }
}

struct Nobody;

impl AccountLookup for Nobody {
    fn account(&self, _: &str) -> Option<Arc<Account>> {
        None
    }

    fn by_external_name(&self, _: &str) -> Option<Arc<Account>> {
        None
    }
}

/// An authenticator that offers every mechanism, with an identity provider that publishes nothing.
fn every_mechanism() -> Arc<Authenticator> {
    let settings = "{upstream: {bootstrapServers: 'k:1'}, oauth: {jwksUrl: 'https://login.test/keys', \
                    expectedIssuer: x, expectedAudiences: x}}";
    let config = Config::parse(settings, []).unwrap().config;
    let oauth = config.oauth.map(|rules| Arc::new(OAuth::new(rules, Arc::default())));
    let authenticator = Authenticator::new(TokenKey::random().unwrap()).unwrap();
    Arc::new(authenticator.with_logins(&config.logins, oauth))
}

/// Frames before authentication, each behind a byte of length: nobody gets in without an account, and every message has an
/// answer or ends the login.
pub(crate) fn handshake(bytes: &[u8]) -> Outcome {
    let Some((mechanism, mut rest)) = bytes.split_first() else { return Outcome::Closed };
    let authenticator = every_mechanism();
    let offered = authenticator.mechanisms();
    let mechanism = offered[usize::from(*mechanism) % offered.len()];
    let mut login = authenticator.start(mechanism, Arc::new(Nobody)).unwrap();
    let mut outcome = Outcome::Closed;
    // A login has two rounds; more than that only cost time here.
    for _ in 0..4 {
        let Some((length, behind)) = rest.split_first() else { break };
        let (message, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        match login.step(message) {
            Step::Continue(_) | Step::Refused { .. } => outcome = Outcome::Refused,
            Step::Failed(_) => return outcome,
            Step::Done { identity, .. } => panic!("{identity:?} got in"),
        }
    }
    outcome
}
