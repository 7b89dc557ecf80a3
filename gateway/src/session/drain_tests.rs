//! What becomes of connections when the gateway is told to stop, over real sockets.

use super::tests::{Ended, answer, client_at, correlation_id, gateway, request};
use super::*;
use crate::config::HostPort;
use crate::upstream::metadata;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use wire::schema::ApiKey;
use wire::{frame, value};

const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that answers requests in their order, Heartbeats when there is a permit for them and Fetches likewise.
async fn waiting_broker() -> (HostPort, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let permits = Arc::new(Semaphore::new(0));
    let taken = Arc::clone(&permits);
    drop(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tokio::spawn(answer_when_permitted(stream, port, Arc::clone(&taken))));
        }
    }));
    (HostPort { host: "127.0.0.1".into(), port }, permits)
}

async fn answer_when_permitted(mut stream: TcpStream, port: u16, permits: Arc<Semaphore>) {
    while let Ok(length) = stream.read_u32().await {
        let mut request = vec![0; length as usize];
        let _ = stream.read_exact(&mut request).await.unwrap();
        let (code, version, correlation_id) = frame::request_start(&request).unwrap();
        let key = ApiKey::from_code(code).unwrap();
        let body = match key {
            ApiKey::Metadata => {
                json!({ "Brokers": [{ "NodeId": 1, "Host": "127.0.0.1", "Port": port }], "ClusterId": "physical" })
            }
            ApiKey::ApiVersions => {
                json!({ "ApiKeys": [{ "ApiKey": 3, "MinVersion": 0, "MaxVersion": metadata::VERSION }] })
            }
            _ => {
                permits.acquire().await.unwrap().forget();
                json!({ "ThrottleTimeMs": 77 })
            }
        };
        let body = value::encode(key.response(), version, &body).unwrap();
        if stream.write_all(&frame::response(key, version, correlation_id, &body)).await.is_err() {
            return;
        }
    }
}

async fn connected(gateway: &super::tests::Gateway) -> (TcpStream, Ended) {
    let (mut client, session) = client_at(gateway, Dialled::broker(1)).await;
    // The session is under way once something was answered.
    client.write_all(&request(ApiKey::ApiVersions, 3, 1, &json!({}))).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut client).await), 1);
    (client, session)
}

fn fetch(correlation_id: i32) -> Vec<u8> {
    let asked = json!({ "MaxWaitMs": 300_000, "MinBytes": 1, "SessionEpoch": -1, "Topics": [] });
    request(ApiKey::Fetch, 12, correlation_id, &asked)
}

fn heartbeat(correlation_id: i32) -> Vec<u8> {
    request(ApiKey::Heartbeat, 4, correlation_id, &json!({ "GroupId": "g" }))
}

async fn hung_up(mut client: TcpStream, session: Ended) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"", "nothing more comes");
    drop(client);
    tokio::time::timeout(PATIENCE, session).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_new_one_is_not_served() {
    let (address, _) = waiting_broker().await;
    let gateway = gateway(&address, false);
    let (client, session) = connected(&gateway).await;
    gateway.shared.drain.begin();
    hung_up(client, session).await;
    let (mut late, session) = client_at(&gateway, Dialled::broker(1)).await;
    // It may be closed before it has said anything.
    let _ = late.write_all(&heartbeat(1)).await;
    hung_up(late, session).await;
}

#[tokio::test]
async fn a_waiting_fetch_is_answered_without_records_and_what_was_asked_behind_it_as_well() {
    let (address, permits) = waiting_broker().await;
    let gateway = gateway(&address, false);
    let (mut client, session) = connected(&gateway).await;
    let before = arrived(&gateway);
    client.write_all(&[fetch(2), heartbeat(3), fetch(4)].concat()).await.unwrap();
    // Until all three have arrived: what has not is not served any more.
    wait_for(|| arrived(&gateway) >= before + 3).await;
    gateway.shared.drain.begin();
    let empty = answer(&mut client).await;
    assert_eq!(correlation_id(&empty), 2);
    let (_, start) = frame::response_header(ApiKey::Fetch.response_header(12), &empty).unwrap();
    let body = value::decode(ApiKey::Fetch.response(), 12, &empty[start..]).unwrap();
    assert_eq!((&body["ErrorCode"], &body["Responses"], &body["SessionId"]), (&json!(0), &json!([]), &json!(0)));
    assert!(body["ThrottleTimeMs"].as_i64() > Some(0), "Java's client takes it for a fetch that was put off");
    // The broker's answer to the first is on its way yet, and is not taken for the second's.
    permits.add_permits(2);
    let heartbeat = answer(&mut client).await;
    assert_eq!(correlation_id(&heartbeat), 3);
    assert!(heartbeat.ends_with(&[0, 0, 0, 77, 0, 0, 0]), "{heartbeat:?}");
    assert_eq!(correlation_id(&answer(&mut client).await), 4);
    hung_up(client, session).await;
}

#[tokio::test]
async fn what_changes_something_is_waited_for() {
    let (address, permits) = waiting_broker().await;
    let gateway = gateway(&address, false);
    let (mut client, session) = connected(&gateway).await;
    let before = arrived(&gateway);
    client.write_all(&heartbeat(2)).await.unwrap();
    wait_for(|| arrived(&gateway) > before).await;
    gateway.shared.drain.begin();
    // Not read any more, and no harm to the answer that is to come.
    client.write_all(&heartbeat(3)).await.unwrap();
    permits.add_permits(1);
    assert_eq!(correlation_id(&answer(&mut client).await), 2);
    hung_up(client, session).await;
}

/// How many requests have come in.
fn arrived(gateway: &super::tests::Gateway) -> u64 {
    let metrics = gateway.shared.metrics.render();
    let lines = metrics.lines().filter(|line| line.starts_with("gateway_requests_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

async fn wait_for(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}
