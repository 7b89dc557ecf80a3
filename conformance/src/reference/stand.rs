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
    sandboxes: Sandboxes,
}

impl Brought {
    /// Two tenants on the shared broker, beside the reference.
    ///
    /// # Errors
    /// [`StandError`]
    pub fn up(program: &Path, shared: &str, reference: &str) -> Result<Self, StandError> {
        let arguments = ["--local", "--provider", "existing", "--bootstrap", shared].map(str::to_owned).to_vec();
        let mut sandboxes = Sandboxes::isolated(program.to_path_buf(), arguments)?;
        let compared = up(&mut sandboxes, "compared")?;
        let other = up(&mut sandboxes, "other")?;
        let prefix = |found: &Value| found["prefix"].as_str().unwrap_or_default().to_owned();
        let stand = Stand {
            reference: Connection::plain(reference),
            r#virtual: sandboxes::connection(&compared),
            other: sandboxes::connection(&other),
            shared: Connection::plain(shared),
            prefix: prefix(&compared),
            other_prefix: prefix(&other),
        };
        Ok(Self { stand, sandboxes })
    }

    /// The log of the gateway.
    pub fn gateway_log(&self) -> Option<PathBuf> {
        self.sandboxes.gateway_log()
    }

    /// Takes everything down; fails with what could not be done.
    ///
    /// # Errors
    /// What is left.
    pub fn finish(mut self) -> Result<(), String> {
        self.sandboxes.finish()
    }
}

fn up(sandboxes: &mut Sandboxes, name: &str) -> Result<Value, StandError> {
    let refused = |problem: String| StandError::Refused { command: format!("up {name}"), problem };
    sandboxes.up(name)?.map_err(|refusal| refused(refusal.to_string()))
}
