//! Which rules a virtual cluster may have, and what decides by them.

use std::collections::BTreeSet;

use contract::resources;
use contract::resources::acl::{AclBinding, AclMode, CLUSTER_NAME, ResourceType};

use crate::authz::Authorizer;
use crate::authz::acl::{Hosts, hosts};

/// A virtual cluster has no more rules: each is kept in memory, and an answer to DescribeAcls holds them all.
pub const MOST_RULES: usize = 20_000;
/// In bytes, of a name, a principal or a host.
const LONGEST_TEXT: usize = 512;
/// The type of principals without one, and the only type that sessions have.
const USER: &str = "User:";

/// What is wrong with a rule: where in it, and what.
pub type Wrong = (&'static str, String);

/// Finds out whether a rule can hold. What can be is more than what makes sense: brokers take any host and any type of
/// principal.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_rule(rule: &AclBinding) -> Result<(), Wrong> {
    let pattern = &rule.resource_pattern;
    if pattern.name.is_empty() {
        return Err(("resourcePattern.name", "must not be empty".to_owned()));
    }
    if pattern.resource_type == ResourceType::Cluster && pattern.name != CLUSTER_NAME {
        return Err((
            "resourcePattern.name",
            format!("the only valid name for the CLUSTER resource is {CLUSTER_NAME}"),
        ));
    }
    let texts = [("resourcePattern.name", &pattern.name), ("principal", &rule.principal), ("host", &rule.host)];
    if let Some((path, text)) = texts.into_iter().find(|(_, text)| text.len() > LONGEST_TEXT) {
        return Err((path, format!("has {} bytes, and may have {LONGEST_TEXT}", text.len())));
    }
    if !rule.principal.contains(':') {
        return Err(("principal", format!("'{}' must be a type and a name, as in User:alice", rule.principal)));
    }
    Ok(())
}

/// What is wrong with the rules and super users of a declaration: paths and messages.
pub(super) fn wrong(declared: &resources::VirtualCluster) -> Vec<(String, String)> {
    let spec = &declared.spec;
    let mut wrong = Vec::new();
    let rules = spec.acls.as_ref().map(|acls| acls.0.as_slice()).unwrap_or_default();
    if spec.acls.is_some() && spec.acl_mode != Some(AclMode::RestApi) {
        let message = "belongs to aclMode REST_API; with KAFKA_API clients keep the rules, by kafka-acls".to_owned();
        wrong.push(("spec.acls".to_owned(), message));
    }
    // Only said outright, rules are switched off: left out, the operator would believe that they hold.
    if !rules.is_empty() && spec.acl_enabled.is_none() {
        let message = "must be given with rules: true enforces them, false allows everything".to_owned();
        wrong.push(("spec.aclEnabled".to_owned(), message));
    }
    if rules.len() > MOST_RULES {
        wrong.push(("spec.acls".to_owned(), format!("has {} rules, and may have {MOST_RULES}", rules.len())));
    }
    for (at, rule) in rules.iter().enumerate() {
        let found = check_rule(rule).and_then(|()| can_hold(rule));
        wrong.extend(found.err().map(|(path, message)| (format!("spec.acls[{at}].{path}"), message)));
    }
    for (at, name) in spec.super_users.iter().flatten().enumerate() {
        if !is_super_user(name) {
            let message = format!("'{name}' must be the name of a service account, or a principal such as User:alice");
            wrong.push((format!("spec.superUsers[{at}]"), message));
        }
    }
    wrong
}

/// Whether somebody can be called so in a list of super users: by the name of an account or as a principal.
pub fn is_super_user(name: &str) -> bool {
    let named = !name.is_empty() && name.len() <= LONGEST_TEXT && name.trim() == name;
    named && !name.starts_with(':') && !name.ends_with(':') && !name.ends_with('*')
}

/// A rule about nobody or no address never holds: told to who writes it in a file. Brokers say nothing.
fn can_hold(rule: &AclBinding) -> Result<(), Wrong> {
    if rule.principal.starts_with(':') || rule.principal.ends_with(':') {
        return Err(("principal", format!("'{}' must be a type and a name, as in User:alice", rule.principal)));
    }
    if hosts(&rule.host) != Hosts::None {
        return Ok(());
    }
    let hint = match rule.host.parse() {
        Ok(address) => format!("write {}, as brokers do", crate::authz::acl::as_brokers_spell(address)),
        Err(_) => "write an IP address, or '*' for every host; names and networks match nothing".to_owned(),
    };
    Err(("host", format!("'{}' is never the address of a client: {hint}", rule.host)))
}

/// What decides in a virtual cluster.
pub(super) fn authorizer(declared: &resources::VirtualCluster, kept: Option<&BTreeSet<AclBinding>>) -> Authorizer {
    let spec = &declared.spec;
    if spec.acl_enabled != Some(true) {
        return Authorizer::unrestricted();
    }
    let super_users = spec.super_users.iter().flatten();
    let super_users = super_users.map(|name| if name.contains(':') { name.clone() } else { format!("{USER}{name}") });
    match spec.acl_mode.unwrap_or_default() {
        AclMode::RestApi => Authorizer::new(super_users, spec.acls.iter().flat_map(|acls| acls.0.iter().cloned())),
        AclMode::KafkaApi => Authorizer::new(super_users, kept.into_iter().flatten().cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::{Operation, Requester};
    use contract::resources::VirtualCluster;
    use contract::resources::acl::{Acls, PatternType, PermissionType, ResourcePattern};

    fn rule(name: &str) -> AclBinding {
        AclBinding {
            resource_pattern: ResourcePattern {
                resource_type: ResourceType::Topic,
                name: name.into(),
                pattern_type: PatternType::Literal,
            },
            principal: "User:app".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission_type: PermissionType::Allow,
        }
    }

    fn cluster(mode: AclMode, rules: Vec<AclBinding>) -> VirtualCluster {
        let mut cluster = VirtualCluster::new("dev");
        cluster.spec.acl_enabled = Some(true);
        cluster.spec.acl_mode = Some(mode);
        cluster.spec.acls = (mode == AclMode::RestApi).then_some(Acls(rules));
        cluster
    }

    fn reads(authorizer: &Authorizer, principal: &str, topic: &str) -> bool {
        let who = Requester { principal, host: "10.0.0.1".parse().unwrap() };
        authorizer.allows(&who, Operation::Read, ResourceType::Topic, topic)
    }

    #[test]
    fn the_mode_says_which_rules_hold() {
        let kept = BTreeSet::from([rule("kept")]);
        let by_operator = authorizer(&cluster(AclMode::RestApi, vec![rule("declared")]), Some(&kept));
        assert!(reads(&by_operator, "User:app", "declared") && !reads(&by_operator, "User:app", "kept"));
        let by_clients = authorizer(&cluster(AclMode::KafkaApi, Vec::new()), Some(&kept));
        assert!(reads(&by_clients, "User:app", "kept") && !reads(&by_clients, "User:app", "declared"));
        assert!(!reads(&by_clients, "User:other", "kept"));
        let mut off = cluster(AclMode::KafkaApi, Vec::new());
        off.spec.acl_enabled = Some(false);
        assert!(authorizer(&off, Some(&kept)).is_unrestricted());
    }

    #[test]
    fn super_users_are_names_or_principals() {
        let mut declared = cluster(AclMode::KafkaApi, Vec::new());
        declared.spec.super_users = Some(vec!["root".into(), "User:admin".into()]);
        let authorizer = authorizer(&declared, None);
        assert!(reads(&authorizer, "User:root", "x") && reads(&authorizer, "User:admin", "x"));
        assert!(!reads(&authorizer, "User:app", "x") && !reads(&authorizer, "root", "x"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place() {
        let but = |change: &dyn Fn(&mut AclBinding)| {
            let mut rule = rule("orders");
            change(&mut rule);
            rule
        };
        let rules = vec![
            but(&|_| ()),
            but(&|rule| rule.resource_pattern.name.clear()),
            but(&|rule| rule.resource_pattern.resource_type = ResourceType::Cluster),
            but(&|rule| rule.principal = "app".into()),
            but(&|rule| rule.host = "::1".into()),
            but(&|rule| rule.host = "10.0.0.0/8".into()),
            but(&|rule| rule.resource_pattern.name = "x".repeat(513)),
        ];
        let mut declared = cluster(AclMode::RestApi, rules);
        declared.spec.acl_enabled = None;
        declared.spec.super_users = Some(vec![" x".into(), "root".into(), "User:".into(), "User:*".into()]);
        let told = wrong(&declared).into_iter().map(|(path, message)| format!("{path}: {message}")).collect::<Vec<_>>();
        let expected = [
            "spec.aclEnabled: must be given with rules",
            "spec.acls[1].resourcePattern.name: must not be empty",
            "spec.acls[2].resourcePattern.name: the only valid name for the CLUSTER resource is kafka-cluster",
            "spec.acls[3].principal: 'app' must be a type and a name",
            "spec.acls[4].host: '::1' is never the address of a client: write 0:0:0:0:0:0:0:1, as brokers do",
            "spec.acls[5].host: '10.0.0.0/8' is never the address of a client: write an IP address",
            "spec.acls[6].resourcePattern.name: has 513 bytes, and may have 512",
            "spec.superUsers[0]: ' x' must be",
            "spec.superUsers[2]: 'User:' must be",
            "spec.superUsers[3]: 'User:*' must be",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, start) in told.iter().zip(expected) {
            assert!(told.starts_with(start), "{told} should start with {start}");
        }
        declared.spec.acl_mode = None;
        assert!(wrong(&declared)[0].1.starts_with("belongs to aclMode REST_API"));
        assert_eq!(wrong(&cluster(AclMode::RestApi, vec![rule("orders")])), []);
    }
}
