//! The admin API: where it listens, by TLS or in the clear, and who may use it.

use contract::secret::Secret;
use contract::strict::nearest;
use serde_yaml::{Mapping, Value};

use super::reader::{Reader, listed, text};
use super::settings::{Setting, as_u16, file_only, setting, structured};
use super::tls::{self, ClientAuth, Material, Store, StoreKind, Tls};
use super::{Clients, Listener};

pub(super) const SETTINGS: &[Setting] = &[
    file_only("admin.bindHost"),
    setting("admin.port", "GATEWAY_HTTP_PORT"),
    structured("admin.users", "GATEWAY_ADMIN_API_USERS"),
    setting("admin.tls.keyStore.path", "GATEWAY_HTTPS_KEY_STORE_PATH"),
    file_only("admin.tls.keyStore.keyPath"),
    setting("admin.tls.keyStore.type", "GATEWAY_HTTPS_KEY_STORE_TYPE"),
    setting("admin.tls.keyStore.password", "GATEWAY_HTTPS_KEY_STORE_PASSWORD"),
    setting("admin.tls.clientAuth", "GATEWAY_HTTPS_CLIENT_AUTH"),
    setting("admin.tls.trustStore.path", "GATEWAY_HTTPS_TRUST_STORE_PATH"),
    setting("admin.tls.trustStore.type", "GATEWAY_HTTPS_TRUST_STORE_TYPE"),
    setting("admin.tls.trustStore.password", "GATEWAY_HTTPS_TRUST_STORE_PASSWORD"),
];

/// The admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub bind_host: String,
    pub port: u16,
    pub users: Vec<AdminUser>,
    /// `None` is HTTP in the clear.
    pub tls: Option<AdminTls>,
}

/// What the admin API offers by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    pub settings: Tls,
    /// A certificate lets nobody in by itself: it comes on top of name and password.
    pub client_auth: ClientAuth,
}

/// Who may use the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUser {
    pub username: String,
    /// For basic authentication.
    pub password: Option<Secret>,
    /// For bearer authentication (RFC 6750); one of the two is there.
    pub token: Option<Secret>,
    pub role: AdminRole,
}

/// What a user of the admin API may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminRole {
    /// Everything.
    Admin,
    /// Read everything but secrets.
    Operator,
    /// What concerns this virtual cluster, and no other.
    Tenant(String),
}

/// Everybody who knows a shorter one may as well have guessed it.
const SHORTEST_TOKEN: usize = 32;
const USER_KEYS: [&str; 6] = ["username", "password", "token", "admin", "role", "vCluster"];

pub(super) fn read(reader: &mut Reader, clients: &Clients, listeners: &Tls) -> Admin {
    let bind_host = reader.text("admin.bindHost").unwrap_or_else(|| super::settings::LOOPBACK.to_owned());
    let port = as_u16(reader.number("admin.port", 8888, 1, u16::MAX.into()));
    if let Some(ports) = clients.listeners.iter().map(Listener::ports).find(|ports| ports.contains(&port)) {
        let place = reader.place("admin.port").to_owned();
        let (start, end) = (ports.start(), ports.end());
        reader.problem(&place, format!("{port} is one of the client ports {start} to {end}"));
    }
    let users = reader.value("admin.users", users).unwrap_or_default();
    if users.is_empty() {
        reader.warning("admin.users is not set: the admin API refuses everybody");
    }
    Admin { bind_host, port, users, tls: tls_of(reader, listeners) }
}

fn tls_of(reader: &mut Reader, listeners: &Tls) -> Option<AdminTls> {
    let kind = reader.choice("admin.tls.keyStore.type", &StoreKind::WORDS);
    let key = reader.text("admin.tls.keyStore.keyPath").map(|path| Material::File(path.into()));
    let password = reader.text("admin.tls.keyStore.password").map(Secret::new);
    let trust_kind = reader.choice("admin.tls.trustStore.type", &StoreKind::WORDS);
    let trust_password = reader.text("admin.tls.trustStore.password").map(Secret::new);
    let trust = reader.text("admin.tls.trustStore.path").map(|path| Store {
        kind: trust_kind,
        password: trust_password,
        ..Store::of(Material::File(path.into()))
    });
    let client_auth = reader.choice("admin.tls.clientAuth", &tls::CLIENT_AUTH).unwrap_or(ClientAuth::None);
    if client_auth != ClientAuth::None {
        let message = "is required: the admin API asks for clients' certificates, and these sign them";
        reader.require("admin.tls.trustStore.path", message);
        reader.require("admin.tls.keyStore.path", "is required: only over TLS clients can show certificates");
    }
    let path = reader.text("admin.tls.keyStore.path")?;
    let identity = Store { key, kind, password, ..Store::of(Material::File(path.into())) };
    // Its stores are its own; the rest is said once for the whole gateway.
    let settings = Tls { identities: vec![identity], trust, revocations: Vec::new(), ..listeners.clone() };
    Some(AdminTls { settings, client_auth })
}

fn users(value: &Value) -> Result<Vec<AdminUser>, String> {
    let entries = value.as_sequence().ok_or("must be a list of {username, password}")?;
    let mut users: Vec<AdminUser> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let user = user(entry).map_err(|message| format!("entry {}: {message}", at + 1))?;
        if users.iter().any(|known| known.username == user.username) {
            return Err(format!("user '{}' is there twice", user.username));
        }
        users.push(user);
    }
    Ok(users)
}

fn user(entry: &Value) -> Result<AdminUser, String> {
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
        let value = entry.get(name).map(text).transpose();
        value.map_err(|message| format!("{name} {message}"))
    };
    let username = field("username")?.ok_or("username is missing")?;
    if username.contains(':') {
        return Err(format!("username '{username}' holds a colon, which HTTP's basic authentication cannot carry"));
    }
    let (password, token) = (field("password")?.map(Secret::new), field("token")?);
    if token.as_ref().is_some_and(|token| token.len() < SHORTEST_TOKEN || !token.bytes().all(|c| c.is_ascii_graphic()))
    {
        return Err(format!(
            "token must have at least {SHORTEST_TOKEN} letters, digits or signs; make one with: openssl rand -base64 32"
        ));
    }
    let token = token.map(Secret::new);
    if password.is_none() && token.is_none() {
        return Err("password is missing".to_owned());
    }
    Ok(AdminUser { username, password, token, role: role(entry, field("role")?, field("vCluster")?)? })
}

/// By `role`, or by the older `admin: true`; without either an admin.
fn role(entry: &Mapping, role: Option<String>, virtual_cluster: Option<String>) -> Result<AdminRole, String> {
    let admin = entry.get("admin").map(|admin| admin.as_bool().ok_or("admin must be true or false")).transpose()?;
    if role.is_some() && admin.is_some() {
        return Err("admin and role say the same: keep role".to_owned());
    }
    let role = role.unwrap_or_else(|| if admin.unwrap_or(true) { "admin" } else { "operator" }.to_owned());
    match (role.as_str(), virtual_cluster) {
        ("tenant", Some(name)) => Ok(AdminRole::Tenant(name)),
        ("tenant", None) => Err("vCluster is missing: a tenant sees and changes that one only".to_owned()),
        ("admin" | "operator", Some(_)) => Err(format!("vCluster has no meaning for the role '{role}'")),
        ("admin", None) => Ok(AdminRole::Admin),
        ("operator", None) => Ok(AdminRole::Operator),
        _ => Err("role must be admin, operator or tenant".to_owned()),
    }
}
