//! The exit codes of `conformance`, which scripts rely on. Needs no broker.

use std::path::Path;
use std::process::{Command, Output};

fn conformance(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).current_dir(root).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn list_names_scenarios_and_clients() {
    let done = conformance(&["list"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for name in ["two-teams-one-broker", "kcat", "java", "java-clients", "python", "go"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    assert!(!text.contains("missing"), "{text}");
}

#[test]
fn wrong_usage_is_2() {
    let done = conformance(&["run", "--scenario", "scenarios/no-such.yaml"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("cannot read the scenario scenarios/no-such.yaml"), "{}", stderr(&done));
    assert_eq!(conformance(&["run"]).status.code(), Some(2));
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let file = std::env::temp_dir().join(format!("scenario-{}.yaml", std::process::id()));
    std::fs::write(&file, "apiVersion: conformance/v1\nkind: Scenario\nmetdata: {}\n").unwrap();
    let done = conformance(&["run", "--scenario", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("unknown field `metdata`"), "{}", stderr(&done));
    assert!(stderr(&done).contains("did you mean `metadata`?"), "{}", stderr(&done));
}

#[test]
fn a_harness_that_cannot_tell_is_3() {
    let scenario = "scenarios/two-teams-one-broker.yaml";
    let done = conformance(&["run", "--scenario", scenario, "--up", "--sandbox-bin", "/no/such/sandbox", "-o", "json"]);
    assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["status"], "error");
    assert_eq!(report["steps"][0]["status"], "error");
    assert!(report["steps"][0]["complaints"][0].as_str().unwrap().contains("/no/such/sandbox"), "{report}");
}

#[test]
fn list_has_the_checks_as_json() {
    let done = conformance(&["list", "-o", "json"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let checks: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(checks.as_array().unwrap().len(), 46);
    for check in checks.as_array().unwrap() {
        for field in ["id", "title", "level", "profile", "status"] {
            assert!(check[field].is_string(), "{check} lacks {field}");
        }
        assert!(["implemented", "planned"].contains(&check["status"].as_str().unwrap()), "{check}");
    }
}

#[test]
fn checks_that_cannot_be_chosen_are_2() {
    let wrong: [&[&str]; 4] = [
        &["run", "--profile", "isolation"],
        &["run", "--profile", "no-such", "--up"],
        &["run", "--profile", "isolation", "--up", "--check", "I-99"],
        &["run", "--scenario", "scenarios/two-teams-one-broker.yaml", "--bootstrap", "127.0.0.1:1"],
    ];
    for arguments in wrong {
        let done = conformance(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", stderr(&done));
    }
}

#[test]
fn checks_without_an_arena_are_3() {
    let program = ["--sandbox-bin", "/no/such/sandbox"];
    let done = conformance(&[&["run", "--profile", "isolation", "--up", "--seed", "7"][..], &program].concat());
    assert_eq!(done.status.code(), Some(3), "{}", stderr(&done));
    assert!(stderr(&done).contains("46 checks with seed 7"), "{}", stderr(&done));
    assert_eq!(conformance(&[&["mutants"][..], &program].concat()).status.code(), Some(3));
}

#[test]
fn a_comparison_without_a_stand_is_wrong_usage_and_one_that_cannot_be_made_is_3() {
    let done = conformance(&["reference"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(stderr(&done).contains("--up"), "{}", stderr(&done));
    let brokers = ["--bootstrap", "127.0.0.1:1", "--reference", "127.0.0.1:1"];
    let done = conformance(&[&["reference", "--up", "--sandbox-bin", "/no/such/sandbox"][..], &brokers].concat());
    assert_eq!(done.status.code(), Some(3));
    assert!(stderr(&done).contains("/no/such/sandbox"), "{}", stderr(&done));
}
