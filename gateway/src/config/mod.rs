//! The process's own settings: `gateway.yaml`, overridden by environment variables.
//!
//! All problems are told at once, each with its place in the file or its variable. A key or value that is not
//! understood is an error; a `GATEWAY_*` or `KAFKA_*` variable that means nothing here is a warning by name.

mod addresses;
mod audit;
mod reader;
mod settings;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use contract::secret::Secret;

pub use addresses::HostPort;
pub use audit::{Audit, AuditFile};
use reader::Reader;

/// What the names of the gateway's own topics on the physical cluster begin with. No client sees or reaches them.
pub const INTERNAL_TOPICS: &str = "_anabranch.";

/// All settings of a gateway process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub upstream: Upstream,
    pub clients: Clients,
    pub admin: Admin,
    pub state: State,
    pub tokens: Tokens,
}

/// The physical Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub bootstrap_servers: Vec<HostPort>,
}

/// The side that Kafka clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    pub security_protocol: SecurityProtocol,
    pub bind_host: String,
    pub advertised_host: String,
    /// Broker `b` is served at `port_start + b - min_broker_id`.
    pub port_start: u16,
    pub port_count: u16,
    pub min_broker_id: i32,
    pub limits: Limits,
}

impl Clients {
    /// The last of the client ports.
    pub fn port_end(&self) -> u16 {
        self.port_start.saturating_add(self.port_count.saturating_sub(1))
    }
}

/// What one client may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests of one connection that wait for their answers.
    pub max_in_flight: usize,
    pub max_frame_bytes: usize,
    /// Connections of all clients together.
    pub max_connections: usize,
    /// From connecting to being logged in.
    pub login_timeout: Duration,
}

/// How clients connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Nobody logs in: every client is in `passthrough`.
    Plaintext,
    /// Clients log in by SASL.
    SaslPlaintext,
}

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub bind_host: String,
    pub port: u16,
    pub users: Vec<AdminUser>,
}

/// Who may use the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUser {
    pub username: String,
    pub password: Secret,
    /// Whether the user may change things; others may read.
    pub admin: bool,
}

/// Where resources are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In the process: gone when it ends.
    Memory,
    /// In this topic of the physical cluster, shared by all gateways that name it.
    Topic(String),
}

/// The tokens that local accounts use as passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Without one the process makes its own, and its tokens end with it.
    pub signing_key: Option<Secret>,
}

/// Settings that hold, and what the operator should know about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

/// One thing wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `clients.portStart`, or the variable's name.
    pub place: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the settings file {path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    /// Every problem found, one a line.
    #[error("the settings have {}:\n{}", count(.0.len()), lines(.0))]
    Invalid(Vec<Problem>),
}

fn count(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads the file, if there is one, and lets variables override it.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.display().to_string(), source })?,
            None => String::new(),
        };
        Self::parse(&text, environment)
    }

    /// The same for the text of a file.
    pub fn parse(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
        let mut reader = Reader::new(text);
        reader.override_with(environment);
        let config = settings::read(&mut reader);
        let (problems, warnings) = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(Loaded { config, warnings }),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }
}

#[cfg(test)]
mod tests;
