//! Secrets in resources: never in an answer, whoever asks. An answer may be sent back all the same: what was hidden is then
//! what it was before.

use contract::resources::{Resource, UpstreamCluster};
use contract::secret::Secret;

use super::answer::ApiError;

const HIDDEN: &str = "***";

/// Properties of Kafka's clients that are no secrets; all others may be.
const OPEN: [&str; 13] = [
    "client.id",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.oauthbearer.token.endpoint.url",
    "security.protocol",
    "ssl.cipher.suites",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.truststore.location",
    "ssl.truststore.type",
];

/// The resource as it may be shown.
pub(super) fn hidden(mut resource: Resource) -> Resource {
    match &mut resource {
        Resource::GatewayServiceAccount(account) => account.spec.password = None,
        Resource::UpstreamCluster(cluster) => {
            let properties = cluster.spec.properties.iter_mut().flatten();
            for (_, value) in properties.filter(|(name, _)| !OPEN.contains(&name.as_str())) {
                *value = Secret::new(HIDDEN);
            }
        }
        Resource::VirtualCluster(_)
        | Resource::AliasTopic(_)
        | Resource::GatewayGroup(_)
        | Resource::Quota(_)
        | Resource::IdentityProvider(_) => {}
    }
    resource
}

/// Puts what was hidden back in its place.
pub(super) fn restore(new: &mut Resource, old: Option<&Resource>) -> Result<(), ApiError> {
    let Resource::UpstreamCluster(new) = new else { return Ok(()) };
    let old = old.and_then(|old| <&UpstreamCluster>::try_from(old).ok());
    let kept = |name: &String| old?.spec.properties.as_ref()?.get(name).cloned();
    for (name, value) in new.spec.properties.iter_mut().flatten().filter(|(_, value)| value.reveal() == HIDDEN) {
        *value = kept(name).ok_or_else(|| {
            ApiError::invalid(format!(
                "spec.properties.{name}: '{HIDDEN}' stands for the value that is there, and there is none: give it"
            ))
        })?;
    }
    Ok(())
}
