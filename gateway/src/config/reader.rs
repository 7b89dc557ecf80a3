//! Reads values out of a settings file and variables, and collects what is wrong with them.

use std::collections::BTreeMap;

use contract::strict::nearest;
use serde_yaml::{Mapping, Value};

use super::Problem;
use super::settings::settings;

/// What the names of the gateway's own variables begin with.
const OWN: &str = "GATEWAY_";

/// The values of all settings that were given, by path.
pub(super) struct Reader {
    given: BTreeMap<&'static str, Given>,
    /// Variables that are in no table: Kafka client properties, and AWS' own.
    variables: BTreeMap<String, String>,
    /// Whether the file could be read at all: what is missing from one that could not says nothing.
    readable: bool,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

struct Given {
    /// What to blame: the path, or the variable.
    place: String,
    value: Value,
}

impl Reader {
    pub(super) fn new(text: &str) -> Self {
        let mut reader = Self::empty();
        match serde_yaml::from_str::<Value>(text) {
            Ok(Value::Mapping(root)) => reader.collect("", root),
            Ok(Value::Null) => {}
            Ok(_) => reader.unreadable("must hold keys and values, such as 'upstream:'".to_owned()),
            Err(error) => reader.unreadable(format!("is not YAML: {error}")),
        }
        reader
    }

    fn empty() -> Self {
        Self {
            given: BTreeMap::new(),
            variables: BTreeMap::new(),
            readable: true,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads with the keys of `entry` in the place of those of `section`; what is wrong with them is at `place`.
    pub(super) fn within<T>(
        &mut self,
        section: &str,
        place: &str,
        entry: Mapping,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut inner = Self::empty();
        for (key, value) in entry {
            let path = format!("{section}.{}", key.as_str().unwrap_or_default());
            // Which keys an entry may have is checked before.
            if let Some(setting) = settings().find(|setting| setting.path == path && !value.is_null()) {
                let place = path.replacen(section, place, 1);
                inner.given.insert(setting.path, Given { place, value });
            }
        }
        let read = read(&mut inner);
        for Problem { place: at, message } in inner.problems {
            // What is missing is blamed on the entry, not on the section.
            let at = if at.starts_with(place) { at } else { at.replacen(section, place, 1) };
            self.problem(&at, message);
        }
        self.warnings.extend(inner.warnings.into_iter().map(|warning| format!("{place}: {warning}")));
        read
    }

    fn unreadable(&mut self, message: String) {
        self.readable = false;
        self.problem("the file", message);
    }

    fn collect(&mut self, parent: &str, mapping: Mapping) {
        for (key, value) in mapping {
            let Value::String(key) = key else {
                self.problem(if parent.is_empty() { "the file" } else { parent }, "holds a key that is not text");
                continue;
            };
            let path = if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") };
            let section = format!("{path}.");
            match settings().find(|setting| setting.path == path) {
                Some(setting) => {
                    // An empty value is as good as none: a key whose value is commented out.
                    if !value.is_null() {
                        self.given.insert(setting.path, Given { place: path, value });
                    }
                }
                None if settings().any(|setting| setting.path.starts_with(&section)) => match value {
                    Value::Mapping(inner) => self.collect(&path, inner),
                    Value::Null => {}
                    _ => self.problem(&path, "must hold keys and values"),
                },
                None => self.unknown_key(parent, &key, &path),
            }
        }
    }

    fn unknown_key(&mut self, parent: &str, key: &str, path: &str) {
        let section = if parent.is_empty() { String::new() } else { format!("{parent}.") };
        let siblings = settings().filter_map(|setting| setting.path.strip_prefix(&section));
        let siblings = siblings.filter_map(|rest| rest.split('.').next());
        let message = match nearest(key, siblings.clone()) {
            Some(name) => format!("unknown key; did you mean '{name}'?"),
            None => format!("unknown key; known here are {}", listed(siblings)),
        };
        self.problem(path, message);
    }

    /// A variable that is given wins over the file.
    pub(super) fn override_with(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in environment {
            match settings().find(|setting| setting.variable == Some(&name)) {
                Some(setting) => {
                    let value = if setting.structured { self.structured(&name, &value) } else { Some(value.into()) };
                    if let Some(value) = value {
                        self.given.insert(setting.path, Given { place: name, value });
                    }
                }
                None if name.starts_with("KAFKA_") || name.starts_with("AWS_") => {
                    let _ = self.variables.insert(name, value);
                }
                None => {
                    let Some(given) = name.strip_prefix(OWN) else { continue };
                    let known = settings().filter_map(|setting| setting.variable?.strip_prefix(OWN));
                    let hint = nearest(given, known);
                    let hint = hint.map(|rest| format!("; did you mean {OWN}{rest}?")).unwrap_or_default();
                    self.warnings.push(format!("{name} means nothing to this version and has no effect{hint}"));
                }
            }
        }
    }

    /// Those of the variables that the table does not name which begin so.
    pub(super) fn take_variables_of(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let (of, others) =
            std::mem::take(&mut self.variables).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.variables = others;
        of
    }

    /// The variables that the table does not name.
    pub(super) fn take_variables(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.variables)
    }

    fn structured(&mut self, name: &str, text: &str) -> Option<Value> {
        serde_yaml::from_str(text).map_err(|error| self.problem(name, format!("is not YAML: {error}"))).ok()
    }

    pub(super) fn problem(&mut self, place: &str, message: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), message: message.into() });
    }

    pub(super) fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Notes that a setting without a default is not there.
    pub(super) fn require(&mut self, path: &'static str, message: &str) {
        if self.readable && !self.is_given(path) {
            self.problem(path, message);
        }
    }

    pub(super) fn is_given(&self, path: &str) -> bool {
        self.given.contains_key(path)
    }

    /// Where a setting was given: its variable if that was set, else its path.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> &'a str {
        self.given.get(path).map_or(path, |given| &given.place)
    }

    /// The value of a setting turned into what it means; `None` if not given, or wrong, which is noted.
    pub(super) fn value<T>(
        &mut self,
        path: &'static str,
        convert: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        debug_assert!(settings().any(|setting| setting.path == path), "{path} is not in the table");
        let given = self.given.get(path)?;
        match convert(&given.value) {
            Ok(value) => Some(value),
            Err(message) => {
                let place = given.place.clone();
                self.problem(&place, message);
                None
            }
        }
    }

    pub(super) fn text(&mut self, path: &'static str) -> Option<String> {
        self.value(path, text)
    }

    /// True or false, or the default.
    pub(super) fn flag(&mut self, path: &'static str, default: bool) -> bool {
        let flag = self.value(path, |value| match value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            _ => Err(format!("{} is not true or false", shown(value))),
        });
        flag.unwrap_or(default)
    }

    /// A whole number from `least` to `most`, or the default.
    pub(super) fn number(&mut self, path: &'static str, default: i64, least: i64, most: i64) -> i64 {
        let number = self.value(path, |value| {
            let number = match value {
                Value::Number(number) => number.as_i64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            number
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| format!("{} is not a whole number from {least} to {most}", shown(value)))
        });
        number.unwrap_or(default)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, path: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.value(path, |value| {
            let word = text(value)?;
            let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim()));
            let names = || listed(choices.iter().map(|(name, _)| *name));
            found.map(|(_, choice)| *choice).ok_or_else(|| format!("'{word}' is not served; served are {}", names()))
        })
    }

    pub(super) fn finish(self) -> (super::Given, Vec<Problem>, Vec<String>) {
        let given = self.given.into_iter().map(|(path, given)| (path, given.value));
        (super::Given::new(given), self.problems, self.warnings)
    }
}

/// A text, also where YAML takes it for a number.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("must be a text".to_owned()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => "this".to_owned(),
    }
}

pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.collect::<Vec<_>>();
    names.dedup();
    names.join(", ")
}
