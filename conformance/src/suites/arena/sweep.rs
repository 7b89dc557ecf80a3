//! Cleaning up: what an attack left in the attacker's own namespace, and the victim's memberships at the end.

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::peer::Peer;
use super::{Arena, Trouble};

/// Deletes what the attacker has, but for what it was given: what one check made must not be seen by the next one.
///
/// # Errors
/// [`Trouble`]
pub fn attacker(arena: &Arena) -> Result<(), Trouble> {
    let mut broker = Peer::connect("the harness", &arena.direct, "")?;
    let prefix = &arena.attacker.prefix;
    let given = [&arena.own.topic, &arena.own.group].map(|name| format!("{prefix}{name}"));
    let own = |list: &Value, field: &str| -> Vec<Value> {
        let names = list.as_array().into_iter().flatten().map(|item| item[field].clone());
        names.filter(|n| n.as_str().is_some_and(|n| n.starts_with(prefix))).collect()
    };
    let strange = |names: Vec<Value>| -> Vec<Value> {
        names.into_iter().filter(|name| !given.iter().any(|given| given == name)).collect()
    };
    let metadata = broker.ask(ApiKey::Metadata, 9..=9, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
    let topics = strange(own(&metadata["Topics"], "Name"));
    if !topics.is_empty() {
        let _ = broker.ask(ApiKey::DeleteTopics, 4..=5, &json!({ "TopicNames": topics, "TimeoutMs": 10_000 }))?;
    }
    let groups = broker.ask(ApiKey::ListGroups, 3..=5, &json!({}))?;
    let groups = own(&groups["Groups"], "GroupId");
    remove_members(&mut broker, &groups)?;
    let groups = strange(groups);
    if !groups.is_empty() {
        let _ = broker.ask(ApiKey::DeleteGroups, 1..=2, &json!({ "GroupsNames": groups }))?;
    }
    Ok(())
}

/// A group with members is not deleted.
fn remove_members(broker: &mut Peer, groups: &[Value]) -> Result<(), Trouble> {
    let described = broker.ask(ApiKey::DescribeGroups, 4..=5, &json!({ "Groups": groups }))?;
    for group in described["Groups"].as_array().into_iter().flatten() {
        let members = group["Members"].as_array().into_iter().flatten();
        let members: Vec<Value> =
            members.map(|m| json!({ "MemberId": m["MemberId"], "GroupInstanceId": m["GroupInstanceId"] })).collect();
        if !members.is_empty() {
            let body = json!({ "GroupId": group["GroupId"], "Members": members });
            let _ = broker.ask(ApiKey::LeaveGroup, 4..=5, &body)?;
        }
    }
    for (describe, heartbeat) in [
        (ApiKey::ConsumerGroupDescribe, ApiKey::ConsumerGroupHeartbeat),
        (ApiKey::ShareGroupDescribe, ApiKey::ShareGroupHeartbeat),
        (ApiKey::StreamsGroupDescribe, ApiKey::StreamsGroupHeartbeat),
    ] {
        if !broker.has(describe) {
            continue;
        }
        let described = broker.ask(describe, 0..=1, &json!({ "GroupIds": groups }))?;
        for group in described["Groups"].as_array().into_iter().flatten() {
            for member in group["Members"].as_array().into_iter().flatten() {
                let body = json!({ "GroupId": group["GroupId"], "MemberId": member["MemberId"], "MemberEpoch": -1 });
                let _ = broker.ask(heartbeat, 0..=1, &body)?;
            }
        }
    }
    Ok(())
}

/// Ends the victim's memberships, so that its sandbox can be taken down.
///
/// # Errors
/// [`Trouble`]
pub fn victim(arena: &Arena) -> Result<(), Trouble> {
    let victim = &arena.victim;
    let mut broker = Peer::connect("the harness", &arena.direct, &arena.target.prefix)?;
    for group in [&victim.bait_group, &victim.secret_group] {
        let instance = if group.instance.is_empty() { Value::Null } else { json!(group.instance) };
        let members = json!([{ "MemberId": group.member, "GroupInstanceId": instance }]);
        let body = json!({ "GroupId": broker.name(&group.name), "Members": members });
        let _ = broker.ask(ApiKey::LeaveGroup, 3..=5, &body)?;
    }
    for (group, key) in
        [(&victim.modern_group, ApiKey::ConsumerGroupHeartbeat), (&victim.share_group, ApiKey::ShareGroupHeartbeat)]
    {
        if let Some(group) = group {
            let mut body = json!({ "GroupId": broker.name(&group.name), "MemberId": group.member, "MemberEpoch": -1 });
            if !group.instance.is_empty() {
                body["InstanceId"] = json!(group.instance);
            }
            let _ = broker.ask(key, 0..=1, &body)?;
        }
    }
    let open = &victim.secret_transaction;
    let body = json!({ "TransactionalId": broker.name(&open.id), "ProducerId": open.producer_id,
        "ProducerEpoch": open.epoch, "Committed": false });
    broker.ask(ApiKey::EndTxn, 0..=4, &body).map(drop)
}
