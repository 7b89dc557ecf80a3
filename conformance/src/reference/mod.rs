//! Equivalence: the same requests to a Kafka of one's own and to a virtual cluster on a Kafka that others use too. Every
//! answer must be the same.
//!
//! What is asked is in `scripts/`, what may differ is in `normalizations.yaml` and `deliberate.yaml`. Which APIs and
//! versions are compared is what the virtual cluster says that it serves; an API without a script fails the run.

mod batch;
mod compare;
mod play;
mod report;
pub mod rights;
mod rules;
mod script;
mod stand;
mod template;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Instant, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use wire::schema::{ApiKey, Versions};

use crate::drivers::Connection;
use crate::drivers::socket::{KafkaSocket, SocketError};
use play::Player;
use report::Judge;
use script::{Request, Script, ScriptError, Served};

pub use compare::Difference;
pub use report::{Finding, Report};
pub use rules::Rules;
pub use stand::{Brought, StandError};

/// In this order: what one leaves behind, the next ones see.
const SCRIPTS: &[(&str, &str)] = &[
    ("warm-up", include_str!("scripts/warm-up.yaml")),
    ("cluster", include_str!("scripts/cluster.yaml")),
    ("topics", include_str!("scripts/topics.yaml")),
    ("configs", include_str!("scripts/configs.yaml")),
    ("records", include_str!("scripts/records.yaml")),
    ("offsets", include_str!("scripts/offsets.yaml")),
    ("groups", include_str!("scripts/groups.yaml")),
    ("transactions", include_str!("scripts/transactions.yaml")),
    ("consumer-groups", include_str!("scripts/consumer-groups.yaml")),
    ("share-groups", include_str!("scripts/share-groups.yaml")),
    ("streams-groups", include_str!("scripts/streams-groups.yaml")),
];
/// What another tenant of the shared Kafka has.
const OTHER_TENANT: &str = include_str!("scripts/other-tenant.yaml");
/// So that it can be taken down.
const OTHER_TENANT_LEAVES: &str = include_str!("scripts/other-tenant-leaves.yaml");
/// What lies on the shared Kafka beside all tenants, under names that look like theirs.
const NEIGHBOURS: &str = include_str!("scripts/neighbours.yaml");
/// Lists of names that are asked for everywhere.
const LISTS: &str = include_str!("scripts/lists.yaml");

/// What is compared, and what stands around it.
#[derive(Debug, Clone)]
pub struct Stand {
    /// A Kafka that nobody else uses.
    pub reference: Connection,
    /// The virtual cluster.
    pub r#virtual: Connection,
    /// Another tenant on the same Kafka.
    pub other: Connection,
    /// That Kafka itself.
    pub shared: Connection,
    /// What the names of the virtual cluster begin with there.
    pub prefix: String,
    /// What the other tenant's names begin with there.
    pub other_prefix: String,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A script or list is wrong.
    #[error("{0}")]
    Script(#[from] ScriptError),
    /// A file is not the YAML that it should be.
    #[error("{file}: {source}")]
    Yaml {
        /// Which file.
        file: String,
        /// What is wrong with it.
        source: serde_yaml::Error,
    },
    /// A side does not answer.
    #[error("{side}: {source}")]
    Socket {
        /// Which side.
        side: &'static str,
        /// What went wrong.
        source: SocketError,
    },
    /// What stands around could not be set up.
    #[error("{script}: {request} came to {outcome}")]
    SetUp {
        /// Which script.
        script: &'static str,
        /// The request.
        request: String,
        /// What it came to.
        outcome: String,
    },
    /// A request for a topic that is absent would make it, and change what is answered afterwards.
    #[error("the broker at {0} makes topics that are asked for; give one with auto.create.topics.enable=false")]
    MakesTopics(String),
    /// A side broke off.
    #[error("the {0} side of the comparison broke off")]
    BrokeOff(&'static str),
}

/// Sets up the neighbours, asks both sides everything, and compares.
///
/// # Errors
/// [`ReferenceError`]: nothing can be said about equivalence.
pub fn run(stand: &Stand, rules: &Rules) -> Result<Report, ReferenceError> {
    run_some(stand, rules, |_| true)
}

fn makes_no_topics(broker: &Connection) -> Result<(), ReferenceError> {
    let failed = |source| ReferenceError::Socket { side: "broker", source };
    let mut socket = KafkaSocket::connect(broker).map_err(failed)?;
    let brokers = socket.ask(ApiKey::Metadata, 9, &json!({ "Topics": [] })).map_err(failed)?.value;
    let name = brokers["Brokers"][0]["NodeId"].to_string();
    let setting =
        json!({ "ResourceType": 4, "ResourceName": name, "ConfigurationKeys": ["auto.create.topics.enable"] });
    let answer = socket.ask(ApiKey::DescribeConfigs, 1, &json!({ "Resources": [setting] })).map_err(failed)?.value;
    match answer["Results"][0]["Configs"][0]["Value"].as_str() {
        Some("false") => Ok(()),
        _ => Err(ReferenceError::MakesTopics(broker.bootstrap.clone())),
    }
}

/// As [`run`], with some of the scripts only; what the others ask for is missing in the report then.
///
/// # Errors
/// As [`run`].
pub fn run_some(stand: &Stand, rules: &Rules, chosen: impl Fn(&str) -> bool) -> Result<Report, ReferenceError> {
    let began = Instant::now();
    let lists = yaml::<Map<String, Value>>("lists", LISTS)?;
    let mut known = names(stand);
    let lists = lists.iter().map(|(name, list)| (name.clone(), template::fill_known(list, &known))).collect();
    let served = served("virtual cluster", &stand.r#virtual)?;
    let offered = self::served("reference", &stand.reference)?;
    for broker in [&stand.reference, &stand.shared] {
        makes_no_topics(broker)?;
    }
    let around = set_up("other-tenant", OTHER_TENANT, &stand.other, &known, &lists)?;
    known.extend(around.into_iter().filter(|(name, _)| name.starts_with("their_")));
    let _ = set_up("neighbours", NEIGHBOURS, &stand.shared, &known, &lists)?;

    let mut requests = Vec::new();
    let both: Served =
        served.iter().filter_map(|(key, versions)| Some((*key, versions.intersect(*offered.get(key)?)))).collect();
    for (name, text) in SCRIPTS.iter().filter(|(name, _)| chosen(name)) {
        requests.extend(script::unfold(&yaml::<Script>(name, text)?, &both, &lists)?);
    }
    let (reference, found) = thread::scope(|scope| {
        let play = |connection: &Connection| {
            let mut player = Player::new(connection.clone(), known.clone());
            let requests = &requests;
            scope.spawn(move || player.play(requests))
        };
        let (reference, found) = (play(&stand.reference), play(&stand.r#virtual));
        (reference.join(), found.join())
    });
    let _ = set_up("other-tenant-leaves", OTHER_TENANT_LEAVES, &stand.other, &known, &lists)?;
    let reference = reference.map_err(|_| ReferenceError::BrokeOff("reference"))?;
    let found = found.map_err(|_| ReferenceError::BrokeOff("virtual"))?;
    let mut judge = Judge::new(rules);
    for ((request, reference), found) in requests.iter().zip(&reference).zip(&found) {
        judge.exchange(request, reference, found);
    }
    Ok(judge.report(&served, began.elapsed()))
}

fn yaml<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, ReferenceError> {
    serde_yaml::from_str(text).map_err(|source| ReferenceError::Yaml { file: format!("scripts/{name}.yaml"), source })
}

/// Names that both sides ask for alike: what belongs to somebody on the shared Kafka is unknown on the other.
fn names(stand: &Stand) -> Map<String, Value> {
    let own = stand.prefix.trim_end_matches('.');
    let now = UNIX_EPOCH.elapsed().ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or_default();
    let names = json!({
        "prefix": stand.prefix, "own": own, "their_prefix": stand.other_prefix,
        "zero_id": "AAAAAAAAAAAAAAAAAAAAAA", "unknown_id": "ZbQlz1kKRIaPPdhb6tzbNw",
        // Not older: the broker throws away what is older than a topic keeps.
        "now": now, "soon": now + 1,
        "long_249": "n".repeat(249), "long_250": "n".repeat(250), "long_1000": "n".repeat(1000),
    });
    match names {
        Value::Object(names) => names,
        _ => Map::new(),
    }
}

fn served(side: &'static str, connection: &Connection) -> Result<Served, ReferenceError> {
    let failed = |source| ReferenceError::Socket { side, source };
    let mut socket = KafkaSocket::connect(connection).map_err(failed)?;
    let who = json!({ "ClientSoftwareName": "conformance", "ClientSoftwareVersion": "1" });
    let answer = socket.ask(ApiKey::ApiVersions, 3, &who).map_err(failed)?.value;
    let mut served = BTreeMap::new();
    for entry in answer["ApiKeys"].as_array().into_iter().flatten() {
        let number = |name: &str| entry[name].as_i64().and_then(|n| i16::try_from(n).ok());
        if let (Some(key), Some(min), Some(max)) = (number("ApiKey"), number("MinVersion"), number("MaxVersion"))
            && let Some(api) = ApiKey::from_code(key)
        {
            let _ = served.insert(key, Versions { min, max }.intersect(api.versions()));
        }
    }
    Ok(served)
}

/// Plays a script whose answers must all be free of errors, and returns what it kept.
fn set_up(
    name: &'static str,
    text: &str,
    connection: &Connection,
    known: &Map<String, Value>,
    lists: &Map<String, Value>,
) -> Result<Map<String, Value>, ReferenceError> {
    let served = served(name, connection)?;
    let requests = script::unfold(&yaml::<Script>(name, text)?, &served, lists)?;
    let mut player = Player::new(connection.clone(), known.clone());
    let played = player.play(&requests);
    for (request, played) in requests.iter().zip(&played) {
        if !is_fine(request, &played.outcome) {
            let request = format!("{} {} {}", request.key.name(), request.version, played.body);
            return Err(ReferenceError::SetUp { script: name, request, outcome: format!("{:?}", played.outcome) });
        }
    }
    Ok(player.kept().clone())
}

fn is_fine(request: &Request, outcome: &play::Outcome) -> bool {
    fn errors(answer: &Value) -> bool {
        match answer {
            Value::Object(map) => map.iter().any(|(name, value)| match value {
                Value::Number(_) => name == "ErrorCode" && *value != 0,
                nested => errors(nested),
            }),
            Value::Array(list) => list.iter().any(errors),
            _ => false,
        }
    }
    match outcome {
        play::Outcome::Answer(answer) => !errors(answer),
        play::Outcome::Sent => request.act != script::Act::Ask,
        _ => false,
    }
}
