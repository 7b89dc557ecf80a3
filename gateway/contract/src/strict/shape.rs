//! Whether a tree is what a JSON Schema of ours describes. Of JSON Schema it knows what is generated from our types; a test
//! holds every schema of a kind against that.

use serde_json::{Map, Value};

use super::{Flaw, nearest, tree::MOST_FLAWS, under};

/// What is larger fits no whole number of ours.
const MOST_WHOLE: f64 = u64::MAX as f64;

/// In a schema of a text: one of its words is meant in whatever case it is written.
pub const ANY_CASE: &str = "x-any-case";

/// Everything about `value` that is not as `schema` says.
pub fn flaws(schema: &Value, value: &Value) -> Vec<Flaw> {
    let mut check = Check { root: schema, flaws: Vec::new() };
    check.value("", schema, value);
    check.flaws.truncate(MOST_FLAWS);
    check.flaws
}

struct Check<'s> {
    root: &'s Value,
    flaws: Vec<Flaw>,
}

impl<'s> Check<'s> {
    fn note(&mut self, path: &str, message: impl Into<String>) {
        if self.flaws.len() <= MOST_FLAWS {
            self.flaws.push(Flaw::new(path, message));
        }
    }

    fn value(&mut self, path: &str, schema: &'s Value, value: &Value) {
        let schema = self.meant(schema);
        // `true`, or nothing said: anything goes.
        let Some(rules) = schema.as_object() else { return };
        if let Some(words) = self.words(schema) {
            if !(value.is_null() && takes_null(rules)) {
                self.word(path, &words, rules, value);
            }
            return;
        }
        if let Some(ways) = alternatives(rules) {
            return self.one_of(path, ways, value);
        }
        let types = types(rules);
        if !types.is_empty() && !types.iter().any(|name| is_of(name, value)) {
            return self.wrong_type(path, &types, value);
        }
        match value {
            Value::Object(entries) => self.object(path, rules, entries),
            Value::Array(entries) => self.list(path, rules, entries),
            Value::String(text) => self.length(path, rules, text.chars().count(), "characters", "Length"),
            Value::Number(number) => self.range(path, rules, number.as_f64().unwrap_or_default()),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// What a reference stands for.
    fn meant(&self, schema: &'s Value) -> &'s Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    fn object(&mut self, path: &str, rules: &'s Map<String, Value>, entries: &Map<String, Value>) {
        let known = rules.get("properties").and_then(Value::as_object);
        let others = rules.get("additionalProperties");
        for (key, value) in entries {
            let at = under(path, key);
            match (known.and_then(|known| known.get(key)), others) {
                (Some(schema), _) => self.value(&at, schema, value),
                (None, Some(Value::Bool(false))) => {
                    // A field that is there and empty is not a second suggestion.
                    let missing = known.into_iter().flat_map(Map::keys).filter(|name| !entries.contains_key(*name));
                    self.note(&at, unknown_field(key, missing, known.into_iter().flat_map(Map::keys)));
                }
                (None, Some(schema)) => self.value(&at, schema, value),
                (None, None) => {}
            }
        }
        let required = rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| !entries.contains_key(*name)) {
            self.note(&under(path, name), "is missing");
        }
    }

    fn list(&mut self, path: &str, rules: &'s Map<String, Value>, entries: &[Value]) {
        self.length(path, rules, entries.len(), "entries", "Items");
        let Some(items) = rules.get("items") else { return };
        for (at, value) in entries.iter().enumerate() {
            self.value(&under(path, &format!("[{at}]")), items, value);
        }
    }

    fn length(&mut self, path: &str, rules: &Map<String, Value>, length: usize, unit: &str, limit: &str) {
        let limit = |which: &str| rules.get(&format!("{which}{limit}")).and_then(Value::as_u64);
        let length = length as u64;
        if limit("min").is_some_and(|least| length < least) {
            let least = limit("min").unwrap_or_default();
            self.note(
                path,
                if length == 0 { "is empty".to_owned() } else { format!("has {length} {unit}, and needs {least}") },
            );
        } else if let Some(most) = limit("max").filter(|most| length > *most) {
            self.note(path, format!("has {length} {unit}, and may have {most}"));
        }
    }

    fn range(&mut self, path: &str, rules: &Map<String, Value>, number: f64) {
        let (least, most) = bounds(rules);
        let (too_small, too_large) =
            (least.is_some_and(|least| number < least), most.is_some_and(|most| number > most));
        if !too_small && !too_large {
            return;
        }
        self.note(
            path,
            match (least, most) {
                (Some(least), Some(most)) => format!("must be from {least} to {most}"),
                (Some(least), None) => format!("must be at least {least}"),
                (None, most) => format!("must be at most {}", most.unwrap_or_default()),
            },
        );
    }

    /// The words that a schema lists, if that is what it does.
    fn words(&self, schema: &'s Value) -> Option<Vec<&'s str>> {
        let text = |value: &'s Value| value.as_str();
        if let Some(word) = schema.get("const") {
            return text(word).map(|word| vec![word]);
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return words.iter().filter(|word| !word.is_null()).map(text).collect();
        }
        let ways = alternatives(schema.as_object()?)?;
        let ways = ways.iter().map(|way| self.meant(way)).filter(|way| way.get("type") != Some(&Value::from("null")));
        let words = ways.map(|way| self.words(way)).collect::<Option<Vec<_>>>()?;
        Some(words.concat())
    }

    fn word(&mut self, path: &str, words: &[&str], rules: &Map<String, Value>, value: &Value) {
        let any_case = rules.contains_key(ANY_CASE)
            || alternatives(rules).into_iter().flatten().any(|way| self.meant(way).get(ANY_CASE).is_some());
        let is = |word: &&str, text: &str| if any_case { word.eq_ignore_ascii_case(text) } else { *word == text };
        let listed = words.join(", ");
        let message = match (value.as_str(), words) {
            (Some(text), words) if words.iter().any(|word| is(word, text)) => return,
            (_, [only]) => format!("must be {only}"),
            (Some(text), words) => match nearest(text, words.iter().copied()) {
                Some(word) => format!("must be one of {listed}; did you mean '{word}'?"),
                None => format!("must be one of {listed}"),
            },
            (None, _) => format!("must be one of {listed}, and is {}", article(value)),
        };
        self.note(path, message);
    }

    /// What is wrong by the alternative that comes nearest.
    fn one_of(&mut self, path: &str, ways: &'s [Value], value: &Value) {
        let mut best: Option<(bool, Vec<Flaw>)> = None;
        for way in ways {
            let mut inner = Check { root: self.root, flaws: Vec::new() };
            inner.value(path, way, value);
            if inner.flaws.is_empty() {
                return;
            }
            // Being of another type altogether is further away than any number of flaws inside.
            let other_type = inner.flaws.iter().any(|flaw| flaw.path == path);
            let nearer =
                best.as_ref().is_none_or(|(other, flaws)| (other_type, inner.flaws.len()) < (*other, flaws.len()));
            if nearer {
                best = Some((other_type, inner.flaws));
            }
        }
        self.flaws.extend(best.map(|(_, flaws)| flaws).unwrap_or_default());
    }

    fn wrong_type(&mut self, path: &str, types: &[&str], value: &Value) {
        let expected = types.iter().find(|name| **name != "null").map_or("nothing", |name| called(name));
        let hint = match (value, types.contains(&"string")) {
            (Value::Bool(_) | Value::Number(_), true) => ": put it in quotes",
            _ => "",
        };
        self.note(path, format!("must be {expected}, and is {}{hint}", article(value)));
    }
}

fn unknown_field<'a>(
    key: &str,
    missing: impl Iterator<Item = &'a String>,
    known: impl Iterator<Item = &'a String>,
) -> String {
    match nearest(key, missing.map(String::as_str)) {
        Some(name) => format!("unknown field; did you mean '{name}'?"),
        None => match known.map(String::as_str).collect::<Vec<_>>().join(", ") {
            known if known.is_empty() => "unknown field; nothing is known here".to_owned(),
            known => format!("unknown field; known here are {known}"),
        },
    }
}

fn alternatives(rules: &Map<String, Value>) -> Option<&Vec<Value>> {
    rules.get("oneOf").or_else(|| rules.get("anyOf")).and_then(Value::as_array)
}

fn takes_null(rules: &Map<String, Value>) -> bool {
    let null = |way: &Value| way.is_null() || way.get("type") == Some(&Value::from("null"));
    types(rules).contains(&"null")
        || alternatives(rules).into_iter().flatten().any(null)
        || rules.get("enum").and_then(Value::as_array).into_iter().flatten().any(Value::is_null)
}

fn types(rules: &Map<String, Value>) -> Vec<&str> {
    match rules.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => value.is_null(),
    }
}

fn called(name: &str) -> &'static str {
    match name {
        "object" => "keys and values",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.abs() > MOST_WHOLE) => {
            "too large a number"
        }
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "keys and values",
    }
}

/// The least and the most that a number may be, by what is said or by the type that it is read into.
fn bounds(rules: &Map<String, Value>) -> (Option<f64>, Option<f64>) {
    let (least, most) = match rules.get("format").and_then(Value::as_str) {
        Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
        Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
        Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
        Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
        Some("uint64" | "uint") => (Some(0.0), None),
        _ => (None, None),
    };
    let said = |limit: &str| rules.get(limit).and_then(Value::as_f64);
    (said("minimum").or(least), said("maximum").or(most))
}
