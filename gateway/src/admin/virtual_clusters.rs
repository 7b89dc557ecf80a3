//! What only the gateway knows of a virtual cluster: how its clients reach it.

use std::collections::BTreeMap;

use contract::resources::VirtualCluster;

use super::Admin;
use crate::config::{OAUTHBEARER, SecurityProtocol};

/// The declaration with what the gateway knows about reaching it.
pub(super) fn filled_in(mut cluster: VirtualCluster, admin: &Admin) -> VirtualCluster {
    let (clients, mechanisms) = (&admin.clients, admin.authenticator.mechanisms());
    let bootstrap = clients.routes.bootstrap(&cluster.metadata.name);
    cluster.spec.client_properties = Some(client_properties(&bootstrap, clients.security_protocol, mechanisms));
    cluster.spec.bootstrap_servers = Some(bootstrap);
    cluster
}

/// Ready-made client settings by mechanism that is offered, with `{{username}}` and `{{password}}`, or the client's id and
/// secret at the identity provider, to be filled in.
pub(super) fn client_properties(
    bootstrap: &str,
    protocol: SecurityProtocol,
    mechanisms: &[&str],
) -> BTreeMap<String, BTreeMap<String, String>> {
    let properties = |protocol: &str, rest: &[(&str, String)]| {
        let common = [("bootstrap.servers", bootstrap.to_owned()), ("security.protocol", protocol.to_owned())];
        common.iter().chain(rest).map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let login = |mechanism: &str, module: &str| {
        let jaas = format!(
            "org.apache.kafka.common.security.{module} required username=\"{{{{username}}}}\" \
             password=\"{{{{password}}}}\";"
        );
        let rest = [("sasl.mechanism", mechanism.to_owned()), ("sasl.jaas.config", jaas)];
        (mechanism.to_owned(), properties(protocol.as_str(), &rest))
    };
    match protocol {
        SecurityProtocol::Plaintext | SecurityProtocol::Ssl => {
            [(protocol.as_str().to_owned(), properties(protocol.as_str(), &[]))].into()
        }
        SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl => {
            let offered = mechanisms.iter().map(|mechanism| match *mechanism {
                OAUTHBEARER => (OAUTHBEARER.to_owned(), properties(protocol.as_str(), &token_login())),
                "PLAIN" => login("PLAIN", "plain.PlainLoginModule"),
                scram => login(scram, "scram.ScramLoginModule"),
            });
            offered.collect()
        }
    }
}

/// A login by client credentials, of which the gateway knows all but where tokens are given and to whom.
fn token_login() -> [(&'static str, String); 4] {
    let package = "org.apache.kafka.common.security.oauthbearer";
    let jaas = format!(
        "{package}.OAuthBearerLoginModule required clientId=\"{{{{clientId}}}}\" clientSecret=\"{{{{clientSecret}}}}\";"
    );
    [
        ("sasl.mechanism", OAUTHBEARER.to_owned()),
        ("sasl.login.callback.handler.class", format!("{package}.OAuthBearerLoginCallbackHandler")),
        ("sasl.oauthbearer.token.endpoint.url", "{{tokenEndpoint}}".to_owned()),
        ("sasl.jaas.config", jaas),
    ]
}
