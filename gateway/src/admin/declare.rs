//! Changes of what is declared. A change holds as a whole or not at all.
//!
//! With a log, what it says is what holds: a change is appended, and takes effect when it is read back, behind whatever
//! other gateways have written meanwhile. So all of them pass through the same worlds in the same order.

use std::sync::{Arc, Mutex, PoisonError};

use contract::resources::{PASSTHROUGH, VirtualCluster};
use tokio::sync::watch;

use super::answer::ApiError;
use super::audited;
use crate::audit::Audit;
use crate::store::topic::StateLog;
use crate::store::{Change, Declarations};
use crate::upstream::topic_log::LogError;
use crate::world::{self, Problem, World};

/// The only way to change the world.
#[derive(Debug)]
pub(super) struct Declare {
    now: Mutex<Arc<Declarations>>,
    world: watch::Sender<Arc<World>>,
    /// What `passthrough` is like where nobody declared that.
    passthrough: VirtualCluster,
    audit: Audit,
    /// Held during a change: two at once would each build a world without the other.
    log: tokio::sync::Mutex<Option<Follower>>,
}

/// A log and how far it was read.
#[derive(Debug)]
struct Follower {
    log: StateLog,
    next: i64,
}

impl Declare {
    /// Starts with nothing declared but `passthrough`, which holds from the first moment.
    pub(super) fn new(
        world: watch::Sender<Arc<World>>,
        log: Option<StateLog>,
        audit: Audit,
        passthrough: VirtualCluster,
    ) -> Self {
        let log = log.map(|log| Follower { log, next: 0 });
        let declare = Self { now: Mutex::default(), world, passthrough, audit, log: tokio::sync::Mutex::new(log) };
        match declare.build(&Declarations::default()) {
            Ok(world) => drop(declare.world.send_replace(Arc::new(world))),
            Err(problems) => tracing::error!(?problems, "passthrough cannot be as it is set"),
        }
        declare
    }

    /// `passthrough`, where it is not among what is declared.
    pub(super) fn passthrough(&self) -> VirtualCluster {
        self.passthrough.clone()
    }

    /// The world that these declarations make.
    fn build(&self, declarations: &Declarations) -> Result<World, Vec<Problem>> {
        let declared = &declarations.virtual_clusters;
        let mut passthrough = declared.get(PASSTHROUGH).unwrap_or(&self.passthrough).clone();
        // What a declaration leaves open is as it is set.
        if passthrough.spec.acl_enabled.is_none() && self.passthrough.spec.acl_enabled.is_some() {
            passthrough.spec.acl_enabled = self.passthrough.spec.acl_enabled;
            passthrough.spec.super_users =
                passthrough.spec.super_users.or_else(|| self.passthrough.spec.super_users.clone());
        }
        let others = declared.values().filter(|cluster| cluster.metadata.name != PASSTHROUGH);
        let accounts = declarations.accounts.values();
        world::build(others.chain([&passthrough]), accounts, &declarations.acls, declarations.others.values())
    }

    /// What is declared now.
    pub(super) fn now(&self) -> Arc<Declarations> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what others have written since the last time.
    pub(super) async fn catch_up(&self) -> Result<(), LogError> {
        match &mut *self.log.lock().await {
            Some(follower) => self.read_on(follower).await,
            None => Ok(()),
        }
    }

    /// Changes a copy; keeps and publishes it if it makes a world and this is not a dry run.
    pub(super) async fn change<T>(
        &self,
        dry_run: bool,
        change: impl FnOnce(&mut Declarations) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut log = self.log.lock().await;
        if let Some(follower) = &mut *log {
            self.read_on(follower).await.map_err(|error| ApiError::unavailable(&error))?;
        }
        let now = self.now();
        let mut target = (*now).clone();
        let answer = change(&mut target)?;
        let world = self.build(&target).map_err(|problems| ApiError::problems(&problems))?;
        let changes = now.changes_to(&target);
        if dry_run || changes.is_empty() {
            return Ok(answer);
        }
        match &mut *log {
            None => self.publish(target, world),
            Some(follower) => {
                let appended = follower.log.append(&changes).await;
                appended.map_err(|error| ApiError::unavailable(&error))?;
                self.read_on(follower).await.map_err(|error| ApiError::unavailable(&error))?;
                if self.now().changes_to(&target).iter().any(|missing| changes.contains(missing)) {
                    self.take_back(follower, changes).await;
                    return Err(ApiError::conflict("another gateway changed the same at the same time: try again"));
                }
            }
        }
        audited::changed(&self.audit, &now, &changes);
        Ok(answer)
    }

    /// Overwrites changes that did not take effect with what holds: else they would, once compaction has removed what
    /// they did not go with.
    async fn take_back(&self, follower: &mut Follower, changes: Vec<Change>) {
        let now = self.now();
        let mut without_effect = (*now).clone();
        changes.into_iter().for_each(|change| without_effect.apply(change));
        if let Err(error) = follower.log.append(&without_effect.changes_to(&now)).await {
            tracing::warn!("a declaration that was refused stays in the log: {error}");
        }
    }

    /// Reads the log to its end.
    async fn read_on(&self, follower: &mut Follower) -> Result<(), LogError> {
        loop {
            let page = follower.log.read(follower.next).await?;
            self.take_over(page.changes);
            follower.next = page.next;
            if page.is_last {
                return Ok(());
            }
        }
    }

    fn take_over(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut target = (*self.now()).clone();
        changes.iter().for_each(|change| target.apply(change.clone()));
        match self.build(&target) {
            Ok(world) => self.publish(target, world),
            // Two gateways wrote what does not go together: the later change does not count, for any of them.
            Err(_) => self.take_over_one_by_one(changes),
        }
    }

    fn take_over_one_by_one(&self, changes: Vec<Change>) {
        for change in changes {
            let mut target = (*self.now()).clone();
            target.apply(change);
            match self.build(&target) {
                Ok(world) => self.publish(target, world),
                Err(problems) => {
                    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    tracing::warn!(
                        "ignored a declaration in the log that does not go with the earlier ones: {problems}"
                    );
                }
            }
        }
    }

    fn publish(&self, declarations: Declarations, world: World) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(declarations);
        self.world.send_replace(Arc::new(world));
    }
}
