use std::path::Path;
use std::time::Instant;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::context::Context;
use crate::error::{Failure, Result};
use crate::output::{self, Form};
use crate::providers::{self, docker, local};
use crate::server;
use crate::stack::{gateway, process};
use crate::state::{Broker, Locked, Server, Stack, State};

/// The broker and the gateway that run in the background on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows what runs, and where
    Status,
    /// Stops the gateway, then the broker; the data stays for the next `up --local`
    Stop {
        /// Delete the data too, and forget the local sandboxes
        #[arg(long)]
        purge: bool,
    },
    /// Prints the end of a log
    Logs {
        /// Whose
        #[arg(value_enum, default_value_t)]
        of: Log,
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Log {
    #[default]
    Gateway,
    Kafka,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    match args.command {
        Command::Status => status(context),
        Command::Stop { purge } => stop(context, purge),
        Command::Logs { of, lines } => logs(context, of, lines),
    }
}

fn status(context: &Context) -> Result<()> {
    let state = State::read(&context.home)?;
    let broker = state.stack.as_ref().map(|stack| &stack.broker);
    let gateway = state.stack.as_ref().and_then(|stack| stack.gateway.as_ref());
    let broker_runs = broker.is_some_and(providers::is_running);
    let gateway_runs = gateway.is_some_and(|gateway| gateway.process.is_alive());
    let jars = matches!(broker, Some(Broker::Local { .. }))
        .then(|| providers::jars::folder(&context.home.cache).display().to_string());
    let word = |runs| if runs { "running" } else { "stopped" };
    if context.console.form == Form::Json {
        context.console.json(&json!({
            "apiVersion": "sandbox/v1",
            "kind": "LocalStack",
            "kafka": {
                "state": word(broker_runs),
                "bootstrap": broker.map(Broker::bootstrap),
                "what": broker.map(what),
                "jars": jars,
            },
            "gateway": {
                "state": word(gateway_runs),
                "bootstrap": gateway.map(gateway::bootstrap),
                "admin": gateway.map(crate::state::Gateway::admin_url),
                "pid": gateway.map(|gateway| gateway.process.pid),
            },
        }));
        return Ok(());
    }
    let rows = [
        broker.map(|broker| vec!["kafka".to_owned(), word(broker_runs).to_owned(), broker.bootstrap(), what(broker)]),
        gateway.map(|gateway| {
            let detail = format!("pid {}, admin {}", gateway.process.pid, gateway.admin_url());
            vec!["gateway".to_owned(), word(gateway_runs).to_owned(), gateway::bootstrap(gateway), detail]
        }),
        jars.map(|jars| vec!["jars".to_owned(), "installed".to_owned(), "-".to_owned(), jars]),
    ];
    let rows = rows.into_iter().flatten().collect::<Vec<_>>();
    if rows.is_empty() {
        context.console.note("nothing was started on this machine; `sandbox up NAME --local` does it");
    } else {
        context.console.data(&output::table(&["WHAT", "STATE", "ADDRESS", "DETAIL"], &rows));
    }
    Ok(())
}

fn what(broker: &Broker) -> String {
    match broker {
        Broker::Existing { .. } => "existing, not ours to stop".to_owned(),
        Broker::Local { process, .. } => format!("Apache Kafka {}, pid {}", providers::jars::VERSION, process.pid),
        Broker::Docker { container, image, .. } => {
            format!("{image}, container {}", container.get(..12).unwrap_or(container))
        }
    }
}

fn stop(context: &Context, purge: bool) -> Result<()> {
    let mut locked = Locked::acquire(&context.home, || {
        context.console.note("another sandbox command is at work; waiting for it");
    })?;
    let Some(stack) = locked.state.stack.clone() else {
        context.console.note("nothing was started on this machine: nothing to stop");
        return Ok(());
    };
    if let Some(gateway) = &stack.gateway
        && gateway.process.is_alive()
    {
        let since = Instant::now();
        let by_itself = gateway::stop(gateway)?;
        context.console.step("gateway", since, ended(by_itself));
    }
    stop_broker(context, &mut locked, &stack)?;
    if purge {
        remove(&context.home.broker())?;
        locked.state.stack = None;
        locked.state.sandboxes.retain(|_, sandbox| sandbox.server != Server::Local);
        context.console.note(match &stack.broker {
            Broker::Existing { .. } => "the local sandboxes are forgotten; their topics stay on that Kafka",
            Broker::Local { .. } | Broker::Docker { .. } => "the broker's data and the local sandboxes are deleted",
        });
    }
    locked.save()
}

fn stop_broker(context: &Context, locked: &mut Locked, stack: &Stack) -> Result<()> {
    let since = Instant::now();
    match &stack.broker {
        Broker::Existing { bootstrap } => {
            context.console.note(&format!("the Kafka at {bootstrap} is not ours and keeps running"));
        }
        Broker::Local { process, .. } if process.is_alive() => {
            let by_itself = local::stop(&context.home, process)?;
            context.console.step("kafka", since, ended(by_itself));
        }
        Broker::Local { .. } => {}
        Broker::Docker { container, .. } => {
            docker::remove(container)?;
            context.console.step("kafka", since, "the container is removed, and with it its data");
            // Its address would be that of the next container, which knows none of the topics.
            locked.state.stack = None;
        }
    }
    Ok(())
}

fn ended(by_itself: bool) -> &'static str {
    if by_itself { "stopped" } else { "killed, because it did not end by itself" }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::file("delete", folder, &error)),
    }
}

fn logs(context: &Context, of: Log, lines: usize) -> Result<()> {
    let state = State::read(&context.home)?;
    let Some(stack) = &state.stack else { return Err(server::not_running()) };
    let path = match (of, &stack.broker) {
        (Log::Gateway, _) => context.home.gateway_log(),
        (Log::Kafka, Broker::Local { .. }) => context.home.broker_log(),
        (Log::Kafka, Broker::Docker { container, .. }) => {
            context.console.note(&format!("Kafka runs in a container: `docker logs {container}`"));
            return Ok(());
        }
        (Log::Kafka, Broker::Existing { bootstrap }) => {
            context.console.note(&format!("the Kafka at {bootstrap} is not ours; its logs are where it runs"));
            return Ok(());
        }
    };
    context.console.data(&format!("{}\n", process::last_lines(&path, lines)));
    Ok(())
}
