//! A blocking client of the admin API, the only I/O of this crate.

mod declared;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::events::{SNAPSHOT_PATH, Snapshot};
use crate::health::Health;
use crate::resources::service_account::{ServiceAccountFilter, ServiceAccountId};
use crate::resources::{
    ErrorBody, GatewayServiceAccount, PASSTHROUGH, TokenRequest, TokenResponse, Upserted, VirtualCluster,
    service_account, token, virtual_cluster,
};

/// How long one call may take, connecting included.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to the admin API of one gateway.
pub struct AdminClient {
    agent: ureq::Agent,
    base_url: String,
    username: String,
    authorization: String,
}

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered there.
    #[error("no gateway answers at {address}: {reason}; is it running, and is this its admin address?")]
    Unreachable {
        /// The base URL that was tried.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// Not an address this client can call.
    #[error("'{address}' is not an address of an admin API: it must begin with http:// or https://")]
    Address {
        /// What was given.
        address: String,
    },
    /// The file with certificate authorities is of no use.
    #[error("the certificates in {path}: {reason}; a file with one or more certificates in PEM is needed")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The gateway does not know this user or password.
    #[error("the gateway at {address} refused user '{username}': check the name and password of the admin user")]
    Unauthorized {
        /// The base URL that was asked.
        address: String,
        /// Who asked.
        username: String,
    },
    /// The gateway refused the request.
    #[error("{}", api_message(*.status, .body))]
    Api {
        /// The HTTP status.
        status: u16,
        /// What the gateway said about it.
        body: ErrorBody,
    },
    /// The answer is not what this API answers: something else may be listening there.
    #[error("{address} answered something that is not the admin API ({reason}); is this the gateway's admin address?")]
    Unexpected {
        /// The base URL that was asked.
        address: String,
        /// What could not be understood.
        reason: String,
    },
}

impl AdminClient {
    /// A client of the gateway at `base_url`, such as `http://127.0.0.1:8888`. Connects when first used; over `https://` it
    /// believes the certificate authorities of the system.
    pub fn new(base_url: &str, username: &str, password: &str) -> Self {
        Self::over(RootCerts::PlatformVerifier, base_url, username, password)
    }

    /// The same, over `https://` believing only the authorities whose certificates (PEM) are in a file.
    ///
    /// # Errors
    /// [`ClientError::Authorities`]
    pub fn with_authorities(file: &Path, base_url: &str, username: &str, password: &str) -> Result<Self, ClientError> {
        let failed = |reason: String| ClientError::Authorities { path: file.display().to_string(), reason };
        let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
                certificates.push(certificate);
            }
        }
        if certificates.is_empty() {
            return Err(failed("none is there".to_owned()));
        }
        Ok(Self::over(certificates.into(), base_url, username, password))
    }

    fn over(authorities: RootCerts, base_url: &str, username: &str, password: &str) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(authorities)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_TIMEOUT))
            // A proxy for the web must not see credentials on their way to a gateway next door.
            .proxy(None)
            // Credentials go to the address that was given and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls.build())
            .build()
            .into();
        let credentials = BASE64_STANDARD.encode(format!("{username}:{password}"));
        Self {
            agent,
            base_url: base_url.trim_end_matches('/').to_owned(),
            username: username.to_owned(),
            authorization: format!("Basic {credentials}"),
        }
    }

    /// How the gateway is; also when it says that something is down.
    pub fn health(&self) -> Result<Health, ClientError> {
        let (status, text) = self.exchange(self.agent.get(self.url("/health")?).call())?;
        // A gateway that cannot serve answers 503 with the same body: the caller wants to know which check failed.
        if status == 503 { self.parse(&text) } else { self.parse(&self.accepted(status, text)?) }
    }

    /// Whether the gateway can serve clients now.
    pub fn ready(&self) -> Result<bool, ClientError> {
        let (status, _) = self.exchange(self.agent.get(self.url("/health/ready")?).call())?;
        Ok(status == 200)
    }

    /// The metrics in Prometheus' text format.
    pub fn metrics(&self) -> Result<String, ClientError> {
        let (status, text) = self.exchange(self.authorized(self.agent.get(self.url("/metrics")?)).call())?;
        self.accepted(status, text)
    }

    /// Creates or changes a virtual cluster; with `dry_run` only says what would happen.
    pub fn put_virtual_cluster(
        &self,
        cluster: &VirtualCluster,
        dry_run: bool,
    ) -> Result<Upserted<VirtualCluster>, ClientError> {
        self.put(virtual_cluster::KIND.path, cluster, dry_run)
    }

    /// The virtual cluster of that name, with what the gateway fills in.
    pub fn get_virtual_cluster(&self, name: &str) -> Result<Option<VirtualCluster>, ClientError> {
        let url = self.url(&format!("{}/{}", virtual_cluster::KIND.path, encode_segment(name)))?;
        let (status, text) = self.exchange(self.authorized(self.agent.get(url)).call())?;
        if status == 404 { Ok(None) } else { self.parse(&self.accepted(status, text)?).map(Some) }
    }

    /// How the gateway is now, as far as this user may know.
    pub fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let (status, text) = self.exchange(self.authorized(self.agent.get(self.url(SNAPSHOT_PATH)?)).call())?;
        self.parse(&self.accepted(status, text)?)
    }

    /// All virtual clusters.
    pub fn list_virtual_clusters(&self) -> Result<Vec<VirtualCluster>, ClientError> {
        let request = self.authorized(self.agent.get(self.url(virtual_cluster::KIND.path)?));
        let (status, text) = self.exchange(request.call())?;
        self.parse(&self.accepted(status, text)?)
    }

    /// Deletes a virtual cluster's declaration; `false` if there was none. Topics on the physical cluster stay.
    pub fn delete_virtual_cluster(&self, name: &str) -> Result<bool, ClientError> {
        let url = self.url(&format!("{}/{}", virtual_cluster::KIND.path, encode_segment(name)))?;
        let (status, text) = self.exchange(self.authorized(self.agent.delete(url)).call())?;
        self.deleted(status, text)
    }

    /// Creates or changes a service account; with `dry_run` only says what would happen.
    pub fn put_service_account(
        &self,
        account: &GatewayServiceAccount,
        dry_run: bool,
    ) -> Result<Upserted<GatewayServiceAccount>, ClientError> {
        self.put(service_account::KIND.path, account, dry_run)
    }

    /// The account of that name in a virtual cluster (`None` means `passthrough`).
    pub fn get_service_account(
        &self,
        name: &str,
        virtual_cluster: Option<&str>,
    ) -> Result<Option<GatewayServiceAccount>, ClientError> {
        let filter = ServiceAccountFilter {
            vcluster: Some(virtual_cluster.unwrap_or(PASSTHROUGH).to_owned()),
            name: Some(name.to_owned()),
            ..ServiceAccountFilter::default()
        };
        Ok(self.list_service_accounts(&filter)?.into_iter().next())
    }

    /// The service accounts that a filter lets through.
    pub fn list_service_accounts(
        &self,
        filter: &ServiceAccountFilter,
    ) -> Result<Vec<GatewayServiceAccount>, ClientError> {
        let mut request = self.authorized(self.agent.get(self.url(service_account::KIND.path)?));
        if let Some(vcluster) = &filter.vcluster {
            request = request.query("vcluster", vcluster);
        }
        if let Some(name) = &filter.name {
            request = request.query("name", name);
        }
        if let Some(account_type) = filter.account_type {
            request = request.query("type", account_type.as_str());
        }
        if let Some(show_defaults) = filter.show_defaults {
            request = request.query("showDefaults", show_defaults.to_string());
        }
        let (status, text) = self.exchange(request.call())?;
        self.parse(&self.accepted(status, text)?)
    }

    /// Deletes a service account (`None` means of `passthrough`); `false` if there was none.
    pub fn delete_service_account(&self, name: &str, virtual_cluster: Option<&str>) -> Result<bool, ClientError> {
        let id = ServiceAccountId { name: name.to_owned(), v_cluster: virtual_cluster.map(str::to_owned) };
        let request = self.authorized(self.agent.delete(self.url(service_account::KIND.path)?));
        let (status, text) = self.exchange(request.force_send_body().send_json(&id))?;
        self.deleted(status, text)
    }

    /// A token that a local account uses as its password.
    pub fn token(&self, request: &TokenRequest) -> Result<TokenResponse, ClientError> {
        let call = self.authorized(self.agent.post(self.url(token::PATH)?));
        let (status, text) = self.exchange(call.send_json(request))?;
        self.parse(&self.accepted(status, text)?)
    }

    fn put<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        resource: &T,
        dry_run: bool,
    ) -> Result<Upserted<T>, ClientError> {
        let mut request = self.authorized(self.agent.put(self.url(path)?));
        if dry_run {
            request = request.query("dryMode", "true");
        }
        let (status, text) = self.exchange(request.send_json(resource))?;
        self.parse(&self.accepted(status, text)?)
    }

    fn url(&self, path: &str) -> Result<String, ClientError> {
        if ["http://", "https://"].iter().any(|scheme| self.base_url.starts_with(scheme)) {
            Ok(format!("{}{path}", self.base_url))
        } else {
            Err(ClientError::Address { address: self.base_url.clone() })
        }
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        request.header("authorization", &self.authorization)
    }

    /// The status and the whole text of an answer.
    fn exchange(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, String), ClientError> {
        let mut answer = answer.map_err(|error| self.failure(error))?;
        let text = answer.body_mut().read_to_string().map_err(|error| self.failure(error))?;
        Ok((answer.status().as_u16(), text))
    }

    fn failure(&self, error: ureq::Error) -> ClientError {
        let address = self.base_url.clone();
        match error {
            ureq::Error::Io(error) => ClientError::Unreachable { address, reason: error.to_string() },
            ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                ClientError::Unreachable { address, reason: error.to_string() }
            }
            other => ClientError::Unexpected { address, reason: other.to_string() },
        }
    }

    fn accepted(&self, status: u16, text: String) -> Result<String, ClientError> {
        match status {
            200..=299 => Ok(text),
            401 => Err(ClientError::Unauthorized { address: self.base_url.clone(), username: self.username.clone() }),
            _ => {
                // Some answers are plain text: then that text is the title.
                let body =
                    serde_json::from_str(&text).unwrap_or_else(|_| ErrorBody { title: text, ..ErrorBody::default() });
                Err(ClientError::Api { status, body })
            }
        }
    }

    fn deleted(&self, status: u16, text: String) -> Result<bool, ClientError> {
        if status == 404 { Ok(false) } else { self.accepted(status, text).map(|_| true) }
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        serde_json::from_str(text)
            .map_err(|error| ClientError::Unexpected { address: self.base_url.clone(), reason: error.to_string() })
    }
}

impl std::fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminClient").field("base_url", &self.base_url).field("authorization", &"***").finish()
    }
}

/// Everything the gateway said, most telling part first, or at least the status.
fn api_message(status: u16, body: &ErrorBody) -> String {
    let parts = [body.msg.as_deref(), body.cause.as_deref()];
    let told = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    match (body.title.as_str(), told.is_empty()) {
        ("", true) => format!("the gateway answered status {status} without a reason"),
        (title, true) => format!("{title} (status {status})"),
        ("", false) => format!("{} (status {status})", told.join(": ")),
        (title, false) => format!("{title}: {} (status {status})", told.join(": ")),
    }
}

/// A name as one segment of a path: what a resource's name cannot hold must not change the path either.
fn encode_segment(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listening_is_told_with_the_address() {
        let error = AdminClient::new("http://127.0.0.1:1", "admin", "secret").health().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
        assert!(text.starts_with("no gateway answers at http://127.0.0.1:1: "), "{text}");
    }

    #[test]
    fn only_http_and_https_are_called() {
        for (address, is_called) in [("http://127.0.0.1:1", true), ("https://127.0.0.1:1", true), ("ftp://h", false)] {
            let error = AdminClient::new(address, "admin", "secret").metrics().unwrap_err();
            assert_eq!(matches!(error, ClientError::Unreachable { .. }), is_called, "{error:?}");
            assert_eq!(matches!(error, ClientError::Address { .. }), !is_called, "{error:?}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        for file in ["/no/such/file", "Cargo.toml"] {
            let error = AdminClient::with_authorities(Path::new(file), "https://h", "admin", "secret").unwrap_err();
            assert!(error.to_string().starts_with(&format!("the certificates in {file}: ")), "{error}");
        }
    }

    #[test]
    fn credentials_do_not_print() {
        let client = AdminClient::new("http://127.0.0.1:1", "admin", "secret");
        assert_eq!(format!("{client:?}"), r#"AdminClient { base_url: "http://127.0.0.1:1", authorization: "***" }"#);
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(encode_segment("team-a.dev_1"), "team-a.dev_1");
        assert_eq!(encode_segment("../x y"), "..%2Fx%20y");
    }

    #[test]
    fn an_api_error_tells_all_it_knows() {
        let body = ErrorBody { title: "Conflict".into(), msg: Some("prefix taken".into()), cause: None };
        assert_eq!(ClientError::Api { status: 409, body }.to_string(), "Conflict: prefix taken (status 409)");
    }
}
