//! What a switch to another physical cluster means for this process: where new sessions go, where the declarations are kept, what is
//! told of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::audit::Audit;
use crate::audit::event::{Action, Event};
use crate::config::Upstream;
use crate::naming::topic_ids::TopicIds;
use crate::observe::health::{Health, Part};
use crate::observe::metrics::Metrics;
use crate::observe::upstreams::UpstreamState;
use crate::session::Shared;
use crate::store::topic::StateLog;
use crate::upstream::broker::BrokerError;
use crate::upstream::cluster::{Active, Cluster};
use crate::upstream::metadata::Topology;
use crate::upstream::physical::Physical;
use crate::upstream::security::{Security, SecurityError};
use crate::upstream::switch;

/// After a failure to move the declarations, the next attempt waits this long.
const RETRY: Duration = Duration::from_secs(1);

/// The physical cluster that these settings describe.
///
/// # Errors
/// [`SecurityError`]
pub fn physical(settings: &Upstream, topic_ids: TopicIds) -> Result<Arc<Physical>, SecurityError> {
    let security = Security::new(&settings.security)?;
    Ok(Arc::new(Physical::new(&settings.name, &settings.bootstrap_servers, security, Arc::new(topic_ids))))
}

/// The log of declarations at a physical cluster.
pub type StateAt = Box<dyn Fn(Arc<Physical>) -> StateLog + Send + Sync>;

/// Who has to hear of a switch.
pub struct Followers {
    pub cluster: Arc<Cluster>,
    /// Names the gateways that switch together.
    pub key: String,
    /// What new sessions get.
    pub shared: Arc<watch::Sender<Arc<Shared>>>,
    pub admin: Arc<Admin>,
    /// Where declarations are kept at a physical cluster, unless it is in memory.
    pub state: Option<StateAt>,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Followers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followers").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Followers {
    /// Takes over what others switched to before this process was there, also for the first sessions. Ends at once where there is one
    /// cluster only.
    pub async fn recall(&self) {
        if !self.cluster.is_switchable() {
            return;
        }
        for silent in switch::recall(&self.cluster, &self.key).await {
            tracing::warn!(
                cluster = %silent,
                active = %self.cluster.active().name(),
                "a physical cluster does not answer: if only it knows of a switch, that holds as soon as it does"
            );
        }
        let first = self.shared.borrow().at(&self.cluster.active());
        let _ = self.shared.send_replace(Arc::new(first));
        tracing::info!(active = %self.cluster.active().name(), "the physical cluster that serves clients is known");
    }

    /// Follows the switches of all gateways for as long as it is polled.
    pub async fn follow(self) {
        if !self.cluster.is_switchable() {
            return std::future::pending().await;
        }
        let mut looking = JoinSet::new();
        for physical in self.cluster.all() {
            let (cluster, physical, key) = (Arc::clone(&self.cluster), Arc::clone(physical), self.key.clone());
            let _ = looking.spawn(async move { switch::follow(&cluster, &physical, &key).await });
        }
        let mut changes = self.cluster.follow();
        let mut kept_at = Arc::clone(self.cluster.main());
        loop {
            let active = changes.borrow_and_update().clone();
            self.move_sessions(&active);
            tokio::select! {
                () = self.move_declarations(&active, &mut kept_at) => if changes.changed().await.is_err() {
                    return;
                },
                // The sender lives as long as the cluster.
                _ = changes.changed() => {}
            }
        }
    }

    /// New sessions go to the cluster that serves; those at another one see by themselves that they have to end.
    fn move_sessions(&self, active: &Active) {
        let before = Arc::clone(&self.shared.borrow().cluster);
        if Arc::ptr_eq(&before, &active.physical) {
            return;
        }
        let shared = self.shared.borrow().at(&active.physical);
        let _ = self.shared.send_replace(Arc::new(shared));
        let (epoch, by) = active.switch.as_ref().map_or((0, ""), |switch| (switch.epoch, &switch.by));
        let (from, to) = (before.name(), active.physical.name());
        tracing::info!(
            %from, %to, epoch, by,
            "switched to another physical cluster; the gateway copies what is declared, but neither records nor offsets nor topics"
        );
        let event = Action::UpstreamSwitched { from: from.as_ref().into(), to: to.as_ref().into(), epoch };
        self.audit.record(Event::new(event).claimed(by));
        self.metrics.upstreams.switched();
    }

    /// Declarations are kept at the cluster that serves, with what is known of them here if nobody has copied them yet.
    async fn move_declarations(&self, active: &Active, kept_at: &mut Arc<Physical>) {
        let Some(state) = self.state.as_ref().filter(|_| !Arc::ptr_eq(kept_at, &active.physical)) else { return };
        let move_number = active.switch.as_ref().map_or(0, |switch| i64::try_from(switch.epoch).unwrap_or(i64::MAX));
        let mut failed = false;
        while let Err(error) = self.admin.move_to(state(Arc::clone(&active.physical)), move_number).await {
            if !std::mem::replace(&mut failed, true) {
                tracing::warn!(cluster = %active.physical.name(), "cannot keep declarations there yet, trying again: {error}");
            }
            tokio::time::sleep(RETRY).await;
        }
        *kept_at = Arc::clone(&active.physical);
    }
}

/// Keeps the view of all physical clusters fresh; says once when one is lost and once when it is back.
pub async fn watch_upstreams(cluster: Arc<Cluster>, health: Arc<Health>, metrics: Arc<Metrics>) {
    let mut watching = JoinSet::new();
    for physical in cluster.all().skip(1) {
        let (cluster, physical) = (Arc::clone(&cluster), Arc::clone(physical));
        let (health, metrics) = (Arc::clone(&health), Arc::clone(&metrics));
        let _ = watching.spawn(async move { watch_one(&cluster, &physical, &health, &metrics).await });
    }
    watch_one(&cluster, cluster.main(), &health, &metrics).await;
}

async fn watch_one(cluster: &Cluster, physical: &Arc<Physical>, health: &Health, metrics: &Metrics) {
    let standby = std::sync::Mutex::new(None);
    let report = |serves: bool, seen: Result<&Topology, &BrokerError>| {
        if cluster.is_switchable() {
            count(cluster, metrics);
        }
        if serves {
            return of_active(health, seen);
        }
        let mut was_up = standby.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_up = seen.is_ok();
        if was_up.replace(is_up) == Some(is_up) {
            return;
        }
        match seen {
            Ok(topology) => {
                tracing::info!(cluster = %physical.name(), brokers = topology.brokers.len(), "a physical cluster can be switched to");
            }
            Err(error) => {
                tracing::warn!(cluster = %physical.name(), %error, "a physical cluster that could be switched to is not reachable");
            }
        }
    };
    cluster.watch(physical, report).await;
}

fn count(cluster: &Cluster, metrics: &Metrics) {
    let active = cluster.follow().borrow().clone();
    let state = |physical: &Arc<Physical>| UpstreamState {
        name: physical.name().to_string(),
        active: Arc::ptr_eq(physical, &active.physical),
        reachable: physical.trouble().is_none(),
    };
    let epoch = active.switch.as_ref().map_or(0, |switch| switch.epoch);
    metrics.upstreams.set(cluster.all().map(state).collect(), epoch);
}

fn of_active(health: &Health, seen: Result<&Topology, &BrokerError>) {
    let before = health.upstream();
    match seen {
        Ok(topology) => {
            if !matches!(before, Part::Up(_)) {
                tracing::info!(brokers = topology.brokers.len(), cluster = topology.cluster_id, "Kafka is reachable");
            }
            health.set_upstream(Part::Up(format!("{} brokers", topology.brokers.len())));
        }
        Err(error) => {
            let now = Part::Down(error.to_string());
            if before != now {
                tracing::warn!(%error, "Kafka is not reachable; trying again until it is");
            }
            health.set_upstream(now);
        }
    }
}
