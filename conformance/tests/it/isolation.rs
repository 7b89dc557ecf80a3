//! The attacks of the profile `isolation`, and the mutants that show that they can fail.

use conformance::report::Status;
use conformance::sandboxes::Sandboxes;
use conformance::suites;
use conformance::suites::arena::Arena;
use conformance::suites::mutants;
use conformance::suites::report::line;
use conformance::suites::run::Run;
use conformance::suites::seed::Seed;

use super::broker::Broker;
use super::needs;
use super::stand::up_arguments;

/// An arena with a broker of its own: what a mutant lets through would be a finding of the attacks beside it.
fn arena(seed: Seed) -> (Arena, Broker) {
    let broker = Broker::start();
    let sandboxes = Sandboxes::isolated(needs::sandbox_program(), up_arguments(&broker)).unwrap();
    (Arena::up(sandboxes, seed).unwrap_or_else(|trouble| panic!("{trouble}")), broker)
}

fn close(arena: Arena) {
    let log = arena.gateway_log().expect("the gateway's log");
    assert!(!log.contains("panicked"), "the gateway panicked:\n{log}");
    arena.close().unwrap_or_else(|problem| panic!("not everything was taken down: {problem}"));
}

#[test]
fn every_attack_that_is_written_comes_to_nothing() {
    if !needs::met("every_attack_that_is_written_comes_to_nothing", &[]) {
        return;
    }
    let seed = Seed::fresh();
    let (arena, _broker) = arena(seed);
    let chosen = suites::select("isolation", "*");
    let report = Run::new(&arena, seed).checks(&chosen, &mut |check| {
        if !check.planned {
            print!("{}", line(check));
        }
    });
    println!("{}", report.human().lines().last().unwrap());
    close(arena);
    assert_eq!(report.trouble, Vec::<String>::new());
    let written = chosen.iter().filter(|check| check.body.is_some()).count();
    let passed = report.checks.iter().filter(|check| check.status == Status::Pass).count();
    assert_eq!(passed, written, "with seed {seed}:\n{}", report.human());
}

#[test]
fn every_mutant_is_killed() {
    if !needs::met("every_mutant_is_killed", &[]) {
        return;
    }
    let seed = Seed::fresh();
    let (arena, _broker) = arena(seed);
    let report = mutants::run(&arena, seed, &mut |mutant| print!("{}", mutants::line(mutant)));
    close(arena);
    let report = report.unwrap_or_else(|trouble| panic!("{trouble}"));
    assert!(report.is_good(), "with seed {seed}: {report:#?}");
}
