//! Secrets in resources: never in an answer, whoever asks.

use contract::resources::Resource;

/// The resource as it may be shown.
pub(super) fn hidden(mut resource: Resource) -> Resource {
    match &mut resource {
        Resource::GatewayServiceAccount(account) => account.spec.password = None,
        Resource::VirtualCluster(_)
        | Resource::AliasTopic(_)
        | Resource::GatewayGroup(_)
        | Resource::Quota(_)
        | Resource::UpstreamCluster(_)
        | Resource::IdentityProvider(_) => {}
    }
    resource
}
