use std::path::PathBuf;

use ::gateway::config::{LogFormat, Source};
use ::gateway::observe::logs;
use ::gateway::reload::Settings;

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
    let source = Source::new(Some(args.config.clone()), []);
    let loaded = source.load().map_err(|error| Failure::new(Kind::Usage, error.to_string()))?;
    logs::begin(loaded.config.log_format == LogFormat::Json, loaded.config.log_level.as_deref());
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(::gateway::run(Settings::new(source, loaded)));
    done.map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}
