//! Rights: the same requests, by the same users with the same access control lists, to a Kafka with its StandardAuthorizer and to a
//! virtual cluster on a Kafka that knows of none. Every answer must be the same.
//!
//! What is asked is in `asked.yaml`, once for each of [`USERS`]; what there is, and what each user may, in `given.yaml`.

use std::time::{Duration, Instant};
use std::{panic, thread};

use serde_json::{Map, Value, json};

use super::play::{Played, Player};
use super::report::Judge;
use super::script::{self, Request, Script, Served};
use super::{ReferenceError, Report, Rules, served, set_up, yaml};
use crate::drivers::Connection;
use wire::schema::{ApiKey, Versions};

/// Who asks; `given.yaml` says what each may.
pub const USERS: [&str; 8] =
    ["everything", "nothing", "describer", "reader", "writer", "denied", "prefixed", "hostbound"];
/// Who may do everything, by configuration.
pub const ADMIN: &str = "admin";

const GIVEN: &str = include_str!("given.yaml");
const ASKED: &str = include_str!("asked.yaml");
/// As long as a rule may take from the controller to the brokers.
const SETTLED: Duration = Duration::from_secs(2);

/// The password of a user on both sides.
pub fn password(user: &str) -> String {
    format!("secret-of-{user}")
}

/// The two sides, each with all users.
#[derive(Debug, Clone)]
pub struct Sides {
    /// Where a Kafka with the StandardAuthorizer takes PLAIN.
    pub reference: String,
    /// Where the gateway takes PLAIN.
    pub r#virtual: String,
}

impl Sides {
    fn connection(address: &str, user: &str) -> Connection {
        Connection {
            bootstrap: address.to_owned(),
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: user.to_owned(),
            password: password(user),
            ..Connection::default()
        }
    }
}

/// Gives both sides the same, asks as each user, and compares.
///
/// # Errors
/// [`ReferenceError`]: nothing can be said about rights.
pub fn run(sides: &Sides, rules: &Rules) -> Result<Report, ReferenceError> {
    let began = Instant::now();
    let known = known();
    let lists = Map::from_iter([("users".to_owned(), json!(USERS))]);
    let offered = served("virtual cluster", &Sides::connection(&sides.r#virtual, ADMIN))?;
    let there = served("reference", &Sides::connection(&sides.reference, ADMIN))?;
    let both = both(&offered, &there);
    let asked = script::unfold(&yaml::<Script>("rights/asked", ASKED)?, &both, &lists)?;
    let (reference, found) = thread::scope(|scope| {
        let side = |address: &str| {
            let (address, known, lists, asked) = (address.to_owned(), &known, &lists, &asked);
            scope.spawn(move || one_side(&address, known, lists, asked))
        };
        let (reference, found) = (side(&sides.reference), side(&sides.r#virtual));
        (reference.join(), found.join())
    });
    let reference = reference.unwrap_or_else(|cause| panic::resume_unwind(cause))?;
    let found = found.unwrap_or_else(|cause| panic::resume_unwind(cause))?;
    let mut judge = Judge::new(rules);
    for ((user, reference), (_, found)) in reference.iter().zip(&found) {
        for ((request, reference), found) in asked.iter().zip(reference).zip(found) {
            let label = format!("{user}: {}", request.label);
            judge.exchange(&Request { label, ..request.clone() }, reference, found);
        }
    }
    Ok(judge.report(&both, began.elapsed()))
}

fn both(offered: &Served, there: &Served) -> Served {
    let shared = |(key, versions): (&i16, &Versions)| Some((*key, versions.intersect(*there.get(key)?)));
    // No step asks for these: they are how a connection begins, and what an operator does.
    let begun = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate].map(ApiKey::code);
    offered.iter().filter_map(shared).filter(|(key, _)| !begun.contains(key)).collect()
}

type Answers = Vec<(&'static str, Vec<Played>)>;

fn one_side(
    address: &str,
    known: &Map<String, Value>,
    lists: &Map<String, Value>,
    asked: &[Request],
) -> Result<Answers, ReferenceError> {
    let given = set_up("rights/given", GIVEN, &Sides::connection(address, ADMIN), known, lists)?;
    thread::sleep(SETTLED);
    let play = |user: &'static str| {
        let mut known = given.clone();
        let _ = known.insert("user".to_owned(), json!(user));
        (user, Player::new(Sides::connection(address, user), known).play(asked))
    };
    Ok(USERS.iter().map(|user| play(user)).collect())
}

fn known() -> Map<String, Value> {
    let known = json!({ "unknown_id": "ZbQlz1kKRIaPPdhb6tzbNw" });
    known.as_object().cloned().unwrap_or_default()
}
