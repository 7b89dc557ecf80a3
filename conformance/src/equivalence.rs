//! The command that compares a virtual cluster with a Kafka of one's own.

use std::path::PathBuf;
use std::process::ExitCode;

use conformance::reference::{self, Brought, Rules};
use conformance::sandboxes;

use super::{Done, FAILED, HARNESS, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// Bring the sandboxes up in a home of their own and take them down afterwards
    #[arg(long, required = true)]
    up: bool,
    /// A new broker to be shared, by the virtual cluster and another tenant
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// Another new broker, with the same settings; both with auto.create.topics.enable=false
    #[arg(long, value_name = "HOST:PORT")]
    reference: String,
    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,
    /// The sandbox program; else the one beside this program, else the one on the PATH
    #[arg(long, value_name = "FILE", env = "SANDBOX_BIN")]
    sandbox_bin: Option<PathBuf>,
}

/// Brings everything up, compares, takes everything down.
pub(super) fn run(compare: &Compare) -> Done {
    let harness = |problem: String| (HARNESS, problem);
    let rules = Rules::reviewed().map_err(|error| harness(error.to_string()))?;
    let program = sandboxes::find_program(compare.sandbox_bin.clone());
    let brought =
        Brought::up(&program, &compare.bootstrap, &compare.reference).map_err(|error| harness(error.to_string()))?;
    let done = reference::run(&brought.stand, &rules);
    // What went wrong first is what is said.
    let finished = brought.finish().map_err(harness);
    let report = done.map_err(|error| harness(error.to_string()))?;
    match compare.output {
        Output::Human => print!("{}", report.human()),
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(&report).map_err(|error| harness(error.to_string()))?);
        }
    }
    finished?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
