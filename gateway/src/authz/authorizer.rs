//! The decision, as Kafka's `org.apache.kafka.metadata.authorizer.StandardAuthorizer` makes it.
//!
//! - A super user may do everything; anybody else nothing without a rule that allows it.
//! - A rule that denies outweighs all that allow. One that allows READ, WRITE, DELETE or ALTER allows DESCRIBE, one that allows
//!   ALTER_CONFIGS allows DESCRIBE_CONFIGS; ALL is every operation. One that denies an operation denies no other.
//! - Of a name, the rules with this name, with the name `*` and with a prefix of it count; of a requester, those of its principal
//!   and of `User:*`; of an address, those with this address and with `*`.

use super::acl::{AclBinding, Operation, ResourceType, WILDCARD, WILDCARD_PRINCIPAL, supported};
use super::rules::{Grants, Names, Rules};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// As `User:alice`.
    pub principal: &'a str,
    /// The address that the connection comes from.
    pub host: IpAddr,
}

/// The rules of one virtual cluster. Immutable: other rules are another authorizer.
///
/// A decision takes two binary searches for the requester and two for everybody, however many rules there are, and allocates
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorizer(Option<Enforced>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Enforced {
    super_users: BTreeSet<String>,
    rules: BTreeSet<AclBinding>,
    by_principal: HashMap<String, Rules>,
}

impl Authorizer {
    /// Everybody may do everything.
    pub const fn unrestricted() -> Self {
        Self(None)
    }

    /// Nothing may be done without a rule, except by `super_users`, which are principals.
    pub fn new(super_users: impl IntoIterator<Item = String>, rules: impl IntoIterator<Item = AclBinding>) -> Self {
        let rules: BTreeSet<AclBinding> = rules.into_iter().collect();
        let mut sorted: BTreeMap<&str, Vec<&AclBinding>> = BTreeMap::new();
        for rule in &rules {
            sorted.entry(&rule.principal).or_default().push(rule);
        }
        let by_principal = sorted.into_iter().map(|(principal, rules)| (principal.to_owned(), Rules::new(rules)));
        let by_principal = by_principal.collect();
        Self(Some(Enforced { super_users: super_users.into_iter().collect(), rules, by_principal }))
    }

    /// Whether there is nothing to decide.
    pub const fn is_unrestricted(&self) -> bool {
        self.0.is_none()
    }

    /// The rules, sorted by resource.
    pub fn rules(&self) -> impl Iterator<Item = &AclBinding> {
        self.0.iter().flat_map(|enforced| &enforced.rules)
    }

    /// Whether `who` may do `operation` on the resource `name`.
    pub fn allows(&self, who: &Requester<'_>, operation: Operation, ty: ResourceType, name: &str) -> bool {
        self.0.as_ref().is_none_or(|enforced| enforced.is_super(who) || enforced.of(who, ty, name).permit(operation))
    }

    /// Whether `who` may do `operation` on some resource of this type, known by its rules alone (KIP-679).
    pub fn allows_any(&self, who: &Requester<'_>, operation: Operation, ty: ResourceType) -> bool {
        self.0.as_ref().is_none_or(|enforced| enforced.is_super(who) || enforced.allows_any(who, operation, ty))
    }

    /// What `who` may do on the resource `name`, as the bits that clients are told (KIP-430).
    pub fn operations(&self, who: &Requester<'_>, ty: ResourceType, name: &str) -> i32 {
        let enforced = self.0.as_ref().filter(|enforced| !enforced.is_super(who));
        let grants = enforced.map(|enforced| enforced.of(who, ty, name));
        let permitted = supported(ty).iter().filter(|operation| grants.is_none_or(|grants| grants.permit(**operation)));
        permitted.fold(0, |bits, operation| bits | 1 << operation.code())
    }
}

/// Brokers ask about a resource of this name before they look at the rules, for the sake of super users. Who has a rule about it
/// notices.
const ASKED_FIRST: &str = "hardcode";

impl Enforced {
    fn is_super(&self, who: &Requester<'_>) -> bool {
        self.super_users.contains(who.principal)
    }

    /// The rules of the requester and of everybody about a type of resource.
    fn about<'a>(&'a self, who: &Requester<'_>, ty: ResourceType) -> impl Iterator<Item = &'a Names> + Clone + use<'a> {
        let own = self.by_principal.get(who.principal).and_then(|rules| rules.about(ty));
        let everybodys = self.by_principal.get(WILDCARD_PRINCIPAL).and_then(|rules| rules.about(ty));
        own.into_iter().chain(everybodys)
    }

    fn of(&self, who: &Requester<'_>, ty: ResourceType, name: &str) -> Grants {
        let host = who.host.to_canonical();
        self.about(who, ty).fold(Grants::default(), |grants, names| grants.and(names.of(name, host)))
    }

    fn allows_any(&self, who: &Requester<'_>, operation: Operation, ty: ResourceType) -> bool {
        if self.of(who, ty, ASKED_FIRST).permit(operation) {
            return true;
        }
        let host = who.host.to_canonical();
        let both = self.about(who, ty);
        let literal =
            |name: &str| both.clone().fold(Grants::default(), |all, names| all.and(names.literal(name, host)));
        let prefixed =
            |name: &str| both.clone().fold(Grants::default(), |all, names| all.and(names.prefixed(name, host)));
        let everything = literal(WILDCARD);
        if everything.deny_plainly(operation) {
            return false;
        }
        if everything.allow_plainly(operation) {
            return true;
        }
        both.clone().any(|names| {
            let literals = names.literals(host).filter(|(_, grants)| grants.allow_plainly(operation));
            let prefixes = names.prefixes(host).filter(|(_, grants)| grants.allow_plainly(operation));
            literals.filter(|(name, _)| !literal(name).deny_plainly(operation)).chain(prefixes).any(|(name, _)| {
                // A prefix that is denied takes all that begins with it.
                !prefixed(name).deny_plainly(operation)
            })
        })
    }
}
