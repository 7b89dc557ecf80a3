use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::kafka::cluster::{self, Broker, Group, Topic};
use crate::kafka::{KafkaError, Target, probe};
use crate::output::{self, Form};
use crate::server;
use crate::state::{Sandbox, State};

const PATIENCE: Duration = Duration::from_secs(5);

/// Shows whether a sandbox answers, and what is in it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sandbox
    name: Option<String>,
    /// Exit with 10 if it is not ready
    #[arg(long)]
    exit_code: bool,
    /// Print the password in the JSON
    #[arg(long)]
    show_secrets: bool,
}

/// What its brokers tell.
struct Inside {
    brokers: Vec<Broker>,
    topics: Vec<Topic>,
    groups: Vec<Group>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let name = context.name(args.name.as_deref())?;
    let state = State::read(&context.home)?;
    let sandbox = state.sandbox(&name.text)?;
    let inside = look(&Target::from(&sandbox.connection));
    let condition = match &inside {
        Ok(_) => "ready",
        Err(_) if !server::may_run(&state, sandbox) => "stopped",
        Err(_) => "unreachable",
    };
    match context.console.form {
        Form::Json => {
            let mut value = super::up::document(&name.text, sandbox, args.show_secrets);
            value["status"] = told(condition, &inside);
            context.console.json(&value);
        }
        Form::Human => context.console.data(&text(&name.text, sandbox, condition, &inside)),
    }
    if args.exit_code && condition != "ready" {
        return Err(Failure::new(Kind::Different, format!("sandbox '{}' is {condition}", name.text)));
    }
    Ok(())
}

fn look(target: &Target) -> std::result::Result<Inside, KafkaError> {
    let deadline = Instant::now() + PATIENCE;
    let brokers = probe::every_broker(target, deadline)?;
    let topics = cluster::describe(target, deadline)?.topics;
    let groups = cluster::groups(target, &brokers, deadline)?;
    Ok(Inside { brokers, topics, groups })
}

fn told(condition: &str, inside: &std::result::Result<Inside, KafkaError>) -> Value {
    match inside {
        Ok(inside) => {
            let brokers = inside
                .brokers
                .iter()
                .map(|broker| json!({ "id": broker.id, "host": broker.host, "port": broker.port, "reachable": true }));
            let topics =
                inside.topics.iter().map(|topic| json!({ "name": topic.name, "partitions": topic.partitions }));
            let groups = inside.groups.iter().map(|group| json!({ "name": group.name, "state": group.state }));
            json!({
                "state": condition,
                "brokers": brokers.collect::<Vec<_>>(),
                "topics": topics.collect::<Vec<_>>(),
                "groups": groups.collect::<Vec<_>>(),
            })
        }
        Err(error) => json!({ "state": condition, "reason": error.to_string() }),
    }
}

fn text(name: &str, sandbox: &Sandbox, condition: &str, inside: &std::result::Result<Inside, KafkaError>) -> String {
    let mut text = format!(
        "{name}  {condition}  ({}, on {}, created {})\n{}",
        sandbox.id,
        sandbox.server,
        sandbox.created_at,
        super::up::block(name, sandbox)
    );
    match inside {
        Err(error) => text.push_str(&format!("reason     {error}\n")),
        Ok(inside) => {
            text.push_str(&format!("brokers    {} reachable from here\n", inside.brokers.len()));
            if !inside.topics.is_empty() {
                let rows = inside.topics.iter().map(|topic| vec![topic.name.clone(), topic.partitions.to_string()]);
                text.push('\n');
                text.push_str(&output::table(&["TOPIC", "PARTITIONS"], &rows.collect::<Vec<_>>()));
            }
            if !inside.groups.is_empty() {
                let rows = inside.groups.iter().map(|group| vec![group.name.clone(), group.state.clone()]);
                text.push('\n');
                text.push_str(&output::table(&["GROUP", "STATE"], &rows.collect::<Vec<_>>()));
            }
        }
    }
    text
}
