//! The indexed decision against the definition of it: every rule looked at, one after the other.

use super::acl::{
    AclBinding, Operation, PatternType, PermissionType, ResourcePattern, ResourceType, WILDCARD, WILDCARD_PRINCIPAL,
    supported,
};
use super::{Authorizer, Requester};
use proptest::prelude::*;
use std::net::IpAddr;

/// Few and alike, so that rules meet: prefixes of each other, neighbours in the order of bytes, more than one byte a letter.
const NAMES: [&str; 14] =
    ["a", "ab", "abc", "abd", "ab.", "ab0", "b", "*", "!", "hardcode", "hard", "é", "éa", "\u{10ffff}"];
const PRINCIPALS: [&str; 4] = ["User:a", "User:b", WILDCARD_PRINCIPAL, "Group:a"];
const HOSTS: [&str; 5] = ["*", "10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1", "::1"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.3", "::1", "::ffff:10.0.0.2"];

fn rule(
    (ty, name, pattern_type): (ResourceType, &str, PatternType),
    principal: &str,
    host: &str,
    operation: Operation,
    permission_type: PermissionType,
) -> AclBinding {
    let resource_pattern = ResourcePattern { resource_type: ty, name: name.into(), pattern_type };
    AclBinding { resource_pattern, principal: principal.into(), host: host.into(), operation, permission_type }
}

fn any_rule() -> impl Strategy<Value = AclBinding> {
    let one = |from: &'static [&'static str]| proptest::sample::select(from);
    let types = proptest::sample::select(&[ResourceType::Topic, ResourceType::Group][..]);
    let patterns = proptest::sample::select(PatternType::EVERY);
    let permission = prop_oneof![3 => Just(PermissionType::Allow), 1 => Just(PermissionType::Deny)];
    let operation = proptest::sample::select(Operation::EVERY);
    ((types, one(&NAMES), patterns), one(&PRINCIPALS), one(&HOSTS), operation, permission).prop_map(
        |(resource, principal, host, operation, permission)| rule(resource, principal, host, operation, permission),
    )
}

fn concerns(rule: &AclBinding, who: &Requester<'_>, ty: ResourceType) -> bool {
    let host = match who.host.to_canonical() {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(_) => "0:0:0:0:0:0:0:1".to_owned(),
    };
    rule.resource_pattern.resource_type == ty
        && (rule.principal == who.principal || rule.principal == WILDCARD_PRINCIPAL)
        && (rule.host == WILDCARD || rule.host == host)
}

fn covers(rule: &AclBinding, name: &str) -> bool {
    let pattern = &rule.resource_pattern;
    match pattern.pattern_type {
        PatternType::Literal if pattern.name == WILDCARD && denies(&rule) => true,
        // To Kafka `*` is a name, not a wildcard, where the other name begins with it.
        PatternType::Literal => pattern.name == name || (pattern.name == WILDCARD && !name.starts_with(WILDCARD)),
        PatternType::Prefixed => name.starts_with(&pattern.name),
    }
}

fn plainly(rule: &AclBinding, operation: Operation) -> bool {
    rule.operation == operation || rule.operation == Operation::All
}

fn implies(rule: &AclBinding, operation: Operation) -> bool {
    use Operation as O;
    let implied = match operation {
        O::Describe => matches!(rule.operation, O::Read | O::Write | O::Delete | O::Alter),
        O::DescribeConfigs => rule.operation == O::AlterConfigs,
        _ => false,
    };
    implied || plainly(rule, operation)
}

fn denies(rule: &&AclBinding) -> bool {
    rule.permission_type == PermissionType::Deny
}

fn allowed(rules: &[AclBinding], who: &Requester<'_>, operation: Operation, ty: ResourceType, name: &str) -> bool {
    let found = || rules.iter().filter(|rule| concerns(rule, who, ty) && covers(rule, name));
    !found().filter(denies).any(|rule| plainly(rule, operation))
        && found().filter(|rule| !denies(rule)).any(|rule| implies(rule, operation))
}

fn allowed_somewhere(rules: &[AclBinding], who: &Requester<'_>, operation: Operation, ty: ResourceType) -> bool {
    let found = || rules.iter().filter(|rule| concerns(rule, who, ty) && plainly(rule, operation));
    let everything = |rule: &&AclBinding| {
        rule.resource_pattern.name == WILDCARD && rule.resource_pattern.pattern_type == PatternType::Literal
    };
    if allowed(rules, who, operation, ty, "hardcode") {
        return true;
    }
    if found().filter(denies).any(|rule| everything(&rule)) {
        return false;
    }
    found().filter(|rule| !denies(rule)).any(|given| {
        let given_pattern = &given.resource_pattern;
        let taken = |denied: &AclBinding| {
            let pattern = &denied.resource_pattern;
            match pattern.pattern_type {
                PatternType::Prefixed => given_pattern.name.starts_with(&pattern.name),
                PatternType::Literal => pattern == given_pattern,
            }
        };
        everything(&given) || !found().filter(denies).any(taken)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_index_finds_what_looking_at_every_rule_finds(rules in proptest::collection::vec(any_rule(), 0..24)) {
        let authorizer = Authorizer::new(["User:root".to_owned()], rules.clone());
        for (principal, address) in PRINCIPALS.iter().flat_map(|p| ADDRESSES.map(|a| (*p, a))) {
            let who = Requester { principal, host: address.parse().unwrap() };
            for operation in Operation::EVERY {
                let ty = ResourceType::Topic;
                prop_assert_eq!(
                    authorizer.allows_any(&who, *operation, ty), allowed_somewhere(&rules, &who, *operation, ty),
                    "{:?} {:?} anywhere", who, operation
                );
                for name in NAMES.iter().chain(&["abcd", "éab", "", "z", "**", "*a"]) {
                    prop_assert_eq!(
                        authorizer.allows(&who, *operation, ty, name), allowed(&rules, &who, *operation, ty, name),
                        "{:?} {:?} {}", who, operation, name
                    );
                }
            }
            for ty in ResourceType::EVERY {
                let bits = authorizer.operations(&who, *ty, "abc");
                for operation in Operation::EVERY {
                    let told = bits >> operation.code() & 1 == 1;
                    prop_assert_eq!(
                        told, supported(*ty).contains(operation) && authorizer.allows(&who, *operation, *ty, "abc")
                    );
                }
            }
        }
        let root = Requester { principal: "User:root", host: "10.0.0.9".parse().unwrap() };
        prop_assert!(authorizer.allows(&root, Operation::Alter, ResourceType::Cluster, "kafka-cluster"));
        prop_assert!(authorizer.allows_any(&root, Operation::Write, ResourceType::Topic));
    }
}

#[test]
fn nothing_is_allowed_without_a_rule_and_everything_without_enforcement() {
    let who = Requester { principal: "User:a", host: "10.0.0.1".parse().unwrap() };
    let (closed, open) = (Authorizer::new([], []), Authorizer::unrestricted());
    assert!(!closed.is_unrestricted() && open.is_unrestricted());
    for ty in ResourceType::EVERY {
        for operation in Operation::EVERY {
            assert!(!closed.allows(&who, *operation, *ty, "x") && open.allows(&who, *operation, *ty, "x"));
            assert!(!closed.allows_any(&who, *operation, *ty) && open.allows_any(&who, *operation, *ty));
        }
        assert_eq!(closed.operations(&who, *ty, "x"), 0);
        assert_eq!(open.operations(&who, *ty, "x").count_ones() as usize, supported(*ty).len());
    }
}

#[test]
fn ten_thousand_rules_are_not_looked_at_one_by_one() {
    let about = |name: String, principal: String| {
        let resource = (ResourceType::Topic, name.as_str(), PatternType::Prefixed);
        rule(resource, &principal, WILDCARD, Operation::Read, PermissionType::Allow)
    };
    let rules = (0..10_000).map(|n| about(format!("team-{n}."), "User:a".into()));
    let others = (0..10_000).map(|n| about("team-".into(), format!("User:u{n}")));
    let authorizer = Authorizer::new([], rules.chain(others));
    let who = Requester { principal: "User:a", host: "10.0.0.1".parse().unwrap() };
    let began = std::time::SystemTime::now();
    for n in 0..20_000 {
        let name = format!("team-{n}.orders");
        assert_eq!(authorizer.allows(&who, Operation::Read, ResourceType::Topic, &name), n < 10_000, "{name}");
    }
    // Looked at one by one this would be two hundred million comparisons.
    assert!(began.elapsed().unwrap() < std::time::Duration::from_secs(5));
}
