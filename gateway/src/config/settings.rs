//! THE TABLE of settings, and what their values mean.

use std::net::IpAddr;
use std::time::Duration;

use contract::secret::Secret;
use serde_yaml::Value;

use super::addresses::parse_list;
use super::reader::{Reader, listed, nearest, text};
use super::{Admin, AdminUser, Clients, Config, INTERNAL_TOPICS, Limits, SecurityProtocol, State, Tokens, Upstream};

/// One setting: where it stands in the file, and the variable that overrides it.
pub(super) struct Setting {
    pub(super) path: &'static str,
    pub(super) variable: Option<&'static str>,
    /// Whether the variable's text is YAML.
    pub(super) structured: bool,
}

const fn setting(path: &'static str, variable: &'static str) -> Setting {
    Setting { path, variable: Some(variable), structured: false }
}

const fn file_only(path: &'static str) -> Setting {
    Setting { path, variable: None, structured: false }
}

const fn structured(path: &'static str, variable: &'static str) -> Setting {
    Setting { path, variable: Some(variable), structured: true }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("upstream.bootstrapServers", "KAFKA_BOOTSTRAP_SERVERS"),
    setting("upstream.securityProtocol", "KAFKA_SECURITY_PROTOCOL"),
    setting("clients.securityProtocol", "GATEWAY_SECURITY_PROTOCOL"),
    setting("clients.securityMode", "GATEWAY_SECURITY_MODE"),
    setting("clients.routing", "GATEWAY_ROUTING_MECHANISM"),
    setting("clients.bindHost", "GATEWAY_BIND_HOST"),
    setting("clients.advertisedHost", "GATEWAY_ADVERTISED_HOST"),
    setting("clients.portStart", "GATEWAY_PORT_START"),
    setting("clients.portCount", "GATEWAY_PORT_COUNT"),
    setting("clients.minBrokerId", "GATEWAY_MIN_BROKERID"),
    file_only("clients.maxInFlight"),
    file_only("clients.maxFrameBytes"),
    file_only("clients.maxConnections"),
    file_only("clients.loginTimeoutSeconds"),
    file_only("admin.bindHost"),
    setting("admin.port", "GATEWAY_HTTP_PORT"),
    structured("admin.users", "GATEWAY_ADMIN_API_USERS"),
    file_only("state.store"),
    file_only("state.topic"),
    setting("tokens.signingKey", "GATEWAY_USER_POOL_SECRET_KEY"),
];

const STATE_TOPIC: &str = "_anabranch.state";
const LOOPBACK: &str = "127.0.0.1";
/// What Kafka brokers accept too (`socket.request.max.bytes`).
const MAX_FRAME_BYTES: i64 = 100 * 1024 * 1024;
/// A signing key that is shorter can be guessed from one token.
const SHORTEST_SIGNING_KEY: usize = 32;

/// `None` when something without a default is missing; the reader knows what.
pub(super) fn read(reader: &mut Reader) -> Option<Config> {
    let upstream = upstream(reader);
    let clients = clients(reader);
    let admin = admin(reader, &clients);
    let state = state(reader);
    let signing_key = reader.value("tokens.signingKey", |value| match text(value)? {
        key if key.len() < SHORTEST_SIGNING_KEY => {
            Err(format!("must have at least {SHORTEST_SIGNING_KEY} characters; make one with: openssl rand -base64 32"))
        }
        key => Ok(Secret::new(key)),
    });
    Some(Config { upstream: upstream?, clients, admin, state, tokens: Tokens { signing_key } })
}

fn upstream(reader: &mut Reader) -> Option<Upstream> {
    let place = "upstream.bootstrapServers";
    reader.require(place, "is required: the host:port of a Kafka broker (or set KAFKA_BOOTSTRAP_SERVERS)");
    reader.choice("upstream.securityProtocol", &[("PLAINTEXT", ())]);
    let bootstrap_servers = reader.value(place, |value| parse_list(&text(value)?))?;
    Some(Upstream { bootstrap_servers })
}

fn clients(reader: &mut Reader) -> Clients {
    let choices = [("PLAINTEXT", SecurityProtocol::Plaintext), ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext)];
    if !reader.is_given("clients.securityProtocol") {
        reader.warning(
            "clients.securityProtocol is not set: PLAINTEXT, as the upstream; whoever reaches the client ports \
             sees the whole Kafka cluster",
        );
    }
    let security_protocol = reader.choice("clients.securityProtocol", &choices).unwrap_or(choices[0].1);
    reader.choice("clients.securityMode", &[("GATEWAY_MANAGED", ())]);
    reader.choice("clients.routing", &[("port", ())]);
    let bind_host = reader.text("clients.bindHost").unwrap_or_else(|| LOOPBACK.to_owned());
    let advertised_host = reader.text("clients.advertisedHost").unwrap_or_else(|| {
        if bind_host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            let message =
                format!("is required with bindHost {bind_host}: the host by which clients reach this gateway");
            reader.problem("clients.advertisedHost", message);
        }
        bind_host.clone()
    });
    let clients = Clients {
        security_protocol,
        bind_host,
        advertised_host,
        port_start: as_u16(reader.number("clients.portStart", 6969, 1, u16::MAX.into())),
        port_count: as_u16(reader.number("clients.portCount", 10, 1, 10_000)),
        min_broker_id: i32::try_from(reader.number("clients.minBrokerId", 0, 0, i32::MAX.into())).unwrap_or(0),
        limits: Limits {
            max_in_flight: as_usize(reader.number("clients.maxInFlight", 100, 1, 10_000)),
            max_frame_bytes: as_usize(reader.number("clients.maxFrameBytes", MAX_FRAME_BYTES, 1024, i32::MAX.into())),
            max_connections: as_usize(reader.number("clients.maxConnections", 10_000, 1, 1_000_000)),
            login_timeout: Duration::from_secs(
                reader.number("clients.loginTimeoutSeconds", 30, 1, 3600).unsigned_abs(),
            ),
        },
    };
    if u32::from(clients.port_start) + u32::from(clients.port_count) > 65_536 {
        let place = reader.place("clients.portCount").to_owned();
        let (start, count) = (clients.port_start, clients.port_count);
        reader.problem(&place, format!("{count} ports from {start} on do not fit below 65536"));
    }
    clients
}

fn admin(reader: &mut Reader, clients: &Clients) -> Admin {
    let bind_host = reader.text("admin.bindHost").unwrap_or_else(|| LOOPBACK.to_owned());
    let port = as_u16(reader.number("admin.port", 8888, 1, u16::MAX.into()));
    if (clients.port_start..=clients.port_end()).contains(&port) {
        let place = reader.place("admin.port").to_owned();
        let (start, end) = (clients.port_start, clients.port_end());
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
    let topic = reader.value("state.topic", |value| {
        let topic = text(value)?;
        let fits =
            topic.len() <= 249 && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // Such topics are hidden from everybody, and no tenant's prefix begins with an underscore.
        if fits && topic.starts_with(INTERNAL_TOPICS) {
            Ok(topic)
        } else {
            Err(format!("'{topic}' is not a topic's name that begins with '{INTERNAL_TOPICS}'"))
        }
    });
    let choices = [("memory", false), ("topic", true)];
    if reader.choice("state.store", &choices).unwrap_or(false) {
        let topic = topic.unwrap_or_else(|| STATE_TOPIC.to_owned());
        State::Topic(topic)
    } else {
        State::Memory
    }
}

// The reader has checked the ranges.
fn as_u16(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn as_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
