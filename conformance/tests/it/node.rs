//! One gateway before one broker, for tests of what is declared there.

use conformance::drivers::Connection;
use conformance::gateways::{Gateway, free_ports};
use serde_json::{Value, json};

use super::broker::Broker;
use super::needs;
use super::stand::{TeamClient, start};

const PASSWORD: &str = "a password";

/// A gateway, and its only port for clients.
pub(crate) struct Node {
    pub(crate) gateway: Gateway,
    port: u16,
}

impl Node {
    /// `more` are settings beside its broker and its port.
    pub(crate) fn start(broker: &Broker, more: &Value) -> Self {
        let port = free_ports(1).unwrap();
        let mut settings = json!({
            "upstream": { "bootstrapServers": broker.address },
            "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": 1, "minBrokerId": 1 },
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let gateway = Gateway::start(&needs::sandbox_program(), &settings).unwrap_or_else(|error| panic!("{error}"));
        Self { gateway, port }
    }

    /// Declares an account that has the password of all tests.
    pub(crate) fn account(&self, tenant: &str, name: &str) {
        self.gateway.account(tenant, name, &json!({ "type": "LOCAL", "password": PASSWORD })).unwrap();
    }

    pub(crate) fn alias(&self, tenant: &str, name: &str, spec: &Value) {
        let metadata = json!({ "name": name, "vCluster": tenant });
        let body = json!({ "kind": "AliasTopic", "apiVersion": "gateway/v2", "metadata": metadata, "spec": spec });
        let _ = self.gateway.ask("PUT", "/gateway/v2/alias-topic", &body).unwrap();
    }

    pub(crate) fn connection(&self, account: &str) -> Connection {
        Connection {
            bootstrap: format!("127.0.0.1:{}", self.port),
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: account.to_owned(),
            password: PASSWORD.to_owned(),
            ..Connection::default()
        }
    }

    pub(crate) fn client(&self, program: &str, account: &str) -> TeamClient {
        start(program, &self.connection(account))
    }
}
