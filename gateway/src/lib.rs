//! The gateway: Kafka's protocol in, Kafka's protocol out, and virtual clusters in between.
//!
//! Settings come in by `config`; `admin` takes declarations, keeps them in `store` and publishes the `world` that they
//! make; `authn` says who a client is; `observe` counts. A module imports lower ranks only (ARCHITECTURE.md).

pub mod admin;
pub mod apis;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod certs;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod failover;
pub mod leaving;
pub mod listeners;
pub mod material;
pub mod naming;
pub mod nodes;
pub mod observe;
pub mod quotas;
pub mod reload;
pub mod routing;
pub mod session;
pub mod store;
pub mod transport;
pub mod upstream;
pub mod world;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use admin::pclusters::PClusters;
use admin::{Admin, AdminSettings, ClientAccess, Keep, Reports};
use audit::event::{Action, Event};
use audit::recorder::Recorder;
use audit::sinks::SinkError;
use audit::{Audit, Watched};
use authn::oauth::OAuth;
use authn::oauth::declared::DeclaredProviders;
use authn::oauth::provider::{self, CaFileError, Provider};
use authn::principal::PrincipalRules;
use authn::sasl::Authenticator;
use authn::tokens::TokenKey;
use config::tls::ClientAuth;
use config::{Config, HostPort, State};
use contract::resources::PASSTHROUGH;
use crypto::sealed::SealingKeys;
use failover::{Followers, StateAt};
use leaving::Signals;
use listeners::{ListenError, Listeners};
use material::{Material, MaterialError};
use naming::topic_ids::TopicIds;
use nodes::{Members, View};
use observe::health::{Health, Part};
use observe::logs;
use observe::metrics::Metrics;
use observe::stream;
use observe::traces::{self, Traces, TracesError};
use reload::Settings;
use routing::Routes;
use session::certificate::ByCertificate;
use session::delegated::Delegation;
use session::{Limits, Listener, Login, Shared};
use store::folder::Folder;
use store::topic::StateLog;
use transport::tls::server::ServerTls;
use upstream::cluster::Cluster;
use upstream::security::SecurityError;
use world::World;

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen { address: String, purpose: &'static str, source: std::io::Error },
    #[error(transparent)]
    Clients(#[from] ListenError),
    #[error(transparent)]
    Upstream(#[from] SecurityError),
    #[error("the admin API ended: {0}")]
    Admin(std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    #[error("cannot keep the audit: {0}")]
    Audit(#[from] SinkError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// No answer of a broker is longer: `fetch.max.bytes` of a client is 50 MiB unless it raises it.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// No token that is passed on is longer, where the settings say nothing: twice what web servers take as headers.
const LONGEST_TOKEN: usize = 32 << 10;
/// Requests other than Produce hold names and numbers, not records.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Requests to the admin API that are under way at the end may take this long.
const ADMIN_PATIENCE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`]
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let config = settings.begun().clone();
    let (sender, world) = watch::channel(Arc::new(World::empty()));
    let (health, metrics) = (Arc::<Health>::default(), Arc::<Metrics>::default());
    let Material { servers, admin: admin_tls, principals, sealing } = Material::read(&config)?;
    let authenticator = authenticator(&config)?;
    let cluster = Arc::new(cluster(&config)?);
    let (audit, recorder) = audit_of(&config, &cluster, &metrics).await?;
    let admin = admin_of(
        &config,
        sender,
        &cluster,
        &authenticator,
        reports(&config, &health, &metrics, &audit),
        sealing.clone(),
    );
    let admin_listener = listen(&config.admin.bind_host, config.admin.port, "the admin API").await?;
    let members = Members::new(&config.nodes, &config.clients.listeners, &machine(), &name_of(&config));
    let (listeners, bootstrap) = client_listeners(&config, &authenticator, &servers, &principals, &members).await?;
    let shared = Arc::new(shared_of(&config, &cluster, world, metrics, audit, &admin)?);
    let (told, metrics) = (certificates_reloaded(shared.audit.clone()), Arc::clone(&shared.metrics));
    let shown = servers.into_iter().flatten().chain(admin_tls.clone());
    let certificates =
        transport::tls::reload::watch(shown, config.tls.update_every, Arc::clone(&health), metrics, told);
    let follow_provider = follow_provider(&config, &authenticator, &shared.metrics)?;
    let signals = Signals::new().map_err(RunError::Signals)?;
    let (stop_admin, admin_stops) = oneshot::channel::<()>();
    let present = Arc::new(watch::Sender::new(Arc::clone(&shared)));
    let followers = followers(&config, &cluster, &present, &admin, sealing.clone());
    let (drain, audit) = (watch::Sender::new(config.nodes.drain), shared.audit.clone());
    let settings = settings.follow(&health, &audit, async |config| apply(&config, &admin, &present, &drain).await);
    let upstreams = failover::watch_upstreams(Arc::clone(&cluster), Arc::clone(&health), Arc::clone(&shared.metrics));
    let clients = async {
        tokio::select! {
            () = serve_clients(&admin, &health, followers, listeners, bootstrap) => {}
            () = signals.leave(&members, &health, &shared.drain, || *drain.borrow()) => {}
        }
        // It tells how things are until the last client has gone.
        drop(stop_admin);
        tokio::time::sleep(ADMIN_PATIENCE).await;
    };
    let admin_stops = async { drop(admin_stops.await) };
    recorder
        .during(async {
            tokio::select! {
                () = clients => Ok(()),
                () = admin.follow() => Ok(()),
                () = count(shared.world.clone(), (&config.nodes.cluster_id, members.view()), Arc::clone(&shared.metrics)) => Ok(()),
                () = members.run(&cluster) => Ok(()),
                () = session::usage::divide(&shared, &members) => Ok(()),
                () = session::usage::look(&shared) => Ok(()),
                () = upstreams => Ok(()),
                ended = settings => ended.map_err(RunError::Signals),
                ended = certificates => ended.map_err(RunError::Signals),
                done = follow_provider => done,
                () = follow_declared(shared.world.clone(), &authenticator, &shared.metrics) => Ok(()),
                done = admin::serve(admin_listener, admin_tls, Arc::clone(&admin), admin_stops) => done.map_err(RunError::Admin),
            }
        })
        .await
}

/// What all sessions share, on the cluster that serves now.
fn shared_of(
    config: &Config,
    cluster: &Cluster,
    world: watch::Receiver<Arc<World>>,
    metrics: Arc<Metrics>,
    audit: Audit,
    admin: &Arc<Admin>,
) -> Result<Shared, TracesError> {
    Ok(Shared {
        cluster: cluster.active(),
        active: cluster.is_switchable().then(|| cluster.follow()),
        topic_ids: cluster
            .all()
            .filter(|_| cluster.is_switchable())
            .map(|physical| Arc::clone(&physical.topic_ids))
            .collect(),
        world,
        traces: traces_of(config, &metrics)?.map(Arc::new),
        metrics,
        audit,
        attempts: Arc::default(),
        limits: limits(config),
        api_versions: Arc::default(),
        fetch_sessions: Arc::default(),
        quotas: Arc::default(),
        acls: Arc::clone(admin) as Arc<dyn session::acls::AclKeeper>,
        quota_keeper: Arc::clone(admin) as Arc<dyn session::quotas::QuotaKeeper>,
        drain: Arc::default(),
    })
}

/// Has the settings hold that can be others at once ([`reload::AT_ONCE`]).
async fn apply(
    config: &Config,
    admin: &Admin,
    present: &watch::Sender<Arc<Shared>>,
    drain: &watch::Sender<Duration>,
) -> Result<(), String> {
    admin.set(&config.admin.users, config.passthrough, config.audit.admin_requests).await?;
    present.send_modify(|shared| *shared = Arc::new(Shared { limits: limits(config), ..(**shared).clone() }));
    let _ = drain.send_replace(config.nodes.drain);
    logs::set_level(config.log_level.as_deref());
    Ok(())
}

/// Where declarations are kept at a physical cluster.
fn state_at(config: &Config, topic: &str, sealing: Option<Arc<SealingKeys>>) -> StateAt {
    let (topic, replicas) = (topic.to_owned(), config.at_rest.replication_factor);
    Box::new(move |physical| {
        let only = Arc::new(Cluster::new(physical, Vec::new()));
        StateLog::new(only, topic.clone(), replicas).sealed_by(sealing.clone())
    })
}

/// Who hears of a switch to another physical cluster.
fn followers(
    config: &Config,
    cluster: &Arc<Cluster>,
    shared: &Arc<watch::Sender<Arc<Shared>>>,
    admin: &Arc<Admin>,
    sealing: Option<Arc<SealingKeys>>,
) -> Followers {
    let (audit, metrics) = (shared.borrow().audit.clone(), Arc::clone(&shared.borrow().metrics));
    let (cluster, shared, admin) = (Arc::clone(cluster), Arc::clone(shared), Arc::clone(admin));
    let state = match &config.state {
        State::Topic(topic) => Some(state_at(config, topic, sealing)),
        State::Memory | State::Folder(_) => None,
    };
    Followers { cluster, key: config.nodes.cluster_id.clone(), shared, admin, state, audit, metrics }
}

/// The admin API over what is declared, kept as the settings say.
fn admin_of(
    config: &Config,
    world: watch::Sender<Arc<World>>,
    cluster: &Arc<Cluster>,
    authenticator: &Arc<Authenticator>,
    reports: Reports,
    sealing: Option<Arc<SealingKeys>>,
) -> Arc<Admin> {
    let keep = match &config.state {
        State::Memory => Keep::Memory,
        State::Folder(path) => Keep::Folder(Folder::new(path.clone())),
        State::Topic(topic) => Keep::Log(Box::new(state_at(config, topic, sealing)(Arc::clone(cluster.main())))),
    };
    let pclusters = PClusters::new(Arc::clone(cluster), config.nodes.cluster_id.clone());
    Arc::new(Admin::new(
        world,
        keep,
        AdminSettings {
            users: config.admin.users.clone(),
            clients: client_access(config),
            passthrough: config.passthrough,
        },
        Arc::clone(authenticator),
        pclusters,
        reports,
    ))
}

/// Serves clients until the sessions shall end, and they have.
async fn serve_clients(admin: &Admin, health: &Health, followers: Followers, listeners: Listeners, bootstrap: String) {
    let shared = Arc::clone(&followers.shared);
    let drain = Arc::clone(&shared.borrow().drain);
    let drain = drain.attend().await;
    tokio::select! {
        () = followers.recall() => {}
        () = drain.begun() => return,
    }
    let served = async {
        // Before the declarations are known every login would fail, and clients give up for good on a failed login.
        tokio::select! {
            () = admin.catch_up_until_done() => {}
            () = drain.begun() => return,
        }
        health.set_listeners(Part::Up(bootstrap));
        listeners.serve(&shared).await;
    };
    tokio::select! {
        () = served => {}
        () = followers.follow() => {}
    }
}

/// The audit's two ends, its sinks open.
async fn audit_of(
    config: &Config,
    cluster: &Arc<Cluster>,
    metrics: &Arc<Metrics>,
) -> Result<(Audit, Recorder), RunError> {
    let (audit, events) = Audit::new(config.audit.queue, Watched::new(&config.audit), Arc::clone(metrics));
    let recorder = Recorder::open(&config.audit, node_of(config), cluster, events, Arc::clone(metrics)).await?;
    Ok((audit, recorder))
}

/// How this gateway calls itself.
fn node_of(config: &Config) -> String {
    config.audit.node.clone().unwrap_or_else(|| name_of(config))
}

/// The sender of traces, where there shall be one.
fn traces_of(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Traces>, TracesError> {
    let Some(config::Tracing { endpoint, headers, service_name, per_million }) = config.tracing.clone() else {
        return Ok(None);
    };
    let settings = traces::Settings { endpoint, headers, service_name, per_million, node: node_of(config) };
    Traces::new(&settings, Arc::clone(metrics)).map(Some)
}

/// Keeps to the world what is counted by virtual cluster, counts the nodes of a cluster, and tells traffic to who reads the live
/// events; does not end.
async fn count(
    mut world: watch::Receiver<Arc<World>>,
    (cluster, mut nodes): (&str, watch::Receiver<Arc<View>>),
    metrics: Arc<Metrics>,
) {
    let hear = async {
        loop {
            metrics.nodes.heard(cluster, nodes.borrow_and_update().nodes().len());
            if nodes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    let follow = async {
        loop {
            let now = world.borrow_and_update().clone();
            metrics.world_published(now.virtual_clusters().count(), |name| now.virtual_cluster(name).is_some());
            if world.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = hear => {}
        () = stream::tell_traffic(Arc::clone(&metrics)) => {}
    }
}

/// The host's name.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What this gateway is called where the settings give it no name: two on one machine have different ports.
fn name_of(config: &Config) -> String {
    format!("{}:{}", machine(), config.clients.listeners[0].ports().start())
}

/// Records that clients are shown other certificates, or why not.
fn certificates_reloaded(audit: Audit) -> impl Fn(Result<(), String>) {
    move |result| {
        let outcome = result.map(|()| "new connections get the changed certificates".into()).map_err(Into::into);
        audit.record(Event::new(Action::CertificateReloaded { purpose: "listeners".into(), outcome }));
    }
}

fn reports(config: &Config, health: &Arc<Health>, metrics: &Arc<Metrics>, audit: &Audit) -> Reports {
    Reports {
        health: Arc::clone(health),
        metrics: Arc::clone(metrics),
        audit: audit.clone(),
        record_requests: config.audit.admin_requests,
    }
}

/// What the admin API tells about reaching the first listener.
fn client_access(config: &Config) -> ClientAccess {
    let listener = &config.clients.listeners[0];
    ClientAccess { routes: Routes::new(listener), security_protocol: listener.protocol }
}

/// Binds the ports of all listeners; tells the addresses by which clients begin.
async fn client_listeners(
    config: &Config,
    authenticator: &Arc<Authenticator>,
    servers: &[Option<Arc<ServerTls>>],
    principals: &Arc<PrincipalRules>,
    members: &Members,
) -> Result<(Listeners, String), RunError> {
    let mut listeners = Listeners::default();
    let mut bootstrap = Vec::new();
    for (settings, tls) in config.clients.listeners.iter().zip(servers) {
        let anonymous = settings.anonymous.as_deref();
        let login = if settings.delegated {
            Login::Delegated(delegation(config, authenticator))
        } else if settings.protocol.is_sasl() {
            Login::Sasl(Arc::clone(authenticator))
        } else if tls.is_some() && settings.client_auth != ClientAuth::None {
            let (rules, unmapped) = (Arc::clone(principals), config.logins.unmapped);
            Login::Certificate(ByCertificate { rules, unmapped, anonymous: anonymous.map(Arc::from) })
        } else {
            Login::Anonymous(anonymous.unwrap_or(PASSTHROUGH).into())
        };
        let nodes = config.nodes.internal_balancing.then(|| members.view());
        let listener = Listener { name: settings.name.as_str().into(), login, routes: Routes::new(settings), nodes };
        listeners.bind(&Arc::new(listener), tls.as_ref(), &settings.bind_host, settings.ports()).await?;
        let (name, protocol, delegated) = (&settings.name, settings.protocol.as_str(), settings.delegated);
        tracing::info!(name, protocol, delegated, bootstrap = %settings.bootstrap(), "listening for Kafka clients");
        bootstrap.push(settings.bootstrap().to_string());
    }
    Ok((listeners, bootstrap.join(",")))
}

/// How Kafka decides about logins, where it does.
fn delegation(config: &Config, authenticator: &Authenticator) -> Delegation {
    Delegation {
        unmapped: config.logins.unmapped_of_kafka,
        validator: authenticator.oauth().filter(|_| config.logins.validate_forward).cloned(),
        longest_token: config.oauth.as_ref().map_or(LONGEST_TOKEN, |oauth| oauth.longest_token),
        kafka_authorizes: config.clients.kafka_managed,
    }
}

/// Takes tokens of the identity providers that are declared, for as long as it is polled.
async fn follow_declared(
    mut world: watch::Receiver<Arc<World>>,
    authenticator: &Authenticator,
    metrics: &Arc<Metrics>,
) {
    let mut providers = DeclaredProviders::default();
    loop {
        let now = Arc::clone(&world.borrow_and_update());
        providers.follow(now.identity_providers(), authenticator, metrics);
        if world.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the keys of the identity provider fresh; does not end.
fn follow_provider(
    config: &Config,
    authenticator: &Authenticator,
    metrics: &Arc<Metrics>,
) -> Result<impl Future<Output = Result<(), RunError>> + use<>, RunError> {
    let provider = config.oauth.as_ref().map(Provider::new).transpose()?;
    let keys = authenticator.oauth().map(|oauth| Arc::clone(oauth.keys()));
    let metrics = Arc::clone(metrics);
    Ok(async move {
        match keys.zip(provider) {
            Some((keys, provider)) => provider::follow(keys, provider, metrics).await,
            None => std::future::pending().await,
        }
    })
}

fn limits(config: &Config) -> Limits {
    let limits = &config.clients.limits;
    Limits {
        max_connections: limits.max_connections,
        max_in_flight: limits.max_in_flight,
        max_produce_bytes: limits.max_frame_bytes,
        max_request_bytes: limits.max_frame_bytes.min(MAX_REQUEST_BYTES),
        max_answer_bytes: MAX_ANSWER_BYTES,
        handshake: limits.login_timeout,
        max_reauth: config.logins.max_reauth,
    }
}

fn cluster(config: &Config) -> Result<Cluster, RunError> {
    let main = failover::physical(&config.upstream, topic_ids()?)?;
    let others = config.failover.iter().map(|settings| Ok(failover::physical(settings, topic_ids()?)?));
    Ok(Cluster::new(main, others.collect::<Result<_, RunError>>()?))
}

/// The table of topic ids, with a key that nobody can know.
fn topic_ids() -> Result<TopicIds, RunError> {
    let mut key = [0; 16];
    let made = aws_lc_rs::rand::fill(&mut key).and_then(|()| TopicIds::new(&key));
    made.map_err(|_| RunError::NoRandomness)
}

fn authenticator(config: &Config) -> Result<Arc<Authenticator>, RunError> {
    let tokens = match &config.tokens.signing_key {
        Some(key) => TokenKey::new(key),
        None => {
            tracing::info!("tokens.signingKey is not set: made a random one, so tokens end with this process");
            TokenKey::random().map_err(|_| RunError::NoRandomness)?
        }
    };
    let oauth = config.oauth.clone().map(|rules| Arc::new(OAuth::new(rules, Arc::default())));
    let authenticator = Authenticator::new(tokens).map_err(|_| RunError::NoRandomness)?;
    Ok(Arc::new(authenticator.with_logins(&config.logins, oauth)))
}

async fn listen(host: &str, port: u16, purpose: &'static str) -> Result<TcpListener, RunError> {
    let address = HostPort { host: host.to_owned(), port }.to_string();
    TcpListener::bind(&address).await.map_err(|source| RunError::Listen { address, purpose, source })
}
