//! `/virtual-cluster`: tenants.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use contract::resources::acl::AclMode;
use contract::resources::{PASSTHROUGH, Upserted, VirtualCluster};

use super::Admin;
use super::answer::{ApiError, PutQuery, parse, query};
use super::declare::upsert_result;
use crate::config::{OAUTHBEARER, SecurityProtocol};
use crate::store::Declarations;
use crate::world::prefix_of;

pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Vec<VirtualCluster>> {
    let mut declared = admin.declare.now().virtual_clusters.clone();
    declared.entry(PASSTHROUGH.to_owned()).or_insert_with(|| admin.declare.passthrough());
    Json(declared.into_values().map(|cluster| filled_in(cluster, &admin)).collect())
}

pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<VirtualCluster>, ApiError> {
    let declared = admin.declare.now().virtual_clusters.get(&name).cloned();
    let default = || (name == PASSTHROUGH).then(|| admin.declare.passthrough());
    let cluster = declared.or_else(default).ok_or_else(|| no_such_cluster(&name))?;
    Ok(Json(filled_in(cluster, &admin)))
}

pub(super) async fn put(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
    body: Bytes,
) -> Result<Json<Upserted<VirtualCluster>>, ApiError> {
    let PutQuery { dry_mode } = query(&uri)?;
    let mut resource: VirtualCluster = parse(&body)?;
    // An answer to GET may be sent back: what only the gateway fills in is not part of the declaration.
    resource.spec.bootstrap_servers = None;
    resource.spec.client_properties = None;
    let change = |declared: &mut Declarations| {
        let old = declared.virtual_clusters.insert(resource.metadata.name.clone(), resource.clone());
        if let Some(old) = &old {
            keeps_prefix(old, &resource)?;
        }
        // From now on the list in the declaration is all there is: what clients had made would come back with the mode.
        if resource.spec.acl_mode == Some(AclMode::RestApi) {
            declared.acls.remove(&resource.metadata.name);
        }
        Ok(upsert_result(old.as_ref(), &resource))
    };
    let upsert_result = admin.declare.change(dry_mode, change).await?;
    Ok(Json(Upserted { resource, upsert_result }))
}

pub(super) async fn delete(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    if name == PASSTHROUGH {
        return Err(ApiError::invalid("virtual cluster 'passthrough' always exists and cannot be deleted"));
    }
    let change = |declared: &mut Declarations| {
        declared.virtual_clusters.remove(&name).ok_or_else(|| no_such_cluster(&name))?;
        let accounts = declared.accounts.keys().filter(|(cluster, _)| *cluster == name);
        let accounts = accounts.map(|(_, username)| format!("GatewayServiceAccount/{name}/{username}"));
        let others = declared.others.keys().filter(|key| key.virtual_cluster.as_ref() == Some(&name));
        let referring = accounts.chain(others.map(ToString::to_string)).collect::<Vec<_>>();
        if referring.is_empty() {
            // The next virtual cluster of this name begins without rules.
            declared.acls.remove(&name);
            return Ok(());
        }
        let referring = referring.join(", ");
        Err(ApiError::conflict(format!("virtual cluster '{name}' is referred to: delete {referring} first")))
    };
    admin.declare.change(false, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_such_cluster(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no virtual cluster '{name}'"))
}

/// Under another prefix all topics, groups and offsets of a tenant would be gone from its view.
fn keeps_prefix(old: &VirtualCluster, new: &VirtualCluster) -> Result<(), ApiError> {
    let (old, new) = (prefix_of(old), prefix_of(new));
    if old == new {
        return Ok(());
    }
    Err(ApiError::conflict(format!(
        "spec.namespace.prefix: it is '{old}' and cannot become '{new}', because what is stored under it would be out of \
         reach: declare another virtual cluster"
    )))
}

/// The declaration with what the gateway knows about reaching it.
fn filled_in(mut cluster: VirtualCluster, admin: &Admin) -> VirtualCluster {
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
