//! What became of a run of checks, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Check, Level};
use crate::report::Status;

/// One check's end.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// Its id.
    pub id: &'static str,
    /// What was tried.
    pub title: &'static str,
    /// How much it matters.
    pub level: Level,
    /// How it went; a planned check is skipped.
    pub status: Status,
    /// Whether it is not written yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
    /// How long it took.
    pub millis: u128,
    /// What the attacker got.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub got: String,
    /// What did not hold, or why it could not be told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
    /// How to run this check again as it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
}

impl CheckReport {
    /// A check that did not run, and why.
    pub fn skipped(check: &Check, why: &str) -> Self {
        Self {
            id: check.id,
            title: check.title,
            level: check.level,
            status: Status::Skip,
            planned: check.body.is_none(),
            millis: 0,
            got: String::new(),
            complaints: vec![why.to_owned()],
            replay: None,
        }
    }
}

/// A run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuiteReport {
    /// `conformance/v1`
    pub api_version: &'static str,
    /// `Report`
    pub kind: &'static str,
    /// The profile.
    pub profile: String,
    /// `success`, `partial`, `failure` or `error`.
    pub result: &'static str,
    /// What everything random was drawn from.
    pub seed: String,
    /// How long it took.
    pub millis: u128,
    /// What the tap looked at.
    pub tap: TapReport,
    /// How often the victim's clients wrote and read while the attacks went on.
    pub victim_rounds: u64,
    /// The checks.
    pub checks: Vec<CheckReport>,
    /// What went wrong with the harness itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<String>,
}

/// What the tap looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct TapReport {
    /// Tokens that were looked for.
    pub canaries: usize,
    /// Answers that ran past.
    pub answers: u64,
    /// Bytes that ran past.
    pub bytes: u64,
}

impl SuiteReport {
    /// Sets the result from what the checks came to.
    pub fn judge(&mut self) {
        let any = |status| self.checks.iter().any(|check| check.status == status);
        self.result = match () {
            () if any(Status::Fail) => "failure",
            () if any(Status::Error) || !self.trouble.is_empty() => "error",
            () if any(Status::Skip) => "partial",
            () => "success",
        };
    }

    /// The exit code: 0 it holds, 1 a check failed, 3 the harness could not tell, 4 a check was skipped.
    pub fn exit_code(&self) -> u8 {
        match self.result {
            "success" => 0,
            "failure" => 1,
            "partial" => 4,
            _ => 3,
        }
    }

    /// One line a check, complaints below theirs, a total at the end.
    pub fn human(&self) -> String {
        let mut text = format!("{} with seed {}\n", self.profile, self.seed);
        // Writing to a string cannot fail.
        let (planned, ran): (Vec<_>, Vec<_>) = self.checks.iter().partition(|check| check.planned);
        for check in ran {
            let _ = write!(text, "{}", line(check));
        }
        if !planned.is_empty() {
            let planned: Vec<&str> = planned.iter().map(|check| check.id).collect();
            let _ = writeln!(text, "  -     planned: {}", planned.join(" "));
        }
        for trouble in &self.trouble {
            let _ = writeln!(text, "  ERROR {trouble}");
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let _ = writeln!(
            text,
            "{}: {} passed, {} failed, {} errors, {} skipped; {} tokens in {} answers ({} KiB), {} rounds of the victim",
            self.result,
            count(Status::Pass),
            count(Status::Fail),
            count(Status::Error),
            count(Status::Skip),
            self.tap.canaries,
            self.tap.answers,
            self.tap.bytes >> 10,
            self.victim_rounds,
        );
        text
    }
}

/// A check's line, what the attacker got or what did not hold below it.
pub fn line(check: &CheckReport) -> String {
    let mark = match check.status {
        Status::Pass => "ok",
        Status::Fail => "FAIL",
        Status::Error => "ERROR",
        Status::Skip => "-",
    };
    let tenths = check.millis / 100;
    let mut text = format!("  {mark:<5} {:>3}.{} s  {}  {}\n", tenths / 10, tenths % 10, check.id, check.title);
    let below = check.complaints.iter().map(String::as_str).chain([check.got.as_str()]);
    for below in below.filter(|text| !text.is_empty()) {
        let _ = writeln!(text, "                       {below}");
    }
    if let Some(replay) = &check.replay {
        let _ = writeln!(text, "                       again: {replay}");
    }
    text
}
