//! The gateway of the local stack: this same program, started once more in the background.

use std::thread;
use std::time::{Duration, Instant};

use contract::client::AdminClient;
use contract::secret::Secret;
use serde_json::json;

use super::ports;
use super::process::{self, Process};
use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::home;
use crate::identity;
use crate::kafka::cluster::Broker;
use crate::kafka::{Target, probe};
use crate::state::Gateway;

/// Where gateways of this kind usually listen.
const USUAL_PORT: u16 = 6969;
const USUAL_ADMIN_PORT: u16 = 8888;
/// Ports kept for brokers that may join.
const LEAST_PORTS: u16 = 10;
const ADMIN_USER: &str = "sandbox";
const BROKER_PATIENCE: Duration = Duration::from_secs(20);
const START_PATIENCE: Duration = Duration::from_secs(30);
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
const LOG_LINES: usize = 15;
const ATTEMPTS: u32 = 3;

/// Starts a gateway before `upstream` and waits until it can serve. Ports of last time are taken again if they are free.
pub fn start(
    context: &Context,
    upstream: &str,
    before: Option<&Gateway>,
    port: Option<u16>,
    remember: &mut dyn FnMut(Gateway) -> Result<()>,
) -> Result<()> {
    let brokers = probe::brokers(&Target::open(upstream), Instant::now() + BROKER_PATIENCE)?;
    let mut attempt = 1;
    loop {
        let plan = plan(context, upstream, &brokers, before, port)?;
        match start_on(context, &plan, remember) {
            // Someone may take a port between our look and the gateway's; then there are others.
            Err(_) if port.is_none() && attempt < ATTEMPTS && !plan.ports_are_free() => attempt += 1,
            result => return result,
        }
    }
}

/// A gateway that is about to be started.
struct Plan {
    upstream: String,
    lowest_broker: i32,
    port: u16,
    port_count: u16,
    admin_port: u16,
    admin_password: Secret,
}

impl Plan {
    fn ports_are_free(&self) -> bool {
        let mut all = (self.port..self.port.saturating_add(self.port_count)).chain([self.admin_port]);
        all.all(ports::is_free)
    }

    /// What the gateway reads.
    fn settings(&self) -> serde_json::Value {
        json!({
            "upstream": { "bootstrapServers": self.upstream },
            "clients": {
                "securityProtocol": "SASL_PLAINTEXT",
                "bindHost": "127.0.0.1",
                "advertisedHost": "127.0.0.1",
                "portStart": self.port,
                "portCount": self.port_count,
                "minBrokerId": self.lowest_broker,
            },
            "admin": {
                "bindHost": "127.0.0.1",
                "port": self.admin_port,
                "users": [{ "username": ADMIN_USER, "password": self.admin_password.reveal() }],
            },
            "state": { "store": "memory" },
            // What happens on one's own machine is in the log; nobody would ever clear an audit file there. Everybody comes from one
            // address, so that many failed logins from it say nothing.
            "audit": { "sinks": [], "failures": 1_000_000 },
        })
    }
}

fn plan(
    context: &Context,
    upstream: &str,
    brokers: &[Broker],
    before: Option<&Gateway>,
    port: Option<u16>,
) -> Result<Plan> {
    let lowest_broker = brokers.iter().map(|broker| broker.id).min().unwrap_or_default();
    let highest = brokers.iter().map(|broker| broker.id).max().unwrap_or_default();
    let port_count = u16::try_from(highest - lowest_broker + 1).unwrap_or(u16::MAX).max(LEAST_PORTS);
    let port = choose_port(context, port, before, port_count)?;
    let promised = (port..port.saturating_add(port_count)).collect::<Vec<_>>();
    let admin_port = before.map_or(USUAL_ADMIN_PORT, |before| before.admin_port);
    let admin_port = ports::choose(admin_port, 1, &promised)?;
    let admin_password = Secret::new(identity::password()?);
    Ok(Plan { upstream: upstream.to_owned(), lowest_broker, port, port_count, admin_port, admin_password })
}

fn start_on(context: &Context, plan: &Plan, remember: &mut dyn FnMut(Gateway) -> Result<()>) -> Result<()> {
    let since = Instant::now();
    let process = launch(context, &plan.settings())?;
    let gateway = Gateway {
        process,
        upstream: plan.upstream.clone(),
        port: plan.port,
        port_count: plan.port_count,
        admin_port: plan.admin_port,
        admin_user: ADMIN_USER.to_owned(),
        admin_password: plan.admin_password.clone(),
    };
    remember(gateway.clone())?;
    wait(context, &gateway)?;
    let detail = format!("port {}, admin port {}, pid {}", gateway.port, gateway.admin_port, gateway.process.pid);
    context.console.step("gateway", since, &detail);
    Ok(())
}

/// The address for clients to begin with.
pub fn bootstrap(gateway: &Gateway) -> String {
    format!("127.0.0.1:{}", gateway.port)
}

/// Whether a running gateway is what is asked for now.
pub fn suits(gateway: &Gateway, port: Option<u16>) -> Result<()> {
    match port {
        Some(port) if port != gateway.port => Err(Failure::new(
            Kind::Conflict,
            format!("the gateway already runs, on port {} and not {port}", gateway.port),
        )
        .hint("`sandbox local stop` ends it; then start it on another port")),
        _ => Ok(()),
    }
}

/// Lets the gateway end what it is doing, then ends it.
pub fn stop(gateway: &Gateway) -> Result<bool> {
    gateway.process.stop(STOP_PATIENCE)
}

fn choose_port(context: &Context, wanted: Option<u16>, before: Option<&Gateway>, count: u16) -> Result<u16> {
    let Some(wanted) = wanted else {
        let preferred = before.map_or(USUAL_PORT, |before| before.port);
        let chosen = ports::choose(preferred, count, &[])?;
        if chosen != preferred
            && let Some(taken) = (preferred..preferred.saturating_add(count)).find(|port| !ports::is_free(*port))
        {
            let by = ports::taken(taken, "the gateway").message;
            context.console.note(&format!("{by}; using port {chosen} and those after it"));
        }
        return Ok(chosen);
    };
    match (wanted..wanted.saturating_add(count)).find(|port| !ports::is_free(*port)) {
        None => Ok(wanted),
        Some(taken) => Err(ports::taken(taken, "the gateway")
            .hint(format!("it needs {count} ports in a row; leave --gateway-port out to get free ones"))),
    }
}

fn launch(context: &Context, config: &serde_json::Value) -> Result<Process> {
    let text = serde_yaml::to_string(config)
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot write the gateway's configuration: {error}")))?;
    let path = context.home.gateway_config();
    home::write_private(&path, &text)?;
    let (launcher, path) = (context.launcher.display().to_string(), path.display().to_string());
    let command = [launcher.as_str(), "gateway", "--config", &path];
    process::start_detached(&context.launcher, &command, &context.home.gateway_log())
}

fn wait(context: &Context, gateway: &Gateway) -> Result<()> {
    let admin = AdminClient::new(&gateway.admin_url(), &gateway.admin_user, gateway.admin_password.reveal());
    let log = context.home.gateway_log();
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        // Another gateway may have taken the port first, but its admin has another password.
        let ready = matches!(admin.ready(), Ok(true)) && admin.list_virtual_clusters().is_ok();
        let alive = gateway.process.is_alive();
        if ready && alive {
            return Ok(());
        }
        if !alive || Instant::now() > deadline {
            let what = if alive { "was not ready in time" } else { "did not start" };
            if alive {
                gateway.process.stop(STOP_PATIENCE)?;
            }
            let lines = process::last_lines(&log, LOG_LINES);
            return Err(Failure::new(Kind::Unreachable, format!("the gateway {what}; its last lines:\n{lines}"))
                .hint(format!("the whole log is {}", log.display())));
        }
        thread::sleep(POLL);
    }
}
