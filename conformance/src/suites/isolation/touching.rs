//! Touching: what the attacker may not change. That nothing was changed is looked at after each check, on the broker
//! itself and by the victim's clients; what is expected here is that the attacker is told no.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::records::{Batch, attributes};
use crate::suites::arena::Trouble;
use crate::suites::arena::victim::{Group, Transaction};
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// What is expected of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// An error in every case.
    Refusal,
    /// It may succeed on what the attacker has under that name itself.
    OwnOrRefusal,
}

/// Sends forged requests of an API at every version; says how many.
fn attempt(
    scene: &mut Scene<'_>,
    key: ApiKey,
    names: &Names,
    set: &[(&str, Value)],
    expected: Expected,
) -> Result<usize, Trouble> {
    let mut sent = 0;
    for version in scene.versions(key) {
        let body = forge::request_with(key, version, names, set);
        let reply = scene.ask(key, version, &body)?;
        sent += 1;
        let refused = reply.gave_nothing() || (expected == Expected::OwnOrRefusal && scene.served(key));
        scene.expect(refused, || format!("{} {version} was not refused: {body} got {reply:?}", key.name()));
    }
    Ok(sent)
}

/// The names as the victim says them, and as the broker does.
fn both(scene: &Scene<'_>, names: &Names) -> [(Names, Expected); 2] {
    [
        (names.clone(), Expected::OwnOrRefusal),
        (Scene::physical(names, &scene.arena.target.prefix), Expected::OwnOrRefusal),
    ]
}

fn transactions(scene: &Scene<'_>) -> [Transaction; 2] {
    [scene.arena.victim.bait_transaction.clone(), scene.arena.victim.secret_transaction.clone()]
}

fn producer(transaction: &Transaction, bump: i64) -> [(&'static str, Value); 4] {
    let (id, epoch) = (json!(transaction.producer_id), json!(transaction.epoch + bump));
    [
        ("ProducerId", id.clone()),
        ("ProducerEpoch", epoch.clone()),
        ("V3AndBelowProducerId", id),
        ("V3AndBelowProducerEpoch", epoch),
    ]
}

/// Writes in the name of the victim's producers.
pub(super) fn i_15(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (own, victim) = (scene.arena.own.clone(), scene.arena.victim.clone());
    let mut sent = 0;
    for transaction in transactions(scene) {
        for bump in [0, 1] {
            let batch = |attributes: i16| Batch {
                attributes,
                producer_id: transaction.producer_id,
                producer_epoch: i16::try_from(transaction.epoch + bump).unwrap_or(0),
                base_sequence: 1,
                ..Batch::of("k", "in the victim's name")
            };
            for topic in [&own.topic, &victim.secret.name, &victim.secret.physical] {
                let secret = scene.secret();
                let of_topic = |id: &str| Names {
                    topic: topic.clone(),
                    topic_id: if *topic == own.topic { own.topic_id.clone() } else { victim.secret.id.clone() },
                    transaction: id.to_owned(),
                    ..secret.clone()
                };
                let physical = format!("{}{}", scene.arena.target.prefix, transaction.id);
                for id in [transaction.id.as_str(), physical.as_str()] {
                    let names = of_topic(id);
                    let records = json!(STANDARD.encode(batch(attributes::TRANSACTIONAL).bytes()));
                    sent += attempt(scene, ApiKey::Produce, &names, &[("Records", records)], Expected::Refusal)?;
                }
                // Without a transaction a producer id means something in its own partition only.
                let names = of_topic("");
                let set = [("Records", json!(STANDARD.encode(batch(0).bytes()))), ("TransactionalId", Value::Null)];
                let expected = if *topic == own.topic { Expected::OwnOrRefusal } else { Expected::Refusal };
                sent += attempt(scene, ApiKey::Produce, &names, &set, expected)?;
            }
        }
    }
    scene.got(format!("{sent} writes in the victim's name: refused wherever they could touch it"));
    Ok(())
}

/// Fences the victim's producers and ends its transactions.
pub(super) fn i_16(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let victim = scene.arena.victim.clone();
    let groups = [&victim.bait_group.name, &victim.stored_group];
    let mut sent = 0;
    for transaction in transactions(scene) {
        for (group, bump) in groups.into_iter().flat_map(|group| [(group, 0), (group, 1)]) {
            let names = Names { transaction: transaction.id.clone(), group: group.clone(), ..scene.secret() };
            for (names, _) in both(scene, &names) {
                let producer = producer(&transaction, bump);
                for committed in [true, false] {
                    let set = [&producer[..], &[("Committed", json!(committed))]].concat();
                    sent += attempt(scene, ApiKey::EndTxn, &names, &set, Expected::Refusal)?;
                }
                for key in [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn, ApiKey::TxnOffsetCommit] {
                    sent += attempt(scene, key, &names, &producer, Expected::Refusal)?;
                }
                // A transactional id of that name may begin in the attacker's own namespace.
                sent += attempt(scene, ApiKey::InitProducerId, &names, &producer, Expected::OwnOrRefusal)?;
                sent += attempt(scene, ApiKey::InitProducerId, &names, &[], Expected::OwnOrRefusal)?;
            }
        }
    }
    // The versions in which brokers verify whole batches of transactions.
    for version in 4..=5 {
        let body = forge::request(ApiKey::AddPartitionsToTxn, version, &scene.secret());
        let reply = scene.ask(ApiKey::AddPartitionsToTxn, version, &body)?;
        scene.expect(reply.refused(), || format!("AddPartitionsToTxn {version}, which is the brokers': {reply:?}"));
    }
    scene.got(format!("{sent} attempts to fence, extend and end: none touched a transaction of the victim"));
    Ok(())
}

/// Every API that is not advertised, at every version, logged in and before.
pub(super) fn i_17(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let names = Scene::physical(&scene.secret(), &scene.arena.target.prefix);
    let unserved: Vec<ApiKey> = ApiKey::ALL.iter().copied().filter(|key| !scene.served(*key)).collect();
    let inside = forge::request(ApiKey::Metadata, 9, &names);
    let inside = crate::suites::attacker::encode(ApiKey::Metadata, 9, &inside)?;
    let inside = wire::frame::request(ApiKey::Metadata, 9, 1, Some("broker"), &inside);
    let set = [
        ("RequestData", json!(STANDARD.encode(&inside[4..]))),
        ("RequestPrincipal", json!(STANDARD.encode("User:ANONYMOUS"))),
        ("BrokerId", json!(1)),
        ("NodeId", json!(1)),
        ("CoordinatorEpoch", json!(0)),
    ];
    let mut sent = 0;
    for key in &unserved {
        for version in key.versions().min..=key.versions().max {
            // A field of that name may be of another type.
            let mut body = forge::request_with(*key, version, &names, &set);
            if crate::suites::attacker::encode(*key, version, &body).is_err() {
                body = forge::request(*key, version, &names);
            }
            let reply = scene.ask(*key, version, &body)?;
            scene.expect(reply.gave_nothing(), || format!("{} {version} is not advertised: {reply:?}", key.name()));
            let before = scene.attacker.stranger()?.ask(*key, version, &body)?;
            let open = *key == ApiKey::ApiVersions || before.gave_nothing();
            scene.expect(open, || format!("{} {version} was answered before the login: {before:?}", key.name()));
            sent += 2;
        }
    }
    scene.got(format!("{sent} requests of {} APIs that are not advertised: refused", unserved.len()));
    Ok(())
}

/// Offsets, groups and members of the victim.
pub(super) fn i_18(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let victim = scene.arena.victim.clone();
    let stored = Group { name: victim.stored_group, member: String::new(), instance: String::new(), generation: -1 };
    let kinds =
        [Some(victim.bait_group), Some(victim.secret_group), Some(stored), victim.modern_group, victim.share_group];
    let mut sent = 0;
    for group in kinds.into_iter().flatten() {
        let names = Names {
            group: group.name.clone(),
            member: group.member.clone(),
            instance: group.instance.clone(),
            ..scene.secret()
        };
        let instance = if group.instance.is_empty() { Value::Null } else { json!(group.instance) };
        for (names, _) in both(scene, &names) {
            let set = [
                ("GenerationId", json!(group.generation)),
                ("GenerationIdOrMemberEpoch", json!(group.generation)),
                ("GroupInstanceId", instance.clone()),
            ];
            for key in
                [ApiKey::LeaveGroup, ApiKey::Heartbeat, ApiKey::SyncGroup, ApiKey::OffsetDelete, ApiKey::DeleteGroups]
            {
                sent += attempt(scene, key, &names, &set, Expected::Refusal)?;
            }
            for key in [ApiKey::OffsetCommit, ApiKey::AlterShareGroupOffsets, ApiKey::DeleteShareGroupOffsets] {
                sent += attempt(scene, key, &names, &set, Expected::OwnOrRefusal)?;
            }
            for epoch in [-2, -1, group.generation, group.generation + 1] {
                let set = [("MemberEpoch", json!(epoch)), ("InstanceId", instance.clone())];
                for key in [ApiKey::ConsumerGroupHeartbeat, ApiKey::ShareGroupHeartbeat, ApiKey::StreamsGroupHeartbeat]
                {
                    sent += attempt(scene, key, &names, &set, Expected::OwnOrRefusal)?;
                }
            }
        }
    }
    scene.got(format!("{sent} attempts on offsets, groups and members: nothing of the victim's was touched"));
    Ok(())
}

/// Topics and records of the victim.
pub(super) fn i_19(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    const CHANGES: [ApiKey; 7] = [
        ApiKey::DeleteTopics,
        ApiKey::DeleteRecords,
        ApiKey::CreatePartitions,
        ApiKey::AlterConfigs,
        ApiKey::IncrementalAlterConfigs,
        ApiKey::AlterPartitionReassignments,
        ApiKey::ElectLeaders,
    ];
    let victim = scene.arena.victim.clone();
    let mut sent = 0;
    for topic in [&victim.bait, &victim.secret, &victim.live] {
        let id = topic.id.clone();
        for name in [topic.name.clone(), topic.physical.clone(), String::new()] {
            let names = Names { topic: name, topic_id: id.clone(), ..scene.secret() };
            for key in CHANGES {
                let set = [("Offset", json!(-1)), ("Count", json!(7))];
                sent += attempt(scene, key, &names, &set, Expected::Refusal)?;
            }
        }
    }
    scene.got(format!("{sent} attempts to delete, empty, extend and alter topics: refused"));
    Ok(())
}

/// ACLs whose pattern reaches the victim.
pub(super) fn i_20(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (prefix, victim) = (scene.arena.target.prefix.clone(), scene.arena.victim.clone());
    let user = format!("User:{}", scene.arena.target.connection.username);
    let served = scene.served(ApiKey::CreateAcls);
    let mut sent = 0;
    for name in ["*", "", &prefix, &victim.secret.physical, &victim.bait.name] {
        for (pattern, principal) in [(3, user.as_str()), (4, user.as_str()), (3, "User:*")] {
            let creation = json!([{ "ResourceType": 2, "ResourceName": name, "ResourcePatternType": pattern,
                "Principal": principal, "Host": "*", "Operation": 2, "PermissionType": 2 }]);
            let filter = json!([{ "ResourceTypeFilter": 1, "ResourceNameFilter": null, "PatternTypeFilter": 1,
                "PrincipalFilter": principal, "HostFilter": null, "Operation": 1, "PermissionType": 1 }]);
            for (key, set) in [(ApiKey::CreateAcls, ("Creations", creation)), (ApiKey::DeleteAcls, ("Filters", filter))]
            {
                let expected = if served { Expected::OwnOrRefusal } else { Expected::Refusal };
                sent += attempt(scene, key, &scene.secret(), &[set], expected)?;
            }
        }
    }
    scene.got(format!("{sent} rules denied to or deleted from everybody: the victim works on"));
    Ok(())
}

/// Settings of what is not a topic of the attacker's.
pub(super) fn i_21(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (prefix, victim) = (scene.arena.target.prefix.clone(), scene.arena.victim.clone());
    let group = format!("{prefix}{}", victim.secret_group.name);
    let resources = [
        (4, "1".to_owned(), "log.retention.ms", "1000"),
        (4, String::new(), "log.retention.ms", "1000"),
        (8, "1".to_owned(), "kafka", "TRACE"),
        (16, "everything".to_owned(), "interval.ms", "100"),
        (2, victim.secret.physical, "retention.ms", "1"),
        (2, victim.secret.name, "retention.ms", "1"),
    ];
    let mut sent = 0;
    for (ty, name, key, value) in resources {
        let configs = json!([{ "Name": key, "Value": value }]);
        let resource = json!([{ "ResourceType": ty, "ResourceName": name, "Configs": configs }]);
        for api in [ApiKey::AlterConfigs, ApiKey::IncrementalAlterConfigs] {
            sent += attempt(scene, api, &scene.secret(), &[("Resources", resource.clone())], Expected::Refusal)?;
        }
    }
    // Groups need not exist to have settings: this one is the attacker's own, whatever it is called.
    let configs = json!([{ "Name": "consumer.session.timeout.ms", "Value": "50000" }]);
    let resource = json!([{ "ResourceType": 32, "ResourceName": group, "Configs": configs }]);
    sent += attempt(
        scene,
        ApiKey::IncrementalAlterConfigs,
        &scene.secret(),
        &[("Resources", resource)],
        Expected::OwnOrRefusal,
    )?;
    for key in [ApiKey::UpdateFeatures, ApiKey::UnregisterBroker] {
        sent += attempt(scene, key, &scene.secret(), &[("BrokerId", json!(1))], Expected::Refusal)?;
    }
    scene.got(format!("{sent} attempts on settings, features and brokers: refused"));
    Ok(())
}

/// Quotas and passwords of the victim, and of everybody.
pub(super) fn i_22(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (user, client) = (scene.arena.target.connection.username.clone(), scene.arena.victim.client_id.clone());
    let entities = [
        json!([{ "EntityType": "user", "EntityName": user }]),
        json!([{ "EntityType": "user", "EntityName": null }]),
        json!([{ "EntityType": "client-id", "EntityName": client }]),
        json!([{ "EntityType": "client-id", "EntityName": null }]),
        json!([{ "EntityType": "ip", "EntityName": null }]),
    ];
    let mut sent = 0;
    for entity in entities {
        let ops = json!([{ "Key": "producer_byte_rate", "Value": 1.0, "Remove": false }]);
        let entries = json!([{ "Entity": entity, "Ops": ops }]);
        let expected = if scene.served(ApiKey::AlterClientQuotas) { Expected::OwnOrRefusal } else { Expected::Refusal };
        sent += attempt(scene, ApiKey::AlterClientQuotas, &scene.secret(), &[("Entries", entries)], expected)?;
    }
    let salted = STANDARD.encode([7; 32]);
    let upsertions =
        json!([{ "Name": user, "Mechanism": 1, "Iterations": 4096, "Salt": salted, "SaltedPassword": salted }]);
    let set = [("Upsertions", upsertions), ("Deletions", json!([{ "Name": user, "Mechanism": 2 }]))];
    sent += attempt(scene, ApiKey::AlterUserScramCredentials, &scene.secret(), &set, Expected::Refusal)?;
    for version in scene.versions(ApiKey::DescribeUserScramCredentials) {
        let body = json!({ "Users": [{ "Name": user }] });
        let reply = scene.ask(ApiKey::DescribeUserScramCredentials, version, &body)?;
        scene.expect(reply.refused(), || format!("the victim's credentials are described: {reply:?}"));
        sent += 1;
    }
    scene.got(format!("{sent} attempts on quotas and credentials: the victim keeps both"));
    Ok(())
}

/// Delegation tokens in the victim's name.
pub(super) fn i_23(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let user = scene.arena.target.connection.username.clone();
    let principal = json!([{ "PrincipalType": "User", "PrincipalName": user }]);
    let set = [
        ("OwnerPrincipalType", json!("User")),
        ("OwnerPrincipalName", json!(user)),
        ("Renewers", principal.clone()),
        ("Owners", principal),
        ("Hmac", json!(STANDARD.encode([1; 32]))),
    ];
    let mut sent = 0;
    for key in [
        ApiKey::CreateDelegationToken,
        ApiKey::RenewDelegationToken,
        ApiKey::ExpireDelegationToken,
        ApiKey::DescribeDelegationToken,
    ] {
        sent += attempt(scene, key, &scene.secret(), &set, Expected::Refusal)?;
    }
    scene.got(format!("{sent} requests for tokens: refused"));
    Ok(())
}
