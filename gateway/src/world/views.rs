//! What virtual clusters see beside their own names, and what of it can't be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contract::resources::alias_topic::Access;
use contract::resources::virtual_cluster::{Exposed, NamespaceMode};
use contract::resources::{self, AliasTopic, Declared as _, PASSTHROUGH};

use super::names::{check_topic, comparable};
use super::{Problem, ProblemKind, World};
use crate::config::INTERNAL_TOPICS;
use crate::naming::filter::Filter;
use crate::naming::prefix::Namespace;
use crate::naming::view::{Lent, LentFor, View};

/// A virtual cluster is lent no more topics: each may be looked at for an id that nobody knows.
const MOST_LENT: usize = 1_000;
/// What Kafka keeps for itself.
const KAFKAS_TOPICS: [&str; 4] =
    ["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];

/// What is wrong: of what kind, where, and what.
type Wrong = (ProblemKind, String, String);

/// The aliases of each virtual cluster.
pub(super) type Aliases<'a> = BTreeMap<&'a str, Vec<&'a AliasTopic>>;

/// The names of a virtual cluster.
pub(super) fn namespace(
    declared: &resources::VirtualCluster,
    prefix: Option<Arc<str>>,
    aliases: &[&AliasTopic],
) -> Namespace {
    let exposed = exposed(declared);
    let enforced = mode(declared) == NamespaceMode::Enforce && prefix.is_some();
    let under_their_own_names = exposed.iter().filter_map(|exposed| exposed.topic.as_deref()).map(|name| {
        let name: Arc<str> = name.into();
        Lent { physical: Arc::clone(&name), name, purpose: LentFor::Writing, filter: None }
    });
    let aliases = aliases.iter().map(|alias| Lent {
        name: alias.metadata.name.as_str().into(),
        physical: alias.spec.physical_name.as_str().into(),
        purpose: match alias.spec.access.unwrap_or_default() {
            Access::Read => LentFor::Reading,
            Access::ReadWrite => LentFor::Writing,
        },
        filter: alias.spec.filter.as_deref().and_then(|text| Filter::parse(text).ok()).map(Arc::new),
    });
    let groups = exposed.iter().filter_map(|exposed| exposed.group.clone());
    let view = View::new(prefix.as_deref().unwrap_or_default(), enforced, under_their_own_names.chain(aliases), groups);
    Namespace::new(prefix).with_view(view)
}

fn mode(declared: &resources::VirtualCluster) -> NamespaceMode {
    declared.spec.namespace.as_ref().and_then(|namespace| namespace.mode).unwrap_or_default()
}

fn exposed(declared: &resources::VirtualCluster) -> &[Exposed] {
    let namespace = declared.spec.namespace.as_ref();
    namespace.and_then(|namespace| namespace.expose.as_deref()).unwrap_or_default()
}

/// Checks what virtual clusters expose and what aliases stand for, all of them together.
pub(super) fn check(
    declared: &[&resources::VirtualCluster],
    aliases: &Aliases<'_>,
    world: &World,
    problems: &mut Vec<Problem>,
) {
    for cluster in declared {
        let resource = format!("VirtualCluster/{}", cluster.metadata.name);
        let own = aliases.get(cluster.metadata.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let wrong = check_exposed(cluster, own, world);
        problems.extend(wrong.into_iter().map(|wrong| problem(&resource, wrong)));
    }
    for alias in aliases.values().flatten() {
        let resource = alias.key().to_string();
        problems.extend(check_alias(alias).into_iter().map(|wrong| problem(&resource, wrong)));
    }
}

fn problem(resource: &str, (kind, path, message): Wrong) -> Problem {
    Problem { kind, resource: resource.to_owned(), path: path.into(), message }
}

fn check_exposed(declared: &resources::VirtualCluster, aliases: &[&AliasTopic], world: &World) -> Vec<Wrong> {
    let (mut wrong, exposed) = (Vec::new(), exposed(declared));
    let mut invalid = |path: String, message: String| wrong.push((ProblemKind::Invalid, path, message));
    let is_passthrough = declared.metadata.name == PASSTHROUGH;
    if is_passthrough && mode(declared) == NamespaceMode::Enforce {
        let message = "passthrough has no prefix that its clients could write".to_owned();
        invalid("spec.namespace.mode".to_owned(), message);
    }
    if is_passthrough && !exposed.is_empty() {
        let message = "passthrough sees every topic and group already".to_owned();
        invalid("spec.namespace.expose".to_owned(), message);
        return wrong;
    }
    if exposed.len() + aliases.len() > MOST_LENT {
        let count = exposed.len() + aliases.len();
        let message = format!("with its aliases it exposes {count} names, and may expose {MOST_LENT}");
        invalid("spec.namespace.expose".to_owned(), message);
    }
    let mut seen = BTreeSet::new();
    for (at, exposed) in exposed.iter().enumerate() {
        let path = |field: &str| format!("spec.namespace.expose[{at}]{field}");
        let (field, name, checked) = match (&exposed.topic, &exposed.group) {
            (Some(topic), None) => (".topic", topic, check_physical(topic)),
            (None, Some(group)) => (".group", group, check_group(group)),
            _ => {
                let message = "names one topic or one group, as in { topic: orders }".to_owned();
                wrong.push((ProblemKind::Invalid, path(""), message));
                continue;
            }
        };
        if let Err(message) = checked {
            wrong.push((ProblemKind::Invalid, path(field), message));
        }
        if !seen.insert((field, name)) {
            wrong.push((ProblemKind::Invalid, path(field), format!("'{name}' is there twice")));
        }
        if let Some(owner) = owner(name, world) {
            let hint = match (owner == declared.metadata.name, field) {
                (true, _) => "it sees what has its prefix already".to_owned(),
                (false, ".topic") => "lend it by an AliasTopic".to_owned(),
                (false, _) => "a group belongs to one virtual cluster".to_owned(),
            };
            let message = format!("'{name}' belongs to virtual cluster '{owner}', whose prefix it has: {hint}");
            wrong.push((ProblemKind::Conflict, path(field), message));
        }
        if field == ".topic" && aliases.iter().any(|alias| alias.metadata.name == *name) {
            let message = format!("'{name}' is the name of AliasTopic/{}/{name} already", declared.metadata.name);
            wrong.push((ProblemKind::Conflict, path(field), message));
        }
    }
    wrong
}

/// The virtual cluster whose prefix a physical name has.
fn owner<'w>(name: &str, world: &'w World) -> Option<&'w str> {
    let name = comparable(name);
    let mut clusters = world.virtual_clusters();
    let owner =
        clusters.find(|cluster| cluster.prefix.as_deref().is_some_and(|prefix| name.starts_with(&comparable(prefix))));
    owner.map(|cluster| &*cluster.name)
}

fn check_alias(alias: &AliasTopic) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut invalid = |path: &str, message: String| wrong.push((ProblemKind::Invalid, path.to_owned(), message));
    if let Err(message) = check_physical(&alias.metadata.name) {
        invalid("metadata.name", message);
    }
    if let Err(message) = check_physical(&alias.spec.physical_name) {
        invalid("spec.physicalName", message);
    }
    if alias.virtual_cluster() == PASSTHROUGH && alias.metadata.name == alias.spec.physical_name {
        invalid("metadata.name", "passthrough sees the topic under this name already".to_owned());
    }
    if let Some(Err(fault)) = alias.spec.filter.as_deref().map(Filter::parse) {
        invalid("spec.where", fault.to_string());
    }
    wrong
}

/// A topic of the physical cluster that may be lent.
fn check_physical(name: &str) -> Result<(), String> {
    check_topic(name)?;
    if name.starts_with(INTERNAL_TOPICS) {
        return Err(format!("'{name}' is one of the gateway's own topics, which nobody sees"));
    }
    if KAFKAS_TOPICS.contains(&name) {
        return Err(format!("'{name}' is one of Kafka's own topics, which hold what belongs to everybody"));
    }
    Ok(())
}

fn check_group(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("a group needs a name".to_owned());
    }
    if name.starts_with(INTERNAL_TOPICS) {
        return Err(format!("'{name}' is one of the gateway's own groups, which nobody sees"));
    }
    Ok(())
}
