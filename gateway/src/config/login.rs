//! Kafka's `sasl.*` client properties: how the gateway says who it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::secret::Secret;

use super::jaas::{self, Jaas};
use super::properties::Properties;
use super::tls::{Store, StoreKind};
use super::upstream::{AwsIam, ClientCredentials, Kerberos, OAuth, Password, Sasl, ScramHash, TokenSource};

/// Each mechanism and the login module that goes with it.
const MECHANISMS: [(&str, &str); 6] = [
    ("PLAIN", "PlainLoginModule"),
    ("SCRAM-SHA-256", "ScramLoginModule"),
    ("SCRAM-SHA-512", "ScramLoginModule"),
    ("OAUTHBEARER", "OAuthBearerLoginModule"),
    ("AWS_MSK_IAM", "IAMLoginModule"),
    ("GSSAPI", "Krb5LoginModule"),
];
const JAAS: &str = "sasl.jaas.config";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
/// Options of `OAuthBearerLoginModule` that go to the broker along with the token.
const EXTENSION: &str = "extension_";

/// `None` when something is missing or wrong; the properties know what.
pub(super) fn read(properties: &mut Properties) -> Option<Sasl> {
    let names = MECHANISMS.map(|(name, _)| name).join(", ");
    let Some((place, mechanism)) = properties.placed("sasl.mechanism") else {
        let place = properties.place("sasl.mechanism");
        properties.problem(place, format!("is required to log in by SASL: one of {names}"));
        return None;
    };
    let Some((mechanism, module)) = MECHANISMS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&mechanism))
    else {
        properties.problem(place, format!("'{mechanism}' is none of {names}"));
        return None;
    };
    let mut options = Options::read(properties, mechanism, module)?;
    let sasl = match mechanism {
        "PLAIN" => options.password(properties, false).map(Sasl::Plain),
        "SCRAM-SHA-256" => scram(properties, &mut options, ScramHash::Sha256),
        "SCRAM-SHA-512" => scram(properties, &mut options, ScramHash::Sha512),
        "OAUTHBEARER" => oauth(properties, &mut options).map(Sasl::OAuthBearer),
        "AWS_MSK_IAM" => aws(properties, &mut options).map(Sasl::AwsMskIam),
        _ => kerberos(properties, &mut options).map(Sasl::Gssapi),
    };
    options.finish(properties, sasl.is_some());
    sasl
}

/// The options of the login module.
struct Options {
    place: String,
    left: BTreeMap<String, String>,
}

impl Options {
    fn read(properties: &mut Properties, mechanism: &str, module: &str) -> Option<Self> {
        let place = properties.place(JAAS);
        let text = properties.text(JAAS);
        let needed = !matches!(mechanism, "AWS_MSK_IAM" | "OAUTHBEARER");
        let jaas = match text.map(|text| jaas::parse(&text)) {
            Some(Ok(jaas)) => jaas,
            Some(Err(message)) => {
                properties.problem(place, message);
                return None;
            }
            None if needed => {
                properties.problem(place, format!("is required for {mechanism}: '…{module} required …;'"));
                return None;
            }
            None => Jaas { module: module.to_owned(), options: BTreeMap::new(), typographic: false },
        };
        if jaas.module.rsplit('.').next() != Some(module) {
            properties.problem(place, format!("does not name {module}, which goes with {mechanism}"));
            return None;
        }
        if jaas.typographic {
            properties.warning(format!("{place}: typographic quotes are read as plain ones"));
        }
        Some(Self { place, left: jaas.options })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name).filter(|value| !value.is_empty())
    }

    fn is_true(&mut self, name: &str) -> bool {
        self.take(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn require(&mut self, properties: &mut Properties, name: &str) -> Option<String> {
        let value = self.take(name);
        if value.is_none() {
            properties.problem(self.place.clone(), format!("has no {name}=\"…\""));
        }
        value
    }

    fn password(&mut self, properties: &mut Properties, delegation_token: bool) -> Option<Password> {
        let username = self.require(properties, "username");
        let password = self.require(properties, "password").map(Secret::new);
        let (username, password) = (username?, password?);
        // PLAIN separates by it, and no broker knows such a name.
        if username.contains('\0') || password.reveal().contains('\0') {
            properties.problem(self.place.clone(), "has a zero byte in the user name or password");
            return None;
        }
        Some(Password { username, password, delegation_token })
    }

    /// Options that are left mean nothing here. Their names are not shown: behind a missing quote they may be a secret.
    fn finish(self, properties: &mut Properties, usable: bool) {
        if usable && !self.left.is_empty() {
            let count = self.left.len();
            properties.warning(format!("{}: {count} of its options mean nothing to this version", self.place));
        }
    }
}

fn scram(properties: &mut Properties, options: &mut Options, hash: ScramHash) -> Option<Sasl> {
    let delegation_token = options.is_true("tokenauth");
    options.password(properties, delegation_token).map(|login| Sasl::Scram { hash, login })
}

fn oauth(properties: &mut Properties, options: &mut Options) -> Option<OAuth> {
    let mut extensions = BTreeMap::new();
    for name in options.left.keys().filter(|name| name.starts_with(EXTENSION)).cloned().collect::<Vec<_>>() {
        let value = options.take(&name).unwrap_or_default();
        let name = &name[EXTENSION.len()..];
        // As RFC 7628 has it: a name of letters, a value of printable characters and blanks; `auth` is the token's.
        let printable = value.chars().all(|c| matches!(c, ' '..='~' | '\t' | '\r' | '\n'));
        if name.is_empty() || name == "auth" || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) || !printable {
            properties.problem(options.place.clone(), format!("has an option {EXTENSION}… that brokers do not take"));
            return None;
        }
        let _ = extensions.insert(name.to_owned(), value);
    }
    let Some((place, url)) = properties.placed(ENDPOINT) else {
        let message = "is required for OAUTHBEARER: the https: URL of the token endpoint, or file:///path of a token";
        properties.problem(properties.place(ENDPOINT), message);
        return None;
    };
    if let Some(path) = url.strip_prefix("file:") {
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        if path.is_absolute() {
            return Some(OAuth { source: TokenSource::File(path), extensions });
        }
        properties.problem(place, "is a file: URL without an absolute path: write file:///path");
        return None;
    }
    let http = url.strip_prefix("http://");
    if http.is_none() && !url.starts_with("https://") {
        properties.problem(place, "must begin with https:// or file:///");
        return None;
    }
    if http.is_some_and(|rest| !["127.0.0.1", "localhost", "[::1]"].iter().any(|host| rest.starts_with(host))) {
        properties.warning(format!("{place}: the client secret goes over the network unencrypted; use https:"));
    }
    let client_id = properties.text("sasl.oauthbearer.client.credentials.client.id").or(options.take("clientId"));
    let client_secret = properties.text("sasl.oauthbearer.client.credentials.client.secret");
    let client_secret = client_secret.or(options.take("clientSecret"));
    let scope = properties.text("sasl.oauthbearer.scope").or(options.take("scope"));
    let trust = endpoint_trust(options);
    let (Some(client_id), Some(client_secret)) = (client_id, client_secret) else {
        let message = "needs clientId=\"…\" and clientSecret=\"…\" to get tokens with";
        properties.problem(options.place.clone(), message);
        return None;
    };
    let client_secret = Secret::new(client_secret);
    let grant = ClientCredentials { url, client_id, client_secret, scope, trust };
    Some(OAuth { source: TokenSource::Endpoint(Box::new(grant)), extensions })
}

/// As in Kafka, the token endpoint's authorities are options of the login module.
fn endpoint_trust(options: &mut Options) -> Option<Store> {
    let location = options.take("ssl.truststore.location");
    let password = options.take("ssl.truststore.password").map(Secret::new);
    let word = options.take("ssl.truststore.type");
    let kind =
        StoreKind::WORDS.iter().find(|(known, _)| word.as_deref().is_some_and(|w| w.eq_ignore_ascii_case(known)));
    Some(Store { kind: kind.map(|(_, kind)| *kind), password, ..Store::file(location?) })
}

fn aws(properties: &mut Properties, options: &mut Options) -> Option<AwsIam> {
    if ["awsRoleArn", "awsProfileName"].iter().any(|name| options.take(name).is_some()) {
        let message = "asks for a role or profile of AWS; this version takes keys: set KAFKA_AWS_ACCESS_KEY_ID and \
                       KAFKA_AWS_SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        properties.problem(options.place.clone(), message);
        return None;
    }
    let _ = options.take("awsDebugCreds");
    let own = (properties.text("aws.access.key.id"), properties.text("aws.secret.access.key"));
    let token = properties.text("aws.session.token");
    let region = properties.text("aws.region");
    let region = region.or_else(|| properties.aws("AWS_REGION")).or_else(|| properties.aws("AWS_DEFAULT_REGION"));
    // A session token goes with the key that it was given out with and no other.
    let (id, secret, token) = match own {
        (None, None) => (
            properties.aws("AWS_ACCESS_KEY_ID"),
            properties.aws("AWS_SECRET_ACCESS_KEY"),
            properties.aws("AWS_SESSION_TOKEN"),
        ),
        (id, secret) => (id, secret, token),
    };
    match (id, secret) {
        (Some(id), Some(secret)) => Some(AwsIam {
            access_key_id: id,
            secret_access_key: Secret::new(secret),
            session_token: token.map(Secret::new),
            region,
        }),
        (id, _) => {
            let missing = if id.is_none() { "KAFKA_AWS_ACCESS_KEY_ID" } else { "KAFKA_AWS_SECRET_ACCESS_KEY" };
            properties.problem(missing, "is required for AWS_MSK_IAM, or the same without KAFKA_");
            None
        }
    }
}

fn kerberos(properties: &mut Properties, options: &mut Options) -> Option<Kerberos> {
    for meaningless in ["storeKey", "debug", "doNotPrompt", "refreshKrb5Config", "useTicketCache", "isInitiator"] {
        let _ = options.take(meaningless);
    }
    let keytab = options.take("keyTab").map(PathBuf::from).filter(|_| options.is_true("useKeyTab"));
    let principal = options.take("principal");
    let place = properties.place("sasl.kerberos.service.name");
    let service = properties.text("sasl.kerberos.service.name").or(options.take("serviceName"));
    if service.is_none() {
        properties.problem(place, "is required for GSSAPI: the brokers' service name, such as kafka");
    }
    Some(Kerberos { service: service?, principal, keytab })
}
