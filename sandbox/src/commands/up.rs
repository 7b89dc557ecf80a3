use std::time::{Duration, Instant, SystemTime};

use contract::client::AdminClient;
use contract::resources::UpsertResult;
use contract::secret::Secret;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::identity;
use crate::kafka::cluster::Broker;
use crate::kafka::{Target, probe};
use crate::naming::{self, Source};
use crate::output::{self, Form};
use crate::providers::{Provider, Wish};
use crate::server::{self, Action};
use crate::stack;
use crate::state::{Locked, Sandbox, Server, State};

/// Makes a sandbox, or finds the one of that name, and prints how to connect
///
/// Returns when every broker that is advertised answers from here and a record went round.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The name; any text becomes one
    name: Option<String>,
    /// On this machine: starts Kafka and a gateway in the background unless they run
    #[arg(long)]
    local: bool,
    /// Where the local stack's Kafka comes from
    #[arg(long, value_enum, default_value_t, requires = "local")]
    provider: Provider,
    /// The Kafka to use instead of starting one
    #[arg(long, env = "SANDBOX_KAFKA_BOOTSTRAP", value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// The port on which Kafka shall listen
    #[arg(long, env = "SANDBOX_KAFKA_PORT", value_name = "PORT")]
    kafka_port: Option<u16>,
    /// The first of the ports on which the gateway shall listen
    #[arg(long, env = "SANDBOX_GATEWAY_PORT", value_name = "PORT")]
    gateway_port: Option<u16>,
    /// How long to wait until the sandbox is ready
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    wait_timeout: Duration,
    /// Print the password in the JSON
    #[arg(long)]
    show_secrets: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let started = Instant::now();
    let name = context.name(args.name.as_deref())?;
    let mut locked = Locked::acquire(&context.home, || {
        context.console.note("another sandbox command is at work; waiting for it");
    })?;
    let on = choose_server(context, &args, &locked.state, &name.text)?;
    if on == Server::Local && args.local {
        let wish = Wish {
            provider: args.provider,
            bootstrap: args.bootstrap.filter(|bootstrap| !bootstrap.is_empty()),
            port: args.kafka_port,
        };
        stack::ensure(context, &mut locked, &wish, args.gateway_port)?;
    }
    let (sandbox, action) = declare(context, &mut locked, &name.text, &on)?;
    // What follows changes nothing: other commands need not wait for it.
    drop(locked);

    let brokers = wait(context, &name.text, &sandbox, args.wait_timeout)?;
    if name.source == Source::Argument
        && let Err(failure) = naming::pin(&context.directory, &name.text)
    {
        // The sandbox is there all the same; only its name must be given again.
        context.console.note(&format!("the name is not pinned: {failure}"));
    }
    context.console.note(&format!("{} {} in {}", name.text, action.word(), output::seconds(started.elapsed())));
    match context.console.form {
        Form::Json => {
            let mut value = document(&name.text, &sandbox, args.show_secrets);
            value["status"] = status(action, &brokers);
            context.console.json(&value);
        }
        Form::Human => context.console.data(&format!("{}{}", block(&name.text, &sandbox), next(&name.text))),
    }
    Ok(())
}

/// `--local`, else the named server, else where the sandbox is, else a local stack that runs.
fn choose_server(context: &Context, args: &Args, state: &State, name: &str) -> Result<Server> {
    let known = state.sandboxes.get(name).map(|sandbox| sandbox.server.clone());
    let asked = match (args.local, &context.server) {
        (true, _) => Some(Server::Local),
        (false, Some(url)) => Some(Server::Url(url.trim_end_matches('/').to_owned())),
        (false, None) => None,
    };
    match (asked, known) {
        (Some(asked), Some(known)) if asked != known => {
            Err(Failure::new(Kind::Conflict, format!("sandbox '{name}' is on {known}, not on {asked}"))
                .hint(format!("take another name, or `sandbox down {name}` first")))
        }
        (Some(server), _) | (None, Some(server)) => Ok(server),
        (None, None) if state.stack.as_ref().is_some_and(|stack| stack.gateway.is_some()) => Ok(Server::Local),
        (None, None) => Err(Failure::new(Kind::Usage, "no gateway is named, and no local stack was started")
            .hint(format!("`sandbox up {name} --local` starts one; --server or SANDBOX_SERVER names one"))),
    }
}

/// Declares the sandbox on its gateway. It is remembered before, so that an interrupted command leaves nothing unknown.
fn declare(context: &Context, locked: &mut Locked, name: &str, on: &Server) -> Result<(Sandbox, Action)> {
    let since = Instant::now();
    let admin = server::admin(&locked.state, on)?;
    let known = locked.state.sandboxes.get(name).cloned();
    let is_new = known.is_none();
    let before = match known {
        Some(sandbox) => sandbox,
        None => new(on)?,
    };
    locked.state.sandboxes.insert(name.to_owned(), before.clone());
    locked.save()?;
    let (result, connection) = match settle(&admin, &locked.state, &before) {
        Ok(settled) => settled,
        Err(failure) => {
            if is_new {
                locked.state.sandboxes.remove(name);
                locked.save()?;
            }
            return Err(failure);
        }
    };
    let sandbox = Sandbox { connection, ..before.clone() };
    let action = match result {
        _ if is_new => Action::Created,
        UpsertResult::NotChanged if sandbox == before => Action::Unchanged,
        UpsertResult::NotChanged | UpsertResult::Updated | UpsertResult::Created => Action::Updated,
    };
    locked.state.sandboxes.insert(name.to_owned(), sandbox.clone());
    locked.save()?;
    context.console.step("virtual cluster", since, &format!("{} on {on}", sandbox.id));
    Ok((sandbox, action))
}

/// Declares, and completes the connection with the address that the gateway gives.
fn settle(admin: &AdminClient, state: &State, sandbox: &Sandbox) -> Result<(UpsertResult, Connection)> {
    let result = server::declare(admin, sandbox)?;
    let mut connection = sandbox.connection.clone();
    let local = state.stack.as_ref().and_then(|stack| stack.gateway.as_ref()).map(stack::gateway::bootstrap);
    connection.bootstrap = match (&sandbox.server, local) {
        (Server::Local, Some(bootstrap)) => bootstrap,
        (Server::Local, None) => return Err(server::not_running()),
        (Server::Url(url), _) => {
            let cluster = admin.get_virtual_cluster(&sandbox.id)?;
            let bootstrap = cluster.and_then(|cluster| cluster.spec.bootstrap_servers);
            bootstrap.filter(|bootstrap| !bootstrap.is_empty()).ok_or_else(|| {
                Failure::new(Kind::Internal, format!("the gateway at {url} does not tell where Kafka clients connect"))
            })?
        }
    };
    Ok((result, connection))
}

fn new(on: &Server) -> Result<Sandbox> {
    let id = identity::sandbox_id()?;
    let username = format!("{id}_app");
    Ok(Sandbox {
        id,
        server: on.clone(),
        connection: Connection::plain("", username, Secret::new(identity::password()?)),
        created_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
    })
}

fn wait(context: &Context, name: &str, sandbox: &Sandbox, patience: Duration) -> Result<Vec<Broker>> {
    let since = Instant::now();
    let target = Target::from(&sandbox.connection);
    let deadline = since + patience;
    let ready = probe::brokers(&target, deadline).and_then(|brokers| {
        context.console.step("brokers", since, &format!("{} of {} reachable from here", brokers.len(), brokers.len()));
        let since = Instant::now();
        probe::round_trip(&target, deadline)?;
        context.console.step("round trip", since, "a record was produced and fetched");
        Ok(brokers)
    });
    ready.map_err(|error| {
        Failure::new(Kind::TimedOut, format!("sandbox '{name}' exists but is not ready: {error}"))
            .hint("run the same command again; `sandbox local logs gateway` shows what the gateway says")
    })
}

fn status(action: Action, brokers: &[Broker]) -> Value {
    let brokers = brokers
        .iter()
        .map(|broker| json!({ "id": broker.id, "host": broker.host, "port": broker.port, "reachable": true }));
    json!({ "state": "ready", "action": action.word(), "brokers": brokers.collect::<Vec<_>>() })
}

/// The lines that tell how to connect.
pub(super) fn block(name: &str, sandbox: &Sandbox) -> String {
    let connection = &sandbox.connection;
    format!(
        "bootstrap  {}  {}  {}\nusername   {}  password hidden (sandbox env {name})\n",
        connection.bootstrap, connection.security_protocol, connection.mechanism, connection.username
    )
}

fn next(name: &str) -> String {
    format!(
        "\nnext   sandbox exec {name} -- ./your-program\n       sandbox env {name} --file .env\n       sandbox down {name}\n"
    )
}

/// The JSON of a sandbox but for its status.
pub(super) fn document(name: &str, sandbox: &Sandbox, show_secrets: bool) -> Value {
    let connection = &sandbox.connection;
    let mut told = json!({
        "bootstrap": connection.bootstrap,
        "securityProtocol": connection.security_protocol,
        "mechanism": connection.mechanism,
        "username": connection.username,
    });
    if show_secrets {
        told["password"] = connection.password.reveal().into();
    }
    json!({
        "apiVersion": "sandbox/v1",
        "kind": "Sandbox",
        "metadata": { "name": name, "id": sandbox.id, "createdAt": sandbox.created_at },
        "spec": { "server": sandbox.server.to_string() },
        "status": {},
        "connection": told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> Sandbox {
        Sandbox {
            id: "sb_7f3k2q9xma".to_owned(),
            server: Server::Local,
            connection: Connection::plain("127.0.0.1:6969", "sb_7f3k2q9xma_app", Secret::new("s3cret")),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn the_block_of_a_sandbox() {
        assert_eq!(
            block("demo", &sandbox()) + &next("demo"),
            "bootstrap  127.0.0.1:6969  SASL_PLAINTEXT  PLAIN
username   sb_7f3k2q9xma_app  password hidden (sandbox env demo)

next   sandbox exec demo -- ./your-program
       sandbox env demo --file .env
       sandbox down demo
"
        );
    }

    #[test]
    fn the_password_is_shown_only_when_asked_for() {
        let hidden = document("demo", &sandbox(), false);
        assert!(!hidden.to_string().contains("s3cret"), "{hidden}");
        assert_eq!(document("demo", &sandbox(), true)["connection"]["password"], "s3cret");
    }

    #[test]
    fn the_json_is_a_contract() {
        let mut value = document("demo", &sandbox(), false);
        value["status"] = status(Action::Created, &[Broker { id: 1, host: "127.0.0.1".to_owned(), port: 6969 }]);
        assert_eq!(
            format!("{value:#}"),
            r#"{
  "apiVersion": "sandbox/v1",
  "kind": "Sandbox",
  "metadata": {
    "name": "demo",
    "id": "sb_7f3k2q9xma",
    "createdAt": "2026-01-01T00:00:00Z"
  },
  "spec": {
    "server": "local"
  },
  "status": {
    "state": "ready",
    "action": "created",
    "brokers": [
      {
        "id": 1,
        "host": "127.0.0.1",
        "port": 6969,
        "reachable": true
      }
    ]
  },
  "connection": {
    "bootstrap": "127.0.0.1:6969",
    "securityProtocol": "SASL_PLAINTEXT",
    "mechanism": "PLAIN",
    "username": "sb_7f3k2q9xma_app"
  }
}"#
        );
    }
}
