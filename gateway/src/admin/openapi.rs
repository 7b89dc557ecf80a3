//! The OpenAPI 3.1 document, made from THE TABLE of operations.

use std::borrow::Cow;

use axum::Extension;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use contract::resources::{ErrorBody, KINDS, Resource, schema};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::operations::{Operation, Parameter, ParameterKind};
use super::roles::Needs;

/// The document as it is served.
#[derive(Debug, Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn of(operations: &[Operation]) -> Self {
        Self(document(operations).to_string().into())
    }
}

pub(super) async fn served(Extension(Document(text)): Extension<Document>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], text)
}

/// A resource of any kind.
#[derive(Debug)]
pub(super) struct AnyResource;

impl JsonSchema for AnyResource {
    fn schema_name() -> Cow<'static, str> {
        "Resource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Each kind is described by its own operations too.
        let kinds = KINDS.iter().filter(|kind| Resource::schema(kind.name).is_some());
        let prefix = generator.settings().definitions_path.clone();
        let kinds = kinds.map(|kind| json!({ "$ref": format!("#{prefix}/{}", kind.name) })).collect::<Vec<_>>();
        json_schema!({ "oneOf": kinds })
    }
}

/// All of it.
pub(super) fn document(operations: &[Operation]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>().to_value();
    let mut paths = Map::new();
    for operation in operations.iter().filter(|operation| operation.shown) {
        let described = described(operation, &mut generator, &error);
        let path = paths.entry(operation.path.clone()).or_insert_with(|| Value::Object(Map::new()));
        path[operation.verb.word()] = described;
    }
    let mut schemas = Value::Object(generator.take_definitions(true));
    schema::plain(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is declared about the gateway: virtual clusters, who may log in, and what they may.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "basic": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters(operation),
        "responses": responses(operation, generator, error),
    });
    if let Some((name, help)) = operation.command {
        described["x-cdk-run-name"] = name.into();
        described["x-cdk-run-doc"] = help.into();
    }
    if operation.needs == Needs::Nothing {
        described["security"] = json!([]);
    }
    if let Some(body) = &operation.body {
        let one = (body.describe)(generator).to_value();
        let schema = if body.is_list { json!({ "type": "array", "items": one }) } else { one };
        let mut media = json!({ "schema": schema });
        if let Some(example) = &body.example {
            media["example"] = example.clone();
        }
        let content = body.content.iter().map(|kind| ((*kind).to_owned(), media.clone()));
        described["requestBody"] = json!({ "required": true, "content": content.collect::<Map<_, _>>() });
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    if operation.path.contains("{name}") {
        let schema = json!({ "type": "string", "minLength": 1 });
        parameters.push(json!({ "name": "name", "in": "path", "required": true, "schema": schema }));
    }
    parameters.extend(operation.parameters.iter().map(|Parameter { name, kind, about }| {
        let schema = match kind {
            ParameterKind::Text => json!({ "type": "string" }),
            ParameterKind::Form(pattern) => json!({ "type": "string", "pattern": pattern }),
            ParameterKind::Flag => json!({ "type": "boolean" }),
            ParameterKind::Word(words) => json!({ "type": "string", "enum": words }),
        };
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    }));
    if operation.conditional {
        for (name, about) in [
            ("If-Match", "Only if the resource has one of these revisions (the ETag of an answer), or is there (*)."),
            ("If-None-Match", "Only if it has none of these revisions, or is not there (*)."),
        ] {
            let schema = json!({ "type": "string" });
            parameters.push(
                json!({ "name": name, "in": "header", "required": false, "description": about, "schema": schema }),
            );
        }
    }
    parameters
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut responses = Map::new();
    let success = &operation.success;
    let schema = success.describe.map(|describe| {
        let one = describe(generator).to_value();
        if success.is_list { json!({ "type": "array", "items": one }) } else { one }
    });
    let media = schema.map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
    let content = || success.content.iter().map(|kind| ((*kind).to_owned(), media.clone())).collect::<Map<_, _>>();
    let mut answer = json!({ "description": "Done" });
    if !success.content.is_empty() {
        answer["content"] = content().into();
    }
    if success.has_revision {
        let revision =
            json!({ "description": "The resource's revision, for If-Match", "schema": { "type": "string" } });
        answer["headers"] = json!({ "ETag": revision });
    }
    responses.insert(success.status.as_str().to_owned(), answer.clone());
    for code in operation.errors() {
        let told = if operation.needs == Needs::Nothing {
            // What is wrong is told in the same shape as what is right.
            let mut same = answer.clone();
            same["description"] = "Not now".into();
            same
        } else {
            json!({ "description": about(code), "content": { "application/json": { "schema": error } } })
        };
        responses.insert(code.to_string(), told);
    }
    responses.into()
}

fn about(code: u16) -> &'static str {
    match code {
        400 => "The request is not valid; `cause` holds every problem with its path, one a line",
        401 => "No user of this name, wrong password or token, or none given",
        403 => "The user's role does not include this",
        404 => "There is no such resource, or something that it refers to is not there",
        409 => "It does not go with something else that is declared, or something refers to it",
        412 => "The resource has another revision than If-Match or If-None-Match ask for",
        413 => "The body is too long",
        503 => "What is declared cannot be read or written now",
        _ => "The gateway failed",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::admin::table;

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/openapi.json");
        let text = format!("{:#}\n", document(&table::operations()));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "write it anew with UPDATE_SNAPSHOTS=1 cargo test -p gateway, and read the difference"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_there_once() {
        let document = document(&table::operations());
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        let mut ids =
            text.split("\"operationId\":\"").skip(1).map(|id| id.split('"').next().unwrap()).collect::<Vec<_>>();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert!(all > 20, "{all}");
        for hidden in ["nterceptor", "oncentration", "/plugin"] {
            assert!(!text.contains(hidden), "{hidden}");
        }
    }
}
