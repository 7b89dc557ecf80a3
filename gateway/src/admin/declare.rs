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
use super::folder::{Files, Watched};
use super::{Reports, audited};
use crate::audit::Audit;
use crate::audit::event::{Action, Event};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::store::folder::Folder;
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

/// How often the files of a folder are looked at: a change is taken over at the second look.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The only way to change the world.
#[derive(Debug)]
pub(super) struct Declare {
    now: Mutex<Arc<Declarations>>,
    world: watch::Sender<Arc<World>>,
    /// What `passthrough` is like where nobody declared that.
    passthrough: Mutex<VirtualCluster>,
    audit: Audit,
    metrics: Arc<Metrics>,
    /// Held during a change: two at once would each build a world without the other.
    kept: tokio::sync::Mutex<Kept>,
    health: Arc<Health>,
    /// How often the log was replaced by another one.
    moves: AtomicU64,
    moved: Notify,
}

/// Where declarations are kept.
#[derive(Debug)]
pub enum Keep {
    /// In the process: gone when it ends.
    Memory,
    /// In a log that other gateways read and write too.
    Log(Box<StateLog>),
    /// In files that somebody else writes.
    Folder(Folder),
}

/// The same, and how far it was read.
#[derive(Debug)]
enum Kept {
    Memory,
    Log(Box<Follower>),
    Folder(Watched),
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}")]
    Files(String),
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
        keep: Keep,
        passthrough: VirtualCluster,
        reports: &Reports,
    ) -> Self {
        let declare = Self {
            now: Mutex::default(),
            world,
            passthrough: Mutex::new(passthrough),
            audit: reports.audit.clone(),
            metrics: Arc::clone(&reports.metrics),
            kept: tokio::sync::Mutex::new(match keep {
                Keep::Memory => Kept::Memory,
                Keep::Log(log) => Kept::Log(Box::new(Follower::new(*log))),
                Keep::Folder(folder) => Kept::Folder(Watched::new(folder)),
            }),
            health: Arc::clone(&reports.health),
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
        self.passthrough.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes it another one where nobody declared it.
    ///
    /// # Errors
    /// What is wrong with it: it is as before.
    pub(super) async fn set_passthrough(&self, passthrough: VirtualCluster) -> Result<(), String> {
        // Nothing is declared meanwhile.
        let _kept = self.kept.lock().await;
        let before = self.passthrough();
        if passthrough == before {
            return Ok(());
        }
        let set = |passthrough| *self.passthrough.lock().unwrap_or_else(PoisonError::into_inner) = passthrough;
        set(passthrough);
        let now = self.now();
        match self.build(&now) {
            Ok(world) => self.publish((*now).clone(), world),
            Err(problems) => {
                set(before);
                return Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
            }
        }
        Ok(())
    }

    /// The world that these declarations make.
    fn build(&self, declarations: &Declarations) -> Result<World, Vec<Problem>> {
        let declared = &declarations.virtual_clusters;
        let default = self.passthrough();
        let mut passthrough = declared.get(PASSTHROUGH).unwrap_or(&default).clone();
        // What a declaration leaves open is as it is set.
        if passthrough.spec.acl_enabled.is_none() && default.spec.acl_enabled.is_some() {
            passthrough.spec.acl_enabled = default.spec.acl_enabled;
            passthrough.spec.super_users = passthrough.spec.super_users.or(default.spec.super_users);
        }
        let others = declared.values().filter(|cluster| cluster.metadata.name != PASSTHROUGH);
        let accounts = declarations.accounts.values();
        let (now, world) = (self.now(), self.world.borrow().clone());
        let unchanged = |(name, cluster): &(&String, &VirtualCluster)| {
            let name = *name;
            let same_rules = match (now.acls.get(name), declarations.acls.get(name)) {
                (None, None) => true,
                (Some(before), Some(after)) => Arc::ptr_eq(before, after),
                _ => false,
            };
            same_rules && now.virtual_clusters.get(name) == Some(*cluster)
        };
        let unchanged = declared.iter().filter(unchanged).map(|(name, _)| name.as_str());
        // What passthrough is like does not follow from its declaration alone.
        let unchanged = unchanged.filter(|name| *name != PASSTHROUGH).collect();
        let before = world::Before { world: &world, unchanged };
        let clusters = others.chain([&passthrough]);
        world::build_after(Some(&before), clusters, accounts, &declarations.acls, declarations.others.values())
    }

    /// What is declared now.
    pub(super) fn now(&self) -> Arc<Declarations> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what others have written since the last time; tells where that was read.
    pub(super) async fn catch_up(&self) -> Result<String, ReadError> {
        match &mut *self.kept.lock().await {
            Kept::Log(follower) => {
                self.read_on(follower, None).await?;
                self.metrics.state.read_until(follower.next());
                Ok(format!("topic {}, {} resources", follower.log().topic(), self.now().len()))
            }
            Kept::Folder(watched) => {
                self.read_files(watched).await?;
                Ok(format!("folder {}, {} resources", watched.path(), self.now().len()))
            }
            Kept::Memory => Ok("in memory".to_owned()),
        }
    }

    /// Reads what others have written until now. A failure is told by whoever follows the log.
    pub(super) async fn refresh(&self) {
        if let Kept::Log(follower) = &mut *self.kept.lock().await {
            let _ = self.read_on(follower, None).await;
        }
    }

    /// Waits until there is something to catch up with, or for some seconds; for ever where there is no log.
    pub(super) async fn wait(&self, ear: &mut Option<Ear>) -> Result<(), ReadError> {
        let next = {
            let mut kept = self.kept.lock().await;
            let follower = match &mut *kept {
                Kept::Log(follower) => follower,
                Kept::Folder(_) => {
                    drop(kept);
                    tokio::time::sleep(LOOK_EVERY).await;
                    return Ok(());
                }
                Kept::Memory => {
                    drop(kept);
                    return std::future::pending().await;
                }
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
                if let Kept::Log(follower) = &mut *self.kept.lock().await {
                    follower.log().disconnect();
                }
                return Err(error.into());
            }
            ear.checked = Instant::now();
        }
        tokio::select! {
            () = self.moved.notified() => Ok(()),
            heard = ear.log.wait(next, LONGEST_WAIT) => match heard {
                // The log begins anew: whoever catches up finds that out.
                Err(error) if error.is_out_of_range() => Ok(()),
                heard => Ok(heard.map(drop)?),
            },
        }
    }

    /// Goes on with another log, which gets what is declared now, once: `move_number` grows with every move, and a log that was
    /// filled for this one or a later one holds as it is. Without a log nothing happens.
    ///
    /// # Errors
    /// [`LogError`]: everything is as before, but for what may be in the new log.
    pub(super) async fn move_to(&self, log: StateLog, move_number: i64) -> Result<(), LogError> {
        let mut kept = self.kept.lock().await;
        let Kept::Log(before) = &mut *kept else { return Ok(()) };
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
        **before = follower;
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
        let mut kept = self.kept.lock().await;
        if let Kept::Log(follower) = &mut *kept {
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
        match &mut *kept {
            Kept::Memory => self.publish(target, world),
            Kept::Log(follower) => self.write(follower, &changes, &target).await?,
            Kept::Folder(watched) => {
                let path = watched.path();
                let msg =
                    format!("what is declared are the files in {path} (state.store), and nothing else: change them");
                return Err(ApiError::conflict(msg));
            }
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

    /// Takes over what the files of a folder say. Once they were right, files that are wrong change nothing but what is told.
    async fn read_files(&self, watched: &mut Watched) -> Result<(), ReadError> {
        let now = self.now();
        let built = match watched.look(Arc::clone(&now)).await {
            Files::Unchanged => return if watched.has_read { Ok(()) } else { Err(self.still_wrong()) },
            Files::Wrong(reason) => Err(reason),
            Files::Declare(declared) => match self.build(&declared) {
                Ok(world) => Ok((declared, world)),
                Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
            },
        };
        match built {
            Ok((declared, world)) => {
                let changes = now.changes_to(&declared);
                self.publish(declared, world);
                audited::changed(&self.audit, &now, &changes);
                tracing::info!(folder = watched.path(), changes = changes.len(), "took over the files of declarations");
                self.health.set_declarations(None);
                watched.has_read = true;
                Ok(())
            }
            Err(reason) => {
                if self.health.declarations().as_ref() != Some(&reason) {
                    self.metrics.state.failed();
                    tracing::warn!("the files of declarations are wrong, and the former ones go on holding: {reason}");
                }
                self.health.set_declarations(Some(reason.clone()));
                if watched.has_read { Ok(()) } else { Err(ReadError::Files(reason)) }
            }
        }
    }

    fn still_wrong(&self) -> ReadError {
        ReadError::Files(self.health.declarations().unwrap_or_else(|| "the files are being written".to_owned()))
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
