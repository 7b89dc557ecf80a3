//! `gateway apply`

use std::path::PathBuf;
use std::process::ExitCode;

use contract::resources::apply::ApplyResult;
use serde_json::Value;

use super::connection::Connection;
use super::files::{Files, Read};
use super::output::{Form, text};
use super::{CliError, print};

/// Declares what files hold.
#[derive(Debug, clap::Args)]
pub struct Apply {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// Files, folders, or - for standard input; YAML with any number of documents, or JSON
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Delete what has this label and is not in the files
    #[arg(long, value_name = "LABEL[=VALUE]", value_parser = label)]
    prune: Option<String>,
    /// The form of what is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Without a name everything would be meant.
pub(super) fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err("a label is needed, such as team or team=payments".to_owned());
    }
    Ok(text.to_owned())
}

impl Apply {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let client = self.connection.client()?;
        let resources = Files::read(&self.files)?.flawless()?;
        let answer = client.apply(&as_json(&resources)?, self.prune.as_deref(), self.dry_run)?;
        let results = answer.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
        let results = results.map_err(|error| CliError::CannotTell(error.to_string()))?;
        let titles = ["KIND", "VIRTUAL CLUSTER", "NAME", "RESULT"];
        let row = |one: &Value| [text(one, "/kind"), text(one, "/vCluster"), text(one, "/name"), text(one, "/result")];
        print(&self.output.of(&results, titles, row)?);
        if self.output == Form::Table {
            let changed = answer.iter().filter(|one| one.result != ApplyResult::NotChanged).count();
            let (of, would) = (answer.len(), if self.dry_run { "would change" } else { "changed" });
            eprintln!("{changed} of {of} {would}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// As the admin API takes them.
pub(super) fn as_json(resources: &[Read]) -> Result<Vec<Value>, CliError> {
    let json = resources.iter().map(|read| read.resource.to_json()).collect::<Result<Vec<_>, _>>();
    json.map_err(|error| CliError::CannotTell(error.to_string()))
}
