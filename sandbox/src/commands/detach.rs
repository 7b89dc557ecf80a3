use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::error::{Failure, Kind};

/// Becomes a program in a session of its own
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Returns only if that failed.
pub(super) fn run(args: &Args) -> Failure {
    if let Err(error) = rustix::process::setsid() {
        return Failure::new(Kind::Internal, format!("cannot make a session: {error}"));
    }
    let Some((program, arguments)) = args.command.split_first() else {
        return Failure::new(Kind::Usage, "no program to start");
    };
    let error = Command::new(program).args(arguments).exec();
    Failure::new(Kind::Internal, format!("cannot start {program}: {error}"))
}
