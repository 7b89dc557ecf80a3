//! Which changes hold secrets, and how those are kept: as a whole in an envelope that only the key opens.

use serde::{Deserialize, Serialize};

use super::Change;
use crate::crypto::sealed::{SealError, Sealed, SealingKeys};
use crate::upstream::topic_log::Entry;

/// How an envelope begins: no resource has such a field.
const ENVELOPE: &[u8] = br#"{"sealed":"#;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    sealed: Sealed,
}

/// Whether others should not read it: passwords, and by what they are verified.
fn holds_secret(change: &Change) -> bool {
    match change {
        Change::PutAccount(account) => account.credentials.is_some(),
        _ => false,
    }
}

/// The value of a record, encrypted where it holds a secret and there is a key.
pub(super) fn seal(keys: Option<&SealingKeys>, change: &Change, (key, value): Entry) -> Result<Entry, String> {
    match (keys, value) {
        (Some(keys), Some(value)) if holds_secret(change) => {
            let sealed = keys.seal(&key, &value).map_err(|error| error.to_string())?;
            let value = serde_json::to_vec(&Envelope { sealed }).map_err(|error| error.to_string())?;
            Ok((key, Some(value)))
        }
        (_, value) => Ok((key, value)),
    }
}

/// What an envelope holds; `None` for a value that is in none.
pub(super) fn open(keys: Option<&SealingKeys>, key: &[u8], value: &[u8]) -> Option<Result<Vec<u8>, String>> {
    if !value.starts_with(ENVELOPE) {
        return None;
    }
    let opened = || {
        let Envelope { sealed } = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let key = std::str::from_utf8(key).map_err(|_| SealError::Changed.to_string())?;
        let opened = keys.map_or_else(|| Err(sealed.key_is_missing()), |keys| keys.open(key, &sealed));
        opened.map_err(|error| error.to_string())
    };
    Some(opened())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contract::resources::GatewayServiceAccount;
    use contract::secret::Secret;

    use super::super::entry;
    use super::*;
    use crate::authn::Account;
    use crate::authn::credentials::Credentials;

    #[test]
    fn secrets_are_kept_in_an_envelope_and_come_out_of_it() {
        let keys = SealingKeys::new(&Secret::new("a key of the operator's that is long"), &[]).unwrap();
        let account = GatewayServiceAccount::local("app", "dev", None);
        let account = Account::new(account, Some(Credentials::from_password("pencil").unwrap()));
        let change = Change::PutAccount(Arc::new(account));
        let (key, value) = seal(Some(&keys), &change, entry::write(&change).unwrap()).unwrap();
        let value = value.unwrap();
        let text = String::from_utf8_lossy(&value);
        assert!(text.starts_with(r#"{"sealed":{"#), "{text}");
        assert!(!text.contains("pencil") && !text.contains("salt"), "{text}");
        let opened = open(Some(&keys), key.as_bytes(), &value).unwrap().unwrap();
        assert_eq!(entry::read(key.as_bytes(), Some(&opened)).unwrap(), change);
        assert!(open(Some(&keys), b"GatewayServiceAccount/dev/other", &value).unwrap().is_err());
        assert!(open(None, key.as_bytes(), &value).unwrap().unwrap_err().contains("state.encryptionKey"));
        assert_eq!(open(Some(&keys), b"k", b"{}"), None);
    }
}
