//! Where and how clients connect: the first listener, and those beside it.

use std::net::IpAddr;
use std::time::Duration;

use serde_yaml::Value;

use contract::strict::nearest;

use super::reader::{Reader, listed, text};
use super::settings::{Setting, as_u16, as_usize, file_only, setting, structured};
use super::tls::{CLIENT_AUTH, ClientAuth};
use super::{Clients, HostRouting, Limits, Listener, PortRouting, Routing, SecurityProtocol, Upstream};

pub(super) const SETTINGS: &[Setting] = &[
    setting("clients.securityProtocol", "GATEWAY_SECURITY_PROTOCOL"),
    setting("clients.securityMode", "GATEWAY_SECURITY_MODE"),
    setting("clients.clientAuth", "GATEWAY_SSL_CLIENT_AUTH"),
    file_only("clients.anonymous"),
    setting("clients.routing", "GATEWAY_ROUTING_MECHANISM"),
    setting("clients.bindHost", "GATEWAY_BIND_HOST"),
    setting("clients.advertisedHost", "GATEWAY_ADVERTISED_HOST"),
    setting("clients.advertisedListener", "GATEWAY_ADVERTISED_LISTENER"),
    setting("clients.advertisedPort", "GATEWAY_ADVERTISED_PORT"),
    setting("clients.portStart", "GATEWAY_PORT_START"),
    setting("clients.portCount", "GATEWAY_PORT_COUNT"),
    setting("clients.minBrokerId", "GATEWAY_MIN_BROKERID"),
    structured("clients.listeners", "GATEWAY_LISTENERS"),
    file_only("clients.maxInFlight"),
    file_only("clients.maxFrameBytes"),
    file_only("clients.maxConnections"),
    file_only("clients.loginTimeoutSeconds"),
];

/// What one listener of `clients.listeners` may say; the same keys stand under `clients` for the first one.
const LISTENER_KEYS: [&str; 12] = [
    "name",
    "securityProtocol",
    "clientAuth",
    "anonymous",
    "routing",
    "bindHost",
    "advertisedHost",
    "advertisedListener",
    "advertisedPort",
    "portStart",
    "portCount",
    "minBrokerId",
];

/// What Kafka brokers accept too (`socket.request.max.bytes`).
const MAX_FRAME_BYTES: i64 = 100 * 1024 * 1024;
const LOOPBACK: &str = "127.0.0.1";
/// The name of the listener that `clients` itself describes.
const FIRST: &str = "default";
/// The longest name of a listener: it is a label of metrics.
const LONGEST_NAME: usize = 32;

pub(super) const PROTOCOLS: [(&str, SecurityProtocol); 4] = [
    ("PLAINTEXT", SecurityProtocol::Plaintext),
    ("SSL", SecurityProtocol::Ssl),
    ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext),
    ("SASL_SSL", SecurityProtocol::SaslSsl),
];

/// What a listener may choose: how its connections are protected, and whether Kafka decides about logins.
const CLIENT_PROTOCOLS: [(&str, (SecurityProtocol, bool)); 6] = [
    ("PLAINTEXT", (SecurityProtocol::Plaintext, false)),
    ("SSL", (SecurityProtocol::Ssl, false)),
    ("SASL_PLAINTEXT", (SecurityProtocol::SaslPlaintext, false)),
    ("SASL_SSL", (SecurityProtocol::SaslSsl, false)),
    ("DELEGATED_SASL_PLAINTEXT", (SecurityProtocol::SaslPlaintext, true)),
    ("DELEGATED_SASL_SSL", (SecurityProtocol::SaslSsl, true)),
];

/// What decides about the logins at all listeners.
#[derive(Clone, Copy)]
struct Scene<'a> {
    /// How the gateway connects to Kafka; `None` where that is not known.
    upstream: Option<SecurityProtocol>,
    kafka_managed: bool,
    /// The load balancer before all listeners.
    balancer: Option<&'a str>,
}

pub(super) fn read(reader: &mut Reader, upstream: Option<&Upstream>) -> Clients {
    let modes = [("GATEWAY_MANAGED", false), ("KAFKA_MANAGED", true)];
    let kafka_managed = reader.choice("clients.securityMode", &modes).unwrap_or(false);
    let balancer = reader.text("clients.advertisedListener");
    let upstream = upstream.map(|upstream| upstream.security.protocol());
    let scene = Scene { upstream, kafka_managed, balancer: balancer.as_deref() };
    let mut listeners = vec![listener(reader, FIRST.to_owned(), scene)];
    let more = reader.value("clients.listeners", entries).unwrap_or_default();
    for (at, (name, entry)) in more.into_iter().enumerate() {
        let place = format!("{}[{at}]", reader.place("clients.listeners"));
        listeners.push(reader.within("clients", &place, entry, |reader| listener(reader, name, scene)));
    }
    check_addresses(reader, &listeners);
    if kafka_managed && !listeners.iter().any(|listener| listener.delegated) {
        let place = reader.place("clients.securityMode").to_owned();
        reader.warning(format!(
            "{place} has no effect: nobody logs in by SASL, so there is nothing that Kafka could decide"
        ));
    }
    Clients {
        listeners,
        kafka_managed,
        limits: Limits {
            max_in_flight: as_usize(reader.number("clients.maxInFlight", 100, 1, 10_000)),
            max_frame_bytes: as_usize(reader.number("clients.maxFrameBytes", MAX_FRAME_BYTES, 1024, i32::MAX.into())),
            max_connections: as_usize(reader.number("clients.maxConnections", 10_000, 1, 1_000_000)),
            login_timeout: Duration::from_secs(
                reader.number("clients.loginTimeoutSeconds", 30, 1, 3600).unsigned_abs(),
            ),
        },
    }
}

/// Name and keys of each further listener.
fn entries(value: &Value) -> Result<Vec<(String, serde_yaml::Mapping)>, String> {
    let wanted = "must be a list of listeners, each with a name and a portStart";
    let mut found: Vec<(String, serde_yaml::Mapping)> = Vec::new();
    for (at, entry) in value.as_sequence().ok_or(wanted)?.iter().enumerate() {
        let mut entry = entry.as_mapping().ok_or(wanted)?.clone();
        for key in entry.keys() {
            let key = text(key)?;
            if !LISTENER_KEYS.contains(&key.as_str()) {
                return Err(match nearest(&key, LISTENER_KEYS.into_iter()) {
                    Some(name) => format!("entry {}: unknown key '{key}'; did you mean '{name}'?", at + 1),
                    None => {
                        let known = listed(LISTENER_KEYS.into_iter());
                        format!("entry {}: unknown key '{key}'; known here are {known}", at + 1)
                    }
                });
            }
        }
        let name = entry.remove("name").ok_or_else(|| format!("entry {}: name is missing", at + 1))?;
        let name = text(&name)?;
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !fits || name.len() > LONGEST_NAME {
            return Err(format!(
                "entry {}: '{name}' may hold only {LONGEST_NAME} letters, digits, '_' and '-'",
                at + 1
            ));
        }
        if name == FIRST || found.iter().any(|(known, _)| *known == name) {
            return Err(format!("entry {}: there is a listener '{name}' already", at + 1));
        }
        for key in ["securityProtocol", "portStart"] {
            if !entry.contains_key(key) {
                return Err(format!("entry {} ('{name}'): {key} is missing", at + 1));
            }
        }
        found.push((name, entry));
    }
    Ok(found)
}

/// The protocol that is set, or the one that goes with the upstream's: who logs in to Kafka goes on doing so.
fn protocol(reader: &mut Reader, scene: Scene<'_>) -> (SecurityProtocol, bool) {
    let path = "clients.securityProtocol";
    let upstream = scene.upstream.unwrap_or(SecurityProtocol::Plaintext);
    if !reader.is_given(path) {
        let chosen = (upstream, upstream.is_sasl());
        let name = CLIENT_PROTOCOLS.iter().find(|(_, choice)| *choice == chosen).map_or("", |(name, _)| *name);
        let so = match upstream {
            SecurityProtocol::Plaintext => "; whoever reaches the client ports sees the whole Kafka cluster",
            SecurityProtocol::Ssl => " is SSL; whoever reaches the client ports sees the whole Kafka cluster",
            SecurityProtocol::SaslPlaintext => " is SASL_PLAINTEXT; clients log in with what Kafka knows them by",
            SecurityProtocol::SaslSsl => " is SASL_SSL; clients log in with what Kafka knows them by",
        };
        reader.warning(format!("{path} is not set: {name}, as the upstream{so}"));
        return chosen;
    }
    let chosen = reader.choice(path, &CLIENT_PROTOCOLS).unwrap_or((SecurityProtocol::Plaintext, false));
    let delegated = chosen.1 || scene.kafka_managed && chosen.0.is_sasl();
    if delegated && scene.upstream.is_some_and(|upstream| !upstream.is_sasl()) {
        let place = reader.place(path).to_owned();
        let message = format!(
            "Kafka cannot decide about logins where none are made to it: upstream.securityProtocol is {}; \
             set it to SASL_PLAINTEXT or SASL_SSL, or have the gateway decide (SASL_PLAINTEXT or SASL_SSL with \
             clients.securityMode GATEWAY_MANAGED)",
            upstream.as_str()
        );
        reader.problem(&place, message);
    }
    (chosen.0, delegated)
}

fn listener(reader: &mut Reader, name: String, scene: Scene<'_>) -> Listener {
    let (protocol, delegated) = protocol(reader, scene);
    let bind_host = reader.text("clients.bindHost").unwrap_or_else(|| LOOPBACK.to_owned());
    let own = reader.text("clients.advertisedListener");
    let own = own.or_else(|| reader.text("clients.advertisedHost"));
    // Behind the balancer are all listeners that do not say otherwise.
    let advertised_host = own.or_else(|| scene.balancer.map(str::to_owned));
    let by_host = reader.choice("clients.routing", &[("port", false), ("host", true)]).unwrap_or(false);
    let advertised_host = advertised_host.unwrap_or_else(|| {
        if by_host {
            let message = "is required with routing host: the domain below which brokers get their names";
            reader.problem("clients.advertisedHost", message);
        } else if bind_host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            let message =
                format!("is required with bindHost {bind_host}: the host by which clients reach this gateway");
            reader.problem("clients.advertisedHost", message);
        }
        bind_host.clone()
    });
    let port = as_u16(reader.number("clients.portStart", 6969, 1, u16::MAX.into()));
    let advertised_port = as_u16(reader.number("clients.advertisedPort", port.into(), 1, u16::MAX.into()));
    let routing = if by_host {
        by_server_name(reader, protocol, port, advertised_port)
    } else {
        by_port(reader, port, advertised_port)
    };
    let anonymous = reader.text("clients.anonymous");
    if anonymous.is_some() && protocol.is_sasl() {
        let message = "clients of a SASL protocol log in; leave it out, or choose PLAINTEXT or SSL";
        reader.problem("clients.anonymous", message);
    }
    let client_auth = reader.choice("clients.clientAuth", &CLIENT_AUTH).unwrap_or(ClientAuth::None);
    if client_auth != ClientAuth::None && !protocol.is_tls() {
        let place = reader.place("clients.clientAuth").to_owned();
        reader.warning(format!("{place} has no effect: without TLS no client shows a certificate"));
    }
    Listener { name, protocol, delegated, client_auth, bind_host, advertised_host, anonymous, routing }
}

fn by_server_name(reader: &mut Reader, protocol: SecurityProtocol, port: u16, advertised_port: u16) -> Routing {
    if !protocol.is_tls() {
        let message = "host needs TLS, by which clients say the host that they want: choose SSL or SASL_SSL";
        reader.problem("clients.routing", message);
    }
    for path in ["clients.portCount", "clients.minBrokerId"] {
        if reader.is_given(path) {
            let place = reader.place(path).to_owned();
            reader.warning(format!("{place} has no effect: with routing host all brokers are at one port"));
        }
    }
    Routing::Host(HostRouting { port, advertised_port })
}

fn by_port(reader: &mut Reader, start: u16, advertised_start: u16) -> Routing {
    let count = as_u16(reader.number("clients.portCount", 10, 1, 10_000));
    for first in [start, advertised_start] {
        if u32::from(first) + u32::from(count) > 65_536 {
            let place = reader.place("clients.portCount").to_owned();
            reader.problem(&place, format!("{count} ports from {first} on do not fit below 65536"));
            break;
        }
    }
    let min_broker_id = i32::try_from(reader.number("clients.minBrokerId", 0, 0, i32::MAX.into())).unwrap_or(0);
    Routing::Port(PortRouting { start, count, advertised_start, min_broker_id })
}

/// Two listeners at one port would be a problem of the second to start.
fn check_addresses(reader: &mut Reader, listeners: &[Listener]) {
    for (at, later) in listeners.iter().enumerate() {
        for earlier in &listeners[..at] {
            let (a, b) = (earlier.ports(), later.ports());
            if a.start() <= b.end() && b.start() <= a.end() {
                let place = reader.place("clients.listeners").to_owned();
                let (first, last) = (b.start(), b.end());
                let message = format!(
                    "the ports {first} to {last} of '{}' overlap those of '{}' ({} to {})",
                    later.name,
                    earlier.name,
                    a.start(),
                    a.end()
                );
                reader.problem(&place, message);
            }
        }
    }
}
