//! The decision about a request: it is served, or some of it is, or nothing.

use super::access::Access;
use super::judge::{Denial, Judge, Purpose};
use super::needs::needs;
use crate::apis::check::Checked;
use crate::apis::plans;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::value::{self, ValueError};
use wire::walk::{Action, Stop, Value, Visitor, scan, walk_prefix};

/// What is refused of one request is decoded, a value to some hundred bytes. More than this names no honest client.
const MOST_VALUES: usize = 50_000;

/// A request that its identity may make. Only [`permit`] makes one, and only by its rights.
#[derive(Debug)]
pub struct Permitted<'a> {
    request: Checked<'a>,
    body: Cow<'a, [u8]>,
    foreign: HashSet<[u8; 16]>,
    sessions: Option<Arc<str>>,
}

impl<'a> Permitted<'a> {
    /// The request. Of its body, only [`Self::into_body`] may be served.
    pub const fn request(&self) -> Checked<'a> {
        self.request
    }

    /// What of the body is served.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether a topic id was nobody's when the request was decided about, so that it must be nobody's still.
    pub fn is_foreign(&self, id: &[u8; 16]) -> bool {
        self.foreign.contains(id)
    }

    /// To whom fetch sessions belong; `None` where the virtual cluster shares them.
    pub const fn sessions(&self) -> Option<&Arc<str>> {
        self.sessions.as_ref()
    }

    /// The same request with only those of its elements which `keeps` says yes to: less than what is permitted is permitted.
    ///
    /// # Errors
    /// [`Stop::Malformed`]
    pub fn only(&self, keeps: impl FnMut(Role, Value<'_>) -> bool) -> Result<Self, Stop<Infallible>> {
        struct Keeper<F>(F);
        impl<F: FnMut(Role, Value<'_>) -> bool> Visitor for Keeper<F> {
            type Error = Infallible;

            fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
                Ok(if (self.0)(role, value) { Action::Keep } else { Action::Drop })
            }
        }
        let plan = plans::request(self.request.key(), self.request.version());
        let mut segments = Segments::default();
        let _ = walk_prefix(plan, &self.body, &mut Keeper(keeps), &mut segments)?;
        Ok(Self {
            request: self.request,
            body: Cow::Owned(segments.to_vec(&self.body)),
            foreign: self.foreign.clone(),
            sessions: self.sessions.clone(),
        })
    }

    /// What of the body is served, and which ids in it are foreign.
    pub fn into_body(self) -> (Cow<'a, [u8]>, HashSet<[u8; 16]>) {
        (self.body, self.foreign)
    }
}

/// What of a request is refused, element by element.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The request with nothing in its lists but that.
    pub request: Json,
    /// Which rights were missing, up to a bound.
    pub denials: Vec<Denial>,
    /// The client expects no answer.
    pub silent: bool,
    /// The request names nothing else.
    pub alone: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// It goes to the broker, without what is refused of it.
    Serve(Permitted<'a>, Option<Refused>),
    /// All that it names is refused: it is answered here.
    Answer(Refused),
    /// It is refused as a whole.
    Refuse {
        /// Why.
        denial: Denial,
        /// The client expects no answer.
        silent: bool,
    },
    /// What is refused would fall out of the fetch session that is continued: the client has to begin a new one.
    NewFetchSession(Vec<Denial>),
    /// It depends on a topic that is not known: look for it, then decide.
    LookAgain,
    /// More is refused than an honest client names.
    TooMany,
}

/// Decides about a request. With `last_word`, topics that are not known are not there.
///
/// # Errors
/// [`Stop::Malformed`] for a frame that is not what it claims to be.
pub fn permit<'a>(
    checked: Checked<'a>,
    access: &Access<'_>,
    last_word: bool,
) -> Result<Decision<'a>, Stop<Infallible>> {
    let (key, version) = (checked.key(), checked.version());
    let whole = |foreign| Permitted {
        request: checked,
        body: Cow::Borrowed(checked.body()),
        foreign,
        sessions: access.sessions.cloned(),
    };
    if access.is_unrestricted() {
        return Ok(Decision::Serve(whole(HashSet::new()), None));
    }
    let mut judge = Judge::new(key, version, access);
    if key == ApiKey::FindCoordinator {
        judge.coordinator = coordinator(version, checked.body())?;
    }
    let looked = judge.cluster().map_err(Stop::Refused);
    match looked.and_then(|()| scan(plans::request(key, version), checked.body(), &mut judge)) {
        Ok(()) => {}
        Err(Stop::Refused(denial)) => return Ok(Decision::Refuse { denial, silent: judge.silent }),
        Err(Stop::Malformed(malformed)) => return Err(Stop::Malformed(malformed)),
        Err(Stop::Kind(role)) => return Err(Stop::Kind(role)),
        Err(Stop::NothingToDrop) => return Err(Stop::NothingToDrop),
    }
    if !judge.absent_topics_stay_absent() {
        if !last_word {
            return Ok(Decision::LookAgain);
        }
        judge.refuse_absent_topics();
        // A topology is taken as a whole.
        if key == ApiKey::StreamsGroupHeartbeat
            && let Some(denial) = judge.denials.pop()
        {
            return Ok(Decision::Refuse { denial, silent: false });
        }
    }
    if judge.refused == 0 {
        return Ok(Decision::Serve(whole(std::mem::take(&mut judge.foreign)), None));
    }
    if judge.continues {
        return Ok(Decision::NewFetchSession(judge.denials));
    }
    let Some(request) = refused_part(checked, &mut judge)? else { return Ok(Decision::TooMany) };
    let alone = judge.served == 0;
    let refused = Refused { request, denials: std::mem::take(&mut judge.denials), silent: judge.silent, alone };
    // A transaction takes all partitions or none.
    let none = key == ApiKey::AddPartitionsToTxn;
    if none || alone && !needs(key, version).even_empty {
        return Ok(Decision::Answer(refused));
    }
    let body = walked(checked, &mut judge, Purpose::Serve)?;
    let foreign = std::mem::take(&mut judge.foreign);
    Ok(Decision::Serve(Permitted { body: Cow::Owned(body), ..whole(foreign) }, Some(refused)))
}

/// What is refused of a request; `None` where it is too much.
fn refused_part(checked: Checked<'_>, judge: &mut Judge<'_>) -> Result<Option<Json>, Stop<Infallible>> {
    let (key, version) = (checked.key(), checked.version());
    // Every topic of a transaction is told what became of it.
    let body = if key == ApiKey::AddPartitionsToTxn {
        Cow::Borrowed(checked.body())
    } else {
        Cow::Owned(walked(checked, judge, Purpose::Refuse)?)
    };
    match value::decode_at_most(key.request(), version, &body, MOST_VALUES) {
        Ok(request) => Ok(Some(request)),
        Err(ValueError::Malformed(malformed)) => Err(malformed.into()),
        Err(_) => Ok(None),
    }
}

fn walked(checked: Checked<'_>, judge: &mut Judge<'_>, purpose: Purpose) -> Result<Vec<u8>, Stop<Infallible>> {
    let (plan, mut segments) = (plans::request(checked.key(), checked.version()), Segments::default());
    judge.again(purpose);
    match walk_prefix(plan, checked.body(), judge, &mut segments) {
        Ok(_) => Ok(segments.to_vec(checked.body())),
        Err(Stop::Malformed(malformed)) => Err(Stop::Malformed(malformed)),
        Err(Stop::Kind(role)) => Err(Stop::Kind(role)),
        // What is refused as a whole was refused by the first walk.
        Err(Stop::NothingToDrop | Stop::Refused(_)) => Err(Stop::NothingToDrop),
    }
}

/// What kind of coordinator is looked for, which may stand behind the key.
fn coordinator(version: i16, body: &[u8]) -> Result<i32, Stop<Infallible>> {
    struct Kind(i32);
    impl Visitor for Kind {
        type Error = Infallible;

        fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
            if let (Role::CoordinatorType, Value::Int(kind)) = (role, value) {
                self.0 = kind;
            }
            Ok(Action::Keep)
        }
    }
    let mut kind = Kind(0);
    scan(plans::request(ApiKey::FindCoordinator, version), body, &mut kind)?;
    Ok(kind.0)
}
