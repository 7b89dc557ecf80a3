//! Answers: JSON bodies, and errors as `{title, msg, cause}`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use contract::resources::ErrorBody;
use contract::strict::documents;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::upstream::topic_log::LogError;
use crate::world::{Problem, ProblemKind};

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
}

impl ApiError {
    fn new(status: StatusCode, title: &str, msg: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { title: title.to_owned(), msg: Some(msg.into()), cause: None } }
    }

    pub(super) fn invalid(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "The request is not valid", msg)
    }

    pub(super) fn unauthorized(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", msg)
    }

    pub(super) fn forbidden(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", msg)
    }

    pub(super) fn not_found(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", msg)
    }

    pub(super) fn conflict(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", msg)
    }

    /// The resource is not what the request was made for any more (RFC 9110, section 15.5.13).
    pub(super) fn precondition(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "The resource has changed", msg)
    }

    fn too_large(longest: Option<Longest>) -> Self {
        let longest = longest.map_or_else(|| "is taken here".to_owned(), |Longest(bytes)| format!("{bytes} bytes"));
        let msg = format!("the body is longer than {longest}: make it shorter, or send several");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", msg)
    }

    /// Nothing is wrong with the request, but it cannot be answered now.
    pub(super) fn busy(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not now", msg)
    }

    pub(super) fn internal(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed", msg)
    }

    /// Something that the request needs cannot be reached now.
    pub(super) fn not_available(title: &str, msg: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, title, msg)
    }

    /// The log of declarations could not be read or written.
    pub(super) fn unavailable(error: &LogError) -> Self {
        let msg = format!("{error}; the change may or may not hold: ask again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The declarations are out of reach", msg)
    }

    /// Everything that is wrong with a body.
    pub(super) fn listed(flaws: impl Iterator<Item = String>) -> Self {
        let told = flaws.collect::<Vec<_>>();
        let mut error = Self::invalid(told.join("; "));
        error.body.cause = Some(told.join("\n"));
        error
    }

    /// The same, of one of many resources.
    pub(super) fn about(mut self, resource: &str) -> Self {
        self.body.msg = self.body.msg.map(|msg| format!("{resource}: {msg}"));
        self
    }

    /// The status of the gravest problem, and all of them.
    pub(super) fn problems(problems: &[Problem]) -> Self {
        let gravest = problems.iter().map(|problem| problem.kind).min().unwrap_or(ProblemKind::Invalid);
        let of = match gravest {
            ProblemKind::Invalid => Self::invalid,
            ProblemKind::Missing => Self::not_found,
            ProblemKind::Conflict => Self::conflict,
        };
        let told = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message));
        let told = told.collect::<Vec<_>>();
        let mut error = of(told.join("; "));
        error.body.cause = Some(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// Reads a body, JSON or YAML whatever content type it claims; what is wrong with it is told all at once.
pub(super) fn parse<T: DeserializeOwned + JsonSchema>(body: &Bytes) -> Result<T, ApiError> {
    documents::read_one(body).map_err(|flaws| {
        ApiError::listed(flaws.iter().map(|flaw| match flaw.path.as_str() {
            "" => format!("the body: {flaw}"),
            _ => flaw.to_string(),
        }))
    })
}

/// A body of any type: what it is shows when it is read.
#[derive(Debug)]
pub(super) struct Text(pub(super) Bytes);

/// How many bytes a body may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Longest(pub(super) usize);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let longest = request.extensions().get::<Longest>().copied();
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(longest),
            _ => ApiError::invalid("the body ended before it was complete"),
        })
    }
}

/// The name of a resource as a part of the path.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = Path::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| ApiError::invalid("the path: the name in it is not UTF-8"))
    }
}

/// `?dryMode=true`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutQuery {
    #[serde(default)]
    pub(super) dry_mode: bool,
}

/// Reads the parameters of a query.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let query = axum::extract::Query::try_from_uri(uri);
    query.map(|query| query.0).map_err(|error| ApiError::invalid(format!("the query: {}", error.body_text())))
}

pub(super) async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is nothing at {}", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    let msg = format!("{} does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", msg)
}

#[cfg(test)]
mod tests {
    use contract::resources::GatewayServiceAccount;

    use super::*;

    #[test]
    fn a_password_in_the_wrong_place_is_not_repeated() {
        for (spec, told) in [
            (r#""hunter2""#, "spec: must be keys and values, and is a text"),
            (r#"["hunter2"]"#, "spec: must be keys and values, and is a list"),
            (r#"{"type":"hunter2"}"#, "spec.type: must be one of LOCAL, EXTERNAL"),
            (r#"{"type":"LOCAL","password":["hunter2"]}"#, "spec.password: must be a text, and is a list"),
            (r#"{"type":"LOCAL","externalNames":"a\"hunter2"}"#, "spec.externalNames: must be a list, and is a text"),
            (r#"{"type":"LOCAL" "hunter2"}"#, "the body: is not JSON: expected `,` or `}` at line 1 column 1"),
        ] {
            let body = format!(
                r#"{{"kind":"GatewayServiceAccount","apiVersion":"gateway/v2","metadata":{{"name":"a"}},"spec":{spec}}}"#
            );
            let error = parse::<GatewayServiceAccount>(&Bytes::from(body)).unwrap_err().body;
            let (msg, cause) = (error.msg.unwrap(), error.cause.unwrap());
            assert!(msg.starts_with(told) && !msg.contains("hunter2") && !cause.contains("hunter2"), "{spec}: {msg}");
        }
    }
}
