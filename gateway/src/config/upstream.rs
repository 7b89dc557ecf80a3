//! The physical cluster: where it is, and how the gateway connects to it and says who it is.
//!
//! `upstream.properties` takes Kafka's own client properties by their names, as `client.properties` of Kafka's tools; a
//! variable `KAFKA_X_Y` is the property `x.y` and wins. What they mean is read by `properties`, `keys` and `login`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::secret::Secret;

use super::addresses::parse_list;
use super::clients::PROTOCOLS;
use super::properties::{Given, Properties};
use super::reader::{Reader, text};
use super::settings::{Setting, file_only, setting};
use super::tls::Store;
use super::{SecurityProtocol, Upstream, clusters, keys, login};

pub(super) const SETTINGS: &[Setting] = &[
    setting("upstream.bootstrapServers", "KAFKA_BOOTSTRAP_SERVERS"),
    setting("upstream.securityProtocol", "KAFKA_SECURITY_PROTOCOL"),
    file_only("upstream.properties"),
];

/// How connections to brokers are protected, and by what the gateway logs in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// `None`: in the clear.
    pub tls: Option<Tls>,
    /// `None`: the gateway does not log in, but may show a certificate.
    pub sasl: Option<Sasl>,
}

impl Security {
    /// Kafka's name for it.
    pub fn protocol(&self) -> SecurityProtocol {
        match (&self.tls, &self.sasl) {
            (None, None) => SecurityProtocol::Plaintext,
            (Some(_), None) => SecurityProtocol::Ssl,
            (None, Some(_)) => SecurityProtocol::SaslPlaintext,
            (Some(_), Some(_)) => SecurityProtocol::SaslSsl,
        }
    }
}

/// TLS to the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Who may have signed a broker's certificate; the system's authorities if not given.
    pub trust: Option<Store>,
    /// The gateway's own certificate and key.
    pub identity: Option<Store>,
    /// Whether a broker's certificate must be for the host that was dialled.
    pub verify_host_name: bool,
    pub versions: Vec<TlsVersion>,
    /// By their IANA names; all that the TLS stack offers if empty.
    pub cipher_suites: Vec<String>,
}

/// The versions that are offered at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// How the gateway logs in to brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sasl {
    Plain(Password),
    Scram { hash: ScramHash, login: Password },
    OAuthBearer(OAuth),
    AwsMskIam(AwsIam),
    Gssapi(Kerberos),
}

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    Sha256,
    Sha512,
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    pub username: String,
    pub password: Secret,
    /// Whether it is a delegation token's id and key (KIP-48).
    pub delegation_token: bool,
}

/// Bearer tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    pub source: TokenSource,
    /// What goes along with the token (KIP-342).
    pub extensions: BTreeMap<String, String>,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    Endpoint(Box<ClientCredentials>),
    /// Read again when the token in it expires.
    File(PathBuf),
}

/// The client credentials grant of OAuth 2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    pub url: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
    /// Who may have signed the endpoint's certificate; the system's authorities if not given.
    pub trust: Option<Store>,
}

/// A key of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsIam {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    /// For brokers whose names do not tell it.
    pub region: Option<String>,
}

/// A Kerberos principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kerberos {
    /// The first part of the brokers' principals: `kafka` of `kafka/host@REALM`.
    pub service: String,
    /// Who the gateway is; the keytab's or the ticket cache's first if not given.
    pub principal: Option<String>,
    /// Otherwise tickets come from the ticket cache.
    pub keytab: Option<PathBuf>,
}

/// The cluster that serves, by these properties over the settings of a single one. `None` when there is no address; the reader
/// knows.
pub(super) fn read(reader: &mut Reader, name: &str, given: BTreeMap<String, Given>) -> Option<Upstream> {
    let mut properties = Properties::collect(reader);
    properties.overlay(given);
    let bootstrap_servers = match properties.take("bootstrap.servers") {
        Some(Given { place, value }) => parse_list(&value).map_err(|message| reader.problem(&place, message)).ok(),
        None => {
            let place = "upstream.bootstrapServers";
            reader.require(place, "is required: the host:port of a Kafka broker (or set KAFKA_BOOTSTRAP_SERVERS)");
            reader.value(place, |value| parse_list(&text(value)?))
        }
    };
    let single = reader.choice("upstream.securityProtocol", &PROTOCOLS);
    let protocol = clusters::protocol(reader, properties.take("security.protocol"));
    let protocol = protocol.or(single).unwrap_or(SecurityProtocol::Plaintext);
    let security = security(reader, properties, protocol);
    Some(Upstream { name: name.to_owned(), bootstrap_servers: bootstrap_servers?, security })
}

/// What the properties say about connections of this protocol; each is read, or told to have no effect.
pub(super) fn security(reader: &mut Reader, mut properties: Properties, protocol: SecurityProtocol) -> Security {
    let security = Security {
        tls: protocol.is_tls().then(|| keys::read(&mut properties)),
        sasl: protocol.is_sasl().then(|| login::read(&mut properties)).flatten(),
    };
    properties.finish(reader, protocol);
    security
}
