//! The admin API: HTTP in, declarations and tokens out. The order of a change is: parse, change the declarations,
//! build the world from them, keep them, publish the world.

mod absent;
mod acls;
mod answer;
mod apply;
mod audited;
mod declare;
mod doors;
mod events;
mod folder;
mod health;
mod login;
mod metrics;
mod openapi;
mod operations;
pub mod pclusters;
mod places;
mod quotas;
mod resources;
mod revisions;
mod roles;
mod secrets;
mod snapshot;
mod stored;
mod table;
mod tokens;
mod virtual_clusters;

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::{Extension, Router};
use contract::resources::{PASSTHROUGH, VirtualCluster};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::authn::sasl::Authenticator;
use crate::config::{AdminRole, AdminUser, Passthrough, SecurityProtocol};
use crate::observe::health::{Health, Part};
use crate::observe::metrics::Metrics;
use crate::routing::Routes;
use crate::store::topic::StateLog;
use crate::transport::tls::server::ServerTls;
use crate::upstream::topic_log::LogError;
use crate::world::{World, is_super_user};
pub use declare::Keep;
use declare::{Declare, ReadError};
use doors::{Door, Peer};
use pclusters::PClusters;

/// After a failure to read the log, the next attempt waits this long.
const RETRY: Duration = Duration::from_millis(500);

/// An answer waits this long for what other gateways have declared.
const LONGEST_REFRESH: Duration = Duration::from_secs(1);

/// What the routes work with.
#[derive(Debug)]
pub struct Admin {
    declare: Declare,
    users: RwLock<Arc<[AdminUser]>>,
    authenticator: Arc<Authenticator>,
    clients: ClientAccess,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    audit: Audit,
    record_requests: AtomicBool,
    pclusters: PClusters,
    /// Attempts to read the declarations that failed, in a row.
    failures: AtomicU32,
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

/// What the settings say of who declares, and for whom.
#[derive(Debug)]
pub struct AdminSettings {
    pub users: Vec<AdminUser>,
    pub clients: ClientAccess,
    pub passthrough: Passthrough,
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
        keep: Keep,
        settings: AdminSettings,
        authenticator: Arc<Authenticator>,
        pclusters: PClusters,
        reports: Reports,
    ) -> Self {
        let AdminSettings { users, clients, passthrough } = settings;
        let declare = Declare::new(world, keep, passthrough_of(passthrough, &users), &reports);
        let Reports { health, metrics, audit, record_requests } = reports;
        Self {
            declare,
            users: RwLock::new(users.into()),
            authenticator,
            clients,
            health,
            metrics,
            audit,
            record_requests: AtomicBool::new(record_requests),
            pclusters,
            failures: AtomicU32::new(0),
        }
    }

    /// Goes on with other settings. Who reads events has to ask anew.
    ///
    /// # Errors
    /// What is wrong with them: everything is as before.
    pub async fn set(
        &self,
        users: &[AdminUser],
        passthrough: Passthrough,
        record_requests: bool,
    ) -> Result<(), String> {
        self.declare.set_passthrough(passthrough_of(passthrough, users)).await?;
        self.record_requests.store(record_requests, Ordering::Relaxed);
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users.into();
        self.metrics.stream.send_away();
        Ok(())
    }

    /// Takes over what was declared at other gateways until now, so that whoever asks here after a change there is answered by it.
    /// Changes do so by themselves. While the log cannot be read, what is known is answered.
    async fn refresh(&self) {
        if matches!(self.health.state(), Part::Up(_)) {
            let _ = tokio::time::timeout(LONGEST_REFRESH, self.declare.refresh()).await;
        }
    }

    fn users(&self) -> Arc<[AdminUser]> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what is declared in the log, trying until that has worked once.
    pub async fn catch_up_until_done(&self) {
        while !self.catch_up().await {
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Takes over what other gateways declare, as soon as they have, for as long as it is polled.
    pub async fn follow(&self) {
        let mut ear = None;
        loop {
            let heard = match self.declare.wait(&mut ear).await {
                Ok(()) => self.catch_up().await,
                Err(error) => {
                    self.report_state(Err(error));
                    false
                }
            };
            if !heard {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Keeps declarations in another log from now on; see [`Declare::move_to`].
    ///
    /// # Errors
    /// [`LogError`]: they are kept where they were.
    pub async fn move_to(&self, log: StateLog, move_number: i64) -> Result<(), LogError> {
        self.declare.move_to(log, move_number).await
    }

    /// Tells whether it worked.
    async fn catch_up(&self) -> bool {
        let result = self.declare.catch_up().await;
        let worked = result.is_ok();
        self.report_state(result);
        worked
    }

    /// One failure is none: a topic that was just made has no leader for a moment. The second in a row is told.
    fn report_state(&self, result: Result<String, ReadError>) {
        match result {
            Ok(place) => {
                if self.failures.swap(0, Ordering::Relaxed) > 1 {
                    tracing::info!("declarations can be read again: {place}");
                }
                self.health.set_state(Part::Up(place));
            }
            Err(error) => {
                self.metrics.state.failed();
                if self.failures.fetch_add(1, Ordering::Relaxed) == 1 {
                    tracing::warn!("cannot read the declarations, trying again until it works: {error}");
                }
                self.health.set_state(Part::Down(error.to_string()));
            }
        }
    }
}

/// `passthrough` where nobody declares it: with access control, who may use the admin API may do everything in it.
fn passthrough_of(settings: Passthrough, users: &[AdminUser]) -> VirtualCluster {
    let mut passthrough = VirtualCluster::new(PASSTHROUGH);
    if settings.acl_enabled {
        let names = users.iter().filter(|user| user.role == AdminRole::Admin && is_super_user(&user.username));
        passthrough.spec.acl_enabled = Some(true);
        passthrough.spec.super_users = Some(names.map(|user| user.username.clone()).collect());
    }
    passthrough
}

/// Serves until `shutdown` ends and the requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    admin: Arc<Admin>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let stream = Arc::clone(&admin);
    let shutdown = async move {
        shutdown.await;
        // Who reads events goes on until somebody ends that.
        stream.metrics.stream.close();
    };
    let service = router(admin).into_make_service_with_connect_info::<Peer>();
    axum::serve(Door::new(listener, tls), service).with_graceful_shutdown(shutdown).await
}

/// Every operation of THE TABLE, and what is answered to all else.
fn router(admin: Arc<Admin>) -> Router {
    let operations = table::operations();
    let document = openapi::Document::of(&operations);
    operations::routes(operations, &admin)
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(Extension(document))
        .with_state(admin)
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod tests;
