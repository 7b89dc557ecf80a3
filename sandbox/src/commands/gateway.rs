use std::path::PathBuf;

use crate::error::{Failure, Kind, Result};

/// Runs the gateway in this process until it is told to end
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    Err(Failure::new(Kind::Internal, format!("no gateway is linked in to read {}", args.config.display())))
}
