//! How clients prove who they are, and what becomes of those whom no service account names.

use serde_yaml::Value;

use super::oauth::texts;
use super::reader::{Reader, listed};
use super::settings::{Setting, setting, structured};

pub(super) const SETTINGS: &[Setting] = &[
    structured("clients.saslMechanisms", "GATEWAY_SASL_MECHANISMS"),
    setting("clients.unmappedIdentities", "GATEWAY_UNMAPPED_IDENTITIES"),
];

/// The mechanisms that can be offered, in the order in which they are.
pub const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER];
/// The mechanism that needs an identity provider.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// How clients log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logins {
    /// Of [`MECHANISMS`], in that order.
    pub mechanisms: Vec<&'static str>,
    pub unmapped: Unmapped,
}

impl Default for Logins {
    /// Without an identity provider.
    fn default() -> Self {
        let mechanisms = MECHANISMS.into_iter().filter(|name| *name != OAUTHBEARER).collect();
        Self { mechanisms, unmapped: Unmapped::default() }
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

pub(super) fn read(reader: &mut Reader) -> Logins {
    let has_provider = reader.is_given("oauth.jwksUrl");
    let chosen = reader.value("clients.saslMechanisms", |value| mechanisms(value, has_provider));
    let all = || MECHANISMS.into_iter().filter(|name| has_provider || *name != OAUTHBEARER).collect();
    let choices = [("refuse", Unmapped::Refuse), ("passthrough", Unmapped::Passthrough)];
    let unmapped = reader.choice("clients.unmappedIdentities", &choices).unwrap_or_default();
    if unmapped == Unmapped::Passthrough {
        let place = reader.place("clients.unmappedIdentities").to_owned();
        reader.warning(format!(
            "{place} is passthrough: everybody whom an identity provider, a certificate authority or Kafka vouches for \
             sees the whole Kafka cluster, unless a service account says otherwise"
        ));
    }
    Logins { mechanisms: chosen.unwrap_or_else(all), unmapped }
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
