//! THE TABLE of operations: what there is, who may, what it takes and answers. Routes and the OpenAPI document are both made
//! from it, so that neither can have what the other lacks.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router, extract::Request, extract::State};
use contract::strict::nearest;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::answer::{ApiError, Longest};
use super::roles::Needs;
use super::{Admin, login};

/// No resource is longer.
const LONGEST_BODY: usize = 256 * 1024;

/// What a type is called in the document.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Put,
    Post,
    Delete,
}

impl Verb {
    /// As the document writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A parameter of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: ParameterKind,
    pub(super) about: &'static str,
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum ParameterKind {
    Text,
    /// A text of this form (a regular expression).
    Form(&'static str),
    Flag,
    Word(&'static [&'static str]),
}

/// What an operation answers when all is well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Success {
    pub(super) status: StatusCode,
    /// Media types, each with what it holds.
    pub(super) content: &'static [&'static str],
    pub(super) describe: Option<Describe>,
    pub(super) is_list: bool,
    pub(super) has_revision: bool,
}

/// What an operation takes besides its parameters.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) content: &'static [&'static str],
    pub(super) describe: Describe,
    pub(super) is_list: bool,
    pub(super) longest: usize,
    pub(super) example: Option<Value>,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    pub(super) path: String,
    pub(super) id: String,
    pub(super) summary: String,
    pub(super) tag: String,
    /// What command-line clients make a command of: its name and its help.
    pub(super) command: Option<(&'static str, &'static str)>,
    pub(super) parameters: Vec<Parameter>,
    /// Whether it heeds `If-Match` and `If-None-Match`.
    pub(super) conditional: bool,
    pub(super) body: Option<Body>,
    pub(super) success: Success,
    /// Codes of errors that are this operation's own.
    pub(super) refusals: Vec<u16>,
    pub(super) needs: Needs,
    /// Whether the document and help show it.
    pub(super) shown: bool,
    route: MethodRouter<Arc<Admin>>,
}

pub(super) const JSON: &[&str] = &["application/json"];
/// Resources are read as YAML just as well.
pub(super) const JSON_OR_YAML: &[&str] = &["application/json", "application/yaml"];

const OK: Success =
    Success { status: StatusCode::OK, content: &[], describe: None, is_list: false, has_revision: false };

impl Operation {
    pub(super) fn new<H, T>(verb: Verb, path: &str, id: &str, summary: &str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Arc<Admin>>,
        T: 'static,
    {
        Self {
            verb,
            path: path.to_owned(),
            id: id.to_owned(),
            summary: summary.to_owned(),
            tag: "gateway".to_owned(),
            command: None,
            parameters: Vec::new(),
            conditional: false,
            body: None,
            success: OK,
            refusals: Vec::new(),
            needs,
            shown: true,
            route: on(verb.filter(), handler),
        }
    }

    pub(super) fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    pub(super) fn command(mut self, name: &'static str, help: &'static str) -> Self {
        self.command = Some((name, help));
        self
    }

    pub(super) fn query(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend_from_slice(parameters);
        self
    }

    pub(super) fn conditional(mut self) -> Self {
        self.conditional = true;
        self
    }

    pub(super) fn takes<T: JsonSchema>(mut self, example: Option<Value>) -> Self {
        let describe = SchemaGenerator::subschema_for::<T>;
        self.body = Some(Body { content: JSON_OR_YAML, describe, is_list: false, longest: LONGEST_BODY, example });
        self
    }

    /// Many documents of up to so many bytes.
    pub(super) fn takes_many<T: JsonSchema>(self, longest: usize) -> Self {
        let mut taking = self.takes::<T>(None);
        taking.body = taking.body.map(|body| Body { is_list: true, longest, ..body });
        taking
    }

    pub(super) fn answers<T: JsonSchema>(mut self) -> Self {
        self.success.content = JSON;
        self.success.describe = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(super) fn answers_list<T: JsonSchema>(self) -> Self {
        let mut answering = self.answers::<T>();
        answering.success.is_list = true;
        answering
    }

    /// Text of these media types, whose form is nobody's business here.
    pub(super) fn answers_text(mut self, content: &'static [&'static str]) -> Self {
        self.success.content = content;
        self
    }

    pub(super) fn answers_nothing(mut self) -> Self {
        self.success.status = StatusCode::NO_CONTENT;
        self
    }

    pub(super) fn with_revision(mut self) -> Self {
        self.success.has_revision = true;
        self
    }

    pub(super) fn refuses(mut self, codes: &[u16]) -> Self {
        self.refusals.extend_from_slice(codes);
        self
    }

    /// Served for clients that ask, and told to nobody.
    pub(super) fn unshown(mut self) -> Self {
        self.shown = false;
        self
    }

    /// Every code of an error that it can answer.
    pub(super) fn errors(&self) -> Vec<u16> {
        let mut codes = self.refusals.clone();
        if self.needs != Needs::Nothing {
            codes.extend([400, 401, 403]);
        }
        if self.body.is_some() {
            codes.push(413);
        }
        if self.conditional {
            codes.push(412);
        }
        if matches!(self.needs, Needs::Change | Needs::Administer) {
            codes.extend([500, 503]);
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// The routes that the operations make.
pub(super) fn routes(operations: Vec<Operation>, admin: &Arc<Admin>) -> Router<Arc<Admin>> {
    operations.into_iter().fold(Router::new(), |router, operation| {
        let longest = operation.body.as_ref().map_or(LONGEST_BODY, |body| body.longest);
        let route: MethodRouter<Arc<Admin>> = operation.route.layer(DefaultBodyLimit::max(longest));
        let mut route = route.layer(Extension(Longest(longest)));
        if operation.needs != Needs::Nothing {
            let names = operation.parameters.iter().map(|parameter| parameter.name).collect::<Arc<[_]>>();
            let checked = middleware::from_fn_with_state((Arc::clone(admin), operation.needs), login::check);
            route = route.route_layer(middleware::from_fn_with_state(names, known_parameters)).route_layer(checked);
        }
        router.route(&operation.path, route)
    })
}

/// A parameter that nobody knows is a mistake: with `dryMod=true` something would change that was only to be tried.
async fn known_parameters(State(known): State<Arc<[&'static str]>>, request: Request, next: Next) -> Response {
    match unknown_parameter(request.uri(), &known) {
        None => next.run(request).await,
        Some(error) => error.into_response(),
    }
}

fn unknown_parameter(uri: &Uri, known: &[&'static str]) -> Option<ApiError> {
    let given = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    let given = match given {
        Ok(given) => given.0,
        Err(error) => return Some(ApiError::invalid(format!("the query: {}", error.body_text()))),
    };
    let (name, _) = given.into_iter().find(|(name, _)| !known.contains(&name.as_str()))?;
    let shown = crate::observe::shown::Shown::from(name.as_str());
    let hint = match (nearest(&name, known.iter().copied()), known) {
        (Some(near), _) => format!("did you mean '{near}'?"),
        (None, []) => "none is known here".to_owned(),
        (None, known) => format!("known here are {}", known.join(", ")),
    };
    Some(ApiError::invalid(format!("the query: unknown parameter '{shown}'; {hint}")))
}
