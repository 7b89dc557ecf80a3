//! `IdentityProvider`: who else's tokens are believed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Declared, Kind, OwnApiVersion, ResourceKey};

/// Somebody whose tokens say who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityProvider {
    /// Always `IdentityProvider`.
    pub kind: IdentityProviderKind,
    /// Always `anabranch/v1`.
    pub api_version: OwnApiVersion,
    /// Its name.
    pub metadata: IdentityProviderMetadata,
    /// Which tokens are believed, and what they say.
    pub spec: IdentityProviderSpec,
}

/// The `kind` of an [`IdentityProvider`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum IdentityProviderKind {
    /// The only value.
    #[default]
    IdentityProvider,
}

/// `metadata` of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityProviderMetadata {
    /// Unique name.
    pub name: String,
    /// For people and for pruning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// `spec` of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityProviderSpec {
    /// Where its keys are published.
    pub jwks_url: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens: one of these.
    pub audiences: Vec<String>,
    /// The claim that names the client; `sub` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_claim: Option<String>,
    /// Claims that must be there, and their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_claims: Option<BTreeMap<String, String>>,
}

impl Declared for IdentityProvider {
    const KIND: Kind = Kind::own("IdentityProvider", "/anabranch/v1/identity-provider");

    fn key(&self) -> ResourceKey {
        ResourceKey::new(Self::KIND, None, &self.metadata.name)
    }

    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.metadata.labels.as_ref()
    }
}
