//! Reads a log to its end, again and again, and notices when it has become another one.

use std::time::{Duration, Instant};

use super::ledger::{Ledger, Rejected};
use super::topic::{Noted, Skipped, StateLog};
use super::{Change, Declarations};
use crate::upstream::topic_log::LogError;

/// Who could not read for longer begins anew: deletions stay in the log for a week, and may be gone then.
const LONGEST_ABSENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// What was written is there to be read within this time, also behind a change of the leader.
const LONGEST_LAG: Duration = Duration::from_secs(5);
const LAG_PAUSE: Duration = Duration::from_millis(20);

/// A log, how far it was read, and what it said.
#[derive(Debug)]
pub struct Follower {
    log: StateLog,
    next: i64,
    /// The topic that was read, and when it was read last.
    read: Option<([u8; 16], Instant)>,
    ledger: Ledger,
    copied: Option<i64>,
    rejected: Vec<Rejected>,
}

/// What a reading brought.
#[derive(Debug, Default)]
pub struct News {
    /// In the order of the log.
    pub changes: Vec<Change>,
    pub skipped: Vec<Skipped>,
    /// Whether the log was read from its beginning.
    pub anew: bool,
}

/// What has been read and does not count yet.
#[derive(Default)]
struct Staged {
    noted: Vec<Noted>,
    skipped: Vec<Skipped>,
    copied: Option<i64>,
    next: i64,
}

impl Follower {
    /// Nothing is read yet.
    pub fn new(log: StateLog) -> Self {
        let (ledger, rejected) = (Ledger::default(), Vec::new());
        Self { log, next: 0, read: None, ledger, copied: None, rejected }
    }

    pub fn log(&mut self) -> &mut StateLog {
        &mut self.log
    }

    /// Where the next reading begins.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether the log was ever read to its end.
    pub fn has_read(&self) -> bool {
        self.read.is_some()
    }

    /// The number of the last move to this log.
    pub fn copied(&self) -> Option<i64> {
        self.copied
    }

    /// The changes that do not hold.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Everything that the log says, whether it goes together or not.
    pub fn all(&self) -> Declarations {
        self.ledger.all()
    }

    /// What holds, as [`Ledger::resolve`] has it; returns the changes too that did hold and do not any more.
    pub fn resolve(
        &mut self,
        before: &Declarations,
        fits: impl Fn(&Declarations) -> bool,
    ) -> (Declarations, Vec<Rejected>) {
        let (declared, rejected) = self.ledger.resolve(before, fits);
        let newly = rejected.iter().filter(|rejected| !self.rejected.contains(rejected)).cloned().collect();
        self.rejected = rejected;
        (declared, newly)
    }

    /// Reads to the end of the log, and at least the record at this offset. What is read counts as a whole or not at all.
    ///
    /// # Errors
    /// [`LogError`]
    pub async fn read_on(&mut self, at_least: Option<i64>) -> Result<News, LogError> {
        let id = self.log.id().await?;
        let is_other = |(known, at): ([u8; 16], Instant)| known != id || at.elapsed() > LONGEST_ABSENCE;
        let mut anew = self.read.is_none_or(is_other);
        let staged = match self.stage(if anew { None } else { Some(self.next) }, at_least).await {
            Err(error) if error.is_out_of_range() && !anew => {
                anew = true;
                self.stage(None, None).await?
            }
            staged => staged?,
        };
        // The connection may have been made anew meanwhile, to another topic of the name.
        let id = self.log.id().await?;
        if anew {
            (self.ledger, self.copied, self.rejected) = (Ledger::default(), None, Vec::new());
        }
        self.read = Some((id, Instant::now()));
        self.next = staged.next;
        self.copied = staged.copied.or(self.copied);
        let mut changes = Vec::with_capacity(staged.noted.len());
        for Noted { offset, key, change } in staged.noted {
            self.ledger.note(offset, key, change.clone());
            changes.push(change);
        }
        Ok(News { changes, skipped: staged.skipped, anew })
    }

    async fn stage(&mut self, from: Option<i64>, at_least: Option<i64>) -> Result<Staged, LogError> {
        let next = match from {
            Some(from) => from,
            None => self.log.beginning().await?,
        };
        let mut staged = Staged { next, ..Staged::default() };
        let began = Instant::now();
        loop {
            let page = self.log.read(staged.next).await?;
            staged.noted.extend(page.noted);
            staged.skipped.extend(page.skipped);
            staged.copied = page.copied.or(staged.copied);
            staged.next = page.next;
            if !page.is_last {
                continue;
            }
            if at_least.is_none_or(|offset| staged.next > offset) || began.elapsed() > LONGEST_LAG {
                return Ok(staged);
            }
            tokio::time::sleep(LAG_PAUSE).await;
        }
    }
}
