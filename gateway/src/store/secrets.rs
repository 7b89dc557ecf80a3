//! Which changes hold secrets, and how those are kept: as a whole in an envelope that only the key opens.

use contract::resources::Resource;
use serde::{Deserialize, Serialize};

use super::Change;
use crate::crypto::sealed::{SealError, Sealed, SealingKeys};

/// How an envelope begins: no resource has such a field.
const ENVELOPE: &[u8] = br#"{"sealed":"#;
/// What a Kafka client property may end with that anybody may read.
const OPEN: [&str; 8] =
    [".protocol", ".mechanism", ".location", ".type", ".algorithm", ".protocols", ".suites", ".name"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    sealed: Sealed,
}

/// Whether others should not read it: passwords, and by what they are verified.
fn holds_secret(change: &Change) -> bool {
    match change {
        Change::PutAccount(account) => account.credentials.is_some(),
        Change::Put(resource) => secret_property(resource).is_some(),
        _ => false,
    }
}

/// A property of a physical cluster that may be a password or hold one.
fn secret_property(resource: &Resource) -> Option<&str> {
    let Resource::UpstreamCluster(cluster) = resource else { return None };
    let names = cluster.spec.properties.iter().flat_map(|properties| properties.keys());
    names.map(String::as_str).find(|name| !OPEN.iter().any(|open| name.ends_with(open)))
}

/// Why a change must not be written without a key: a password would be there for everybody who reads the topic. Verifiers of
/// passwords are no passwords.
pub fn unprotected(change: &Change) -> Option<String> {
    let Change::Put(resource) = change else { return None };
    let property = secret_property(resource)?;
    Some(format!(
        "{}: spec.properties.{property} may hold a password, which whoever reads the topic of declarations would see: set \
         state.encryptionKey (GATEWAY_STATE_ENCRYPTION_KEY) first",
        resource.key()
    ))
}

/// The value of a record, encrypted where it holds a secret and there is a key.
pub(super) fn seal(
    keys: Option<&SealingKeys>,
    change: &Change,
    (key, value): (String, Option<Vec<u8>>),
) -> Result<(String, Option<Vec<u8>>), String> {
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

    fn upstream(properties: &str) -> Change {
        let json = format!(
            r#"{{ "kind": "UpstreamCluster", "apiVersion": "anabranch/v1", "metadata": {{ "name": "main" }},
                "spec": {{ "bootstrapServers": ["k:9092"], "properties": {{ {properties} }} }} }}"#
        );
        Change::Put(Box::new(Resource::from_json("UpstreamCluster", json.as_bytes()).unwrap().unwrap()))
    }

    #[test]
    fn secrets_are_kept_in_an_envelope_and_come_out_of_it() {
        let keys = SealingKeys::new(&Secret::new("a key of the operator's that is long"), &[]).unwrap();
        let account = GatewayServiceAccount::local("app", "dev", None);
        let account = Account::new(account, Some(Credentials::from_password("pencil").unwrap()));
        for change in [upstream(r#""sasl.jaas.config": "pencil""#), Change::PutAccount(Arc::new(account))] {
            let (key, value) = seal(Some(&keys), &change, entry::write(&change).unwrap()).unwrap();
            let value = value.unwrap();
            let text = String::from_utf8_lossy(&value);
            assert!(text.starts_with(r#"{"sealed":{"#), "{text}");
            assert!(!text.contains("pencil") && !text.contains("salt"), "{text}");
            let opened = open(Some(&keys), key.as_bytes(), &value).unwrap().unwrap();
            assert_eq!(entry::read(key.as_bytes(), Some(&opened)).unwrap(), change);
            assert!(open(Some(&keys), b"UpstreamCluster/other", &value).unwrap().is_err());
            assert!(open(None, key.as_bytes(), &value).unwrap().unwrap_err().contains("state.encryptionKey"));
        }
        assert_eq!(open(Some(&keys), b"k", b"{}"), None);
    }

    #[test]
    fn a_password_is_not_written_without_a_key() {
        let why = unprotected(&upstream(r#""ssl.truststore.password": "pencil""#)).unwrap();
        assert!(why.contains("spec.properties.ssl.truststore.password") && !why.contains("pencil"), "{why}");
        assert_eq!(unprotected(&upstream(r#""security.protocol": "SSL", "ssl.truststore.location": "/t""#)), None);
    }
}
