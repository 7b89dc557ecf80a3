//! `gateway delete`

use std::path::PathBuf;
use std::process::ExitCode;

use contract::resources::{KINDS, Kind, PASSTHROUGH, ResourceKey};

use super::connection::Connection;
use super::files::Files;
use super::get::{kind, of};
use super::{CliError, print};

/// Deletes resources.
#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    connection: Connection,
    /// A kind, such as VirtualCluster or virtual-cluster
    #[arg(value_parser = kind, requires = "name", required_unless_present = "files")]
    kind: Option<Kind>,
    /// The name of the resource
    name: Option<String>,
    /// The virtual cluster it belongs to; passthrough if not given
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    vcluster: Option<String>,
    /// Files, folders, or - for standard input: what they hold is deleted; may be repeated
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "kind")]
    files: Vec<PathBuf>,
    /// Only say what is there to be deleted
    #[arg(long)]
    dry_run: bool,
    /// It is no failure if something is not there
    #[arg(long)]
    ignore_missing: bool,
}

impl Delete {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let client = self.connection.client()?;
        let mut missing = Vec::new();
        for key in self.keys()? {
            let was_there = if self.dry_run { client.one(&key)?.is_some() } else { client.delete(&key)? };
            match (was_there, self.dry_run) {
                (true, false) => print(&format!("{key} is deleted\n")),
                (true, true) => print(&format!("{key} would be deleted\n")),
                (false, _) => missing.push(format!(
                    "there is no {} '{}'{}",
                    key.kind,
                    key.name,
                    of(key.virtual_cluster.as_deref())
                )),
            }
        }
        match missing.is_empty() || self.ignore_missing {
            true => Ok(ExitCode::SUCCESS),
            false => Err(CliError::No(missing.join("\n"))),
        }
    }

    /// What is meant, in an order in which nothing refers to what is gone.
    fn keys(&self) -> Result<Vec<ResourceKey>, CliError> {
        if let (Some(kind), Some(name)) = (self.kind, &self.name) {
            let virtual_cluster = kind.in_virtual_cluster.then(|| self.vcluster.as_deref().unwrap_or(PASSTHROUGH));
            if let (Some(given), None) = (&self.vcluster, virtual_cluster) {
                let message = format!("a {} belongs to no virtual cluster: leave out --vcluster {given}", kind.name);
                return Err(CliError::CannotTell(message));
            }
            return Ok(vec![ResourceKey::new(kind, virtual_cluster, name)]);
        }
        let mut keys: Vec<_> =
            Files::read(&self.files)?.flawless()?.into_iter().map(|read| read.resource.key()).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(made(key)));
        Ok(keys)
    }
}

/// How late its kind can be made.
fn made(key: &ResourceKey) -> usize {
    match KINDS.iter().position(|kind| kind.name == key.kind) {
        // A group refers to accounts, and so on: kinds stand in the order in which they can be made.
        Some(at) => at,
        None => KINDS.len(),
    }
}
