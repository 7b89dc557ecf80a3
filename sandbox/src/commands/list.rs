use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::output::{self, Form};
use crate::server;
use crate::state::{Sandbox, Server, State};

/// Lists the sandboxes made from here
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<()> {
    let state = State::read(&context.home)?;
    let current = context.name(None).map(|name| name.text).unwrap_or_default();
    let mut known = BTreeMap::new();
    let rows = state
        .sandboxes
        .iter()
        .map(|(name, sandbox)| {
            let there = known.entry(sandbox.server.to_string()).or_insert_with(|| declared(&state, &sandbox.server));
            (name, sandbox, condition(there.as_ref(), sandbox))
        })
        .collect::<Vec<_>>();
    if context.console.form == Form::Json {
        let items = rows.iter().map(|(name, sandbox, condition)| {
            json!({
                "name": name,
                "id": sandbox.id,
                "state": condition,
                "server": sandbox.server.to_string(),
                "createdAt": sandbox.created_at,
                "current": **name == current,
            })
        });
        let items = items.collect::<Vec<_>>();
        context.console.json(&json!({ "apiVersion": "sandbox/v1", "kind": "SandboxList", "items": items }));
        return Ok(());
    }
    if rows.is_empty() {
        context.console.note("no sandbox yet; `sandbox up NAME --local` makes one");
        return Ok(());
    }
    let cells = rows.iter().map(|(name, sandbox, condition)| {
        let mark = if **name == current { "*" } else { " " };
        vec![
            format!("{mark} {name}"),
            (*condition).to_owned(),
            sandbox.server.to_string(),
            age(&sandbox.created_at),
            sandbox.id.clone(),
        ]
    });
    context.console.data(&output::table(&["  NAME", "STATE", "SERVER", "AGE", "ID"], &cells.collect::<Vec<_>>()));
    Ok(())
}

/// The virtual clusters that a gateway has, or `None` if it cannot be asked.
fn declared(state: &State, server: &Server) -> Option<BTreeSet<String>> {
    let clusters = server::admin(state, server).ok()?.list_virtual_clusters().ok()?;
    Some(clusters.into_iter().map(|cluster| cluster.metadata.name).collect())
}

fn condition(declared: Option<&BTreeSet<String>>, sandbox: &Sandbox) -> &'static str {
    match (declared, &sandbox.server) {
        (Some(declared), _) if declared.contains(&sandbox.id) => "ready",
        (Some(_), _) => "missing",
        (None, Server::Local) => "stopped",
        (None, Server::Url(_)) => "unknown",
    }
}

/// How long ago, in the largest unit.
fn age(created_at: &str) -> String {
    let since = humantime::parse_rfc3339(created_at).ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    match since.map(|since| since.as_secs()) {
        None => "?".to_owned(),
        Some(seconds @ 0..60) => format!("{seconds}s"),
        Some(seconds @ 60..3600) => format!("{}m", seconds / 60),
        Some(seconds @ 3600..86400) => format!("{}h", seconds / 3600),
        Some(seconds) => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages() {
        let ago = |seconds| {
            let at = SystemTime::now() - Duration::from_secs(seconds);
            age(&humantime::format_rfc3339_seconds(at).to_string())
        };
        assert_eq!(ago(600), "10m");
        assert_eq!(ago(3 * 3600 + 5), "3h");
        assert_eq!(ago(50 * 86400), "50d");
        assert_eq!(age("soon"), "?");
    }
}
