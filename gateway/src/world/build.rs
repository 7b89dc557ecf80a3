//! Declarations in, a [`World`] or every problem out. Pure: the same for a PUT, a dry run, start-up and reload.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contract::resources::acl::{AclBinding, AclMode};
use contract::resources::{self, AccountType, AliasTopic, PASSTHROUGH, Resource};

use super::acls::{self, MOST_RULES, check_rule};
use super::names::{check_cluster_name, check_prefix, check_username, comparable};
use super::views::{self, Aliases};
use super::{Problem, ProblemKind, VirtualCluster, World, others, quotas};
use crate::authn::Account;
use crate::authn::external::check_name;

/// A Kafka cluster id is 16 bytes, written in 22 characters.
const CLUSTER_ID_BYTES: usize = 16;
/// One per way of proving who one is, and some to change from and to.
const MOST_EXTERNAL_NAMES: usize = 16;

/// The world that these declarations describe; `rules` are those that came by Kafka's API, by virtual cluster, and `others`
/// the resources of all other kinds.
pub fn build<'a>(
    virtual_clusters: impl IntoIterator<Item = &'a resources::VirtualCluster>,
    accounts: impl IntoIterator<Item = &'a Arc<Account>>,
    rules: impl IntoIterator<Item = (&'a String, &'a Arc<BTreeSet<AclBinding>>)>,
    others: impl IntoIterator<Item = &'a Resource>,
) -> Result<World, Vec<Problem>> {
    let mut world = World::empty();
    let mut problems = Vec::new();
    let rules: BTreeMap<&str, &BTreeSet<AclBinding>> =
        rules.into_iter().map(|(name, rules)| (name.as_str(), &**rules)).collect();
    let (others, virtual_clusters): (Vec<_>, Vec<_>) =
        (others.into_iter().collect(), virtual_clusters.into_iter().collect());
    let mut aliases = Aliases::new();
    for alias in others.iter().filter_map(|resource| <&AliasTopic>::try_from(*resource).ok()) {
        aliases.entry(alias.virtual_cluster()).or_default().push(alias);
    }
    let undeclared = resources::VirtualCluster::new(PASSTHROUGH);
    for declared in [&undeclared].into_iter().chain(virtual_clusters.iter().copied()) {
        check_cluster(declared, &mut problems);
        let name = declared.metadata.name.as_str();
        let aliases = aliases.get(name).map(Vec::as_slice).unwrap_or_default();
        let cluster = Arc::new(VirtualCluster::declared(declared, rules.get(name).copied(), aliases));
        world.virtual_clusters.insert(Arc::clone(&cluster.name), cluster);
    }
    views::check(&virtual_clusters, &aliases, &world, &mut problems);
    rules.iter().for_each(|(name, rules)| check_rules(name, rules, &world, &mut problems));
    check_overlaps(&world, &mut problems);
    for account in accounts {
        check_account(account, &world, &mut problems);
        world.accounts.entry(Arc::clone(&account.username)).or_insert_with(|| Arc::clone(account));
        for name in account.external_names() {
            world.external.entry(name.clone()).or_insert_with(|| Arc::clone(account));
        }
    }
    let others: Vec<&Resource> = others.into_iter().collect();
    for resource in &others {
        others::check(resource, &world, &mut problems);
    }
    quotas::put_in_place(others.into_iter(), &mut world, &mut problems);
    if problems.is_empty() { Ok(world) } else { Err(problems) }
}

impl VirtualCluster {
    pub(super) fn passthrough() -> Self {
        Self::declared(&resources::VirtualCluster::new(PASSTHROUGH), None, &[])
    }

    fn declared(
        declared: &resources::VirtualCluster,
        rules: Option<&BTreeSet<AclBinding>>,
        aliases: &[&AliasTopic],
    ) -> Self {
        let name = declared.metadata.name.as_str();
        let prefix: Option<Arc<str>> = (name != PASSTHROUGH).then(|| prefix_of(declared).into());
        Self {
            name: Arc::from(name),
            cluster_id: cluster_id(name, prefix.as_deref().unwrap_or_default()),
            namespace: views::namespace(declared, prefix.clone(), aliases),
            prefix,
            authorizer: Arc::new(acls::authorizer(declared, rules)),
            acl_mode: declared.spec.acl_mode.unwrap_or_default(),
            quotas: None,
        }
    }
}

/// The prefix that a declaration asks for, or gets without asking.
pub fn prefix_of(declared: &resources::VirtualCluster) -> String {
    let given = declared.spec.namespace.as_ref().and_then(|namespace| namespace.prefix.clone());
    given.unwrap_or_else(|| format!("{}.", declared.metadata.name))
}

fn cluster_id(name: &str, prefix: &str) -> String {
    let hash = digest(&SHA256, format!("virtual cluster\0{name}\0{prefix}").as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..CLUSTER_ID_BYTES])
}

fn check_cluster(declared: &resources::VirtualCluster, problems: &mut Vec<Problem>) {
    let name = &declared.metadata.name;
    let mut invalid = |path: Cow<'static, str>, message| {
        let resource = format!("VirtualCluster/{name}");
        problems.push(Problem { kind: ProblemKind::Invalid, resource, path, message });
    };
    if let Err(message) = check_cluster_name(name) {
        return invalid("metadata.name".into(), message);
    }
    let prefix = declared.spec.namespace.as_ref().and_then(|namespace| namespace.prefix.as_ref());
    if name == PASSTHROUGH && prefix.is_some() {
        invalid("spec.namespace.prefix".into(), "passthrough renames nothing and has no prefix".to_owned());
    } else if let Err(message) = check_prefix(&prefix_of(declared)) {
        let hint = if prefix.is_some() { "" } else { " (it is made from the name; set another)" };
        invalid("spec.namespace.prefix".into(), format!("{message}{hint}"));
    }
    acls::wrong(declared).into_iter().for_each(|(path, message)| invalid(path.into(), message));
}

/// Rules that came by Kafka's API were checked there; what a log holds may have been written by anybody.
fn check_rules(name: &str, rules: &BTreeSet<AclBinding>, world: &World, problems: &mut Vec<Problem>) {
    let mut problem = |kind, path: String, message| {
        problems.push(Problem { kind, resource: format!("Acl/{name}"), path: path.into(), message });
    };
    match world.virtual_clusters.get(name) {
        None => problem(ProblemKind::Missing, "vCluster".to_owned(), format!("there is no virtual cluster '{name}'")),
        Some(cluster) if cluster.acl_mode == AclMode::RestApi => {
            let message = format!("the rules of '{name}' are those in its spec.acls (aclMode REST_API)");
            problem(ProblemKind::Conflict, "vCluster".to_owned(), message);
        }
        Some(_) => {}
    }
    if rules.len() > MOST_RULES {
        let message = format!("'{name}' has {} rules, and may have {MOST_RULES}", rules.len());
        problem(ProblemKind::Conflict, "vCluster".to_owned(), message);
    }
    for (path, message) in rules.iter().filter_map(|rule| check_rule(rule).err()) {
        problem(ProblemKind::Invalid, path.to_owned(), message);
    }
}

/// Sorted, a prefix stands directly before the first of those that begin with it.
fn check_overlaps(world: &World, problems: &mut Vec<Problem>) {
    let clusters = world.virtual_clusters.values();
    let prefixes = clusters.filter_map(|cluster| Some((comparable(cluster.prefix.as_deref()?), cluster)));
    let mut prefixes = prefixes.collect::<Vec<_>>();
    prefixes.sort_by(|left, right| left.0.cmp(&right.0));
    for pair in prefixes.windows(2) {
        let [(shorter, first), (longer, second)] = pair else { continue };
        if longer.starts_with(shorter.as_str()) {
            let text = |cluster: &VirtualCluster| cluster.prefix.as_deref().unwrap_or_default().to_owned();
            problems.push(Problem {
                kind: ProblemKind::Conflict,
                resource: format!("VirtualCluster/{}", second.name),
                path: "spec.namespace.prefix".into(),
                message: format!(
                    "the prefix '{}' of '{}' and the prefix '{}' of '{}' overlap ('.' and '_' count as the same, as in \
                     Kafka's topic names): choose another prefix",
                    text(second),
                    second.name,
                    text(first),
                    first.name,
                ),
            });
        }
    }
}

fn check_account(account: &Account, world: &World, problems: &mut Vec<Problem>) {
    let mut problem = |kind, path: &'static str, message| {
        let resource = format!("GatewayServiceAccount/{}", account.username);
        problems.push(Problem { kind, resource, path: path.into(), message });
    };
    if let Err(message) = check_username(&account.username) {
        problem(ProblemKind::Invalid, "metadata.name", message);
    }
    for (kind, message) in external_names(account, world) {
        problem(kind, "spec.externalNames", message);
    }
    if !world.virtual_clusters.contains_key(&account.virtual_cluster) {
        let message = format!("there is no virtual cluster '{}'", account.virtual_cluster);
        problem(ProblemKind::Missing, "metadata.vCluster", message);
    }
    if let Some(other) = world.accounts.get(&account.username) {
        let message = format!(
            "the user name is taken in virtual cluster '{}': a name alone decides where a client lands",
            other.virtual_cluster
        );
        problem(ProblemKind::Conflict, "metadata.name", message);
    }
}

/// What is wrong with the names that others have for an account.
fn external_names(account: &Account, world: &World) -> Vec<(ProblemKind, String)> {
    let invalid = |message: &str| vec![(ProblemKind::Invalid, message.to_owned())];
    let names = account.external_names();
    match account.declared.spec.account_type {
        AccountType::Local if account.declared.spec.external_names.is_none() => return Vec::new(),
        AccountType::Local => return invalid("belongs to external accounts: leave it out of a LOCAL one"),
        AccountType::External if names.is_empty() => {
            return invalid(
                "an EXTERNAL account needs one: the distinguished name of a certificate, the subject of a token or a \
                 principal of Kafka",
            );
        }
        AccountType::External if names.len() > MOST_EXTERNAL_NAMES => {
            let message = format!("holds {} names; at most {MOST_EXTERNAL_NAMES} are taken", names.len());
            return vec![(ProblemKind::Invalid, message)];
        }
        AccountType::External => {}
    }
    let mut problems = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if let Err(message) = check_name(name) {
            problems.push((ProblemKind::Invalid, format!("entry {}: {message}", at + 1)));
        } else if names[..at].contains(name) {
            problems.push((ProblemKind::Invalid, format!("'{name}' is there twice")));
        } else if let Some(other) = world.external.get(name) {
            let (username, cluster) = (&other.username, &other.virtual_cluster);
            let message = format!(
                "'{name}' is account '{username}' of virtual cluster '{cluster}' already: an identity belongs to one \
                 account; delete it there, or give each environment an identity of its own"
            );
            problems.push((ProblemKind::Conflict, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use contract::resources::GatewayServiceAccount;

    use super::*;
    use crate::authn::AccountLookup as _;

    fn cluster(name: &str) -> resources::VirtualCluster {
        resources::VirtualCluster::new(name)
    }

    fn account(name: &str, virtual_cluster: &str) -> Arc<Account> {
        Arc::new(Account::new(GatewayServiceAccount::local(name, virtual_cluster, None), None))
    }

    fn problems(clusters: &[resources::VirtualCluster], accounts: &[Arc<Account>]) -> Vec<(ProblemKind, String)> {
        let problems = build(clusters, accounts, [], []).err().unwrap_or_default();
        problems.into_iter().map(|problem| (problem.kind, problem.to_string())).collect()
    }

    #[test]
    fn names_prefixes_and_ids() {
        let world =
            build(&[cluster("dev"), cluster("sb").with_prefix("x-")], &[account("app", "dev")], [], []).unwrap();
        let prefix = |name: &str| world.virtual_cluster(name).unwrap().prefix.clone();
        assert_eq!(prefix("dev").as_deref(), Some("dev."));
        assert_eq!(prefix("sb").as_deref(), Some("x-"));
        assert_eq!(prefix(PASSTHROUGH), None);
        assert_eq!(&*world.account("app").unwrap().virtual_cluster, "dev");
        assert!(world.account("nobody").is_none());
        let ids = world.virtual_clusters().map(|cluster| cluster.cluster_id.clone()).collect::<Vec<_>>();
        assert!(ids.iter().all(|id| id.len() == 22), "{ids:?}");
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn overlapping_prefixes_are_named_both() {
        for (left, right) in [("dev.", "dev."), ("dev.", "dev.a."), ("dev_", "dev.a."), ("d", "dev.")] {
            for (first, second) in [(left, right), (right, left)] {
                let clusters = [cluster("one").with_prefix(first), cluster("two").with_prefix(second)];
                let found = problems(&clusters, &[]);
                let [(ProblemKind::Conflict, text)] = found.as_slice() else { panic!("{found:?}") };
                assert!(text.contains("'one'") && text.contains("'two'"), "{text}");
            }
        }
        assert_eq!(problems(&[cluster("dev"), cluster("dev2"), cluster("de")], &[]), []);
    }

    #[test]
    fn an_overlap_is_found_behind_a_longer_neighbour() {
        let clusters = [cluster("a"), cluster("b").with_prefix("a.b"), cluster("c").with_prefix("a.c")];
        assert!(!problems(&clusters, &[]).is_empty());
    }

    #[test]
    fn every_problem_is_told() {
        let mut external = GatewayServiceAccount::local("ext", "dev", None);
        external.spec.account_type = AccountType::External;
        let mut named = GatewayServiceAccount::local("named", "dev", None);
        named.spec.external_names = Some(vec![]);
        let named = Arc::new(Account::new(named, None));
        let mut acls = cluster("acls");
        acls.spec.super_users = Some(vec![String::new()]);
        let clusters = [cluster("dev"), cluster("a b"), cluster("_x"), acls, cluster(PASSTHROUGH).with_prefix("p.")];
        let external = Arc::new(Account::new(external, None));
        let accounts = [account("x", "dev"), account("app", "none"), external, named, account("app", "dev")];
        let texts = problems(&clusters, &accounts).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let expected = [
            "VirtualCluster/a b metadata.name: 'a b' may hold only",
            "VirtualCluster/_x spec.namespace.prefix: '_x.' must begin with a letter or digit (it is made",
            "VirtualCluster/acls spec.superUsers[0]: ",
            "VirtualCluster/passthrough spec.namespace.prefix: ",
            "GatewayServiceAccount/x metadata.name: 'x' must have 3 to 64",
            "GatewayServiceAccount/app metadata.vCluster: there is no virtual cluster 'none'",
            "GatewayServiceAccount/ext spec.externalNames: an EXTERNAL account needs one",
            "GatewayServiceAccount/named spec.externalNames: belongs to external accounts",
            "GatewayServiceAccount/app metadata.name: the user name is taken in virtual cluster 'none'",
        ];
        assert_eq!(texts.len(), expected.len(), "{texts:#?}");
        for (text, start) in texts.iter().zip(expected) {
            assert!(text.starts_with(start), "{text} should start with {start}");
        }
    }

    fn external(name: &str, virtual_cluster: &str, external_names: &[&str]) -> Arc<Account> {
        let mut declared = GatewayServiceAccount::external(name, virtual_cluster, "");
        declared.spec.external_names = Some(external_names.iter().map(|name| (*name).to_owned()).collect());
        Arc::new(Account::new(declared, None))
    }

    #[test]
    fn an_external_name_leads_to_its_one_account() {
        let clusters = [cluster("dev"), cluster("prod")];
        let app = external("app", "dev", &["CN=app,O=Acme", "0oa1"]);
        let world = build(&clusters, &[app.clone(), account("0oa2", "prod")], &BTreeMap::new(), []).unwrap();
        for name in ["CN=app,O=Acme", "0oa1"] {
            assert_eq!(world.by_external_name(name).as_ref(), Some(&app));
        }
        assert_eq!(world.by_external_name("app"), None, "its name here is not one of theirs");
        assert_eq!(world.by_external_name("0oa2"), None, "a local account has none");

        let found = problems(&clusters, &[app.clone(), external("other", "prod", &["x", "0oa1"])]);
        let [(ProblemKind::Conflict, text)] = found.as_slice() else { panic!("{found:?}") };
        let start = "GatewayServiceAccount/other spec.externalNames: '0oa1' is account 'app' of virtual cluster 'dev'";
        assert!(text.starts_with(start), "{text}");
        for names in [&["x", "x"][..], &[""], &[" x"], &["a\u{0}"], &["n"; 17]] {
            let found = problems(&clusters, &[external("other", "prod", names)]);
            assert!(matches!(found.as_slice(), [(ProblemKind::Invalid, _), ..]), "{names:?}: {found:?}");
        }
    }

    #[test]
    fn passthrough_may_be_declared() {
        assert_eq!(problems(&[cluster(PASSTHROUGH)], &[account("app", PASSTHROUGH)]), []);
        let mut closed = cluster(PASSTHROUGH);
        closed.spec.acl_enabled = Some(true);
        let world = build(&[closed], [], [], []).unwrap();
        let passthrough = world.virtual_cluster(PASSTHROUGH).unwrap();
        assert_eq!((&passthrough.prefix, passthrough.authorizer.is_unrestricted()), (&None, false));
        assert_eq!(passthrough.cluster_id, World::empty().virtual_cluster(PASSTHROUGH).unwrap().cluster_id);
    }

    #[test]
    fn rules_by_kafkas_api_need_a_virtual_cluster_that_takes_them() {
        let rule = |principal: &str| {
            let text = format!(
                r#"{{ "resourcePattern": {{ "resourceType": "TOPIC", "name": "x", "patternType": "LITERAL" }},
                    "principal": "{principal}", "host": "*", "operation": "READ", "permissionType": "ALLOW" }}"#
            );
            serde_json::from_str::<AclBinding>(&text).unwrap()
        };
        let mut by_operator = cluster("rest");
        by_operator.spec.acl_mode = Some(AclMode::RestApi);
        let clusters = [cluster("dev"), by_operator];
        let with = |name: &str, principal: &str| {
            let rules = Arc::new(BTreeSet::from([rule(principal)]));
            let problems = build(&clusters, [], [(&name.to_owned(), &rules)], []).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(with("dev", "User:app"), [""; 0]);
        assert_eq!(with(PASSTHROUGH, "User:app"), [""; 0]);
        assert_eq!(with("gone", "User:app"), ["Acl/gone vCluster: there is no virtual cluster 'gone'"]);
        let rest = "Acl/rest vCluster: the rules of 'rest' are those in its spec.acls (aclMode REST_API)";
        assert_eq!(with("rest", "User:app"), [rest]);
        assert_eq!(with("dev", "app"), ["Acl/dev principal: 'app' must be a type and a name, as in User:alice"]);
    }
}
