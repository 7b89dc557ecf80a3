//! Who can carry out a step: one row per client. A new client is a folder of `fixtures/clients` and a row here.

pub mod http;
pub mod process;
pub mod socket;
pub mod tls;
pub mod wire;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a step came to: its result, or the refusal of a broker or client. A harness that cannot carry a step out at all
/// is a `DriverError` and never one of these.
pub type Outcome = Result<Value, Refusal>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's name of the error, or one of the protocol's own (see `fixtures/clients/README.md`).
    pub code: String,
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("the client {client} cannot be started: {problem}; run {setup}")]
    NotStarted { client: String, problem: String, setup: PathBuf },
    #[error("the client {client} was ended: no answer to '{action}' within {seconds} s{log}")]
    TooLate { client: String, action: String, seconds: u64, log: String },
    #[error("the client {client} ended before it answered '{action}'{log}")]
    Ended { client: String, action: String, log: String },
    #[error("the client {client} does not speak the line protocol: {problem}")]
    Protocol { client: String, problem: String },
    #[error("the client {client} has no step '{action}'; it has {known}")]
    NoSuchStep { client: String, action: String, known: String },
    #[error("step '{action}' of {client}: {problem}")]
    BadStep { client: String, action: String, problem: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program of `fixtures/clients`, spoken to by the line protocol.
    Process,
    /// Raw frames written by this program.
    Wire,
    /// The `sandbox` program itself.
    Sandbox,
}

#[derive(Debug)]
pub struct Driver {
    pub name: &'static str,
    pub kind: Kind,
    pub about: &'static str,
}

pub const TABLE: &[Driver] = &[
    Driver { name: "kcat", kind: Kind::Process, about: "kcat (librdkafka)" },
    Driver { name: "java", kind: Kind::Process, about: "Apache Kafka's console tools" },
    Driver { name: "java-clients", kind: Kind::Process, about: "Apache Kafka's Java clients, Streams and Connect" },
    Driver { name: "python", kind: Kind::Process, about: "confluent-kafka (librdkafka)" },
    Driver { name: "go", kind: Kind::Process, about: "franz-go" },
    Driver { name: "wire", kind: Kind::Wire, about: "raw frames, well and badly formed" },
    Driver { name: "sandbox", kind: Kind::Sandbox, about: "the sandbox program: up, env, status, down" },
];

pub fn find(name: &str) -> Option<&'static Driver> {
    TABLE.iter().find(|driver| driver.name == name)
}

/// How a client connects: the connection block of a sandbox, and what a listener asks for beyond it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connection {
    pub bootstrap: String,
    pub security_protocol: String,
    pub mechanism: String,
    /// With OAUTHBEARER the id that the token is asked for with.
    pub username: String,
    pub password: String,
    /// The authority that the server's certificate must come from, PEM.
    pub ca: Option<PathBuf>,
    /// The client's own key and certificate, in one PEM file.
    pub identity: Option<PathBuf>,
    /// Where OAUTHBEARER's tokens come from: a provider's token endpoint, or a `file:` with a token.
    pub token_endpoint: Option<String>,
    /// Host names beside those that the machine knows, `name=address` with blanks between. Only Java and franz-go can.
    pub hosts: String,
}

// By hand, so that no password can end in a log.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ({}, {})", self.username, self.bootstrap, self.security_protocol, self.mechanism)
    }
}

impl Connection {
    /// A broker that asks for no credentials.
    pub fn plain(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), security_protocol: "PLAINTEXT".to_owned(), ..Self::default() }
    }

    /// As `sandbox env` names the values; the rest as `fixtures/clients/README.md` does.
    pub fn variables(&self) -> [(&'static str, &OsStr); 9] {
        [
            ("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap.as_ref()),
            ("KAFKA_SECURITY_PROTOCOL", self.security_protocol.as_ref()),
            ("KAFKA_SASL_MECHANISM", self.mechanism.as_ref()),
            ("KAFKA_SASL_USERNAME", self.username.as_ref()),
            ("KAFKA_SASL_PASSWORD", self.password.as_ref()),
            ("KAFKA_SSL_CA_FILE", path(self.ca.as_ref())),
            ("KAFKA_SSL_IDENTITY_FILE", path(self.identity.as_ref())),
            ("KAFKA_SASL_TOKEN_ENDPOINT", self.token_endpoint.as_deref().unwrap_or_default().as_ref()),
            ("KAFKA_HOSTS", self.hosts.as_ref()),
        ]
    }
}

fn path(given: Option<&PathBuf>) -> &OsStr {
    given.map_or(OsStr::new(""), |path| path.as_os_str())
}

/// The folder `fixtures` of this project, looked for from the given folder upwards.
pub fn find_fixtures(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join("fixtures")).find(|folder| folder.join("clients").is_dir())
}
