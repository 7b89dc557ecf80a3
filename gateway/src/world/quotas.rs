//! `Quota` resources of a virtual cluster, as the limits that sessions ask about.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::resources::quota::SetBy;
use contract::resources::{Quota, Resource};

use super::{Problem, ProblemKind, World};
use crate::quotas::rules::{Entity, Layer, MOST_OF_CLIENTS, Name, Rates, Rules};

/// Puts the limits of all quotas where sessions look for them; tells what is wrong with any.
pub(super) fn put_in_place<'a>(
    resources: impl Iterator<Item = &'a Resource>,
    world: &mut World,
    problems: &mut Vec<Problem>,
) {
    let mut rules: BTreeMap<&str, Rules> = BTreeMap::new();
    let mut whose: BTreeMap<(&str, SetBy, Entity), &str> = BTreeMap::new();
    for quota in resources.filter_map(|resource| <&Quota>::try_from(resource).ok()) {
        let mut found = wrong(quota);
        let (cluster, name) = (quota.virtual_cluster(), quota.metadata.name.as_str());
        let by = quota.spec.set_by.unwrap_or_default();
        if let Some(other) = whose.insert((cluster, by, entity(quota)), name) {
            let message = format!("'{other}' limits the same already: change it there, or delete one of the two");
            found.push((ProblemKind::Conflict, "spec", message));
        }
        let rules = rules.entry(cluster).or_default();
        add(rules, quota);
        if rules.clients.len() > MOST_OF_CLIENTS {
            let message = format!("clients of '{cluster}' may set {MOST_OF_CLIENTS} quotas and have set that many");
            found.push((ProblemKind::Conflict, "spec.setBy", message));
        }
        problems.extend(found.into_iter().map(|(kind, path, message)| Problem {
            kind,
            resource: format!("Quota/{cluster}/{name}"),
            path: path.into(),
            message,
        }));
    }
    for (cluster, rules) in rules {
        if let Some(cluster) = world.virtual_clusters.get_mut(cluster) {
            Arc::make_mut(cluster).quotas = Some(Arc::new(rules));
        }
    }
}

fn entity(quota: &Quota) -> Entity {
    let spec = &quota.spec;
    Entity { user: Name::declared(spec.user.as_deref()), client_id: Name::declared(spec.client_id.as_deref()) }
}

fn rates(quota: &Quota) -> Rates {
    let spec = &quota.spec;
    [spec.produce_bytes_per_second, spec.fetch_bytes_per_second, spec.requests_per_second]
}

fn add(rules: &mut Rules, quota: &Quota) {
    let (spec, entity) = (&quota.spec, entity(quota));
    if entity == (Entity { user: Name::Any, client_id: Name::Any }) {
        rules.whole = rates(quota);
        (rules.connections, rules.storage) = (spec.connections, spec.storage_bytes);
        (rules.topics, rules.partitions) = (spec.topics, spec.partitions);
        return;
    }
    let by_clients = spec.set_by == Some(SetBy::Clients);
    if let Some(limit) = spec.connections.filter(|_| !by_clients) {
        rules.user_connections.insert(entity.user.clone(), limit);
    }
    let layer: &mut Layer = if by_clients { &mut rules.clients } else { &mut rules.operator };
    layer.insert(entity, rates(quota));
}

/// What no quota may say, wherever it is.
fn wrong(quota: &Quota) -> Vec<(ProblemKind, &'static str, String)> {
    let spec = &quota.spec;
    let mut found = Vec::new();
    let mut invalid = |path, message: &str| found.push((ProblemKind::Invalid, path, message.to_owned()));
    let second = [
        ("spec.produceBytesPerSecond", spec.produce_bytes_per_second),
        ("spec.fetchBytesPerSecond", spec.fetch_bytes_per_second),
        ("spec.requestsPerSecond", spec.requests_per_second),
    ];
    for (path, _) in second.into_iter().filter(|(_, limit)| *limit == Some(0)) {
        invalid(path, "nothing a second is no pace: use 1 or more, or take the right away with an ACL");
    }
    let of_the_whole =
        [("spec.topics", spec.topics), ("spec.partitions", spec.partitions), ("spec.storageBytes", spec.storage_bytes)];
    let some_clients = spec.user.is_some() || spec.client_id.is_some();
    for (path, _) in of_the_whole.into_iter().filter(|(_, limit)| some_clients && limit.is_some()) {
        invalid(path, "topics belong to the virtual cluster as a whole: leave spec.user and spec.clientId out");
    }
    if spec.client_id.is_some() && spec.connections.is_some() {
        invalid("spec.connections", "a connection has no client id of its own: leave spec.clientId out");
    }
    for (path, name) in [("spec.user", &spec.user), ("spec.clientId", &spec.client_id)] {
        if name.as_deref().is_some_and(str::is_empty) {
            invalid(path, "is empty: name one, or '*' for each that has no quota of its own");
        }
    }
    if spec.set_by == Some(SetBy::Clients) && (!some_clients || spec.connections.is_some()) {
        invalid("spec.setBy", "clients set bytes and requests a second of users and client ids, and nothing else");
    }
    found
}

#[cfg(test)]
mod tests {
    use contract::resources::VirtualCluster;
    use serde_json::{Value, json};

    use super::*;
    use crate::quotas::Rate;
    use crate::world::build;

    fn quota(name: &str, spec: &Value) -> Resource {
        let json = json!({ "kind": "Quota", "apiVersion": "anabranch/v1", "metadata": { "name": name, "vCluster": "dev" },
            "spec": spec });
        Resource::from_json("Quota", json.to_string().as_bytes()).unwrap().unwrap()
    }

    fn built(quotas: &[Resource]) -> Result<World, Vec<String>> {
        let built = build(&[VirtualCluster::new("dev")], [], [], quotas);
        built.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn limits_are_where_sessions_look_for_them() {
        let quotas = [
            quota("all", &json!({ "produceBytesPerSecond": 100, "connections": 7, "topics": 3, "storageBytes": 9 })),
            quota("alice", &json!({ "user": "alice", "fetchBytesPerSecond": 5, "connections": 2 })),
            quota("each", &json!({ "clientId": "*", "requestsPerSecond": 4 })),
            quota("theirs", &json!({ "user": "alice", "fetchBytesPerSecond": 3, "setBy": "CLIENTS" })),
        ];
        let world = built(&quotas).unwrap();
        assert!(world.virtual_cluster("passthrough").unwrap().quotas.is_none());
        let rules = world.virtual_cluster("dev").unwrap().quotas.clone().unwrap();
        let limits = |rate| rules.holding(rate, "alice", "x").map(|holds| holds.map(|holds| holds.limit));
        assert_eq!(limits(Rate::Produce), [Some(100), None, None]);
        assert_eq!(limits(Rate::Fetch), [None, Some(5), Some(3)]);
        assert_eq!(limits(Rate::Requests), [None, Some(4), None]);
        assert_eq!(
            (rules.connections, rules.connections_of("alice"), rules.connections_of("bob")),
            (Some(7), Some(2), None)
        );
        assert_eq!((rules.topics, rules.partitions, rules.storage), (Some(3), None, Some(9)));
    }

    #[test]
    fn what_no_quota_may_say_is_told_with_its_place() {
        let wrong = |spec: Value| built(&[quota("q", &spec)]).unwrap_err();
        let zero = wrong(json!({ "produceBytesPerSecond": 0, "clientId": "c", "connections": 1, "topics": 1 }));
        let starts = ["spec.produceBytesPerSecond: nothing", "spec.topics: topics", "spec.connections: a connection"];
        assert_eq!(zero.len(), starts.len(), "{zero:?}");
        for (text, start) in zero.iter().zip(starts) {
            assert!(text.starts_with(&format!("Quota/dev/q {start}")), "{text}");
        }
        assert!(wrong(json!({ "user": "" }))[0].contains("spec.user: is empty"));
        assert!(wrong(json!({ "setBy": "CLIENTS" }))[0].contains("spec.setBy: clients set"));
    }

    #[test]
    fn two_quotas_for_the_same_clients_are_a_conflict() {
        let spec = json!({ "user": "alice", "requestsPerSecond": 1 });
        let found = built(&[quota("a", &spec), quota("b", &spec)]).unwrap_err();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("Quota/dev/b spec: 'a' limits the same already"), "{found:?}");
        let theirs = json!({ "user": "alice", "requestsPerSecond": 1, "setBy": "CLIENTS" });
        assert!(built(&[quota("a", &spec), quota("b", &theirs)]).is_ok());
    }
}
