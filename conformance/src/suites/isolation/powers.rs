//! Powers: what only brokers, controllers and operators may do, and rights over others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::siege::{Hope, Siege, as_producer, callings, put, turned_away};
use crate::suites::arena::Trouble;
use crate::suites::arena::victim::Transaction;
use crate::suites::attacker::encode;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Every API that is not served, at every version there is, and every version that is not served of the others.
pub(super) fn i_17(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let secret = scene.secret();
    let stored = Scene::physical(&secret, &scene.arena.target.prefix);
    let producers = [&scene.arena.victim.secret_transaction, &scene.arena.victim.bait_transaction].map(Clone::clone);
    let (mut denied, mut other) = (Siege::default(), Siege::default());
    for key in ApiKey::ALL {
        let siege = if scene.served(*key) { &mut other } else { &mut denied };
        let served = scene.versions_in(*key, i16::MIN..=i16::MAX);
        let all = key.versions().min..=key.versions().max;
        let unserved: Vec<i16> = all.filter(|version| !scene.served(*key) || !served.contains(version)).collect();
        for version in unserved {
            for names in [&stored, &secret] {
                for producer in &producers {
                    for body in as_a_broker(*key, version, names, producer) {
                        let _ = siege.attack(scene, (*key, version), &body, Hope::Refused)?;
                    }
                }
            }
        }
    }
    before_the_login(scene, &stored)?;
    scene.got(denied.outcome("not served at all"));
    scene.got(other.outcome("versions that are not served"));
    followers(scene, &stored)
}

/// What brokers and controllers say, as far as its fields are known to matter.
fn as_a_broker(key: ApiKey, version: i16, names: &Names, producer: &Transaction) -> Vec<Value> {
    let mut body = forge::request(key, version, names);
    as_producer(&mut body, producer, producer.epoch);
    if key == ApiKey::Envelope {
        // A request of somebody else's, handed on by what says it is a broker.
        body["RequestData"] = json!(STANDARD.encode(inside(names)));
        body["RequestPrincipal"] = json!(STANDARD.encode("User:ANONYMOUS"));
        body["ClientHostAddress"] = json!(STANDARD.encode([127, 0, 0, 1]));
    }
    for field in ["BrokerId", "ReplicaId", "LeaderId", "NodeId", "ControllerId", "VoterId"] {
        put(&mut body, field, &json!(1));
    }
    if key != ApiKey::WriteTxnMarkers {
        return vec![body];
    }
    // The markers that end the victim's transaction where its records are.
    let ended = |commit: bool| {
        let mut body = body.clone();
        body["Markers"][0]["TransactionResult"] = json!(commit);
        body
    };
    vec![ended(true), ended(false)]
}

/// The deletion of the victim's topic as a whole frame.
fn inside(names: &Names) -> Vec<u8> {
    let body = json!({ "TopicNames": [names.topic], "TimeoutMs": 1000 });
    let encoded = encode(ApiKey::DeleteTopics, 4, &body).unwrap_or_default();
    wire::frame::request(ApiKey::DeleteTopics, 4, 1, Some("broker"), &encoded).split_off(4)
}

/// Each of these APIs on a connection on which nobody has logged in.
fn before_the_login(scene: &mut Scene<'_>, names: &Names) -> Result<(), Trouble> {
    let unserved: Vec<ApiKey> = ApiKey::ALL.iter().copied().filter(|key| !scene.served(*key)).collect();
    for key in &unserved {
        for version in key.versions().min..=key.versions().max {
            let body = forge::request(*key, version, names);
            let reply = scene.attacker.stranger()?.ask(*key, version, &body)?;
            let refused = turned_away(&reply);
            scene.expect(refused, || format!("{} {version} was answered before the login: {reply:?}", key.name()));
        }
    }
    scene.got(format!("before the login {} APIs are refused as well", unserved.len()));
    Ok(())
}

/// Reads as a follower of the victim's and of the attacker's own partition: a client is none, whatever it says.
fn followers(scene: &mut Scene<'_>, stored: &Names) -> Result<(), Trouble> {
    let own = scene.arena.own.clone();
    let mine = Names { topic: own.topic, topic_id: own.topic_id, ..stored.clone() };
    let mut siege = Siege::default();
    for key in [ApiKey::Fetch, ApiKey::ListOffsets, ApiKey::OffsetForLeaderEpoch] {
        for version in scene.versions(key) {
            for (names, hope) in [(stored, Hope::Refused), (&mine, Hope::OnlyOwn)] {
                for replica in [-2, 0, 1, 2] {
                    let mut body = forge::request(key, version, names);
                    put(&mut body, "ReplicaId", &json!(replica));
                    if key == ApiKey::Fetch && version >= 15 {
                        body["ReplicaState"] = json!({ "ReplicaId": replica, "ReplicaEpoch": 1 });
                    }
                    let _ = siege.attack(scene, (key, version), &body, hope)?;
                }
            }
        }
    }
    scene.got(siege.outcome("as a follower"));
    Ok(())
}

/// ACLs on, and filters that fit, whatever the victim has.
pub(super) fn i_20(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const ANY: i8 = 1;
    let prefix = scene.arena.target.prefix.clone();
    let mut names: Vec<Value> = callings(scene).into_iter().map(|names| json!(names.topic)).collect();
    names.extend([json!("*"), json!(""), json!("sb_"), json!(prefix.trim_end_matches('.')), json!("kafka-cluster")]);
    let victim = format!("User:{}", scene.arena.target.connection.username);
    let mut siege = Siege::default();
    // Topic, group, cluster, transactional id, delegation token, user; literal and prefixed.
    for (kind, pattern) in [2i8, 3, 4, 5, 6, 7].into_iter().flat_map(|kind| [(kind, 3i8), (kind, 4)]) {
        for name in &names {
            for principal in [victim.as_str(), "User:*", "User:ANONYMOUS"] {
                let right = json!({ "ResourceType": kind, "ResourceName": name, "ResourcePatternType": pattern,
                    "Principal": principal, "Host": "*", "Operation": 2, "PermissionType": 2 });
                for version in scene.versions_in(ApiKey::CreateAcls, 1..=3).chain(not_served(scene, ApiKey::CreateAcls))
                {
                    let body = json!({ "Creations": [right.clone()] });
                    let _ = siege.attack(scene, (ApiKey::CreateAcls, version), &body, Hope::OnlyOwn)?;
                }
            }
        }
    }
    names.push(Value::Null);
    // Any, match, literal, prefixed.
    for (kind, pattern) in [ANY, 2, 3, 4, 5].into_iter().flat_map(|kind| [1i8, 2, 3, 4].map(|pattern| (kind, pattern)))
    {
        for name in &names {
            let filter = json!({ "ResourceTypeFilter": kind, "ResourceNameFilter": name, "PatternTypeFilter": pattern,
                "PrincipalFilter": null, "HostFilter": null, "Operation": 1, "PermissionType": 1 });
            for (key, body) in
                [(ApiKey::DeleteAcls, json!({ "Filters": [filter.clone()] })), (ApiKey::DescribeAcls, filter.clone())]
            {
                for version in scene.versions(key).filter(|version| *version >= 1) {
                    let _ = siege.attack(scene, (key, version), &body, Hope::OnlyOwn)?;
                }
            }
        }
    }
    scene.got(siege.outcome("ACLs made, deleted and described"));
    Ok(())
}

/// The versions that exist of an API that is not served.
fn not_served(scene: &Scene<'_>, key: ApiKey) -> Vec<i16> {
    if scene.served(key) { Vec::new() } else { scene.versions(key).collect() }
}

/// Settings of everything but topics, features, brokers and controllers.
pub(super) fn i_21(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    for (kind, name, setting, value) in settings(scene) {
        // A group of the attacker's own may be called so.
        let hope = if kind == GROUP { Hope::OnlyOwn } else { Hope::Refused };
        for key in [ApiKey::IncrementalAlterConfigs, ApiKey::AlterConfigs] {
            for version in scene.versions(key) {
                // Last of all what was set is taken back.
                for operation in [0, 2, 3, 1] {
                    let mut config = json!({ "Name": setting, "Value": value });
                    if key == ApiKey::IncrementalAlterConfigs {
                        config["ConfigOperation"] = json!(operation);
                    }
                    let configs =
                        if operation == 1 && key == ApiKey::AlterConfigs { json!([]) } else { json!([config]) };
                    let resource = json!({ "ResourceType": kind, "ResourceName": name, "Configs": configs });
                    for only_validated in [true, false] {
                        let body = json!({ "Resources": [resource.clone()], "ValidateOnly": only_validated });
                        let _ = siege.attack(scene, (key, version), &body, hope)?;
                    }
                }
            }
        }
    }
    scene.got(siege.outcome("settings of others than topics"));
    let mut siege = Siege::default();
    for (key, body) in operators() {
        for version in key.versions().min..=key.versions().max {
            let mut body = body.clone();
            if key == ApiKey::UpdateFeatures {
                let (old, new) = if version == 0 { ("AllowDowngrade", json!(true)) } else { ("UpgradeType", json!(3)) };
                body["FeatureUpdates"][0][old] = new;
            }
            let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
        }
    }
    scene.got(siege.outcome("features and brokers"));
    Ok(())
}

const GROUP: i8 = 32;

/// Type and name of what has settings, and one of them.
fn settings(scene: &Scene<'_>) -> Vec<(i8, String, &'static str, &'static str)> {
    const BROKER: i8 = 4;
    const LOGGER: i8 = 8;
    const CLIENT_METRICS: i8 = 16;
    let victim = &scene.arena.victim;
    let mut all = Vec::new();
    for node in ["", "0", "1", "2", "-1", "4711"] {
        all.push((BROKER, node.to_owned(), "log.cleaner.threads", "2"));
        all.push((BROKER, node.to_owned(), "log.retention.ms", "123456789"));
        all.push((LOGGER, node.to_owned(), "org.apache.kafka", "TRACE"));
    }
    for name in ["", "metrics", &victim.client_id] {
        all.push((CLIENT_METRICS, name.to_owned(), "interval.ms", "100"));
    }
    let groups = [Some(&victim.secret_group), victim.modern_group.as_ref(), victim.share_group.as_ref()];
    for group in groups.into_iter().flatten() {
        for prefix in ["", &scene.arena.target.prefix] {
            all.push((GROUP, format!("{prefix}{}", group.name), "consumer.session.timeout.ms", "46000"));
            all.push((GROUP, format!("{prefix}{}", group.name), "share.session.timeout.ms", "46000"));
        }
    }
    // Types that do not exist, or stand for nothing.
    all.extend([0, 1, 3, 64, 127].map(|kind| (kind, scene.arena.target.prefix.clone(), "retention.ms", "1")));
    all
}

/// What an operator can do to a cluster.
fn operators() -> Vec<(ApiKey, Value)> {
    let feature = |name: &str| {
        let update = json!({ "Feature": name, "MaxVersionLevel": 0 });
        (ApiKey::UpdateFeatures, json!({ "timeoutMs": 2000, "FeatureUpdates": [update] }))
    };
    let mut all: Vec<(ApiKey, Value)> =
        ["group.version", "transaction.version", "share.version", "metadata.version"].map(feature).into();
    for id in [0, 1, 2] {
        all.push((ApiKey::UnregisterBroker, json!({ "BrokerId": id })));
        all.push((ApiKey::UnregisterController, json!({ "ControllerId": id })));
    }
    all
}
