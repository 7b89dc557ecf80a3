//! Changes of what is declared. A change holds as a whole or not at all.
//!
//! With a log, what it says is what holds: a change is appended, and takes effect when it is read back, behind whatever
//! other gateways have written meanwhile. So all of them pass through the same worlds in the same order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::resources::{PASSTHROUGH, VirtualCluster};
use tokio::sync::{Notify, watch};

use super::answer::ApiError;
use super::{Reports, audited};
use crate::audit::Audit;
use crate::audit::event::{Action, Event};
use crate::observe::metrics::Metrics;
use crate::store::follower::{Follower, News};
use crate::store::ledger::Rejected;
use crate::store::topic::{Skipped, StateLog};
use crate::store::{Change, Declarations};
use crate::upstream::topic_log::LogError;
use crate::world::{self, Problem, World};

/// A look at the log waits this long for something new.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the topic is looked at: whether it is there, and keeps what is in it.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// The only way to change the world.
#[derive(Debug)]
pub(super) struct Declare {
    now: Mutex<Arc<Declarations>>,
    world: watch::Sender<Arc<World>>,
    /// What `passthrough` is like where nobody declared that.
    passthrough: VirtualCluster,
    audit: Audit,
    metrics: Arc<Metrics>,
    /// Held during a change: two at once would each build a world without the other.
    log: tokio::sync::Mutex<Option<Follower>>,
    /// How often the log was replaced by another one.
    moves: AtomicU64,
    moved: Notify,
}

/// Hears of what is new in the log, over a connection of its own: a change does not wait for it.
#[derive(Debug)]
pub(super) struct Ear {
    log: StateLog,
    moves: u64,
    checked: Instant,
}

impl Declare {
    /// Starts with nothing declared but `passthrough`, which holds from the first moment.
    pub(super) fn new(
        world: watch::Sender<Arc<World>>,
        log: Option<StateLog>,
        passthrough: VirtualCluster,
        reports: &Reports,
    ) -> Self {
        let declare = Self {
            now: Mutex::default(),
            world,
            passthrough,
            audit: reports.audit.clone(),
            metrics: Arc::clone(&reports.metrics),
            log: tokio::sync::Mutex::new(log.map(Follower::new)),
            moves: AtomicU64::new(0),
            moved: Notify::new(),
        };
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

    /// Takes over what others have written since the last time; tells where that was read.
    pub(super) async fn catch_up(&self) -> Result<String, LogError> {
        match &mut *self.log.lock().await {
            Some(follower) => {
                self.read_on(follower, None).await?;
                Ok(format!("topic {}, {} resources", follower.log().topic(), self.now().len()))
            }
            None => Ok("in memory".to_owned()),
        }
    }

    /// Waits until there is something to catch up with, or for some seconds; for ever where there is no log.
    pub(super) async fn wait(&self, ear: &mut Option<Ear>) -> Result<(), LogError> {
        let next = {
            let mut log = self.log.lock().await;
            let Some(follower) = &mut *log else {
                // Changes are made under the same lock.
                drop(log);
                return std::future::pending().await;
            };
            let moves = self.moves.load(Ordering::Relaxed);
            if ear.as_ref().is_none_or(|ear| ear.moves != moves) {
                *ear = Some(Ear { log: follower.log().another(), moves, checked: Instant::now() });
            }
            follower.next()
        };
        let Some(ear) = ear else { return Ok(()) };
        if ear.checked.elapsed() > CHECK_EVERY {
            if let Err(error) = ear.log.check().await {
                // Nothing is written to it either, until it is right again.
                if let Some(follower) = &mut *self.log.lock().await {
                    follower.log().disconnect();
                }
                return Err(error);
            }
            ear.checked = Instant::now();
        }
        tokio::select! {
            () = self.moved.notified() => Ok(()),
            heard = ear.log.wait(next, LONGEST_WAIT) => match heard {
                // The log begins anew: whoever catches up finds that out.
                Err(error) if error.is_out_of_range() => Ok(()),
                heard => heard.map(drop),
            },
        }
    }

    /// Goes on with another log, which gets what is declared now, once: `move_number` grows with every move, and a log that was
    /// filled for this one or a later one holds as it is. Without a log nothing happens.
    ///
    /// # Errors
    /// [`LogError`]: everything is as before, but for what may be in the new log.
    pub(super) async fn move_to(&self, log: StateLog, move_number: i64) -> Result<(), LogError> {
        let mut kept = self.log.lock().await;
        let Some(before) = &mut *kept else { return Ok(()) };
        let mut follower = Follower::new(log);
        let mut news = follower.read_on(None).await?;
        if before.has_read() && follower.copied().is_none_or(|copied| copied < move_number) {
            let changes = follower.all().changes_to(&self.now());
            let last = follower.log().append_copy(&changes, move_number).await?;
            let more = follower.read_on(Some(last)).await?;
            news.changes.extend(more.changes);
            news.skipped.extend(more.skipped);
        }
        self.take_over(&mut follower, news);
        *before = follower;
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.moved.notify_one();
        Ok(())
    }

    /// Changes a copy; keeps and publishes it if it makes a world and this is not a dry run.
    pub(super) async fn change<T>(
        &self,
        dry_run: bool,
        change: impl FnOnce(&mut Declarations) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut log = self.log.lock().await;
        if let Some(follower) = &mut *log {
            self.read_on(follower, None).await.map_err(|error| ApiError::unavailable(&error))?;
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
            Some(follower) => self.write(follower, &changes, &target).await?,
        }
        audited::changed(&self.audit, &now, &changes);
        Ok(answer)
    }

    /// Appends changes, behind what takes back others that do not hold; tells whether they hold now.
    async fn write(&self, follower: &mut Follower, changes: &[Change], target: &Declarations) -> Result<(), ApiError> {
        let mut appended = self.taking_back(follower);
        appended.extend_from_slice(changes);
        let last = follower.log().append(&appended).await.map_err(|error| ApiError::unavailable(&error))?;
        self.read_on(follower, Some(last)).await.map_err(|error| ApiError::unavailable(&error))?;
        if !self.now().changes_to(target).iter().any(|missing| changes.contains(missing)) {
            return Ok(());
        }
        let taking_back = self.taking_back(follower);
        if let Err(error) = follower.log().append(&taking_back).await {
            tracing::warn!(
                "a declaration that was refused stays in the log until somebody declares something: {error}"
            );
        }
        Err(ApiError::conflict("another gateway changed the same at the same time: try again"))
    }

    /// Overwrites changes that did not take effect with what holds: else they would, once what they do not go with is gone.
    fn taking_back(&self, follower: &Follower) -> Vec<Change> {
        if follower.rejected().is_empty() { Vec::new() } else { follower.all().changes_to(&self.now()) }
    }

    /// Reads the log to its end.
    async fn read_on(&self, follower: &mut Follower, at_least: Option<i64>) -> Result<(), LogError> {
        let before = follower.has_read();
        let news = follower.read_on(at_least).await?;
        if before && news.anew {
            self.write_back(follower).await?;
        }
        self.take_over(follower, news);
        Ok(())
    }

    /// Fills a topic that somebody deleted: one that says nothing but what is known here gets the rest of it.
    async fn write_back(&self, follower: &mut Follower) -> Result<(), LogError> {
        let (now, all) = (self.now(), follower.all());
        let missing = all.changes_to(&now);
        let topic = follower.log().topic().to_owned();
        if missing.is_empty() {
            return Ok(());
        }
        if !now.changes_to(&all).iter().all(Change::is_deletion) {
            tracing::warn!(topic, "the topic of declarations is another one than before: what it says holds");
            return Ok(());
        }
        let last = follower.log().append(&missing).await?;
        tracing::warn!(
            topic,
            changes = missing.len(),
            "the topic of declarations was lost: wrote them again from memory"
        );
        follower.read_on(Some(last)).await.map(drop)
    }

    fn take_over(&self, follower: &mut Follower, news: News) {
        self.report_skipped(follower.log().topic(), &news.skipped);
        if news.changes.is_empty() && !news.anew {
            return;
        }
        let now = self.now();
        let (target, rejected) = follower.resolve(&now, |declarations| self.build(declarations).is_ok());
        self.metrics.state.set_rejected(follower.rejected().len());
        rejected.iter().for_each(|rejected| self.report_rejected(&target, rejected));
        if let Ok(world) = self.build(&target)
            && (target != *now || news.anew)
        {
            self.publish(target, world);
        }
    }

    /// Two gateways wrote at once what does not go together: the later change does not hold, for any of them.
    fn report_rejected(&self, declared: &Declarations, Rejected { offset, key, change }: &Rejected) {
        let mut target = declared.clone();
        target.apply(change.clone());
        let problems = self.build(&target).err().unwrap_or_default();
        let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        tracing::warn!(
            offset,
            "ignored a declaration of {key} in the log that does not go with the earlier ones: {problems}"
        );
    }

    fn report_skipped(&self, topic: &str, skipped: &[Skipped]) {
        let Some(Skipped { offset, reason }) = skipped.first() else { return };
        self.metrics.state.skipped(skipped.len());
        let detail =
            format!("{} records hold no declaration; the first is at offset {offset}: {reason}", skipped.len());
        tracing::error!(topic, "the topic of declarations was damaged or written to by somebody else: {detail}");
        let (subject, detail) = (topic.into(), detail.as_str().into());
        self.audit.record(Event::new(Action::Alert { rule: "state-record-skipped", subject, detail }));
    }

    fn publish(&self, declarations: Declarations, world: World) {
        self.metrics.state.set_resources(declarations.len());
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(declarations);
        self.world.send_replace(Arc::new(world));
    }
}
