//! The answer of `GET /health`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// It works.
    Up,
    /// It does not, or not yet.
    Down,
}

/// The whole answer: down as soon as one check is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The worst status among the checks.
    pub status: Status,
    /// One entry per thing looked at; the one with id `buildInfo` carries the version.
    pub checks: Vec<Check>,
}

impl Health {
    /// The gateway's version, from the check `buildInfo`.
    pub fn version(&self) -> Option<&str> {
        let check = self.checks.iter().find(|check| check.id == "buildInfo")?;
        check.data.get("version")?.as_str()
    }
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `buildInfo`, `upstream`, …
    pub id: String,
    /// Whether it works.
    pub status: Status,
    /// Details, by check.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub data: serde_json::Map<String, serde_json::Value>,
}
