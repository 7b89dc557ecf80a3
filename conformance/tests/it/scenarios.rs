//! The committed scenarios hold, and one that asks for something else does not.

use std::path::Path;

use conformance::report::{Report, Status};
use conformance::sandboxes::Sandboxes;
use conformance::scenario::{self, Scenario, run::Stage};

use super::broker::Broker;
use super::needs;
use super::stand::{log_is_calm, up_arguments};

const CLIENTS: &[&str] = &["kcat", "java", "python", "go"];

fn load(name: &str) -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name).with_extension("yaml");
    scenario::load(&file).unwrap_or_else(|error| panic!("{error}"))
}

fn run(scenario: &Scenario, expected_log: &[&str]) -> Report {
    let broker = Broker::start();
    let sandboxes = Sandboxes::isolated(needs::sandbox_program(), up_arguments(&broker)).unwrap();
    let mut stage = Stage::new(needs::fixtures(), sandboxes);
    let report = stage.run(scenario);
    println!("{}", report.human());
    let log = stage.sandboxes().gateway_log().unwrap();
    let log = std::fs::read_to_string(log).expect("the gateway's log");
    stage.close().unwrap_or_else(|problem| panic!("not everything was taken down: {problem}"));
    log_is_calm(&log, expected_log);
    report
}

#[test]
fn two_teams_on_one_broker() {
    if needs::met("two_teams_on_one_broker", CLIENTS) {
        assert_eq!(run(&load("two-teams-one-broker"), &[]).status, Status::Pass);
    }
}

#[test]
fn life_of_a_feature_branch() {
    if needs::met("life_of_a_feature_branch", CLIENTS) {
        assert_eq!(run(&load("life-of-a-feature-branch"), &[]).status, Status::Pass);
    }
}

#[test]
fn what_a_tenant_may_not_do() {
    if needs::met("what_a_tenant_may_not_do", CLIENTS) {
        assert_eq!(run(&load("what-a-tenant-may-not-do"), &[]).status, Status::Pass);
    }
}

/// A suite that cannot fail proves nothing.
#[test]
fn a_wrong_expectation_fails() {
    if !needs::met("a_wrong_expectation_fails", &["kcat"]) {
        return;
    }
    let mut scenario = load("life-of-a-feature-branch");
    scenario.when.clear();
    scenario.then.retain(|step| step.sandbox == "main");
    let expected = scenario.then[0].expect.result.get_mut("topics").unwrap();
    expected.is = Some(serde_json::json!(["not-there"]));
    let report = run(&scenario, &[]);
    assert_eq!(report.status, Status::Fail);
    assert_eq!(report.steps.last().unwrap().complaints, ["topics is [], expected [\"not-there\"]"]);
}
