use std::path::PathBuf;

use crate::connection::Format;
use crate::context::Context;
use crate::envfile;
use crate::error::{Failure, Kind, Result};
use crate::home;
use crate::output::Form;
use crate::server;
use crate::state::State;

/// Prints how to connect, with the password
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sandbox
    name: Option<String>,
    /// In which form; with -o json the default is json
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Update this .env file instead: our variables only, every other line stays
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let name = context.name(args.name.as_deref())?;
    let state = State::read(&context.home)?;
    let sandbox = state.sandbox(&name.text)?;
    if !server::may_run(&state, sandbox) {
        context.console.note(&format!("'{0}' does not answer now; `sandbox up {0} --local` starts it", name.text));
    }
    let format = args.format.unwrap_or(match context.console.form {
        Form::Human => Format::Dotenv,
        Form::Json => Format::Json,
    });
    let text = sandbox.connection.render(format, &name.text, &sandbox.id);
    let Some(file) = &args.file else {
        context.console.data(&text);
        return Ok(());
    };
    if !matches!(format, Format::Dotenv | Format::Shell) {
        return Err(Failure::new(Kind::Usage, "--file merges variables, so it goes with the formats dotenv and shell"));
    }
    let path = context.directory.join(file);
    let existing = match std::fs::read_to_string(&path) {
        Ok(existing) => existing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::file("read", &path, &error)),
    };
    home::write_private(&path, &envfile::merge(&existing, &text))?;
    context.console.note(&format!("{} has the variables of '{}'", path.display(), name.text));
    Ok(())
}
