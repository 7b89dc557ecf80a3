use std::path::PathBuf;

use ::gateway::config::{Config, Loaded, LogFormat};
use ::gateway::observe::logs;

use crate::error::{Failure, Kind, Result};

/// Runs the gateway in this process until it is told to end
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// The file alone counts: a shell that uses a sandbox has KAFKA_BOOTSTRAP_SERVERS set to the gateway itself, which must
/// not become what the gateway connects to.
pub(super) fn run(args: &Args) -> Result<()> {
    let Loaded { config, warnings } = Config::load(Some(&args.config), std::iter::empty())
        .map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
    logs::begin(config.log_format == LogFormat::Json);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot start threads: {error}")))?;
    runtime.block_on(::gateway::run(config)).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}
