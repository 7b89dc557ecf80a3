//! `POST /gateway/v2/token`: a signed password with an end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Where tokens are made.
pub const PATH: &str = "/gateway/v2/token";

/// Asks for a token that a local account uses as its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// The account's virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
    /// The account's name.
    pub username: String,
    /// How long the token is good for.
    pub life_time_seconds: i64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenResponse {
    /// The password to log in with.
    pub token: Secret,
}
