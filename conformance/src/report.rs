//! What became of a scenario, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::scenario::run::HarnessError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pass,
    /// What is tested did something else than expected.
    Fail,
    /// The harness could not tell.
    Error,
    /// An earlier step failed.
    Skip,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub scenario: String,
    pub status: Status,
    pub steps: Vec<StepReport>,
}

#[derive(Debug, Serialize)]
pub struct StepReport {
    pub step: String,
    pub client: String,
    pub status: Status,
    pub millis: u128,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
}

impl StepReport {
    pub(crate) fn new(step: String, client: &str, took: Duration, judged: Result<Vec<String>, HarnessError>) -> Self {
        let (status, complaints) = match judged {
            Ok(complaints) if complaints.is_empty() => (Status::Pass, complaints),
            Ok(complaints) => (Status::Fail, complaints),
            Err(error) => (Status::Error, vec![error.to_string()]),
        };
        Self { step, client: client.to_owned(), status, millis: took.as_millis(), complaints }
    }

    pub(crate) fn not_run(step: &str, client: &str) -> Self {
        let (step, client) = (step.to_owned(), client.to_owned());
        Self { step, client, status: Status::Skip, millis: 0, complaints: Vec::new() }
    }
}

impl Report {
    pub(crate) fn new(scenario: &str) -> Self {
        let scenario = scenario.to_owned();
        let api_version = crate::scenario::API_VERSION;
        Self { api_version, kind: "ScenarioReport", scenario, status: Status::Pass, steps: Vec::new() }
    }

    pub(crate) fn add(&mut self, step: StepReport) {
        // The first thing that went wrong says what kind of run it was; what was left out after it adds nothing.
        if self.status == Status::Pass && step.status != Status::Skip {
            self.status = step.status;
        }
        self.steps.push(step);
    }

    /// Adds what went wrong after the last step: the run cannot be trusted to have cleaned up.
    pub fn clean_up_failed(&mut self, problem: String) {
        let judged = Err(HarnessError::Step(problem));
        self.add(StepReport::new("everything is taken down".to_owned(), "sandbox", Duration::ZERO, judged));
    }

    pub fn is_good(&self) -> bool {
        self.status == Status::Pass
    }

    /// One line a step, complaints below theirs, a total at the end.
    pub fn human(&self) -> String {
        let mut text = format!("{}\n", self.scenario);
        for step in &self.steps {
            let mark = match step.status {
                Status::Pass => "ok",
                Status::Fail => "FAIL",
                Status::Error => "ERROR",
                Status::Skip => "-",
            };
            let seconds = Duration::from_millis(u64::try_from(step.millis).unwrap_or(u64::MAX)).as_secs_f64();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {mark:<5} {seconds:>6.2} s  {:<8} {}", step.client, step.step);
            for complaint in &step.complaints {
                let _ = writeln!(text, "                  {}", complaint.replace('\n', "\n                  "));
            }
        }
        let count = |status| self.steps.iter().filter(|step| step.status == status).count();
        let _ = writeln!(
            text,
            "{} passed, {} failed, {} errors, {} not run",
            count(Status::Pass),
            count(Status::Fail),
            count(Status::Error),
            count(Status::Skip)
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(judged: Result<Vec<String>, HarnessError>) -> StepReport {
        StepReport::new("a step".into(), "kcat", Duration::from_millis(1200), judged)
    }

    #[test]
    fn the_first_trouble_names_the_status() {
        let mut report = Report::new("small");
        report.add(step(Ok(Vec::new())));
        assert!(report.is_good());
        report.add(step(Ok(vec!["values lack \"a\"".into()])));
        report.add(StepReport::not_run("later", "go"));
        report.add(step(Err(HarnessError::Step("gone".into()))));
        assert_eq!(report.status, Status::Fail);
        assert_eq!(
            report.human(),
            "small\n  ok      1.20 s  kcat     a step\n  FAIL    1.20 s  kcat     a step\n                  values lack \"a\"\n  \
             -       0.00 s  go       later\n  ERROR   1.20 s  kcat     a step\n                  gone\n\
             1 passed, 1 failed, 1 errors, 1 not run\n"
        );
    }
}
