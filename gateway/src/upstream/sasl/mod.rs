//! The client's side of SASL: how the gateway proves to a broker who it is.
//!
//! [`Login`] holds what is needed for it; [`Login::start`] begins a [`Dialogue`] with one broker, which is pure: the
//! broker's answers go in, the next request comes out. It must not know how they travel, so that a login and a
//! re-authentication among other requests (KIP-368) are the same code.

mod aws;
mod dialogue;
#[cfg(feature = "gssapi")]
mod gssapi;
mod msk_iam;
mod oauthbearer;
mod plain;
mod scram;
mod token;

pub use dialogue::{Dialogue, Next, Request};
#[cfg(feature = "gssapi")]
pub use gssapi::missing_variables;

use crate::config::upstream::Sasl;
use crate::transport::tls::stores::StoreError;
use std::sync::Arc;

/// The gateway's identity at the brokers.
#[derive(Debug)]
pub struct Login {
    mechanism: Mechanism,
}

/// Why a broker did not accept the gateway, or the gateway not the broker. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The broker's listener has not enabled the mechanism.
    #[error("the broker serves {} and not this mechanism: set sasl.mechanism to one of them, or use another listener", listed(.served))]
    Mechanism {
        /// What it serves.
        served: Vec<String>,
    },
    /// The broker says no.
    #[error("refused: {reason} ({hint})")]
    Refused {
        /// The broker's words, cleaned.
        reason: String,
        /// What to look at.
        hint: &'static str,
    },
    /// What the broker sent is not the mechanism's message.
    #[error("the broker's message does not follow the mechanism: {0}")]
    Malformed(&'static str),
    /// Whoever answers does not know the password: not the broker that was meant.
    #[error("the broker could not prove that it knows the password; who answers at this address?")]
    Unproven,
    /// There is nothing to log in with.
    #[error("no credentials: {0}")]
    Credentials(String),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Credentials(format!("the authorities of the token endpoint: {error}"))
    }
}

fn listed(served: &[String]) -> String {
    if served.is_empty() { "no mechanism".to_owned() } else { served.join(", ") }
}

/// What the mechanisms keep between logins.
#[derive(Debug)]
enum Mechanism {
    Plain(plain::Plain),
    Scram(scram::Scram),
    OAuthBearer(Box<oauthbearer::OAuthBearer>),
    MskIam(msk_iam::MskIam),
    #[cfg(feature = "gssapi")]
    Gssapi(gssapi::Gssapi),
}

/// The client of one exchange.
#[derive(Debug)]
enum Client {
    /// Mechanisms of a single message: whatever else the broker says is a refusal.
    Once(Vec<u8>),
    Scram(Box<scram::Exchange>),
    OAuthBearer(oauthbearer::Exchange),
    MskIam(msk_iam::Exchange),
    #[cfg(feature = "gssapi")]
    Gssapi(gssapi::Exchange),
}

/// What a client makes of a broker's message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Answer this.
    Say(Vec<u8>),
    /// All is proven.
    Done,
}

impl Login {
    /// A login by these settings.
    ///
    /// # Errors
    /// [`LoginError::Credentials`] for settings that no login can be made of.
    pub fn new(settings: &Sasl) -> Result<Self, LoginError> {
        let mechanism = match settings {
            Sasl::Plain(password) => Mechanism::Plain(plain::Plain::new(password.clone())),
            Sasl::Scram { hash, login } => Mechanism::Scram(scram::Scram::new((*hash).into(), login.clone())),
            Sasl::OAuthBearer(settings) => Mechanism::OAuthBearer(Box::new(oauthbearer::OAuthBearer::new(settings)?)),
            Sasl::AwsMskIam(settings) => Mechanism::MskIam(msk_iam::MskIam::new(settings.clone())),
            #[cfg(feature = "gssapi")]
            Sasl::Gssapi(settings) => Mechanism::Gssapi(gssapi::Gssapi::new(settings.clone())?),
            #[cfg(not(feature = "gssapi"))]
            Sasl::Gssapi(_) => {
                let why = "GSSAPI needs a gateway that was built with `--features gssapi`";
                return Err(LoginError::Credentials(why.to_owned()));
            }
        };
        Ok(Self { mechanism })
    }

    /// The mechanism's registered name.
    pub const fn mechanism(&self) -> &'static str {
        match &self.mechanism {
            Mechanism::Plain(_) => "PLAIN",
            Mechanism::Scram(scram) => scram.name(),
            Mechanism::OAuthBearer(_) => "OAUTHBEARER",
            Mechanism::MskIam(_) => "AWS_MSK_IAM",
            #[cfg(feature = "gssapi")]
            Mechanism::Gssapi(_) => "GSSAPI",
        }
    }

    /// Who the gateway says it is, for errors and logs.
    pub fn principal(&self) -> &str {
        match &self.mechanism {
            Mechanism::Plain(plain) => plain.username(),
            Mechanism::Scram(scram) => scram.username(),
            Mechanism::OAuthBearer(oauth) => oauth.principal(),
            Mechanism::MskIam(iam) => iam.access_key_id(),
            #[cfg(feature = "gssapi")]
            Mechanism::Gssapi(kerberos) => kerberos.principal(),
        }
    }

    /// Begins to log in to the broker of this host. Gets a token first where one is needed.
    ///
    /// # Errors
    /// [`LoginError::Credentials`]
    pub async fn start(self: &Arc<Self>, host: &str) -> Result<Dialogue, LoginError> {
        let client = match &self.mechanism {
            Mechanism::Plain(plain) => Client::Once(plain.message()),
            Mechanism::Scram(scram) => Client::Scram(Box::new(scram.start()?)),
            Mechanism::OAuthBearer(oauth) => Client::OAuthBearer(oauth.start().await?),
            Mechanism::MskIam(iam) => Client::MskIam(iam.start(host)?),
            #[cfg(feature = "gssapi")]
            Mechanism::Gssapi(kerberos) => Client::Gssapi(kerberos.start(host).await?),
        };
        Ok(Dialogue::new(Arc::clone(self), client))
    }

    /// Learns that a broker did not take what the gateway has: a token may have been revoked.
    pub async fn refused(&self, error: &LoginError) {
        if let (Mechanism::OAuthBearer(oauth), LoginError::Refused { .. }) = (&self.mechanism, error) {
            oauth.forget().await;
        }
    }

    /// What an operator looks at when a broker says no.
    const fn hint(&self) -> &'static str {
        match &self.mechanism {
            Mechanism::Plain(_) | Mechanism::Scram(_) => {
                "check username and password in sasl.jaas.config, KAFKA_SASL_JAAS_CONFIG, and that the broker knows them"
            }
            Mechanism::OAuthBearer(_) => "check the token's issuer, audience, scope and expiry against the broker's",
            #[cfg(feature = "gssapi")]
            Mechanism::Gssapi(_) => {
                "check sasl.kerberos.service.name, the broker's host name and keytab, and the clocks"
            }
            Mechanism::MskIam(_) => "check the AWS access key, its kafka-cluster:Connect permission and the clock",
        }
    }
}

impl Client {
    /// The first message.
    fn first(&mut self) -> Vec<u8> {
        match self {
            Self::Once(message) => std::mem::take(message),
            Self::Scram(exchange) => exchange.first(),
            Self::OAuthBearer(exchange) => exchange.first(),
            Self::MskIam(exchange) => exchange.first(),
            #[cfg(feature = "gssapi")]
            Self::Gssapi(exchange) => exchange.first(),
        }
    }

    /// Takes a message of the broker. SCRAM takes milliseconds of CPU the first time.
    fn step(&mut self, message: &[u8]) -> Result<Step, LoginError> {
        match self {
            Self::Once(_) if message.is_empty() => Ok(Step::Done),
            Self::Once(_) => Err(LoginError::Malformed("PLAIN has no second message")),
            Self::Scram(exchange) => exchange.step(message),
            Self::OAuthBearer(exchange) => exchange.step(message),
            Self::MskIam(exchange) => exchange.step(message),
            #[cfg(feature = "gssapi")]
            Self::Gssapi(exchange) => exchange.step(message),
        }
    }
}
