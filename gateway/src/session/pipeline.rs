//! THE ORDER of the stages.
//!
//! ```text
//! request  frame → quotas → check → permit → naming → upstream::send
//! answer   frame ← quotas ← merge of what was refused ← naming ← upstream, in the order of the requests
//! ```
//!
//! Each request leaves an [`Exchange`] in one bounded queue before it is sent; the answering side takes them out in order.
//! A client that does not read its answers fills the queue, and then nothing more is read from it.

use super::again::{Again, Among};
use super::awaited::{answer_of, answer_unless_leaving, nothing_yet};
use super::conversation::{Then, Turn};
use super::delegated::Alone;
use super::enforce::{self, Ruling};
use super::measure::{Begun, Made, Sent, named};
use super::outgoing::{self, Reading};
use super::queue::{Awaited, Exchange, Held, Queue};
use super::refusal::{refused, unserved};
use super::rights::Rights;
use super::room;
use super::throttle::{self, Charges, Muted, Owed};
use super::{SessionError, Shared, acls, audited, leaving, local, renewal, scram, several, topic_uses};
use crate::apis::check::{Checked, Unserved, check};
use crate::apis::{Verdict, row};
use crate::audit::caller;
use crate::audit::event::{Action, Event, Origin};
use crate::authn::Identity;
use crate::authz::Requester;
use crate::naming::request::{self, Asked, Refusal};
use crate::naming::{Tenant, twins};
use crate::observe::brokers::OpenBrokerConnection;
use crate::observe::metrics::FrameRefusal;
use crate::observe::tenants::TenantMetrics;
use crate::transport::connection::Connection;
use crate::transport::frames::{FrameError, FrameReader};
use crate::upstream::broker;
use crate::upstream::security::{Link, Renewal};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, error::TryRecvError};
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::Stop;

/// After the client's last request, its answers may take this long.
const DRAIN: Duration = Duration::from_secs(30);
/// Buffers for rewritten pieces keep this much between frames.
pub(super) const SCRATCH: usize = 4 << 10;

/// What becomes of a frame.
enum Course<'f> {
    /// It is answered here.
    Answer(Vec<u8>),
    /// It goes to the broker.
    Forward(Checked<'f>),
    /// The client logs in again.
    Login(Checked<'f>),
}

/// With what a client that has logged in comes in.
pub(super) struct Entry<'a> {
    /// Who it is.
    pub(super) identity: &'a Identity,
    /// Of which virtual cluster.
    pub(super) tenant: Arc<Tenant>,
    /// Its further logins.
    pub(super) again: Again<'a>,
    /// The connection on which Kafka itself has let it in.
    pub(super) link: Option<Link>,
    /// Whether Kafka's rules are the only ones.
    pub(super) kafka_authorizes: bool,
}

/// The two ends, and who the client is.
pub(super) struct Session<'a> {
    pub(super) client: &'a Connection,
    pub(super) broker: i32,
    pub(super) shared: &'a Shared,
    pub(super) identity: &'a Identity,
    /// The names that it began with.
    pub(super) tenant: Arc<Tenant>,
    pub(super) metrics: &'a TenantMetrics,
    /// The counters of the broker, once there is one.
    pub(super) upstream: Option<OpenBrokerConnection>,
    pub(super) muted: Muted,
    kafka_authorizes: bool,
    /// Whether the client is about to log in again.
    login: AtomicBool,
    /// Why it was not let in again.
    refused: OnceLock<String>,
}

/// Serves an authenticated client to the end of its connection.
///
/// # Errors
/// [`SessionError`]
pub(super) async fn run(
    client: &Connection,
    mut reader: FrameReader,
    broker: i32,
    shared: &Shared,
    metrics: &TenantMetrics,
    entry: Entry<'_>,
) -> Result<(), SessionError> {
    let Entry { identity, tenant, mut again, link, kafka_authorizes } = entry;
    let (login, refused) = (AtomicBool::new(false), OnceLock::new());
    let (muted, upstream) = (Muted::default(), None);
    let mut session = Session {
        client,
        broker,
        shared,
        identity,
        tenant,
        metrics,
        upstream,
        muted,
        kafka_authorizes,
        login,
        refused,
    };
    let (mut rights, mut charges) = (session.rights(), Charges::default());
    let link = match link {
        Some(link) => link,
        None => {
            if !session.without_broker(&mut reader, &mut rights, &mut charges, &mut again).await? {
                return Ok(());
            }
            let connected = shared.cluster.connect(broker).await;
            connected.inspect_err(|_| shared.metrics.upstream_connection_failed(broker))?
        }
    };
    let (id, upstream, renewal) = (link.broker, link.connection, link.renewal);
    let dialled = std::mem::replace(&mut session.broker, id);
    session.upstream = Some(shared.metrics.upstream_connected(id));
    let (queue, exchanges) = Queue::new(shared.limits.max_in_flight);
    tokio::select! {
        done = requests(&session, &upstream, reader, (rights, charges), queue, renewal, again) => done,
        done = answers(&session, &upstream, exchanges) => match session.refused.get() {
            Some(reason) => Err(SessionError::Authentication(reason.clone())),
            None => done,
        },
        () = shared.cluster.returned(dialled), if dialled != id => {
            Err(SessionError::Ended("the broker that the address stands for is back; another one stood in for it"))
        }
    }
}

/// Client → broker.
async fn requests(
    session: &Session<'_>,
    upstream: &Connection,
    mut reader: FrameReader,
    (mut rights, mut charges): (Rights, Charges),
    queue: Queue,
    mut renewal: Option<Renewal>,
    mut again: Again<'_>,
) -> Result<(), SessionError> {
    let (mut segments, mut memory) = (Segments::default(), request::Memory::default());
    let (mut leave, mut drain) = (leaving::leave(session.shared), DRAIN);
    loop {
        let range = tokio::select! {
            biased;
            () = leaving::due(&mut leave) => {
                Box::pin(session.farewell(&mut reader, &queue)).await?;
                drain = leaving::PATIENCE;
                break;
            }
            () = renewal::due(renewal.as_ref()) => {
                Box::pin(renewal::renew(renewal.as_mut(), upstream, &queue, &session.shared.metrics)).await?;
                continue;
            }
            range = session.next(&mut reader) => range?,
        };
        let Some(range) = range else { break };
        if renewal.as_mut().is_some_and(Renewal::is_due_for_use) {
            Box::pin(renewal::renew(renewal.as_mut(), upstream, &queue, &session.shared.metrics)).await?;
        }
        let owed = session.admit(reader.bytes_mut(range.clone()), &mut charges, &mut rights).await;
        let frame = reader.bytes(range.clone());
        let begun = session.begin(frame);
        match session.course(frame, &mut rights, &again).await? {
            Course::Answer(answer) => {
                let answer = throttle::told(frame, answer, owed.as_deref(), session.meter());
                queue.put(Made::exchange(answer, begun)).await?;
            }
            Course::Login(checked) => {
                session.login.store(true, Ordering::Relaxed);
                let mut kafka = Among { upstream, queue: &queue };
                let Turn { frame, then } = Box::pin(again.answer(&checked, &mut kafka)).await?;
                queue.put(Made::exchange(frame, begun)).await?;
                session.login.store(false, Ordering::Relaxed);
                if let Then::Close(reason) = then {
                    // What was asked before is answered, and then this, and nothing after it.
                    let _ = session.refused.set(reason);
                    break;
                }
            }
            Course::Forward(checked) if leaving::are_stale(session.shared, rights.tenant(), &checked) => {
                session.shared.metrics.upstreams.session_left();
                break;
            }
            Course::Forward(checked) => {
                let kafka = Among { upstream, queue: &queue };
                forward(session, &kafka, (checked, begun, owed), &mut rights, &mut memory, &mut segments).await?;
            }
        }
        reader.consume(&range);
        segments.clear(SCRATCH);
    }
    drop(queue);
    // The answers that are still to come go out before the connection ends, unless the broker holds them for long.
    tokio::time::sleep(drain).await;
    Ok(())
}

async fn forward(
    session: &Session<'_>,
    Among { upstream, queue }: &Among<'_>,
    (checked, begun, mut owed): (Checked<'_>, Begun, Option<Box<Owed>>),
    rights: &mut Rights,
    memory: &mut request::Memory,
    segments: &mut Segments,
) -> Result<(), SessionError> {
    let (key, version, correlation_id) = (checked.key(), checked.version(), checked.header().correlation_id);
    let Some((less, more)) = session.within_room(&checked, begun, rights, queue).await? else { return Ok(()) };
    let checked = less.as_deref().map_or(Ok(checked), room::reworded)?;
    let mut last_word = false;
    let refusal = loop {
        segments.clear(SCRATCH);
        // Decided anew after each look: an id that was nobody's may have become a topic's.
        let tell = |action| session.record(action);
        let tenant = Arc::clone(rights.tenant());
        let (permitted, apart) = match enforce::rule(checked, rights, &tenant, session.shared, last_word, &tell)? {
            Ruling::Serve(permitted, apart) => {
                topic_uses::tell(&permitted, &tenant, session.shared.audit.watched(), &tell);
                (permitted, apart)
            }
            Ruling::Answer(answer) => {
                session.metrics.request_refused(begun.api);
                return queue.put(Made::exchange(answer, begun)).await;
            }
            Ruling::LookAgain => {
                let _ = session.shared.cluster.refresh().await;
                last_word = true;
                continue;
            }
        };
        let apart = room::together(key, version, apart, more.clone())?;
        let silent = apart.as_ref().is_some_and(|apart| apart.silent);
        let then = matches!(key, ApiKey::Fetch | ApiKey::ShareFetch).then(|| rights.authorizer().clone());
        let (asked, more, owed_now, sent) = (Asked::default(), false, owed.take(), Sent { begun, at: Instant::now() });
        let mut awaited =
            Awaited { key, version, correlation_id, asked, apart, then, owed: owed_now, tenant, more, sent };
        let sent = if twins::concerns(&awaited.tenant.namespace) {
            Box::pin(several::send(session, upstream, permitted, &mut awaited, last_word, memory, queue)).await?
        } else {
            match request::map(permitted, &awaited.tenant, session.broker, last_word, memory, segments) {
                Ok((physical, asked)) => {
                    awaited.asked = asked;
                    queue.put(Exchange::Upstream(Box::new(awaited))).await?;
                    session.sent(broker::send(upstream, &physical).await.map_err(SessionError::Upstream)?);
                    return ended(silent);
                }
                Err(stop) => Err(unsent(key, version, stop)?),
            }
        };
        owed = awaited.owed;
        match sent {
            Ok(()) => return ended(silent),
            Err(Refusal::UnknownTopicId) if !last_word => {
                // Without a broker to ask, the id stays unknown.
                let _ = session.shared.cluster.refresh().await;
                last_word = true;
            }
            Err(refusal) => break refusal,
        }
    };
    queue.put(Made::exchange(session.turned_down(&refusal, &checked)?, begun)).await
}

/// What becomes of a connection behind a request that was sent.
const fn ended(silent: bool) -> Result<(), SessionError> {
    if silent { Err(SessionError::Ended(enforce::SILENT)) } else { Ok(()) }
}

/// Why a request was not sent, unless its frame is not what it claims to be.
pub(super) fn unsent(key: ApiKey, version: i16, stop: Stop<Refusal>) -> Result<Refusal, SessionError> {
    match stop {
        Stop::Refused(refusal) => Ok(refusal),
        other => {
            Err(SessionError::Frame { reason: FrameRefusal::Malformed, detail: format!("{key:?} {version}: {other}") })
        }
    }
}

/// Broker → client.
async fn answers(
    session: &Session<'_>,
    upstream: &Connection,
    mut exchanges: mpsc::Receiver<Held>,
) -> Result<(), SessionError> {
    let mut reader = FrameReader::default();
    let (mut segments, mut reading) = (Segments::default(), Reading::new(session.rights()));
    // So many answers of the broker are still to come to what was answered without it.
    let (mut unread, mut free) = (0, Instant::now());
    loop {
        let exchange = if unread > 0 {
            exchanges.recv().await
        } else if reader.buffered() == 0 {
            tokio::select! {
                biased;
                exchange = exchanges.recv() => exchange,
                // Nothing is asked for: the end of the connection, unless a request is queued and answered this very moment.
                filled = reader.fill(upstream) => match filled {
                    // A broker hangs up on whom it does not let in again; the client is told so before it is, too.
                    Ok(0) | Err(_) if session.login.load(Ordering::Relaxed) => exchanges.recv().await,
                    Ok(0) => return Err(SessionError::Upstream(std::io::ErrorKind::ConnectionReset.into())),
                    Ok(_) => continue,
                    Err(e) => return Err(SessionError::Upstream(e)),
                },
            }
        } else {
            // A request is queued before it is sent, so that what answers one finds it here.
            match exchanges.try_recv() {
                Err(TryRecvError::Empty) => return Err(SessionError::Answer("nothing was asked for".to_owned())),
                Err(TryRecvError::Disconnected) => None,
                Ok(exchange) => Some(exchange),
            }
        };
        let Some((exchange, _room)) = exchange else { return Ok(()) };
        match exchange {
            Exchange::Local(made) => session.answer(&made).await?,
            Exchange::Upstream(awaited) if awaited.asked.silent => {}
            Exchange::Own(key, version, waiting) => {
                let range = answer_of(session, upstream, &mut reader, &mut unread).await?;
                renewal::hand_over(key, version, reader.bytes(range.clone()), waiting)?;
                reader.consume(&range);
            }
            Exchange::Upstream(awaited) => {
                let Some(range) = answer_unless_leaving(session, upstream, &mut reader, &mut unread, &awaited).await?
                else {
                    reading.forget_parts();
                    // Of several parts, the last one is answered.
                    if !awaited.more {
                        session.answer(&nothing_yet(&awaited)?).await?;
                    }
                    unread += 1;
                    continue;
                };
                let arrived = (reader.bytes(range.clone()), free);
                outgoing::send_back(session, &awaited, arrived, &mut reading, &mut segments).await?;
                reader.consume(&range);
                segments.clear(SCRATCH);
            }
        }
        free = Instant::now();
    }
}

impl Session<'_> {
    /// The rights of the client as they are now. Each side has its own, so that none waits for the other.
    fn rights(&self) -> Rights {
        let rights =
            Rights::new(self.shared.world.clone(), self.identity, self.client.remote().ip(), Arc::clone(&self.tenant));
        if self.kafka_authorizes { rights.left_to_kafka() } else { rights }
    }

    /// Serves what needs no broker: a client that only asks for versions, or logs in again before it asks for anything. Returns
    /// whether the next request needs one; it stays in the reader.
    async fn without_broker(
        &self,
        reader: &mut FrameReader,
        rights: &mut Rights,
        charges: &mut Charges,
        again: &mut Again<'_>,
    ) -> Result<bool, SessionError> {
        let mut leave = leaving::leave(self.shared);
        loop {
            let next = tokio::select! {
                biased;
                () = leaving::due(&mut leave) => return Ok(false),
                next = self.next(reader) => next?,
            };
            let Some(range) = next else { return Ok(false) };
            let owed = self.admit(reader.bytes_mut(range.clone()), charges, rights).await;
            let frame = reader.bytes(range.clone());
            match self.course(frame, rights, again).await? {
                Course::Forward(_) => {
                    charges.is_written();
                    return Ok(true);
                }
                Course::Answer(answer) => {
                    let answer = throttle::told(frame, answer, owed.as_deref(), self.meter());
                    self.answer(&Made { frame: answer, to: self.begin(frame) }).await?;
                }
                Course::Login(checked) => {
                    let mut kafka = Alone::new(self.shared, self.broker);
                    let to = self.begin(frame);
                    let Turn { frame, then } = Box::pin(again.answer(&checked, &mut kafka)).await?;
                    self.answer(&Made { frame, to }).await?;
                    if let Then::Close(reason) = then {
                        return Err(SessionError::Authentication(reason));
                    }
                }
            }
            reader.consume(&range);
        }
    }

    pub(super) async fn next(&self, reader: &mut FrameReader) -> Result<Option<std::ops::Range<usize>>, SessionError> {
        let limits = self.shared.limits;
        let most =
            |key| if key == ApiKey::Produce.code() { limits.max_produce_bytes } else { limits.max_request_bytes };
        let read = if self.shared.drain.has_begun() {
            // What has arrived is served, and nothing more.
            reader.arrived(most)
        } else {
            // An answer may mute the client while it is read from: the frame stays in the reader then.
            let mut next = pin!(async {
                self.muted.over(&self.shared.quotas).await;
                let read = reader.next(self.client, most).await;
                self.muted.over(&self.shared.quotas).await;
                read
            });
            poll_fn(|cx| match next.as_mut().poll(cx) {
                Poll::Pending if self.shared.drain.has_begun() => Poll::Ready(Ok(None)),
                read => read,
            })
            .await
        };
        match read {
            Ok(range) => Ok(range),
            Err(FrameError::Io(e)) => Err(SessionError::Client(e)),
            Err(e @ FrameError::TooLong { .. }) => {
                Err(SessionError::Frame { reason: FrameRefusal::Oversized, detail: e.to_string() })
            }
        }
    }

    /// Whether a frame is answered here or goes to the broker.
    async fn course<'f>(
        &self,
        frame: &'f [u8],
        rights: &mut Rights,
        again: &Again<'_>,
    ) -> Result<Course<'f>, SessionError> {
        let checked = match check(frame) {
            Ok(checked) => checked,
            Err(Unserved::Version { key: ApiKey::ApiVersions, correlation_id, .. }) => {
                let answer = local::api_versions_fallback(correlation_id, self.broker, self.shared).await;
                return answer.map(Course::Answer);
            }
            Err(not) => return self.refuse(&not, frame).map(Course::Answer),
        };
        again.may_serve(checked.key())?;
        rights.renew();
        if row(checked.key()).verdict != Verdict::Own {
            return Ok(Course::Forward(checked));
        }
        let tell = |action| self.record(action);
        let tenant = Arc::clone(rights.tenant());
        if let Ruling::Answer(answer) = enforce::rule(checked, rights, &tenant, self.shared, true, &tell)? {
            self.metrics.request_refused(Some(checked.key()));
            // Rules have answers of their own for those who may not see them.
            if !matches!(checked.key(), ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls) {
                return Ok(Course::Answer(answer));
            }
        }
        let answer = match checked.key() {
            ApiKey::ApiVersions => local::api_versions(&checked, self.broker, self.shared).await,
            ApiKey::DescribeClientQuotas | ApiKey::AlterClientQuotas => self.quotas(&checked).await,
            ApiKey::DescribeUserScramCredentials => {
                let world = self.shared.world.borrow().clone();
                scram::describe(&checked, &world, &self.identity.virtual_cluster)
            }
            ApiKey::DescribeAcls | ApiKey::CreateAcls | ApiKey::DeleteAcls => self.acls(&checked).await,
            _ => return Ok(Course::Login(checked)),
        };
        answer.map(Course::Answer)
    }

    /// By the rules of this moment, as every decision.
    async fn acls(&self, checked: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
        if self.kafka_authorizes {
            return acls::left_to_kafka(checked);
        }
        let world = self.shared.world.borrow().clone();
        let cluster = world.virtual_cluster(&self.identity.virtual_cluster);
        let cluster = cluster.ok_or(SessionError::Ended("the virtual cluster is gone"))?;
        let principal = format!("User:{}", self.identity.username);
        let who = Requester { principal: &principal, host: self.client.remote().ip() };
        let answer = acls::answer(checked, &who, cluster, &self.shared.acls);
        caller::on_behalf(self.origin(), answer).await
    }

    fn refuse(&self, not: &Unserved, frame: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.metrics.request_refused(named(frame).0);
        let reason = match not {
            Unserved::Malformed(_) => FrameRefusal::Malformed,
            Unserved::UnknownKey(_) | Unserved::Denied { .. } => FrameRefusal::UnknownApi,
            Unserved::Version { .. } => FrameRefusal::UnknownVersion,
        };
        let Some(answer) = unserved(not, frame) else {
            return Err(SessionError::Frame { reason, detail: not.to_string() });
        };
        self.record(audited::unserved(not));
        self.shared.metrics.frame_refused(reason);
        Ok(answer)
    }

    /// The answer to a request that cannot be sent.
    fn turned_down(&self, refusal: &Refusal, checked: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
        let (key, version, correlation_id) = (checked.key(), checked.version(), checked.header().correlation_id);
        self.record(Action::RequestRefused { api: key.name().into(), reason: refusal.to_string().into() });
        self.metrics.request_refused(Some(key));
        refused(refusal, key, version, correlation_id, checked.body())
    }

    /// Records what this client did.
    pub(super) fn record(&self, action: Action) {
        if let Action::AuthorizationDenied { resource_type, .. } = &action {
            self.metrics.denied(resource_type.as_str());
        }
        let origin = self.origin();
        self.shared.audit.record(Event::new(action).from_where(origin));
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::of(self.identity, audited::ends(self.client))
    }
}
