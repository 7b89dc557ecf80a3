//! Removing: the victim's offsets, groups, members, topics and records, which the attacker may not take away.

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::siege::{Hope, Siege, callings, callings_and_ids, put};
use crate::suites::arena::Trouble;
use crate::suites::arena::victim::Group;
use crate::suites::forge::{self, Names};
use crate::suites::scene::Scene;

/// Offsets, groups, members and static members.
pub(super) fn i_18(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let all = groups(scene);
    let (mut offsets, mut groups, mut members) = (Siege::default(), Siege::default(), Siege::default());
    for group in &all {
        for names in as_each(scene, group) {
            for (key, hope) in OFFSETS {
                for version in scene.versions(key) {
                    // The generation of the member that is named, and none.
                    for generation in [group.generation, -1] {
                        let mut body = forge::request(key, version, &names);
                        for field in ["GenerationId", "GenerationIdOrMemberEpoch"] {
                            put(&mut body, field, &json!(generation));
                        }
                        let _ = offsets.attack(scene, (key, version), &body, hope)?;
                    }
                }
            }
            for version in scene.versions(ApiKey::DeleteGroups) {
                let body = forge::request(ApiKey::DeleteGroups, version, &names);
                let _ = groups.attack(scene, (ApiKey::DeleteGroups, version), &body, Hope::OnlyOwn)?;
            }
            classic_members(scene, &mut members, group, &names)?;
            modern_members(scene, &mut members, group, &names)?;
        }
    }
    scene.got(offsets.outcome("offsets committed and deleted"));
    scene.got(groups.outcome("groups deleted"));
    scene.got(members.outcome("members removed, replaced, moved"));
    Ok(())
}

/// A commit without a member is anybody's for a group of one's own; a topic that is not one's own is refused in it.
const OFFSETS: [(ApiKey, Hope); 4] = [
    (ApiKey::OffsetCommit, Hope::Refused),
    (ApiKey::OffsetDelete, Hope::Refused),
    (ApiKey::AlterShareGroupOffsets, Hope::Refused),
    (ApiKey::DeleteShareGroupOffsets, Hope::Refused),
];

/// LeaveGroup, Heartbeat, SyncGroup and JoinGroup with the victim's member, and its static member's name alone.
fn classic_members(scene: &mut Scene<'_>, siege: &mut Siege, group: &Group, names: &Names) -> Result<(), Trouble> {
    for key in [ApiKey::LeaveGroup, ApiKey::Heartbeat, ApiKey::SyncGroup, ApiKey::JoinGroup] {
        for version in scene.versions(key) {
            for member in [names.member.as_str(), ""] {
                // Without any member of its own, a name joins as a new one: the attacker's own, in its own group.
                let joins = key == ApiKey::JoinGroup && member.is_empty();
                if joins && version < 5 {
                    continue;
                }
                for instance in [json!(names.instance), Value::Null] {
                    let mut body = forge::request(key, version, names);
                    put(&mut body, "MemberId", &json!(member));
                    put(&mut body, "GroupInstanceId", &instance);
                    put(&mut body, "GenerationId", &json!(group.generation));
                    let hope = if joins { Hope::OnlyOwn } else { Hope::Refused };
                    let _ = siege.attack(scene, (key, version), &body, hope)?;
                }
            }
        }
    }
    Ok(())
}

const LEAVING: i64 = -1;
const LEAVING_FOR_A_WHILE: i64 = -2;

/// The heartbeats of the newer protocols, by which a member also leaves and a static one is replaced.
fn modern_members(scene: &mut Scene<'_>, siege: &mut Siege, group: &Group, names: &Names) -> Result<(), Trouble> {
    for key in [ApiKey::ConsumerGroupHeartbeat, ApiKey::ShareGroupHeartbeat, ApiKey::StreamsGroupHeartbeat] {
        for version in scene.versions(key) {
            for epoch in [LEAVING, LEAVING_FOR_A_WHILE, group.generation, group.generation + 1] {
                let mut body = forge::request(key, version, names);
                put(&mut body, "MemberEpoch", &json!(epoch));
                if epoch < 0 {
                    // Who leaves owns nothing. Strange ids take a gateway long to look up.
                    put(&mut body, "TopicPartitions", &Value::Null);
                }
                let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
            }
        }
    }
    Ok(())
}

/// The victim's groups of each kind; the one without members with those of another.
fn groups(scene: &Scene<'_>) -> Vec<Group> {
    let victim = &scene.arena.victim;
    let stored = Group { name: victim.stored_group.clone(), ..victim.secret_group.clone() };
    let newer = [&victim.modern_group, &victim.share_group].into_iter().flatten().cloned();
    [victim.bait_group.clone(), victim.secret_group.clone(), stored].into_iter().chain(newer).collect()
}

/// The group as its owner calls it, as the broker stores it, and what the stored name starts with.
fn as_each(scene: &Scene<'_>, group: &Group) -> Vec<Names> {
    let prefix = &scene.arena.target.prefix;
    let called = [group.name.clone(), format!("{prefix}{}", group.name), prefix.clone()];
    let (member, instance) = (&group.member, &group.instance);
    // The victim's topic by each of its names as well.
    let names = callings(scene).into_iter().zip(called);
    let of = |(names, called): (Names, String)| Names {
        group: called,
        member: member.clone(),
        instance: if instance.is_empty() { names.instance.clone() } else { instance.clone() },
        ..names
    };
    names.map(of).collect()
}

/// Topics, partitions, records and settings, by name and by id.
pub(super) fn i_19(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let mut siege = Siege::default();
    let mut all = callings_and_ids(scene);
    let live = &scene.arena.victim.live;
    let written = [live.name.clone(), live.physical.clone(), String::new()];
    all.extend(written.map(|topic| Names { topic, topic_id: live.id.clone(), ..scene.secret() }));
    for names in all {
        for key in TOPICS {
            for version in scene.versions(key) {
                for body in harmful(key, version, &names) {
                    let _ = siege.attack(scene, (key, version), &body, Hope::Refused)?;
                }
            }
        }
    }
    scene.got(siege.outcome("topics deleted, extended, emptied, set and moved"));
    Ok(())
}

const TOPICS: [ApiKey; 8] = [
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::DeleteRecords,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ElectLeaders,
    ApiKey::AlterReplicaLogDirs,
];

/// The request in each form that would do damage.
fn harmful(key: ApiKey, version: i16, names: &Names) -> Vec<Value> {
    let body = forge::request(key, version, names);
    let with = |field: &str, value: Value| {
        let mut body = body.clone();
        put(&mut body, field, &value);
        body
    };
    match key {
        ApiKey::CreatePartitions => [2, 50].map(|count| with("Count", json!(count))).into(),
        ApiKey::DeleteRecords => {
            // All there is, and the first one.
            let up_to = |offset: i64| {
                let mut body = body.clone();
                let topics = body["Topics"].as_array_mut().into_iter().flatten();
                topics.for_each(|t| t["Partitions"] = json!([{ "PartitionIndex": 0, "Offset": offset }]));
                body
            };
            [-1, 1].map(up_to).into()
        }
        ApiKey::IncrementalAlterConfigs => {
            // Set, deleted, appended, subtracted.
            let operation = |operation: i8| {
                let mut body = body.clone();
                let resources = body["Resources"].as_array_mut().into_iter().flatten();
                let settings = resources.flat_map(|r| r["Configs"].as_array_mut().into_iter().flatten());
                settings.for_each(|setting| setting["ConfigOperation"] = json!(operation));
                body
            };
            [0, 1, 2, 3].map(operation).into()
        }
        ApiKey::AlterPartitionReassignments => vec![with("Replicas", json!([4711])), with("Replicas", Value::Null)],
        _ => vec![body],
    }
}
