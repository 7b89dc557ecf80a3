//! TLS to the brokers: whom to trust, what to show. Each broker is verified by the host name that was dialled.

use crate::config::upstream::{Tls, TlsVersion};
use crate::transport::tls::certificate::Certificate;
use crate::transport::tls::stores::{self, StoreError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, version,
};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Files are looked at for changes no more often than this.
const LOOK: Duration = Duration::from_secs(10);

/// Why there is no TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A truststore or keystore is not usable.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Nobody is trusted.
    #[error(
        "this system names no authorities to trust: set ssl.truststore.location, KAFKA_SSL_TRUSTSTORE_LOCATION, to the \
         authority of the brokers' certificates ({0})"
    )]
    NoRoots(String),
    /// A cipher suite that does not exist here.
    #[error("ssl.cipher.suites: '{name}' is none that this gateway has: {known}")]
    CipherSuite {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// What was chosen does not go together.
    #[error("TLS to Kafka cannot be set up: {0}")]
    Rustls(String),
}

/// The client's side of TLS, made anew when a store's file changes.
#[derive(Debug)]
pub struct Client {
    settings: Arc<Tls>,
    made: Mutex<Made>,
}

#[derive(Debug, Clone)]
struct Made {
    config: Arc<ClientConfig>,
    files: Vec<Stamp>,
    looked: Instant,
}

/// A file as it was when it was read: path, time of change, length.
type Stamp = (PathBuf, Option<SystemTime>, u64);

impl Client {
    /// Reads the stores.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn new(settings: &Tls) -> Result<Self, TlsError> {
        let settings = Arc::new(settings.clone());
        let files = stamps(&settings);
        let config = Arc::new(make(&settings)?);
        Ok(Self { settings, made: Mutex::new(Made { config, files, looked: Instant::now() }) })
    }

    /// What a connection is made with now. A changed store that cannot be read leaves the one before in use.
    pub async fn config(&self) -> Arc<ClientConfig> {
        let made = self.lock().clone();
        if made.looked.elapsed() < LOOK {
            return made.config;
        }
        let settings = Arc::clone(&self.settings);
        let again = tokio::task::spawn_blocking(move || {
            let files = stamps(&settings);
            (files != made.files).then(|| (make(&settings), files))
        });
        let mut kept = self.lock_after(again.await.ok().flatten());
        kept.looked = Instant::now();
        Arc::clone(&kept.config)
    }

    fn lock_after(
        &self,
        again: Option<(Result<ClientConfig, TlsError>, Vec<Stamp>)>,
    ) -> std::sync::MutexGuard<'_, Made> {
        let mut kept = self.lock();
        match again {
            Some((Ok(config), files)) => {
                tracing::info!("truststore or keystore for Kafka changed: new connections use it");
                (kept.config, kept.files) = (Arc::new(config), files);
            }
            Some((Err(error), files)) => {
                tracing::warn!(%error, "truststore or keystore for Kafka changed and is not usable; the one before is");
                kept.files = files;
            }
            None => {}
        }
        kept
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name that a broker's certificate must be for.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is neither a host name nor an address.
pub fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidInput, "no certificate can be for this host");
    ServerName::try_from(host.to_owned()).map_err(wrong)
}

/// What an error of TLS means for the operator; `None` for others.
pub fn hint(error: &io::Error) -> Option<&'static str> {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error, InvalidMessage};
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match inner {
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "put the authority that signed the broker's certificate into ssl.truststore.location"
        }
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "the broker's certificate must have the dialled host among its subject alternative names"
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "renew the broker's certificate, or set this machine's clock"
        }
        Error::InvalidCertificate(_) => "check the broker's certificate with openssl s_client -connect",
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::AccessDenied,
        ) => "the broker wants a client certificate that it trusts: set ssl.keystore.location",
        Error::AlertReceived(_) => "the broker refused: compare ssl.enabled.protocols, ssl.cipher.suites and keystore",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers does not speak TLS: check security.protocol and the port"
        }
        _ => "compare ssl.enabled.protocols and ssl.cipher.suites with the broker's",
    })
}

/// The authorities of a store, for other connections than those to brokers.
///
/// # Errors
/// [`StoreError`]
pub fn root_certificates(store: &crate::config::tls::Store) -> Result<ureq::tls::RootCerts, StoreError> {
    let certificates = stores::certificates(store)?;
    let certificates = certificates.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned());
    Ok(ureq::tls::RootCerts::Specific(Arc::new(certificates.collect())))
}

fn stamps(settings: &Tls) -> Vec<Stamp> {
    let stores = settings.trust.iter().chain(&settings.identity);
    let stamp = |path: &std::path::Path| {
        let found = std::fs::metadata(path).ok();
        let changed = found.as_ref().and_then(|found| found.modified().ok());
        (path.to_owned(), changed, found.map_or(0, |found| found.len()))
    };
    stores.flat_map(|store| store.files()).map(stamp).collect()
}

fn make(settings: &Tls) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let versions = settings.versions.iter().map(|version| match version {
        TlsVersion::Tls12 => &version::TLS12,
        TlsVersion::Tls13 => &version::TLS13,
    });
    let other = |error: &dyn std::fmt::Display| TlsError::Rustls(error.to_string());
    let verifier = Verifier::new(settings, &provider)?;
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions.collect::<Vec<_>>())
        .map_err(|error| other(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(store) = &settings.identity else { return Ok(config.with_no_client_auth()) };
    let certified = stores::identity(store)?.certified().map_err(|error| other(&error))?;
    Ok(config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

fn provider(suites: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if suites.is_empty() {
        return Ok(provider);
    }
    let known = provider.cipher_suites.iter().map(|suite| iana(suite.suite())).collect::<Vec<_>>();
    if let Some(name) = suites.iter().find(|name| !known.contains(name)) {
        return Err(TlsError::CipherSuite { name: name.clone(), known: known.join(", ") });
    }
    provider.cipher_suites.retain(|suite| suites.contains(&iana(suite.suite())));
    Ok(provider)
}

/// rustls writes `TLS13_…` where IANA and Java write `TLS_…`.
fn iana(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let _ = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}

/// Verifies a broker's certificate by chain and, unless that was switched off, by name.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    /// The certificates of the truststore. A broker's own may be among them, as Java takes it: many are their own issuer.
    trusted: Vec<CertificateDer<'static>>,
    by_name: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(settings: &Tls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = Arc::new(match &settings.trust {
            Some(store) => stores::trust(store)?,
            None => system_roots()?,
        });
        let trusted = settings.trust.as_ref().map(stores::certificates).transpose()?.unwrap_or_default();
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
        let chain = chain.build().map_err(|error| TlsError::Rustls(error.to_string()))?;
        Ok(Self { chain, roots, trusted, by_name: settings.verify_host_name, provider: Arc::clone(provider) })
    }
}

impl Verifier {
    /// A certificate that is trusted as it is needs no issuer; its time and its name count all the same.
    fn verify_trusted(
        &self,
        own: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let read = Certificate::read(own).ok_or(CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < read.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > read.not_after {
            return Err(CertificateError::Expired.into());
        }
        if self.by_name {
            verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trusted.iter().any(|trusted| trusted == own) {
            return self.verify_trusted(own, name, now);
        }
        if self.by_name {
            return self.chain.verify_server_cert(own, others, name, ocsp, now);
        }
        let parsed = ParsedCertificate::try_from(own)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, others, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
