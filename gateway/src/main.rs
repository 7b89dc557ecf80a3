//! The `gateway` binary: arguments, settings, start and stop.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gateway::apis::listing;
use gateway::audit::chain::Hasher;
use gateway::audit::verify::{Expected, verify};
use gateway::certs::CertsCommand;
use gateway::cli::validate::Validate;
use gateway::cli::{CliError, ResourceCommand};
use gateway::config::{ConfigError, Loaded, LogFormat, Source};
use gateway::material::Material;
use gateway::observe::logs;
use gateway::reload::Settings;

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
        /// Where resources are kept, in the place of state.store: memory, topic, topic:NAME, dir:PATH.
        #[arg(long, value_name = "STORE")]
        state: Option<String>,
    },
    /// Check files of settings and of resources without starting anything.
    Validate(Validate),
    #[command(flatten)]
    Resources(ResourceCommand),
    /// Print what becomes of each Kafka API in a virtual cluster: renamed (map), answered here (own), refused (deny).
    Apis {
        /// The form of the list.
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
    },
    /// Make certificates for development.
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Work with what the audit recorded.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that recorded events are as they were written, in their order, and none in between is missing.
    ///
    /// Exit code 0: all are. 1: they are not; the first line that is wrong is told. 2: nothing can be said, because there is
    /// nothing to read, or a key is missing. That events at the end are missing shows only by --last.
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// Files from the oldest to the newest, one event a line; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file with the key that the gateways had (audit.chainKey).
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The hash of a line that is kept elsewhere: its chain may begin behind it. Once for each chain.
    #[arg(long, value_name = "HASH")]
    after: Vec<String>,
    /// The hash of a line that must be there, as it was told the last time. Once for each chain.
    #[arg(long, value_name = "HASH")]
    last: Vec<String>,
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
    let command = Arguments::parse().command;
    // One means that something was found.
    let failure = if matches!(command, Command::Audit { .. }) { ExitCode::from(2) } else { ExitCode::FAILURE };
    match execute(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            error.downcast_ref::<CliError>().map_or(failure, CliError::code)
        }
    }
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run { config, state } => {
            let source = source(config, state);
            let loaded = load(&source)?;
            #[cfg(feature = "gssapi")]
            start_over_for_kerberos(&loaded.config)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(gateway::run(Settings::new(source, loaded)))?;
        }
        Command::Validate(command) => return Ok(command.run(check_settings)?),
        Command::Resources(command) => return Ok(command.run()?),
        Command::Apis { output } => {
            let text = match output {
                Form::Table => listing::table(),
                Form::Json => format!("{:#}\n", listing::json()),
            };
            // Whoever reads may have seen enough and hung up, as `head` does.
            let _ = io::stdout().write_all(text.as_bytes());
        }
        Command::Certs { command } => print!("{}", command.run()?),
        Command::Audit { command: AuditCommand::Verify(arguments) } => return verify_events(arguments),
    }
    Ok(ExitCode::SUCCESS)
}

fn check_settings(file: &Path) -> Result<(), String> {
    let check = || -> anyhow::Result<()> {
        let config = load(&source(Some(file.to_owned()), None))?.config;
        Material::read(&config)?;
        for upstream in std::iter::once(&config.upstream).chain(&config.failover) {
            upstream.security.tls.as_ref().map(gateway::upstream::tls::Client::new).transpose()?;
        }
        Ok(())
    };
    check().map_err(|error| format!("{error:#}"))
}

fn verify_events(arguments: Verify) -> anyhow::Result<ExitCode> {
    let Verify { files, key_file, after, last } = arguments;
    let readable = |file: &PathBuf| format!("cannot read {}", file.display());
    let key = key_file.as_ref().map(|file| std::fs::read_to_string(file).with_context(|| readable(file)));
    let key = key.transpose()?;
    let hasher = Hasher::new(key.as_deref().map(|key| key.trim_end_matches(['\r', '\n']).as_bytes()));
    let expected = Expected { hasher, after: BTreeSet::from_iter(after), last: BTreeSet::from_iter(last) };
    let mut lines: Box<dyn BufRead> = Box::new(io::empty());
    for file in &files {
        let next: Box<dyn BufRead> = match file.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(file).with_context(|| readable(file))?)),
        };
        // Where a file was cut off, the next one begins a line of its own.
        lines = Box::new(lines.chain(next).chain(&b"\n"[..]));
    }
    let report = verify(lines, &expected)?;
    let _ = io::stdout().write_all(report.to_string().as_bytes());
    Ok(if report.broken.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Starts this program over where Kerberos' library needs variables that are not set: it reads them from the environment,
/// which no process with threads can change. The process keeps its id.
#[cfg(feature = "gssapi")]
fn start_over_for_kerberos(config: &gateway::config::Config) -> anyhow::Result<()> {
    use gateway::config::upstream::Sasl;
    use std::os::unix::process::CommandExt as _;
    let Some(Sasl::Gssapi(settings)) = &config.upstream.security.sasl else { return Ok(()) };
    let missing = gateway::upstream::sasl::missing_variables(settings);
    if missing.is_empty() {
        return Ok(());
    }
    let mut again = std::process::Command::new(std::env::current_exe()?);
    Err(again.args(std::env::args_os().skip(1)).envs(missing).exec().into())
}

/// The file and the variables that the arguments mean.
fn source(path: Option<PathBuf>, state: Option<String>) -> Source {
    // A variable that is not Unicode is none of ours.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    // What stands behind the program's name counts more than a variable.
    Source::new(path, environment.chain(state.map(|state| ("GATEWAY_STATE".to_owned(), state))))
}

fn load(source: &Source) -> Result<Loaded, ConfigError> {
    let loaded = source.load()?;
    logs::begin(loaded.config.log_format == LogFormat::Json, loaded.config.log_level.as_deref());
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}
