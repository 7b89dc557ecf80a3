//! Texts that only who has a key can read: AES-256-GCM (NIST SP 800-38D) with a random nonce, bound to the name under which they
//! are kept, so that one cannot be put in the place of another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use contract::secret::Secret;
use serde::{Deserialize, Serialize};

/// What a key is derived for.
const ENCRYPTION: &[u8] = b"anabranch state encryption v1";
/// What its name is derived for.
const NAME: &[u8] = b"anabranch state key name v1";
/// In bytes.
const NAME_LENGTH: usize = 4;

/// An encrypted text, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The name of its key: eight digits that tell nothing about it.
    key: String,
    nonce: String,
    data: String,
}

/// Why a text could not be encrypted or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    #[error(
        "it is encrypted with a key, '{0}', that this gateway does not have: set state.encryptionKey, or \
         state.formerEncryptionKeys, to it"
    )]
    OtherKey(String),
    #[error("it was changed, or belongs to another name")]
    Changed,
}

/// The keys: one that encrypts, and others that only decrypt.
pub struct SealingKeys {
    current: Key,
    former: Vec<Key>,
}

struct Key {
    name: String,
    key: LessSafeKey,
}

/// A length for HKDF.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl SealingKeys {
    /// Keys out of secret texts.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`], where the library does not work.
    pub fn new(current: &Secret, former: &[Secret]) -> Result<Self, SealError> {
        let former = former.iter().map(Key::derived).collect::<Result<_, _>>()?;
        Ok(Self { current: Key::derived(current)?, former })
    }

    /// Encrypts a text that is kept under a name.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`]
    pub fn seal(&self, name: &str, text: &[u8]) -> Result<Sealed, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut data = text.to_vec();
        let sealed = self.current.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(name.as_bytes()),
            &mut data,
        );
        sealed.map_err(|_| SealError::NoRandomness)?;
        let (nonce, data) = (BASE64_STANDARD.encode(nonce), BASE64_STANDARD.encode(data));
        Ok(Sealed { key: self.current.name.clone(), nonce, data })
    }

    /// Reads a text that is kept under a name.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn open(&self, name: &str, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let known = std::iter::once(&self.current).chain(&self.former).find(|key| key.name == sealed.key);
        let known = known.ok_or_else(|| sealed.key_is_missing())?;
        let nonce =
            BASE64_STANDARD.decode(&sealed.nonce).ok().and_then(|nonce| <[u8; NONCE_LEN]>::try_from(nonce).ok());
        let nonce = Nonce::assume_unique_for_key(nonce.ok_or(SealError::Changed)?);
        let mut data = BASE64_STANDARD.decode(&sealed.data).map_err(|_| SealError::Changed)?;
        let text = known.key.open_in_place(nonce, Aad::from(name.as_bytes()), &mut data);
        text.map(|text| text.to_vec()).map_err(|_| SealError::Changed)
    }
}

impl Sealed {
    /// What to say where there is no key at all.
    pub fn key_is_missing(&self) -> SealError {
        // What is kept may have been written by anybody.
        SealError::OtherKey(self.key.chars().filter(char::is_ascii_alphanumeric).take(2 * NAME_LENGTH).collect())
    }
}

impl Key {
    fn derived(secret: &Secret) -> Result<Self, SealError> {
        let extracted = Salt::new(HKDF_SHA256, &[]).extract(secret.reveal().as_bytes());
        let derive = |purpose: &[u8], bytes: &mut [u8]| {
            let purpose = [purpose];
            let output = extracted.expand(&purpose, Bytes(bytes.len()));
            output.and_then(|output| output.fill(bytes)).map_err(|_| SealError::NoRandomness)
        };
        let (mut key, mut name) = ([0; 32], [0; NAME_LENGTH]);
        derive(ENCRYPTION, &mut key)?;
        derive(NAME, &mut name)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| SealError::NoRandomness)?;
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name, key: LessSafeKey::new(key) })
    }
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealingKeys({})", self.current.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the password of a cluster";

    fn keys(current: &str, former: &[&str]) -> SealingKeys {
        let former = former.iter().map(|key| Secret::new(*key)).collect::<Vec<_>>();
        SealingKeys::new(&Secret::new(current), &former).unwrap()
    }

    #[test]
    fn only_the_key_and_the_name_open_it() {
        let mine = keys("one key of the operator's, long enough", &[]);
        let sealed = mine.seal("UpstreamCluster/main", TEXT).unwrap();
        assert_eq!(mine.open("UpstreamCluster/main", &sealed).unwrap(), TEXT);
        assert_eq!(mine.open("UpstreamCluster/other", &sealed), Err(SealError::Changed));
        assert_ne!(mine.seal("UpstreamCluster/main", TEXT).unwrap(), sealed, "no nonce twice");
        let other = keys("another key of the operator's, long enough", &[]);
        let error = other.open("UpstreamCluster/main", &sealed).unwrap_err().to_string();
        assert!(error.contains(&sealed.key) && error.contains("state.formerEncryptionKeys"), "{error}");
        let after = keys("another key of the operator's, long enough", &["one key of the operator's, long enough"]);
        assert_eq!(after.open("UpstreamCluster/main", &sealed).unwrap(), TEXT, "a former key reads");
    }

    #[test]
    fn what_was_changed_is_not_read() {
        let mine = keys("one key of the operator's, long enough", &[]);
        let sealed = mine.seal("n", TEXT).unwrap();
        let changed = |change: fn(&mut Sealed)| {
            let mut sealed = sealed.clone();
            change(&mut sealed);
            mine.open("n", &sealed).unwrap_err()
        };
        assert_eq!(changed(|sealed| sealed.data.insert_str(0, "AAAA")), SealError::Changed);
        assert_eq!(changed(|sealed| sealed.nonce = "AAAA".into()), SealError::Changed);
        assert_eq!(changed(|sealed| sealed.data.clear()), SealError::Changed);
        assert_eq!(changed(|sealed| sealed.key = "x\n/y".into()), SealError::OtherKey("xy".into()));
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let mine = keys("one key of the operator's, long enough", &[]);
        let shown = format!("{mine:?} {:?}", mine.seal("n", TEXT).unwrap());
        assert!(!shown.contains("operator") && !shown.contains("password"), "{shown}");
    }
}
