//! Changes as records of a compacted topic: the key names the resource, the value is its JSON, or nothing for a deletion.

use std::sync::Arc;

use contract::resources::acl::AclBinding;
use contract::resources::{GatewayServiceAccount, Resource, ResourceKey};
use serde::{Deserialize, Serialize};

use super::Change;
use crate::authn::Account;
use crate::authn::credentials::Credentials;

/// Why a record does not hold a change.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("its key names no resource")]
    Key,
    #[error("its value is not the resource that its key names: {0}")]
    Value(#[from] serde_json::Error),
}

/// An account at rest: no password, only verifiers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAccount {
    resource: GatewayServiceAccount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credentials: Option<Credentials>,
}

const CLUSTER: &str = "VirtualCluster";
const ACCOUNT: &str = "GatewayServiceAccount";
const ACL: &str = "Acl";

/// A rule at rest: the key says everything, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAcl {}

/// Key and value of the record for a change.
///
/// # Errors
/// None for resources that came in as JSON.
pub fn write(change: &Change) -> Result<(String, Option<Vec<u8>>), serde_json::Error> {
    let value = match change {
        Change::PutVirtualCluster(cluster) => Some(serde_json::to_vec(cluster)?),
        Change::PutAccount(account) => {
            let resource = account.declared.clone();
            Some(serde_json::to_vec(&StoredAccount { resource, credentials: account.credentials.clone() })?)
        }
        Change::PutAcl { .. } => Some(serde_json::to_vec(&StoredAcl {})?),
        Change::Put(resource) => Some(serde_json::to_vec(&resource.to_json()?)?),
        Change::DeleteVirtualCluster(_)
        | Change::DeleteAccount { .. }
        | Change::DeleteAcl { .. }
        | Change::Delete(_) => None,
    };
    Ok((key(change)?, value))
}

/// The key of the record for a change.
///
/// # Errors
/// None for resources that came in as JSON.
pub fn key(change: &Change) -> Result<String, serde_json::Error> {
    Ok(match change {
        Change::PutVirtualCluster(cluster) => format!("{CLUSTER}/{}", cluster.metadata.name),
        Change::DeleteVirtualCluster(name) => format!("{CLUSTER}/{name}"),
        Change::PutAccount(account) => format!("{ACCOUNT}/{}/{}", account.virtual_cluster, account.username),
        Change::DeleteAccount { virtual_cluster, username } => format!("{ACCOUNT}/{virtual_cluster}/{username}"),
        Change::PutAcl { virtual_cluster, rule } | Change::DeleteAcl { virtual_cluster, rule } => {
            acl_key(virtual_cluster, rule)?
        }
        Change::Put(resource) => resource.key().to_string(),
        Change::Delete(key) => key.to_string(),
    })
}

fn acl_key(virtual_cluster: &str, rule: &AclBinding) -> Result<String, serde_json::Error> {
    Ok(format!("{ACL}/{virtual_cluster}/{}", serde_json::to_string(rule)?))
}

/// A rule may hold slashes itself.
fn read_acl(virtual_cluster: &str, rule: &str, value: Option<&[u8]>) -> Result<Change, EntryError> {
    let (virtual_cluster, rule) = (virtual_cluster.to_owned(), serde_json::from_str(rule)?);
    let Some(value) = value else { return Ok(Change::DeleteAcl { virtual_cluster, rule }) };
    let StoredAcl {} = serde_json::from_slice(value)?;
    Ok(Change::PutAcl { virtual_cluster, rule })
}

/// A name may hold slashes.
fn read_other(kind: &str, key: &str, value: Option<&[u8]>) -> Result<Change, EntryError> {
    let Some(value) = value else {
        return ResourceKey::parse(key).map(Change::Delete).ok_or(EntryError::Key);
    };
    let resource = Resource::from_json(kind, value).ok_or(EntryError::Key)??;
    Ok(Change::Put(Box::new(resource)))
}

/// The change in a record.
///
/// # Errors
/// [`EntryError`]: the record was written by somebody else, or by a newer version.
pub fn read(key: &[u8], value: Option<&[u8]>) -> Result<Change, EntryError> {
    let key = std::str::from_utf8(key).map_err(|_| EntryError::Key)?;
    let parts = key.split('/').collect::<Vec<_>>();
    let change = match (parts.as_slice(), value) {
        ([ACL, virtual_cluster, ..], value) => {
            let rule = key.get(ACL.len() + 1 + virtual_cluster.len() + 1..).ok_or(EntryError::Key)?;
            read_acl(virtual_cluster, rule, value)?
        }
        ([CLUSTER, name], None) => Change::DeleteVirtualCluster((*name).to_owned()),
        ([CLUSTER, _], Some(value)) => Change::PutVirtualCluster(serde_json::from_slice(value)?),
        ([ACCOUNT, virtual_cluster, username], None) => {
            Change::DeleteAccount { virtual_cluster: (*virtual_cluster).to_owned(), username: (*username).to_owned() }
        }
        ([ACCOUNT, _, _], Some(value)) => {
            let stored: StoredAccount = serde_json::from_slice(value)?;
            Change::PutAccount(Arc::new(Account::new(stored.resource, stored.credentials)))
        }
        ([kind, _, ..], value) => read_other(kind, key, value)?,
        _ => return Err(EntryError::Key),
    };
    // A kind that has changes of its own never comes as one of the others.
    if let Change::Delete(key) = &change
        && [CLUSTER, ACCOUNT].contains(&key.kind)
    {
        return Err(EntryError::Key);
    }
    // A value under a foreign key would never be compacted away with it.
    if write(&change)?.0 == key { Ok(change) } else { Err(EntryError::Key) }
}

#[cfg(test)]
mod tests {
    use contract::resources::VirtualCluster;
    use contract::resources::acl::{Operation, PatternType, PermissionType, ResourcePattern, ResourceType};

    use super::*;

    fn rule(name: &str) -> AclBinding {
        AclBinding {
            resource_pattern: ResourcePattern {
                resource_type: ResourceType::Group,
                name: name.into(),
                pattern_type: PatternType::Prefixed,
            },
            principal: "User:CN=app,O=Acme/Team".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission_type: PermissionType::Deny,
        }
    }

    const GROUP: &[u8] = br#"{ "kind": "GatewayGroup", "apiVersion": "gateway/v2", "metadata": { "name": "a/b" } }"#;

    #[test]
    fn what_is_written_is_read() {
        let account =
            |credentials| Arc::new(Account::new(GatewayServiceAccount::local("app", "dev", None), credentials));
        let changes = [
            Change::PutVirtualCluster(Box::new(VirtualCluster::new("dev").with_prefix("d-"))),
            Change::DeleteVirtualCluster("dev".into()),
            Change::PutAccount(account(None)),
            Change::PutAccount(Arc::new(Account::new(GatewayServiceAccount::external("ext", "dev", "CN=a"), None))),
            Change::PutAccount(account(Some(Credentials::from_password("pencil").unwrap()))),
            Change::DeleteAccount { virtual_cluster: "dev".into(), username: "app".into() },
            Change::PutAcl { virtual_cluster: "dev".into(), rule: rule("a/b\"c") },
            Change::DeleteAcl { virtual_cluster: "dev".into(), rule: rule("ä/") },
            Change::Put(Box::new(Resource::from_json("GatewayGroup", GROUP).unwrap().unwrap())),
            Change::Delete(ResourceKey::parse("Quota/dev/a/b").unwrap()),
        ];
        for change in changes {
            let (key, value) = write(&change).unwrap();
            assert!(!String::from_utf8_lossy(value.as_deref().unwrap_or_default()).contains("pencil"));
            assert_eq!(read(key.as_bytes(), value.as_deref()).unwrap(), change);
        }
    }

    #[test]
    fn other_records_are_refused() {
        let (_, value) = write(&Change::PutVirtualCluster(Box::new(VirtualCluster::new("dev")))).unwrap();
        for (key, value) in [
            ("VirtualCluster/other", value.as_deref()),
            ("GatewayServiceAccount/dev/app", value.as_deref()),
            ("VirtualCluster/dev", Some(&b"{}"[..])),
            ("Interceptor/x", None),
            ("Quota/x", None),
            ("VirtualCluster/a/b", None),
            ("GatewayGroup/other", Some(GROUP)),
            ("Acl/dev", None),
            ("Acl/dev/", Some(&b"{}"[..])),
            ("Acl/dev/{}", None),
            (&acl_key("dev", &rule("x")).unwrap(), Some(&b"null"[..])),
            (&acl_key("dev", &rule("x")).unwrap().replace(',', ", "), None),
            ("", None),
        ] {
            assert!(read(key.as_bytes(), value).is_err(), "{key}");
        }
    }
}
