//! JSON Schemas of the kinds, made from their types: editors check files by them as the gateway does.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{KINDS, Resource};

/// The schema of a type (JSON Schema, draft 2020-12), as resources are written.
pub fn of<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    schema
}

/// The schema of a file that holds resources of any kind, one a document: its `kind` says by which schema it is checked, a
/// file `<kind>.json` beside this one.
pub fn of_any() -> Value {
    let kinds = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>();
    let choices = KINDS.iter().map(|kind| {
        json!({
            "if": { "properties": { "kind": { "const": kind.name } }, "required": ["kind"] },
            "then": { "$ref": format!("{}.json", kind.name) },
        })
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A resource of the gateway",
        "type": "object",
        "properties": { "kind": { "enum": kinds } },
        "required": ["kind"],
        "allOf": choices.collect::<Vec<_>>(),
    })
}

/// Every schema as a file: its name and its text.
pub fn files() -> Vec<(String, String)> {
    let kinds = KINDS.iter().filter_map(|kind| Some((kind.name, Resource::schema(kind.name)?)));
    let all = kinds.chain([("resource", of_any())]);
    all.map(|(name, schema)| (format!("{name}.json"), format!("{schema:#}\n"))).collect()
}

/// Takes the marks of links out of all descriptions: links between our types mean nothing to who reads the schema.
pub fn plain(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::String(text)) = entries.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
            }
            entries.values_mut().for_each(plain);
        }
        Value::Array(entries) => entries.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::strict::shape::ANY_CASE;

    /// What the strict reader understands, and what says nothing about a value.
    const UNDERSTOOD: [&str; 23] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "minItems",
        "minLength",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "title",
        "type",
        ANY_CASE,
    ];

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let files = files();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        }
        for (name, text) in &files {
            let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert_eq!(committed, *text, "{name}: write it anew with UPDATE_SNAPSHOTS=1 and read the difference");
        }
        let names = files.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
        let committed = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let committed = committed.filter(|name| name.ends_with(".json"));
        assert_eq!(committed.collect::<BTreeSet<_>>(), names);
    }

    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        let Value::Object(entries) = schema else { return };
        for (keyword, value) in entries {
            found.insert(keyword.clone());
            match (keyword.as_str(), value) {
                // Its keys are names of fields and types.
                ("properties" | "$defs", Value::Object(named)) => named.values().for_each(|one| keywords(one, found)),
                ("default" | "const" | "enum", _) => {}
                (_, Value::Array(many)) => many.iter().for_each(|one| keywords(one, found)),
                (_, one) => keywords(one, found),
            }
        }
    }

    #[test]
    fn the_strict_reader_understands_every_keyword() {
        let mut found = BTreeSet::new();
        KINDS.iter().for_each(|kind| keywords(&Resource::schema(kind.name).unwrap(), &mut found));
        let unknown = found.iter().filter(|keyword| !UNDERSTOOD.contains(&keyword.as_str())).collect::<Vec<_>>();
        assert_eq!(unknown, Vec::<&String>::new(), "teach them to strict/shape.rs");
        let mut found = BTreeSet::new();
        keywords(&json!({ "properties": { "a": { "patternProperties": {} } } }), &mut found);
        assert!(found.contains("patternProperties"), "the check can fail");
    }
}
