//! THE TABLE for people and programs: what `gateway apis` prints.

use super::{Row, Verdict, row};
use serde_json::{Value, json};
use std::fmt::Write as _;
use wire::schema::ApiKey;

/// The reviewed versions that the schema table describes, as `0-13`; `none` where the API is denied.
fn range(key: ApiKey, none: &str) -> String {
    let versions = row(key).versions.intersect(key.versions());
    if versions.is_empty() { none.to_owned() } else { format!("{}-{}", versions.min, versions.max) }
}

/// A list of `{key, name, versions, verdict, reason}`, one for each API that Kafka has, in the order of the keys. `versions`
/// is `0-13`, or empty where nothing is served.
pub fn json() -> Value {
    let entry = |key: &ApiKey| {
        let Row { verdict, reason, .. } = row(*key);
        json!({
            "key": key.code(),
            "name": key.name(),
            "versions": range(*key, ""),
            "verdict": verdict.word(),
            "reason": reason,
        })
    };
    ApiKey::ALL.iter().map(entry).collect()
}

/// One aligned line for each API that Kafka has, below a head, and how many there are of each verdict.
pub fn table() -> String {
    let count = |verdict| ApiKey::ALL.iter().filter(|key| row(**key).verdict == verdict).count();
    let (map, own, deny) = (count(Verdict::Map), count(Verdict::Own), count(Verdict::Deny));
    format!(
        "KEY {:<38} VERSIONS VERDICT REASON\n{}{} APIs: {map} map, {own} own, {deny} deny\n",
        "API",
        rows(),
        ApiKey::ALL.len()
    )
}

fn rows() -> String {
    let mut out = String::new();
    for key in ApiKey::ALL {
        let Row { verdict, reason, .. } = row(*key);
        let (code, name, versions) = (key.code(), key.name(), range(*key, "-"));
        // Writing to a string does not fail.
        let _ = writeln!(out, "{code:>3} {name:<38} {versions:<8} {:<7} {reason}", verdict.word());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_that_was_reviewed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/api_matrix.txt");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, rows()).unwrap();
        }
        let (reviewed, now) = (std::fs::read_to_string(path).unwrap(), rows());
        let only_in = |a: &str, b: &str| -> Vec<String> {
            a.lines().filter(|line| b.lines().all(|other| other != *line)).map(str::to_owned).collect()
        };
        assert_eq!(only_in(&now, &reviewed), only_in(&reviewed, &now), "UPDATE_SNAPSHOTS=1 writes it anew");
        assert!(reviewed == now, "the order changed: UPDATE_SNAPSHOTS=1 writes it anew");
    }

    #[test]
    fn both_forms_say_the_same_of_every_api() {
        let (json, table) = (json(), table());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), ApiKey::ALL.len() + 2);
        for (entry, line) in json.as_array().unwrap().iter().zip(&lines[1..]) {
            assert!(line.trim_start().starts_with(&format!("{} ", entry["key"])), "{line}: {entry}");
            for field in ["name", "verdict", "reason"] {
                assert!(line.contains(entry[field].as_str().unwrap()), "{line}: {entry}");
            }
            let versions = entry["versions"].as_str().unwrap();
            assert_eq!(versions.is_empty(), entry["verdict"] == "deny", "{entry}");
            assert!(
                line.contains(&format!(" {} ", if versions.is_empty() { "-" } else { versions })),
                "{line}: {entry}"
            );
        }
    }
}
