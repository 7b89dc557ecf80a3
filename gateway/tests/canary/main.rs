//! Canaries: secrets are planted in every place where a secret belongs, the gateway is made to say all that it can say, and
//! nothing that comes out may hold one of them, in no form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

#[allow(dead_code, reason = "this broker also tells lies, which others ask for")]
#[path = "../hostile/broker.rs"]
mod broker;
mod client;
mod scan;
mod stand;

use client::Client;
use contract::resources::service_account::ServiceAccountFilter;
use contract::resources::{GatewayServiceAccount, TokenRequest, VirtualCluster};
use contract::secret::Secret;
use scan::{Leak, leaks};
use serde_json::json;
use stand::{ACCOUNT, Secrets, Stand, TENANT};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use wire::frame;
use wire::schema::ApiKey;

/// What came out, by where.
type Outputs = Vec<(String, Vec<u8>)>;

/// Declares the tenant, and asks the admin API for everything, rightly and wrongly.
fn administer(stand: &mut Stand) -> Outputs {
    let admin = stand.admin("admin", &stand.secrets["admin-password"]);
    let _ = admin.put_virtual_cluster(&VirtualCluster::new(TENANT), false).unwrap();
    let password = stand.secrets["account-password"].clone();
    let account = GatewayServiceAccount::local(ACCOUNT, TENANT, Some(Secret::new(&password)));
    let mut said = vec![format!("{:?}", admin.put_service_account(&account, false).unwrap())];
    said.push(format!("{:?}", admin.list_service_accounts(&ServiceAccountFilter::default()).unwrap()));
    said.push(format!("{:?}", admin.list_virtual_clusters().unwrap()));
    said.push(format!("{:?}", stand.admin("admin", &stand.secrets["wrong-admin-password"]).metrics().unwrap_err()));
    let reader = stand.admin("reader", &stand.secrets["reader-password"]);
    said.push(format!("{:?}", reader.put_service_account(&account, false).unwrap_err()));
    let token =
        admin.token(&TokenRequest { username: ACCOUNT.into(), v_cluster: Some(TENANT.into()), life_time_seconds: 60 });
    let _ = stand.secrets.insert("token", token.unwrap().token.reveal().to_owned());
    // Bodies in which the password stands where it does not belong.
    for spec in [
        json!({ "type": "LOCAL", "password": [password] }),
        json!({ "type": "LOCAL", "passwort": password, "password": { "is": password } }),
        json!([password]),
    ] {
        let body = json!({
            "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2",
            "metadata": { "name": ACCOUNT, "vCluster": TENANT }, "spec": spec,
        });
        said.push(raw_put(stand, &body.to_string()));
    }
    said.into_iter().map(|text| ("an answer of the admin API".to_owned(), text.into_bytes())).collect()
}

/// A PUT whose body no honest client would make; gives the whole answer.
fn raw_put(stand: &Stand, body: &str) -> String {
    use base64::Engine as _;
    let login = format!("admin:{}", stand.secrets["admin-password"]);
    let login = base64::engine::general_purpose::STANDARD.encode(login);
    let mut stream = TcpStream::connect(("127.0.0.1", stand.admin_port)).unwrap();
    let head = format!(
        "PUT /gateway/v2/service-account HTTP/1.1\r\nhost: x\r\nauthorization: Basic {login}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    answer
}

/// Logs in rightly and wrongly by every mechanism, and sends records and what else holds the application's own bytes.
fn play(stand: &Stand) -> Outputs {
    let of = |kind: &str| stand.secrets[kind].as_str();
    let mut answers = Vec::new();
    let mut attempt = |what: &str, right: bool, login: &dyn Fn(&mut Client) -> bool| {
        let mut client = Client::connect(stand.port);
        assert_eq!(login(&mut client), right, "{what}");
        answers.push((format!("what a client was answered after {what}"), client.answers));
    };
    attempt("a password", true, &|client| client.plain(ACCOUNT, of("account-password")));
    attempt("a token", true, &|client| client.plain(ACCOUNT, of("token")));
    attempt("a wrong password", false, &|client| client.plain(ACCOUNT, of("wrong-plain-password")));
    attempt("a changed token", false, &|client| client.plain(ACCOUNT, &format!("{}x", of("token"))));
    attempt("SCRAM", true, &|client| client.scram_sha_256(ACCOUNT, of("account-password")));
    attempt("a wrong SCRAM", false, &|client| client.scram_sha_256(ACCOUNT, of("wrong-plain-password")));
    let forged = format!("eyJhbGciOiJub25lIn0.{}.", of("oauth-token"));
    attempt("a forged token of a provider", false, &|client| client.oauthbearer(&forged));
    answers.push(("what a client was answered to its records".into(), use_up(stand)));
    // A client that does not know that the port wants TLS.
    let token = frame::request(ApiKey::SaslAuthenticate, 1, 1, None, of("cleartext-to-tls").as_bytes());
    answers.push(("what a client was answered in the clear".into(), Client::connect(stand.tls_port).shout(&token)));
    answers
}

fn use_up(stand: &Stand) -> Vec<u8> {
    let bytes = |kind: &str| wire_bytes(&stand.secrets[kind]);
    let mut client = Client::connect(stand.port);
    assert!(client.plain(ACCOUNT, &stand.secrets["account-password"]));
    let records = ["record-key", "record-value", "record-header"].map(|kind| stand.secrets[kind].as_str()).join(" ");
    let produce = json!({ "Acks": 1, "TimeoutMs": 1, "TransactionalId": null, "TopicData": [
        { "Name": "orders", "PartitionData": [{ "Index": 0, "Records": wire_bytes(&records) }] },
    ] });
    let _ = client.ask(ApiKey::Produce, 9, &produce);
    let join = json!({ "GroupId": "g", "ProtocolType": "consumer", "GroupInstanceId": null, "Protocols": [
        { "Name": "range", "Metadata": bytes("member-metadata") },
    ] });
    let _ = client.ask(ApiKey::JoinGroup, 7, &join);
    let sync = json!({ "GroupId": "g", "GroupInstanceId": null, "ProtocolType": null, "ProtocolName": null,
        "Assignments": [{ "MemberId": "m", "Assignment": bytes("assignment") }] });
    let mut other = Client::connect(stand.port);
    assert!(other.plain(ACCOUNT, &stand.secrets["account-password"]));
    let _ = other.ask(ApiKey::SyncGroup, 5, &sync);
    // Frames that are none, with records in them, before and after a login.
    let mut answers = [client.answers, other.answers].concat();
    let half = [&[0, 0, 0, 200, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff][..], records.as_bytes()].concat();
    answers.extend(Client::connect(stand.port).shout(&half));
    let mut known = Client::connect(stand.port);
    assert!(known.plain(ACCOUNT, &stand.secrets["account-password"]));
    answers.extend(known.shout(&[&half[..], &[0; 200]].concat()));
    answers
}

fn wire_bytes(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Settings that cannot be, each with a secret in it: what the operator is told.
fn misconfigure(secrets: &Secrets) -> Outputs {
    let jaas = &secrets["jaas-password"];
    let store = &secrets["key-store-password"];
    let variables = [
        (
            "KAFKA_SASL_JAAS_CONFIG",
            format!("org.apache.kafka.common.security.plain.PlainLoginModule required password=\"{jaas}"),
        ),
        ("KAFKA_SASL_JAAS_CONFIG", format!("SomeModule required username=\"gw\" password=\"{jaas}\";")),
        ("GATEWAY_ADMIN_API_USERS", format!("[{{username: 'a:b', password: '{}'}}]", secrets["admin-password"])),
        ("GATEWAY_ADMIN_API_USERS", format!("[{{username: a, passwort: '{}'}}]", secrets["admin-password"])),
        ("GATEWAY_ADMIN_API_USERS", format!("{{a: '{}'", secrets["admin-password"])),
        ("GATEWAY_SSL_KEY_STORE_PASSWORD", store.clone()),
    ];
    let mut said = Vec::new();
    for (name, value) in &variables {
        let told = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["validate", concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/configs/valid/minimal.yaml")])
            .env_clear()
            .env("RUST_LOG", "trace")
            .env(name, value)
            .envs([("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"), ("KAFKA_SASL_MECHANISM", "PLAIN")])
            .output()
            .unwrap();
        said.push((format!("what `gateway validate` says about {name}"), [told.stdout, told.stderr].concat()));
    }
    said
}

/// Everything that came out of a gateway that is over.
fn written(stand: &Stand) -> Outputs {
    ["log", "stdout", "audit.log"].iter().map(|file| ((*file).to_owned(), stand.read(file).into_bytes())).collect()
}

fn found(secrets: &Secrets, outputs: &Outputs) -> Vec<Leak> {
    let one = |(kind, secret): (&&'static str, &String)| -> Vec<Leak> {
        outputs.iter().flat_map(|(output, text)| leaks(kind, text, output, secret)).collect()
    };
    secrets.iter().flat_map(one).collect()
}

#[test]
fn no_secret_is_in_a_log_an_error_a_metric_an_answer_or_the_audit() {
    let mut stand = Stand::start("all");
    let mut outputs = administer(&mut stand);
    outputs.extend(play(&stand));
    outputs.push(("/metrics".into(), stand.admin("admin", &stand.secrets["admin-password"]).metrics().unwrap().into()));
    stand.stop();
    outputs.extend(misconfigure(&stand.secrets));
    outputs.extend(written(&stand));
    let sizes: Vec<_> = outputs.iter().map(|(output, text)| (output, text.len())).collect();
    assert!(sizes.iter().all(|(_, length)| *length > 0), "something said nothing: {sizes:#?}");
    assert!(stand.read("log").contains("DEBUG"), "the log says all it can");
    let leaks = found(&stand.secrets, &outputs);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// The same scan over the same outputs finds what is no secret: the name of the account is in the audit, and what a client calls
/// itself is too, also where that is its password.
#[test]
fn what_is_said_is_found() {
    let mut stand = Stand::start("said");
    let _ = administer(&mut stand);
    let mut client = Client::connect(stand.port);
    assert!(!client.plain(&stand.secrets["account-password"].clone(), "in the wrong field"));
    stand.stop();
    let name: Secrets = [("name", ACCOUNT.to_owned())].into();
    let outputs = written(&stand);
    let places: Vec<_> = found(&name, &outputs).into_iter().map(|leak| leak.output).collect();
    assert!(places.contains(&"audit.log".to_owned()) && places.contains(&"stdout".to_owned()), "{places:?}");
    let leaks = found(&stand.secrets, &outputs);
    assert!(leaks.iter().any(|leak| leak.secret == "account-password" && leak.form == "plain"), "{leaks:#?}");
}
