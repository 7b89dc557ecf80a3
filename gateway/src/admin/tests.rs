//! The API as its client sees it, over a real socket.

use std::collections::BTreeMap;

use contract::client::{AdminClient, ClientError};
use contract::resources::acl::{AclBinding, AclMode};
use contract::resources::service_account::ServiceAccountFilter;
use contract::resources::{AccountType, GatewayServiceAccount, TokenRequest, UpsertResult, virtual_cluster};
use contract::secret::Secret;

use super::*;
use crate::audit::event::{Action, Change, Event};
use crate::authn::AccountLookup as _;
use crate::authn::sasl::Step;
use crate::authn::tokens::TokenKey;
use crate::authz::acl::{AclFilter, PatternFilter};
use crate::authz::{Operation, Requester, ResourceType};
use crate::config::PortRouting;
use crate::observe::health::Part;
use crate::routing::port::Ports;
use crate::session::acls::{AclKeeper as _, NotKept};
use tokio::sync::mpsc;

pub(super) struct Gateway {
    admin: Arc<Admin>,
    pub(super) address: String,
    pub(super) world: watch::Receiver<Arc<World>>,
    health: Arc<Health>,
    authenticator: Arc<Authenticator>,
    events: mpsc::Receiver<Event>,
    runtime: tokio::runtime::Runtime,
}

/// Clusters where nobody answers.
fn pclusters() -> pclusters::PClusters {
    use crate::naming::topic_ids::TopicIds;
    use crate::upstream::cluster::Cluster;
    use crate::upstream::physical::Physical;
    use crate::upstream::security::Security;
    let physical = |name: &str| {
        let nowhere = crate::config::HostPort { host: "127.0.0.1".into(), port: 1 };
        let ids = Arc::new(TopicIds::new(&[7; 16]).unwrap());
        Arc::new(Physical::new(name, &[nowhere], Security::default(), ids))
    };
    let cluster = Cluster::new(physical("main"), vec![physical("failover")]);
    pclusters::PClusters::new(Arc::new(cluster), "gateways".into())
}

pub(super) fn user(name: &str, role: AdminRole) -> AdminUser {
    AdminUser { username: name.into(), password: Some(Secret::new("secret")), token: None, role }
}

pub(super) fn users() -> Vec<AdminUser> {
    vec![
        user("root", AdminRole::Admin),
        user("reader", AdminRole::Operator),
        user("shop-team", AdminRole::Tenant("shop".into())),
    ]
}

impl Gateway {
    pub(super) fn start() -> Self {
        Self::start_with(users(), false)
    }

    /// With access control in passthrough.
    fn start_closed() -> Self {
        Self::start_with(users(), true)
    }

    fn start_with(users: Vec<AdminUser>, acl_enabled: bool) -> Self {
        Self::start_by(users, acl_enabled, None)
    }

    pub(super) fn start_by(users: Vec<AdminUser>, acl_enabled: bool, tls: Option<Arc<ServerTls>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, world) = watch::channel(Arc::new(World::empty()));
        let authenticator = Arc::new(Authenticator::new(TokenKey::random().unwrap()).unwrap());
        let routing = PortRouting { start: 6969, count: 1, advertised_start: 6969, min_broker_id: 0 };
        let routes = Routes::Port(Ports::new("127.0.0.1", &routing));
        let clients = ClientAccess { routes, security_protocol: SecurityProtocol::SaslPlaintext };
        let health = Arc::new(Health::default());
        let metrics = Arc::<Metrics>::default();
        let (audit, events) = Audit::new(100, crate::audit::Watched::default(), Arc::clone(&metrics));
        let admin = Admin::new(
            sender,
            Keep::Memory,
            AdminSettings { users, clients, passthrough: Passthrough { acl_enabled } },
            Arc::clone(&authenticator),
            pclusters(),
            Reports { health: Arc::clone(&health), metrics: Arc::clone(&metrics), audit, record_requests: true },
        );
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let admin = Arc::new(admin);
        let followed = Arc::clone(&admin);
        runtime.spawn(async move { followed.follow().await });
        runtime.spawn(serve(listener, tls, Arc::clone(&admin), std::future::pending()));
        Self { admin, address, world, health, authenticator, events, runtime }
    }

    pub(super) fn client(&self) -> AdminClient {
        AdminClient::new(&self.address, "root", "secret")
    }

    fn logs_in(&self, username: &str, password: &str) -> bool {
        let world: Arc<World> = Arc::clone(&self.world.borrow());
        let mut exchange = self.authenticator.start("PLAIN", world).unwrap();
        matches!(exchange.step(format!("\0{username}\0{password}").as_bytes()), Step::Done { .. })
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    match result.unwrap_err() {
        ClientError::Api { status, body } => (status, body.msg.unwrap_or_default()),
        ClientError::Unauthorized { .. } => (401, String::new()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_virtual_cluster_from_creation_to_deletion() {
    let gateway = Gateway::start();
    let client = gateway.client();
    let dev = VirtualCluster::new("dev");
    assert_eq!(client.get_virtual_cluster("dev").unwrap(), None);
    assert_eq!(client.put_virtual_cluster(&dev, true).unwrap().upsert_result, UpsertResult::Created);
    assert_eq!(client.get_virtual_cluster("dev").unwrap(), None, "a dry run changes nothing");
    let created = client.put_virtual_cluster(&dev, false).unwrap();
    assert_eq!((created.upsert_result, created.resource), (UpsertResult::Created, dev.clone()), "the echo is exact");
    assert_eq!(client.put_virtual_cluster(&dev, false).unwrap().upsert_result, UpsertResult::NotChanged);
    assert_eq!(gateway.world.borrow().virtual_cluster("dev").unwrap().prefix.as_deref(), Some("dev."));

    let read = client.get_virtual_cluster("dev").unwrap().unwrap();
    assert_eq!(read.spec.bootstrap_servers.as_deref(), Some("127.0.0.1:6969"));
    let properties = &read.spec.client_properties.as_ref().unwrap()["SCRAM-SHA-512"];
    assert_eq!(properties["security.protocol"], "SASL_PLAINTEXT");
    assert!(properties["sasl.jaas.config"].ends_with(r#"username="{{username}}" password="{{password}}";"#));
    let back = client.put_virtual_cluster(&read, false).unwrap();
    assert_eq!((back.upsert_result, back.resource), (UpsertResult::NotChanged, dev.clone()), "GET can be PUT back");

    let mut changed = dev;
    changed.spec.super_users = Some(vec!["root".into()]);
    assert_eq!(client.put_virtual_cluster(&changed, false).unwrap().upsert_result, UpsertResult::Updated);
    let names = client.list_virtual_clusters().unwrap().into_iter().map(|cluster| cluster.metadata.name);
    assert_eq!(names.collect::<Vec<_>>(), ["dev", PASSTHROUGH]);
    assert!(client.delete_virtual_cluster("dev").unwrap());
    assert!(!client.delete_virtual_cluster("dev").unwrap());
    assert!(gateway.world.borrow().virtual_cluster("dev").is_none());
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let client_of = Gateway::start();
    let client = client_of.client();
    client.put_virtual_cluster(&VirtualCluster::new("dev"), false).unwrap();
    let cases = [
        (VirtualCluster::new("dev.a"), 409, "spec.namespace.prefix: the prefix 'dev.a.' of 'dev.a' and the prefix"),
        (VirtualCluster::new("dev").with_prefix("x."), 409, "spec.namespace.prefix: it is 'dev.' and cannot become"),
        (VirtualCluster::new("a b"), 400, "metadata.name: 'a b' may hold only"),
        (VirtualCluster::new("a").with_prefix("__"), 400, "spec.namespace.prefix: '__' must begin with a letter"),
        (VirtualCluster::new(PASSTHROUGH).with_prefix("x."), 400, "spec.namespace.prefix: passthrough renames nothing"),
    ];
    for (cluster, status, start) in cases {
        for dry_run in [true, false] {
            let (found, msg) = refusal(client.put_virtual_cluster(&cluster, dry_run));
            assert!(found == status && msg.starts_with(start), "{found} {msg}");
        }
    }
    assert_eq!(refusal(client.delete_virtual_cluster(PASSTHROUGH)).0, 400);
    let account = GatewayServiceAccount::local("app", "dev", None);
    client.put_service_account(&account, false).unwrap();
    let (status, msg) = refusal(client.delete_virtual_cluster("dev"));
    assert_eq!(
        (status, msg.as_str()),
        (409, "virtual cluster 'dev' is referred to: change or delete GatewayServiceAccount/dev/app first")
    );
    assert_eq!(refusal(client.put_service_account(&GatewayServiceAccount::local("app", "none", None), false)).0, 404);
    let elsewhere = GatewayServiceAccount::local("app", PASSTHROUGH, None);
    assert_eq!(refusal(client.put_service_account(&elsewhere, false)).0, 409);
}

#[test]
fn a_service_account_and_its_password() {
    let gateway = Gateway::start();
    let client = gateway.client();
    client.put_virtual_cluster(&VirtualCluster::new("dev"), false).unwrap();
    let put = |password: Option<&str>| {
        let account = GatewayServiceAccount::local("app", "dev", password.map(Secret::new));
        let upserted = client.put_service_account(&account, false).unwrap();
        assert_eq!(upserted.resource, GatewayServiceAccount::local("app", "dev", None), "no password comes back");
        upserted.upsert_result
    };
    assert_eq!(put(Some("pencil")), UpsertResult::Created);
    assert!(gateway.logs_in("app", "pencil") && !gateway.logs_in("app", "crayon"));
    assert_eq!(put(Some("pencil")), UpsertResult::NotChanged);
    assert_eq!(put(None), UpsertResult::NotChanged);
    assert!(gateway.logs_in("app", "pencil"), "a PUT without a password keeps it");
    assert_eq!(put(Some("crayon")), UpsertResult::Updated);
    assert!(!gateway.logs_in("app", "pencil") && gateway.logs_in("app", "crayon"));

    let found = client.get_service_account("app", Some("dev")).unwrap();
    assert_eq!(found, Some(GatewayServiceAccount::local("app", "dev", None)));
    assert_eq!(client.get_service_account("app", None).unwrap(), None, "not in passthrough");
    let all = ServiceAccountFilter::default();
    assert_eq!(client.list_service_accounts(&all).unwrap().len(), 1);
    let (status, _) =
        refusal(client.put_service_account(&GatewayServiceAccount::local("app", "dev", Some(Secret::new(""))), false));
    assert_eq!(status, 400);
    assert!(client.delete_service_account("app", Some("dev")).unwrap());
    assert!(!client.delete_service_account("app", Some("dev")).unwrap());
    assert!(gateway.world.borrow().account("app").is_none());
}

#[test]
fn a_token_logs_in_until_its_account_is_gone() {
    let gateway = Gateway::start();
    let client = gateway.client();
    client.put_service_account(&GatewayServiceAccount::local("jdoe", PASSTHROUGH, None), false).unwrap();
    let request = |username: &str, life_time_seconds| TokenRequest {
        v_cluster: None,
        username: username.to_owned(),
        life_time_seconds,
    };
    let token = client.token(&request("jdoe", 60)).unwrap().token;
    assert!(gateway.logs_in("jdoe", token.reveal()));
    assert_eq!(refusal(client.token(&request("ghost", 60))).0, 404);
    for wrong in [0, -1, i64::MAX] {
        assert_eq!(refusal(client.token(&request("jdoe", wrong))).0, 400, "{wrong}");
    }
    client.delete_service_account("jdoe", None).unwrap();
    assert!(!gateway.logs_in("jdoe", token.reveal()));
}

#[test]
fn only_configured_users_get_in_and_readers_only_read() {
    let gateway = Gateway::start();
    for (username, password) in [("root", "wrong"), ("ghost", "secret"), ("root", ""), ("", "")] {
        let client = AdminClient::new(&gateway.address, username, password);
        assert_eq!(refusal(client.list_virtual_clusters()).0, 401);
        assert_eq!(refusal(client.metrics()).0, 401);
        assert!(client.health().is_ok(), "probes need no credentials");
    }
    let reader = AdminClient::new(&gateway.address, "reader", "secret");
    assert!(reader.list_virtual_clusters().is_ok());
    assert_eq!(refusal(reader.put_virtual_cluster(&VirtualCluster::new("dev"), false)).0, 403);
    let closed = Gateway::start_with(Vec::new(), false);
    assert_eq!(refusal(AdminClient::new(&closed.address, "admin", "").list_virtual_clusters()).0, 401);
}

#[test]
fn what_decides_in_a_virtual_cluster_is_not_made_anew_when_another_changes() {
    let gateway = Gateway::start();
    let client = gateway.client();
    let mut closed = VirtualCluster::new("closed");
    closed.spec.acl_enabled = Some(true);
    client.put_virtual_cluster(&closed, false).unwrap();
    let authorizer = || Arc::clone(&gateway.world.borrow().virtual_cluster("closed").unwrap().authorizer);
    let before = authorizer();
    client.put_virtual_cluster(&VirtualCluster::new("other"), false).unwrap();
    assert!(Arc::ptr_eq(&before, &authorizer()));
    closed.spec.super_users = Some(vec!["owner".into()]);
    client.put_virtual_cluster(&closed, false).unwrap();
    assert_ne!(before, authorizer(), "its own change is one");
}

#[test]
fn health_and_metrics() {
    let gateway = Gateway::start();
    let client = gateway.client();
    let health = client.health().unwrap();
    // Tools for other gateways of this API refuse to work with one whose number is lower than theirs.
    assert!(
        health.version().unwrap().parse::<f64>().is_err() && !health.version().unwrap().starts_with(char::is_numeric)
    );
    assert_eq!(health.version(), Some(concat!("anabranch-", env!("CARGO_PKG_VERSION"))));
    assert_eq!(health.status, contract::health::Status::Down);
    assert!(!client.ready().unwrap());
    gateway.health.set_upstream(Part::Up("1 broker".into()));
    gateway.health.set_listeners(Part::Up("ports 6969 to 6978".into()));
    gateway.health.set_state(Part::Down("topic '_anabranch.state' has no leader at present".into()));
    let ready = raw(&gateway.address, "GET", "/health/ready", "");
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("has no leader at present"), "{ready}");
    gateway.runtime.block_on(gateway.admin.catch_up_until_done());
    gateway.health.set_declarations(Some("a.yaml: is not YAML".into()));
    assert!(raw(&gateway.address, "GET", "/health", "").contains("a.yaml: is not YAML"));
    assert_eq!(client.health().unwrap().status, contract::health::Status::Up);
    assert!(client.ready().unwrap());
    assert!(client.metrics().unwrap().contains("gateway_isolation_violations_total 0\n"));
}

/// Sends a request as it stands and returns the whole answer.
fn raw(address: &str, method: &str, path: &str, body: &str) -> String {
    use std::io::{Read as _, Write as _};
    let host = address.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    write!(stream, "{head}authorization: Basic cm9vdDpzZWNyZXQ=\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn other_requests_are_answered_in_the_same_shape() {
    let gateway = Gateway::start();
    let path = virtual_cluster::KIND.path;
    let unknown_field =
        r#"{"kind":"VirtualCluster","apiVersion":"gateway/v2","metadata":{"name":"a"},"spec":{"acl":1}}"#;
    // As long as may be read before the answer comes: else the connection would be reset.
    let long = "a".repeat(262_145);
    let cases = [
        ("GET", "/nothing", "", "404", r#"{"title":"Not found","msg":"there is nothing at /nothing"}"#),
        ("POST", path, "{}", "405", r#""msg":"/gateway/v2/virtual-cluster does not take POST"}"#),
        ("PUT", path, "", "400", r#""msg":"the body: is empty","cause":"#),
        ("PUT", path, unknown_field, "400", r#""msg":"spec.acl: unknown field; did you mean 'acls'?"#),
        ("PUT", &format!("{path}?dryMode=perhaps"), "{}", "400", r#""msg":"the query: "#),
        ("DELETE", &format!("{path}/ghost"), "", "404", r#""msg":"there is no virtual cluster 'ghost'"}"#),
        ("GET", &format!("{path}/%ff"), "", "400", r#""msg":"the path: the name in it is not UTF-8"}"#),
        ("PUT", path, &long, "413", r#""msg":"the body is longer than 262144 bytes: "#),
        ("PUT", "/anabranch/v1/upstream-cluster", &long, "413", r#""msg":"the body is longer than 262144 bytes: "#),
    ];
    for (method, path, body, status, expected) in cases {
        let answer = raw(&gateway.address, method, path, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(expected), "{method} {answer}");
    }
}

#[test]
fn without_a_login_the_client_settings_say_so() {
    let properties = virtual_clusters::client_properties("h:1", SecurityProtocol::Plaintext, &["PLAIN"]);
    let expected = [("bootstrap.servers", "h:1"), ("security.protocol", "PLAINTEXT")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(properties, BTreeMap::from([("PLAINTEXT".to_owned(), BTreeMap::from(expected))]));
}

#[test]
fn the_client_settings_are_those_of_the_mechanisms_that_are_offered() {
    let of = |mechanisms| virtual_clusters::client_properties("h:1", SecurityProtocol::SaslSsl, mechanisms);
    assert_eq!(of(&["SCRAM-SHA-512"]).into_keys().collect::<Vec<_>>(), ["SCRAM-SHA-512"]);
    let properties = &of(&["PLAIN", "OAUTHBEARER"])["OAUTHBEARER"];
    assert_eq!(properties["security.protocol"], "SASL_SSL");
    let jaas = &properties["sasl.jaas.config"];
    assert!(jaas.ends_with(r#"clientId="{{clientId}}" clientSecret="{{clientSecret}}";"#), "{jaas}");
}

#[test]
fn changes_refusals_and_requests_are_recorded_with_who_and_from_where() {
    let mut gateway = Gateway::start();
    gateway.client().put_virtual_cluster(&VirtualCluster::new("dev"), true).unwrap();
    gateway.client().put_virtual_cluster(&VirtualCluster::new("dev"), false).unwrap();
    let account = GatewayServiceAccount::local("app", "dev", Some(Secret::new("hunter2-hunter2")));
    gateway.client().put_service_account(&account, false).unwrap();
    let _ =
        AdminClient::new(&gateway.address, "reader", "secret").put_virtual_cluster(&VirtualCluster::new("x"), false);
    let _ = AdminClient::new(&gateway.address, "root", "wrong-guess").metrics();
    let events: Vec<Event> = std::iter::from_fn(|| gateway.events.try_recv().ok()).collect();
    let told: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    let changes = events.iter().filter_map(|event| match event.action() {
        Action::ConfigurationChanged { change, kind, name } => Some((*change, kind.as_str(), name.as_str())),
        _ => None,
    });
    let created = |kind, name| (Change::Created, kind, name);
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [created("VirtualCluster", "dev"), created("GatewayServiceAccount", "app")],
        "a dry run changes nothing"
    );
    let refused: Vec<_> = told.iter().filter(|event| event.contains("AdminRefused")).collect();
    assert_eq!(refused.len(), 2, "{told:#?}");
    assert!(refused[0].contains("\"reader\"") && refused[0].contains("may read only"), "{}", refused[0]);
    assert!(refused[1].contains("\"root\"") && refused[1].contains("wrong password"), "{}", refused[1]);
    assert_eq!(told.iter().filter(|event| event.contains("AdminRequest {")).count(), 3);
    assert!(told.iter().all(|event| event.contains("127.0.0.1:")), "{told:#?}");
    assert!(!told.concat().contains("hunter2") && !told.concat().contains("wrong-guess"), "{told:#?}");
}

#[test]
fn an_external_account_has_names_elsewhere_and_nothing_to_log_in_with_here() {
    let gateway = Gateway::start();
    let client = gateway.client();
    for cluster in ["dev", "prod"] {
        client.put_virtual_cluster(&VirtualCluster::new(cluster), false).unwrap();
    }
    let token_of = |username: &str| {
        let life_time_seconds = 60;
        let request = TokenRequest { username: username.into(), v_cluster: Some("dev".into()), life_time_seconds };
        client.token(&request)
    };
    let local = GatewayServiceAccount::local("app", "dev", Some(Secret::new("pencil")));
    client.put_service_account(&local, false).unwrap();
    let token = token_of("app").unwrap();
    assert!(gateway.logs_in("app", "pencil") && gateway.logs_in("app", token.token.reveal()));

    let external = GatewayServiceAccount::external("app", "dev", "CN=app,O=Acme");
    let changed = client.put_service_account(&external, false).unwrap();
    assert_eq!(
        (changed.upsert_result, changed.resource),
        (UpsertResult::Updated, external.clone()),
        "the echo is exact"
    );
    assert_eq!(client.put_service_account(&external, false).unwrap().upsert_result, UpsertResult::NotChanged);
    let found = gateway.world.borrow().by_external_name("CN=app,O=Acme").unwrap();
    assert_eq!((&*found.username, &*found.virtual_cluster), ("app", "dev"));
    assert!(!gateway.logs_in("app", "pencil"), "its password is gone");
    assert!(!gateway.logs_in("app", token.token.reveal()), "and its tokens with it");
    let (status, msg) = refusal(token_of("app"));
    assert!(status == 409 && msg.starts_with("service account 'app' in 'dev' is EXTERNAL: "), "{status} {msg}");

    let mut with_password = external.clone();
    with_password.spec.password = Some(Secret::new("pencil"));
    let (status, msg) = refusal(client.put_service_account(&with_password, false));
    assert!(status == 400 && msg.starts_with("spec.password: an EXTERNAL account"), "{status} {msg}");
    let elsewhere = GatewayServiceAccount::external("other", "prod", "CN=app,O=Acme");
    let (status, msg) = refusal(client.put_service_account(&elsewhere, false));
    let start = "spec.externalNames: 'CN=app,O=Acme' is account 'app' of virtual cluster 'dev' already";
    assert!(status == 409 && msg.starts_with(start), "{status} {msg}");
    let filter = ServiceAccountFilter { account_type: Some(AccountType::External), ..ServiceAccountFilter::default() };
    assert_eq!(client.list_service_accounts(&filter).unwrap(), std::slice::from_ref(&external));

    let local = GatewayServiceAccount::local("app", "dev", None);
    client.put_service_account(&local, false).unwrap();
    assert!(gateway.world.borrow().by_external_name("CN=app,O=Acme").is_none());
    assert!(!gateway.logs_in("app", "pencil"), "what was taken away does not come back");
}

/// Whether somebody may read a topic of a virtual cluster now.
fn reads(gateway: &Gateway, virtual_cluster: &str, principal: &str) -> bool {
    let world: Arc<World> = Arc::clone(&gateway.world.borrow());
    let who = Requester { principal, host: "10.0.0.1".parse().unwrap() };
    let authorizer = &world.virtual_cluster(virtual_cluster).unwrap().authorizer;
    authorizer.allows(&who, Operation::Read, ResourceType::Topic, "orders")
}

fn rule(principal: &str) -> AclBinding {
    let text = format!(
        r#"{{ "resourcePattern": {{ "resourceType": "TOPIC", "name": "orders", "patternType": "LITERAL" }},
            "principal": "{principal}", "host": "*", "operation": "READ", "permissionType": "ALLOW" }}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// As a session does for a client.
fn creates(gateway: &Gateway, virtual_cluster: &str, rules: Vec<AclBinding>) -> Result<(), NotKept> {
    gateway.runtime.block_on(Arc::clone(&gateway.admin).create(virtual_cluster.into(), rules))
}

fn every() -> AclFilter {
    AclFilter {
        resource_type: None,
        pattern: PatternFilter::Any,
        name: None,
        principal: None,
        host: None,
        operation: None,
        permission_type: None,
    }
}

#[test]
fn rules_that_clients_make_hold_until_they_are_deleted_or_their_virtual_cluster_is() {
    let gateway = Gateway::start();
    let client = gateway.client();
    let mut dev = VirtualCluster::new("dev");
    dev.spec.acl_enabled = Some(true);
    client.put_virtual_cluster(&dev, false).unwrap();
    assert!(!reads(&gateway, "dev", "User:app"));
    creates(&gateway, "dev", vec![rule("User:app"), rule("User:bob"), rule("User:app")]).unwrap();
    assert!(reads(&gateway, "dev", "User:app") && reads(&gateway, "dev", "User:bob"));
    assert_eq!(client.put_virtual_cluster(&dev, false).unwrap().upsert_result, UpsertResult::NotChanged);
    let bobs = AclFilter { principal: Some("User:bob".into()), ..every() };
    let delete = |filters| gateway.runtime.block_on(Arc::clone(&gateway.admin).delete("dev".into(), filters)).unwrap();
    assert_eq!(delete(vec![bobs.clone(), bobs.clone()]), [[rule("User:bob")], [rule("User:bob")]]);
    assert_eq!(delete(vec![bobs]), [[]; 1]);
    assert!(reads(&gateway, "dev", "User:app") && !reads(&gateway, "dev", "User:bob"));

    // Another virtual cluster of the same name, and one whose rules the operator keeps, begin without them.
    assert!(client.delete_virtual_cluster("dev").unwrap());
    client.put_virtual_cluster(&dev, false).unwrap();
    assert!(!reads(&gateway, "dev", "User:app"));
    creates(&gateway, "dev", vec![rule("User:app")]).unwrap();
    let mut by_operator = dev.clone();
    by_operator.spec.acl_mode = Some(AclMode::RestApi);
    client.put_virtual_cluster(&by_operator, false).unwrap();
    let NotKept::Refused(why) = creates(&gateway, "dev", vec![rule("User:app")]).unwrap_err() else { panic!() };
    assert!(why.contains("spec.acls (aclMode REST_API)"), "{why}");
    client.put_virtual_cluster(&dev, false).unwrap();
    assert!(!reads(&gateway, "dev", "User:app"));
    let many = (0..20_001).map(|n| rule(&format!("User:{n}"))).collect();
    let NotKept::Refused(why) = creates(&gateway, "dev", many).unwrap_err() else { panic!() };
    assert!(why.contains("'dev' has 20001 rules, and may have 20000"), "{why}");
    assert!(creates(&gateway, "gone", vec![rule("User:app")]).is_err());
}

#[test]
fn passthrough_can_be_closed_by_a_setting() {
    let gateway = Gateway::start_closed();
    let client = gateway.client();
    assert!(reads(&gateway, PASSTHROUGH, "User:root"));
    assert!(!reads(&gateway, PASSTHROUGH, "User:reader") && !reads(&gateway, PASSTHROUGH, "User:app"));
    let shown = client.get_virtual_cluster(PASSTHROUGH).unwrap().unwrap();
    assert_eq!((shown.spec.acl_enabled, shown.spec.super_users), (Some(true), Some(vec!["root".into()])));
    // A declaration that says nothing of it leaves it closed, one that does is what holds.
    client.put_virtual_cluster(&VirtualCluster::new(PASSTHROUGH), false).unwrap();
    assert!(!reads(&gateway, PASSTHROUGH, "User:app") && reads(&gateway, PASSTHROUGH, "User:root"));
    let mut open = VirtualCluster::new(PASSTHROUGH);
    open.spec.acl_enabled = Some(false);
    client.put_virtual_cluster(&open, false).unwrap();
    assert!(reads(&gateway, PASSTHROUGH, "User:app"));
    assert!(reads(&Gateway::start(), PASSTHROUGH, "User:app"));
}

#[test]
fn a_switch_to_a_cluster_that_does_not_answer_changes_nothing_and_says_so() {
    let gateway = Gateway::start();
    let ask = |user: &str, method: &str, path: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let login = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{user}:secret"));
        let url = format!("{}/admin/pclusters/v1/pcluster{path}", gateway.address);
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = request.header("Authorization", format!("Basic {login}")).body(()).unwrap();
        let mut answer = ureq::Agent::from(config).run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str::<serde_json::Value>(&text).unwrap())
    };
    let (status, refused) = ask("root", "POST", "/main/switch?to=failover");
    let msg = refused["msg"].as_str().unwrap();
    assert!(status == 503 && msg.starts_with("cannot switch to 'failover': "), "{status} {refused}");
    assert!(msg.ends_with("'main' serves clients as before; switch when 'failover' answers"), "{msg}");
    let (status, same) = ask("root", "POST", "/main/switch?to=main");
    assert_eq!((status, &same["result"], &same["epoch"]), (200, &"NOT_CHANGED".into(), &0.into()));
    let (status, unknown) = ask("root", "POST", "/main/switch?to=failovr");
    let names = "there is no physical cluster 'failovr'; there are 'main', 'failover'";
    assert_eq!((status, unknown["msg"].as_str()), (404, Some(names)));
    assert_eq!(ask("root", "POST", "/other/switch?to=main").0, 404);
    assert_eq!(ask("root", "POST", "/main/switch").0, 400);
    assert_eq!(ask("reader", "POST", "/main/switch?to=failover").0, 403);
    let (_, all) = ask("reader", "GET", "");
    assert_eq!(
        (&all[0]["active"], &all[1]["active"], &all[1]["role"]),
        (&true.into(), &false.into(), &"failover".into())
    );
    assert_eq!(
        (ask("reader", "GET", "/failover").1["reachable"].clone(), ask("root", "GET", "/x").0),
        (false.into(), 404)
    );
}

#[test]
fn physical_clusters_are_shown_as_resources_and_set_elsewhere() {
    let gateway = Gateway::start();
    let shown = gateway.admin.pclusters.resources();
    assert_eq!(shown.iter().map(|cluster| &*cluster.metadata.name).collect::<Vec<_>>(), ["main", "failover"]);
    let put = |cluster: &contract::resources::UpstreamCluster| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let login = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "root:secret");
        let request = ureq::Agent::from(config).put(format!("{}/anabranch/v1/upstream-cluster", gateway.address));
        let mut answer = request.header("Authorization", format!("Basic {login}")).send_json(cluster).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let (status, same) = put(&shown[1]);
    assert!(status == 200 && same.contains("NOT_CHANGED"), "{status} {same}");
    let mut other = shown[1].clone();
    other.spec.bootstrap_servers = vec!["elsewhere:9092".into()];
    let (status, refused) = put(&other);
    assert!(status == 400 && refused.contains("physical clusters are settings of the gateway"), "{status} {refused}");
    let mut main = shown[0].clone();
    main.spec.role = None;
    let (status, same) = put(&main);
    assert!(status == 200 && same.contains("NOT_CHANGED"), "main is what is meant if nothing is said: {status} {same}");
    other = shown[1].clone();
    other.spec.role = None;
    let (status, refused) = put(&other);
    assert!(status == 400 && refused.contains("spec.role: it is a failover cluster; "), "{status} {refused}");
    let text = |cluster| serde_json::to_string(cluster).unwrap();
    for (query, answer) in [("true", "NOT_CHANGED"), ("perhaps", "the query: ")] {
        let path = format!("/anabranch/v1/upstream-cluster?dryMode={query}");
        let said = raw(&gateway.address, "PUT", &path, &text(&main));
        assert!(said.contains(answer), "{said}");
    }
}
