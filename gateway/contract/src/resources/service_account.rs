//! `GatewayServiceAccount`: who may log in. The account decides the virtual cluster.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApiVersion, Declared, Kind, PASSTHROUGH, ResourceKey};
use crate::secret::Secret;

/// This kind's entry in the table of kinds.
pub const KIND: Kind = Kind::gateway("GatewayServiceAccount", "/gateway/v2/service-account").of_virtual_clusters();

/// An identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayServiceAccount {
    /// Always `GatewayServiceAccount`.
    pub kind: GatewayServiceAccountKind,
    /// Always `gateway/v2`.
    pub api_version: ApiVersion,
    /// Its name and virtual cluster.
    pub metadata: ServiceAccountMetadata,
    /// How it proves who it is.
    pub spec: ServiceAccountSpec,
}

impl GatewayServiceAccount {
    /// An account of `virtual_cluster` that logs in with a password.
    pub fn local(name: impl Into<String>, virtual_cluster: impl Into<String>, password: Option<Secret>) -> Self {
        Self {
            kind: GatewayServiceAccountKind::GatewayServiceAccount,
            api_version: ApiVersion::GatewayV2,
            metadata: ServiceAccountMetadata {
                name: name.into(),
                v_cluster: Some(virtual_cluster.into()),
                labels: None,
            },
            spec: ServiceAccountSpec { account_type: AccountType::Local, external_names: None, password },
        }
    }

    /// An account of `virtual_cluster` for whom somebody else calls `external_name`.
    pub fn external(
        name: impl Into<String>,
        virtual_cluster: impl Into<String>,
        external_name: impl Into<String>,
    ) -> Self {
        let local = Self::local(name, virtual_cluster, None);
        let names = Some(vec![external_name.into()]);
        let spec = ServiceAccountSpec { account_type: AccountType::External, external_names: names, password: None };
        Self { spec, ..local }
    }

    /// The virtual cluster it belongs to.
    pub fn virtual_cluster(&self) -> &str {
        self.metadata.v_cluster.as_deref().unwrap_or(PASSTHROUGH)
    }
}

/// The `kind` of a [`GatewayServiceAccount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum GatewayServiceAccountKind {
    /// The only value.
    #[default]
    GatewayServiceAccount,
}

/// `metadata` of a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountMetadata {
    /// The user name: 3 to 64 letters, digits, `_` and `-`.
    pub name: String,
    /// The virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountSpec {
    /// Who knows the account's credentials.
    #[serde(rename = "type")]
    pub account_type: AccountType,
    /// The names of an external account, at least one: a certificate's distinguished name, an identity provider's
    /// subject, Kafka's principal. A name belongs to one account of all virtual clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_names: Option<Vec<String>>,
    /// A password to set, for local accounts. Never in an answer: the gateway keeps verifiers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// Who knows an account's credentials; read without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE", try_from = "String")]
#[schemars(extend("x-any-case" = true), !try_from)]
pub enum AccountType {
    /// The gateway.
    Local,
    /// Someone else: a certificate authority, an identity provider.
    External,
}

impl TryFrom<String> for AccountType {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        let known = [Self::Local, Self::External].into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&word));
        known.ok_or("expected LOCAL or EXTERNAL")
    }
}

impl AccountType {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "LOCAL",
            Self::External => "EXTERNAL",
        }
    }
}

impl Declared for GatewayServiceAccount {
    const KIND: Kind = KIND;

    fn key(&self) -> ResourceKey {
        ResourceKey::new(KIND, Some(self.virtual_cluster()), &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}

/// Names one account, as the body of a DELETE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountId {
    /// The account's name.
    pub name: String,
    /// Its virtual cluster; `passthrough` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_cluster: Option<String>,
}

/// Which accounts to list; an empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountFilter {
    /// Only of this virtual cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcluster: Option<String>,
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only of this type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub account_type: Option<AccountType>,
    /// Whether defaults are written out in the answer: `metadata.vCluster` of accounts that were written without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub show_defaults: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_given_is_not_written() {
        let text = r#"{"kind":"GatewayServiceAccount","apiVersion":"gateway/v2","metadata":{"name":"sa1"},"spec":{"type":"LOCAL"}}"#;
        let account: GatewayServiceAccount = serde_json::from_str(text).unwrap();
        assert_eq!(account.virtual_cluster(), "passthrough");
        assert_eq!(serde_json::to_string(&account).unwrap(), text);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = r#"{"kind":"GatewayServiceAccount","apiVersion":"gateway/v2","metadata":{"name":"sa1","vcluster":"x"},"spec":{"type":"local"}}"#;
        let error = serde_json::from_str::<GatewayServiceAccount>(text).unwrap_err().to_string();
        assert!(error.starts_with("unknown field `vcluster`, expected one of `name`, `vCluster`"), "{error}");
    }

    #[test]
    fn a_password_is_sent_but_not_printed() {
        let account = GatewayServiceAccount::local("sa1", "dev", Some(Secret::new("hunter2")));
        assert!(!format!("{account:?}").contains("hunter2"));
        assert!(serde_json::to_string(&account).unwrap().contains("hunter2"));
    }
}
