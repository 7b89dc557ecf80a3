use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::server;
use crate::state::State;

/// Runs a command with the sandbox's variables; nothing else changes
///
/// Exit code: the command's; 125 if it was not started, 126 if it cannot be executed, 127 if there is no such command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sandbox
    name: Option<String>,
    /// The command, after --
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Becomes the command, so that signals and exit code are its own. Returns only if that failed.
pub(super) fn run(context: &Context, args: &Args) -> Failure {
    let mut command = match prepare(context, args) {
        Ok(command) => command,
        Err(failure) => return Failure { kind: Kind::NotStarted, ..failure },
    };
    let error = command.exec();
    let program = command.get_program().to_string_lossy().into_owned();
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Kind::CommandNotFound, format!("no command '{program}'")),
        _ => Failure::new(Kind::NotExecutable, format!("cannot execute '{program}': {error}")),
    }
}

fn prepare(context: &Context, args: &Args) -> Result<Command, Failure> {
    let name = context.name(args.name.as_deref())?;
    let state = State::read(&context.home)?;
    let sandbox = state.sandbox(&name.text)?;
    if !server::may_run(&state, sandbox) {
        context.console.note(&format!("'{0}' does not answer now; `sandbox up {0} --local` starts it", name.text));
    }
    let (program, arguments) =
        args.command.split_first().ok_or_else(|| Failure::new(Kind::Usage, "no command was given"))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(sandbox.connection.variables(&name.text, &sandbox.id)).current_dir(&context.directory);
    Ok(command)
}
