//! What the settings point to and a start needs: files of keys and certificates, and texts that have to be compiled.
//!
//! `gateway run` and `gateway validate` read it by the same function, so that what is valid also starts.

use std::sync::Arc;

use contract::secret::Secret;

use crate::authn::principal::{PrincipalRules, RuleError};
use crate::config::{Config, KeySource};
use crate::crypto::sealed::{SealError, SealingKeys};
use crate::transport::tls::server::{ServerTls, ServerTlsError};

/// A key that is shorter can be guessed.
const SHORTEST_KEY: usize = 32;

/// Everything, read.
#[derive(Debug)]
pub struct Material {
    /// For each listener of the settings what it offers, if it speaks TLS.
    pub servers: Vec<Option<Arc<ServerTls>>>,
    /// What the admin API offers, if it speaks TLS.
    pub admin: Option<Arc<ServerTls>>,
    /// What the subjects of clients' certificates are called.
    pub principals: Arc<PrincipalRules>,
    /// By what declarations that are secret are encrypted, if they are.
    pub sealing: Option<Arc<SealingKeys>>,
}

/// What cannot be used of it. Each tells the whole story itself, so that none is said twice.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    #[error("TLS of the listener '{listener}': {error}")]
    Tls { listener: String, error: ServerTlsError },
    #[error("state.encryptionKeyFile {path}: {reason}")]
    KeyFile { path: String, reason: String },
    #[error("state.encryptionKey: {0}")]
    Key(SealError),
    #[error("TLS of the admin API (admin.tls): {0}")]
    Admin(ServerTlsError),
    #[error("tls.principalMappingRules (GATEWAY_SSL_PRINCIPAL_MAPPING_RULES): {0}")]
    Rules(RuleError),
}

impl Material {
    /// Reads all files that the settings name and something needs.
    ///
    /// # Errors
    /// [`MaterialError`] for the first that cannot be used.
    pub fn read(config: &Config) -> Result<Self, MaterialError> {
        let principals =
            Arc::new(PrincipalRules::parse(&config.tls.principal_mapping_rules).map_err(MaterialError::Rules)?);
        let mut servers: Vec<Option<Arc<ServerTls>>> = Vec::new();
        let listeners = &config.clients.listeners;
        for (at, listener) in listeners.iter().enumerate() {
            let same = listeners[..at]
                .iter()
                .zip(&servers)
                .find_map(|(earlier, server)| server.clone().filter(|_| earlier.client_auth == listener.client_auth));
            servers.push(match (listener.protocol.is_tls(), same) {
                (false, _) => None,
                // One for all that offer the same: its files are looked at once.
                (true, Some(same)) => Some(same),
                (true, None) => {
                    let server = ServerTls::load(&config.tls, listener.client_auth);
                    let failed = |error| MaterialError::Tls { listener: listener.name.clone(), error };
                    Some(Arc::new(server.map_err(failed)?))
                }
            });
        }
        let admin = config.admin.tls.as_ref().map(|tls| ServerTls::load(&tls.settings, tls.client_auth));
        let admin = admin.transpose().map_err(MaterialError::Admin)?.map(Arc::new);
        Ok(Self { servers, admin, principals, sealing: sealing(config)? })
    }
}

fn sealing(config: &Config) -> Result<Option<Arc<SealingKeys>>, MaterialError> {
    let current = match &config.at_rest.key {
        None => return Ok(None),
        Some(KeySource::Given(key)) => key.clone(),
        Some(KeySource::File(path)) => {
            let failed = |reason: String| MaterialError::KeyFile { path: path.display().to_string(), reason };
            let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
            let key = text.trim_end_matches(['\r', '\n']);
            if key.len() < SHORTEST_KEY {
                return Err(failed(format!(
                    "must hold at least {SHORTEST_KEY} characters; make it with: openssl rand -base64 32"
                )));
            }
            Secret::new(key)
        }
    };
    let keys = SealingKeys::new(&current, &config.at_rest.former_keys).map_err(MaterialError::Key)?;
    Ok(Some(Arc::new(keys)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_said_once() {
        let tls = |variables: &[(&str, &str)]| {
            let all = [("KAFKA_BOOTSTRAP_SERVERS", "k:1"), ("GATEWAY_SECURITY_PROTOCOL", "SSL")];
            let all = all.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let config = Config::parse("", all).unwrap().config;
            let error = anyhow::Error::from(Material::read(&config).unwrap_err());
            format!("{error:#}")
        };
        let store = ("GATEWAY_SSL_KEY_STORE_PATH", "/nowhere/gateway.p12");
        assert_eq!(
            tls(&[store]),
            "TLS of the listener 'default': /nowhere/gateway.p12: cannot be read: No such file or directory (os error 2)"
        );
        let said = tls(&[store, ("GATEWAY_SSL_PRINCIPAL_MAPPING_RULES", "RULE:(?i)a/b/")]);
        assert!(
            said.starts_with("tls.principalMappingRules (GATEWAY_SSL_PRINCIPAL_MAPPING_RULES): the principal"),
            "{said}"
        );
        assert_eq!(said.matches("which is not supported").count(), 1, "{said}");
    }
}
