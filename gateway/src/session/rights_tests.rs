//! Rights that are taken away from a client while it is connected, over real sockets.

use super::tests::{Gateway, answer, client_at, gateway_with, request};
use super::*;
use crate::config::HostPort;
use contract::resources::VirtualCluster;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::schema::ApiKey;
use wire::{frame, value};

const VERSION: i16 = 12;
const SESSION: i32 = 77;
const FETCH_SESSION_ID_NOT_FOUND: i64 = 70;
const TOPIC_AUTHORIZATION_FAILED: i64 = 29;
const SECRET: &str = "records of the topic";

/// A broker with records of one topic, which come `delay` after they were asked for, in a fetch session.
async fn broker(delay: Duration) -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(serve_records(stream, port, delay)));
        }
    }));
    HostPort { host: "127.0.0.1".into(), port }
}

async fn serve_records(mut stream: TcpStream, port: u16, delay: Duration) {
    while let Ok(length) = stream.read_u32().await {
        let mut request = vec![0; length as usize];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let (code, version, correlation_id) = frame::request_start(&request).unwrap();
        let key = ApiKey::from_code(code).unwrap();
        let body = if key == ApiKey::Fetch {
            tokio::time::sleep(delay).await;
            let records = local::to_base64(SECRET.as_bytes());
            json!({ "SessionId": SESSION, "Responses": [{ "Topic": "team-a.orders", "Partitions": [
                { "PartitionIndex": 0, "HighWatermark": 1, "AbortedTransactions": null, "Records": records },
            ] }] })
        } else {
            json!({ "Brokers": [{ "NodeId": 1, "Host": "127.0.0.1", "Port": port }], "ControllerId": 1 })
        };
        let body = value::encode(key.response(), version, &body).unwrap();
        if stream.write_all(&frame::response(key, version, correlation_id, &body)).await.is_err() {
            return;
        }
    }
}

/// Everybody may read the topic, or nobody may do anything.
fn declare(gateway: &Gateway, may_read: bool) {
    let mut cluster = VirtualCluster::new("team-a");
    let rule = json!({
        "resourcePattern": { "resourceType": "TOPIC", "name": "orders", "patternType": "LITERAL" },
        "principal": "User:*", "host": "*", "operation": "READ", "permissionType": "ALLOW",
    });
    let rules = if may_read { vec![rule] } else { Vec::new() };
    cluster.spec.acl_enabled = Some(true);
    cluster.spec.acl_mode = Some(contract::resources::acl::AclMode::RestApi);
    cluster.spec.acls = Some(serde_json::from_value(Value::from(rules)).unwrap());
    let _ = gateway.world.send_replace(Arc::new(crate::world::build([&cluster], [], [], []).unwrap()));
}

async fn start(delay: Duration) -> (Gateway, TcpStream) {
    let gateway = gateway_with(&broker(delay).await, Login::Anonymous("team-a".into()), None);
    declare(&gateway, true);
    let (client, _) = client_at(&gateway, Dialled::broker(1)).await;
    (gateway, client)
}

async fn send_fetch(client: &mut TcpStream, session: i32, epoch: i32) {
    let orders = json!([{ "Topic": "orders", "Partitions": [{ "Partition": 0, "PartitionMaxBytes": 1000 }] }]);
    let topics = if session == 0 { orders } else { json!([]) };
    let body = json!({ "MaxWaitMs": 1, "MinBytes": 1, "SessionId": session, "SessionEpoch": epoch, "Topics": topics });
    client.write_all(&request(ApiKey::Fetch, VERSION, 7, &body)).await.unwrap();
}

async fn fetched(client: &mut TcpStream) -> Value {
    let frame = answer(client).await;
    let (_, start) = frame::response_header(ApiKey::Fetch.response_header(VERSION), &frame).unwrap();
    value::decode(ApiKey::Fetch.response(), VERSION, &frame[start..]).unwrap()
}

fn code(answer: &Value) -> &Value {
    &answer["Responses"][0]["Partitions"][0]["ErrorCode"]
}

fn holds_records(answer: &Value) -> bool {
    answer.to_string().contains(&local::to_base64(SECRET.as_bytes()))
}

#[tokio::test]
async fn a_fetch_session_ends_with_the_right_that_it_was_begun_with() {
    let (gateway, mut client) = start(Duration::ZERO).await;
    send_fetch(&mut client, 0, 0).await;
    let first = fetched(&mut client).await;
    assert!(holds_records(&first) && first["SessionId"] == SESSION, "{first}");
    send_fetch(&mut client, SESSION, 1).await;
    assert!(holds_records(&fetched(&mut client).await), "the session goes on while the right is there");

    declare(&gateway, false);
    send_fetch(&mut client, SESSION, 2).await;
    let revoked = fetched(&mut client).await;
    assert!(revoked["ErrorCode"] == FETCH_SESSION_ID_NOT_FOUND && !holds_records(&revoked), "{revoked}");
    send_fetch(&mut client, 0, 0).await;
    let refused = fetched(&mut client).await;
    assert!(*code(&refused) == TOPIC_AUTHORIZATION_FAILED && !holds_records(&refused), "{refused}");

    declare(&gateway, true);
    send_fetch(&mut client, 0, 0).await;
    assert!(holds_records(&fetched(&mut client).await), "and comes back with it");
}

#[tokio::test]
async fn records_that_are_on_their_way_when_the_right_is_taken_do_not_arrive() {
    let (gateway, mut client) = start(Duration::from_millis(300)).await;
    send_fetch(&mut client, 0, 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    declare(&gateway, false);
    let answer = fetched(&mut client).await;
    assert_eq!(answer["Responses"], json!([]), "as if nothing had come");
    send_fetch(&mut client, SESSION, 1).await;
    assert_eq!(fetched(&mut client).await["ErrorCode"], FETCH_SESSION_ID_NOT_FOUND, "and then the client is told");
}
