//! The commands about checks: run them, list them.

use std::process::ExitCode;

use conformance::sandboxes::{self, Sandboxes};
use conformance::suites::arena::Arena;
use conformance::suites::report::{SuiteReport, line};
use conformance::suites::run::Run;
use conformance::suites::seed::Seed;
use conformance::suites::{self, mutants};

use super::{Done, HARNESS, Output, Place, USAGE, provider};

/// Runs the chosen checks of a profile in an arena of their own.
pub(super) fn run(profile: &str, told: &super::Run) -> Done {
    let chosen = suites::select(profile, &told.check);
    if chosen.is_empty() {
        let hint = "'conformance list' has them all";
        return Err((USAGE, format!("no check of the profile {profile} fits '{}'; {hint}", told.check)));
    }
    let seed = told.seed.map_or_else(Seed::fresh, Seed);
    eprintln!("{} checks with seed {seed}", chosen.len());
    let arena = up(&told.place, seed)?;
    let mut report = Run::new(&arena, seed).checks(&chosen, &mut |ended| {
        if told.output == Output::Json {
            eprint!("{}", line(ended));
        }
    });
    if let Err(problem) = arena.close() {
        report.trouble.push(format!("not everything was taken down: {problem}"));
        report.judge();
    }
    print(&report, told.output)?;
    Ok(ExitCode::from(report.exit_code()))
}

fn up(told: &Place, seed: Seed) -> Result<Arena, (u8, String)> {
    let program = sandboxes::find_program(told.sandbox_bin.clone());
    let failed = |error: &dyn std::fmt::Display| (HARNESS, error.to_string());
    let sandboxes = Sandboxes::isolated(program, provider(told.bootstrap.clone())).map_err(|e| failed(&e))?;
    Arena::up(sandboxes, seed).map_err(|e| failed(&e))
}

fn print(report: &SuiteReport, output: Output) -> Result<(), (u8, String)> {
    match output {
        Output::Human => print!("{}", report.human()),
        Output::Json => println!("{}", json(report)?),
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, (u8, String)> {
    serde_json::to_string_pretty(value).map_err(|error| (HARNESS, error.to_string()))
}

/// The checks as data.
pub(super) fn list_json() -> Done {
    println!("{}", json(&suites::list_json())?);
    Ok(ExitCode::SUCCESS)
}

/// Runs every mutant.
pub(super) fn mutants(told: &super::Mutants) -> Done {
    let seed = told.seed.map_or_else(Seed::fresh, Seed);
    eprintln!("{} mutants with seed {seed}", mutants::MUTANTS.len());
    let arena = up(&told.place, seed)?;
    let done = mutants::run(&arena, seed, &mut |ended| {
        if told.output == Output::Human {
            print!("{}", mutants::line(ended));
        }
    });
    let closed = arena.close();
    let report = done.map_err(|error| (HARNESS, error.to_string()))?;
    closed.map_err(|problem| (HARNESS, format!("not everything was taken down: {problem}")))?;
    if told.output == Output::Json {
        println!("{}", json(&report)?);
    }
    Ok(ExitCode::from(report.exit_code()))
}
