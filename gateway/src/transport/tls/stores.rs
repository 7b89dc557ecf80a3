//! Key stores and trust stores: from files (or text) to certificates and keys that rustls takes.
//!
//! Trusting is not done here: a certificate that is expired or unknown is read like any other.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use contract::secret::Secret;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::certificate::Certificate;
use super::{jks, pem, pkcs12};
use crate::config::tls::{Material, Store, StoreKind};

/// No store of keys is longer; Java's own list of authorities has 200 KB.
const LONGEST: u64 = 16 << 20;
/// Certificates of one chain.
const LONGEST_CHAIN: usize = 32;

/// A store that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct StoreError {
    /// The file's path, or that it stands in the settings.
    pub place: String,
    /// What is wrong.
    pub problem: StoreProblem,
}

/// Why a store cannot be used. None of them tells anything of a password or key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreProblem {
    /// The operating system's words.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is longer than {} MiB, which no key store is", LONGEST >> 20)]
    TooLong,
    #[error("is neither PEM nor PKCS12 nor JKS")]
    UnknownKind,
    #[error("is {}, but its type is set to {}", .found.word(), .set.word())]
    OtherKind {
        /// What was set.
        set: StoreKind,
        /// What the content is.
        found: StoreKind,
    },
    #[error("{0} in the settings must be PEM")]
    NotText(&'static str),
    #[error("needs a password, and none is set")]
    PasswordMissing,
    #[error("the password does not open it, or it is damaged")]
    WrongPassword,
    #[error("the key password does not open the private key{}", of(.0))]
    WrongKeyPassword(Option<String>),
    #[error("the private key is encrypted, and no password is set")]
    KeyPasswordMissing,
    #[error("holds no private key")]
    NoKey,
    #[error("holds {} private keys, and no alias says which: {}", .0.len(), .0.join(", "))]
    SeveralKeys(Vec<String>),
    #[error("holds no private key with alias '{alias}'; there {}", listed(.known))]
    UnknownAlias {
        /// What was asked for.
        alias: String,
        /// What is there.
        known: Vec<String>,
    },
    #[error("holds no certificate")]
    NoCertificate,
    #[error("holds a certificate that cannot be used: {0}")]
    BadCertificate(String),
    #[error("the private key does not belong to the certificate")]
    KeyDoesNotFit,
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    #[error("uses {0}, which is not supported; {1}")]
    Unsupported(String, &'static str),
}

fn of(alias: &Option<String>) -> String {
    alias.as_ref().map(|alias| format!(" '{alias}'")).unwrap_or_default()
}

fn listed(aliases: &[String]) -> String {
    match aliases {
        [] => "is none".to_owned(),
        [one] => format!("is '{one}'"),
        several => format!("are {}", several.join(", ")),
    }
}

/// A private key and its certificate chain, the own certificate first.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The form that rustls' resolvers take. The key belongs to the certificate: that was checked when it was read.
    ///
    /// # Errors
    /// A key that this TLS stack cannot sign with.
    pub fn certified(&self) -> Result<CertifiedKey, StoreProblem> {
        certified(&self.chain, &self.key)
    }
}

/// One private key of a store with the certificates that may belong to it, the own one first.
pub(super) struct KeyEntry {
    /// PKCS#8.
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) chain: Vec<CertificateDer<'static>>,
}

/// Which key is wanted of a store, and what opens it.
pub(super) struct Wanted<'a> {
    pub(super) password: Option<&'a Secret>,
    pub(super) key_password: Option<&'a Secret>,
    pub(super) alias: Option<&'a str>,
}

impl Wanted<'_> {
    /// Decides among the aliases that are there.
    pub(super) fn choose(&self, aliases: &[String]) -> Result<usize, StoreProblem> {
        match (self.alias, aliases) {
            (None, []) => Err(StoreProblem::NoKey),
            (None, [_]) => Ok(0),
            (None, several) => {
                let mut several = several.to_vec();
                several.sort();
                Err(StoreProblem::SeveralKeys(several))
            }
            // Java's stores compare aliases without regard to case.
            (Some(alias), known) => known
                .iter()
                .position(|known| known.to_lowercase() == alias.to_lowercase())
                .ok_or_else(|| StoreProblem::UnknownAlias { alias: alias.to_owned(), known: known.to_vec() }),
        }
    }
}

/// The certificates of a trust store.
///
/// # Errors
/// [`StoreError`]
pub fn trust(store: &Store) -> Result<RootCertStore, StoreError> {
    let certificates = certificates(store)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let added = roots.add(certificate);
        added.map_err(|error| at(&store.content, StoreProblem::BadCertificate(error.to_string())))?;
    }
    Ok(roots)
}

/// The same, as certificates.
///
/// # Errors
/// [`StoreError`]
pub fn certificates(store: &Store) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read = || {
        let (kind, bytes) = open(&store.content, store.kind, "certificates")?;
        let certificates = match kind {
            StoreKind::Pem => pem::certificates(&bytes)?,
            StoreKind::Pkcs12 => pkcs12::certificates(&bytes, store.password.as_ref())?,
            StoreKind::Jks => jks::certificates(&bytes, store.password.as_ref())?,
        };
        if certificates.is_empty() { Err(StoreProblem::NoCertificate) } else { Ok(certificates) }
    };
    read().map_err(|problem| at(&store.content, problem))
}

/// The private key of a key store and its certificate chain.
///
/// # Errors
/// [`StoreError`]
pub fn identity(store: &Store) -> Result<Identity, StoreError> {
    let wanted = Wanted {
        password: store.password.as_ref(),
        key_password: store.key_password.as_ref().or(store.password.as_ref()),
        alias: store.alias.as_deref(),
    };
    let read = |key: Option<&[u8]>| {
        let (kind, bytes) = open(&store.content, store.kind, "a key store")?;
        let entry = match kind {
            StoreKind::Pem => pem::identity(&bytes, key.unwrap_or(&bytes), &wanted),
            StoreKind::Pkcs12 => pkcs12::identity(&bytes, &wanted),
            StoreKind::Jks => jks::identity(&bytes, &wanted),
        };
        entry.and_then(checked)
    };
    let key = match &store.key {
        None => None,
        Some(key) => Some(open(key, Some(StoreKind::Pem), "a private key").map_err(|problem| at(key, problem))?.1),
    };
    read(key.as_deref()).map_err(|problem| at(&store.content, problem))
}

/// Certificate revocation lists of a file: PEM, several in one, or one in DER.
///
/// # Errors
/// [`StoreError`]
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, StoreError> {
    let read = || {
        let bytes = bytes(path)?;
        let lists = if pem::is_pem(&bytes) { pem::revocations(&bytes)? } else { vec![bytes.into()] };
        if lists.is_empty() { Err(StoreProblem::Damaged("it holds no X509 CRL")) } else { Ok(lists) }
    };
    read().map_err(|problem| at(&Material::File(path.to_owned()), problem))
}

fn at(place: &Material, problem: StoreProblem) -> StoreError {
    let place = match place {
        Material::File(path) => path.display().to_string(),
        Material::Text(_) => "the PEM in the settings".to_owned(),
    };
    StoreError { place, problem }
}

/// The chain in order, and the key proven to belong to it.
fn checked(entry: KeyEntry) -> Result<Identity, StoreProblem> {
    let chain = ordered(entry.chain)?;
    certified(&chain, &entry.key)?;
    Ok(Identity { chain, key: entry.key })
}

fn certified(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<CertifiedKey, StoreProblem> {
    let signing = any_supported_type(key).map_err(|_| {
        StoreProblem::Unsupported(
            "a private key of another kind".to_owned(),
            "use RSA from 2048 bits, ECDSA or Ed25519",
        )
    })?;
    let certified = CertifiedKey::new(chain.to_vec(), signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(StoreProblem::KeyDoesNotFit),
        Err(error) => Err(StoreProblem::BadCertificate(match chain.first().and_then(|own| Certificate::read(own)) {
            Some(Certificate { version: 1, .. }) => {
                "it is of X.509 version 1, which TLS does not take; issue it anew with extensions".to_owned()
            }
            _ => error.to_string(),
        })),
    }
}

/// Whether a certificate is about this private key.
pub(super) fn belongs(key: &PrivateKeyDer<'static>, certificate: &CertificateDer<'static>) -> bool {
    certified(std::slice::from_ref(certificate), key).is_ok()
}

/// From the own certificate, which is the first, by issuers; what belongs to no issuer on the way is left out.
pub(super) fn ordered(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let mut rest = certificates.into_iter();
    let first = rest.next().ok_or(StoreProblem::NoCertificate)?;
    let mut rest = rest.collect::<Vec<_>>();
    let mut chain = vec![first];
    while chain.len() < LONGEST_CHAIN {
        let Some(last) = chain.last() else { break };
        let bad = || StoreProblem::BadCertificate("it is not X.509".to_owned());
        let last = Certificate::read(last).ok_or_else(bad)?;
        if last.is_self_issued() {
            break;
        }
        let issuer =
            rest.iter().position(|other| Certificate::read(other).is_some_and(|other| other.subject == last.issuer));
        match issuer {
            Some(issuer) => chain.push(rest.swap_remove(issuer)),
            None => break,
        }
    }
    Ok(chain)
}

/// The bytes of a store and its kind, by content; an error if the content is not of the kind that was set.
fn open(material: &Material, set: Option<StoreKind>, what: &'static str) -> Result<(StoreKind, Vec<u8>), StoreProblem> {
    let bytes = match material {
        Material::File(path) => bytes(path)?,
        Material::Text(text) if pem::is_pem(text.reveal().as_bytes()) => text.reveal().as_bytes().to_vec(),
        Material::Text(_) => return Err(StoreProblem::NotText(what)),
    };
    let found = kind(&bytes)?;
    match set {
        // Java's PKCS12 opens what JKS is set for, and the other way round, since Java 8.
        Some(StoreKind::Pem) if found != StoreKind::Pem => Err(StoreProblem::OtherKind { set: StoreKind::Pem, found }),
        Some(set) if found == StoreKind::Pem && set != found => Err(StoreProblem::OtherKind { set, found }),
        _ => Ok((found, bytes)),
    }
}

fn kind(bytes: &[u8]) -> Result<StoreKind, StoreProblem> {
    if jks::is_jks(bytes)? {
        Ok(StoreKind::Jks)
    } else if pkcs12::is_pkcs12(bytes) {
        Ok(StoreKind::Pkcs12)
    } else if pem::is_pem(bytes) {
        Ok(StoreKind::Pem)
    } else {
        Err(StoreProblem::UnknownKind)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, StoreProblem> {
    let unreadable = |error: std::io::Error| StoreProblem::Unreadable(error.to_string());
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST { Err(StoreProblem::TooLong) } else { Ok(bytes) }
}
