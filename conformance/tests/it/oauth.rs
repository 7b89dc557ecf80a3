//! Tokens of a real OpenID provider: good ones by real clients, bad ones of each kind, keys that change, and a provider that is
//! down.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::drivers::Connection;
use conformance::drivers::socket::{KafkaSocket, SocketError};
use conformance::gateways::{Gateway, free_ports};
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::openid::Provider;
use super::stand::{log_is_calm, records, start, values};

const TENANT: &str = "orders";
const SASL_AUTHENTICATION_FAILED: i64 = 58;

/// A gateway that believes a provider, and a tenant with one identity of it.
struct House {
    gateway: Gateway,
    address: String,
    _broker: Broker,
}

impl House {
    fn build(issuer: &str) -> Self {
        let broker = Broker::start();
        let port = free_ports(1).unwrap();
        let settings = json!({
            "upstream": { "bootstrapServers": broker.address },
            "clients": { "securityProtocol": "SASL_PLAINTEXT", "portStart": port, "portCount": 1, "minBrokerId": 1 },
            "oauth": {
                "jwksUrl": format!("{issuer}/jwks"), "expectedIssuer": issuer, "expectedAudiences": ["kafka"],
                "requiredScopes": ["kafka"], "clockSkewSeconds": 10,
            },
        });
        let gateway = Gateway::start(&needs::sandbox_program(), &settings).unwrap_or_else(|error| panic!("{error}"));
        gateway.virtual_cluster(TENANT, &json!({})).unwrap();
        gateway.account(TENANT, "orders-app", &json!({ "type": "EXTERNAL", "externalNames": ["orders-app"] })).unwrap();
        Self { gateway, address: format!("127.0.0.1:{port}"), _broker: broker }
    }

    /// How a client comes in with a token that the provider gives to this id.
    fn client(&self, provider: &Provider, id: &str) -> Connection {
        Connection {
            bootstrap: self.address.clone(),
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "OAUTHBEARER".to_owned(),
            username: id.to_owned(),
            password: "any".to_owned(),
            token_endpoint: Some(format!("{}/token", provider.issuer)),
            ..Connection::default()
        }
    }

    fn log_in(&self, token: &str) -> Result<KafkaSocket, String> {
        log_in(&self.address, token)
    }

    fn topics(&self, socket: &mut KafkaSocket) -> Value {
        socket.ask(ApiKey::Metadata, 12, &json!({ "Topics": null })).unwrap().value["Topics"].clone()
    }
}

/// Logs in with a token, as KIP-255 says: what is refused is told in a challenge, and once more behind the client's answer.
pub(crate) fn log_in(address: &str, token: &str) -> Result<KafkaSocket, String> {
    let mut socket = KafkaSocket::open(address).unwrap();
    let answer = socket.ask(ApiKey::SaslHandshake, 1, &json!({ "Mechanism": "OAUTHBEARER" })).unwrap().value;
    if answer["ErrorCode"] != 0 {
        return Err("no tokens are taken".to_owned());
    }
    let mut say = |message: &str| {
        let body = json!({ "AuthBytes": STANDARD.encode(message) });
        socket.ask(ApiKey::SaslAuthenticate, 2, &body).map(|answer| answer.value)
    };
    let answer = match say(&format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}")) {
        Ok(answer) => answer,
        Err(SocketError::Io(_)) => return Err("closed".to_owned()),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(answer["ErrorCode"], 0, "{answer}");
    let challenge = STANDARD.decode(answer["AuthBytes"].as_str().unwrap()).unwrap();
    if challenge.is_empty() {
        return Ok(socket);
    }
    let status: Value = serde_json::from_slice(&challenge).unwrap();
    let last = say("\u{1}").unwrap();
    assert_eq!(last["ErrorCode"], SASL_AUTHENTICATION_FAILED, "{last}");
    Err(format!("{}: {}", status["status"].as_str().unwrap(), last["ErrorMessage"].as_str().unwrap()))
}

/// What a bad token comes to: the id that gets one, the challenge's status and the error, and what the log says of it.
const BAD: [(&str, &str, &str); 9] = [
    ("orders-app.expired", "invalid_token: Authentication failed: the token has expired", "token refused: expired "),
    (
        "orders-app.early",
        "invalid_token: Authentication failed: the token is not valid yet: compare the clocks",
        "token refused: not valid before another 35",
    ),
    (
        "orders-app.future",
        "invalid_token: Authentication failed: the token is from the future: compare the clocks",
        "token refused: issued 35",
    ),
    (
        "orders-app.elsewhere",
        "invalid_token: Authentication failed: the token is for another audience",
        "token refused: made for 'elsewhere', which is not in oauth.expectedAudiences",
    ),
    (
        "orders-app.issuer",
        "invalid_token: Authentication failed: the token is from another issuer",
        "token refused: issued by 'https://another-issuer.example.com', not by oauth.expectedIssuer",
    ),
    (
        "orders-app.key",
        "invalid_token: Authentication failed: the token is not signed with a key of the identity provider",
        "token refused: the identity provider publishes no key 'never-published'",
    ),
    (
        "orders-app.forged",
        "invalid_token: Authentication failed: the token's signature is wrong",
        "token refused: the key it names did not make its signature",
    ),
    (
        "orders-app.logout",
        "invalid_token: Authentication failed: the token is no access token",
        "token refused: its type is 'logout+jwt'",
    ),
    (
        "somebody-else",
        "invalid_token: Authentication failed: no service account has this identity",
        "no service account has this identity",
    ),
];

#[test]
fn bad_tokens_are_refused_and_it_is_said_why() {
    if !needs::met("bad_tokens_are_refused_and_it_is_said_why", &["go"]) {
        return;
    }
    let provider = Provider::fresh();
    let house = House::build(&provider.issuer);
    let mut good = house.log_in(&provider.token("orders-app", "kafka")).unwrap();
    assert_eq!(house.topics(&mut good), json!([]));
    for (id, told, logged) in BAD {
        assert_eq!(house.log_in(&provider.token(id, "kafka")).unwrap_err(), told, "{id}");
        house.logs(logged);
    }
    let told = "insufficient_scope: Authentication failed: the token lacks a scope";
    assert_eq!(house.log_in(&provider.token("orders-app", "openid profile")).unwrap_err(), told);
    assert_eq!(house.log_in(&provider.token("orders-app.large", "kafka")).unwrap_err(), "closed");
    // A client of the real world takes a refusal for one, whatever it makes of the challenge.
    for id in ["orders-app.elsewhere", "somebody-else"] {
        let codes = &["UNKNOWN_SERVER_ERROR", "SASL_AUTHENTICATION_FAILED"];
        start("go", &house.client(&provider, id)).fails("list_topics", json!({}), codes);
    }
    let log = house.gateway.log();
    for token in provider.given() {
        assert!(!log.contains(&token[token.len() - 60..]), "a token is in the log");
    }
    log_is_calm(&log, &["audit.sinks is not set", "audit alert rule=\"authentication-failures\""]);
}

#[test]
fn real_clients_log_in_with_tokens() {
    // Not kcat, which distributions build without.
    let clients = ["java-clients", "python", "go"];
    if !needs::met("real_clients_log_in_with_tokens", &clients) {
        return;
    }
    let provider = Provider::fresh();
    let house = House::build(&provider.issuer);
    let connection = house.client(&provider, "orders-app");
    start("go", &connection).does("create_topic", json!({ "topic": "by-token" }));
    for (at, client) in clients.into_iter().enumerate() {
        let mut at_work = start(client, &connection);
        at_work.does("produce", json!({ "topic": "by-token", "records": records(client, 2) }));
        let read = at_work.consumes("by-token", &format!("group-of-{client}"), 2 * (at + 1));
        assert!(values(client, 2).iter().all(|value| read.contains(value)), "{client} read {read:?}");
        start(client, &house.client(&provider, "somebody-else")).refuses_to("list_topics", json!({}));
    }
}

#[test]
fn keys_change_and_the_provider_comes_and_goes() {
    if !needs::met("keys_change_and_the_provider_comes_and_goes", &[]) {
        return;
    }
    let provider = Provider::fresh();
    let house = House::build(&provider.issuer);
    let old = provider.token("orders-app", "kafka");
    let _ = house.log_in(&old).unwrap();

    let down = provider.stop();
    let _ = house.log_in(&old).expect("the keys that are known hold while the provider is down");

    let provider = Provider::with_another_key(down);
    let new = provider.token("orders-app", "kafka");
    let began = Instant::now();
    thread::scope(|scope| {
        let many: Vec<_> = (0..8).map(|_| scope.spawn(|| house.log_in(&new).map(drop))).collect();
        for login in many {
            login.join().unwrap().expect("the new key is looked for at the first token that it signed");
        }
    });
    assert!(began.elapsed() < Duration::from_secs(15), "it took {:?}", began.elapsed());
    let told = house.log_in(&old).unwrap_err();
    assert!(told.ends_with("is not signed with a key of the identity provider"), "{told}");

    let fetched = "gateway_oauth_key_fetches_total{result=\"ok\"} ";
    let before = house.metric(fetched);
    thread::scope(|scope| {
        for _ in 0..30 {
            let _ = scope.spawn(|| house.log_in(&provider.token("orders-app.key", "kafka")).map(drop).unwrap_err());
        }
    });
    let fetches = house.metric(fetched) - before;
    assert!((1..=3).contains(&fetches), "30 unknown keys made {fetches} fetches");
}

#[test]
fn a_session_ends_with_its_token() {
    if !needs::met("a_session_ends_with_its_token", &[]) {
        return;
    }
    let provider = Provider::fresh();
    let house = House::build(&provider.issuer);
    let mut socket = house.log_in(&provider.token("orders-app.short", "kafka")).unwrap();
    assert_eq!(house.topics(&mut socket), json!([]));
    thread::sleep(Duration::from_secs(6));
    let ended = socket.ask(ApiKey::Metadata, 12, &json!({ "Topics": null }));
    assert!(matches!(ended, Err(SocketError::Io(_))), "{ended:?}");
}

impl House {
    /// Waits for a line of the log, which is written when the connection has ended.
    fn logs(&self, text: &str) {
        let began = Instant::now();
        while !self.gateway.log().contains(text) {
            assert!(began.elapsed() < Duration::from_secs(5), "'{text}' is not in the log:\n{}", self.gateway.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The number behind the text in the metrics.
    fn metric(&self, name: &str) -> u64 {
        let metrics = self.gateway.metrics().unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).trim().parse().unwrap()
    }
}
