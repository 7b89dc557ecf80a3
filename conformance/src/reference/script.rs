//! What is asked of both sides: scripts as data, unfolded into single requests.
//!
//! A script is written once for all versions: it names the fields of every version, and a request carries those that its
//! version has. Which versions there are is the answer of the virtual cluster to ApiVersions, not a list in a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use wire::schema::{ApiKey, Field, Type, Versions};

use super::template;

/// The versions to ask for, by API. An API that is not there is not served.
pub(super) type Served = BTreeMap<i16, Versions>;

/// A script that is not one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("script {script}: {problem}")]
pub struct ScriptError {
    /// Its title.
    pub script: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A file of steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// What it is about.
    pub title: String,
    /// In order; a step sees what earlier ones kept, also those of earlier scripts.
    pub steps: Vec<Step>,
}

/// A step, or a block of steps that is repeated.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    /// Sends a request of this API and reads its answer.
    pub ask: Option<String>,
    /// Sends a request; the step that has its name under `receive` reads the answer.
    pub send: Option<String>,
    /// Reads the answer to the request that was sent under this name.
    pub receive: Option<String>,
    /// The name of a sent request, for `receive`.
    pub named: Option<String>,
    /// The request has no answer (acks=0).
    pub unanswered: bool,
    /// The block is repeated for every version of this API; `$v` is the version.
    pub over: Option<String>,
    /// The lowest version that the block is for.
    pub from: Option<i16>,
    /// The block is left out unless these APIs are served.
    pub needs: Vec<String>,
    /// The steps of a block.
    pub steps: Vec<Step>,
    /// Which versions: `all` (the default), `first`, `last`, `3`, `3-`, `-7`, `3-7` or `$v`.
    pub at: Option<Value>,
    /// The connection; each name is one of its own.
    pub on: Option<String>,
    /// The body, with `$variables`.
    pub with: Value,
    /// Repeats the step for each value of each variable.
    pub each: Map<String, Value>,
    /// Variables of this step or block.
    pub r#let: Map<String, Value>,
    /// Keeps values of the answer: variable to JSON pointer.
    pub keep: BTreeMap<String, String>,
    /// Asks again until the answer has these values (JSON pointer to value), as a client does that waits.
    pub until: BTreeMap<String, Value>,
    /// What is special about it, for people and for the list of deliberate differences.
    pub note: Option<String>,
}

/// What a single step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Asks and reads the answer.
    Ask,
    /// Sends and leaves the answer for later.
    Send(String),
    /// Sends what has no answer.
    SendUnanswered,
    /// Reads the answer to what was sent under this name.
    Receive(String),
}

/// One request at one version, still with variables in its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Which script, what is special about it, and the values of `each`.
    pub label: String,
    /// What is done.
    pub act: Act,
    /// The API.
    pub key: ApiKey,
    /// The version.
    pub version: i16,
    /// The connection.
    pub on: String,
    /// The body.
    pub body: Value,
    /// Variables that are known before anything was asked.
    pub bound: Map<String, Value>,
    /// See [`Step::keep`].
    pub keep: BTreeMap<String, String>,
    /// See [`Step::until`].
    pub until: BTreeMap<String, Value>,
}

/// The API of this name.
fn api(name: &str) -> Result<ApiKey, String> {
    let found = ApiKey::ALL.iter().find(|key| key.name() == name);
    found.copied().ok_or_else(|| format!("there is no API '{name}'"))
}

/// Unfolds a script for what is served.
///
/// # Errors
/// [`ScriptError`]
pub(super) fn unfold(
    script: &Script,
    served: &Served,
    lists: &Map<String, Value>,
) -> Result<Vec<Request>, ScriptError> {
    let mut unfolding = Unfolding { script: &script.title, served, lists, sent: BTreeMap::new(), out: Vec::new() };
    let done = unfolding.steps(&script.steps, &Map::new());
    done.map_err(|problem| ScriptError { script: script.title.clone(), problem })?;
    Ok(unfolding.out)
}

struct Unfolding<'a> {
    script: &'a str,
    served: &'a Served,
    lists: &'a Map<String, Value>,
    sent: BTreeMap<String, (ApiKey, i16, String)>,
    out: Vec<Request>,
}

impl Unfolding<'_> {
    fn steps(&mut self, steps: &[Step], bound: &Map<String, Value>) -> Result<(), String> {
        steps.iter().try_for_each(|step| self.step(step, bound))
    }

    fn step(&mut self, step: &Step, bound: &Map<String, Value>) -> Result<(), String> {
        for name in &step.needs {
            if !self.served.contains_key(&api(name)?.code()) {
                return Ok(());
            }
        }
        for combination in self.combinations(&step.each)? {
            let mut bound = bound.clone();
            bound.extend(combination.clone());
            if let Some(name) = &step.over {
                let Some(versions) = self.served.get(&api(name)?.code()).copied() else { continue };
                for version in versions.min.max(step.from.unwrap_or(i16::MIN))..=versions.max {
                    let mut bound = bound.clone();
                    let _ = bound.insert("v".to_owned(), json!(version));
                    Self::bind(&step.r#let, &mut bound);
                    self.steps(&step.steps, &bound)?;
                }
            } else {
                Self::bind(&step.r#let, &mut bound);
                self.steps(&step.steps, &bound)?;
                self.request(step, &bound, &combination)?;
            }
        }
        Ok(())
    }

    /// What is not bound yet (answers) stays as it is written and is filled in when it is asked.
    fn bind(given: &Map<String, Value>, bound: &mut Map<String, Value>) {
        for (name, value) in given {
            let value = template::fill_known(value, bound);
            let _ = bound.insert(name.clone(), value);
        }
    }

    fn combinations(&self, each: &Map<String, Value>) -> Result<Vec<Map<String, Value>>, String> {
        let mut all = vec![Map::new()];
        for (name, values) in each {
            let values = match values {
                Value::String(list) => self.lists.get(list.trim_start_matches('$')).unwrap_or(&Value::Null),
                values => values,
            };
            let values = values.as_array().ok_or_else(|| format!("`each: {name}` is not a list"))?;
            let with = |value: &Value| {
                let value = value.clone();
                all.iter().map(move |before| {
                    let mut map = before.clone();
                    let _ = map.insert(name.clone(), value.clone());
                    map
                })
            };
            all = values.iter().flat_map(with).collect();
        }
        Ok(all)
    }

    fn request(
        &mut self,
        step: &Step,
        bound: &Map<String, Value>,
        combination: &Map<String, Value>,
    ) -> Result<(), String> {
        let on = step.on.clone().unwrap_or_else(|| "main".to_owned());
        let values: Vec<_> = combination.iter().map(|(name, value)| format!("{name}={}", short(value))).collect();
        let note = step.note.as_deref().unwrap_or_default();
        let values = values.join(" ");
        let parts = [self.script, note, &values].into_iter().filter(|part| !part.is_empty());
        let label = parts.collect::<Vec<_>>().join(": ");
        let request = |act: Act, key: ApiKey, version: i16, on: String| Request {
            label: label.clone(),
            act,
            key,
            version,
            on,
            body: prune(key.request().fields, version, &step.with),
            bound: bound.clone(),
            keep: step.keep.clone(),
            until: step.until.clone(),
        };
        if let Some(name) = &step.receive {
            if let Some((key, version, on)) = self.sent.remove(name) {
                self.out.push(request(Act::Receive(name.clone()), key, version, on));
            }
            return Ok(());
        }
        let Some(name) = step.ask.as_ref().or(step.send.as_ref()) else { return Ok(()) };
        let key = api(name)?;
        let Some(served) = self.served.get(&key.code()).copied() else { return Ok(()) };
        for version in versions(step.at.as_ref(), served, bound)? {
            let act = match (&step.ask, step.unanswered) {
                (Some(_), _) => Act::Ask,
                (None, true) => Act::SendUnanswered,
                (None, false) => {
                    let named = step.named.clone().ok_or_else(|| format!("`send: {name}` has no `named`"))?;
                    let _ = self.sent.insert(named.clone(), (key, version, on.clone()));
                    Act::Send(named)
                }
            };
            self.out.push(request(act, key, version, on.clone()));
        }
        Ok(())
    }
}

/// A value for a label: whole names where they are short.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= 60 { text } else { format!("{}…", text.chars().take(57).collect::<String>()) }
}

fn versions(at: Option<&Value>, served: Versions, bound: &Map<String, Value>) -> Result<Vec<i16>, String> {
    let at = at.map(|at| template::fill_known(at, bound));
    let text = match &at {
        None => "all".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let number = |part: &str, absent: i16| match part {
        "" => Ok(absent),
        part => part.parse::<i16>().map_err(|_| format!("`at: {text}` is not a range of versions")),
    };
    let wanted = match text.as_str() {
        "all" => served,
        "first" => Versions { min: served.min, max: served.min },
        "last" => Versions { min: served.max, max: served.max },
        range => match range.split_once('-') {
            Some((min, max)) => Versions { min: number(min, i16::MIN)?, max: number(max, i16::MAX)? },
            None => Versions { min: number(range, 0)?, max: number(range, 0)? },
        },
    };
    let both = wanted.intersect(served);
    Ok((both.min..=both.max).collect())
}

/// Leaves out the fields that exist in other versions only.
fn prune(fields: &'static [Field], version: i16, value: &Value) -> Value {
    let Value::Object(map) = value else { return if value.is_null() { json!({}) } else { value.clone() } };
    if template::is_made(map) {
        return value.clone();
    }
    let mut out = Map::new();
    for (name, value) in map {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            // Not known at all: the codec says so with its path.
            let _ = out.insert(name.clone(), value.clone());
            continue;
        };
        if field.versions.contains(version) {
            let _ = out.insert(name.clone(), prune_one(&field.ty, version, value));
        }
    }
    Value::Object(out)
}

fn prune_one(ty: &'static Type, version: i16, value: &Value) -> Value {
    match (ty, value) {
        (Type::Struct(fields), Value::Object(_)) => prune(fields, version, value),
        (Type::Array(element), Value::Array(list)) => {
            list.iter().map(|item| prune_one(element, version, item)).collect()
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(yaml: &str) -> Result<Vec<Request>, ScriptError> {
        let script: Script = serde_yaml::from_str(yaml).unwrap();
        let served = Served::from([
            (ApiKey::Metadata.code(), Versions { min: 8, max: 11 }),
            (ApiKey::DeleteTopics.code(), Versions { min: 5, max: 6 }),
        ]);
        let lists = json!({ "names": ["a", "b"] });
        unfold(&script, &served, lists.as_object().unwrap())
    }

    #[test]
    fn a_step_is_asked_at_every_version_and_for_every_value_with_the_fields_of_the_version() {
        let made = requests(
            "title: t\nsteps: [{ ask: Metadata, at: 9-, each: { name: $names }, with: { Topics: [{ Name: $name, TopicId: x }] } }]",
        )
        .unwrap();
        let seen: Vec<_> = made.iter().map(|r| (r.version, r.label.as_str())).collect();
        assert_eq!(
            seen,
            [
                (9, "t: name=a"),
                (10, "t: name=a"),
                (11, "t: name=a"),
                (9, "t: name=b"),
                (10, "t: name=b"),
                (11, "t: name=b")
            ]
        );
        assert_eq!(made[0].body, json!({ "Topics": [{ "Name": "$name" }] }), "there are no ids in version 9");
        assert_eq!(made[1].body["Topics"][0]["TopicId"], "x");
    }

    #[test]
    fn a_block_goes_over_the_versions_of_one_api_and_what_is_not_served_is_left_out() {
        let made = requests(
            "title: t\nsteps:\n- over: DeleteTopics\n  let: { topic: 'life-${v}' }\n  steps:\n  - { ask: DeleteTopics, at: $v }\n  - { ask: Fetch }\n- { needs: [Fetch], steps: [{ ask: Metadata }] }",
        )
        .unwrap();
        let seen: Vec<_> = made.iter().map(|r| (r.key, r.version, r.bound["topic"].as_str().unwrap())).collect();
        assert_eq!(seen, [(ApiKey::DeleteTopics, 5, "life-5"), (ApiKey::DeleteTopics, 6, "life-6")]);
    }

    #[test]
    fn what_is_no_script_is_said() {
        let wrong = |yaml| requests(yaml).unwrap_err().to_string();
        assert_eq!(wrong("title: t\nsteps: [{ ask: Metadate }]"), "script t: there is no API 'Metadate'");
        assert_eq!(
            wrong("title: t\nsteps: [{ ask: Metadata, each: { n: $no } }]"),
            "script t: `each: n` is not a list"
        );
        assert_eq!(
            wrong("title: t\nsteps: [{ ask: Metadata, at: new }]"),
            "script t: `at: new` is not a range of versions"
        );
        assert_eq!(wrong("title: t\nsteps: [{ send: Metadata }]"), "script t: `send: Metadata` has no `named`");
    }
}
