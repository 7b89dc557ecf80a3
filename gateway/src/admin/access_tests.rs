//! Who gets in, by what, and to what.

use std::io::{Read as _, Write as _};

use contract::resources::{GatewayServiceAccount, TokenRequest, VirtualCluster};
use contract::secret::Secret;
use serde_json::{Value, json};

use super::tests::{Gateway, user, users};
use super::*;
use crate::config::tls::{ClientAuth, Store};

/// A request and its answer: the status, the headers in small letters, and the body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn msg(&self) -> String {
        self.json()["msg"].as_str().unwrap_or_default().to_owned()
    }
}

pub(super) fn basic(name: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::prelude::BASE64_STANDARD.encode(format!("{name}:secret"));
    format!("authorization: Basic {encoded}")
}

/// Sends a request as it stands.
pub(super) fn send(gateway: &Gateway, headers: &[&str], method: &str, path: &str, body: &str) -> Answer {
    let host = gateway.address.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    // A server that has read enough closes while the rest is on its way.
    let _ = write!(stream, "{head}{headers}\r\n{body}");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let (line, headers) = head.split_once("\r\n").unwrap();
    Answer {
        status: line.split(' ').nth(1).unwrap().parse().unwrap(),
        head: headers.to_lowercase(),
        body: body.to_owned(),
    }
}

pub(super) fn ask(gateway: &Gateway, who: &str, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(gateway, &[&basic(who)], method, path, &body)
}

fn cluster(name: &str, spec: Value) -> Value {
    json!({ "kind": "VirtualCluster", "apiVersion": "gateway/v2", "metadata": { "name": name }, "spec": spec })
}

fn account(name: &str, cluster: &str, spec: Value) -> Value {
    let metadata = json!({ "name": name, "vCluster": cluster });
    json!({ "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2", "metadata": metadata, "spec": spec })
}

/// Two tenants; `shop-team` is a user of one of them.
fn with_tenants() -> Gateway {
    let gateway = Gateway::start();
    let client = gateway.client();
    for name in ["shop", "rival"] {
        client.put_virtual_cluster(&VirtualCluster::new(name), false).unwrap();
        let owner = GatewayServiceAccount::local(format!("{name}-app"), name, Some(Secret::new("pencil")));
        client.put_service_account(&owner, false).unwrap();
    }
    for (name, cluster, physical) in [("prices", "shop", "rival.prices"), ("own", "shop", "shop.orders")] {
        let metadata = json!({ "name": name, "vCluster": cluster });
        let alias = json!({ "kind": "AliasTopic", "apiVersion": "gateway/v2", "metadata": metadata,
            "spec": { "physicalName": physical } });
        let answer = ask(&gateway, "root", "PUT", "/gateway/v2/alias-topic", &alias);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    gateway
}

const CLUSTERS: &str = "/gateway/v2/virtual-cluster";
const ACCOUNTS: &str = "/gateway/v2/service-account";

#[test]
fn a_tenant_sees_its_own_and_nothing_of_others() {
    let gateway = with_tenants();
    for path in [
        CLUSTERS,
        ACCOUNTS,
        "/gateway/v2/alias-topic",
        "/gateway/v2/group",
        "/anabranch/v1/quota",
        "/anabranch/v1/export",
        "/anabranch/v1/export?format=yaml",
        "/gateway/v2/docs",
    ] {
        let answer = ask(&gateway, "shop-team", "GET", path, &Value::Null);
        assert!(answer.status == 200 && !answer.body.contains("rival"), "{path}: {}", answer.body);
        assert_eq!(ask(&gateway, "reader", "GET", path, &Value::Null).status, 200, "{path}");
    }
    let names = ask(&gateway, "shop-team", "GET", CLUSTERS, &Value::Null).json();
    assert_eq!(names.as_array().unwrap().iter().map(|one| &one["metadata"]["name"]).collect::<Vec<_>>(), ["shop"]);
    // What is somebody else's looks like what is nobody's.
    let of = |name: &str| ask(&gateway, "shop-team", "GET", &format!("{CLUSTERS}/{name}"), &Value::Null);
    let (theirs, nobodys) = (of("rival"), of("ghost"));
    assert_eq!((theirs.status, theirs.body.replace("rival", "ghost")), (404, nobodys.body));
    for path in ["/metrics", "/anabranch/v1/upstream-cluster", "/anabranch/v1/identity-provider"] {
        assert_eq!(ask(&gateway, "shop-team", "GET", path, &Value::Null).status, 403, "{path}");
        assert_eq!(ask(&gateway, "reader", "GET", path, &Value::Null).status, 200, "{path}");
    }
}

#[test]
fn a_tenant_changes_its_accounts_and_rights_and_nothing_else() {
    let gateway = with_tenants();
    let asks = |method: &str, path: &str, body: Value| {
        let answer = ask(&gateway, "shop-team", method, path, &body);
        (answer.status, answer.body)
    };
    let local = json!({ "type": "LOCAL", "password": "pencil" });
    assert_eq!(asks("PUT", ACCOUNTS, account("new", "shop", local.clone())).0, 200);
    assert_eq!(asks("PUT", CLUSTERS, cluster("shop", json!({ "superUsers": ["new"] }))).0, 200);
    let token = |cluster: &str, name: &str| json!({ "vCluster": cluster, "username": name, "lifeTimeSeconds": 60 });
    assert_eq!(asks("POST", "/gateway/v2/token", token("shop", "new")).0, 200);
    assert_eq!(asks("DELETE", ACCOUNTS, json!({ "name": "new", "vCluster": "shop" })).0, 204);
    let external = json!({ "type": "EXTERNAL", "externalNames": ["CN=boss"] });
    let quota = json!({ "kind": "Quota", "apiVersion": "anabranch/v1", "spec": {},
        "metadata": { "name": "mine", "vCluster": "shop" } });
    let alias = json!({ "kind": "AliasTopic", "apiVersion": "gateway/v2", "metadata": { "name": "mine", "vCluster": "shop" },
        "spec": { "physicalName": "shop.orders" } });
    for (method, path, body) in [
        ("PUT", ACCOUNTS, account("new", "rival", local.clone())),
        ("PUT", ACCOUNTS, account("boss", "shop", external)),
        ("DELETE", ACCOUNTS, json!({ "name": "rival-app", "vCluster": "rival" })),
        ("DELETE", ACCOUNTS, json!({ "name": "ghost", "vCluster": "rival" })),
        ("POST", "/gateway/v2/token", token("rival", "rival-app")),
        ("PUT", CLUSTERS, cluster("rival", json!({}))),
        ("PUT", CLUSTERS, cluster("mine", json!({}))),
        ("PUT", CLUSTERS, cluster("shop", json!({ "superUsers": ["new"], "type": "Partner" }))),
        ("PUT", CLUSTERS, cluster("shop", json!({ "namespace": { "expose": [{ "topic": "rival.prices" }] } }))),
        ("DELETE", &format!("{CLUSTERS}/shop"), Value::Null),
        ("PUT", "/gateway/v2/alias-topic", alias),
        ("DELETE", "/gateway/v2/alias-topic", json!({ "name": "own", "vCluster": "shop" })),
        ("PUT", "/anabranch/v1/quota", quota.clone()),
        ("POST", "/anabranch/v1/apply", json!([quota])),
        (
            "POST",
            "/anabranch/v1/apply",
            json!([account("new", "shop", local.clone()), account("new", "rival", local.clone())]),
        ),
    ] {
        for path in [path.to_owned(), format!("{path}?dryMode=true")] {
            if path.starts_with("/gateway/v2/token?") {
                continue;
            }
            let (status, answer) = asks(method, &path, body.clone());
            assert_eq!(status, 403, "{method} {path} {body}: {answer}");
        }
    }
    assert!(gateway.client().get_service_account("new", Some("shop")).unwrap().is_none(), "all or nothing");
    // User names are one for all virtual clusters: that a name is taken shows, whose it is does not.
    let (status, answer) = asks("PUT", ACCOUNTS, account("rival-app", "shop", local));
    assert!(status == 409 && !answer.contains("'rival'") && !answer.contains("virtual cluster"), "{answer}");
}

#[test]
fn operators_read_and_see_no_secrets() {
    let gateway = Gateway::start();
    gateway.client().put_virtual_cluster(&VirtualCluster::new("shop"), false).unwrap();
    let declared = account("till", "shop", json!({ "type": "LOCAL", "password": "hunter2" }));
    let put = ask(&gateway, "root", "PUT", ACCOUNTS, &declared);
    assert!(put.status == 200 && !put.body.contains("hunter2"), "{}", put.body);
    for who in ["root", "reader"] {
        for path in [ACCOUNTS, "/anabranch/v1/export"] {
            let shown = ask(&gateway, who, "GET", path, &Value::Null);
            let names = ["hunter2", "salt", "password"];
            assert!(shown.status == 200 && names.iter().all(|name| !shown.body.contains(name)), "{}", shown.body);
            assert!(shown.body.contains("\"till\""), "{}", shown.body);
        }
    }
    assert_eq!(ask(&gateway, "reader", "PUT", ACCOUNTS, &declared).status, 403);
    let named = json!({ "name": "till", "vCluster": "shop" });
    assert_eq!(ask(&gateway, "reader", "DELETE", ACCOUNTS, &named).status, 403);
    let token = json!({ "username": "app", "lifeTimeSeconds": 60 });
    assert_eq!(ask(&gateway, "reader", "POST", "/gateway/v2/token", &token).status, 403);
}

#[test]
fn a_bearer_token_is_a_users_or_a_super_users() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let mut robot = user("robot", AdminRole::Operator);
    (robot.password, robot.token) = (None, Some(Secret::new(TOKEN)));
    let gateway = Gateway::start_by(users().into_iter().chain([robot]).collect(), false, None);
    let with = |token: &str, method: &str, path: &str| {
        send(&gateway, &[&format!("authorization: Bearer {token}")], method, path, "").status
    };
    assert_eq!(with(TOKEN, "GET", CLUSTERS), 200);
    assert_eq!(with(TOKEN, "DELETE", &format!("{CLUSTERS}/x")), 403);
    for wrong in ["", "0123456789abcdef0123456789abcdeg", "secret", "root:secret"] {
        assert_eq!(with(wrong, "GET", CLUSTERS), 401, "{wrong}");
    }
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("robot:{TOKEN}"));
    let answer = send(&gateway, &[&format!("authorization: Basic {basic}")], "GET", CLUSTERS, "");
    assert_eq!(answer.status, 401, "a token is no password");

    let client = gateway.client();
    let mut shop = VirtualCluster::new("shop");
    client.put_virtual_cluster(&shop, false).unwrap();
    client.put_service_account(&GatewayServiceAccount::local("app", "shop", None), false).unwrap();
    let request = TokenRequest { v_cluster: Some("shop".into()), username: "app".into(), life_time_seconds: 60 };
    let token = client.token(&request).unwrap().token;
    assert_eq!(with(token.reveal(), "GET", CLUSTERS), 401, "an account is no user of the admin API");
    shop.spec.super_users = Some(vec!["app".into()]);
    client.put_virtual_cluster(&shop, false).unwrap();
    assert_eq!(with(token.reveal(), "GET", CLUSTERS), 200);
    assert_eq!(with(token.reveal(), "GET", "/metrics"), 403);
    shop.spec.super_users = None;
    client.put_virtual_cluster(&shop, false).unwrap();
    assert_eq!(with(token.reveal(), "GET", CLUSTERS), 401);
}

/// What `gateway certs init` makes.
fn server_tls(folder: &std::path::Path) -> Arc<ServerTls> {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = folder.join("admin.pem");
    std::fs::write(&path, key.cert.pem() + &key.signing_key.serialize_pem()).unwrap();
    let config = crate::config::Config::parse("upstream: {bootstrapServers: 'k:1'}", []).unwrap().config;
    let settings = crate::config::tls::Tls { identities: vec![Store::file(&path)], ..config.tls };
    Arc::new(ServerTls::load(&settings, ClientAuth::None).unwrap())
}

#[test]
fn over_tls_the_same_is_served_and_who_does_not_shake_hands_holds_up_nobody() {
    let folder = std::env::temp_dir().join(format!("admin-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let gateway = Gateway::start_by(users(), false, Some(server_tls(&folder)));
    let host = gateway.address.trim_start_matches("http://").to_owned();
    // More than may shake hands at once say nothing for now.
    let silent = (0..20).map(|_| std::net::TcpStream::connect(&host).unwrap()).collect::<Vec<_>>();
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(folder.join("admin.pem")).unwrap();
    let certificate =
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem);
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let mut tls = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut socket = std::net::TcpStream::connect(&host).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    write!(stream, "GET {CLUSTERS} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{}\r\n\r\n", basic("root"))
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("passthrough"), "{answer}");
    // In the clear there is nothing.
    let mut plain = std::net::TcpStream::connect(&host).unwrap();
    write!(plain, "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    drop(silent);
    std::fs::remove_dir_all(folder).unwrap();
}
