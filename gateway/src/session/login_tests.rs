//! Logins over real sockets: refused ones, slow ones, those that are repeated, and those that Kafka decides about.

use super::tests::{Gateway, answer, broker, client_at, correlation_id, gateway_with, request};
use super::*;
use crate::audit::event::Action;
use crate::authn::Account;
use crate::authn::credentials::Credentials;
use crate::authn::tokens::{Claims, TokenKey};
use crate::config::{HostPort, Unmapped};
use contract::resources::{GatewayServiceAccount, VirtualCluster};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use wire::frame;
use wire::schema::ApiKey;
use wire::value;

const SHORT: Option<Duration> = Some(Duration::from_secs(2));

fn authenticator() -> Arc<Authenticator> {
    Arc::new(Authenticator::new(TokenKey::random().unwrap()).unwrap())
}

/// dev has alice (with a password) and tokens (without), prod has bob; external is known to others as `CN=ext`.
fn declare(gateway: &Gateway) {
    let account = |name: &str, virtual_cluster: &str, password: bool| {
        let credentials = password.then(|| Credentials::from_password("pencil").unwrap());
        Arc::new(Account::new(GatewayServiceAccount::local(name, virtual_cluster, None), credentials))
    };
    let external = Arc::new(Account::new(GatewayServiceAccount::external("external", "dev", "kafka-user"), None));
    let accounts =
        [account("alice", "dev", true), account("tokens", "dev", false), account("bob", "prod", true), external];
    let clusters = [VirtualCluster::new("dev"), VirtualCluster::new("prod")];
    let _ = gateway.world.send_replace(Arc::new(crate::world::build(&clusters, &accounts, [], []).unwrap()));
}

async fn ask(client: &mut TcpStream, key: ApiKey, version: i16, body: &Value) -> Value {
    client.write_all(&request(key, version, 7, body)).await.unwrap();
    let frame = answer(client).await;
    assert_eq!(correlation_id(&frame), 7);
    let (_, start) = frame::response_header(key.response_header(version), &frame).unwrap();
    value::decode(key.response(), version, &frame[start..]).unwrap()
}

async fn handshake_for(client: &mut TcpStream, mechanism: &str) -> Value {
    ask(client, ApiKey::SaslHandshake, 1, &json!({ "Mechanism": mechanism })).await
}

async fn say(client: &mut TcpStream, message: &str) -> Value {
    let body = json!({ "AuthBytes": local::to_base64(message.as_bytes()) });
    ask(client, ApiKey::SaslAuthenticate, 2, &body).await
}

async fn plain(client: &mut TcpStream, user: &str, password: &str) -> Value {
    assert_eq!(handshake_for(client, "PLAIN").await["ErrorCode"], 0);
    say(client, &format!("\0{user}\0{password}")).await
}

async fn heartbeat(client: &mut TcpStream) -> Value {
    ask(client, ApiKey::Heartbeat, 4, &json!({ "GroupId": "g" })).await
}

async fn is_closed(client: &mut TcpStream) -> bool {
    client.read(&mut [0; 1]).await.unwrap_or(0) == 0
}

fn at(virtual_cluster: &str) -> Dialled {
    Dialled { broker: 1, virtual_cluster: Some(virtual_cluster.into()) }
}

#[tokio::test]
async fn nobody_can_tell_an_unknown_user_from_a_wrong_password_or_from_a_user_of_elsewhere() {
    let (address, _) = broker(Duration::ZERO).await;
    let mut gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    declare(&gateway);
    let mut answers = Vec::new();
    for (user, password) in
        [("ghost", "pencil"), ("alice", "wrong"), ("tokens", "pencil"), ("external", "pencil"), ("bob", "pencil")]
    {
        let (mut client, session) = client_at(&gateway, at("dev")).await;
        let begun = Instant::now();
        answers.push(plain(&mut client, user, password).await);
        assert!(begun.elapsed() >= Duration::from_millis(200), "{user} is told so too soon");
        assert!(is_closed(&mut client).await);
        assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))), "{user}");
        let event = gateway.events.recv().await.unwrap();
        assert!(matches!(event.action(), Action::AuthenticationFailed { .. }), "{event:?}");
    }
    assert_eq!(answers[0]["ErrorCode"], 58);
    assert_eq!(answers[0]["ErrorMessage"], "Authentication failed: unknown user or wrong credentials");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let (mut client, _session) = client_at(&gateway, at("dev")).await;
    assert_eq!(plain(&mut client, "alice", "pencil").await["ErrorCode"], 0);
    assert_eq!(heartbeat(&mut client).await["ErrorCode"], 0);
}

#[tokio::test]
async fn an_unknown_mechanism_lists_those_that_are_served_and_the_client_may_try_again_a_few_times() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    declare(&gateway);
    let (mut client, _session) = client_at(&gateway, at("dev")).await;
    let refused = handshake_for(&mut client, "GSSAPI").await;
    assert_eq!(refused, json!({ "ErrorCode": 33, "Mechanisms": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] }));
    assert_eq!(plain(&mut client, "alice", "pencil").await["ErrorCode"], 0);
    let (mut client, session) = client_at(&gateway, at("dev")).await;
    for _ in 0..6 {
        assert_eq!(handshake_for(&mut client, "GSSAPI").await["ErrorCode"], 33);
    }
    let last = request(ApiKey::SaslHandshake, 1, 1, &json!({ "Mechanism": "GSSAPI" }));
    client.write_all(&last).await.unwrap();
    assert!(is_closed(&mut client).await);
    assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))));
}

#[tokio::test]
async fn before_a_login_requests_are_few_and_short() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    let (mut client, session) = client_at(&gateway, Dialled::broker(1)).await;
    for _ in 0..20 {
        let _ = ask(&mut client, ApiKey::ApiVersions, 3, &software()).await;
    }
    let ended = session.await.unwrap();
    assert!(matches!(ended, Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, .. })), "{ended:?}");
    let (mut client, session) = client_at(&gateway, Dialled::broker(1)).await;
    client.write_all(&[0, 0, 0x50, 0, 0, 36]).await.unwrap();
    let ended = session.await.unwrap();
    assert!(matches!(ended, Err(SessionError::Frame { reason: FrameRefusal::Oversized, .. })), "{ended:?}");
    let (mut client, session) = client_at(&gateway, Dialled::broker(1)).await;
    assert_eq!(say(&mut client, "\0alice\0pencil").await["ErrorCode"], 34, "a token without a handshake");
    assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))));
}

fn software() -> Value {
    json!({ "ClientSoftwareName": "test", "ClientSoftwareVersion": "1" })
}

#[tokio::test]
async fn guesses_of_one_principal_wait_and_others_of_the_same_address_do_not() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    declare(&gateway);
    let mut waited = Vec::new();
    for _ in 0..5 {
        let (mut client, _session) = client_at(&gateway, at("dev")).await;
        let begun = Instant::now();
        assert_eq!(plain(&mut client, "tokens", "guess").await["ErrorCode"], 58);
        waited.push(begun.elapsed());
    }
    // The time of the answer before counts.
    assert!(waited[4] >= Duration::from_millis(900), "{waited:?}");
    let begun = Instant::now();
    let (mut client, _session) = client_at(&gateway, at("dev")).await;
    assert_eq!(plain(&mut client, "alice", "pencil").await["ErrorCode"], 0);
    assert!(begun.elapsed() < Duration::from_millis(1_000), "somebody else waited {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_logs_in_again_and_its_session_goes_on() {
    let (address, _) = broker(Duration::from_millis(20)).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), SHORT);
    declare(&gateway);
    let (mut client, session) = client_at(&gateway, at("dev")).await;
    assert_eq!(plain(&mut client, "alice", "pencil").await["SessionLifetimeMs"], 2_000);
    assert_eq!(handshake_for(&mut client, "PLAIN").await["ErrorCode"], 0, "before any broker is needed");
    assert_eq!(say(&mut client, "\0alice\0pencil").await["SessionLifetimeMs"], 2_000);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // The requests before the login are answered before it.
        let before = request(ApiKey::Heartbeat, 4, 1, &json!({ "GroupId": "g" }));
        let login = request(ApiKey::SaslHandshake, 1, 2, &json!({ "Mechanism": "PLAIN" }));
        client.write_all(&[before, login].concat()).await.unwrap();
        for expected in [1, 2] {
            assert_eq!(correlation_id(&answer(&mut client).await), expected);
        }
        assert_eq!(say(&mut client, "\0alice\0pencil").await["SessionLifetimeMs"], 2_000);
    }
    assert_eq!(heartbeat(&mut client).await["ErrorCode"], 0);
    let text = gateway.shared.metrics.render();
    assert!(text.contains("gateway_reauthentications_total{mechanism=\"PLAIN\",outcome=\"success\"} 4"), "{text}");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    client.write_all(&request(ApiKey::Heartbeat, 4, 1, &json!({ "GroupId": "g" }))).await.unwrap();
    assert!(is_closed(&mut client).await, "served behind its end");
    assert!(matches!(session.await.unwrap(), Err(SessionError::Expired)));
}

#[tokio::test]
async fn whoever_logs_in_again_as_another_or_otherwise_is_refused_and_the_connection_closed() {
    let (address, _) = broker(Duration::ZERO).await;
    let authenticator = authenticator();
    let gateway = gateway_with(&address, Login::Sasl(Arc::clone(&authenticator)), SHORT);
    declare(&gateway);
    let token = |user: &str, vcluster: &str| {
        let claims = Claims { username: user.into(), vcluster: vcluster.into(), exp: 4_000_000_000 };
        authenticator.tokens().issue(&claims).unwrap().reveal().to_owned()
    };
    for (mechanism, message, before_broker) in [
        ("PLAIN", format!("\0tokens\0{}", token("tokens", "dev")), false),
        ("PLAIN", "\0bob\0pencil".to_owned(), false),
        ("PLAIN", "\0alice\0wrong".to_owned(), true),
        ("SCRAM-SHA-256", "n,,n=alice,r=abc".to_owned(), false),
    ] {
        let (mut client, session) = client_at(&gateway, Dialled::broker(1)).await;
        assert_eq!(plain(&mut client, "alice", "pencil").await["ErrorCode"], 0);
        if !before_broker {
            assert_eq!(heartbeat(&mut client).await["ErrorCode"], 0);
        }
        assert_eq!(handshake_for(&mut client, mechanism).await["ErrorCode"], 0);
        let refused = say(&mut client, &message).await;
        assert_eq!(refused["ErrorCode"], 58, "{message}: {refused}");
        assert!(is_closed(&mut client).await, "{message}");
        assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))), "{message}");
    }
}

#[tokio::test]
async fn nothing_is_served_between_the_handshake_and_the_outcome() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), SHORT);
    declare(&gateway);
    let (mut client, session) = client_at(&gateway, at("dev")).await;
    let _ = plain(&mut client, "alice", "pencil").await;
    assert_eq!(handshake_for(&mut client, "PLAIN").await["ErrorCode"], 0);
    client.write_all(&request(ApiKey::Heartbeat, 4, 1, &json!({ "GroupId": "g" }))).await.unwrap();
    assert!(is_closed(&mut client).await);
    let ended = session.await.unwrap();
    assert!(matches!(ended, Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, .. })), "{ended:?}");
}

#[tokio::test]
async fn a_client_without_a_reason_to_log_in_again_is_told_so_and_goes_on() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    declare(&gateway);
    let (mut client, _session) = client_at(&gateway, at("dev")).await;
    assert_eq!(plain(&mut client, "alice", "pencil").await["SessionLifetimeMs"], 0);
    assert_eq!(handshake_for(&mut client, "PLAIN").await["ErrorCode"], 34);
    assert_eq!(say(&mut client, "\0alice\0pencil").await["ErrorCode"], 34);
    assert_eq!(heartbeat(&mut client).await["ErrorCode"], 0);
}

#[tokio::test]
async fn a_session_ends_with_its_token_also_when_the_client_is_silent() {
    let (address, _) = broker(Duration::ZERO).await;
    let authenticator = authenticator();
    let gateway = gateway_with(&address, Login::Sasl(Arc::clone(&authenticator)), None);
    declare(&gateway);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims { username: "tokens".into(), vcluster: "dev".into(), exp: now + 3 };
    let token = authenticator.tokens().issue(&claims).unwrap();
    let (mut client, session) = client_at(&gateway, at("dev")).await;
    let lifetime = plain(&mut client, "tokens", token.reveal()).await["SessionLifetimeMs"].as_i64().unwrap();
    assert!((1..=3_000).contains(&lifetime), "{lifetime}");
    let ended = tokio::time::timeout(Duration::from_secs(15), session).await.unwrap().unwrap();
    assert!(matches!(ended, Err(SessionError::Expired)), "{ended:?}");
}

#[tokio::test]
async fn an_account_that_changes_ends_its_sessions_and_no_others() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    declare(&gateway);
    let (mut alice, session) = client_at(&gateway, at("dev")).await;
    let _ = plain(&mut alice, "alice", "pencil").await;
    let (mut bob, _session) = client_at(&gateway, at("prod")).await;
    let _ = plain(&mut bob, "bob", "pencil").await;
    assert_eq!(
        (heartbeat(&mut alice).await["ErrorCode"].clone(), heartbeat(&mut bob).await["ErrorCode"].clone()),
        (json!(0), json!(0))
    );
    let before = gateway.world.borrow().clone();
    let kept = before.accounts_of("prod").cloned().collect::<Vec<_>>();
    let clusters = [VirtualCluster::new("dev"), VirtualCluster::new("prod")];
    let _ = gateway.world.send_replace(Arc::new(crate::world::build(&clusters, &kept, [], []).unwrap()));
    let ended = session.await.unwrap();
    assert!(matches!(ended, Err(SessionError::Ended("the service account was removed or changed"))), "{ended:?}");
    assert_eq!(heartbeat(&mut bob).await["ErrorCode"], 0);
}

/// A Kafka that knows `kafka-user` and `stranger` by the password `secret`, lets sessions last, and answers Heartbeats only to
/// whom it knows, with the number of logins as throttle time.
async fn kafka(lifetime: i64) -> (HostPort, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(kafka_connection(stream, port, lifetime, heard.clone())));
        }
    }));
    (HostPort { host: "127.0.0.1".into(), port }, said)
}

async fn kafka_connection(mut stream: TcpStream, port: u16, lifetime: i64, said: Arc<Mutex<Vec<String>>>) {
    let (mut logins, mut known) = (0, None::<String>);
    while let Ok(length) = stream.read_u32().await {
        let mut frame = vec![0; length as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        let (code, version, correlation_id) = frame::request_start(&frame).unwrap();
        let key = ApiKey::from_code(code).unwrap();
        let mut close = false;
        let body = match key {
            ApiKey::Metadata => json!({
                "Brokers": [{ "NodeId": 1, "Host": "127.0.0.1", "Port": port }], "ClusterId": "physical", "ControllerId": 1,
            }),
            ApiKey::ApiVersions => json!({ "ApiKeys": [{ "ApiKey": 12, "MinVersion": 0, "MaxVersion": 4 }] }),
            ApiKey::SaslHandshake => {
                let plain = String::from_utf8_lossy(&frame).contains("PLAIN");
                json!({ "ErrorCode": if plain { 0 } else { 33 }, "Mechanisms": ["GSSAPI", "PLAIN"] })
            }
            ApiKey::SaslAuthenticate => {
                let text = String::from_utf8_lossy(&frame).into_owned();
                let user = ["kafka-user", "stranger"].into_iter().find(|u| text.contains(&format!("\0{u}\0secret")));
                said.lock().unwrap().push(text);
                let user = user.filter(|user| known.as_deref().is_none_or(|known| known == *user));
                match user {
                    Some(user) => {
                        logins += 1;
                        known = Some(user.to_owned());
                        json!({ "SessionLifetimeMs": lifetime })
                    }
                    None => {
                        close = true;
                        json!({ "ErrorCode": 58, "ErrorMessage": "Authentication failed: Invalid username or password" })
                    }
                }
            }
            _ if known.is_none() => return,
            _ => json!({ "ThrottleTimeMs": logins }),
        };
        let body = value::encode(key.response(), version, &body).unwrap();
        stream.write_all(&frame::response(key, version, correlation_id, &body)).await.unwrap();
        if close {
            return;
        }
    }
}

fn delegated(unmapped: Unmapped) -> Login {
    Login::Delegated(Delegation { unmapped, validator: None, longest_token: 1_000, kafka_authorizes: false })
}

#[tokio::test]
async fn kafka_decides_and_its_connection_is_the_sessions() {
    let (address, said) = kafka(0).await;
    let gateway = gateway_with(&address, delegated(Unmapped::Passthrough), None);
    declare(&gateway);
    let (mut client, _session) = client_at(&gateway, Dialled::broker(1)).await;
    let _ = ask(&mut client, ApiKey::ApiVersions, 3, &software()).await;
    let refused = handshake_for(&mut client, "SCRAM-SHA-256").await;
    assert_eq!(refused, json!({ "ErrorCode": 33, "Mechanisms": ["PLAIN"] }), "what Kafka has and can be read");
    assert_eq!(handshake_for(&mut client, "GSSAPI").await["ErrorCode"], 33);
    assert_eq!(plain(&mut client, "kafka-user", "secret").await["ErrorCode"], 0);
    assert_eq!(heartbeat(&mut client).await["ThrottleTimeMs"], 1, "another connection than the one that logged in");
    assert_eq!(said.lock().unwrap().len(), 1);
    let virtual_clusters = gateway.shared.metrics.render();
    assert!(virtual_clusters.contains("gateway_virtual_cluster_connections_open{virtual_cluster=\"dev\"} 1"));
    let (mut client, _session) = client_at(&gateway, Dialled::broker(1)).await;
    assert_eq!(plain(&mut client, "stranger", "secret").await["ErrorCode"], 0);
    assert_eq!(heartbeat(&mut client).await["ThrottleTimeMs"], 1);
    let text = gateway.shared.metrics.render();
    assert!(text.contains("gateway_virtual_cluster_connections_open{virtual_cluster=\"passthrough\"} 1"), "{text}");
}

#[tokio::test]
async fn whom_kafka_refuses_or_nobody_expects_does_not_come_in() {
    let (address, said) = kafka(0).await;
    let gateway = gateway_with(&address, delegated(Unmapped::Refuse), None);
    declare(&gateway);
    for (dialled, user, password, text) in [
        (Dialled::broker(1), "kafka-user", "wrong", "Authentication failed: Invalid username or password"),
        (Dialled::broker(1), "alice", "pencil", "Authentication failed: Invalid username or password"),
        (Dialled::broker(1), "stranger", "secret", "Authentication failed: no service account has this identity"),
        (at("prod"), "kafka-user", "secret", "Authentication failed: no service account has this identity"),
    ] {
        let (mut client, session) = client_at(&gateway, dialled).await;
        let refused = plain(&mut client, user, password).await;
        assert_eq!((&refused["ErrorCode"], &refused["ErrorMessage"]), (&json!(58), &json!(text)), "{user}");
        assert!(is_closed(&mut client).await);
        assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))), "{user}");
    }
    let heard = said.lock().unwrap().len();
    let (mut client, _session) = client_at(&gateway, Dialled::broker(1)).await;
    assert_eq!(handshake_for(&mut client, "PLAIN").await["ErrorCode"], 0);
    assert_eq!(say(&mut client, "root\0kafka-user\0secret").await["ErrorCode"], 58);
    assert_eq!(said.lock().unwrap().len(), heard, "what could be read in two ways reached Kafka");
}

#[tokio::test]
async fn a_login_that_is_repeated_goes_to_kafka_as_well_among_the_requests() {
    let (address, said) = kafka(2_000).await;
    let gateway = gateway_with(&address, delegated(Unmapped::Refuse), None);
    declare(&gateway);
    let (mut client, session) = client_at(&gateway, Dialled::broker(1)).await;
    assert_eq!(plain(&mut client, "kafka-user", "secret").await["SessionLifetimeMs"], 2_000);
    for logins in 1..4 {
        assert_eq!(heartbeat(&mut client).await["ThrottleTimeMs"], logins);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let before = request(ApiKey::Heartbeat, 4, 1, &json!({ "GroupId": "g" }));
        let login = request(ApiKey::SaslHandshake, 1, 2, &json!({ "Mechanism": "PLAIN" }));
        client.write_all(&[before, login].concat()).await.unwrap();
        for expected in [1, 2] {
            assert_eq!(correlation_id(&answer(&mut client).await), expected);
        }
        assert_eq!(say(&mut client, "\0kafka-user\0secret").await["SessionLifetimeMs"], 2_000);
    }
    assert_eq!(said.lock().unwrap().len(), 4);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(handshake_for(&mut client, "PLAIN").await["ErrorCode"], 0);
    let refused = say(&mut client, "\0stranger\0secret").await;
    assert_eq!(refused["ErrorCode"], 58, "Kafka's no arrives although Kafka hangs up");
    assert!(is_closed(&mut client).await);
    assert!(matches!(session.await.unwrap(), Err(SessionError::Authentication(_))));
}

#[tokio::test]
async fn an_identity_provider_that_is_removed_or_changed_ends_its_sessions_and_no_others() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway_with(&address, Login::Sasl(authenticator()), None);
    let declared = VirtualCluster::new("team-a");
    let world = |audience: &str| {
        let provider = json!({
            "kind": "IdentityProvider", "apiVersion": "anabranch/v1", "metadata": { "name": "sso" },
            "spec": { "jwksUrl": "https://sso/keys", "issuer": "https://sso/", "audiences": [audience] },
        });
        let provider = contract::resources::Resource::from_json("IdentityProvider", provider.to_string().as_bytes());
        Arc::new(crate::world::build([&declared], [], [], [&provider.unwrap().unwrap()]).unwrap())
    };
    let _ = gateway.world.send_replace(world("kafka"));
    let before = gateway.shared.world.borrow().clone();
    let by_password =
        Identity { username: "app".into(), virtual_cluster: "team-a".into(), expires_at: None, provider: None };
    let provider = Some(Arc::new(before.identity_providers()["sso"].clone()));
    let by_token = Identity { provider, ..by_password.clone() };
    let (shared, listener) = (&gateway.shared, &gateway.listener);
    let ending = tokio::spawn({
        let (shared, listener, before) = (shared.clone(), listener.clone(), before.clone());
        async move { ended(&shared, &listener, &before, &by_token).await }
    });
    let _ = gateway.world.send_replace(world("other"));
    assert_eq!(ending.await.unwrap(), "the identity provider was removed or changed");
    let lasting = tokio::time::timeout(Duration::from_millis(50), ended(shared, listener, &before, &by_password));
    assert!(lasting.await.is_err(), "a login by password has nothing to do with it");
}
