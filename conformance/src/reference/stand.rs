//! Brings up what is compared: a Kafka of one's own, and two tenants on a shared one.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Stand;
use crate::drivers::Connection;
use crate::sandboxes::{self, SandboxError, Sandboxes};

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum StandError {
    /// The `sandbox` program could not be used.
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    /// The `sandbox` program refused.
    #[error("'sandbox {command}' was refused with {problem}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        problem: String,
    },
}

/// The stand and what it was made of; [`Brought::finish`] takes it down.
#[derive(Debug)]
pub struct Brought {
    /// What is compared.
    pub stand: Stand,
    sandboxes: Vec<Sandboxes>,
}

impl Brought {
    /// Two tenants on the shared broker, and the reference; a broker that is not given is started.
    ///
    /// # Errors
    /// [`StandError`]
    pub fn up(program: &Path, shared: Option<String>, reference: Option<String>) -> Result<Self, StandError> {
        let mut tenants = isolated(program, shared)?;
        let compared = up(&mut tenants, "compared")?;
        let other = up(&mut tenants, "other")?;
        let shared = broker(&tenants)?;
        let mut brought = vec![tenants];
        let reference = if let Some(address) = reference {
            Connection::plain(&address)
        } else {
            let mut alone = isolated(program, None)?;
            let _ = up(&mut alone, "reference")?;
            let found = broker(&alone)?;
            brought.push(alone);
            found
        };
        let prefix = |found: &Value| found["prefix"].as_str().unwrap_or_default().to_owned();
        let stand = Stand {
            reference,
            r#virtual: sandboxes::connection(&compared),
            other: sandboxes::connection(&other),
            shared,
            prefix: prefix(&compared),
            other_prefix: prefix(&other),
        };
        Ok(Self { stand, sandboxes: brought })
    }

    /// The log of the gateway.
    pub fn gateway_log(&self) -> Option<PathBuf> {
        self.sandboxes.first().and_then(Sandboxes::gateway_log)
    }

    /// Takes everything down; fails with what could not be done.
    ///
    /// # Errors
    /// What is left.
    pub fn finish(mut self) -> Result<(), String> {
        let problems: Vec<_> = self.sandboxes.iter_mut().filter_map(|sandboxes| sandboxes.finish().err()).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

fn isolated(program: &Path, broker: Option<String>) -> Result<Sandboxes, StandError> {
    let arguments = match broker {
        Some(address) => ["--local", "--provider", "existing", "--bootstrap", &address].map(str::to_owned).to_vec(),
        None => vec!["--local".to_owned()],
    };
    Ok(Sandboxes::isolated(program.to_path_buf(), arguments)?)
}

fn up(sandboxes: &mut Sandboxes, name: &str) -> Result<Value, StandError> {
    let refused = |problem: String| StandError::Refused { command: format!("up {name}"), problem };
    sandboxes.up(name)?.map_err(|refusal| refused(refusal.to_string()))
}

/// The broker under the sandboxes, asked without the gateway between.
fn broker(sandboxes: &Sandboxes) -> Result<Connection, StandError> {
    let refused = |problem: String| StandError::Refused { command: "local status".to_owned(), problem };
    let status = sandboxes.local_status()?.map_err(|refusal| refused(refusal.to_string()))?;
    let address = status["kafka"]["bootstrap"].as_str().ok_or_else(|| refused(format!("no broker in {status}")))?;
    Ok(Connection::plain(address))
}
