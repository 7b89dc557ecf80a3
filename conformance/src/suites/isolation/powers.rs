//! Powers: what only brokers, controllers and operators may do, and rights, quotas, logins and tokens of others.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::siege::{Hope, Siege, as_producer, callings, put, turned_away};
use crate::suites::arena::Trouble;
use crate::suites::arena::peer::Peer;
use crate::suites::arena::victim::Transaction;
use crate::suites::attacker::Attacker;
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
    scene.got(denied.outcome("not served at all"));
    scene.got(other.outcome("versions that are not served"));
    followers(scene, &stored)
}

/// What brokers and controllers say, as far as its fields are known to matter.
fn as_a_broker(key: ApiKey, version: i16, names: &Names, producer: &Transaction) -> Vec<Value> {
    let mut body = forge::request(key, version, names);
    as_producer(&mut body, producer, producer.epoch);
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

/// Quotas and SCRAM credentials of the victim and of everybody.
pub(super) fn i_22(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let user = scene.arena.target.connection.username.clone();
    let client = scene.arena.victim.client_id.clone();
    let mut broker = Peer::connect("the harness", &scene.arena.direct, "")?;
    // Something that could be taken away: a quota too high to be felt, a user that nobody logs in as.
    let _ = (given_quota(&mut broker, &user, Some(1e12))?, given_user(&mut broker, &user, true)?);
    let before = standing(&mut broker, &user)?;
    let attacked = quotas(scene, &user, &client).and_then(|()| users(scene, &user));
    let after = described(&mut broker)?;
    let _ = (given_quota(&mut broker, &user, None)?, given_user(&mut broker, &user, false)?);
    attacked?;
    scene.expect(before == after, || format!("quotas and users were {before:?} and became {after:?}"));
    // What was given is gone again for whoever compares.
    gone(&mut broker, &user)
}

/// What a broker was told it also shows a moment later.
fn standing(broker: &mut Peer, user: &str) -> Result<[Value; 2], Trouble> {
    shown(broker, "there", &|lists| lists.iter().all(|list| list.to_string().contains(user)))
}

fn gone(broker: &mut Peer, user: &str) -> Result<(), Trouble> {
    shown(broker, "gone", &|lists| !lists.iter().any(|list| list.to_string().contains(user))).map(drop)
}

fn shown(broker: &mut Peer, what: &str, wanted: &dyn Fn(&[Value; 2]) -> bool) -> Result<[Value; 2], Trouble> {
    for _ in 0..50 {
        let lists = described(broker)?;
        if wanted(&lists) {
            return Ok(lists);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(Trouble::State(format!("the victim's quota and user are not {what}: {:?}", described(broker)?)))
}

/// All quotas and all users.
fn described(broker: &mut Peer) -> Result<[Value; 2], Trouble> {
    let quotas = broker.must(ApiKey::DescribeClientQuotas, 0..=1, &json!({ "Components": [], "Strict": false }))?;
    let users = broker.must(ApiKey::DescribeUserScramCredentials, 0..=0, &json!({ "Users": null }))?;
    Ok([quotas["Entries"].clone(), users["Results"].clone()])
}

fn quotas(scene: &mut Scene<'_>, user: &str, client: &str) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    let one = |kind: &str, name: Value| json!([{ "EntityType": kind, "EntityName": name }]);
    let entities = [
        one("user", json!(user)),
        one("user", Value::Null),
        one("client-id", json!(client)),
        one("client-id", Value::Null),
        one("ip", json!("127.0.0.1")),
        one("ip", Value::Null),
        json!([{ "EntityType": "user", "EntityName": user }, { "EntityType": "client-id", "EntityName": client }]),
        json!([]),
    ];
    for entity in entities {
        for remove in [false, true] {
            let keys = ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "connection_creation_rate"];
            for key in keys {
                let op = json!({ "Key": key, "Value": 1.0, "Remove": remove });
                let body = json!({ "Entries": [{ "Entity": entity, "Ops": [op] }], "ValidateOnly": false });
                for version in scene.versions(ApiKey::AlterClientQuotas) {
                    if entity != json!([]) {
                        let _ = siege.attack(scene, (ApiKey::AlterClientQuotas, version), &body, Hope::OnlyOwn)?;
                    }
                }
            }
        }
        // Exactly this entity, the default one, any of the kind.
        for (match_type, wanted) in [(0, entity[0]["EntityName"].clone()), (1, Value::Null), (2, Value::Null)] {
            let kind = entity[0]["EntityType"].as_str().unwrap_or("user");
            let component = json!({ "EntityType": kind, "MatchType": match_type, "Match": wanted });
            let body = json!({ "Components": [component], "Strict": false });
            for version in scene.versions(ApiKey::DescribeClientQuotas) {
                let reply = siege.attack(scene, (ApiKey::DescribeClientQuotas, version), &body, Hope::OnlyOwn)?;
                // Who asks by name hears the name again: the value is what nobody else may know.
                let seen = !reply.value()["Entries"].as_array().is_none_or(Vec::is_empty)
                    && reply.value()["Entries"].to_string().contains(&format!("\"{user}\""));
                scene.expect(!seen, || format!("DescribeClientQuotas {version} shows the victim's: {reply:?}"));
            }
        }
    }
    scene.got(siege.outcome("quotas"));
    Ok(())
}

fn users(scene: &mut Scene<'_>, user: &str) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    let prefix = scene.arena.target.prefix.clone();
    let nobody = scene.dice.word(user.len());
    for version in scene.versions(ApiKey::DescribeUserScramCredentials) {
        let of = |name: &str| json!({ "Users": [{ "Name": name }] });
        for (theirs, other) in
            [(user.to_owned(), nobody.clone()), (format!("{prefix}{user}"), format!("{prefix}{nobody}"))]
        {
            let names = [(theirs.as_str(), other.as_str())];
            let key = ApiKey::DescribeUserScramCredentials;
            let reply = scene.twin_bodies(key, version, &of(&theirs), &of(&other), &names)?;
            let held = if scene.served(key) { reply.refused() } else { turned_away(&reply) };
            scene.expect(held, || format!("the victim's user is known to {} {version}: {reply:?}", key.name()));
        }
    }
    for name in [user.to_owned(), format!("{prefix}{user}"), "admin".into(), String::new()] {
        // SCRAM-SHA-256 and -512.
        for mechanism in [1, 2] {
            let upserted = json!({ "Name": name, "Mechanism": mechanism, "Iterations": 4096,
                "Salt": STANDARD.encode([7u8; 16]), "SaltedPassword": STANDARD.encode([7u8; 32]) });
            let upsert = json!({ "Deletions": [], "Upsertions": [upserted] });
            let delete = json!({ "Deletions": [{ "Name": name, "Mechanism": mechanism }], "Upsertions": [] });
            for body in [upsert, delete] {
                for version in scene.versions(ApiKey::AlterUserScramCredentials) {
                    let _ = siege.attack(scene, (ApiKey::AlterUserScramCredentials, version), &body, Hope::Refused)?;
                }
            }
        }
    }
    scene.got(siege.outcome("logins altered; the victim's user looks like nobody's"));
    Ok(())
}

fn given_quota(broker: &mut Peer, user: &str, rate: Option<f64>) -> Result<Value, Trouble> {
    let op = json!({ "Key": "producer_byte_rate", "Value": rate.unwrap_or(0.0), "Remove": rate.is_none() });
    let entity = json!([{ "EntityType": "user", "EntityName": user }]);
    let body = json!({ "Entries": [{ "Entity": entity, "Ops": [op] }], "ValidateOnly": false });
    broker.must(ApiKey::AlterClientQuotas, 0..=1, &body)
}

fn given_user(broker: &mut Peer, user: &str, there: bool) -> Result<Value, Trouble> {
    let upserted = json!({ "Name": user, "Mechanism": 1, "Iterations": 8192, "Salt": STANDARD.encode([1u8; 16]),
        "SaltedPassword": STANDARD.encode([2u8; 32]) });
    let body = if there {
        json!({ "Deletions": [], "Upsertions": [upserted] })
    } else {
        json!({ "Deletions": [{ "Name": user, "Mechanism": 1 }], "Upsertions": [] })
    };
    broker.must(ApiKey::AlterUserScramCredentials, 0..=0, &body)
}

/// Tokens for and of the victim; the attacker's own login where the victim connects.
pub(super) fn i_23(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let target = scene.arena.target.connection.clone();
    let mut siege = Siege::default();
    let principal = json!({ "PrincipalType": "User", "PrincipalName": target.username });
    let hmac = STANDARD.encode([7u8; 64]);
    let requests = [
        (
            ApiKey::CreateDelegationToken,
            json!({ "Renewers": [principal.clone()], "MaxLifetimeMs": 3_600_000, "OwnerPrincipalType": "User",
                "OwnerPrincipalName": target.username }),
        ),
        (ApiKey::RenewDelegationToken, json!({ "Hmac": hmac, "RenewPeriodMs": 3_600_000 })),
        (ApiKey::ExpireDelegationToken, json!({ "Hmac": hmac, "ExpiryTimePeriodMs": -1 })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": [principal] })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": null })),
    ];
    for (key, body) in requests {
        for version in key.versions().min..=key.versions().max {
            let mut body = body.clone();
            if let Some(fields) = body.as_object_mut().filter(|_| version < 3) {
                fields.retain(|field, _| !field.starts_with("OwnerPrincipal"));
            }
            let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
        }
    }
    scene.got(siege.outcome("tokens"));
    elsewhere(scene)
}

/// The attacker's login at the victim's address opens nothing, or what is the attacker's own.
fn elsewhere(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (target, own) = (scene.arena.target.connection.clone(), scene.arena.attacker.connection.clone());
    let mut there = own;
    there.bootstrap = target.bootstrap;
    let guest = Attacker::new(&there, &scene.arena.tap);
    let Ok(mut line) = guest.line() else {
        scene.got("its login is refused at the victim's address");
        return Ok(());
    };
    for version in scene.versions_in(ApiKey::Metadata, 4..=i16::MAX) {
        let body = forge::request(ApiKey::Metadata, version, &scene.secret());
        let reply = line.ask(ApiKey::Metadata, version, &body)?;
        scene.expect(reply.refused(), || format!("the attacker's login reads at the victim's address: {reply:?}"));
    }
    scene.got("its login at the victim's address shows nothing of the victim's");
    Ok(())
}
