use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::kafka::cluster::{self, Group};
use crate::kafka::{KafkaError, Target};
use crate::naming;
use crate::output::{self, Form};
use crate::server;
use crate::state::{Locked, Sandbox, Server, State};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a consumer that was just stopped may take to leave its group.
const GROUP_PATIENCE: Duration = Duration::from_secs(3);
/// How long a deleted topic may still be told by a broker that learns of it late.
const VERIFY_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Deletes a sandbox with its topics and groups, and checks that nothing is left
///
/// The ids of its transactions are the one thing that Kafka keeps, until it forgets them by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sandbox
    name: Option<String>,
    /// Fail with 3 if there is no such sandbox
    #[arg(long)]
    must_exist: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let started = Instant::now();
    let name = context.name(args.name.as_deref())?.text;
    let mut locked = Locked::acquire(&context.home, || {
        context.console.note("another sandbox command is at work; waiting for it");
    })?;
    let sandbox = match locked.state.sandbox(&name) {
        Ok(sandbox) => sandbox.clone(),
        Err(failure) if args.must_exist => return Err(failure),
        Err(_) => {
            context.console.note(&format!("no sandbox '{name}': nothing to delete"));
            return report(context, &name, None);
        }
    };
    let admin = server::admin(&locked.state, &sandbox.server)?;
    // The account may have been lost with the gateway's memory, and it is needed to tidy up.
    server::declare(&admin, &sandbox)?;
    let emptied = empty(context, &name, &sandbox)?;
    let since = Instant::now();
    let left_before = left_as_tenant(&locked.state, &sandbox)?;
    server::withdraw(&admin, &sandbox)?;
    context.console.step("virtual cluster", since, &format!("{} and its account deleted", sandbox.id));
    let left = match left_before {
        Some(left) => left,
        None => left_on_broker(&locked.state, &sandbox)?,
    };
    if !left.is_empty() {
        return Err(Failure::new(
            Kind::Conflict,
            format!("{} of {emptied} resources left: {}", left.len(), left.join(", ")),
        )
        .hint(format!("a program still uses them; stop it and run `sandbox down {name}` again")));
    }
    locked.state.sandboxes.remove(&name);
    locked.save()?;
    naming::unpin(&context.directory, &name);
    context.console.note(&format!("{name} deleted in {}", output::seconds(started.elapsed())));
    report(context, &name, Some(emptied + 2))
}

fn report(context: &Context, name: &str, deleted: Option<usize>) -> Result<()> {
    match (context.console.form, deleted) {
        (Form::Json, _) => context.console.json(&json!({
            "apiVersion": "sandbox/v1",
            "kind": "Deletion",
            "metadata": { "name": name },
            "status": { "existed": deleted.is_some(), "resources": deleted.unwrap_or_default(), "left": 0 },
        })),
        (Form::Human, Some(deleted)) => context.console.data(&format!("0 of {deleted} resources left\n")),
        (Form::Human, None) => {}
    }
    Ok(())
}

/// Deletes groups and topics as the tenant, which can reach its own only. Returns how many there were.
fn empty(context: &Context, name: &str, sandbox: &Sandbox) -> Result<usize> {
    let since = Instant::now();
    let target = Target::from(&sandbox.connection);
    let deadline = since + PATIENCE;
    let inside = cluster::describe(&target, deadline)?;
    let groups = cluster::groups(&target, &inside.brokers, deadline)?;
    let in_use = delete_groups(&target, &groups, deadline)?;
    if !in_use.is_empty() {
        let names = in_use.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(
            Kind::Conflict,
            format!("sandbox '{name}' is in use: these groups have members: {names}"),
        )
        .hint(format!("stop those consumers, then run `sandbox down {name}` again; no topic was deleted")));
    }
    context.console.step("groups", since, &format!("{} deleted", groups.len()));
    let since = Instant::now();
    let topics = inside.topics.into_iter().map(|topic| topic.name).collect::<Vec<_>>();
    cluster::delete_topics(&target, &topics, deadline)?;
    context.console.step("topics", since, &format!("{} deleted", topics.len()));
    Ok(groups.len() + topics.len())
}

/// Deletes groups, waiting a little for members that are leaving. Returns those that are still in use.
fn delete_groups(target: &Target, groups: &[Group], deadline: Instant) -> std::result::Result<Vec<Group>, KafkaError> {
    let patience = Instant::now() + GROUP_PATIENCE;
    let mut in_use = cluster::delete_groups(target, groups, deadline)?;
    while !in_use.is_empty() && Instant::now() < patience {
        thread::sleep(POLL);
        in_use = cluster::delete_groups(target, &in_use, deadline)?;
    }
    Ok(in_use)
}

/// What is left, as far as the tenant sees: for a gateway whose broker cannot be asked from here. `None` where it can.
fn left_as_tenant(state: &State, sandbox: &Sandbox) -> Result<Option<Vec<String>>> {
    if sandbox.server == Server::Local && state.stack.is_some() {
        return Ok(None);
    }
    Ok(Some(settled(&Target::from(&sandbox.connection), |_| true)?))
}

/// What is left on the physical broker of what begins with the sandbox's prefix.
fn left_on_broker(state: &State, sandbox: &Sandbox) -> Result<Vec<String>> {
    let Some(stack) = &state.stack else { return Ok(Vec::new()) };
    let prefix = server::prefix(&sandbox.id);
    settled(&Target::open(stack.broker.bootstrap()), |name| name.starts_with(&prefix))
}

/// Looks until nothing is left, or for as long as a broker may be late.
fn settled(target: &Target, ours: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let deadline = Instant::now() + VERIFY_PATIENCE;
    loop {
        let cluster = cluster::describe(target, deadline + PATIENCE)?;
        let groups = cluster::groups(target, &cluster.brokers, deadline + PATIENCE)?;
        let topics = cluster.topics.into_iter().map(|topic| topic.name);
        let left =
            topics.chain(groups.into_iter().map(|group| group.name)).filter(|name| ours(name)).collect::<Vec<_>>();
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        thread::sleep(POLL);
    }
}
