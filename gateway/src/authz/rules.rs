//! Rules put in an order in which those about one request are found without looking at the others, and without allocating.
//!
//! By principal, by type of resource, then by name: sorted, with each prefix pointing at the longest one that it begins with.
//! All prefixes of a name lie on one chain of pointers, which starts where the name itself would stand.

use super::acl::{AclBinding, Hosts, Operation, PatternType, PermissionType, ResourceType, WILDCARD, hosts};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Operations as bits, by Kafka's numbers: what rules give, and what they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) allow: u16,
    pub(super) deny: u16,
}

const fn bit(operation: Operation) -> u16 {
    1 << operation.code()
}

/// The operations that give this one, when a rule allows them. Rules that deny imply nothing.
const fn giving(operation: Operation) -> u16 {
    use Operation as O;
    let all = bit(O::All);
    match operation {
        O::Describe => all | bit(O::Describe) | bit(O::Read) | bit(O::Write) | bit(O::Delete) | bit(O::Alter),
        O::DescribeConfigs => all | bit(O::DescribeConfigs) | bit(O::AlterConfigs),
        other => all | bit(other),
    }
}

impl Grants {
    fn add(&mut self, operation: Operation, permission: PermissionType) {
        match permission {
            PermissionType::Allow => self.allow |= bit(operation),
            PermissionType::Deny => self.deny |= bit(operation),
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self { allow: self.allow | other.allow, deny: self.deny | other.deny }
    }

    /// Whether the operation may be done: one rule that denies outweighs all that allow.
    pub(super) const fn permit(self, operation: Operation) -> bool {
        !self.deny_plainly(operation) && self.allow & giving(operation) != 0
    }

    /// Whether a rule about this operation or all of them gives it.
    pub(super) const fn allow_plainly(self, operation: Operation) -> bool {
        self.allow & (bit(operation) | bit(Operation::All)) != 0
    }

    /// Whether a rule about this operation or all of them takes it.
    pub(super) const fn deny_plainly(self, operation: Operation) -> bool {
        self.deny & (bit(operation) | bit(Operation::All)) != 0
    }
}

/// All rules of one principal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    types: BTreeMap<ResourceType, Names>,
}

impl Rules {
    /// The rules of one principal, in any order.
    pub(super) fn new<'a>(rules: impl IntoIterator<Item = &'a AclBinding>) -> Self {
        let mut types: BTreeMap<ResourceType, [BTreeMap<&str, ByHost>; 2]> = BTreeMap::new();
        for rule in rules {
            let pattern = &rule.resource_pattern;
            let kind = usize::from(pattern.pattern_type == PatternType::Prefixed);
            let names = &mut types.entry(pattern.resource_type).or_default()[kind];
            names.entry(&pattern.name).or_default().add(rule);
        }
        let names = |[literals, prefixes]: [BTreeMap<&str, ByHost>; 2]| Names {
            literals: literals.into_iter().map(|(name, by_host)| (Box::from(name), by_host)).collect(),
            prefixes: chained(prefixes),
        };
        Self { types: types.into_iter().map(|(ty, found)| (ty, names(found))).collect() }
    }

    /// The rules about one type of resource.
    pub(super) fn about(&self, ty: ResourceType) -> Option<&Names> {
        self.types.get(&ty)
    }
}

/// The rules of one principal about one type of resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Sorted by name.
    literals: Vec<(Box<str>, ByHost)>,
    /// Sorted by prefix.
    prefixes: Vec<Prefix>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Prefix {
    text: Box<str>,
    /// Where the longest other prefix stands that this one begins with.
    shorter: Option<usize>,
    by_host: ByHost,
}

/// Sorted prefixes, each with a pointer to the longest that it begins with.
fn chained(prefixes: BTreeMap<&str, ByHost>) -> Vec<Prefix> {
    let mut chained: Vec<Prefix> = Vec::with_capacity(prefixes.len());
    for (text, by_host) in prefixes {
        let mut shorter = chained.len().checked_sub(1);
        while let Some(at) = shorter
            && !text.starts_with(&*chained[at].text)
        {
            shorter = chained[at].shorter;
        }
        chained.push(Prefix { text: text.into(), shorter, by_host });
    }
    chained
}

impl Names {
    /// What the rules about a name say to an address.
    pub(super) fn of(&self, name: &str, host: IpAddr) -> Grants {
        let mut everything = self.literal(WILDCARD, host);
        // To Kafka the name `*` is no wildcard where it begins another name. What that takes from a rule that allows is taken here
        // too; a rule that denies everything denies everything.
        if name.starts_with(WILDCARD) {
            everything.allow = 0;
        }
        self.literal(name, host).and(everything).and(self.prefixed(name, host))
    }

    /// What the rules with exactly this name say.
    pub(super) fn literal(&self, name: &str, host: IpAddr) -> Grants {
        let found = self.literals.binary_search_by(|(literal, _)| (**literal).cmp(name));
        found.map(|at| self.literals[at].1.of(host)).unwrap_or_default()
    }

    /// What the rules say whose prefix the name begins with.
    pub(super) fn prefixed(&self, name: &str, host: IpAddr) -> Grants {
        let mut grants = Grants::default();
        let mut at = self.prefixes.partition_point(|prefix| &*prefix.text <= name).checked_sub(1);
        while let Some(prefix) = at.map(|at| &self.prefixes[at]) {
            if name.starts_with(&*prefix.text) {
                grants = grants.and(prefix.by_host.of(host));
            }
            at = prefix.shorter;
        }
        grants
    }

    /// Every literal name and what its rules say.
    pub(super) fn literals(&self, host: IpAddr) -> impl Iterator<Item = (&str, Grants)> {
        self.literals.iter().map(move |(name, by_host)| (&**name, by_host.of(host)))
    }

    /// Every prefix and what its rules say.
    pub(super) fn prefixes(&self, host: IpAddr) -> impl Iterator<Item = (&str, Grants)> {
        self.prefixes.iter().map(move |prefix| (&*prefix.text, prefix.by_host.of(host)))
    }
}

/// What is given and taken under one name, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ByHost {
    any: Grants,
    /// Sorted by address.
    only: Vec<(IpAddr, Grants)>,
}

impl ByHost {
    fn add(&mut self, rule: &AclBinding) {
        let grants = match hosts(&rule.host) {
            Hosts::Any => &mut self.any,
            Hosts::Only(address) => match self.only.binary_search_by_key(&address, |(host, _)| *host) {
                Ok(at) => &mut self.only[at].1,
                Err(at) => {
                    self.only.insert(at, (address, Grants::default()));
                    &mut self.only[at].1
                }
            },
            Hosts::None => return,
        };
        grants.add(rule.operation, rule.permission_type);
    }

    fn of(&self, host: IpAddr) -> Grants {
        match self.only.binary_search_by_key(&host, |(only, _)| *only) {
            Ok(at) => self.any.and(self.only[at].1),
            Err(_) => self.any,
        }
    }
}
