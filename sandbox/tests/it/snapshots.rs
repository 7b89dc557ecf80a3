//! What is printed, as files. `UPDATE_SNAPSHOTS=1` writes what is printed now; the diff is then for a person to judge.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::process::Place;

#[test]
fn help() {
    let commands: [&[&str]; 11] = [
        &["--help"],
        &["up", "--help"],
        &["env", "--help"],
        &["exec", "--help"],
        &["list", "--help"],
        &["status", "--help"],
        &["down", "--help"],
        &["local", "--help"],
        &["local", "status", "--help"],
        &["local", "stop", "--help"],
        &["local", "logs", "--help"],
    ];
    compare("help.txt", &transcript(&Place::new("help"), &commands));
}

/// A machine that was restarted: the state tells of a stack that runs no more.
#[test]
fn after_a_restart() {
    let place = Place::new("restart").with("SANDBOX_NAME", "demo");
    fs::create_dir_all(place.state()).unwrap();
    fs::write(place.state().join("state.json"), include_str!("snapshots/state.json")).unwrap();
    let commands: [&[&str]; 14] = [
        &["list"],
        &["list", "-o", "json"],
        &["status"],
        &["status", "--exit-code", "-o", "json"],
        &["env"],
        &["env", "-o", "json"],
        &["env", "pr-42", "--format", "properties"],
        &["env", "--format", "librdkafka"],
        &["up", "demo", "--server", "http://gateway.example:8888"],
        &["up"],
        &["down"],
        &["exec", "prr-42", "--", "true"],
        &["local", "status"],
        &["local", "status", "-o", "json"],
    ];
    compare("restart.txt", &transcript(&place, &commands));
}

/// Each command with its exit code and what it wrote.
fn transcript(place: &Place, commands: &[&[&str]]) -> String {
    let mut text = String::new();
    for arguments in commands {
        let ended = place.run(arguments);
        writeln!(text, "$ sandbox {}\n{}{}[{}]\n", arguments.join(" "), ended.stderr, ended.stdout, ended.code)
            .unwrap();
    }
    text.replace(&place.root().display().to_string(), "[home]")
}

fn compare(file: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, printed).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), printed, "{file}; UPDATE_SNAPSHOTS=1 writes it anew");
}
