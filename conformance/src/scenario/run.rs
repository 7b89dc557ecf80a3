//! Takes the steps of a scenario, one after the other, each with its client.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::expect::{Expect, Matcher};
use super::variables::{expand, spread};
use super::{Scenario, Step};
use crate::drivers::process::ProcessClient;
use crate::drivers::wire::WireClient;
use crate::drivers::{self, Connection, DriverError, Kind, Outcome};
use crate::report::{Report, StepReport};
use crate::sandboxes::{self, SandboxError, Sandboxes};

/// Longer than any client's own patience, so that its account of a failure is the one that is told.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Why a step could not be judged: not a failure of what is tested.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("{0}")]
    Step(String),
}

/// What the steps act on, for the time of one scenario.
#[derive(Debug)]
pub struct Stage {
    fixtures: PathBuf,
    sandboxes: Sandboxes,
    /// Connections of sandboxes and results that were kept, by name.
    known: Map<String, Value>,
    clients: Vec<(Key, Client)>,
}

/// A running client serves all steps of the same driver, sandbox and credentials.
type Key = (&'static str, String, Connection);

#[derive(Debug)]
enum Client {
    Process(Box<ProcessClient>),
    Wire(Box<WireClient>),
}

impl Stage {
    pub fn new(fixtures: PathBuf, sandboxes: Sandboxes) -> Self {
        Self { fixtures, sandboxes, known: Map::new(), clients: Vec::new() }
    }

    pub fn sandboxes(&mut self) -> &mut Sandboxes {
        &mut self.sandboxes
    }

    /// Runs the scenario and tells what became of each step. Call `close` afterwards to learn of a failed clean-up.
    pub fn run(&mut self, scenario: &Scenario) -> Report {
        let mut report = Report::new(&scenario.metadata.name);
        for name in &scenario.given.sandboxes {
            let began = Instant::now();
            let complaints = self.provide(name).map(|()| Vec::new());
            report.add(StepReport::new(format!("sandbox {name} is up"), "sandbox", began.elapsed(), complaints));
        }
        for step in &scenario.when {
            if report.is_good() {
                report.add(self.take(step));
            } else {
                report.add(StepReport::not_run(&step.step, &step.client));
            }
        }
        let asked = report.is_good();
        for step in &scenario.then {
            report.add(if asked { self.take(step) } else { StepReport::not_run(&step.step, &step.client) });
        }
        report
    }

    /// Ends the clients, then takes the sandboxes down.
    pub fn close(&mut self) -> Result<(), String> {
        self.clients.clear();
        self.sandboxes.finish()
    }

    fn provide(&mut self, name: &str) -> Result<(), HarnessError> {
        let found =
            if self.sandboxes.is_isolated() { self.sandboxes.up(name)? } else { self.sandboxes.status(name)? };
        match found {
            Ok(found) => {
                let _ = self.known.insert(name.to_owned(), found);
                Ok(())
            }
            Err(refusal) => Err(SandboxError::NotThere { name: name.to_owned(), problem: refusal.to_string() }.into()),
        }
    }

    fn take(&mut self, step: &Step) -> StepReport {
        let began = Instant::now();
        let judged = self.carry_out(step).and_then(|outcome| {
            let complaints = self.expectation(&step.expect)?.complaints(&outcome);
            if let (Ok(result), Some(name)) = (outcome, &step.keep) {
                let _ = self.known.insert(name.clone(), result);
            }
            Ok(complaints)
        });
        StepReport::new(step.step.clone(), &step.client, began.elapsed(), judged)
    }

    fn carry_out(&mut self, step: &Step) -> Result<Outcome, HarnessError> {
        let driver = drivers::find(&step.client)
            .ok_or_else(|| HarnessError::Step(format!("no client is called '{}'", step.client)))?;
        if driver.kind == Kind::Sandbox {
            return self.with_sandbox_program(step);
        }
        let mut with = Map::new();
        for (field, value) in &step.with {
            let value = expand(value, &self.known).map_err(HarnessError::Step)?;
            let _ = with.insert(field.clone(), spread(field, &value));
        }
        let key = (driver.name, step.sandbox.clone(), self.connection(step)?);
        let outcome = match self.client(key, driver.kind)? {
            Client::Process(client) => client.step(&step.action, &with, STEP_LIMIT)?,
            Client::Wire(client) => client.step(&step.action, &with)?,
        };
        Ok(outcome.map(with_values))
    }

    fn with_sandbox_program(&mut self, step: &Step) -> Result<Outcome, HarnessError> {
        if step.action == "down" {
            // Clients log in anew afterwards, as an application that starts then would; a held connection stays.
            self.clients
                .retain(|((_, sandbox, _), client)| *sandbox != step.sandbox || matches!(client, Client::Wire(_)));
        }
        let outcome = self.sandboxes.step(&step.action, &step.sandbox)?.ok_or_else(|| DriverError::NoSuchStep {
            client: "sandbox".into(),
            action: step.action.clone(),
            known: "up, env, status, down".into(),
        })?;
        if let ("up", Ok(found)) = (step.action.as_str(), &outcome) {
            let _ = self.known.insert(step.sandbox.clone(), found.clone());
        }
        Ok(outcome)
    }

    fn connection(&self, step: &Step) -> Result<Connection, HarnessError> {
        let found = self.known.get(&step.sandbox).ok_or_else(|| {
            HarnessError::Step(format!("no sandbox '{}' is given or was brought up before this step", step.sandbox))
        })?;
        let mut connection = sandboxes::connection(found);
        if let Some(login) = &step.login {
            let text = |told: &Option<String>, own: String| match told {
                None => Ok(own),
                Some(told) => expand(&json!(told), &self.known)
                    .map(|value| value.as_str().unwrap_or_default().to_owned())
                    .map_err(HarnessError::Step),
            };
            connection.username = text(&login.username, connection.username)?;
            connection.password = text(&login.password, connection.password)?;
            connection.mechanism = text(&login.mechanism, connection.mechanism)?;
        }
        Ok(connection)
    }

    fn client(&mut self, key: Key, kind: Kind) -> Result<&mut Client, HarnessError> {
        let at = match self.clients.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None => {
                let client = match kind {
                    Kind::Wire => Client::Wire(Box::new(WireClient::new(&key.2))),
                    Kind::Process | Kind::Sandbox => {
                        Client::Process(Box::new(ProcessClient::start(&self.fixtures, key.0, &key.2)?))
                    }
                };
                self.clients.push((key, client));
                self.clients.len() - 1
            }
        };
        self.clients
            .get_mut(at)
            .map(|(_, client)| client)
            .ok_or_else(|| HarnessError::Step("a client that was just started is gone".into()))
    }

    fn expectation(&self, expect: &Expect) -> Result<Expect, HarnessError> {
        let mut expanded = Expect { fails: expect.fails.clone(), ..Expect::default() };
        for (field, matcher) in &expect.result {
            let value = |told: &Option<Value>| {
                told.as_ref().map(|told| expand(told, &self.known).map(|value| spread(field, &value))).transpose()
            };
            let matcher = (|| {
                Ok(Matcher {
                    is: value(&matcher.is)?,
                    is_not: value(&matcher.is_not)?,
                    are: value(&matcher.are)?,
                    have: value(&matcher.have)?,
                    lack: value(&matcher.lack)?,
                })
            })()
            .map_err(HarnessError::Step)?;
            let _ = expanded.result.insert(field.clone(), matcher);
        }
        Ok(expanded)
    }
}

/// Adds `values`, those of all records, which is what most steps ask about.
fn with_values(mut result: Value) -> Value {
    let records = result.get("records").and_then(Value::as_array);
    let values: Option<Value> =
        records.map(|records| records.iter().map(|record| record.get("value").cloned().unwrap_or_default()).collect());
    if let (Some(values), Some(fields)) = (values, result.as_object_mut()) {
        let _ = fields.insert("values".to_owned(), values);
    }
    result
}
