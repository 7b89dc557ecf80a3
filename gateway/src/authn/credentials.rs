//! SCRAM verifiers: what remains of a password (RFC 5802, section 3).
//!
//! A verifier proves that somebody knows the password, and does not let whoever reads it log in. PLAIN is checked by the
//! same ones as SCRAM: a second hash of the password, however costly, would only be one more to guess by.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use serde::{Deserialize, Serialize};

/// Twice the least that RFC 7677 and Kafka's clients ask for: clients pay this at every connection.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(8_191);
const SALT_LENGTH: usize = 16;

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    /// The hash function itself.
    pub fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// The verifiers of one password, one per SCRAM mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub sha256: Verifier,
    pub sha512: Verifier,
}

impl Credentials {
    /// Verifiers of a new password, each with a fresh salt. Takes milliseconds of CPU.
    pub fn from_password(password: &str) -> Result<Self, Unspecified> {
        Ok(Self {
            sha256: Verifier::from_password(Hash::Sha256, password)?,
            sha512: Verifier::from_password(Hash::Sha512, password)?,
        })
    }

    pub fn verifier(&self, hash: Hash) -> &Verifier {
        match hash {
            Hash::Sha256 => &self.sha256,
            Hash::Sha512 => &self.sha512,
        }
    }

    /// Whether these are the verifiers of that password. Takes milliseconds of CPU.
    pub fn is_password(&self, password: &str) -> bool {
        self.sha512.is_password(password.as_bytes())
    }
}

/// Salt, iterations, StoredKey and ServerKey of RFC 5802.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verifier {
    hash: Hash,
    #[serde(with = "as_base64")]
    salt: Vec<u8>,
    iterations: NonZeroU32,
    #[serde(with = "as_base64")]
    stored_key: Vec<u8>,
    #[serde(with = "as_base64")]
    server_key: Vec<u8>,
}

/// How bytes are written at rest.
mod as_base64 {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map_err(D::Error::custom)
    }
}

impl Verifier {
    fn from_password(hash: Hash, password: &str) -> Result<Self, Unspecified> {
        let mut salt = vec![0; SALT_LENGTH];
        rand::fill(&mut salt)?;
        Ok(Self::derive(hash, password.as_bytes(), salt, ITERATIONS))
    }

    /// As RFC 5802 says, without SASLprep: Kafka's brokers and clients take the bytes as they are.
    pub(super) fn derive(hash: Hash, password: &[u8], salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = salted_password(hash, password, &salt, iterations);
        let stored_key = stored_key(hash, &salted);
        let server_key = sign(hash, &salted, b"Server Key");
        Self { hash, salt, iterations, stored_key, server_key }
    }

    /// A verifier that no password fits, always the same for the same user, so that an unknown name looks like a known
    /// one however often it is tried.
    pub(super) fn of_nobody(hash: Hash, secret: &[u8; 32], username: &str) -> Self {
        let keyed = |purpose: &str| {
            let message = format!("{purpose}\0{hash:?}\0{username}");
            sign(hash, secret, message.as_bytes())
        };
        let mut salt = keyed("salt");
        salt.truncate(SALT_LENGTH);
        Self { hash, salt, iterations: ITERATIONS, stored_key: keyed("stored key"), server_key: keyed("server key") }
    }

    /// Made anew for each password.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the password was hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Whether `proof` is the ClientProof of this exchange.
    pub(super) fn is_proof(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        let signature = sign(self.hash, &self.stored_key, auth_message);
        if signature.len() != proof.len() {
            return false;
        }
        let client_key = proof.iter().zip(&signature).map(|(left, right)| left ^ right).collect::<Vec<_>>();
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        verify_slices_are_equal(stored_key.as_ref(), &self.stored_key).is_ok()
    }

    /// The ServerSignature of this exchange.
    pub(super) fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        sign(self.hash, &self.server_key, auth_message)
    }

    pub(super) fn is_password(&self, password: &[u8]) -> bool {
        let salted = salted_password(self.hash, password, &self.salt, self.iterations);
        verify_slices_are_equal(&stored_key(self.hash, &salted), &self.stored_key).is_ok()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({:?}, ***)", self.hash)
    }
}

/// SaltedPassword of RFC 5802. Takes milliseconds of CPU for each ten thousand iterations.
pub fn salted_password(hash: Hash, password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
    let mut salted = vec![0; hash.digest().output_len()];
    pbkdf2::derive(hash.pbkdf2(), iterations, salt, password, &mut salted);
    salted
}

/// HMAC of a message.
pub fn sign(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash.hmac(), key), message).as_ref().to_vec()
}

fn stored_key(hash: Hash, salted: &[u8]) -> Vec<u8> {
    let client_key = sign(hash, salted, b"Client Key");
    digest::digest(hash.digest(), &client_key).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_password_and_no_other() {
        let credentials = Credentials::from_password("pencil").unwrap();
        assert!(credentials.is_password("pencil"));
        assert!(!credentials.is_password("pencil "));
        assert!(!credentials.is_password(""));
        assert!(credentials.sha256.is_password(b"pencil"));
        assert_ne!(Credentials::from_password("pencil").unwrap(), credentials, "salts are fresh");
    }

    #[test]
    fn nobody_has_a_steady_salt_and_no_password() {
        let secret = [7; 32];
        let nobody = Verifier::of_nobody(Hash::Sha256, &secret, "ghost");
        assert_eq!(nobody, Verifier::of_nobody(Hash::Sha256, &secret, "ghost"));
        assert_ne!(nobody.salt(), Verifier::of_nobody(Hash::Sha256, &secret, "spook").salt());
        assert_ne!(nobody.salt(), Verifier::of_nobody(Hash::Sha256, &[8; 32], "ghost").salt());
        assert_eq!(nobody.salt().len(), SALT_LENGTH);
        assert!(!nobody.is_password(b""));
    }

    #[test]
    fn prints_nothing_of_its_keys() {
        let credentials = Credentials::from_password("pencil").unwrap();
        let expected = "Credentials { sha256: Verifier(Sha256, ***), sha512: Verifier(Sha512, ***) }";
        assert_eq!(format!("{credentials:?}"), expected);
    }
}
