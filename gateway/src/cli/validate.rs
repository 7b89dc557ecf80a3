//! `gateway validate`: settings and resources, checked as the gateway checks them, without one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use contract::resources::Resource;
use contract::strict::documents::holds_resources;

use super::files::{Files, Read, complaint, expanded, shown, text};
use super::{CliError, print};
use crate::authn::Account;
use crate::store::{Change, Declarations};
use crate::world::{build, check_password};

/// Checks files without starting anything.
#[derive(Debug, clap::Args)]
pub struct Validate {
    /// Files, folders, or - for standard input. Files of resources are checked together: what they refer to must be in one of
    /// them. Any other file holds settings; variables count for it as they would for `run`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Validate {
    /// Checks; `settings` checks one file of settings.
    ///
    /// # Errors
    /// [`CliError::No`] with every problem of every file.
    pub fn run(self, settings: impl Fn(&Path) -> Result<(), String>) -> Result<ExitCode, CliError> {
        let mut resources = Files::default();
        let (mut valid, mut problems) = (Vec::new(), Vec::new());
        for path in expanded(&self.files)? {
            let (name, text) = (shown(&path), text(&path)?);
            if name == shown(Path::new("-")) || holds_resources(&text) {
                let before = resources.resources.len();
                resources.add(&name, &text);
                valid.push((name, Some(resources.resources.len() - before)));
            } else {
                settings(&path).map_err(|problem| problems.push(format!("{name}: {problem}"))).ok();
                valid.push((name, None));
            }
        }
        resources.find_repeated();
        problems.append(&mut check(&mut resources));
        if !problems.is_empty() {
            return Err(CliError::No(complaint(&problems)));
        }
        for (name, count) in valid {
            print(&match count {
                Some(1) => format!("{name} is valid: 1 resource\n"),
                Some(count) => format!("{name} is valid: {count} resources\n"),
                None => format!("{name} is valid\n"),
            });
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is wrong with the resources by themselves, or else with all of them together.
fn check(files: &mut Files) -> Vec<String> {
    let problems = std::mem::take(&mut files.problems);
    if !problems.is_empty() {
        return problems;
    }
    let mut declarations = Declarations::default();
    let mut problems = Vec::new();
    for Read { resource, .. } in &files.resources {
        declarations.apply(match resource.clone() {
            Resource::VirtualCluster(cluster) => Change::PutVirtualCluster(Box::new(cluster)),
            Resource::GatewayServiceAccount(account) => {
                problems.extend(check_password(&account).err());
                Change::PutAccount(Arc::new(Account::new(account, None)))
            }
            other => Change::Put(Box::new(other)),
        });
    }
    let Declarations { virtual_clusters, accounts, acls, others } = &declarations;
    problems
        .extend(build(virtual_clusters.values(), accounts.values(), acls, others.values()).err().unwrap_or_default());
    let at = |called: &str| files.resources.iter().position(|read| read.resource.key().to_string() == called);
    problems.sort_by_key(|problem| at(&problem.resource));
    let place = |called: &str| at(called).and_then(|at| files.resources.get(at)).map(|read| read.place.as_str());
    let told = problems.iter().map(|problem| match place(&problem.resource) {
        Some(place) => format!("{place}, {problem}"),
        None => problem.to_string(),
    });
    told.collect()
}
