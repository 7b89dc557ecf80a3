//! Help as it is printed. `UPDATE_SNAPSHOTS=1` writes what is printed now; the diff is then for a person to judge.

use std::fs;
use std::path::Path;

use crate::process::Place;

const COMMANDS: [&[&str]; 8] = [
    &["--help"],
    &["up", "--help"],
    &["env", "--help"],
    &["exec", "--help"],
    &["list", "--help"],
    &["status", "--help"],
    &["down", "--help"],
    &["local", "--help"],
];

#[test]
fn help() {
    let place = Place::new("help");
    let printed = COMMANDS
        .iter()
        .map(|arguments| format!("$ sandbox {}\n{}\n", arguments.join(" "), place.run(arguments).stdout))
        .collect::<String>();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/help.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), printed);
}
