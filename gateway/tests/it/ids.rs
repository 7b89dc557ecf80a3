//! For every served API at every version with topic ids in its request: an id of another tenant, one that nobody has and one
//! that Kafka keeps for itself come to the same.

use crate::runner::{self, Outcome};
use crate::sentinel::{count, mapped, plain};
use gateway::naming::Tenant;
use gateway::naming::request::{Asked, Memory};
use std::collections::BTreeSet;
use wire::frame;
use wire::schema::ApiKey;

const OWN: [u8; 16] = [1; 16];
const FOREIGN: [u8; 16] = [2; 16];
const NOBODYS: [u8; 16] = [3; 16];
/// Of Kafka's metadata.
const RESERVED: [u8; 16] = 1u128.to_be_bytes();

fn tenant() -> Tenant {
    let tenant = runner::tenant_of("team-a.");
    tenant.topic_ids.learn(OWN, "team-a.orders");
    tenant.topic_ids.learn(FOREIGN, "team-b.orders");
    tenant
}

fn request(key: ApiKey, version: i16, id: [u8; 16]) -> Vec<u8> {
    plain(key.request(), version, "sentinel", id)
}

/// What the broker gets for a body, and what is remembered for its answer.
fn send(key: ApiKey, version: i16, body: &[u8], tenant: &Tenant) -> (Vec<u8>, Asked) {
    let frame = frame::request(key, version, 7, None, body);
    match runner::send(&frame, tenant, &mut Memory::default()).unwrap() {
        Outcome::Forwarded(body, asked) => (body, asked),
        Outcome::Refused(answer) => panic!("{key:?} {version} is refused: {answer}"),
    }
}

fn with_ids() -> Vec<(ApiKey, i16)> {
    mapped().filter(|(key, version)| count(&request(*key, *version, OWN), &OWN) > 0).collect()
}

#[test]
fn foreign_and_unknown_ids_come_to_the_same_everywhere() {
    let tenant = tenant();
    for (key, version) in with_ids() {
        let mut shapes = BTreeSet::new();
        for id in [FOREIGN, NOBODYS, RESERVED] {
            let body = request(key, version, id);
            assert!(runner::asks_again(key, version, &body, &tenant), "{key:?} {version}: no look at the cluster");
            let (mut sent, asked) = send(key, version, &body, &tenant);
            assert_eq!(count(&sent, &id), 0, "{key:?} {version}");
            let veiled = tenant.topic_ids.veil(id);
            assert!(asked.veiled.iter().eq([&veiled]), "{key:?} {version}");
            while let Some(at) = sent.windows(16).position(|window| *window == veiled) {
                sent[at..at + 16].fill(0);
            }
            let _ = shapes.insert(sent);
        }
        assert_eq!(shapes.len(), 1, "{key:?} {version}: what is sent tells them apart");
    }
}

#[test]
fn own_ids_and_the_zero_id_go_through_at_once() {
    let tenant = tenant();
    for (key, version) in with_ids() {
        for id in [OWN, [0; 16]] {
            let body = request(key, version, id);
            assert!(!runner::asks_again(key, version, &body, &tenant), "{key:?} {version}");
            let (sent, asked) = send(key, version, &body, &tenant);
            assert!(count(&sent, &id) > 0 && asked.veiled.is_empty(), "{key:?} {version}");
        }
    }
}

#[test]
fn the_apis_with_ids_are_all_there() {
    let keys: BTreeSet<ApiKey> = with_ids().into_iter().map(|(key, _)| key).collect();
    for key in [ApiKey::Produce, ApiKey::Fetch, ApiKey::Metadata, ApiKey::DeleteTopics, ApiKey::OffsetCommit] {
        assert!(keys.contains(&key), "{key:?}");
    }
    assert!([ApiKey::OffsetFetch, ApiKey::ShareFetch, ApiKey::ShareAcknowledge].iter().all(|key| keys.contains(key)));
}

#[test]
fn without_a_prefix_only_the_gateways_own_topics_are_out_of_reach() {
    let tenant = runner::transparent();
    for (key, version) in with_ids() {
        let body = request(key, version, NOBODYS);
        // It could be one of the gateway's own that was made a moment ago.
        assert!(runner::asks_again(key, version, &body, &tenant), "{key:?} {version}");
        assert!(count(&send(key, version, &body, &tenant).0, &NOBODYS) > 0, "{key:?} {version}");
    }
    tenant.topic_ids.learn(NOBODYS, "_anabranch.state");
    for (key, version) in with_ids() {
        let (sent, _) = send(key, version, &request(key, version, NOBODYS), &tenant);
        assert_eq!(count(&sent, &NOBODYS), 0, "{key:?} {version}");
    }
}
