//! The `gateway` binary: arguments, settings, start and stop.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use gateway::apis::listing;
use gateway::config::{Config, ConfigError, Loaded};
use gateway::material::Material;
use tracing_subscriber::EnvFilter;

/// A proxy that speaks the Kafka protocol: virtual clusters on one physical Kafka.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT.
    Run {
        /// The settings file; environment variables (GATEWAY_*, KAFKA_*) override it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a settings file without starting anything; variables count as they would for `run`.
    Validate {
        /// The settings file.
        file: PathBuf,
    },
    /// Print what becomes of each Kafka API in a virtual cluster: renamed (map), answered here (own), refused (deny).
    Apis {
        /// The form of the list.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Form {
    /// aligned text for people
    #[default]
    Table,
    /// a list of {key, name, versions, verdict, reason}; versions is "0-13", or "" where nothing is served
    Json,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run { config } => {
            let config = load(config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            Ok(runtime.block_on(gateway::run(config))?)
        }
        Command::Validate { file } => {
            let name = file.display().to_string();
            Material::read(&load(Some(file))?)?;
            println!("{name} is valid");
            Ok(())
        }
        Command::Apis { output } => {
            let text = match output {
                Form::Table => listing::table(),
                Form::Json => format!("{:#}\n", listing::json()),
            };
            // Whoever reads may have seen enough and hung up, as `head` does.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
    }
}

fn load(path: Option<PathBuf>) -> Result<Config, ConfigError> {
    // A variable that is not Unicode is none of ours.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    let Loaded { config, warnings } = Config::load(path.as_deref(), environment)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}
