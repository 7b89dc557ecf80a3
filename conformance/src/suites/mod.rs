//! Checks with an id each, gathered in profiles: what a gateway has to hold, tried by somebody who wants it not to.

pub mod arena;
pub mod attacker;
pub mod forge;
pub mod isolation;
pub mod mutants;
pub mod report;
pub mod run;
pub mod scene;
pub mod seed;
pub mod shape;
pub mod tap;
pub mod twins;

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use self::arena::Trouble;
use self::scene::Scene;

/// How much a check matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Without it the profile is not held.
    Must,
}

/// What a check does.
pub type Body = fn(&mut Scene<'_>) -> Result<(), Trouble>;

/// One check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// For example `I-01`.
    pub id: &'static str,
    /// What is tried.
    pub title: &'static str,
    /// How much it matters.
    pub level: Level,
    /// Where it belongs.
    pub profile: &'static str,
    /// `None`: planned.
    pub body: Option<Body>,
}

impl Check {
    /// `implemented` or `planned`.
    pub fn status(&self) -> &'static str {
        if self.body.is_some() { "implemented" } else { "planned" }
    }
}

/// The profiles.
pub const PROFILES: [&str; 1] = [isolation::PROFILE];

/// All checks, in order.
pub fn all() -> impl Iterator<Item = &'static Check> {
    isolation::CHECKS.iter()
}

/// The checks of a profile whose id fits the pattern, in which `*` stands for anything.
pub fn select(profile: &str, pattern: &str) -> Vec<&'static Check> {
    all().filter(|check| check.profile == profile && fits(pattern.as_bytes(), check.id.as_bytes())).collect()
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        Some((letter, rest)) => text.split_first().is_some_and(|(l, text)| l == letter && fits(rest, text)),
    }
}

/// The checks as data.
pub fn list_json() -> Value {
    let checks = all().map(|check| {
        json!({ "id": check.id, "title": check.title, "level": check.level, "profile": check.profile,
            "status": check.status() })
    });
    checks.collect()
}

/// The checks for people.
pub fn list_human() -> String {
    let mut text = String::new();
    for check in all() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<5} {:<11} {:<11} {}", check.id, check.profile, check.status(), check.title);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_chooses_checks() {
        let ids = |pattern| select("isolation", pattern).iter().map(|check| check.id).collect::<Vec<_>>();
        assert_eq!(ids("*").len(), 46);
        assert_eq!(ids("I-0*").len(), 9);
        assert_eq!(ids("I-*3"), ["I-03", "I-13", "I-23", "I-33", "I-43"]);
        assert_eq!(ids("I-99"), Vec::<&str>::new());
        assert!(select("core", "*").is_empty());
    }

    #[test]
    fn the_list_says_what_is_planned() {
        let list = list_json();
        assert_eq!(list[0]["id"], "I-01");
        assert_eq!(list[0]["level"], "MUST");
        for check in all() {
            assert!(list_human().contains(check.title), "{}", check.id);
        }
    }
}
