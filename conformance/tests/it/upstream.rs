//! The gateway in front of a Kafka that wants to be connected to by TLS and SASL: every protocol and mechanism, wrong
//! passwords, logins that expire. Clients are anonymous here; what is looked at is the gateway's own side.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use conformance::drivers::Connection;
use conformance::gateways::free_ports;
use serde_json::{Value, json};

use super::needs;
use super::secure_kafka::{At, SecureKafka, certificates};
use super::stand::{self, records, start, values};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a login counts at the broker.
pub(crate) const LIFETIME: (&str, &str) = ("connections.max.reauth.ms", "3000");
pub(crate) const PASSWORD: &str = "gateway-secret";

/// A gateway as a process of its own, ended when it is dropped.
pub(crate) struct Gateway {
    process: Child,
    folder: PathBuf,
    pub(crate) clients: String,
    admin: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Gateway {
    fn start(broker: &str, protocol: &str, properties: &[(&str, String)]) -> Self {
        Self::serving(broker, protocol, properties, json!({ "securityProtocol": "PLAINTEXT" }))
    }

    /// With settings of its own for the side of the clients.
    pub(crate) fn serving(broker: &str, protocol: &str, properties: &[(&str, String)], clients: Value) -> Self {
        let mut program = Command::new(needs::sandbox_program());
        Self::by(program.arg("gateway").env_clear(), broker, protocol, properties, clients)
    }

    /// By a program that takes `--config FILE` after the arguments that it has.
    pub(crate) fn by(
        program: &mut Command,
        broker: &str,
        protocol: &str,
        properties: &[(&str, String)],
        mut clients: Value,
    ) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("upstream-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (port, admin) = (free_ports(1).unwrap(), free_ports(1).unwrap());
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        for (name, value) in [("portStart", json!(port)), ("portCount", json!(1)), ("minBrokerId", json!(1))] {
            clients[name] = value;
        }
        // JSON is YAML.
        let settings = json!({
            "upstream": {
                "bootstrapServers": broker,
                "securityProtocol": protocol,
                "properties": properties.collect::<serde_json::Map<_, _>>(),
            },
            "clients": clients,
            "admin": { "port": admin, "users": [{ "username": "admin", "password": "admin-secret" }] },
        });
        let file = folder.join("gateway.yaml");
        fs::write(&file, settings.to_string()).unwrap();
        let process = program
            .arg("--config")
            .arg(file)
            .env("RUST_LOG", "debug")
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("the gateway starts");
        Self { process, folder, clients: format!("127.0.0.1:{port}"), admin: format!("127.0.0.1:{admin}") }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// What the admin API answers to GET, as text; empty as long as it does not answer.
    pub(crate) fn get(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.admin) else { return String::new() };
        let login = STANDARD.encode("admin:admin-secret");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub(crate) fn waits_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let health = self.get("/health");
            if holds(&health) {
                return health;
            }
            assert!(began.elapsed() < PATIENCE, "{what} does not come:\n{health}\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn is_ready(&self) {
        let _ = self.waits_until("a ready gateway", |health| health.starts_with("HTTP/1.1 200"));
    }

    /// The sum of a counter over all its labels, or with those that are named.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let family = name.split('{').next().unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {family} ")), "no {name} among the metrics");
        let of_name =
            text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with([' ', '{']));
        of_name.map(|rest| rest.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }
}

fn jaas(module: &str, options: &[(&str, &str)]) -> String {
    let options: String = options.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect();
    format!("org.apache.kafka.common.security.{module} required{options};")
}

pub(crate) fn password(mechanism: &str, password: &str) -> Vec<(&'static str, String)> {
    let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
    let jaas = jaas(module, &[("username", "gateway"), ("password", password)]);
    vec![("sasl.mechanism", mechanism.to_owned()), ("sasl.jaas.config", jaas)]
}

fn store(of: &str, name: &str, kind: &str) -> Vec<(&'static str, String)> {
    let [location, password, word] = match of {
        "truststore" => ["ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.type"],
        _ => ["ssl.keystore.location", "ssl.keystore.password", "ssl.keystore.type"],
    };
    let path = certificates().join(name).display().to_string();
    let mut store = vec![(location, path), (word, kind.to_owned())];
    if kind != "PEM" {
        store.push((password, "changeit".to_owned()));
    }
    store
}

/// A provider's token endpoint that knows one client, and gives tokens of `seconds`.
fn token_endpoint(seconds: u64) -> (String, Arc<AtomicUsize>) {
    let key = fs::read_to_string(certificates().join("token.key")).unwrap();
    let der: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(der).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    drop(thread::spawn(move || {
        let login = format!("Basic {}", STANDARD.encode(format!("gateway:{PASSWORD}")));
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut request, mut chunk) = (String::new(), [0; 4096]);
            while !request.contains("grant_type=client_credentials") {
                let read = stream.read(&mut chunk).unwrap();
                assert!(read > 0, "not the grant: {request}");
                request.push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
            let _ = counter.fetch_add(1, Ordering::SeqCst);
            let (status, body) = match request.contains(&login) {
                true => ("200 OK", json!({ "access_token": token(&key, seconds), "token_type": "Bearer" })),
                false => ("401 Unauthorized", json!({ "error": "invalid_client" })),
            };
            let (body, length) = (body.to_string(), body.to_string().len());
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        }
    }));
    (url, asked)
}

fn token(key: &RsaKeyPair, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "https://provider.test", "aud": "kafka", "sub": "gateway", "scope": "kafka", "iat": now, "exp": now + seconds,
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({ "alg": "RS256", "kid": "fixture" })), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn oauth(endpoint: &str, secret: &str) -> Vec<(&'static str, String)> {
    let options = [("clientId", "gateway"), ("clientSecret", secret), ("scope", "kafka")];
    let jaas = jaas("oauthbearer.OAuthBearerLoginModule", &options);
    vec![
        ("sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("sasl.oauthbearer.token.endpoint.url", endpoint.to_owned()),
        ("sasl.jaas.config", jaas),
    ]
}

fn protocol(at: At) -> &'static str {
    match at {
        At::Plaintext => "PLAINTEXT",
        At::Sasl | At::OAuth => "SASL_PLAINTEXT",
        At::Ssl | At::Mtls => "SSL",
        At::SaslSsl => "SASL_SSL",
    }
}

/// A topic is made, written to and read through the gateway.
pub(crate) fn records_go_through(client: &str, gateway: &Gateway, topic: &str) {
    gateway.is_ready();
    let connection = Connection::plain(&gateway.clients);
    if client == "kcat" {
        start("go", &connection).does("create_topic", json!({ "topic": topic }));
    }
    let mut client = start(client, &connection);
    if client.can("create_topic") {
        let _ = client.does("create_topic", json!({ "topic": topic }));
    }
    let _ = client.does("produce", json!({ "topic": topic, "records": records("r", 3) }));
    assert_eq!(client.consumes(topic, &format!("{topic}-readers"), 3), values("r", 3));
    stand::log_is_calm(&gateway.log(), &["audit.sinks is not set", "clients.", "ssl.endpoint"]);
    assert!(!gateway.log().contains(PASSWORD), "{topic}: a password in the log");
}

#[test]
fn records_go_through_by_every_protocol_and_mechanism() {
    if !needs::met("records_go_through_by_every_protocol_and_mechanism", &["go", "kcat", "java"]) {
        return;
    }
    let kafka = SecureKafka::start(&[LIFETIME]);
    let (endpoint, _) = token_endpoint(30);
    let trust = |name, kind| store("truststore", name, kind);
    let key = |name, kind| store("keystore", name, kind);
    let no_names = vec![("ssl.endpoint.identification.algorithm", String::new())];
    let cases = [
        ("go", At::Plaintext, vec![]),
        ("go", At::Sasl, password("PLAIN", PASSWORD)),
        ("kcat", At::Sasl, password("SCRAM-SHA-256", PASSWORD)),
        ("go", At::Sasl, password("SCRAM-SHA-512", PASSWORD)),
        ("go", At::OAuth, oauth(&endpoint, PASSWORD)),
        ("go", At::Ssl, trust("ca.pem", "PEM")),
        ("kcat", At::Ssl, trust("truststore.jks", "JKS")),
        ("go", At::Ssl, [trust("truststore.p12", "PKCS12"), no_names].concat()),
        ("go", At::Mtls, [trust("ca.pem", "PEM"), key("alice.pem", "PEM")].concat()),
        ("go", At::Mtls, [trust("truststore.p12", "PKCS12"), key("alice.p12", "PKCS12")].concat()),
        ("java", At::Mtls, [trust("truststore.jks", "JKS"), key("alice.jks", "JKS")].concat()),
        ("go", At::SaslSsl, [trust("ca.pem", "PEM"), password("PLAIN", PASSWORD)].concat()),
        ("kcat", At::SaslSsl, [trust("ca.pem", "PEM"), password("SCRAM-SHA-256", PASSWORD)].concat()),
        ("java", At::SaslSsl, [trust("ca.pem", "PEM"), password("SCRAM-SHA-512", PASSWORD)].concat()),
    ];
    for (number, (client, at, properties)) in cases.into_iter().enumerate() {
        let gateway = Gateway::start(&kafka.address(at), protocol(at), &properties);
        records_go_through(client, &gateway, &format!("way-{number}"));
    }
}

/// The broker refuses or is refused: health says so in words that help, the log says it once, and clients are not kept waiting.
#[test]
fn what_is_wrong_upstream_is_said_once_and_clients_do_not_hang() {
    if !needs::met("what_is_wrong_upstream_is_said_once_and_clients_do_not_hang", &[]) {
        return;
    }
    let kafka = SecureKafka::start(&[]);
    let (endpoint, asked) = token_endpoint(30);
    let trust = || store("truststore", "ca.pem", "PEM");
    let stranger = store("keystore", "stranger.pem", "PEM");
    let cases = [
        (At::Sasl, "SASL_PLAINTEXT", password("PLAIN", "wr0ng"), "login as 'gateway' by PLAIN: refused: "),
        (At::Sasl, "SASL_PLAINTEXT", password("SCRAM-SHA-512", "wr0ng"), "by SCRAM-SHA-512: refused: "),
        (At::OAuth, "SASL_PLAINTEXT", oauth(&endpoint, "wr0ng"), "answered 401, invalid_client (check clientId"),
        (At::OAuth, "SASL_PLAINTEXT", password("PLAIN", "wr0ng"), "the broker serves OAUTHBEARER and not this"),
        (At::Sasl, "PLAINTEXT", vec![], "closed the connection on the first request"),
        (At::SaslSsl, "SASL_PLAINTEXT", password("PLAIN", "wr0ng"), "KAFKA_SECURITY_PROTOCOL"),
        (At::Plaintext, "SSL", trust(), "may not speak TLS"),
        (At::Ssl, "SSL", store("truststore", "stranger-ca.pem", "PEM"), "into ssl.truststore.location"),
        (At::Mtls, "SSL", trust(), "wants a client certificate that it trusts"),
        (At::Mtls, "SSL", [trust(), stranger].concat(), "wants a client certificate that it trusts"),
    ];
    for (at, protocol, properties, expected) in cases {
        let gateway = Gateway::start(&kafka.address(at), protocol, &properties);
        let _ = gateway.waits_until(expected, |health| health.contains(expected));
        for _ in 0..20 {
            let began = Instant::now();
            let mut client = TcpStream::connect(&gateway.clients).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            // ApiVersions, version 0: what is served depends on the broker.
            client.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff]).unwrap();
            let left = client.read(&mut [0; 1]);
            assert!(matches!(left, Ok(0) | Err(_)), "{expected}: the client is answered");
            assert!(began.elapsed() < Duration::from_secs(5), "{expected}: the client waits");
        }
        let log = gateway.log();
        assert_eq!(log.matches("Kafka is not reachable").count(), 1, "{log}");
        assert!(!log.contains("wr0ng"), "{log}");
    }
    assert!(asked.load(Ordering::SeqCst) < 10, "the token endpoint is not stormed");
}

/// Clients stay for several lifetimes of the gateway's login, and none of their requests fails (KIP-368).
#[test]
fn logins_are_renewed_under_load() {
    if !needs::met("logins_are_renewed_under_load", &["python"]) {
        return;
    }
    let kafka = SecureKafka::start(&[LIFETIME]);
    let (endpoint, asked) = token_endpoint(6);
    let ways = [
        (At::Sasl, password("PLAIN", PASSWORD)),
        (At::SaslSsl, [store("truststore", "ca.pem", "PEM"), password("SCRAM-SHA-256", PASSWORD)].concat()),
        (At::OAuth, oauth(&endpoint, PASSWORD)),
    ];
    for (number, (at, properties)) in ways.into_iter().enumerate() {
        let gateway = Gateway::start(&kafka.address(at), protocol(at), &properties);
        load_goes_on_while_logins_are_renewed(&gateway, &format!("long-{number}"));
    }
    assert!(asked.load(Ordering::SeqCst) >= 2, "a token of six seconds is renewed within ten");
}

/// Ten seconds of it, on a broker with [`LIFETIME`].
pub(crate) fn load_goes_on_while_logins_are_renewed(gateway: &Gateway, topic: &str) {
    gateway.is_ready();
    works_for_ten_seconds("python", &Connection::plain(&gateway.clients), topic);
    assert!(gateway.counter("gateway_upstream_login_renewals_total") >= 3, "{}", gateway.log());
    assert_eq!(gateway.counter("gateway_upstream_connection_failures_total"), 0);
    stand::log_is_calm(&gateway.log(), &["audit.sinks is not set", "clients."]);
}

/// A client produces all that time to a topic that it makes: no record fails, and each is there once.
pub(crate) fn works_for_ten_seconds(client: &str, connection: &Connection, topic: &str) {
    let mut client = start(client, connection);
    let _ = client.does("create_topic", json!({ "topic": topic }));
    let _ = client.does("load_start", json!({ "topic": topic, "name": "v", "per_second": 300 }));
    thread::sleep(Duration::from_secs(10));
    let result = client.does("load_stop", json!({}));
    let sent = result["values"].as_array().unwrap().len();
    assert_eq!(result["failed"].as_array().map_or(0, Vec::len), 0, "{result}");
    assert!(sent > 1_000, "{sent} records in ten seconds");
    let with = json!({ "topic": topic, "group": format!("{topic}-all"), "count": sent, "linger_ms": 5000 });
    assert_eq!(client.consumes_with(with).len(), sent, "each once");
}
