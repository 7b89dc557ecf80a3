//! The admin API: HTTP in, declarations and tokens out. The order of a change is: parse, change the declarations,
//! build the world from them, keep them, publish the world.

mod acls;
mod answer;
mod audited;
mod basic_auth;
mod declare;
mod health;
mod metrics;
pub mod pclusters;
mod resources;
mod service_accounts;
mod tokens;
mod virtual_clusters;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use contract::resources::{
    AliasTopic, GatewayGroup, IdentityProvider, PASSTHROUGH, Quota, VirtualCluster, service_account,
    token, virtual_cluster,
};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::authn::sasl::Authenticator;
use crate::config::{AdminUser, Passthrough, SecurityProtocol};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::routing::Routes;
use crate::store::topic::StateLog;
use crate::world::{World, is_super_user};
use declare::Declare;
use pclusters::PClusters;

/// No resource is longer.
const LONGEST_BODY: usize = 256 * 1024;
/// What one gateway declares holds at the others after this time.
const FOLLOW: Duration = Duration::from_secs(1);
/// After a failure to read the log, the next attempt waits this long.
const RETRY: Duration = Duration::from_millis(500);

/// What the routes work with.
#[derive(Debug)]
pub struct Admin {
    declare: Declare,
    users: Vec<AdminUser>,
    authenticator: Arc<Authenticator>,
    clients: ClientAccess,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    audit: Audit,
    record_requests: bool,
    pclusters: PClusters,
    log_failed: AtomicBool,
}

/// Where the admin API reads how the gateway is, and reports what it did.
#[derive(Debug)]
pub struct Reports {
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub audit: Audit,
    /// Whether each request is an event; refusals and changes always are.
    pub record_requests: bool,
}

/// How Kafka clients reach this gateway: told in answers.
#[derive(Debug, Clone)]
pub struct ClientAccess {
    pub routes: Routes,
    pub security_protocol: SecurityProtocol,
}

impl Admin {
    /// Starts with nothing declared; `world` gets every change. Without a log declarations end with the process.
    pub fn new(
        world: watch::Sender<Arc<World>>,
        log: Option<StateLog>,
        users: Vec<AdminUser>,
        authenticator: Arc<Authenticator>,
        clients: ClientAccess,
        passthrough: Passthrough,
        pclusters: PClusters,
        reports: Reports,
    ) -> Self {
        let Reports { health, metrics, audit, record_requests } = reports;
        Self {
            declare: Declare::new(world, log, audit.clone(), passthrough_of(passthrough, &users)),
            users,
            authenticator,
            clients,
            health,
            metrics,
            audit,
            record_requests,
            pclusters,
            log_failed: AtomicBool::new(false),
        }
    }

    /// Takes over what is declared in the log, trying until that has worked once.
    pub async fn catch_up_until_done(&self) {
        while !self.catch_up().await {
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes over what other gateways declare, for as long as it is polled.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(FOLLOW).await;
            self.catch_up().await;
        }
    }

    /// Tells whether it worked; reports the first failure of a row.
    async fn catch_up(&self) -> bool {
        let result = self.declare.catch_up().await;
        let failed_before = self.log_failed.swap(result.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (&result, failed_before) {
            tracing::warn!("cannot read the declarations, trying again until it works: {error}");
        }
        result.is_ok()
    }
}

/// `passthrough` where nobody declares it: with access control, who may use the admin API may do everything in it.
fn passthrough_of(settings: Passthrough, users: &[AdminUser]) -> VirtualCluster {
    let mut passthrough = VirtualCluster::new(PASSTHROUGH);
    if settings.acl_enabled {
        let names = users.iter().filter(|user| user.admin && is_super_user(&user.username));
        passthrough.spec.acl_enabled = Some(true);
        passthrough.spec.super_users = Some(names.map(|user| user.username.clone()).collect());
    }
    passthrough
}

/// Serves until `shutdown` ends and the requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    admin: Arc<Admin>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let service = router(admin).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

/// THE TABLE of routes.
fn router(admin: Arc<Admin>) -> Router {
    let virtual_cluster = format!("{}/{{name}}", virtual_cluster::KIND.path);
    let protected = Router::new()
        .route(virtual_cluster::KIND.path, get(virtual_clusters::list).put(virtual_clusters::put))
        .route(&virtual_cluster, get(virtual_clusters::get).delete(virtual_clusters::delete))
        .route(
            service_account::KIND.path,
            get(service_accounts::list).put(service_accounts::put).delete(service_accounts::delete),
        )
        .route(token::PATH, post(tokens::issue))
        .merge(resources::routes::<GatewayGroup>())
        .merge(resources::routes::<AliasTopic>())
        .merge(resources::routes::<Quota>())
        .merge(pclusters::routes())
        .merge(resources::routes::<IdentityProvider>())
        .route("/metrics", get(metrics::render))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&admin), basic_auth::check));
    Router::new()
        .merge(protected)
        // Probes carry no credentials, and learn nothing about tenants.
        .route("/health", get(health::all))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(admin)
}

#[cfg(test)]
mod tests;
