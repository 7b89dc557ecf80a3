//! `gateway schema`

use std::path::PathBuf;
use std::process::ExitCode;

use contract::resources::{Kind, Resource, schema};

use super::get::kind;
use super::{CliError, print};

/// Writes JSON Schemas.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// The kind; without it the schemas of all kinds go to a folder
    #[arg(value_parser = kind, required_unless_present = "folder")]
    kind: Option<Kind>,
    /// Write <kind>.json for every kind, and resource.json for files with any of them, into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    folder: Option<PathBuf>,
}

impl Schema {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        if let Some(schema) = self.kind.and_then(|kind| Resource::schema(kind.name)) {
            print(&format!("{schema:#}\n"));
        }
        if let Some(folder) = &self.folder {
            let failed = |error: std::io::Error| {
                CliError::CannotTell(format!("cannot write into {}: {error}", folder.display()))
            };
            std::fs::create_dir_all(folder).map_err(failed)?;
            for (name, text) in schema::files() {
                std::fs::write(folder.join(name), text).map_err(failed)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
