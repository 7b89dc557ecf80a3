//! Every case under `tests/cases`, at every version that it names; and no served version of an API without one.

use crate::model::{Case, versions};
use crate::runner;
use gateway::apis;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use wire::schema::ApiKey;

/// Served APIs without a case, each with the reason.
const ELSEWHERE: [(ApiKey, &str); 1] =
    [(ApiKey::ApiVersions, "a broker is asked first what it offers: the session's own tests cover what is made of it")];

pub(crate) fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries =
        |folder: &Path| -> Vec<PathBuf> { fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect() };
    let mut files: Vec<PathBuf> = entries(&folder).iter().flat_map(|api| entries(api)).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub(crate) fn name(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    format!("{}/{}", folder.to_string_lossy(), file.file_name().unwrap_or_default().to_string_lossy())
}

pub(crate) fn read(file: &Path) -> Result<(Case, ApiKey, (i16, i16)), String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let case: Case = serde_yaml::from_str(&text).map_err(|e| e.to_string())?;
    let key = ApiKey::ALL.iter().find(|key| key.name() == case.metadata.api);
    let key = *key.ok_or_else(|| format!("no API is called {}", case.metadata.api))?;
    let range = versions(&case.metadata.versions)?;
    Ok((case, key, range))
}

#[test]
fn every_case_holds_at_every_version_that_it_names() {
    let mut failures = Vec::new();
    for file in files() {
        match read(&file) {
            Err(why) => failures.push(format!("{}: {why}", name(&file))),
            Ok((case, key, (min, max))) => {
                let failed = (min..=max).filter_map(|v| runner::run(&case, key, v).err().map(|why| (v, why)));
                failures.extend(failed.map(|(v, why)| format!("{} at version {v}: {why}", name(&file))));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_served_version_of_every_api_has_a_case() {
    let covered: BTreeSet<(ApiKey, i16)> = files()
        .iter()
        .filter_map(|file| read(file).ok())
        .flat_map(|(_, key, (min, max))| (min..=max).map(move |version| (key, version)))
        .collect();
    let missing: Vec<String> = apis::served()
        .filter(|(key, _)| !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == key))
        .flat_map(|(key, range)| (range.min..=range.max).map(move |version| (key, version)))
        .filter(|served| !covered.contains(served))
        .map(|(key, version)| format!("{} {version}", key.name()))
        .collect();
    assert!(missing.is_empty(), "no case covers {}", missing.join(", "));
}

#[test]
fn a_case_lies_where_its_metadata_says() {
    for file in files() {
        let Ok((case, key, (min, max))) = read(&file) else { continue };
        let served = apis::row(key).versions;
        assert!(name(&file).starts_with(&format!("{}/v{min}-", key.name())), "{}", name(&file));
        assert!(served.contains(min) && served.contains(max) && min <= max, "{}: not served", name(&file));
        assert!(case.metadata.about.ends_with('.'), "{}: `about` is a sentence", name(&file));
    }
}

#[test]
fn a_case_that_does_not_hold_is_told() {
    let case = r#"
metadata: { api: Heartbeat, versions: "0-4", about: "A wrong expectation." }
given: { prefix: "team-a." }
when: { request: { GroupId: billing } }
then: { forwarded: { GroupId: billing }, answer: { from: {}, to: unchanged } }
"#;
    let case: Case = serde_yaml::from_str(case).unwrap();
    let why = runner::run(&case, ApiKey::Heartbeat, 3).unwrap_err();
    assert!(why.starts_with("forwarded") && why.contains("team-a.billing"), "{why}");
    assert!(serde_yaml::from_str::<Case>("metadata: {}\nextra: 1").is_err());
}
