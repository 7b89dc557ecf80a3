//! Keys, certificates and whom to trust: where they lie and what opens them, before anybody has read them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::secret::Secret;
use serde_yaml::{Mapping, Value};

use super::Listener;
use contract::strict::nearest;

use super::reader::{Reader, listed, text};
use super::settings::{Setting, file_only, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting("tls.keyStore.path", "GATEWAY_SSL_KEY_STORE_PATH"),
    file_only("tls.keyStore.keyPath"),
    setting("tls.keyStore.type", "GATEWAY_SSL_KEY_STORE_TYPE"),
    setting("tls.keyStore.password", "GATEWAY_SSL_KEY_STORE_PASSWORD"),
    setting("tls.keyStore.keyPassword", "GATEWAY_SSL_KEY_PASSWORD"),
    setting("tls.keyStore.alias", "GATEWAY_SSL_KEY_ALIAS"),
    file_only("tls.moreKeyStores"),
    setting("tls.trustStore.path", "GATEWAY_SSL_TRUST_STORE_PATH"),
    setting("tls.trustStore.type", "GATEWAY_SSL_TRUST_STORE_TYPE"),
    setting("tls.trustStore.password", "GATEWAY_SSL_TRUST_STORE_PASSWORD"),
    file_only("tls.revocationLists"),
    file_only("tls.minVersion"),
    setting("tls.principalMappingRules", "GATEWAY_SSL_PRINCIPAL_MAPPING_RULES"),
    setting("tls.updateIntervalMinutes", "GATEWAY_SSL_UPDATE_CONTEXT_INTERVAL_MINUTES"),
];

const KEY_STORE_KEYS: [&str; 6] = ["path", "keyPath", "type", "password", "keyPassword", "alias"];

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

/// What a listener may ask of clients' certificates.
pub(super) const CLIENT_AUTH: [(&str, ClientAuth); 3] =
    [("NONE", ClientAuth::None), ("REQUEST", ClientAuth::Request), ("REQUIRE", ClientAuth::Require)];

pub(super) fn read(reader: &mut Reader, listeners: &[Listener]) -> Tls {
    let identities = key_store(reader).into_iter().chain(more_key_stores(reader)).collect::<Vec<_>>();
    let trust = trust_store(reader);
    let revocations = reader.value("tls.revocationLists", paths).unwrap_or_default();
    let versions = [("TLSv1.2", false), ("TLSv1.3", true)];
    let only_tls13 = reader.choice("tls.minVersion", &versions).unwrap_or(false);
    let principal_mapping_rules = reader.text("tls.principalMappingRules").unwrap_or_else(|| "DEFAULT".to_owned());
    let minutes = reader.number("tls.updateIntervalMinutes", 1, 1, 1440).unsigned_abs();
    if let Some(listener) = listeners.iter().find(|listener| listener.protocol.is_tls()) {
        let message = format!(
            "is required: the listener '{}' speaks TLS; 'gateway certs init' makes a certificate for development",
            listener.name
        );
        reader.require("tls.keyStore.path", &message);
    }
    let asks = |listener: &&Listener| listener.protocol.is_tls() && listener.client_auth != ClientAuth::None;
    if let Some(listener) = listeners.iter().find(asks) {
        let name = &listener.name;
        let message = format!("is required: the listener '{name}' asks for clients' certificates, and these sign them");
        reader.require("tls.trustStore.path", &message);
    } else if !revocations.is_empty() {
        reader.warning("tls.revocationLists has no effect: no listener asks for clients' certificates");
    }
    Tls {
        identities,
        trust,
        revocations,
        only_tls13,
        principal_mapping_rules,
        update_every: Duration::from_secs(60 * minutes),
    }
}

fn key_store(reader: &mut Reader) -> Option<Store> {
    let kind = reader.choice("tls.keyStore.type", &StoreKind::WORDS);
    let key = reader.text("tls.keyStore.keyPath").map(|path| Material::File(path.into()));
    let password = reader.text("tls.keyStore.password").map(Secret::new);
    let key_password = reader.text("tls.keyStore.keyPassword").map(Secret::new);
    let alias = reader.text("tls.keyStore.alias");
    let content = Material::File(reader.text("tls.keyStore.path")?.into());
    Some(Store { content, key, kind, password, key_password, alias })
}

fn more_key_stores(reader: &mut Reader) -> Vec<Store> {
    let entries = reader.value("tls.moreKeyStores", entries).unwrap_or_default();
    let mut stores = Vec::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let place = format!("tls.moreKeyStores[{at}]");
        stores.extend(reader.within("tls.keyStore", &place, entry, key_store));
    }
    stores
}

fn entries(value: &Value) -> Result<Vec<Mapping>, String> {
    let wanted = "must be a list of key stores, each with a path";
    let mut found = Vec::new();
    for (at, entry) in value.as_sequence().ok_or(wanted)?.iter().enumerate() {
        let entry = entry.as_mapping().ok_or(wanted)?.clone();
        for key in entry.keys() {
            let key = text(key)?;
            if !KEY_STORE_KEYS.contains(&key.as_str()) {
                let hint = match nearest(&key, KEY_STORE_KEYS.into_iter()) {
                    Some(name) => format!("did you mean '{name}'?"),
                    None => format!("known here are {}", listed(KEY_STORE_KEYS.into_iter())),
                };
                return Err(format!("entry {}: unknown key '{key}'; {hint}", at + 1));
            }
        }
        if !entry.contains_key("path") {
            return Err(format!("entry {}: path is missing", at + 1));
        }
        found.push(entry);
    }
    Ok(found)
}

fn trust_store(reader: &mut Reader) -> Option<Store> {
    let kind = reader.choice("tls.trustStore.type", &StoreKind::WORDS);
    let password = reader.text("tls.trustStore.password").map(Secret::new);
    let content = Material::File(reader.text("tls.trustStore.path")?.into());
    Some(Store { kind, password, ..Store::of(content) })
}

fn paths(value: &Value) -> Result<Vec<PathBuf>, String> {
    let wanted = "must be a list of files";
    let paths = value.as_sequence().ok_or(wanted)?.iter().map(|path| text(path).map(PathBuf::from));
    paths.collect::<Result<_, _>>().map_err(|_| wanted.to_owned())
}
