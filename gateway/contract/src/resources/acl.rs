//! Access control lists as Kafka has them: who may do what to which resource, from where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A type of Kafka's with its number on the wire; what Kafka calls `UNKNOWN` and `ANY` is no value of it.
macro_rules! numbered {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[repr(i8)]
        pub enum $name {
            $($(#[$inner])* $variant = $code),+
        }

        impl $name {
            /// Every value, by number.
            pub const EVERY: &'static [Self] = &[$(Self::$variant),+];

            /// Its number on the wire.
            pub const fn code(self) -> i8 {
                self as i8
            }

            /// The value of a number on the wire.
            pub fn from_code(code: i8) -> Option<Self> {
                Self::EVERY.iter().copied().find(|value| value.code() == code)
            }
        }
    };
}

numbered! {
    /// What a rule is about (`org.apache.kafka.common.resource.ResourceType`).
    ResourceType {
        /// A topic.
        Topic = 2,
        /// A group of any kind.
        Group = 3,
        /// The virtual cluster itself, whose name is `kafka-cluster`.
        Cluster = 4,
        /// A transactional id.
        TransactionalId = 5,
        /// A delegation token.
        DelegationToken = 6,
        /// A user, by principal.
        User = 7,
    }
}

numbered! {
    /// How a rule's name is compared (`org.apache.kafka.common.resource.PatternType`).
    PatternType {
        /// With the whole name; `*` is every name.
        Literal = 3,
        /// With the name's beginning (KIP-290).
        Prefixed = 4,
    }
}

numbered! {
    /// What is done (`org.apache.kafka.common.acl.AclOperation`).
    Operation {
        /// Every operation.
        All = 2,
        /// Reading records, and offsets of a group.
        Read = 3,
        /// Writing records.
        Write = 4,
        /// Making a resource.
        Create = 5,
        /// Removing a resource.
        Delete = 6,
        /// Changing a resource.
        Alter = 7,
        /// Seeing that it is there and what it is like.
        Describe = 8,
        /// What brokers do among each other.
        ClusterAction = 9,
        /// Reading settings.
        DescribeConfigs = 10,
        /// Changing settings.
        AlterConfigs = 11,
        /// Writing with an idempotent producer.
        IdempotentWrite = 12,
        /// Making delegation tokens for another user.
        CreateTokens = 13,
        /// Seeing delegation tokens of another user.
        DescribeTokens = 14,
        /// Preparing transactions for two-phase commit (KIP-939).
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// Whether a rule gives or takes (`org.apache.kafka.common.acl.AclPermissionType`).
    PermissionType {
        /// It takes, whatever other rules give.
        Deny = 2,
        /// It gives.
        Allow = 3,
    }
}

/// The only name of a resource of type [`ResourceType::Cluster`].
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// As a literal name every name, as a host every host.
pub const WILDCARD: &str = "*";
/// The principal of a rule that is about everybody.
pub const WILDCARD_PRINCIPAL: &str = "User:*";

/// Which resources a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourcePattern {
    /// Of which type.
    pub resource_type: ResourceType,
    /// Their name, or how it begins.
    pub name: String,
    /// How the name is compared.
    pub pattern_type: PatternType,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AclBinding {
    /// To what.
    pub resource_pattern: ResourcePattern,
    /// Who, as `User:alice`; `User:*` is everybody.
    pub principal: String,
    /// From which address; `*` is any. Compared as text with the address as Kafka's brokers spell it: IPv6 in eight groups without `::`.
    pub host: String,
    /// What is done.
    pub operation: Operation,
    /// Whether it may be done.
    pub permission_type: PermissionType,
}

impl std::fmt::Display for AclBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource_pattern, principal, host, operation, permission_type } = self;
        let ResourcePattern { resource_type, name, pattern_type } = resource_pattern;
        write!(
            f,
            "{permission_type:?} {principal} from {host} {operation:?} on {resource_type:?} {name} ({pattern_type:?})"
        )
    }
}

/// The rules of a virtual cluster: a set, written back in the order in which they came.
#[derive(Debug, Clone, Default, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Acls(pub Vec<AclBinding>);

impl PartialEq for Acls {
    fn eq(&self, other: &Self) -> bool {
        let set = |acls: &Self| acls.0.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        set(self) == set(other)
    }
}

/// Who keeps the rules of a virtual cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AclMode {
    /// Its clients, by Kafka's own API (`kafka-acls`, AdminClient).
    #[default]
    KafkaApi,
    /// The operator, in `spec.acls`.
    RestApi,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_kafkas() {
        let text = |operation: Operation| serde_json::to_string(&operation).unwrap();
        assert_eq!(text(Operation::TwoPhaseCommit), "\"TWO_PHASE_COMMIT\"");
        assert_eq!(Operation::from_code(15), Some(Operation::TwoPhaseCommit));
        assert_eq!(
            (Operation::from_code(1), ResourceType::from_code(0), PatternType::from_code(2)),
            (None, None, None)
        );
        let error = serde_json::from_str::<PatternType>("\"MATCH\"").unwrap_err().to_string();
        assert!(error.starts_with("unknown variant `MATCH`, expected `LITERAL` or `PREFIXED`"), "{error}");
        assert_eq!(serde_json::to_string(&AclMode::RestApi).unwrap(), "\"REST_API\"");
    }

    #[test]
    fn acls_are_a_set() {
        let rule = |name: &str| AclBinding {
            resource_pattern: ResourcePattern {
                resource_type: ResourceType::Topic,
                name: name.into(),
                pattern_type: PatternType::Literal,
            },
            principal: "User:qa-app".into(),
            host: "*".into(),
            operation: Operation::Read,
            permission_type: PermissionType::Allow,
        };
        let both = Acls(vec![rule("a"), rule("b")]);
        assert_eq!(both, Acls(vec![rule("b"), rule("a"), rule("b")]));
        assert_ne!(both, Acls(vec![rule("a")]));
    }
}
