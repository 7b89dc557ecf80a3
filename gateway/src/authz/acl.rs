//! What a rule says and which rules a filter finds, as Kafka's `AclBinding` and `AclBindingFilter`.

use std::net::IpAddr;

pub use contract::resources::acl::{
    AclBinding, CLUSTER_NAME, Operation, PatternType, PermissionType, ResourcePattern, ResourceType, WILDCARD,
    WILDCARD_PRINCIPAL,
};

/// Which rules are meant. `None` is Kafka's `ANY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    /// Of resources of this type.
    pub resource_type: Option<ResourceType>,
    /// How [`Self::name`] is compared.
    pub pattern: PatternFilter,
    /// Of this name.
    pub name: Option<String>,
    /// Of this principal.
    pub principal: Option<String>,
    /// Of this host.
    pub host: Option<String>,
    /// Of this operation.
    pub operation: Option<Operation>,
    /// That give, or that take.
    pub permission_type: Option<PermissionType>,
}

/// How a filter's name is compared with that of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFilter {
    /// It is the rule's name, whatever that rule's type is.
    Any,
    /// It is the name of a resource that the rule is about: also one that a prefix or `*` covers.
    Match,
    /// It is the rule's name, and the rule is of this type.
    Only(PatternType),
}

impl AclFilter {
    /// Whether a rule is meant.
    pub fn matches(&self, rule: &AclBinding) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.resource_type.as_ref(), &rule.resource_pattern.resource_type)
            && self.pattern.matches(self.name.as_deref(), &rule.resource_pattern)
            && is(self.principal.as_ref(), &rule.principal)
            && is(self.host.as_ref(), &rule.host)
            && is(self.operation.as_ref(), &rule.operation)
            && is(self.permission_type.as_ref(), &rule.permission_type)
    }
}

impl PatternFilter {
    fn matches(self, name: Option<&str>, rule: &ResourcePattern) -> bool {
        if let Self::Only(wanted) = self
            && wanted != rule.pattern_type
        {
            return false;
        }
        let Some(name) = name else { return true };
        match (self, rule.pattern_type) {
            (Self::Match, PatternType::Literal) => rule.name == name || rule.name == WILDCARD,
            (Self::Match, PatternType::Prefixed) => name.starts_with(&rule.name),
            (Self::Any | Self::Only(_), _) => rule.name == name,
        }
    }
}

/// The operations that mean something for a type of resource: those of which a client is told whether it may (KIP-430).
pub const fn supported(ty: ResourceType) -> &'static [Operation] {
    use Operation as O;
    match ty {
        ResourceType::Topic => {
            &[O::Read, O::Write, O::Create, O::Delete, O::Alter, O::Describe, O::DescribeConfigs, O::AlterConfigs]
        }
        ResourceType::Group => &[O::Read, O::Delete, O::Describe, O::DescribeConfigs, O::AlterConfigs],
        ResourceType::Cluster => &[
            O::Create,
            O::Alter,
            O::Describe,
            O::ClusterAction,
            O::DescribeConfigs,
            O::AlterConfigs,
            O::IdempotentWrite,
        ],
        ResourceType::TransactionalId => &[O::Write, O::Describe, O::TwoPhaseCommit],
        ResourceType::DelegationToken => &[O::Describe],
        ResourceType::User => &[O::CreateTokens, O::DescribeTokens],
    }
}

/// The addresses that a rule's host stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hosts {
    /// Every address.
    Any,
    /// This address.
    Only(IpAddr),
    /// None: a broker compares texts, and spells no address so.
    None,
}

/// Reads a rule's host. Brokers compare it with the text that Java makes of an address: IPv4 in dots, IPv6 in eight groups
/// without leading zeros and without `::`; an IPv4 address inside an IPv6 one is an IPv4 address.
pub fn hosts(text: &str) -> Hosts {
    match text.parse::<IpAddr>() {
        _ if text == WILDCARD => Hosts::Any,
        Ok(address) if address.to_canonical() == address && as_brokers_spell(address) == text => Hosts::Only(address),
        _ => Hosts::None,
    }
}

/// An address as a broker compares it with rules and shows it.
pub fn as_brokers_spell(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_as_java_spells_it() {
        let only = |text: &str| Hosts::Only(text.parse().unwrap());
        assert_eq!(hosts("*"), Hosts::Any);
        assert_eq!(hosts("10.0.0.1"), only("10.0.0.1"));
        assert_eq!(hosts("2001:db8:0:0:0:0:0:1"), only("2001:db8::1"));
        for nobody in
            ["", "::1", "2001:DB8:0:0:0:0:0:1", "010.0.0.1", "10.0.0.0/8", "app.example.com", "0:0:0:0:0:ffff:a00:1"]
        {
            assert_eq!(hosts(nobody), Hosts::None, "{nobody}");
        }
        assert_eq!(as_brokers_spell("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
        assert_eq!(as_brokers_spell("::1".parse().unwrap()), "0:0:0:0:0:0:0:1");
    }

    fn rule(name: &str, pattern_type: PatternType) -> AclBinding {
        AclBinding {
            resource_pattern: ResourcePattern { resource_type: ResourceType::Topic, name: name.into(), pattern_type },
            principal: "User:alice".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission_type: PermissionType::Allow,
        }
    }

    #[test]
    fn filters_find_what_kafkas_find() {
        let rules =
            [rule("orders", PatternType::Literal), rule("ord", PatternType::Prefixed), rule("*", PatternType::Literal)];
        let every = AclFilter {
            resource_type: None,
            pattern: PatternFilter::Any,
            name: None,
            principal: None,
            host: None,
            operation: None,
            permission_type: None,
        };
        let found = |filter: &AclFilter| {
            rules
                .iter()
                .filter(|rule| filter.matches(rule))
                .map(|rule| rule.resource_pattern.name.clone())
                .collect::<Vec<_>>()
        };
        let named = |pattern, name: &str| AclFilter { pattern, name: Some(name.into()), ..every.clone() };
        assert_eq!(found(&every), ["orders", "ord", "*"]);
        assert_eq!(found(&named(PatternFilter::Match, "orders")), ["orders", "ord", "*"]);
        assert_eq!(found(&named(PatternFilter::Match, "ord")), ["ord", "*"]);
        assert_eq!(found(&named(PatternFilter::Any, "ord")), ["ord"]);
        assert_eq!(found(&named(PatternFilter::Only(PatternType::Literal), "ord")), [""; 0]);
        assert_eq!(found(&AclFilter { pattern: PatternFilter::Only(PatternType::Prefixed), ..every.clone() }), ["ord"]);
        assert_eq!(found(&AclFilter { operation: Some(Operation::All), ..every.clone() }), [""; 0]);
        assert_eq!(found(&AclFilter { host: Some("10.0.0.1".into()), ..every.clone() }), [""; 0]);
        assert_eq!(found(&AclFilter { permission_type: Some(PermissionType::Deny), ..every }), [""; 0]);
    }
}
