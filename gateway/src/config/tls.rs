//! Keys, certificates and whom to trust: where they lie and what opens them, before anybody has read them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::secret::Secret;

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Keys with their certificates. A client that wants a host that several are for, or none, gets the first.
    pub identities: Vec<Store>,
    /// The authorities that sign clients' certificates.
    pub trust: Option<Store>,
    /// Certificates that they have revoked: files of lists.
    pub revocations: Vec<PathBuf>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// What a certificate's subject is called: Kafka's `ssl.principal.mapping.rules`.
    pub principal_mapping_rules: String,
    /// How often files are looked at for changes.
    pub update_every: Duration,
}

impl Tls {
    /// Every file, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let stores = self.identities.iter().chain(&self.trust);
        stores.flat_map(Store::files).map(Path::to_owned).chain(self.revocations.iter().cloned()).collect()
    }
}

/// Whether clients show a certificate (Kafka's `ssl.client.auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may; one that is shown must be good.
    Request,
    /// They must.
    Require,
}

/// The form of a key store or trust store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Text: `-----BEGIN CERTIFICATE-----` and so on.
    Pem,
    /// What `openssl pkcs12` and keytool since Java 9 write (`.p12`, `.pfx`).
    Pkcs12,
    /// What keytool wrote before.
    Jks,
}

impl StoreKind {
    /// The words of Kafka's `ssl.keystore.type`.
    pub const WORDS: [(&'static str, Self); 3] = [("PEM", Self::Pem), ("PKCS12", Self::Pkcs12), ("JKS", Self::Jks)];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pem => "PEM",
            Self::Pkcs12 => "PKCS12",
            Self::Jks => "JKS",
        }
    }
}

/// Something that lies in a file or stands in the settings themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A file, read again when it changes.
    File(PathBuf),
    /// PEM in the settings, as in Kafka's `ssl.keystore.key`.
    Text(Secret),
}

/// A key store or trust store: where it lies and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The store; of PEM, certificates, and the private key if `key` names no other place.
    pub content: Material,
    /// PEM only: the private key, where it is not in `content`.
    pub key: Option<Material>,
    /// What it must be; otherwise its content tells.
    pub kind: Option<StoreKind>,
    /// Opens the store (and an encrypted PEM key, if there is no key password).
    pub password: Option<Secret>,
    /// Opens the private key; the store's password if not given.
    pub key_password: Option<Secret>,
    /// Which of several keys.
    pub alias: Option<String>,
}

impl Store {
    /// The store in a file, with no password.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::of(Material::File(path.as_ref().to_owned()))
    }

    /// The store with no password.
    pub fn of(content: Material) -> Self {
        Self { content, key: None, kind: None, password: None, key_password: None, alias: None }
    }

    /// The files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let content = std::iter::once(&self.content).chain(&self.key);
        content.filter_map(|material| match material {
            Material::File(path) => Some(path.as_path()),
            Material::Text(_) => None,
        })
    }
}
