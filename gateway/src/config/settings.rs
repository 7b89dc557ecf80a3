//! THE TABLE of settings, and what their values mean.

use contract::secret::Secret;
use serde_yaml::Value;

use contract::strict::nearest;

use super::reader::{Reader, listed, text};
use super::{
    Admin, AdminUser, Clients, Config, INTERNAL_TOPICS, Listener, Passthrough, State, Tokens, audit, clients, clusters,
    logins, nodes, oauth, tls, upstream,
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
    file_only("admin.bindHost"),
    setting("admin.port", "GATEWAY_HTTP_PORT"),
    structured("admin.users", "GATEWAY_ADMIN_API_USERS"),
    setting("passthrough.aclEnabled", "GATEWAY_ACL_STORE_ENABLED"),
    file_only("state.store"),
    file_only("state.topic"),
    setting("tokens.signingKey", "GATEWAY_USER_POOL_SECRET_KEY"),
];

/// Every setting.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    let parts: [&[Setting]; 9] = [
        upstream::SETTINGS,
        clusters::SETTINGS,
        clients::SETTINGS,
        logins::SETTINGS,
        oauth::SETTINGS,
        tls::SETTINGS,
        audit::SETTINGS,
        nodes::SETTINGS,
        SETTINGS,
    ];
    parts.into_iter().flatten()
}

const STATE_TOPIC: &str = "_anabranch.state";
const LOOPBACK: &str = "127.0.0.1";
/// A key that is shorter can be guessed from one token, or one line of a chain.
pub(super) const SHORTEST_KEY: usize = 32;

/// `None` when something without a default is missing; the reader knows what.
pub(super) fn read(reader: &mut Reader) -> Option<Config> {
    let (upstream, failover) = clusters::read(reader);
    let clients = clients::read(reader, upstream.as_ref());
    let oauth = oauth::read(reader);
    let logins = logins::read(reader, &clients);
    let tls = tls::read(reader, &clients.listeners);
    let admin = admin(reader, &clients);
    let passthrough = Passthrough { acl_enabled: reader.flag("passthrough.aclEnabled", false) };
    let state = state(reader);
    let nodes = nodes::read(reader, &state);
    let signing_key = reader.value("tokens.signingKey", |value| match text(value)? {
        key if key.len() < SHORTEST_KEY => {
            Err(format!("must have at least {SHORTEST_KEY} characters; make one with: openssl rand -base64 32"))
        }
        key => Ok(Secret::new(key)),
    });
    let audit = audit::read(reader);
    let tokens = Tokens { signing_key };
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
        nodes,
        tokens,
    })
}

fn admin(reader: &mut Reader, clients: &Clients) -> Admin {
    let bind_host = reader.text("admin.bindHost").unwrap_or_else(|| LOOPBACK.to_owned());
    let port = as_u16(reader.number("admin.port", 8888, 1, u16::MAX.into()));
    if let Some(ports) = clients.listeners.iter().map(Listener::ports).find(|ports| ports.contains(&port)) {
        let place = reader.place("admin.port").to_owned();
        let (start, end) = (ports.start(), ports.end());
        reader.problem(&place, format!("{port} is one of the client ports {start} to {end}"));
    }
    let users = reader.value("admin.users", admin_users).unwrap_or_default();
    if users.is_empty() {
        reader.warning("admin.users is not set: the admin API refuses everybody");
    }
    Admin { bind_host, port, users }
}

const USER_KEYS: [&str; 3] = ["username", "password", "admin"];

fn admin_users(value: &Value) -> Result<Vec<AdminUser>, String> {
    let entries = value.as_sequence().ok_or("must be a list of {username, password}")?;
    let mut users: Vec<AdminUser> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let user = admin_user(entry).map_err(|message| format!("entry {}: {message}", at + 1))?;
        if users.iter().any(|known| known.username == user.username) {
            return Err(format!("user '{}' is there twice", user.username));
        }
        users.push(user);
    }
    Ok(users)
}

fn admin_user(entry: &Value) -> Result<AdminUser, String> {
    let entry = entry.as_mapping().ok_or("must be {username, password}")?;
    for key in entry.keys() {
        let key = text(key)?;
        if !USER_KEYS.contains(&key.as_str()) {
            return Err(match nearest(&key, USER_KEYS.into_iter()) {
                Some(name) => format!("unknown key '{key}'; did you mean '{name}'?"),
                None => format!("unknown key '{key}'; known here are {}", listed(USER_KEYS.into_iter())),
            });
        }
    }
    let field = |name: &str| {
        let value = entry.get(name).ok_or_else(|| format!("{name} is missing"))?;
        text(value).map_err(|message| format!("{name} {message}"))
    };
    let username = field("username")?;
    if username.contains(':') {
        return Err(format!("username '{username}' holds a colon, which HTTP's basic authentication cannot carry"));
    }
    let admin = match entry.get("admin") {
        None => true,
        Some(value) => value.as_bool().ok_or("admin must be true or false")?,
    };
    Ok(AdminUser { username, password: Secret::new(field("password")?), admin })
}

fn state(reader: &mut Reader) -> State {
    let topic = reader.value("state.topic", internal_topic);
    let choices = [("memory", false), ("topic", true)];
    if reader.choice("state.store", &choices).unwrap_or(false) {
        let topic = topic.unwrap_or_else(|| STATE_TOPIC.to_owned());
        State::Topic(topic)
    } else {
        State::Memory
    }
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
