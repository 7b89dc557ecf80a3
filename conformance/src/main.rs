//! The command line: arguments in, a report out, an exit code that scripts can rely on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use conformance::drivers::{self, Kind};
use conformance::report::{Report, Status};
use conformance::sandboxes::{self, Sandboxes};
use conformance::scenario::{self, Scenario, run::Stage};
use conformance::suites;

mod checks;
mod equivalence;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const HARNESS: u8 = 3;

/// Checks virtual Kafka clusters with real clients
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 everything held, 1 something did not, 2 wrong usage, 3 the harness could not tell, \
                  4 some checks are planned and did not run, 6 a mutant survived"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one scenario, or the checks of a profile
    Run(Run),
    /// Compare a virtual cluster with a Kafka of one's own: the same requests, the same answers
    Reference(equivalence::Compare),
    /// Put gateways with one mistake each before the checks, which have to find it
    Mutants(Mutants),
    /// List the scenarios, the clients and the checks
    List {
        /// The folder of scenarios
        #[arg(long, default_value = "scenarios")]
        scenarios: PathBuf,
        /// Text for people, or the checks as JSON
        #[arg(short, long, value_enum, default_value_t = Output::Human)]
        output: Output,
    },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The scenario file
    #[arg(long, value_name = "FILE", required_unless_present = "profile")]
    scenario: Option<PathBuf>,
    /// The profile whose checks shall run (with --up)
    #[arg(long, conflicts_with = "scenario", requires = "up", value_parser = suites::PROFILES)]
    profile: Option<String>,
    /// Only the checks whose id fits, for example 'I-0*'
    #[arg(long, value_name = "GLOB", default_value = "*")]
    check: String,
    /// What everything random is drawn from; else another seed each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Bring the sandboxes up in a home of their own and take them down afterwards; else those of this user are used
    #[arg(long)]
    up: bool,
    #[command(flatten)]
    place: Place,
    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,
    /// The folder with the clients; else `fixtures` here or further up
    #[arg(long, value_name = "FOLDER")]
    fixtures: Option<PathBuf>,
}

/// Where sandboxes are brought up
#[derive(Debug, clap::Args)]
struct Place {
    /// A broker to put the sandboxes of a run with --up on; else one is started
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// The sandbox program; else the one beside this program, else the one on the PATH
    #[arg(long, value_name = "FILE", env = "SANDBOX_BIN")]
    sandbox_bin: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Mutants {
    /// What everything random is drawn from; else another seed each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    #[command(flatten)]
    place: Place,
    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Human,
    Json,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(run) if run.place.bootstrap.is_some() && !run.up => {
            Err((USAGE, "--bootstrap says where new sandboxes go; it needs --up".to_owned()))
        }
        Command::Run(run) => match (&run.scenario, &run.profile) {
            (Some(file), _) => run_scenario(file.clone(), run),
            (None, profile) => checks::run(&profile.clone().unwrap_or_default(), &run),
        },
        Command::Reference(compare) => equivalence::run(&compare),
        Command::Mutants(told) => checks::mutants(&told),
        Command::List { output: Output::Json, .. } => checks::list_json(),
        Command::List { scenarios, .. } => list(&scenarios),
    };
    match done {
        Ok(code) => code,
        Err((code, problem)) => {
            eprintln!("conformance: {problem}");
            ExitCode::from(code)
        }
    }
}

type Done = Result<ExitCode, (u8, String)>;

fn run_scenario(file: PathBuf, run: Run) -> Done {
    let scenario = scenario::load(&file).map_err(|error| (USAGE, error.to_string()))?;
    let fixtures = match run.fixtures {
        Some(folder) => folder,
        None => fixtures_here()
            .ok_or((USAGE, "no folder fixtures/clients here or above; name it with --fixtures".into()))?,
    };
    let program = sandboxes::find_program(run.place.sandbox_bin);
    let sandboxes = if run.up {
        Sandboxes::isolated(program, provider(run.place.bootstrap)).map_err(|error| (HARNESS, error.to_string()))?
    } else {
        Sandboxes::of_this_user(program)
    };
    let report = play(&scenario, Stage::new(fixtures, sandboxes));
    match run.output {
        Output::Human => print!("{}", report.human()),
        Output::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(|error| (HARNESS, error.to_string()))?;
            println!("{json}");
        }
    }
    Ok(match report.status {
        Status::Pass | Status::Skip => ExitCode::SUCCESS,
        Status::Fail => ExitCode::from(FAILED),
        Status::Error => ExitCode::from(HARNESS),
    })
}

fn play(scenario: &Scenario, mut stage: Stage) -> Report {
    let mut report = stage.run(scenario);
    if let Err(problem) = stage.close() {
        report.clean_up_failed(problem);
    }
    report
}

fn provider(bootstrap: Option<String>) -> Vec<String> {
    match bootstrap {
        Some(address) => ["--local", "--provider", "existing", "--bootstrap", &address].map(str::to_owned).to_vec(),
        None => vec!["--local".to_owned()],
    }
}

fn list(folder: &Path) -> Done {
    println!("Scenarios");
    for file in scenario::files(folder).map_err(|error| (USAGE, error.to_string()))? {
        let scenario = scenario::load(&file).map_err(|error| (USAGE, error.to_string()))?;
        println!("  {:<32} {}", scenario.metadata.name, scenario.metadata.description);
    }
    println!("Clients");
    let fixtures = fixtures_here();
    for driver in drivers::TABLE {
        let there = driver.kind != Kind::Process
            || fixtures
                .as_ref()
                .is_some_and(|fixtures| fixtures.join("clients").join(driver.name).join("run").is_file());
        println!("  {:<32} {}{}", driver.name, driver.about, if there { "" } else { " (its folder is missing)" });
    }
    println!("Checks");
    print!("{}", suites::list_human());
    Ok(ExitCode::SUCCESS)
}

fn fixtures_here() -> Option<PathBuf> {
    drivers::find_fixtures(&std::env::current_dir().ok()?)
}
