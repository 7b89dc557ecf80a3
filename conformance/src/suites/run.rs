//! Runs checks, and after each one looks at what the attacker saw and at what the victim has left.

use std::time::Instant;

use super::arena::fingerprint::{self, Fingerprint};
use super::arena::{Arena, Trouble, sweep};
use super::report::{CheckReport, SuiteReport, TapReport};
use super::scene::Scene;
use super::seed::Seed;
use super::{Body, Check};
use crate::drivers::Connection;
use crate::report::Status;

/// Differences that are printed of one check.
const SHOWN: usize = 12;
/// Characters that are printed of one difference.
const LONGEST: usize = 900;

/// A run of some checks in one arena.
#[derive(Debug)]
pub struct Run<'a> {
    arena: &'a Arena,
    seed: Seed,
    attacker: Connection,
}

impl<'a> Run<'a> {
    /// The attacker connects to the gateway.
    pub fn new(arena: &'a Arena, seed: Seed) -> Self {
        Self::through(arena, seed, &arena.attacker.connection)
    }

    /// The attacker connects to something else, which stands before the gateway.
    pub fn through(arena: &'a Arena, seed: Seed, attacker: &Connection) -> Self {
        Self { arena, seed, attacker: attacker.clone() }
    }

    /// Runs the checks, a sanity check first and last. `done` hears of each as it ends.
    pub fn checks(&self, checks: &[&'static Check], done: &mut dyn FnMut(&CheckReport)) -> SuiteReport {
        let began = Instant::now();
        let profile = checks.first().map_or("", |check| check.profile);
        let mut report = SuiteReport {
            api_version: crate::scenario::API_VERSION,
            kind: "Report",
            profile: profile.to_owned(),
            result: "error",
            seed: self.seed.to_string(),
            millis: 0,
            tap: TapReport::default(),
            victim_rounds: 0,
            checks: Vec::new(),
            trouble: Vec::new(),
        };
        report.trouble.extend(self.sanity("before the first attack"));
        for check in checks {
            let ended = match check.body {
                Some(body) if report.trouble.is_empty() => self.check(check, body),
                Some(_) => CheckReport::skipped(check, "the harness is in trouble"),
                None => CheckReport::skipped(check, "planned"),
            };
            done(&ended);
            report.checks.push(ended);
        }
        report.trouble.extend(self.sanity("after the last attack"));
        let (answers, bytes) = self.arena.tap.volume();
        report.tap = TapReport { canaries: self.arena.tap.canaries(), answers, bytes };
        report.victim_rounds = self.arena.life.rounds();
        report.millis = began.elapsed().as_millis();
        report.judge();
        report
    }

    /// Runs one check.
    pub fn check(&self, check: &Check, body: Body) -> CheckReport {
        let began = Instant::now();
        let judged = self.judged(check.id, body);
        let (status, got, complaints) = match judged {
            Ok((complaints, got)) if complaints.is_empty() => (Status::Pass, got, complaints),
            Ok((complaints, got)) => (Status::Fail, got, complaints),
            Err(trouble) => (Status::Error, String::new(), vec![trouble.to_string()]),
        };
        let again =
            || format!("conformance run --profile {} --up --check {} --seed {}", check.profile, check.id, self.seed);
        let replay = (status != Status::Pass).then(again);
        let (id, title, level) = (check.id, check.title, check.level);
        let millis = began.elapsed().as_millis();
        CheckReport { id, title, level, status, planned: false, millis, got, complaints, replay }
    }

    fn judged(&self, id: &str, body: Body) -> Result<(Vec<String>, String), Trouble> {
        let arena = self.arena;
        let disturbed = arena.life.pulse();
        if !disturbed.is_empty() {
            return Err(Trouble::State(format!(
                "the victim was disturbed before the attack: {}",
                disturbed.join("; ")
            )));
        }
        let before = fingerprint::take(arena)?;
        let mut scene = Scene::new(arena, self.seed.dice(id), &self.attacker);
        body(&mut scene)?;
        let (mut complaints, got) = scene.findings();
        complaints.extend(self.aftermath(&before)?);
        sweep::attacker(arena)?;
        for complaint in &mut complaints {
            if let Some((at, _)) = complaint.char_indices().nth(LONGEST) {
                complaint.truncate(at);
                complaint.push('…');
            }
        }
        // Of hundreds of like differences the first ones say enough.
        let left_out = complaints.len().saturating_sub(SHOWN);
        complaints.truncate(SHOWN);
        if left_out > 0 {
            complaints.push(format!("and {left_out} more"));
        }
        Ok((complaints, got))
    }

    /// What the attacker saw that it may not see, and what the victim misses.
    fn aftermath(&self, before: &Fingerprint) -> Result<Vec<String>, Trouble> {
        let arena = self.arena;
        let leaks = arena.tap.leaks();
        let mut complaints: Vec<String> =
            leaks.iter().map(|leak| format!("{} came to the attacker in {}", leak.canary, leak.origin)).collect();
        complaints.extend(arena.life.pulse().into_iter().map(|what| format!("the victim noticed: {what}")));
        complaints.extend(fingerprint::differences(before, &fingerprint::take(arena)?));
        Ok(complaints)
    }

    /// What has to work for any check to mean something: the attacker is served, the victim works, the tap is sharp.
    fn sanity(&self, when: &str) -> Option<String> {
        let checked = (|| {
            let mut scene = Scene::new(self.arena, self.seed.dice("sanity"), &self.attacker);
            super::isolation::sanity(&mut scene)?;
            let (mut complaints, _) = scene.findings();
            complaints.extend(self.arena.life.pulse());
            Ok::<_, Trouble>(complaints)
        })();
        match checked {
            Ok(complaints) if complaints.is_empty() => None,
            Ok(complaints) => Some(format!("{when}: {}", complaints.join("; "))),
            Err(trouble) => Some(format!("{when}: {trouble}")),
        }
    }
}
