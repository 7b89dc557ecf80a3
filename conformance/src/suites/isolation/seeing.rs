//! Seeing: what the attacker may not learn.

use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::suites::arena::Trouble;
use crate::suites::scene::Scene;

/// Every request that lists, at every version.
pub(super) fn i_01(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let mut asked = 0;
    for (key, body) in lists() {
        for version in scene.versions(key) {
            let body = fitting(key, version, &body);
            let reply = scene.ask(key, version, &body)?;
            asked += 1;
            if let (Some(own), true) = (own_in(scene, key), scene.served(key)) {
                let there = reply.value().to_string().contains(&format!("\"{own}\""));
                scene.expect(there, || format!("{} {version} lacks the attacker's own {own}", key.name()));
            }
            let refused = scene.served(key) || reply.gave_nothing();
            scene.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
        }
    }
    scene.got(format!("{asked} lists of {} APIs: its own, or a refusal", lists().len()));
    Ok(())
}

/// What a list of the attacker's has to contain: one that is always empty would leak nothing and be of no use.
fn own_in(scene: &Scene<'_>, key: ApiKey) -> Option<String> {
    match key {
        ApiKey::Metadata => Some(scene.arena.own.topic.clone()),
        ApiKey::ListGroups => Some(scene.arena.own.group.clone()),
        _ => None,
    }
}

fn lists() -> Vec<(ApiKey, Value)> {
    let any = json!({ "ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1,
        "ResourceNameFilter": null, "PrincipalFilter": null, "HostFilter": null });
    vec![
        (ApiKey::Metadata, json!({ "Topics": null, "AllowAutoTopicCreation": false })),
        (ApiKey::ListGroups, json!({})),
        (ApiKey::ListTransactions, json!({})),
        (ApiKey::DescribeAcls, any),
        (ApiKey::DescribeClientQuotas, json!({ "Components": [], "Strict": false })),
        (ApiKey::DescribeUserScramCredentials, json!({ "Users": null })),
        (ApiKey::ListConfigResources, json!({})),
        (ApiKey::ListConfigResources, json!({ "ResourceTypes": [2, 4, 8, 16, 32] })),
        (ApiKey::DescribeLogDirs, json!({ "Topics": null })),
        (ApiKey::ListPartitionReassignments, json!({ "Topics": null, "TimeoutMs": 1000 })),
        (ApiKey::DescribeDelegationToken, json!({ "Owners": null })),
        (ApiKey::ElectLeaders, json!({ "TopicPartitions": null, "TimeoutMs": 1000 })),
        (ApiKey::DescribeTopicPartitions, json!({ "Topics": [], "Cursor": null })),
        (ApiKey::DescribeShareGroupOffsets, json!({ "Groups": [] })),
    ]
}

/// Without the fields that the version does not have.
fn fitting(key: ApiKey, version: i16, body: &Value) -> Value {
    let has = |name: &str| key.request().fields.iter().find(|f| f.name == name && f.versions.contains(version));
    let nullable = |name: &str| has(name).is_some_and(|f| f.nullable.contains(version));
    let fields = body.as_object().into_iter().flatten().filter(|(name, _)| has(name).is_some());
    // Where null cannot be said, nothing means everything.
    let said = fields.map(|(name, value)| match value {
        Value::Null if !nullable(name) => (name.clone(), json!([])),
        value => (name.clone(), value.clone()),
    });
    Value::Object(said.collect())
}
