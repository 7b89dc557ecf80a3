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
    let mut counted = metrics.identity_keys.provider();
    loop {
        let before = keys.now();
        let begun = Instant::now();
        let fetched = provider.fetch().await;
        counted.fetched(fetched.as_ref().ok().map(KeySet::len));
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::PrivatePkcs8KeyDer;
    use serde_json::json;

    use super::*;
    use crate::authn::oauth::fixtures::{Issuer, rules};

    /// Answers everything with a status and a document, in the clear or by TLS; counts the requests.
    fn serve(status: &'static str, document: &str, tls: Option<Arc<rustls::ServerConfig>>) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let (document, counter) = (document.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let connection = tls.clone().map(|tls| rustls::ServerConnection::new(tls).unwrap());
                let answered = match connection {
                    None => answer(&mut stream, status, &document),
                    Some(connection) => answer(&mut rustls::StreamOwned::new(connection, stream), status, &document),
                };
                // A client that does not trust the certificate hangs up.
                if answered.is_ok() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        (port, asked)
    }

    fn answer(stream: &mut (impl Read + Write), status: &str, document: &str) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let length = document.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{document}")?;
        stream.flush()
    }

    fn document() -> String {
        json!({ "keys": [Issuer::ecdsa("a").jwk(), { "kty": "oct" }] }).to_string()
    }

    async fn fetch(settings: config::OAuth) -> Result<usize, String> {
        Provider::new(&settings).unwrap().fetch().await.map(|set| set.len())
    }

    fn at(url: String) -> config::OAuth {
        config::OAuth { jwks: JwksSource::Url(url), ..rules() }
    }

    #[tokio::test]
    async fn keys_come_by_http_and_from_a_file() {
        let (port, _) = serve("200 OK", &document(), None);
        assert_eq!(fetch(at(format!("http://127.0.0.1:{port}/keys"))).await, Ok(1));
        let path = std::env::temp_dir().join(format!("jwks-{}.json", std::process::id()));
        std::fs::write(&path, document()).unwrap();
        assert_eq!(fetch(config::OAuth { jwks: JwksSource::File(path.clone()), ..rules() }).await, Ok(1));
        std::fs::remove_file(&path).unwrap();
        let gone = fetch(config::OAuth { jwks: JwksSource::File(path.clone()), ..rules() }).await.unwrap_err();
        assert!(gone.starts_with(&format!("{}: No such file", path.display())), "{gone}");
    }

    #[tokio::test]
    async fn https_is_believed_by_the_authority_that_is_named() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let server =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .unwrap();
        let (port, asked) = serve("200 OK", &document(), Some(Arc::new(server)));
        let file = std::env::temp_dir().join(format!("jwks-ca-{}.pem", std::process::id()));
        std::fs::write(&file, made.cert.pem()).unwrap();
        let url = format!("https://localhost:{port}/keys");
        assert_eq!(fetch(config::OAuth { ca_file: Some(file.clone()), ..at(url.clone()) }).await, Ok(1));
        let stranger = fetch(at(url.clone())).await.unwrap_err();
        assert!(stranger.starts_with(&url), "{stranger}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "nothing is asked of a host that is not who it says");
        std::fs::write(&file, "no certificate").unwrap();
        let error = Provider::new(&config::OAuth { ca_file: Some(file.clone()), ..at(url) }).unwrap_err().to_string();
        assert!(error.ends_with("cannot be used: it holds no certificate in PEM"), "{error}");
        std::fs::remove_file(&file).unwrap();
    }

    #[tokio::test]
    async fn other_answers_are_none() {
        let long = "x".repeat(usize::try_from(LONGEST_DOCUMENT).unwrap() + 1);
        for (status, document, wanted) in [
            ("503 Service Unavailable", "", "503"),
            ("200 OK", "<html>", "it is not a JSON Web Key Set"),
            ("200 OK", &long, ""),
        ] {
            let (port, _) = serve(status, document, None);
            let error = fetch(at(format!("http://127.0.0.1:{port}/keys"))).await.unwrap_err();
            assert!(error.contains(wanted) && error.len() < 300, "{error}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(fetch(at(format!("http://{nobody}/keys"))).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_asked_when_it_is_due_and_no_more_often_than_that_however_many_ask() {
        let (port, asked) = serve("200 OK", &document(), None);
        let settings =
            config::OAuth { refresh: Duration::from_secs(300), ..at(format!("http://127.0.0.1:{port}/keys")) };
        let (keys, metrics) = (Arc::<Keys>::default(), Arc::<Metrics>::default());
        let provider = Provider::new(&settings).unwrap();
        let following = tokio::spawn(follow::<()>(Arc::clone(&keys), provider, Arc::clone(&metrics)));
        keys.wait_for(Some("a")).await;
        assert_eq!((keys.now().set.as_ref().unwrap().len(), asked.load(Ordering::SeqCst)), (1, 1));
        let begun = Instant::now();
        for _ in 0..4 {
            let many = (0..50).map(|at| keys.wait_for(Some(if at % 2 == 0 { "x" } else { "y" })));
            let waiting = many.map(Box::pin).collect::<Vec<_>>();
            for one in waiting {
                one.await;
            }
        }
        let (fetches, seconds) = (asked.load(Ordering::SeqCst) - 1, begun.elapsed().as_secs());
        assert!(fetches as u64 <= seconds / LEAST_PAUSE.as_secs() + 1, "{fetches} fetches in {seconds} s");
        let before = asked.load(Ordering::SeqCst);
        sleep(Duration::from_secs(3000)).await;
        let due = asked.load(Ordering::SeqCst) - before;
        assert!((9..=12).contains(&due), "{due} fetches in 3000 s");
        following.abort();
    }
}
