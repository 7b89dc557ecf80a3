//! Tokens of an identity provider: signed JSON Web Tokens (RFC 7519, RFC 9068), checked by the keys that it publishes.
//!
//! The only part of `authn` that reads files or sockets is [`provider`]: it fetches the keys in the background, and a
//! login works with those that are there. What is checked, in this order: form, algorithm, key, signature, claims.

pub mod algorithm;
mod claims;
pub mod declared;
pub mod jwks;
pub mod keys;
pub mod provider;
mod rejection;

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config;
use crate::observe::shown::Shown;
use algorithm::Algorithm;
use jwks::NoKey;
use keys::Keys;
pub use rejection::Rejection;

/// Checks tokens.
#[derive(Debug)]
pub struct OAuth {
    rules: Arc<config::OAuth>,
    keys: Arc<Keys>,
    /// Whether it is a resource.
    declared: bool,
}

/// What a token that was taken says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whom it is about, as the provider calls it.
    pub principal: String,
    /// When it ends, by its `exp`.
    pub expires_at: SystemTime,
}

/// The header of a token (RFC 7515 section 4.1). What says where keys are (`jku`, `jwk`, `x5u`, `x5c`) is never looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

/// The types of tokens that say who somebody is; others of the same provider, such as for logging out, are none.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token taken apart.
struct Parts<'a> {
    header: Header,
    signed: &'a [u8],
    payload: &'a str,
    signature: Vec<u8>,
}

impl OAuth {
    pub fn new(rules: config::OAuth, keys: Arc<Keys>) -> Self {
        Self { rules: Arc::new(rules), keys, declared: false }
    }

    /// A provider that is a resource, and can be taken away.
    #[must_use]
    pub fn declared(self) -> Self {
        Self { declared: true, ..self }
    }

    /// What an identity rests on that is vouched for by this provider, if that can be taken away.
    pub fn basis(&self) -> Option<Arc<config::OAuth>> {
        self.declared.then(|| Arc::clone(&self.rules))
    }

    /// The keys of the provider, to be fetched by [`provider::follow`].
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// What a token must say, and where its keys are.
    pub fn rules(&self) -> &config::OAuth {
        &self.rules
    }

    /// Whether a token says that it is this provider's. It is not believed for that.
    pub fn is_named_by(&self, token: &str) -> bool {
        #[derive(Deserialize)]
        struct Issued {
            iss: String,
        }
        let parts = self.parts(token);
        let issued = parts.and_then(|parts| decoded::<Issued>(parts.payload, "its claims name no issuer"));
        issued.is_ok_and(|issued| issued.iss == self.rules.expected_issuer)
    }

    /// The longest token that is looked at, in bytes.
    pub fn longest_token(&self) -> usize {
        self.rules.longest_token
    }

    /// Waits until the provider was asked for the key of this token, if it is one that is not known. What is no token is
    /// not waited for: [`Self::verify`] says what is wrong with it.
    pub async fn prepare(&self, token: &str) {
        if let Ok(parts) = self.parts(token)
            && self.algorithm(&parts.header).is_ok()
        {
            let id = parts.header.kid;
            self.keys.wait_for(id.as_deref()).await;
        }
    }

    /// Whom a token is about, if it is to be believed. Takes some tens of microseconds of CPU.
    ///
    /// # Errors
    /// [`Rejection`]
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, Rejection> {
        let parts = self.parts(token)?;
        let algorithm = self.algorithm(&parts.header)?;
        let state = self.keys.now();
        let id = parts.header.kid.as_deref();
        let Some(set) = &state.set else {
            return Err(Rejection::NoKeys(state.failure.clone().unwrap_or_else(|| "not fetched yet".to_owned())));
        };
        let key = set.find(id, algorithm).map_err(|none| {
            let id = Shown::from(id.unwrap_or_default());
            match none {
                NoKey::UnknownId => Rejection::UnknownKey { id, provider: state.failure.clone() },
                NoKey::OtherAlgorithm => Rejection::KeyOfOtherAlgorithm { id, algorithm: algorithm.name },
                NoKey::NotNamed => Rejection::KeyNotNamed,
            }
        })?;
        if !key.signed(algorithm, parts.signed, &parts.signature) {
            return Err(Rejection::Signature);
        }
        let claims = decoded::<Map<String, Value>>(parts.payload, "its claims are no JSON object in base64")?;
        claims::check(claims, &self.rules, now)
    }

    fn parts<'a>(&self, token: &'a str) -> Result<Parts<'a>, Rejection> {
        if token.len() > self.rules.longest_token {
            return Err(Rejection::Malformed("it is longer than oauth.maxTokenBytes"));
        }
        let three = || {
            let (signed, signature) = token.rsplit_once('.')?;
            let (header, payload) = signed.split_once('.')?;
            (!payload.contains('.')).then_some((signed, header, payload, signature))
        };
        let (signed, header, payload, signature) = three().ok_or(Rejection::Malformed("it has not three parts"))?;
        let header = decoded::<Header>(header, "its header is not that of a JSON Web Signature")?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature);
        let signature = signature.map_err(|_| Rejection::Malformed("its signature is not base64"))?;
        Ok(Parts { header, signed: signed.as_bytes(), payload, signature })
    }

    fn algorithm(&self, header: &Header) -> Result<&'static Algorithm, Rejection> {
        // Whoever writes that something must be understood is not to be served by somebody who does not understand it.
        if header.crit.is_some() {
            return Err(Rejection::Malformed("it has critical extensions, of which none is known"));
        }
        if let Some(kind) = &header.typ {
            let lower = kind.to_ascii_lowercase();
            if !TYPES.contains(&lower.strip_prefix("application/").unwrap_or(&lower)) {
                return Err(Rejection::Kind(Shown::from(kind)));
            }
        }
        let allowed = |algorithm: &&Algorithm| self.rules.algorithms.iter().any(|name| name == algorithm.name);
        let algorithm = Algorithm::named(&header.alg).filter(allowed);
        algorithm.ok_or_else(|| Rejection::Algorithm(Shown::from(&header.alg)))
    }
}

fn decoded<T: DeserializeOwned>(part: &str, otherwise: &'static str) -> Result<T, Rejection> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed(otherwise))?;
    serde_json::from_slice(&bytes).map_err(|_| Rejection::Malformed(otherwise))
}

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;
