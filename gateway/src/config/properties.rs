//! Kafka client properties, from `upstream.properties` and `KAFKA_*` variables, and what is wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_yaml::Value;

use super::SecurityProtocol;
use contract::strict::nearest;

use super::reader::{Reader, text};

const PATH: &str = "upstream.properties";
const FAMILY: &str = "KAFKA_";

/// What is understood; for suggestions.
const KNOWN: [&str; 26] = [
    "aws.access.key.id",
    "aws.region",
    "aws.secret.access.key",
    "aws.session.token",
    "sasl.jaas.config",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "ssl.cipher.suites",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
    "ssl.keystore.alias",
];

/// Names of Java classes and providers: what they would do is done here, or is not.
const JAVA: [&str; 13] = [
    "sasl.client.callback.handler.class",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.oauthbearer.jwt.retriever.class",
    "sasl.oauthbearer.jwt.validator.class",
    "security.providers",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "sasl.kerberos.kinit.cmd",
    "sasl.oauthbearer.sub.claim.name",
];

/// Properties that have a key of their own in the settings file.
const ELSEWHERE: [(&str, &str); 2] =
    [("bootstrap.servers", "upstream.bootstrapServers"), ("security.protocol", "upstream.securityProtocol")];

/// A property's text, and where it stands.
pub(super) struct Given {
    pub(super) place: String,
    pub(super) value: String,
}

/// The properties that were given and not read yet.
pub(super) struct Properties {
    /// What the variables begin with that would give a property; or the path of the cluster, with a dot.
    family: String,
    given: BTreeMap<String, Given>,
    /// Of variables that are AWS' own.
    aws: BTreeMap<String, String>,
    problems: Vec<(String, String)>,
    warnings: Vec<String>,
}

impl Properties {
    /// These alone.
    pub(super) fn of(family: &str, given: BTreeMap<String, Given>) -> Self {
        let (family, aws) = (family.to_owned(), BTreeMap::new());
        Self { family, given, aws, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Others over them.
    pub(super) fn overlay(&mut self, given: BTreeMap<String, Given>) {
        self.given.extend(given);
    }

    /// A property that is not about security, with where it was given.
    pub(super) fn take(&mut self, name: &str) -> Option<Given> {
        self.given.remove(name)
    }

    /// Those of the file, and variables over them.
    pub(super) fn collect(reader: &mut Reader) -> Self {
        let mut properties = Self::of(FAMILY, BTreeMap::new());
        let file = reader.value(PATH, |value| match value {
            Value::Mapping(file) => Ok(file.clone()),
            _ => Err("must hold Kafka client properties, such as 'ssl.truststore.location: /path'".to_owned()),
        });
        for (name, value) in file.unwrap_or_default() {
            let name = name.as_str().unwrap_or_default().to_owned();
            let place = format!("{PATH}.{name}");
            let value = match &value {
                Value::String(text) => Ok(text.clone()),
                Value::Bool(truth) => Ok(truth.to_string()),
                other => text(other),
            };
            if let Some((_, key)) = ELSEWHERE.iter().find(|(property, _)| *property == name) {
                properties.problems.push((place, format!("is {key}: move it there")));
                continue;
            }
            match value {
                Ok(value) => {
                    let _ = properties.given.insert(name, Given { place, value });
                }
                Err(message) => properties.problems.push((place, message)),
            }
        }
        for (variable, value) in reader.take_variables() {
            match variable.strip_prefix(FAMILY) {
                Some(rest) => {
                    let name = rest.to_lowercase().replace('_', ".");
                    let _ = properties.given.insert(name, Given { place: variable, value });
                }
                None => {
                    let _ = properties.aws.insert(variable, value);
                }
            }
        }
        properties
    }

    /// A property as it stands, also an empty one.
    pub(super) fn raw(&mut self, name: &str) -> Option<String> {
        debug_assert!(KNOWN.contains(&name), "{name} is not in the list");
        self.given.remove(name).map(|given| given.value)
    }

    /// A property that says something.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.raw(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A property, with where it was given.
    pub(super) fn placed(&mut self, name: &str) -> Option<(String, String)> {
        let place = self.place(name);
        Some((place, self.text(name)?))
    }

    /// A file's path.
    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A variable of AWS' own.
    pub(super) fn aws(&self, variable: &str) -> Option<String> {
        self.aws.get(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Where it was given, or would be.
    pub(super) fn place(&self, name: &str) -> String {
        self.given.get(name).map_or_else(|| shown(&self.family, name), |given| given.place.clone())
    }

    pub(super) fn problem(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.problems.push((place.into(), message.into()));
    }

    pub(super) fn warning(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    /// Tells the reader what is wrong, and what of it all changes nothing.
    pub(super) fn finish(self, reader: &mut Reader, protocol: SecurityProtocol) {
        for (place, message) in self.problems {
            reader.problem(&place, message);
        }
        for warning in self.warnings {
            reader.warning(warning);
        }
        for (name, Given { place, .. }) in self.given {
            if JAVA.contains(&name.as_str()) {
                let why = "the gateway loads no Java classes and does by itself what this one would";
                reader.warning(format!("{place} changes nothing: {why}"));
            } else if KNOWN.contains(&name.as_str()) {
                let protocol = protocol.as_str();
                reader.warning(format!("{place} is not used: nothing of the kind is needed for {protocol} upstream"));
            } else {
                let hint = nearest(&name, KNOWN.into_iter());
                let shown = |name: &str| match place.starts_with(FAMILY) {
                    true => shown(&self.family, name),
                    false => name.to_owned(),
                };
                let hint = hint.map(|name| format!("; did you mean {}?", shown(name))).unwrap_or_default();
                reader.warning(format!("{place} means nothing to this version and has no effect{hint}"));
            }
        }
    }
}

/// `KAFKA_SSL_KEY_PASSWORD` of `ssl.key.password`.
fn shown(family: &str, name: &str) -> String {
    match family.starts_with(FAMILY) {
        true => format!("{family}{}", name.to_uppercase().replace('.', "_")),
        false => format!("{family}{name}"),
    }
}
