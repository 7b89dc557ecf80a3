//! What must hold for the kinds that a world is not made of.

use contract::resources::{GatewayGroup, PASSTHROUGH, Resource};

use super::{Problem, ProblemKind, World};

const LONGEST_GROUP_NAME: usize = 100;

/// Checks one resource against the world that it would live in.
pub(super) fn check(resource: &Resource, world: &World, problems: &mut Vec<Problem>) {
    let key = resource.key();
    let mut problem = |kind, path: String, message| {
        problems.push(Problem { kind, resource: key.to_string(), path: path.into(), message });
    };
    if let Some(name) = key.virtual_cluster.as_deref().filter(|name| world.virtual_cluster(name).is_none()) {
        let message = format!("there is no virtual cluster '{name}'");
        problem(ProblemKind::Missing, "metadata.vCluster".to_owned(), message);
    }
    if let Resource::GatewayGroup(group) = resource {
        check_group(group, world).into_iter().for_each(|(kind, path, message)| problem(kind, path, message));
    }
}

fn check_group(group: &GatewayGroup, world: &World) -> Vec<(ProblemKind, String, String)> {
    let mut problems = Vec::new();
    let length = group.metadata.name.chars().count();
    if !(1..=LONGEST_GROUP_NAME).contains(&length) {
        let message = format!("a name of {length} characters: it must have 1 to {LONGEST_GROUP_NAME}");
        problems.push((ProblemKind::Invalid, "metadata.name".to_owned(), message));
    }
    for (at, member) in group.spec.members.iter().flatten().enumerate() {
        let cluster = member.v_cluster.as_deref().unwrap_or(PASSTHROUGH);
        if !world.accounts_of(cluster).any(|account| *account.username == *member.name) {
            let message = format!("there is no service account '{}' in '{cluster}': declare it first", member.name);
            problems.push((ProblemKind::Missing, format!("spec.members[{at}].name"), message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use contract::resources::{GatewayServiceAccount, VirtualCluster};
    use std::sync::Arc;

    use super::*;
    use crate::authn::Account;
    use crate::world::build;

    fn problems(kind: &str, json: &str) -> Vec<String> {
        let resource = Resource::from_json(kind, json.as_bytes()).unwrap().unwrap();
        let accounts = [Arc::new(Account::new(GatewayServiceAccount::local("app", "dev", None), None))];
        let built = build(&[VirtualCluster::new("dev")], &accounts, [], [&resource]);
        built.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn members_of_groups_exist() {
        let group = |name: &str, members: &str| {
            problems(
                "GatewayGroup",
                &format!(
                    r#"{{ "kind": "GatewayGroup", "apiVersion": "gateway/v2", "metadata": {{ "name": "{name}" }},
                        "spec": {{ "members": [{members}] }} }}"#
                ),
            )
        };
        assert_eq!(group("team a", r#"{ "name": "app", "vCluster": "dev" }"#), [""; 0]);
        let missing =
            "GatewayGroup/g spec.members[0].name: there is no service account 'app' in 'passthrough': declare it first";
        assert_eq!(group("g", r#"{ "name": "app" }"#), [missing]);
        assert_eq!(group("", ""), ["GatewayGroup/ metadata.name: a name of 0 characters: it must have 1 to 100"]);
    }

    #[test]
    fn what_belongs_to_a_virtual_cluster_needs_it() {
        let quota = |cluster: &str| {
            problems(
                "Quota",
                &format!(
                    r#"{{ "kind": "Quota", "apiVersion": "anabranch/v1",
                        "metadata": {{ "name": "q", "vCluster": "{cluster}" }}, "spec": {{}} }}"#
                ),
            )
        };
        assert_eq!(quota("dev"), [""; 0]);
        assert_eq!(quota("gone"), ["Quota/gone/q metadata.vCluster: there is no virtual cluster 'gone'"]);
    }
}
