//! THE TABLE of settings, and what their values mean.

use contract::secret::Secret;
use serde_yaml::Value;

use super::reader::{Reader, text};
use super::{
    Config, INTERNAL_TOPICS, Passthrough, Tokens, admin, audit, clients, clusters, logins, nodes, oauth, state,
    telemetry, tls, upstream,
};

/// One setting: where it stands in the file, and the variable that overrides it.
pub(super) struct Setting {
    pub(super) path: &'static str,
    pub(super) variable: Option<&'static str>,
    /// Whether the variable's text is YAML.
    pub(super) structured: bool,
}

pub(super) const fn setting(path: &'static str, variable: &'static str) -> Setting {
    Setting { path, variable: Some(variable), structured: false }
}

pub(super) const fn file_only(path: &'static str) -> Setting {
    Setting { path, variable: None, structured: false }
}

pub(super) const fn structured(path: &'static str, variable: &'static str) -> Setting {
    Setting { path, variable: Some(variable), structured: true }
}

/// The settings of this file; the other parts have their own.
const SETTINGS: &[Setting] = &[
    setting("passthrough.aclEnabled", "GATEWAY_ACL_STORE_ENABLED"),
    setting("tokens.signingKey", "GATEWAY_USER_POOL_SECRET_KEY"),
];

/// Every setting.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    let parts: [&[Setting]; 12] = [
        upstream::SETTINGS,
        clusters::SETTINGS,
        clients::SETTINGS,
        logins::SETTINGS,
        oauth::SETTINGS,
        tls::SETTINGS,
        audit::SETTINGS,
        telemetry::SETTINGS,
        admin::SETTINGS,
        nodes::SETTINGS,
        state::SETTINGS,
        SETTINGS,
    ];
    parts.into_iter().flatten()
}

pub(super) const LOOPBACK: &str = "127.0.0.1";
/// A key that is shorter can be guessed from one token, or one line of a chain.
pub(super) const SHORTEST_KEY: usize = 32;

/// `None` when something without a default is missing; the reader knows what.
pub(super) fn read(reader: &mut Reader) -> Option<Config> {
    let (upstream, failover) = clusters::read(reader);
    let clients = clients::read(reader, upstream.as_ref());
    let oauth = oauth::read(reader);
    let logins = logins::read(reader, &clients);
    let tls = tls::read(reader, &clients.listeners);
    let admin = admin::read(reader, &clients, &tls);
    let passthrough = Passthrough { acl_enabled: reader.flag("passthrough.aclEnabled", false) };
    let (state, at_rest) = state::read(reader);
    let nodes = nodes::read(reader, &state);
    let signing_key = reader.value("tokens.signingKey", |value| match text(value)? {
        key if key.len() < SHORTEST_KEY => {
            Err(format!("must have at least {SHORTEST_KEY} characters; make one with: openssl rand -base64 32"))
        }
        key => Ok(Secret::new(key)),
    });
    let audit = audit::read(reader);
    let tokens = Tokens { signing_key };
    let (log_format, log_level) = (telemetry::log_format(reader), telemetry::log_level(reader));
    let tracing = telemetry::tracing(reader);
    Some(Config {
        upstream: upstream?,
        failover,
        clients,
        logins,
        oauth,
        tls,
        admin,
        passthrough,
        audit,
        state,
        at_rest,
        nodes,
        tokens,
        log_format,
        log_level,
        tracing,
    })
}

/// The name of a topic of the gateway's own. Such topics are hidden from everybody, and no tenant's prefix begins with an
/// underscore.
pub(super) fn internal_topic(value: &Value) -> Result<String, String> {
    let topic = text(value)?;
    let fits = topic.len() <= 249 && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits && topic.starts_with(INTERNAL_TOPICS) {
        Ok(topic)
    } else {
        Err(format!("'{topic}' is not a topic's name that begins with '{INTERNAL_TOPICS}'"))
    }
}

// The reader has checked the ranges.
pub(super) fn as_u16(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

pub(super) fn as_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
