//! The command line for resources: `apply`, `get`, `delete`, `diff`, `export` against a gateway, `validate` and `schema`
//! without one.
//!
//! Exit codes: 0 it is done, or so; 1 the answer is no (refused, not there, not valid, not the same); 2 nobody could be asked,
//! or not in this way. It decides nothing itself: what is valid, the gateway's own validator says.

mod apply;
mod connection;
mod delete;
mod diff;
mod files;
mod get;
mod output;
mod schema;
pub mod validate;

use std::io::{self, Write as _};
use std::process::ExitCode;

use contract::client::ClientError;

pub use connection::Connection;

/// Why a command did not do what it should, or what it found.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The answer is no.
    #[error("{0}")]
    No(String),
    /// It could not be asked.
    #[error("{0}")]
    CannotTell(String),
}

impl CliError {
    /// The exit code that says so.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::No(_) => ExitCode::from(1),
            Self::CannotTell(_) => ExitCode::from(2),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api { status, body } if status < 500 && status != 403 => {
                // One problem a line, where there are several.
                let lines = body.cause.as_deref().filter(|cause| cause.contains('\n'));
                match lines {
                    Some(cause) => Self::No(format!("{} (status {status}):\n{}", body.title, indented(cause))),
                    None => Self::No(ClientError::Api { status, body: without_repetition(body) }.to_string()),
                }
            }
            error => Self::CannotTell(error.to_string()),
        }
    }
}

fn without_repetition(mut body: contract::resources::ErrorBody) -> contract::resources::ErrorBody {
    // The cause says the same, with the resource's name.
    if let (Some(msg), Some(cause)) = (&body.msg, &body.cause)
        && cause.contains(msg.as_str())
    {
        body.msg = None;
    }
    body
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The commands that work with resources.
#[derive(Debug, clap::Subcommand)]
pub enum ResourceCommand {
    /// Declare what files hold, all of it or nothing. Applying the same again changes nothing, and says so.
    Apply(apply::Apply),
    /// Show what is declared.
    Get(get::Get),
    /// Delete resources, by name or those that files hold.
    Delete(delete::Delete),
    /// Show what applying files would change. Exit code 0: nothing; 1: something; 2: nobody could say.
    Diff(diff::Diff),
    /// Write everything that is declared, without secrets, in a form that can be applied.
    Export(get::Export),
    /// Write the JSON Schemas of the resources, for editors.
    Schema(schema::Schema),
}

impl ResourceCommand {
    /// Does it, and prints to standard output.
    ///
    /// # Errors
    /// [`CliError`]
    pub fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Apply(command) => command.run(),
            Self::Get(command) => command.run(),
            Self::Delete(command) => command.run(),
            Self::Diff(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Schema(command) => command.run(),
        }
    }
}

/// Whoever reads may have seen enough and hung up, as `head` does.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
