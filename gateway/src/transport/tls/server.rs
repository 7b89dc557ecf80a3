//! The server's side of TLS: what rustls needs to greet clients, made from the settings and made anew when files change.
//!
//! A connection keeps what it began with; a handshake takes what is present. Files that cannot be used change nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache, VerifierBuilderError,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::Certificate;
use super::names;
use super::stores::{self, StoreError};
use crate::config::tls::{ClientAuth, Material, Tls};
use crate::observe::metrics::CertificateExpiry;

/// Sessions that can be taken up again without another proof; each holds its client's certificates.
const RESUMABLE: usize = 4096;

/// Why TLS cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerTlsError {
    /// A key store, trust store or revocation list.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{place}: {reason}")]
    Identity {
        /// The key store.
        place: String,
        /// Why its key or certificate cannot serve.
        reason: String,
    },
    #[error(
        "tls.keyStore.path (GATEWAY_SSL_KEY_STORE_PATH) is not set: TLS needs a key and a certificate; 'gateway certs init' makes some for development"
    )]
    NoIdentity,
    #[error(
        "tls.trustStore.path (GATEWAY_SSL_TRUST_STORE_PATH) is not set: asking for clients' certificates needs the authorities that sign them"
    )]
    NoTrust,
    #[error("clients' certificates cannot be verified: {0}")]
    Verifier(String),
    #[error("{place}: the revocation list cannot be used: {reason}; it must be of X.509 version 2, with a CRL number")]
    Revocations {
        /// The file.
        place: String,
        /// What rustls says.
        reason: String,
    },
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What a listener offers to clients that begin a handshake now.
pub struct ServerTls {
    settings: Tls,
    auth: ClientAuth,
    present: RwLock<Present>,
}

struct Present {
    config: Arc<ServerConfig>,
    certificates: Vec<CertificateExpiry>,
    /// Of all files together.
    digest: Digest,
    /// The content that could not be used, so that it is complained about once.
    refused: Option<Digest>,
}

type Digest = [u8; 32];

/// What a look at the files has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    Unchanged,
    /// New handshakes use the new files.
    Changed,
    /// The files have changed and cannot be used; the old ones stay.
    Refused(ServerTlsError),
    /// The same as at the last look, which was refused.
    StillRefused(ServerTlsError),
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("settings", &self.settings).field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads all files.
    ///
    /// # Errors
    /// [`ServerTlsError`]
    pub fn load(settings: &Tls, auth: ClientAuth) -> Result<Self, ServerTlsError> {
        // The digest first: what changes while the files are read is seen as changed at the next look.
        let digest = digest(&settings.files());
        let (config, certificates) = build(settings, auth)?;
        let present = Present { config: Arc::new(config), certificates, digest, refused: None };
        Ok(Self { settings: settings.clone(), auth, present: RwLock::new(present) })
    }

    /// What a handshake that begins now goes by.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// The certificates in use.
    pub fn certificates(&self) -> Vec<CertificateExpiry> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).certificates.clone()
    }

    /// Where keys and certificates are.
    pub fn files(&self) -> Vec<PathBuf> {
        self.settings.files()
    }

    /// Looks whether files have changed, and uses them if they have and can be used.
    pub fn refresh(&self) -> Refreshed {
        let digest = digest(&self.settings.files());
        let refused = {
            let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
            if present.digest == digest && present.refused.is_none() {
                return Refreshed::Unchanged;
            }
            present.refused
        };
        let built = build(&self.settings, self.auth);
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        match built {
            Ok((config, certificates)) => {
                // A file that went wrong and came back as it was is none that has changed.
                let changed = present.digest != digest;
                if changed {
                    *present = Present { config: Arc::new(config), certificates, digest, refused: None };
                } else {
                    present.refused = None;
                }
                if changed { Refreshed::Changed } else { Refreshed::Unchanged }
            }
            Err(error) => {
                present.refused = Some(digest);
                if refused == Some(digest) { Refreshed::StillRefused(error) } else { Refreshed::Refused(error) }
            }
        }
    }
}

/// Over names and contents; what cannot be read counts as empty, and fails when it is used.
fn digest(files: &[PathBuf]) -> Digest {
    let mut context = Context::new(&SHA256);
    for file in files {
        let content = std::fs::read(file).unwrap_or_default();
        context.update(file.as_os_str().as_encoded_bytes());
        context.update(&(content.len() as u64).to_be_bytes());
        context.update(&content);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn build(settings: &Tls, auth: ClientAuth) -> Result<(ServerConfig, Vec<CertificateExpiry>), ServerTlsError> {
    let setup = |error: rustls::Error| ServerTlsError::Setup(error.to_string());
    let crypto = Arc::new(provider::default_provider());
    let mut certificates = Vec::new();
    let mut keys = Vec::new();
    for store in &settings.identities {
        let place = place(&store.content);
        let identity = stores::identity(store)?;
        certificates.extend(identity.chain.iter().filter_map(|certificate| expiry(&place, certificate)));
        let key = identity.certified();
        keys.push(Arc::new(key.map_err(|problem| ServerTlsError::Identity { place, reason: problem.to_string() })?));
    }
    if keys.is_empty() {
        return Err(ServerTlsError::NoIdentity);
    }
    let (verifier, trusted) = verifier(settings, auth, &crypto)?;
    certificates.extend(trusted);
    let versions: &[&'static SupportedProtocolVersion] =
        if settings.only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let mut config = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(versions)
        .map_err(setup)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(ByServerName { keys }));
    // A store of its own: what a session proved counts as long as the trust store and the revocation lists stay the same.
    config.session_storage = ServerSessionMemoryCache::new(RESUMABLE);
    Ok((config, certificates))
}

type Verifier = (Arc<dyn ClientCertVerifier>, Vec<CertificateExpiry>);

/// How clients' certificates are verified, and the authorities that are trusted for it.
fn verifier(settings: &Tls, auth: ClientAuth, crypto: &Arc<CryptoProvider>) -> Result<Verifier, ServerTlsError> {
    if auth == ClientAuth::None {
        return Ok((Arc::new(NoClientAuth), Vec::new()));
    }
    let store = settings.trust.as_ref().ok_or(ServerTlsError::NoTrust)?;
    let place = place(&store.content);
    let trusted = stores::certificates(store)?.iter().filter_map(|certificate| expiry(&place, certificate)).collect();
    let roots = Arc::new(stores::trust(store)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(crypto));
    if auth == ClientAuth::Request {
        builder = builder.allow_unauthenticated();
    }
    let mut lists = Vec::new();
    for path in &settings.revocations {
        let read = stores::revocations(path)?;
        // All are parsed together at the end; one by one shows which is wrong.
        let tried = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(crypto));
        let tried = tried.with_crls(read.iter().cloned()).build();
        let refused = |reason: VerifierBuilderError| ServerTlsError::Revocations {
            place: path.display().to_string(),
            reason: reason.to_string(),
        };
        tried.map_err(refused)?;
        lists.extend(read);
    }
    if !lists.is_empty() {
        // Strict: no list of an authority on the way, or an outdated one, is as bad as a revoked certificate.
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    let built = builder.build().map_err(|error| ServerTlsError::Verifier(error.to_string()))?;
    Ok((built, trusted))
}

fn place(material: &Material) -> String {
    match material {
        Material::File(path) => Path::display(path).to_string(),
        Material::Text(_) => "settings".to_owned(),
    }
}

fn expiry(place: &str, certificate: &[u8]) -> Option<CertificateExpiry> {
    let read = Certificate::read(certificate)?;
    let subject = names::rfc2253(read.subject).unwrap_or_else(|_| "(unreadable)".to_owned());
    Some(CertificateExpiry { place: place.to_owned(), subject, not_after: read.not_after })
}

/// The first key whose certificate is for the name that the client wants, else the first.
#[derive(Debug)]
struct ByServerName {
    keys: Vec<Arc<CertifiedKey>>,
}

impl ByServerName {
    fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
        let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
        certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_sign = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let wanted = hello.server_name().and_then(|name| DnsName::try_from(name.trim_end_matches('.')).ok());
        let wanted = wanted.map(ServerName::DnsName);
        let fitting = wanted.and_then(|name| self.keys.iter().filter(can_sign).find(|key| Self::is_for(key, &name)));
        fitting.or_else(|| self.keys.iter().find(can_sign)).or(self.keys.first()).cloned()
    }
}
