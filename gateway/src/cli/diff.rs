//! `gateway diff`: what an apply would change, as the gateway says, and which lines that is.

use std::path::PathBuf;
use std::process::ExitCode;

use contract::client::AdminClient;
use contract::resources::apply::{Applied, ApplyResult};
use contract::resources::{Kind, ResourceKey};
use serde_json::{Map, Value};

use super::apply::{as_json, label};
use super::connection::Connection;
use super::files::Files;
use super::output::yaml;
use super::{CliError, print};

/// Longer texts are shown as a whole, old and new: comparing them line by line takes memory by the square of their length.
const LONGEST_COMPARED: usize = 2_000;

/// Shows what applying files would change.
#[derive(Debug, clap::Args)]
pub struct Diff {
    #[command(flatten)]
    connection: Connection,
    /// Files, folders, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Count as deleted what has this label and is not in the files
    #[arg(long, value_name = "LABEL[=VALUE]", value_parser = label)]
    prune: Option<String>,
}

impl Diff {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        // One means that something differs, so what else is no answer is 2.
        self.find().map_err(|error| CliError::CannotTell(error.to_string()))
    }

    fn find(&self) -> Result<ExitCode, CliError> {
        let client = self.connection.client()?;
        let resources = Files::read(&self.files)?.flawless()?;
        let json = as_json(&resources)?;
        let answer = client.apply(&json, self.prune.as_deref(), true)?;
        let mut differ = false;
        for one in answer.iter().filter(|one| one.result != ApplyResult::NotChanged) {
            differ = true;
            let new = json.iter().zip(&resources).find(|(_, read)| Some(read.resource.key()) == key(one));
            print(&changes(&client, one, new.map(|(json, _)| json))?);
        }
        Ok(if differ { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

fn key(applied: &Applied) -> Option<ResourceKey> {
    Some(ResourceKey::new(Kind::named(&applied.kind)?, applied.v_cluster.as_deref(), &applied.name))
}

fn changes(client: &AdminClient, applied: &Applied, new: Option<&Value>) -> Result<String, CliError> {
    let Some(key) = key(applied) else { return Ok(String::new()) };
    let old = if applied.result == ApplyResult::Created { None } else { client.one(&key)? };
    let text = |value: Option<&Value>| match value {
        Some(value) => yaml(&[comparable(value)]),
        None => Ok(String::new()),
    };
    let (old, new) = (text(old.as_ref())?, text(new)?);
    let lines = compared(&old, &new);
    let what = match applied.result {
        ApplyResult::Created => "is new",
        ApplyResult::Deleted => "goes",
        ApplyResult::Updated | ApplyResult::NotChanged if old == new => "changes in what is secret",
        ApplyResult::Updated | ApplyResult::NotChanged => "changes",
    };
    Ok(format!("{key} {what}\n{lines}"))
}

/// A resource with its keys in one order, without what only the gateway fills in, defaults of the name, and secrets.
fn comparable(resource: &Value) -> Value {
    let mut resource = resource.clone();
    if let Some(spec) = resource.get_mut("spec").and_then(Value::as_object_mut) {
        for name in ["bootstrapServers", "clientProperties"] {
            // An UpstreamCluster has the first as a list of its own.
            if spec.get(name).is_some_and(|value| name == "clientProperties" || value.is_string()) {
                spec.remove(name);
            }
        }
        spec.remove("password");
    }
    let metadata = resource.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata.filter(|metadata| metadata.get("vCluster") == Some(&"passthrough".into())) {
        metadata.remove("vCluster");
    }
    sorted(resource)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries = entries.into_iter().filter(|(_, value)| !value.is_null()).collect::<Vec<_>>();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(entries) => entries.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The lines of two texts, those of the old one alone with `-`, those of the new one alone with `+`.
fn compared(old: &str, new: &str) -> String {
    let (old, new) = (old.lines().collect::<Vec<_>>(), new.lines().collect::<Vec<_>>());
    let mut text = String::new();
    let mut line = |sign: char, line: &str| {
        text.push_str(&format!("  {sign} {line}\n"));
    };
    if old.len() > LONGEST_COMPARED || new.len() > LONGEST_COMPARED {
        old.iter().for_each(|old| line('-', old));
        new.iter().for_each(|new| line('+', new));
        return text;
    }
    // How many lines the ends of both texts have in common from here on (the longest common subsequence).
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (at_old, old_line) in old.iter().enumerate().rev() {
        for (at_new, new_line) in new.iter().enumerate().rev() {
            common[at_old][at_new] = if old_line == new_line {
                common[at_old + 1][at_new + 1] + 1
            } else {
                common[at_old + 1][at_new].max(common[at_old][at_new + 1])
            };
        }
    }
    let (mut at_old, mut at_new) = (0, 0);
    loop {
        match (old.get(at_old), new.get(at_new)) {
            (Some(old_line), Some(new_line)) if old_line == new_line => {
                line(' ', old_line);
                (at_old, at_new) = (at_old + 1, at_new + 1);
            }
            (Some(old_line), there) if there.is_none() || common[at_old + 1][at_new] >= common[at_old][at_new + 1] => {
                line('-', old_line);
                at_old += 1;
            }
            (_, Some(new_line)) => {
                line('+', new_line);
                at_new += 1;
            }
            (_, None) => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_that_stay_go_and_come() {
        assert_eq!(compared("a\nb\nc\n", "a\nx\nc\nd\n"), "    a\n  - b\n  + x\n    c\n  + d\n");
        assert_eq!(compared("", "a\n"), "  + a\n");
        assert_eq!(compared("a\n", ""), "  - a\n");
        assert_eq!(compared("", ""), "");
        let long = "x\n".repeat(LONGEST_COMPARED + 1);
        assert_eq!(compared(&long, "").lines().count(), LONGEST_COMPARED + 1);
    }

    #[test]
    fn what_the_gateway_fills_in_is_no_difference() {
        let written = json!({ "kind": "GatewayServiceAccount", "spec": { "type": "LOCAL", "password": "hunter2" } });
        let got = json!({ "metadata": { "vCluster": "passthrough" }, "spec": { "type": "LOCAL", "externalNames": null },
            "kind": "GatewayServiceAccount" });
        let mut written_with_metadata = written.clone();
        written_with_metadata["metadata"] = json!({});
        assert_eq!(yaml(&[comparable(&got)]).unwrap(), yaml(&[comparable(&written_with_metadata)]).unwrap());
        assert!(!comparable(&written).to_string().contains("hunter2"));
        let upstream = json!({ "spec": { "bootstrapServers": ["k:1"] } });
        assert_eq!(comparable(&upstream), upstream);
    }
}
