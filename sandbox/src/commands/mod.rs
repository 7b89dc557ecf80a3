//! The commands. One file each: its arguments, whose doc comment is the help, and its `run`.

mod detach;
mod down;
mod env;
mod exec;
mod gateway;
mod list;
mod local;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::home::Home;
use crate::output::{Console, Form};

/// Virtual Kafka clusters per team or branch, on demand.
///
/// A command without NAME means the sandbox of SANDBOX_NAME, else of the .sandbox file, else of the pull request in CI,
/// else of the git branch.
///
/// Exit codes: 0 done or unchanged, 1 internal, 2 usage, 3 not found, 4 conflict, 5 denied, 7 timed out, 8 unreachable,
/// 10 difference; `exec` returns its command's.
#[derive(Debug, Parser)]
#[command(name = "sandbox", version)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Text for people or JSON for programs
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    /// Say only what was asked for, and failures
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Act as if called in this directory
    #[arg(short = 'C', global = true, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The admin address of a gateway; SANDBOX_TOKEN holds the login as USER:PASSWORD
    #[arg(long, global = true, env = "SANDBOX_SERVER", value_name = "URL")]
    server: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Env(env::Args),
    Exec(exec::Args),
    List(list::Args),
    Status(status::Args),
    Down(down::Args),
    Local(local::Args),
    #[command(hide = true)]
    Gateway(gateway::Args),
    #[command(hide = true)]
    Detach(detach::Args),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let console = Console { form: cli.global.output, quiet: cli.global.quiet };
    match dispatch(cli, console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.failure(&failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

fn dispatch(cli: Cli, console: Console) -> Result<()> {
    // These two run in the background and need nothing of the others' surroundings.
    match &cli.command {
        Command::Gateway(args) => return gateway::run(args),
        Command::Detach(args) => return Err(detach::run(args)),
        _ => {}
    }
    let context = context(cli.global, console)?;
    match cli.command {
        Command::Up(args) => up::run(&context, args),
        Command::Env(args) => env::run(&context, &args),
        Command::Exec(args) => Err(exec::run(&context, &args)),
        Command::List(args) => list::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Down(args) => down::run(&context, &args),
        Command::Local(args) => local::run(&context, &args),
        Command::Gateway(_) | Command::Detach(_) => Ok(()),
    }
}

fn context(global: Global, console: Console) -> Result<Context> {
    let launcher = std::env::current_exe()
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot find this program itself: {error}")))?;
    let directory = match global.directory {
        Some(directory) if directory.is_dir() => directory,
        Some(directory) => {
            return Err(Failure::new(Kind::Usage, format!("-C {}: no such directory", directory.display())));
        }
        None => std::env::current_dir()
            .map_err(|error| Failure::new(Kind::Internal, format!("cannot tell the working directory: {error}")))?,
    };
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    let server = global.server.filter(|server| !server.is_empty());
    Ok(Context { home: Home::find()?, console, launcher, directory, server })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
