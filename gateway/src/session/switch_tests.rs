//! What becomes of connections when another physical cluster takes over, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::tests::{Gateway, answer, broker_called, client, correlation_id, gateway, request};
use crate::config::HostPort;
use crate::naming::topic_ids::TopicIds;
use crate::observe::upstreams::UpstreamState;
use crate::upstream::physical::Physical;
use crate::upstream::security::Security;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::schema::ApiKey;
use wire::{frame, value};

/// A gateway with a second cluster, whose only broker has this id.
async fn with_second(second: i32) -> (Gateway, Arc<crate::upstream::cluster::Cluster>, Arc<Physical>) {
    use crate::upstream::cluster::Cluster;
    let physical = |name: &str, address: &HostPort| {
        let ids = Arc::new(TopicIds::new(&[9; 16]).unwrap());
        Arc::new(Physical::new(name, std::slice::from_ref(address), Security::default(), ids))
    };
    let (first, _) = broker_called(1, Duration::from_millis(300)).await;
    let (other, _) = broker_called(second, Duration::ZERO).await;
    let (main, failover) = (physical("main", &first), physical("failover", &other));
    main.refresh().await.unwrap();
    failover.refresh().await.unwrap();
    let cluster = Arc::new(Cluster::new(Arc::clone(&main), vec![Arc::clone(&failover)]));
    let mut gateway = gateway(&first, false);
    let active = Some(cluster.follow());
    let topic_ids = cluster.all().map(|physical| Arc::clone(&physical.topic_ids)).collect();
    gateway.shared = Arc::new(Shared { cluster: main, active, topic_ids, ..(*gateway.shared).clone() });
    (gateway, cluster, failover)
}

fn to_failover() -> crate::upstream::switch::Switch {
    crate::upstream::switch::Switch::after(None, "failover", "ops")
}

#[tokio::test]
async fn a_session_of_the_former_cluster_answers_what_was_asked_and_ends() {
    let (gateway, cluster, failover) = with_second(1).await;
    let (mut client, session) = client(&gateway).await;
    client.write_all(&request(ApiKey::Heartbeat, 4, 5, &json!({ "GroupId": "g" }))).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut client).await), 5, "it is connected");
    let two = [6, 7].map(|id| request(ApiKey::Heartbeat, 4, id, &json!({ "GroupId": "g" })));
    client.write_all(&two.concat()).await.unwrap();
    // The broker is slow: both are on their way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(cluster.activate(&to_failover()));
    // What is asked now is the other cluster's to answer, and must not have the system take back the answers to the two.
    client.write_all(&request(ApiKey::Heartbeat, 4, 8, &json!({ "GroupId": "g" }))).await.unwrap();
    assert_eq!([correlation_id(&answer(&mut client).await), correlation_id(&answer(&mut client).await)], [6, 7]);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"", "and then it ends");
    drop(client);
    assert!(session.await.unwrap().is_ok());
    let fresh = gateway.shared.at(&failover);
    assert!(Arc::ptr_eq(&fresh.cluster, &cluster.active()));
    assert!(!Arc::ptr_eq(&fresh.fetch_sessions, &gateway.shared.fetch_sessions));
    assert!(!Arc::ptr_eq(&fresh.api_versions, &gateway.shared.api_versions));
    assert!(!Arc::ptr_eq(&fresh.cluster.topic_ids, &gateway.shared.cluster.topic_ids));
}

#[tokio::test]
async fn records_under_an_id_of_the_former_cluster_come_again_in_their_order() {
    let (mut gateway, cluster, failover) = with_second(1).await;
    gateway.shared.cluster.topic_ids.learn([7; 16], "orders");
    assert!(cluster.activate(&to_failover()));
    gateway.shared = Arc::new(gateway.shared.at(&failover));
    let state = UpstreamState { name: "failover".to_owned(), active: true, reachable: true };
    gateway.shared.metrics.upstreams.set(vec![state], 1);
    let records = |id: i32, topic: [u8; 16]| {
        let topics = json!([{ "TopicId": value::uuid_text(&topic), "PartitionData": [{ "Index": 0, "Records": "" }] }]);
        request(ApiKey::Produce, 13, id, &json!({ "Acks": 0, "TimeoutMs": 1000, "TopicData": topics }))
    };
    let heartbeat = |id: i32| request(ApiKey::Heartbeat, 4, id, &json!({ "GroupId": "g" }));
    let (mut client, session) = client(&gateway).await;
    // What is no topic's anywhere is for Kafka to refuse.
    client.write_all(&[records(5, [8; 16]), heartbeat(6)].concat()).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut client).await), 6);
    client.write_all(&[heartbeat(7), records(8, [7; 16]), heartbeat(9)].concat()).await.unwrap();
    assert_eq!(correlation_id(&answer(&mut client).await), 7, "what was asked before is answered");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut rest)).await;
    let _ = end.expect("the connection ends").unwrap();
    assert_eq!(rest, b"", "and nothing behind it");
    assert!(session.await.unwrap().is_ok());
    let left = "gateway_upstream_switch_sessions_total 1";
    assert!(gateway.shared.metrics.render().lines().any(|line| line == left), "and is counted");
}

#[tokio::test]
async fn a_client_that_understands_it_is_sent_to_its_bootstrap_addresses_where_no_broker_id_is_the_same() {
    let metadata = || request(ApiKey::Metadata, 13, 9, &json!({ "Topics": [] }));
    for (second, told) in [(7, true), (1, false)] {
        let (gateway, cluster, _) = with_second(second).await;
        let (mut client, session) = client(&gateway).await;
        client.write_all(&request(ApiKey::Heartbeat, 4, 5, &json!({ "GroupId": "g" }))).await.unwrap();
        assert_eq!(correlation_id(&answer(&mut client).await), 5);
        assert!(cluster.activate(&to_failover()));
        let asked = client.write_all(&metadata()).await;
        if told {
            asked.unwrap();
            let answer = answer(&mut client).await;
            let (_, start) = frame::response_header(ApiKey::Metadata.response_header(13), &answer).unwrap();
            let body = value::decode(ApiKey::Metadata.response(), 13, &answer[start..]).unwrap();
            assert_eq!((&body["ErrorCode"], body["Brokers"].as_array().map(Vec::len)), (&json!(129), Some(0)));
            // Anything else is not served by the former cluster any more.
            client.write_all(&request(ApiKey::Heartbeat, 4, 10, &json!({ "GroupId": "g" }))).await.unwrap();
        }
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(session.await.unwrap().is_ok());
    }
}
