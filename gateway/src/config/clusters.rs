//! Several physical clusters, of which one serves and another can take its place: which there are, and by which properties.
//!
//! They are described by the file that `upstream.selector` names, by `upstream.clusters` over it, and by the variables
//! `KAFKA_MAIN_X_Y` and `KAFKA_FAILOVER_X_Y` over both: each a Kafka client property, as for a single cluster.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::Upstream;
use super::addresses::parse_list;
use super::clients::PROTOCOLS;
use super::properties::{Given, Properties};
use super::reader::{Reader, listed, text};
use super::settings::{Setting, file_only, structured};
use super::{SecurityProtocol, upstream};

pub(super) const SETTINGS: &[Setting] =
    &[structured("upstream.selector", "GATEWAY_BACKEND_KAFKA_SELECTOR"), file_only("upstream.clusters")];

/// The name of the cluster that serves, where nothing else is said.
pub(super) const MAIN: &str = "main";
const FAILOVER: &str = "failover";
/// The clusters that variables can name.
const BY_VARIABLE: [(&str, &str); 2] = [(MAIN, "KAFKA_MAIN_"), (FAILOVER, "KAFKA_FAILOVER_")];
const LONGEST_NAME: usize = 64;
const SHAPE: &str =
    "must name clusters, each with Kafka client properties, such as 'failover: { bootstrap.servers: host:9092 }'";

/// The part of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Failover,
}

/// What was given for one cluster, by property.
type Clusters = BTreeMap<String, BTreeMap<String, Given>>;

/// The cluster that serves and those that can take its place. `single` are the settings of a gateway with one cluster.
pub(super) fn read(reader: &mut Reader) -> (Option<Upstream>, Vec<Upstream>) {
    let mut main = None;
    let mut others = Vec::new();
    for (name, mut given) in collect(reader) {
        match role(reader, &name, &mut given) {
            Role::Failover => others.push((name, given)),
            Role::Main => match &main {
                None => main = Some((name, given)),
                Some((first, _)) => reader.problem(
                    &format!("upstream.clusters.{name}"),
                    format!("'{first}' serves already: give this one or that one 'gateway.roles: failover'"),
                ),
            },
        }
    }
    let (name, given) = main.unwrap_or_else(|| (MAIN.to_owned(), BTreeMap::new()));
    let main = upstream::read(reader, &name, given);
    let others = others.into_iter().filter_map(|(name, given)| standby(reader, &name, given)).collect();
    (main, others)
}

/// Takes the settings of all clusters together.
fn collect(reader: &mut Reader) -> Clusters {
    let mut clusters = Clusters::new();
    if let Some((path, text)) = selected(reader) {
        match serde_yaml::from_str::<Value>(&text) {
            Ok(Value::Mapping(root)) => of_file(reader, &path, root, &mut clusters),
            Ok(_) => reader.problem(&path, "must hold 'config:' and below it the clusters"),
            Err(error) => reader.problem(&path, format!("is not YAML: {error}")),
        }
    }
    let place = "upstream.clusters";
    let given = reader.value(place, |value| value.as_mapping().cloned().ok_or_else(|| SHAPE.to_owned()));
    overlay(reader, place, given.unwrap_or_default(), &mut clusters);
    for (name, prefix) in BY_VARIABLE {
        for (variable, value) in reader.take_variables_of(prefix) {
            let property = variable[prefix.len()..].to_lowercase().replace('_', ".");
            let cluster = clusters.entry(name.to_owned()).or_default();
            let _ = cluster.insert(property, Given { place: variable, value });
        }
    }
    clusters
}

/// Path and content of the file that the selector names.
fn selected(reader: &mut Reader) -> Option<(String, String)> {
    let path = reader.value("upstream.selector", |value| {
        let file = value.as_mapping().filter(|selector| selector.len() == 1).and_then(|selector| selector.get("file"));
        let path =
            file.and_then(|file| file.as_mapping()).filter(|file| file.len() == 1).and_then(|file| file.get("path"));
        text(path.ok_or("must be 'file: { path: /cluster-config.yaml }'")?)
    })?;
    match std::fs::read_to_string(&path) {
        Ok(content) => Some((path, content)),
        Err(error) => {
            let place = reader.place("upstream.selector").to_owned();
            reader.problem(&place, format!("cannot read {path}: {error}"));
            None
        }
    }
}

fn of_file(reader: &mut Reader, path: &str, root: Mapping, clusters: &mut Clusters) {
    for (key, value) in root {
        match (key.as_str(), value) {
            (Some("config"), Value::Mapping(given)) => overlay(reader, &format!("{path}: config"), given, clusters),
            (Some("config"), _) => reader.problem(&format!("{path}: config"), SHAPE),
            (key, _) => {
                let key = key.unwrap_or("a key that is not text");
                reader.problem(path, format!("unknown key '{key}'; known here is 'config'"));
            }
        }
    }
}

fn overlay(reader: &mut Reader, place: &str, given: Mapping, clusters: &mut Clusters) {
    for (name, properties) in given {
        let name = name.as_str().unwrap_or_default().to_owned();
        let place = format!("{place}.{name}");
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            let may = format!("may hold only letters, digits, '.', '_' and '-', and at most {LONGEST_NAME} of them");
            reader.problem(&place, format!("the name '{name}' of a cluster {may}"));
            continue;
        }
        let Value::Mapping(properties) = properties else {
            reader.problem(&place, SHAPE);
            continue;
        };
        let cluster = clusters.entry(name).or_default();
        for (property, value) in properties {
            let property = property.as_str().unwrap_or_default().to_owned();
            let place = format!("{place}.{property}");
            let value = match &value {
                Value::String(text) => Ok(text.clone()),
                Value::Bool(truth) => Ok(truth.to_string()),
                other => text(other),
            };
            match value {
                Ok(value) => drop(cluster.insert(property, Given { place, value })),
                Err(message) => reader.problem(&place, message),
            }
        }
    }
}

/// What `gateway.roles` says; a cluster that is called `failover` need not say it.
fn role(reader: &mut Reader, name: &str, given: &mut BTreeMap<String, Given>) -> Role {
    let named = if name == FAILOVER { Role::Failover } else { Role::Main };
    let Some(Given { place, value }) = given.remove("gateway.roles") else { return named };
    let roles = [(MAIN, Role::Main), (FAILOVER, Role::Failover)];
    match roles.iter().find(|(word, _)| word.eq_ignore_ascii_case(value.trim())) {
        Some((_, role)) => *role,
        None => {
            let served = listed(roles.iter().map(|(word, _)| *word));
            reader.problem(&place, format!("'{value}' is no role of a cluster; the roles are {served}"));
            named
        }
    }
}

/// A cluster that can take the place of the one that serves.
fn standby(reader: &mut Reader, name: &str, given: BTreeMap<String, Given>) -> Option<Upstream> {
    let by_variable = BY_VARIABLE.iter().find(|(known, _)| *known == name);
    let family = by_variable.map_or_else(|| format!("upstream.clusters.{name}."), |(_, prefix)| (*prefix).to_owned());
    let mut properties = Properties::of(&family, given);
    let bootstrap = properties.take("bootstrap.servers");
    let place = bootstrap.as_ref().map_or_else(|| properties.place("bootstrap.servers"), |given| given.place.clone());
    let servers = match bootstrap {
        None => Err(format!("is required: the host:port of a broker of the cluster '{name}'")),
        Some(given) => parse_list(&given.value),
    };
    let protocol = protocol(reader, properties.take("security.protocol")).unwrap_or(SecurityProtocol::Plaintext);
    let security = upstream::security(reader, properties, protocol);
    let bootstrap_servers = servers.map_err(|message| reader.problem(&place, message)).ok()?;
    Some(Upstream { name: name.to_owned(), bootstrap_servers, security })
}

/// `security.protocol` among the properties of a cluster.
pub(super) fn protocol(reader: &mut Reader, given: Option<Given>) -> Option<SecurityProtocol> {
    let Given { place, value } = given?;
    let found = PROTOCOLS.iter().find(|(word, _)| word.eq_ignore_ascii_case(value.trim()));
    if found.is_none() {
        let served = listed(PROTOCOLS.iter().map(|(word, _)| *word));
        reader.problem(&place, format!("'{value}' is not served; served are {served}"));
    }
    found.map(|(_, protocol)| *protocol)
}
