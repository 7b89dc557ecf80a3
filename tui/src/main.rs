//! `gateway-top`: the tenants of a gateway, their traffic and what was refused, live in the terminal or once as text.

mod effect;
mod message;
mod model;
mod plain;
mod snapshot;
mod update;
mod view;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use contract::client::AdminClient;
use ratatui::DefaultTerminal;

use crate::message::Message;
use crate::model::Model;
use crate::snapshot::Snapshot;
use crate::view::Theme;

/// Tenants, traffic and refusals of a gateway, live. It only reads.
#[derive(Debug, Parser)]
#[command(name = "gateway-top", version)]
struct Arguments {
    /// Address of the gateway's admin API
    #[arg(long, env = "GATEWAY_ADMIN_URL", default_value = "http://127.0.0.1:8888")]
    server: String,
    /// User of the admin API
    #[arg(long, env = "GATEWAY_ADMIN_USER", default_value = "admin")]
    username: String,
    /// Password of that user; better given by the environment than on the command line, where others can see it
    #[arg(long, env = "GATEWAY_ADMIN_PASSWORD", hide_env_values = true, default_value = "")]
    password: String,
    /// Seconds between two readings
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,
    /// Read twice, one interval apart, print once and end
    #[arg(long)]
    once: bool,
    /// Form of what --once prints
    #[arg(short, long, value_enum, default_value_t = Output::Table, requires = "once")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Json,
    Table,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to if standard error is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = AdminClient::new(&arguments.server, &arguments.username, &arguments.password);
    let interval = Duration::from_secs(arguments.interval);
    if arguments.once {
        return once(&client, &arguments.server, interval, arguments.output);
    }
    let mut terminal = ratatui::try_init().context("gateway-top needs a terminal; without one use --once")?;
    let result = live(&mut terminal, client, Model::new(arguments.server, interval));
    ratatui::restore();
    result
}

fn once(client: &AdminClient, server: &str, interval: Duration, output: Output) -> anyhow::Result<()> {
    let started = Instant::now();
    let earlier = effect::read(client, started)?;
    std::thread::sleep(interval);
    let snapshot = Snapshot::between(server, Some(&earlier), &effect::read(client, started)?);
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&snapshot)? + "\n",
        Output::Table => view::table(&snapshot),
    };
    std::io::stdout().write_all(text.as_bytes()).context("could not write to stdout")
}

fn live(terminal: &mut DefaultTerminal, client: AdminClient, mut model: Model) -> anyhow::Result<()> {
    // https://no-color.org: set and not empty means no colour.
    let theme = Theme { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    let started = Instant::now();
    let (effects, inbox) = effect::start(client, started);
    let mut next = Message::Tick(Duration::ZERO);
    loop {
        for effect in update::update(&mut model, next) {
            effects.send(effect).context("the thread that reads the gateway has ended")?;
        }
        // What has already arrived is taken in before anything is drawn, so that a burst costs one frame.
        next = match inbox.try_recv() {
            Ok(message) => message,
            Err(_) => {
                terminal.draw(|frame| view::view(&model, theme, frame))?;
                if model.quit {
                    return Ok(());
                }
                inbox.recv().context("the terminal is gone")?
            }
        };
    }
}
