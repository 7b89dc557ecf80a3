//! How clients prove who they are, and what becomes of those whom no service account names.

use std::time::Duration;

use serde_yaml::Value;

use super::Clients;
use super::oauth::texts;
use super::reader::{Reader, listed};
use super::settings::{Setting, setting, structured};

pub(super) const SETTINGS: &[Setting] = &[
    structured("clients.saslMechanisms", "GATEWAY_SASL_MECHANISMS"),
    setting("clients.unmappedIdentities", "GATEWAY_UNMAPPED_IDENTITIES"),
    setting("clients.delegatedTokens", "GATEWAY_DELEGATED_TOKENS"),
    setting("clients.maxReauthMs", "GATEWAY_MAX_REAUTH_MS"),
];

/// The mechanisms that can be offered, in the order in which they are.
pub const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER];
/// The mechanism that needs an identity provider.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// Clients log in again when 85 to 95 percent of a session are over, and not more often than once a second.
const LEAST_REAUTH_MS: u64 = 2_000;
/// A year.
const MOST_REAUTH_MS: i64 = 365 * 24 * 3_600 * 1_000;

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logins {
    /// Of [`MECHANISMS`], in that order.
    pub mechanisms: Vec<&'static str>,
    /// Whether tokens of identity providers that are declared as resources are taken too.
    pub declared_providers: bool,
    pub unmapped: Unmapped,
    /// The same where Kafka decides: it knows what they may, so they go on as without a gateway unless the settings say no.
    pub unmapped_of_kafka: Unmapped,
    /// Whether tokens are checked here before Kafka decides about them.
    pub validate_forward: bool,
    /// A client logs in again within this time, or its session ends (`connections.max.reauth.ms` of a broker).
    pub max_reauth: Option<Duration>,
}

impl Default for Logins {
    /// Without an identity provider.
    fn default() -> Self {
        let mechanisms = MECHANISMS.into_iter().filter(|name| *name != OAUTHBEARER).collect();
        Self {
            mechanisms,
            declared_providers: true,
            unmapped: Unmapped::default(),
            unmapped_of_kafka: Unmapped::Passthrough,
            validate_forward: false,
            max_reauth: None,
        }
    }
}

/// What becomes of an identity that somebody else vouches for (a certificate, a token, Kafka) and no account names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmapped {
    /// It is refused.
    #[default]
    Refuse,
    /// It is in `passthrough` under its own name: whoever the provider knows reaches the whole Kafka cluster.
    Passthrough,
}

pub(super) fn read(reader: &mut Reader, clients: &Clients) -> Logins {
    let has_provider = reader.is_given("oauth.jwksUrl");
    let chosen = reader.value("clients.saslMechanisms", |value| mechanisms(value, has_provider));
    let all = || MECHANISMS.into_iter().filter(|name| has_provider || *name != OAUTHBEARER).collect();
    let choices = [("refuse", Unmapped::Refuse), ("passthrough", Unmapped::Passthrough)];
    let unmapped = reader.choice("clients.unmappedIdentities", &choices);
    if unmapped == Some(Unmapped::Passthrough) {
        let place = reader.place("clients.unmappedIdentities").to_owned();
        reader.warning(format!(
            "{place} is passthrough: everybody whom an identity provider, a certificate authority or Kafka vouches for \
             sees the whole Kafka cluster, unless a service account says otherwise"
        ));
    }
    Logins {
        declared_providers: chosen.as_ref().is_none_or(|chosen| chosen.contains(&OAUTHBEARER)),
        mechanisms: chosen.unwrap_or_else(all),
        unmapped: unmapped.unwrap_or_default(),
        unmapped_of_kafka: unmapped.unwrap_or(Unmapped::Passthrough),
        validate_forward: validate_forward(reader, clients, has_provider),
        max_reauth: max_reauth(reader),
    }
}

fn validate_forward(reader: &mut Reader, clients: &Clients, has_provider: bool) -> bool {
    let path = "clients.delegatedTokens";
    let chosen = reader.choice(path, &[("passthrough", false), ("validate_forward", true)]).unwrap_or(false);
    let place = reader.place(path).to_owned();
    if chosen && !has_provider {
        reader.problem(
            &place,
            "validate_forward needs an identity provider, whose tokens are checked: set oauth.jwksUrl",
        );
    } else if chosen && !clients.listeners.iter().any(|listener| listener.delegated) {
        reader.warning(format!(
            "{place} has no effect: at no listener does Kafka decide about logins (DELEGATED_SASL_SSL)"
        ));
    }
    chosen
}

/// Zero is none, as with Kafka.
fn max_reauth(reader: &mut Reader) -> Option<Duration> {
    let path = "clients.maxReauthMs";
    let milliseconds = reader.number(path, 0, 0, MOST_REAUTH_MS).unsigned_abs();
    if (1..LEAST_REAUTH_MS).contains(&milliseconds) {
        let place = reader.place(path).to_owned();
        let message = format!(
            "{milliseconds} is too short: clients log in at most once a second; set 0 for no bound, or at least \
             {LEAST_REAUTH_MS}"
        );
        reader.problem(&place, message);
    }
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

fn mechanisms(value: &Value, has_provider: bool) -> Result<Vec<&'static str>, String> {
    let wanted = texts(value)?;
    if wanted.is_empty() {
        return Err("is empty: no client could log in".to_owned());
    }
    if let Some(name) = wanted.iter().find(|name| !MECHANISMS.contains(&name.as_str())) {
        return Err(format!("'{name}' is not served; served are {}", listed(MECHANISMS.into_iter())));
    }
    if !has_provider && wanted.iter().any(|name| name == OAUTHBEARER) {
        return Err(format!("{OAUTHBEARER} needs an identity provider: set oauth.jwksUrl"));
    }
    Ok(MECHANISMS.into_iter().filter(|known| wanted.iter().any(|name| name == known)).collect())
}
