//! A scenario file: what is given, which steps are taken, what must hold then.
//!
//! Reading only: it must not know how a step is carried out.

pub mod expect;
pub mod run;
mod variables;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use expect::Expect;

pub const API_VERSION: &str = "conformance/v1";
pub const KIND: &str = "Scenario";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    pub api_version: String,
    pub kind: String,
    pub metadata: Metadata,
    #[serde(default)]
    pub given: Given,
    pub when: Vec<Step>,
    /// Asked when all of `when` succeeded; all of them, also after one failed.
    pub then: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub name: String,
    pub description: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Names of the sandboxes that are up before the first step.
    #[serde(default)]
    pub sandboxes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What happens, in words.
    pub step: String,
    /// Whose connection is used; for the client `sandbox`, which sandbox the command is about.
    pub sandbox: String,
    /// A row of the table of drivers.
    pub client: String,
    #[serde(rename = "do")]
    pub action: String,
    #[serde(default)]
    pub with: Map<String, Value>,
    /// Credentials in place of the sandbox's own.
    #[serde(default)]
    pub login: Option<Login>,
    /// A name under which later steps find this result, as `${name.field}`.
    #[serde(default)]
    pub keep: Option<String>,
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub mechanism: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read the scenario {path}: {cause}")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{path} is not a scenario: {problem}{}", hint.as_deref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Malformed { path: PathBuf, problem: String, hint: Option<String> },
}

/// Reads one scenario file.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| ScenarioError::Unreadable { path: path.to_owned(), cause })?;
    parse(&text).map_err(|problem| ScenarioError::Malformed {
        path: path.to_owned(),
        hint: nearest_known(&problem),
        problem,
    })
}

fn parse(text: &str) -> Result<Scenario, String> {
    let scenario: Scenario = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    if scenario.api_version != API_VERSION || scenario.kind != KIND {
        return Err(format!(
            "it is a `{}` of `{}`, this program reads a `{KIND}` of `{API_VERSION}`",
            scenario.kind, scenario.api_version
        ));
    }
    for step in scenario.when.iter().chain(&scenario.then) {
        if crate::drivers::find(&step.client).is_none() {
            let known: Vec<_> = crate::drivers::TABLE.iter().map(|driver| format!("`{}`", driver.name)).collect();
            return Err(format!(
                "step '{}': unknown client `{}`, expected one of {}",
                step.step,
                step.client,
                known.join(", ")
            ));
        }
    }
    Ok(scenario)
}

/// The known name closest to an unknown one, from a message of the form "unknown field `a`, expected one of `b`, `c`".
fn nearest_known(problem: &str) -> Option<String> {
    let (_, list) = problem.split_once("unknown ")?;
    let mut names = list.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .filter(|(distance, _)| *distance <= 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}

/// The scenario files of a folder, by name.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ScenarioError> {
    let unreadable = |cause| ScenarioError::Unreadable { path: folder.to_owned(), cause };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
apiVersion: conformance/v1
kind: Scenario
metadata: { name: small, description: one step }
given: { sandboxes: [a] }
when:
  - { step: list, sandbox: a, client: kcat, do: list_topics }
then: []
";

    #[test]
    fn a_small_scenario_is_read() {
        let scenario = parse(SMALL).unwrap();
        assert_eq!(scenario.given.sandboxes, ["a"]);
        assert_eq!(scenario.when[0].action, "list_topics");
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let problem = parse(&SMALL.replace("given:", "gvien:")).unwrap_err();
        assert_eq!(nearest_known(&problem).as_deref(), Some("given"), "{problem}");
        let problem = parse(&SMALL.replace("client: kcat", "client: kact")).unwrap_err();
        assert_eq!(nearest_known(&problem).as_deref(), Some("kcat"), "{problem}");
    }

    #[test]
    fn another_kind_is_refused() {
        let problem = parse(&SMALL.replace("kind: Scenario", "kind: Report")).unwrap_err();
        assert!(problem.contains("`Report`"), "{problem}");
    }

    #[test]
    fn every_committed_scenario_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let files = files(&folder).unwrap();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            let scenario = load(&file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(file.file_stem().unwrap().to_str(), Some(scenario.metadata.name.as_str()));
            assert!(!scenario.then.is_empty(), "{} expects nothing", scenario.metadata.name);
        }
    }
}
