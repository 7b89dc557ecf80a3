//! Signed tokens that local accounts use as passwords: JSON Web Tokens with HMAC-SHA256.
//!
//! A token holds only as long as its account exists in the same virtual cluster.

use std::time::{Duration, SystemTime};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contract::secret::Secret;
use serde::{Deserialize, Serialize};

/// The shortest signing key that is accepted: as long as the signature.
pub const SHORTEST_KEY: usize = 32;

/// The only header that is written, and the only one that is accepted: whoever may choose the algorithm chooses `none`.
const HEADER: &str = r#"{"alg":"HS256"}"#;

/// Signs and checks tokens.
pub struct TokenKey {
    key: hmac::Key,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub username: String,
    pub vcluster: String,
    /// Seconds since 1970.
    pub exp: u64,
}

impl Claims {
    pub fn expires_at(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.exp))
    }
}

impl TokenKey {
    /// The key that is the bytes of this text.
    pub fn new(secret: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()) }
    }

    /// A key that ends with this process, and its tokens with it.
    pub fn random() -> Result<Self, Unspecified> {
        let mut bytes = [0; SHORTEST_KEY];
        rand::fill(&mut bytes)?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    pub fn issue(&self, claims: &Claims) -> Result<Secret, serde_json::Error> {
        let header = BASE64_URL_SAFE_NO_PAD.encode(HEADER);
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
        let signed = format!("{header}.{payload}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, signed.as_bytes()));
        Ok(Secret::new(format!("{signed}.{signature}")))
    }

    /// What a token says, if it was signed with this key and has not expired.
    pub fn verify(&self, token: &str, now: SystemTime) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &signature).ok()?;
        if BASE64_URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (claims.expires_at()? > now).then_some(claims)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims { username: "jdoe".into(), vcluster: "passthrough".into(), exp: 2_000 }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn holds_until_it_expires() {
        let key = TokenKey::new(&Secret::new("0123456789abcdef0123456789abcdef"));
        let token = key.issue(&claims()).unwrap();
        assert!(token.reveal().starts_with("eyJhbGciOiJIUzI1NiJ9."));
        assert_eq!(key.verify(token.reveal(), at(1_999)), Some(claims()));
        assert_eq!(key.verify(token.reveal(), at(2_000)), None);
    }

    #[test]
    fn nobody_else_can_make_or_change_one() {
        let key = TokenKey::random().unwrap();
        let token = key.issue(&claims()).unwrap().reveal().to_owned();
        assert_eq!(TokenKey::random().unwrap().verify(&token, at(0)), None);
        for at_byte in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at_byte] = if changed[at_byte] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.verify(&String::from_utf8(changed).unwrap(), at(0)), None, "byte {at_byte}");
        }
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let payload = token.split('.').nth(1).unwrap();
        for forged in [format!("{unsigned}.{payload}."), format!("{unsigned}.{payload}"), String::new(), "..".into()] {
            assert_eq!(key.verify(&forged, at(0)), None, "{forged}");
        }
    }
}
