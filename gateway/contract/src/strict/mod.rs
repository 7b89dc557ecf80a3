//! Strict reading of what people write: YAML or JSON, every problem at once, each with its path and a way out.
//!
//! What a document may hold is said once, by its type: the JSON Schema that editors use is what is checked here. No value
//! is repeated in a message: a password in the wrong place is a password still.

pub mod documents;
pub mod shape;
mod tree;

use std::fmt;

/// How alike two names must be for one to be suggested in place of the other (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flaw {
    /// Where: keys and indexes such as `spec.acls[1].operation`; empty for the document itself.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Flaw {
    /// A flaw at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// The candidate that a mistyped name was probably meant to be.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    let best = candidates.max_by(|left, right| likeness(left).total_cmp(&likeness(right)))?;
    (likeness(best) >= ALIKE).then_some(best)
}

/// The path of what is under `key`.
fn under(path: &str, key: &str) -> String {
    match (path, key) {
        ("", key) => key.to_owned(),
        (path, key) if key.starts_with('[') => format!("{path}{key}"),
        (path, key) => format!("{path}.{key}"),
    }
}
