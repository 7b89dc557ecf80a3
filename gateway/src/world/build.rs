//! Declarations in, a [`World`] or every problem out. Pure: the same for a PUT, a dry run, start-up and reload.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contract::resources::acl::{AclBinding, AclMode};
use contract::resources::{self, AccountType, AliasTopic, Declared as _, PASSTHROUGH, Resource};

use super::acls::{self, MOST_RULES, check_rule};
use super::names::{check_cluster_name, check_prefix, check_username, comparable};
use super::views::{self, Aliases};
use super::{Problem, ProblemKind, VirtualCluster, World, identity_providers, others, quotas};
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
    build_after(None, virtual_clusters, accounts, rules, others)
}

/// A world that is there already, and the names of the virtual clusters that are declared, with their rules, as they were for
/// it: what decides in them is not made anew.
#[derive(Debug)]
pub struct Before<'a> {
    pub world: &'a World,
    pub unchanged: BTreeSet<&'a str>,
}

/// The same as [`build`], out of parts of the world before.
pub fn build_after<'a>(
    before: Option<&Before<'_>>,
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
        let name = declared.metadata.name.as_str();
        if before.is_none_or(|before| !before.unchanged.contains(name)) {
            check_cluster(declared, &mut problems);
        }
        let aliases = aliases.get(name).map(Vec::as_slice).unwrap_or_default();
        let cluster = Arc::new(VirtualCluster::declared(declared, rules.get(name).copied(), aliases, before));
        world.virtual_clusters.insert(Arc::clone(&cluster.name), cluster);
    }
    views::check(&virtual_clusters, &aliases, &world, &mut problems);
    rules.iter().for_each(|(name, rules)| check_rules(name, rules, &world, &mut problems));
    check_overlaps(before, &world, &mut problems);
    for account in accounts {
        check_account(before, account, &world, &mut problems);
        world.accounts.entry(Arc::clone(&account.username)).or_insert_with(|| Arc::clone(account));
        for name in account.external_names() {
            world.external.entry(name.clone()).or_insert_with(|| Arc::clone(account));
        }
    }
    let others: Vec<&Resource> = others.into_iter().collect();
    for resource in &others {
        others::check(resource, &world, &mut problems);
    }
    identity_providers::put_in_place(others.iter().copied(), &mut world, &mut problems);
    quotas::put_in_place(others.into_iter(), &mut world, &mut problems);
    if problems.is_empty() { Ok(world) } else { Err(problems) }
}

impl VirtualCluster {
    pub(super) fn passthrough() -> Self {
        Self::declared(&resources::VirtualCluster::new(PASSTHROUGH), None, &[], None)
    }

    fn declared(
        declared: &resources::VirtualCluster,
        rules: Option<&BTreeSet<AclBinding>>,
        aliases: &[&AliasTopic],
        before: Option<&Before<'_>>,
    ) -> Self {
        let name = declared.metadata.name.as_str();
        let before = before.filter(|before| before.unchanged.contains(name));
        let authorizer =
            before.and_then(|before| before.world.virtual_cluster(name)).map(|cluster| &cluster.authorizer);
        let prefix: Option<Arc<str>> = (name != PASSTHROUGH).then(|| prefix_of(declared).into());
        Self {
            name: Arc::from(name),
            cluster_id: cluster_id(name, prefix.as_deref().unwrap_or_default()),
            namespace: views::namespace(declared, prefix.clone(), aliases),
            prefix,
            authorizer: authorizer.map_or_else(|| Arc::new(acls::authorizer(declared, rules)), Arc::clone),
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

impl Before<'_> {
    /// Whether a virtual cluster had its prefix already: what does not go with it is the other one.
    fn has_prefix(&self, cluster: &VirtualCluster) -> bool {
        self.world.virtual_cluster(&cluster.name).is_some_and(|before| before.prefix == cluster.prefix)
    }

    fn has_account(&self, account: &Account) -> bool {
        let before = self.world.accounts.get(&account.username);
        before.is_some_and(|before| before.virtual_cluster == account.virtual_cluster)
    }

    fn has_external_name(&self, name: &str, account: &Account) -> bool {
        let before = self.world.external.get(name);
        before.is_some_and(|before| is_same(before, account))
    }
}

/// Sorted, a prefix stands directly before the first of those that begin with it.
fn check_overlaps(before: Option<&Before<'_>>, world: &World, problems: &mut Vec<Problem>) {
    let clusters = world.virtual_clusters.values();
    let prefixes = clusters.filter_map(|cluster| Some((comparable(cluster.prefix.as_deref()?), cluster)));
    let mut prefixes = prefixes.collect::<Vec<_>>();
    prefixes.sort_by(|left, right| left.0.cmp(&right.0));
    for pair in prefixes.windows(2) {
        let [(shorter, first), (longer, second)] = pair else { continue };
        if longer.starts_with(shorter.as_str()) {
            let is_old = before.is_some_and(|before| before.has_prefix(second) && !before.has_prefix(first));
            let (first, second) = if is_old { (second, first) } else { (first, second) };
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

/// As the account's key is written.
fn called(account: &Account) -> String {
    account.declared.key().to_string()
}

fn is_same(left: &Account, right: &Account) -> bool {
    left.username == right.username && left.virtual_cluster == right.virtual_cluster
}

fn check_account(before: Option<&Before<'_>>, account: &Account, world: &World, problems: &mut Vec<Problem>) {
    let mut problem = |account: &Account, kind, path: &'static str, message| {
        problems.push(Problem { kind, resource: called(account), path: path.into(), message });
    };
    if let Err(message) = check_username(&account.username) {
        problem(account, ProblemKind::Invalid, "metadata.name", message);
    }
    for message in external_names(account) {
        problem(account, ProblemKind::Invalid, "spec.externalNames", message);
    }
    for name in account.external_names() {
        let Some(other) = world.external.get(name).filter(|other| !is_same(other, account)) else { continue };
        let is_old = before.is_some_and(|before| before.has_external_name(name, account));
        let (new, old) = if is_old { (&**other, account) } else { (account, &**other) };
        let message = format!(
            "'{name}' is account '{}' of virtual cluster '{}' already: an identity belongs to one account; delete it there, \
             or give each environment an identity of its own",
            old.username, old.virtual_cluster
        );
        problem(new, ProblemKind::Conflict, "spec.externalNames", message);
    }
    if !world.virtual_clusters.contains_key(&account.virtual_cluster) {
        let message = format!("there is no virtual cluster '{}'", account.virtual_cluster);
        problem(account, ProblemKind::Missing, "metadata.vCluster", message);
    }
    if let Some(other) = world.accounts.get(&account.username) {
        let is_old = before.is_some_and(|before| before.has_account(account));
        let (new, old) = if is_old { (&**other, account) } else { (account, &**other) };
        let message = format!(
            "the user name is taken in virtual cluster '{}': a name alone decides where a client lands; choose another name",
            old.virtual_cluster
        );
        problem(new, ProblemKind::Conflict, "metadata.name", message);
    }
}

/// What is wrong with the names that others have for an account, whatever other accounts there are.
fn external_names(account: &Account) -> Vec<String> {
    let names = account.external_names();
    match account.declared.spec.account_type {
        AccountType::Local if account.declared.spec.external_names.is_none() => return Vec::new(),
        AccountType::Local => return vec!["belongs to external accounts: leave it out of a LOCAL one".to_owned()],
        AccountType::External if names.is_empty() => {
            return vec![
                "an EXTERNAL account needs one: the distinguished name of a certificate, the subject of a token or a \
                 principal of Kafka"
                    .to_owned(),
            ];
        }
        AccountType::External if names.len() > MOST_EXTERNAL_NAMES => {
            return vec![format!("holds {} names; at most {MOST_EXTERNAL_NAMES} are taken", names.len())];
        }
        AccountType::External => {}
    }
    let wrong = names.iter().enumerate().filter_map(|(at, name)| match check_name(name) {
        Err(message) => Some(format!("entry {}: {message}", at + 1)),
        Ok(()) if names[..at].contains(name) => Some(format!("'{name}' is there twice")),
        Ok(()) => None,
    });
    wrong.collect()
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
            "GatewayServiceAccount/dev/x metadata.name: 'x' must have 3 to 64",
            "GatewayServiceAccount/none/app metadata.vCluster: there is no virtual cluster 'none'",
            "GatewayServiceAccount/dev/ext spec.externalNames: an EXTERNAL account needs one",
            "GatewayServiceAccount/dev/named spec.externalNames: belongs to external accounts",
            "GatewayServiceAccount/dev/app metadata.name: the user name is taken in virtual cluster 'none'",
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
        let start =
            "GatewayServiceAccount/prod/other spec.externalNames: '0oa1' is account 'app' of virtual cluster 'dev'";
        assert!(text.starts_with(start), "{text}");
        for names in [&["x", "x"][..], &[""], &[" x"], &["a\u{0}"], &["n"; 17]] {
            let found = problems(&clusters, &[external("other", "prod", names)]);
            assert!(matches!(found.as_slice(), [(ProblemKind::Invalid, _), ..]), "{names:?}: {found:?}");
        }
    }

    #[test]
    fn what_was_there_before_is_not_what_is_wrong() {
        let clusters = [cluster("b").with_prefix("x.")];
        let accounts = [account("app", "b"), external("ext", "b", &["CN=x"])];
        let world = build(&clusters, &accounts, [], []).unwrap();
        let before = Before { world: &world, unchanged: BTreeSet::new() };
        // In the order of names, each of these stands before what it does not go with.
        let clusters = [cluster("a").with_prefix("x."), cluster("b").with_prefix("x."), cluster("c").with_prefix("x")];
        let [app, ext] = accounts;
        let accounts = [account("app", PASSTHROUGH), external("abc", "a", &["CN=x"]), app, ext];
        let told = build_after(Some(&before), &clusters, &accounts, [], []).unwrap_err();
        let told = told.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            "VirtualCluster/a spec.namespace.prefix: the prefix 'x.' of 'a' and the prefix 'x' of 'c' overlap",
            "VirtualCluster/a spec.namespace.prefix: the prefix 'x.' of 'a' and the prefix 'x.' of 'b' overlap",
            "GatewayServiceAccount/passthrough/app metadata.name: the user name is taken in virtual cluster 'b'",
            "GatewayServiceAccount/a/abc spec.externalNames: 'CN=x' is account 'ext' of virtual cluster 'b' already",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for start in expected {
            assert!(told.iter().any(|text| text.starts_with(start)), "{start}: {told:#?}");
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
