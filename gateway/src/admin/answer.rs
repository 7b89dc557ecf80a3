//! Answers: JSON bodies, and errors as `{title, msg, cause}`.

use axum::Json;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use contract::resources::ErrorBody;
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

/// Reads a JSON body, whatever content type it claims.
pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("the body: {}", without_values(&error.to_string()))))
}

/// What serde complains about, without the value: a password in the wrong place is a password still. What was expected instead,
/// the names of fields, and line and column stay.
fn without_values(complaint: &str) -> String {
    const VARIANT: &str = "unknown variant `";
    let mut shown = String::with_capacity(complaint.len());
    let mut rest = complaint;
    if let Some(behind) = rest.strip_prefix(VARIANT) {
        shown.push_str("unknown variant `***");
        // The value itself may hold what looks like its end.
        rest =
            behind.rfind("`, expected").or_else(|| behind.rfind("`, there are no")).map_or("`", |end| &behind[end..]);
    }
    while let Some(start) = rest.find('"') {
        shown.push_str(&rest[..start]);
        shown.push_str("\"***\"");
        let mut escaped = false;
        let end = rest[start + 1..].find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        rest = end.map_or("", |end| &rest[start + 1 + end + 1..]);
    }
    shown.push_str(rest);
    shown
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
            (r#""hunter2""#, r#"the body: invalid type: string "***", expected struct"#),
            (r#"["hunter2"]"#, "the body: unknown variant `***`, expected one of `LOCAL`"),
            (r#"["hunter2`, expected"]"#, "the body: unknown variant `***`, expected one of `LOCAL`"),
            (r#"{"type":"LOCAL","password":["hunter2"]}"#, "the body: invalid type: sequence, expected a string"),
            (r#"{"type":"LOCAL","externalNames":"a\"hunter2"}"#, r#"the body: invalid type: string "***", expected"#),
        ] {
            let body = format!(
                r#"{{"kind":"GatewayServiceAccount","apiVersion":"gateway/v2","metadata":{{"name":"a"}},"spec":{spec}}}"#
            );
            let error = parse::<GatewayServiceAccount>(&Bytes::from(body)).unwrap_err().body.msg.unwrap();
            assert!(error.starts_with(told) && !error.contains("hunter2"), "{spec}: {error}");
            assert!(error.contains("at line 1 column "), "{error}");
        }
    }
}
