//! Sessions over real sockets, with a broker that answers as told.

use super::*;
use crate::audit::event::Event;
use crate::authn::oauth::OAuth;
use crate::authn::tokens::TokenKey;
use crate::authz::acl::{AclBinding, AclFilter};
use crate::config::{Config, HostPort, PortRouting};
use crate::naming::topic_ids::TopicIds;
use crate::routing::port::Ports;
use crate::upstream::metadata;
use crate::upstream::security::Security;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wire::frame;
use wire::schema::ApiKey;
use wire::value;

/// A broker that answers each request after `delay`; Heartbeats with their correlation id as throttle time.
pub(super) async fn broker(delay: Duration) -> (HostPort, Arc<AtomicUsize>) {
    broker_called(1, delay).await
}

/// The same with an id of its own.
pub(super) async fn broker_called(id: i32, delay: Duration) -> (HostPort, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let produced = Arc::new(AtomicUsize::new(0));
    let seen = produced.clone();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(broker_connection(stream, (id, port), delay, seen.clone())));
        }
    }));
    (HostPort { host: "127.0.0.1".into(), port }, produced)
}

async fn broker_connection(mut stream: TcpStream, (id, port): (i32, u16), delay: Duration, produced: Arc<AtomicUsize>) {
    while let Ok(length) = stream.read_u32().await {
        let mut request = vec![0; length as usize];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let (code, version, correlation_id) = frame::request_start(&request).unwrap();
        let key = ApiKey::from_code(code).unwrap();
        let body = match key {
            ApiKey::Metadata => json!({
                "Brokers": [{ "NodeId": id, "Host": "127.0.0.1", "Port": port }], "ClusterId": "physical", "ControllerId": id,
            }),
            ApiKey::ApiVersions => json!({ "ApiKeys": [
                { "ApiKey": 3, "MinVersion": 0, "MaxVersion": metadata::VERSION }, { "ApiKey": 12, "MinVersion": 0, "MaxVersion": 4 },
            ] }),
            ApiKey::Produce => {
                let _ = produced.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            _ => json!({ "ThrottleTimeMs": correlation_id }),
        };
        tokio::time::sleep(delay).await;
        let body = value::encode(key.response(), version, &body).unwrap();
        if stream.write_all(&frame::response(key, version, correlation_id, &body)).await.is_err() {
            return;
        }
    }
}

/// Keeps no rules.
#[derive(Debug)]
struct NoRules;

impl acls::AclKeeper for NoRules {
    fn create(self: Arc<Self>, _: Arc<str>, _: Vec<AclBinding>) -> acls::Kept<()> {
        Box::pin(async { Err(acls::NotKept::Unavailable("no rules".into())) })
    }

    fn delete(self: Arc<Self>, _: Arc<str>, _: Vec<AclFilter>) -> acls::Kept<Vec<Vec<AclBinding>>> {
        Box::pin(async { Err(acls::NotKept::Unavailable("no rules".into())) })
    }
}

impl quotas::QuotaKeeper for NoRules {
    fn set(self: Arc<Self>, _: Arc<str>, _: Vec<quotas::Setting>) -> acls::Kept<()> {
        Box::pin(async { Err(acls::NotKept::Unavailable("no rules".into())) })
    }
}

pub(super) struct Gateway {
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Arc<Listener>,
    pub(super) world: watch::Sender<Arc<World>>,
    pub(super) events: mpsc::Receiver<Event>,
}

pub(super) fn gateway(broker: &HostPort, sasl: bool) -> Gateway {
    let authenticator = || Arc::new(Authenticator::new(TokenKey::random().unwrap()).unwrap());
    let login = if sasl { Login::Sasl(authenticator()) } else { Login::Anonymous("passthrough".into()) };
    gateway_with(broker, login, None)
}

pub(super) fn gateway_with(broker: &HostPort, login: Login, max_reauth: Option<Duration>) -> Gateway {
    let (world, receiver) = watch::channel(Arc::new(World::empty()));
    let metrics = Arc::<Metrics>::default();
    let (audit, events) = Audit::new(100, crate::audit::Watched::default(), Arc::clone(&metrics));
    let shared = Arc::new(Shared {
        cluster: Arc::new(Physical::new(
            "main",
            std::slice::from_ref(broker),
            Security::default(),
            Arc::new(TopicIds::new(&[9; 16]).unwrap()),
        )),
        active: None,
        topic_ids: Arc::default(),
        world: receiver,
        metrics,
        traces: None,
        audit,
        attempts: Arc::default(),
        limits: Limits {
            max_connections: 100,
            max_in_flight: 3,
            max_produce_bytes: 10_000,
            max_request_bytes: 1_000,
            max_answer_bytes: 10_000,
            handshake: Duration::from_secs(20),
            max_reauth,
        },
        api_versions: Arc::default(),
        fetch_sessions: Arc::default(),
        quotas: Arc::default(),
        acls: Arc::new(NoRules),
        quota_keeper: Arc::new(NoRules),
        drain: Arc::default(),
    });
    let routing = PortRouting { start: 6969, count: 1, advertised_start: 6969, min_broker_id: 1 };
    let routes = Routes::Port(Ports::new("gateway.test", &routing));
    let listener = Arc::new(Listener { name: "default".into(), login, routes, nodes: None });
    Gateway { shared, listener, world, events }
}

pub(super) type Ended = tokio::task::JoinHandle<Result<(), SessionError>>;

pub(super) async fn client(gateway: &Gateway) -> (TcpStream, Ended) {
    client_at(gateway, Dialled::broker(1)).await
}

/// A client that dialled this.
pub(super) async fn client_at(gateway: &Gateway, dialled: Dialled) -> (TcpStream, Ended) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (listener, shared) = (gateway.listener.clone(), gateway.shared.clone());
    let session = tokio::spawn(async move {
        let attendance = shared.drain.attend().await;
        serve(Connection::plain(accepted.unwrap().0).unwrap(), dialled, listener, shared.clone(), &attendance).await
    });
    (client.unwrap(), session)
}

pub(super) fn request(key: ApiKey, version: i16, correlation_id: i32, body: &serde_json::Value) -> Vec<u8> {
    let body = value::encode(key.request(), version, body).unwrap();
    frame::request(key, version, correlation_id, Some("test"), &body)
}

pub(super) async fn answer(client: &mut TcpStream) -> Vec<u8> {
    let length = client.read_u32().await.unwrap();
    let mut frame = vec![0; length as usize];
    let _ = client.read_exact(&mut frame).await.unwrap();
    frame
}

pub(super) fn correlation_id(frame: &[u8]) -> i32 {
    i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])
}

#[tokio::test]
async fn answers_leave_in_the_order_of_the_requests_also_when_some_are_made_here() {
    let (address, _) = broker(Duration::from_millis(20)).await;
    let gateway = gateway(&address, false);
    let (mut client, _session) = client(&gateway).await;
    let mut sent = Vec::new();
    for id in 0..12 {
        let frame = match id % 3 {
            0 => request(ApiKey::Heartbeat, 4, id, &json!({ "GroupId": "g" })),
            1 => request(ApiKey::DescribeQuorum, 1, id, &json!({})),
            _ => request(ApiKey::ApiVersions, 3, id, &json!({})),
        };
        sent.extend(frame);
    }
    client.write_all(&sent).await.unwrap();
    for id in 0..12 {
        assert_eq!(correlation_id(&answer(&mut client).await), id);
    }
}

#[tokio::test]
async fn a_produce_without_acknowledgement_has_no_answer_and_the_next_ones_stay_aligned() {
    let (address, produced) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, false);
    let (mut client, _session) = client(&gateway).await;
    let produce = request(ApiKey::Produce, 9, 1, &json!({ "Acks": 0, "TimeoutMs": 1, "TransactionalId": null }));
    let heartbeat = request(ApiKey::Heartbeat, 4, 2, &json!({ "GroupId": "g" }));
    client.write_all(&[produce.clone(), produce, heartbeat].concat()).await.unwrap();
    let frame = answer(&mut client).await;
    assert_eq!(correlation_id(&frame), 2);
    assert_eq!(produced.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_frame_that_is_none_closes_its_connection_and_no_other() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, false);
    let (mut other, _session) = client(&gateway).await;
    let garbage: [&[u8]; 5] = [
        &[0x7f, 0xff, 0xff, 0xff, 0, 3],             // two gigabytes of Metadata
        &[0, 0, 0, 8, 0x27, 0x10, 0, 0, 0, 0, 0, 1], // an unknown key
        &[0, 0, 0, 1, 0],                            // not even a key
        &[0xff, 0xff, 0xff, 0xff, 0, 3],             // a negative length
        &[0, 0, 0, 14, 0, 12, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0, 0], // a string longer than its frame
    ];
    for bytes in garbage {
        let (mut client, session) = client(&gateway).await;
        client.write_all(bytes).await.unwrap();
        assert!(matches!(session.await.unwrap(), Err(SessionError::Frame { .. })), "{bytes:?}");
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
    other.write_all(&request(ApiKey::Heartbeat, 4, 5, &json!({ "GroupId": "g" }))).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut other).await), 5);
}

#[tokio::test]
async fn before_authentication_nothing_else_is_read() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, true);
    let (mut client, session) = client(&gateway).await;
    client.write_all(&request(ApiKey::ApiVersions, 3, 1, &json!({}))).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut client).await), 1);
    client.write_all(&request(ApiKey::Metadata, 9, 2, &json!({ "Topics": null }))).await.unwrap();
    let refused = session.await.unwrap();
    assert!(matches!(refused, Err(SessionError::Frame { reason: FrameRefusal::Unauthenticated, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0_with_what_is_served() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, true);
    let (mut client, _session) = client(&gateway).await;
    let mut frame = request(ApiKey::ApiVersions, 4, 8, &json!({}));
    frame[7] = 99;
    client.write_all(&frame).await.unwrap();
    let answer = answer(&mut client).await;
    let body = value::decode(ApiKey::ApiVersions.response(), 0, &answer[4..]).unwrap();
    assert_eq!(body["ErrorCode"], 35);
    assert!(body["ApiKeys"].as_array().unwrap().iter().any(|key| key["ApiKey"] == 18 && key["MaxVersion"] == 4));
}

#[tokio::test]
async fn software_without_a_proper_name_is_told_so_and_nothing_else() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, true);
    let (mut client, _session) = client(&gateway).await;
    for (name, code) in [("", 42), ("-a", 42), ("a b", 42), ("ü", 42), ("apache-kafka-java", 0)] {
        let body = json!({ "ClientSoftwareName": name, "ClientSoftwareVersion": "4.3.0" });
        client.write_all(&request(ApiKey::ApiVersions, 4, 8, &body)).await.unwrap();
        let answer = answer(&mut client).await;
        let body = value::decode(ApiKey::ApiVersions.response(), 4, &answer[4..]).unwrap();
        assert_eq!((&body["ErrorCode"], body["ApiKeys"] == json!([])), (&json!(code), code != 0), "{name}");
    }
}

#[tokio::test]
async fn a_broker_that_goes_away_ends_the_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        // Answers the look-up of the brokers, then hangs up on whoever comes next.
        let (stream, _) = listener.accept().await.unwrap();
        drop(tokio::spawn(broker_connection(stream, (1, port), Duration::ZERO, Arc::default())));
        drop(listener.accept().await.unwrap());
    });
    let gateway = gateway(&HostPort { host: "127.0.0.1".into(), port }, false);
    let (mut client, session) = client(&gateway).await;
    client.write_all(&request(ApiKey::Heartbeat, 4, 1, &json!({ "GroupId": "g" }))).await.unwrap();
    let ended = session.await.unwrap();
    assert!(matches!(ended, Err(SessionError::Upstream(_))), "{ended:?}");
    accepting.await.unwrap();
}

#[tokio::test]
async fn a_virtual_cluster_that_is_removed_ends_its_sessions() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, true);
    let declared = contract::resources::VirtualCluster::new("team-a");
    let _ = gateway.world.send_replace(Arc::new(crate::world::build([&declared], [], [], []).unwrap()));
    let identity =
        Identity { username: "app".into(), virtual_cluster: "team-a".into(), expires_at: None, provider: None };
    let shared = gateway.shared.clone();
    let before = shared.world.borrow().clone();
    let listener = gateway.listener.clone();
    let ending = tokio::spawn(async move { ended(&shared, &listener, &before, &identity).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let _ = gateway.world.send_replace(Arc::new(World::empty()));
    assert_eq!(ending.await.unwrap(), "the virtual cluster was removed or changed");
}

#[tokio::test]
async fn what_changed_while_a_client_logged_in_ends_its_session() {
    let (address, _) = broker(Duration::ZERO).await;
    let gateway = gateway(&address, true);
    let declared = contract::resources::VirtualCluster::new("team-a");
    let before = crate::world::build([&declared], [], [], []).unwrap();
    let identity =
        Identity { username: "app".into(), virtual_cluster: "team-a".into(), expires_at: None, provider: None };
    // The world of now no longer has the virtual cluster of then.
    assert_eq!(
        ended(&gateway.shared, &gateway.listener, &before, &identity).await,
        "the virtual cluster was removed or changed"
    );
}

/// A broker that assigns a topic of team-a's, and knows its name only from the third look-up on.
async fn broker_that_learns() -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    drop(tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = asked.clone();
            drop(tokio::spawn(async move {
                while let Ok(length) = stream.read_u32().await {
                    let mut request = vec![0; length as usize];
                    let _ = stream.read_exact(&mut request).await.unwrap();
                    let (code, version, correlation_id) = frame::request_start(&request).unwrap();
                    let key = ApiKey::from_code(code).unwrap();
                    let id = value::uuid_text(&[5; 16]);
                    let body = if key == ApiKey::Metadata {
                        let known = asked.fetch_add(1, Ordering::SeqCst) >= 2;
                        let topics = if known { json!([{ "Name": "team-a.new", "TopicId": id }]) } else { json!([]) };
                        json!({ "Brokers": [{ "NodeId": 1, "Host": "127.0.0.1", "Port": port }], "Topics": topics })
                    } else {
                        json!({ "MemberId": "m", "Assignment": { "TopicPartitions": [{ "TopicId": id, "Partitions": [0] }] } })
                    };
                    let body = value::encode(key.response(), version, &body).unwrap();
                    stream.write_all(&frame::response(key, version, correlation_id, &body)).await.unwrap();
                }
            }));
        }
    }));
    HostPort { host: "127.0.0.1".into(), port }
}

#[tokio::test]
async fn a_topic_that_was_made_a_moment_ago_is_looked_for_before_it_is_assigned() {
    let gateway = gateway(&broker_that_learns().await, false);
    let declared = contract::resources::VirtualCluster::new("team-a");
    let world = crate::world::build([&declared], [], [], []).unwrap();
    let identity =
        Identity { username: "app".into(), virtual_cluster: "team-a".into(), expires_at: None, provider: None };
    let tenant = tenant(&gateway.shared, &gateway.listener, &world, &identity).unwrap();
    let _ = gateway.world.send_replace(Arc::new(world));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let accepted = Connection::plain(accepted.unwrap().0).unwrap();
    let (mut client, shared) = (client.unwrap(), gateway.shared.clone());
    drop(tokio::spawn(async move {
        let open = shared.metrics.tenant_connection_opened(&identity.virtual_cluster);
        let reader = frames::FrameReader::default();
        let lifetime = Lifetime::new(None);
        let again = Again::new(None, &lifetime);
        let entry = pipeline::Entry {
            identity: &identity,
            tenant: Arc::new(tenant),
            again,
            link: None,
            kafka_authorizes: false,
        };
        pipeline::run(&accepted, reader, 1, &shared, open.metrics(), entry).await
    }));
    let (key, version) = (ApiKey::ConsumerGroupHeartbeat, 1);
    client.write_all(&request(key, version, 7, &json!({ "GroupId": "g", "MemberId": "m" }))).await.unwrap();
    let frame = answer(&mut client).await;
    let (_, start) = frame::response_header(key.response_header(version), &frame).unwrap();
    let answer = value::decode(key.response(), version, &frame[start..]).unwrap();
    assert_eq!(answer["Assignment"]["TopicPartitions"][0]["TopicId"], value::uuid_text(&[5; 16]), "{answer}");
}

fn recorded(gateway: &mut Gateway) -> Vec<String> {
    std::iter::from_fn(|| gateway.events.try_recv().ok()).map(|event| format!("{event:?}")).collect()
}

#[tokio::test]
async fn refused_frames_and_failed_logins_are_recorded_without_what_was_secret() {
    let (address, _) = broker(Duration::ZERO).await;
    let mut gateway = gateway(&address, true);
    let (mut stranger, ended) = client(&gateway).await;
    stranger.write_all(&request(ApiKey::Metadata, 9, 2, &json!({ "Topics": null }))).await.unwrap();
    let _ = ended.await.unwrap().unwrap_err();
    let told = recorded(&mut gateway);
    assert!(told.len() == 1 && told[0].contains("unauthenticated") && told[0].contains("127.0.0.1:"), "{told:#?}");

    let (mut guesser, ended) = client(&gateway).await;
    for (mechanism, code) in [("NONE-SUCH", 33), ("PLAIN", 0)] {
        guesser.write_all(&request(ApiKey::SaslHandshake, 1, 3, &json!({ "Mechanism": mechanism }))).await.unwrap();
        let answer = answer(&mut guesser).await;
        assert_eq!(value::decode(ApiKey::SaslHandshake.response(), 1, &answer[4..]).unwrap()["ErrorCode"], code);
    }
    let token = local::to_base64(b"\0alice\0wrong-guess");
    guesser.write_all(&request(ApiKey::SaslAuthenticate, 1, 4, &json!({ "AuthBytes": token }))).await.unwrap();
    let _ = ended.await.unwrap().unwrap_err();
    let told = recorded(&mut gateway);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("AuthenticationFailed") && told[0].contains("\"NONE-SUCH\""), "{}", told[0]);
    assert!(
        told[1].contains("\"PLAIN\"") && told[1].contains("\"alice\"") && told[1].contains("unknown user"),
        "{}",
        told[1]
    );
    assert!(!told.concat().contains("wrong-guess"), "{told:#?}");
}

#[tokio::test]
async fn a_request_that_is_not_served_is_recorded_with_who_sent_it() {
    let (address, _) = broker(Duration::ZERO).await;
    let mut gateway = gateway(&address, false);
    let (mut client, _session) = client(&gateway).await;
    client.write_all(&request(ApiKey::DescribeLogDirs, 4, 2, &json!({ "Topics": null }))).await.unwrap();
    client.write_all(&request(ApiKey::CreateDelegationToken, 3, 3, &json!({}))).await.unwrap();
    client.write_all(&request(ApiKey::Heartbeat, 4, 4, &json!({ "GroupId": "g" }))).await.unwrap();
    while correlation_id(&answer(&mut client).await) != 4 {}
    let told = recorded(&mut gateway);
    let refused: Vec<_> = told.iter().filter(|event| event.contains("CreateDelegationToken")).collect();
    assert!(refused.len() == 1 && refused[0].contains("passthrough") && refused[0].contains("ANONYMOUS"), "{told:#?}");
}

/// A gateway whose identity provider publishes nothing, so that no token is taken.
fn gateway_with_tokens(broker: &HostPort) -> Gateway {
    let settings = "{upstream: {bootstrapServers: 'k:1'}, oauth: {jwksUrl: 'https://login.test/keys', \
                    expectedIssuer: x, expectedAudiences: x}}";
    let config = Config::parse(settings, []).unwrap().config;
    let oauth = config.oauth.map(|rules| Arc::new(OAuth::new(rules, Arc::default())));
    let authenticator = Authenticator::new(TokenKey::random().unwrap()).unwrap().with_logins(&config.logins, oauth);
    let gateway = gateway(broker, true);
    let Listener { name, routes, .. } = Arc::into_inner(gateway.listener).unwrap();
    let listener = Arc::new(Listener { name, login: Login::Sasl(Arc::new(authenticator)), routes, nodes: None });
    Gateway { listener, ..gateway }
}

fn bearer(token: &str, id: i32) -> Vec<u8> {
    let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
    let body = json!({ "AuthBytes": local::to_base64(message.as_bytes()) });
    request(ApiKey::SaslAuthenticate, 1, id, &body)
}

#[tokio::test]
async fn a_refused_token_is_counted_once_and_there_is_no_second_attempt() {
    let (address, _) = broker(Duration::ZERO).await;
    let last_words = [
        request(ApiKey::SaslAuthenticate, 1, 3, &json!({ "AuthBytes": local::to_base64(&[1]) })),
        bearer("again", 3),
        request(ApiKey::SaslHandshake, 1, 3, &json!({ "Mechanism": "PLAIN" })),
        Vec::new(),
    ];
    for last_word in last_words {
        let mut gateway = gateway_with_tokens(&address);
        let (mut client, session) = client(&gateway).await;
        let greeting = request(ApiKey::SaslHandshake, 1, 1, &json!({ "Mechanism": "OAUTHBEARER" }));
        client.write_all(&greeting).await.unwrap();
        let _ = answer(&mut client).await;
        client.write_all(&bearer("no.token", 2)).await.unwrap();
        let challenge = answer(&mut client).await;
        let text = r#"{"status":"invalid_request"}"#.as_bytes();
        assert!(challenge.windows(text.len()).any(|window| window == text), "{challenge:?}");
        client.write_all(&last_word).await.unwrap();
        let _ = client.shutdown().await;
        let ended = tokio::time::timeout(Duration::from_secs(5), session).await.unwrap().unwrap().unwrap_err();
        assert!(ended.to_string().starts_with("client: token refused: not a signed JSON Web Token"), "{ended}");
        assert!(gateway.shared.metrics.render().contains("gateway_authentication_failures_total 1\n"));
        let event = gateway.events.recv().await.unwrap();
        assert!(format!("{event:?}").contains("it has not three parts"), "{event:?}");
        assert!(gateway.events.try_recv().is_err(), "one refusal, one event");
    }
}

#[tokio::test]
async fn a_frame_may_be_as_long_as_a_token_only_for_who_brings_one() {
    let (address, _) = broker(Duration::ZERO).await;
    for (mechanism, length, refused) in
        [("OAUTHBEARER", 30_000, false), ("OAUTHBEARER", 40_000, true), ("PLAIN", 30_000, true)]
    {
        let gateway = gateway_with_tokens(&address);
        let (mut client, session) = client(&gateway).await;
        client.write_all(&request(ApiKey::SaslHandshake, 1, 1, &json!({ "Mechanism": mechanism }))).await.unwrap();
        let _ = answer(&mut client).await;
        client.write_all(&bearer(&"x".repeat(length), 2)).await.unwrap();
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(5), session).await.unwrap().unwrap().unwrap_err();
        let oversized = matches!(ended, SessionError::Frame { reason: FrameRefusal::Oversized, .. });
        assert_eq!(oversized, refused, "{mechanism} {length}: {ended}");
    }
}
