//! The process's own settings: `gateway.yaml`, overridden by environment variables.
//!
//! All problems are told at once, each with its place in the file or its variable. A key or value that is not
//! understood is an error; a `GATEWAY_*` or `KAFKA_*` variable that means nothing here is a warning by name.

mod addresses;
mod admin;
mod audit;
mod clients;
mod clusters;
mod jaas;
mod keys;
mod login;
mod logins;
mod nodes;
mod oauth;
mod properties;
mod reader;
mod settings;
mod source;
mod state;
mod telemetry;
pub mod tls;
pub mod upstream;

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use contract::secret::Secret;

pub use addresses::HostPort;
pub use admin::{Admin, AdminRole, AdminTls, AdminUser};
pub use audit::{Audit, AuditFile, AuditTopic, NamePattern};
pub use logins::{Logins, MECHANISMS, OAUTHBEARER, Unmapped};
pub use nodes::Nodes;
pub use oauth::{JwksSource, OAuth, RequiredClaim, TOKEN_ALGORITHMS};
use reader::Reader;
pub use source::{Given, Source};
pub use state::{AtRest, KeySource, State};
pub use telemetry::{LogFormat, Tracing};
use tls::{ClientAuth, Tls};

/// What the names of the gateway's own topics on the physical cluster begin with. No client sees or reaches them.
pub const INTERNAL_TOPICS: &str = "_anabranch.";

/// All settings of a gateway process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub upstream: Upstream,
    /// Those that can take its place.
    pub failover: Vec<Upstream>,
    pub clients: Clients,
    pub logins: Logins,
    /// Where the tokens of an identity provider are taken.
    pub oauth: Option<OAuth>,
    pub tls: Tls,
    pub admin: Admin,
    pub passthrough: Passthrough,
    pub audit: Audit,
    pub state: State,
    pub at_rest: AtRest,
    pub nodes: Nodes,
    pub tokens: Tokens,
    pub log_format: LogFormat,
    /// How much is logged, where the settings say so.
    pub log_level: Option<String>,
    /// Where traces go; `None`: nothing is traced.
    pub tracing: Option<Tracing>,
}

/// A physical Kafka cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// By which it is switched to, and shown.
    pub name: String,
    pub bootstrap_servers: Vec<HostPort>,
    pub security: upstream::Security,
}

/// The side that Kafka clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// At least one; the first is the one that answers of the admin API tell.
    pub listeners: Vec<Listener>,
    /// Whether, where Kafka decides who clients are, it alone decides what they may.
    pub kafka_managed: bool,
    pub limits: Limits,
}

/// Where clients connect, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub name: String,
    pub protocol: SecurityProtocol,
    /// Whether Kafka decides about logins, in the gateway's place.
    pub delegated: bool,
    /// Whether clients show a certificate, where it speaks TLS.
    pub client_auth: ClientAuth,
    pub bind_host: String,
    /// With [`Routing::Host`], the domain below which the brokers have their names.
    pub advertised_host: String,
    /// The virtual cluster of clients that are not asked who they are, where the listener says one.
    pub anonymous: Option<String>,
    pub routing: Routing,
}

impl Listener {
    /// The ports that are bound.
    pub fn ports(&self) -> RangeInclusive<u16> {
        match &self.routing {
            Routing::Port(routing) => routing.start..=routing.start.saturating_add(routing.count.saturating_sub(1)),
            Routing::Host(routing) => routing.port..=routing.port,
        }
    }

    /// The address to give to clients first.
    pub fn bootstrap(&self) -> HostPort {
        let port = match &self.routing {
            Routing::Port(routing) => routing.advertised_start,
            Routing::Host(routing) => routing.advertised_port,
        };
        HostPort { host: self.advertised_host.clone(), port }
    }
}

/// How an address stands for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    Port(PortRouting),
    Host(HostRouting),
}

/// A port per broker: broker `b` is at `start + b - min_broker_id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRouting {
    pub start: u16,
    pub count: u16,
    /// What clients are told in the place of `start`, where something between translates ports.
    pub advertised_start: u16,
    pub min_broker_id: i32,
}

/// A host name per broker, which clients say in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRouting {
    pub port: u16,
    /// What clients are told in the place of `port`.
    pub advertised_port: u16,
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

/// How clients connect (Kafka's `security.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// In the clear, and nobody logs in.
    Plaintext,
    /// By TLS; a client's certificate may say who it is.
    Ssl,
    /// In the clear; clients log in by SASL.
    SaslPlaintext,
    /// By TLS; clients log in by SASL.
    SaslSsl,
}

impl SecurityProtocol {
    /// Whether connections are encrypted.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients log in by SASL.
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// As clients write it in `security.protocol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// The virtual cluster that renames nothing, for as long as nobody declares it otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passthrough {
    /// Whether nothing is allowed in it without a rule. The admin API's users are its super users.
    pub acl_enabled: bool,
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
    /// As they were written.
    pub given: Given,
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
        let (given, problems, warnings) = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(Loaded { config, warnings, given }),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }
}

#[cfg(test)]
mod tests;
