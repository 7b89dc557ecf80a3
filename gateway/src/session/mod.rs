//! One client connection and its upstream connection.
//!
//! A session authenticates first ([`handshake`]); then requests and answers flow through [`pipeline`], the only place that
//! knows the order of the stages. One task serves both directions, without a lock on the path.

pub mod acls;
mod again;
pub mod attempts;
pub mod audited;
mod awaited;
pub mod certificate;
mod conversation;
pub mod delegated;
mod denied;
pub mod drain;
#[cfg(test)]
mod drain_tests;
mod enforce;
pub mod handshake;
mod joined;
mod leaving;
mod lifetime;
pub mod local;
#[cfg(test)]
mod login_tests;
mod measure;
mod outgoing;
pub mod pipeline;
mod queue;
mod quota_stage;
pub mod quotas;
pub mod refusal;
mod renewal;
mod rights;
#[cfg(test)]
mod rights_tests;
mod room;
pub mod scram;
mod several;
mod store_room;
#[cfg(test)]
mod switch_tests;
#[cfg(test)]
mod tests;
mod throttle;
mod throttle_time;
mod topic_uses;
pub mod usage;

use crate::audit::Audit;
use crate::authn::sasl::Authenticator;
use crate::authn::{Identity, external};
use crate::naming::sessions::FetchSessions;
use crate::naming::topic_ids::TopicIds;
use crate::naming::{Addresses, Tenant};
use crate::nodes::View;
use crate::observe::metrics::{FrameRefusal, Metrics};
use crate::observe::traces::Traces;
use crate::quotas::ledger::{Admitted, TooMany};
use crate::routing::{Dialled, Routes};
use crate::transport::connection::Connection;
use crate::transport::frames;
use crate::upstream::broker::BrokerError;
use crate::upstream::cluster::Active;
use crate::upstream::physical::Physical;
use crate::upstream::security::Link;
use crate::world::World;
use again::Again;
use attempts::Attempts;
use certificate::ByCertificate;
use conversation::Conversation;
use delegated::{Alone, Delegation};
use drain::{Attendance, Drain};
use lifetime::Lifetime;
pub use throttle::Quotas;

use std::borrow::Cow;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A client that is one too many is hung up on after this time.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// What bounds a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests of one connection that wait for their answers.
    pub max_in_flight: usize,
    /// The longest Produce request, as `socket.request.max.bytes` of a broker.
    pub max_produce_bytes: usize,
    /// The longest request of any other API.
    pub max_request_bytes: usize,
    /// The longest answer of a broker.
    pub max_answer_bytes: usize,
    /// Connections of all clients together.
    pub max_connections: usize,
    /// A client is authenticated within this time or disconnected.
    pub handshake: Duration,
    /// A session lasts no longer than this after a login (`connections.max.reauth.ms` of a broker).
    pub max_reauth: Option<Duration>,
}

/// What all sessions at one physical cluster share.
#[derive(Clone)]
pub struct Shared {
    /// The physical cluster.
    pub cluster: Arc<Physical>,
    /// Which cluster serves clients, where there are several: sessions at another one end.
    pub active: Option<watch::Receiver<Arc<Active>>>,
    /// What topic ids stand for at each of those clusters; empty where there is one.
    pub topic_ids: Arc<[Arc<TopicIds>]>,
    /// Who there is, and which virtual clusters.
    pub world: watch::Receiver<Arc<World>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Where some requests are told of.
    pub traces: Option<Arc<Traces>>,
    /// The logins that failed of late.
    pub attempts: Arc<Attempts>,
    /// What is worth knowing afterwards.
    pub audit: Audit,
    /// The bounds.
    pub limits: Limits,
    /// What each broker answered to ApiVersions.
    pub api_versions: Arc<local::ApiVersionsCache>,
    /// The fetch sessions of all virtual clusters.
    pub fetch_sessions: Arc<FetchSessions>,
    /// What clients took of what they may.
    pub quotas: Arc<Quotas>,
    /// Where the rules are kept that clients make.
    pub acls: Arc<dyn acls::AclKeeper>,
    /// Where the quotas are kept that clients set.
    pub quota_keeper: Arc<dyn quotas::QuotaKeeper>,
    /// Whether sessions shall end.
    pub drain: Arc<Drain>,
}

impl Shared {
    /// The same at another physical cluster: what brokers said, and what they issued, holds at their own cluster only.
    #[must_use]
    pub fn at(&self, cluster: &Arc<Physical>) -> Self {
        let cluster = Arc::clone(cluster);
        Self { cluster, api_versions: Arc::default(), fetch_sessions: Arc::default(), ..self.clone() }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One listener, as the sessions of its clients see it.
#[derive(Debug)]
pub struct Listener {
    /// Its name in settings, logs and metrics.
    pub name: Arc<str>,
    /// How its clients say who they are.
    pub login: Login,
    /// The addresses of this node.
    pub routes: Routes,
    /// The other nodes, where clients are sent to them.
    pub nodes: Option<watch::Receiver<Arc<View>>>,
}

/// How clients say who they are.
#[derive(Debug)]
pub enum Login {
    /// Not at all: all of them belong to this virtual cluster.
    Anonymous(Arc<str>),
    /// By the certificate that they have shown in the TLS handshake.
    Certificate(ByCertificate),
    /// By SASL, and the gateway decides. Certificates make no difference.
    Sasl(Arc<Authenticator>),
    /// By SASL, and Kafka decides.
    Delegated(Delegation),
}

/// The addresses of a listener for one virtual cluster.
struct TenantAddresses {
    listener: Arc<Listener>,
    virtual_cluster: Arc<str>,
}

impl Addresses for TenantAddresses {
    fn of(&self, id: i32) -> Option<(Cow<'_, str>, u16)> {
        let Listener { name, routes, nodes, .. } = &*self.listener;
        if let Some(nodes) = nodes
            && let Some((host, port)) = nodes.borrow().elsewhere(name, &self.virtual_cluster, id)
        {
            return Some((host.into(), port));
        }
        routes.address(&self.virtual_cluster, id)
    }

    fn departure(&self) -> Option<NonZeroU32> {
        self.listener.nodes.as_ref()?.borrow().departure()
    }
}

/// Why a session ended other than by the client's leave.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client's connection broke, or it sent nothing in time.
    #[error("client: {0}")]
    Client(#[source] io::Error),
    /// The client and the gateway did not agree on TLS.
    #[error("client: TLS: {0}")]
    Tls(#[source] io::Error),
    /// A frame was not served; the connection was closed on it.
    #[error("client: frame refused ({reason:?}): {detail}")]
    Frame {
        /// The counter's label.
        reason: FrameRefusal,
        /// What was wrong with it.
        detail: String,
    },
    /// The client could not prove who it is.
    #[error("client: {0}")]
    Authentication(String),
    /// A broker could not be reached.
    #[error("upstream: {0}")]
    Broker(#[from] BrokerError),
    /// The broker's connection broke.
    #[error("upstream: {0}")]
    Upstream(#[source] io::Error),
    /// The broker's answer can't be sent on.
    #[error("upstream: answer withheld: {0}")]
    Answer(String),
    /// The identity or its virtual cluster is gone, or its credentials expired.
    #[error("gateway: {0}")]
    Ended(&'static str),
    /// The client did not log in again in time (KIP-368).
    #[error("gateway: the session has outlived its credentials, and the client did not log in again")]
    Expired,
    /// One connection more than a quota allows.
    #[error("gateway: {0}")]
    TooMany(#[from] TooMany),
    /// The gateway could not make an answer.
    #[error("gateway: {0}")]
    Gateway(String),
}

/// Serves one connection to its end. `dialled` is what the address stands for; by `attendance` its task is woken when sessions
/// shall end.
///
/// # Errors
/// [`SessionError`]; the connection is closed in any case.
pub async fn serve(
    client: Connection,
    dialled: Dialled,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
    attendance: &Attendance<'_>,
) -> Result<(), SessionError> {
    // What changes from here on, also while the client logs in, ends the session.
    let world = shared.world.borrow().clone();
    let mut reader = frames::FrameReader::default();
    // Boxed, so that an idle session keeps no room for it.
    let entering = Box::pin(attendance.until_known(enter(&client, &mut reader, &dialled, &listener, &shared)));
    let entered = match entering.await.unwrap_or(Ok(None)) {
        Ok(Some(entered)) => entered,
        Ok(None) => return Ok(()),
        Err(e) => {
            audited::frame_refused(&e, &client).into_iter().for_each(|event| shared.audit.record(event));
            return Err(e);
        }
    };
    let Entered { identity, left, conversation, link } = entered;
    if !dialled.serves(&identity.virtual_cluster) {
        return Err(SessionError::Authentication("the address belongs to another virtual cluster".to_owned()));
    }
    let admitted = admitted(&shared, &world, &identity).await;
    let _counted = admitted.inspect_err(|e| shared.audit.record(audited::too_many(e, &client).by(&identity)))?;
    let tenant = tenant(&shared, &listener, &world, &identity);
    let tenant = tenant.ok_or(SessionError::Ended("the virtual cluster is gone"))?;
    let open = shared.metrics.tenant_connection_opened(&identity.virtual_cluster);
    let told = (&client, dialled.broker, &*listener.name);
    audited::connection(&shared.metrics.stream, told, &identity, None);
    let lifetime = Lifetime::new(left);
    let again = Again::new(conversation, &lifetime);
    let kafka_authorizes = matches!(&listener.login, Login::Delegated(delegation) if delegation.kafka_authorizes);
    let tenant = Arc::new(tenant);
    let entry = pipeline::Entry { identity: &identity, tenant, again, link, kafka_authorizes };
    let ended = tokio::select! {
        done = pipeline::run(&client, reader, dialled.broker, &shared, open.metrics(), entry) => done,
        reason = ended(&shared, &listener, &world, &identity) => Err(SessionError::Ended(reason)),
        () = lifetime.closed() => Err(SessionError::Expired),
    };
    audited::connection(&shared.metrics.stream, told, &identity, Some(ended.as_ref().err()));
    if let Err(e) = &ended {
        audited::session_ended(e, &client).into_iter().for_each(|event| shared.audit.record(event.by(&identity)));
    }
    if ended.is_ok() && (shared.drain.has_begun() || leaving::is_due(&shared)) {
        Box::pin(drain::hang_up(&client)).await;
    }
    ended
}

/// Counts a client that has logged in, unless a quota allows no more. It is hung up on as brokers do beyond their limits, but not
/// at once: clients come back at once.
async fn admitted(shared: &Shared, world: &World, identity: &Identity) -> Result<Admitted, TooMany> {
    let cluster = world.virtual_cluster(&identity.virtual_cluster);
    let rules = cluster.and_then(|cluster| cluster.quotas.as_deref());
    let admitted = shared.quotas.ledger.admit(&identity.virtual_cluster, &identity.username, rules);
    if admitted.is_err() {
        shared.metrics.quota_refused(&identity.virtual_cluster);
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
    admitted
}

/// A client that is known.
struct Entered<'a> {
    identity: Identity,
    /// How long its session may last.
    left: Option<Duration>,
    /// How it logs in again.
    conversation: Option<Conversation<'a>>,
    /// The connection on which Kafka itself has let it in.
    link: Option<Link>,
}

/// Finds out who a client is; `None` where it left before.
async fn enter<'a>(
    client: &'a Connection,
    reader: &mut frames::FrameReader,
    dialled: &'a Dialled,
    listener: &'a Listener,
    shared: &'a Shared,
) -> Result<Option<Entered<'a>>, SessionError> {
    let identity = match &listener.login {
        Login::Anonymous(virtual_cluster) => handshake::anonymous(virtual_cluster),
        Login::Certificate(certificates) => certificate::identity(client, dialled, certificates, shared)?,
        Login::Sasl(_) | Login::Delegated(_) => {
            let Some(mut conversation) = Conversation::new(client, dialled, &listener.login, shared) else {
                return Ok(None);
            };
            let mut kafka = Alone::new(shared, dialled.broker);
            let greeting =
                handshake::authenticate(client, reader, &mut conversation, &mut kafka, dialled.broker, shared);
            let greeted = tokio::time::timeout(shared.limits.handshake, greeting).await;
            let known = greeted.unwrap_or_else(|_| Err(SessionError::Client(io::ErrorKind::TimedOut.into())))?;
            let Some(known) = known else { return Ok(None) };
            conversation.settle(known.clone());
            let (identity, left, link) = (known.identity, known.left, kafka.into_link());
            return Ok(Some(Entered { identity, left, conversation: Some(conversation), link }));
        }
    };
    let left = lifetime::of(&identity, None);
    Ok(Some(Entered { identity, left, conversation: None, link: None }))
}

fn tenant(shared: &Shared, listener: &Arc<Listener>, world: &World, identity: &Identity) -> Option<Tenant> {
    let virtual_cluster = world.virtual_cluster(&identity.virtual_cluster)?;
    let prefixes = || world.virtual_clusters().map(|v| v.prefix.as_deref().unwrap_or_default());
    shared.fetch_sessions.retain(prefixes().count(), |owner| prefixes().any(|prefix| prefix == owner));
    Some(Tenant {
        namespace: virtual_cluster.namespace.clone(),
        cluster_id: virtual_cluster.cluster_id.as_str().into(),
        topic_ids: shared.cluster.topic_ids.clone(),
        addresses: Arc::new(TenantAddresses {
            listener: Arc::clone(listener),
            virtual_cluster: Arc::clone(&identity.virtual_cluster),
        }),
        fetch_sessions: shared.fetch_sessions.clone(),
    })
}

/// Returns when the identity may no longer be served as it was in `before`, and why.
async fn ended(shared: &Shared, listener: &Listener, before: &World, identity: &Identity) -> &'static str {
    let prefix = |world: &World| world.virtual_cluster(&identity.virtual_cluster).map(|v| v.prefix.clone());
    let account = |world: &World| external::basis(world, identity);
    // Nobody has an account who was not asked who it is, whatever it is called.
    let has_account = !matches!(listener.login, Login::Anonymous(_));
    let mut world = shared.world.clone();
    loop {
        let now = world.borrow_and_update().clone();
        if prefix(&now) != prefix(before) {
            return "the virtual cluster was removed or changed";
        }
        if has_account && account(&now) != account(before) {
            return "the service account was removed or changed";
        }
        let declared = |provider: &Arc<_>| now.identity_providers().values().any(|known| *known == **provider);
        if identity.provider.as_ref().is_some_and(|provider| !declared(provider)) {
            return "the identity provider was removed or changed";
        }
        if world.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
