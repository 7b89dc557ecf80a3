//! Fetches the keys of the identity provider: at the start, from time to time, and when a token names one that is not
//! known, but then not more often than every few seconds, whatever clients send.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::jwks::KeySet;
use super::keys::Keys;
use crate::config::{self, JwksSource};
use crate::observe::metrics::Metrics;

/// No provider is asked more often, however many unknown keys clients name.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// After a failure the next attempt comes this soon.
const RETRY: Duration = Duration::from_secs(10);
/// A provider that has not answered by then does not.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Key sets have a few kilobytes.
const LONGEST_DOCUMENT: u64 = 1 << 20;
const MOST_REDIRECTS: u32 = 3;

/// Where keys come from.
#[derive(Debug, Clone)]
pub struct Provider {
    place: Place,
    refresh: Duration,
}

#[derive(Debug, Clone)]
enum Place {
    Url { url: String, agent: ureq::Agent },
    File(PathBuf),
}

/// The settings name certificates that are not there.
#[derive(Debug, thiserror::Error)]
#[error("oauth.caFile {path} cannot be used: {reason}")]
pub struct CaFileError {
    path: String,
    reason: String,
}

impl Provider {
    /// Fetches nothing yet.
    ///
    /// # Errors
    /// [`CaFileError`]
    pub fn new(settings: &config::OAuth) -> Result<Self, CaFileError> {
        let place = match &settings.jwks {
            JwksSource::File(path) => Place::File(path.clone()),
            JwksSource::Url(url) => {
                let roots = match &settings.ca_file {
                    None => RootCerts::PlatformVerifier,
                    Some(path) => {
                        certificates(path).map_err(|reason| CaFileError { path: path.display().to_string(), reason })?
                    }
                };
                Place::Url { url: url.clone(), agent: agent(roots, url.starts_with("https://")) }
            }
        };
        Ok(Self { place, refresh: settings.refresh })
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let place = self.place.clone();
        let fetched = tokio::task::spawn_blocking(move || match place {
            Place::Url { url, agent } => download(&agent, &url).map_err(|reason| format!("{url}: {reason}")),
            Place::File(path) => read(&path).map_err(|reason| format!("{}: {reason}", path.display())),
        });
        fetched.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Keeps the keys fresh, for as long as it is polled. Tells the log when keys change and when they cannot be fetched.
pub async fn follow<T>(keys: Arc<Keys>, provider: Provider, metrics: Arc<Metrics>) -> T {
    loop {
        let before = keys.now();
        let begun = Instant::now();
        let fetched = provider.fetch().await;
        metrics.identity_keys.fetched(fetched.as_ref().ok().map(KeySet::len));
        match &fetched {
            Err(reason) if before.failure.is_none() => {
                let known = before.set.as_ref().map_or(0, |set| set.len());
                tracing::warn!(
                    "cannot fetch the keys of the identity provider, trying again until it works; {known} keys from \
                     before go on holding: {reason}"
                );
            }
            Err(_) => {}
            Ok(set) => {
                let same =
                    before.set.as_ref().is_some_and(|known| (known.len(), known.unusable) == (set.len(), set.unusable));
                if set.is_empty() && !same {
                    tracing::warn!("the identity provider publishes no key for signatures: no token will be taken");
                } else if before.failure.is_some() || !same {
                    tracing::info!(
                        keys = set.len(),
                        unusable = set.unusable,
                        "fetched the keys of the identity provider"
                    );
                }
            }
        }
        let next = if fetched.is_ok() { provider.refresh } else { provider.refresh.min(RETRY) };
        keys.fetched(begun, fetched);
        sleep(LEAST_PAUSE).await;
        // Asked for or due, whichever comes first.
        let _ = timeout(next.saturating_sub(LEAST_PAUSE), keys.wanted()).await;
    }
}

fn agent(roots: RootCerts, tls_only: bool) -> ureq::Agent {
    let tls = TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(MOST_REDIRECTS)
        // A redirect must not lead from https to where anybody on the way can change keys.
        .https_only(tls_only)
        .build();
    agent.into()
}

fn certificates(path: &PathBuf) -> Result<RootCerts, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(certificates.into()) }
}

fn download(agent: &ureq::Agent, url: &str) -> Result<KeySet, String> {
    let mut answer = agent.get(url).header("accept", "application/json").call().map_err(|error| error.to_string())?;
    let document = answer.body_mut().with_config().limit(LONGEST_DOCUMENT).read_to_vec();
    KeySet::parse(&document.map_err(|error| error.to_string())?)
}

fn read(path: &PathBuf) -> Result<KeySet, String> {
    use std::io::Read as _;
    let mut document = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LONGEST_DOCUMENT).read_to_end(&mut document).map_err(|error| error.to_string())?;
    KeySet::parse(&document)
}
