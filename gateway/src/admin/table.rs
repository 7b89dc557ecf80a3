//! The rows of THE TABLE of operations.

use contract::events::{EVENTS_PATH, SNAPSHOT_PATH, Snapshot};
use contract::health::Health;
use contract::resources::{
    AliasTopic, Declared, GatewayGroup, GatewayServiceAccount, IdentityProvider, Quota, TokenRequest, TokenResponse,
    Upserted, VirtualCluster, token,
};
use serde_json::{Value, json};

use super::operations::Verb::{Delete, Get, Post, Put};
use super::operations::{JSON, JSON_OR_YAML, Operation, Parameter, ParameterKind};
use super::resources::Named;
use super::roles::Needs;
use super::{absent, apply, events, health, metrics, openapi, pclusters, resources, snapshot, tokens};

/// All documents of an apply together.
const LONGEST_APPLY: usize = 4 * 1024 * 1024;

const fn parameter(name: &'static str, kind: ParameterKind, about: &'static str) -> Parameter {
    Parameter { name, kind, about }
}

pub(super) const DRY_MODE: Parameter =
    parameter("dryMode", ParameterKind::Flag, "Only say what would happen: everything is checked, nothing is changed.");
const NAME: Parameter = parameter("name", ParameterKind::Text, "Only the resource of this name.");
const VCLUSTER: Parameter = parameter("vcluster", ParameterKind::Text, "Only resources of this virtual cluster.");
const SHOW_DEFAULTS: Parameter =
    parameter("showDefaults", ParameterKind::Flag, "Also show what holds because nothing was said.");
const TYPE: Parameter = parameter("type", ParameterKind::Word(&["LOCAL", "EXTERNAL"]), "Only accounts of this type.");
const LABEL: &str = "^[^=]+(=.*)?$";
const PRUNE: Parameter = parameter(
    "prune",
    ParameterKind::Form(LABEL),
    "Delete what has this label (`name` or `name=value`) and is not among the documents.",
);
const BY_LABEL: Parameter = parameter("label", ParameterKind::Form(LABEL), "Only resources with this label.");
const KIND: Parameter = parameter(
    "kind",
    ParameterKind::Word(&[
        "UpstreamCluster",
        "IdentityProvider",
        "VirtualCluster",
        "AliasTopic",
        "GatewayServiceAccount",
        "GatewayGroup",
        "Quota",
    ]),
    "Only resources of this kind.",
);
const KINDS: Parameter = parameter("kinds", ParameterKind::Text, "Only events of these kinds, separated by commas.");
const FORMAT: Parameter = parameter("format", ParameterKind::Word(&["json", "yaml"]), "The form of the answer.");

/// Every operation.
pub(super) fn operations() -> Vec<Operation> {
    let kinds = [
        of_kind::<VirtualCluster>(7, &[], (Needs::See, Needs::Change)),
        of_kind::<AliasTopic>(8, &[NAME, VCLUSTER, SHOW_DEFAULTS], (Needs::See, Needs::Change)),
        of_kind::<GatewayServiceAccount>(10, &[NAME, VCLUSTER, TYPE, SHOW_DEFAULTS], (Needs::See, Needs::Change)),
        of_kind::<GatewayGroup>(11, &[SHOW_DEFAULTS], (Needs::See, Needs::Change)),
        of_kind::<Quota>(13, &[NAME, VCLUSTER, SHOW_DEFAULTS], (Needs::See, Needs::Change)),
        of_kind::<IdentityProvider>(6, &[NAME], (Needs::SeeAll, Needs::Administer)),
    ];
    let kinds = kinds.into_iter().flatten().chain(pclusters::operations());
    kinds.chain(of_all_kinds()).chain(of_the_gateway()).chain(absent()).collect()
}

/// A kind's collection, and each resource of it; `order` is when clients make them among other kinds.
fn of_kind<T: Declared + Send + 'static>(
    order: u8,
    filters: &[Parameter],
    (sees, changes): (Needs, Needs),
) -> Vec<Operation> {
    let kind = T::KIND;
    let (path, below) = (kind.path, format!("{}/{{name}}", kind.path));
    let (group, version) = kind.api_version.split_once('/').unwrap_or_default();
    let tag = format!("cli_{}_{group}_{version}_{order}", kebab(kind.name));
    let name = kind.name;
    let list =
        Operation::new(Get, path, &format!("list{name}"), &format!("Every {name}"), sees, move |state, asker, uri| {
            resources::list(kind, state, asker, uri)
        });
    let put = Operation::new(
        Put,
        path,
        &format!("put{name}"),
        &format!("Create or change a {name}"),
        changes,
        resources::put::<T>,
    );
    let put = put.query(&[DRY_MODE]).conditional().takes::<T>(example(name)).answers::<Upserted<T>>().with_revision();
    let mut operations = vec![list.query(filters).answers_list::<T>(), put.refuses(&[404, 409])];
    let summary = format!("Delete a {name}");
    let id = format!("delete{name}");
    if kind.in_virtual_cluster {
        let delete = Operation::new(Delete, path, &id, &summary, changes, move |state, asker, headers, uri, body| {
            resources::delete_named(kind, state, asker, headers, uri, body)
        });
        operations.push(delete.takes::<Named>(Some(json!({ "name": "name1", "vCluster": "vCluster1" }))));
    } else {
        let delete = Operation::new(Delete, &below, &id, &summary, changes, move |state, asker, headers, path, uri| {
            resources::delete(kind, state, asker, headers, path, uri)
        });
        operations.push(delete);
        let one = Operation::new(
            Get,
            &below,
            &format!("get{name}"),
            &format!("The {name} of this name"),
            sees,
            move |state, asker, path| resources::one(kind, state, asker, path),
        );
        operations.push(one.answers::<T>().with_revision().refuses(&[404]));
    }
    if let Some(delete) = operations.iter().position(|operation| operation.verb == Delete) {
        let delete_operation = operations.remove(delete);
        let told = delete_operation.query(&[DRY_MODE]).conditional().answers_nothing().refuses(&[404, 409]);
        operations.push(told);
    }
    operations.into_iter().map(|operation| operation.tag(tag.clone())).collect()
}

fn of_all_kinds() -> Vec<Operation> {
    let apply = Operation::new(
        Post,
        "/anabranch/v1/apply",
        "apply",
        "Create or change many resources, all or nothing",
        Needs::Change,
        apply::apply,
    );
    let export = Operation::new(
        Get,
        "/anabranch/v1/export",
        "export",
        "Everything declared, to be applied again",
        Needs::See,
        apply::export,
    );
    vec![
        apply
            .query(&[DRY_MODE, PRUNE])
            .takes_many::<openapi::AnyResource>(LONGEST_APPLY)
            .answers_list::<apply::Applied>()
            .refuses(&[404, 409])
            .tag("all kinds"),
        export.query(&[KIND, BY_LABEL, FORMAT]).answers_text(JSON_OR_YAML).tag("all kinds"),
    ]
}

fn of_the_gateway() -> Vec<Operation> {
    let token = Operation::new(
        Post,
        token::PATH,
        "generateToken",
        "A token that a LOCAL service account uses as its password",
        Needs::Change,
        tokens::issue,
    );
    let example = json!({ "vCluster": "vCluster1", "username": "user1", "lifeTimeSeconds": 3600 });
    vec![
        token
            .takes::<TokenRequest>(Some(example))
            .answers::<TokenResponse>()
            .refuses(&[404, 409])
            .command("generateServiceAccountToken", "Generate a token for a service account on a virtual cluster")
            .tag("cli_token_gateway_v2"),
        Operation::new(Get, "/gateway/v2/docs", "docs", "This document", Needs::See, openapi::served)
            .answers_text(JSON),
        Operation::new(
            Get,
            "/metrics",
            "metrics",
            "Counters in Prometheus' text format",
            Needs::SeeAll,
            metrics::render,
        )
        .answers_text(&["text/plain"]),
        Operation::new(
            Get,
            SNAPSHOT_PATH,
            "snapshot",
            "How the gateway and its virtual clusters are now",
            Needs::See,
            snapshot::now,
        )
        .answers::<Snapshot>(),
        // It does not end, which nobody expects who makes calls from the document.
        Operation::new(Get, EVENTS_PATH, "events", "What happens, as it happens", Needs::See, events::stream)
            .query(&[KINDS])
            .answers_text(&["text/event-stream"])
            .unshown(),
        Operation::new(Get, "/health", "health", "How the gateway is, part by part", Needs::Nothing, health::all)
            .answers::<Health>()
            .refuses(&[503]),
        Operation::new(Get, "/health/live", "live", "Whether the process answers", Needs::Nothing, health::live),
        Operation::new(Get, "/health/ready", "ready", "Whether clients are served", Needs::Nothing, health::ready)
            .refuses(&[503]),
    ]
}

/// What clients of this API ask for that has nothing to answer with yet.
fn absent() -> Vec<Operation> {
    let lists = ["interceptor", "concentration-rule", "concentrated-topic", "plugin"];
    let lists = lists.map(|name| {
        let parameters = [NAME, VCLUSTER, SHOW_DEFAULTS, parameter("global", ParameterKind::Flag, "")];
        let more = [parameter("group", ParameterKind::Text, ""), parameter("username", ParameterKind::Text, "")];
        let list = Operation::new(Get, &format!("/gateway/v2/{name}"), name, "", Needs::See, absent::none);
        list.query(&parameters).query(&more)
    });
    let puts = ["interceptor", "concentration-rule"].map(|name| {
        Operation::new(Put, &format!("/gateway/v2/{name}"), name, "", Needs::Change, absent::not_supported)
            .query(&[DRY_MODE])
    });
    let rest = [
        Operation::new(Delete, "/gateway/v2/concentration-rule", "", "", Needs::Change, absent::no_such),
        Operation::new(Delete, "/gateway/v2/interceptor/{name}", "", "", Needs::Change, absent::no_such),
        Operation::new(Post, "/gateway/v2/interceptor/resolve", "", "", Needs::See, absent::none),
    ];
    lists.into_iter().chain(puts).chain(rest).map(Operation::unshown).collect()
}

/// `GatewayGroup` as `gateway-group`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// What a file of this kind looks like.
pub(super) fn example(kind: &str) -> Option<Value> {
    let gateway = |metadata: Value, spec: Value| json!({ "kind": kind, "apiVersion": "gateway/v2", "metadata": metadata, "spec": spec });
    let own = |metadata: Value, spec: Value| json!({ "kind": kind, "apiVersion": "anabranch/v1", "metadata": metadata, "spec": spec });
    Some(match kind {
        "VirtualCluster" => gateway(
            json!({ "name": "vcluster1" }),
            json!({ "aclEnabled": true, "superUsers": ["username1"], "type": "Standard" }),
        ),
        "AliasTopic" => {
            gateway(json!({ "name": "name1", "vCluster": "vcluster1" }), json!({ "physicalName": "physicalName1" }))
        }
        "GatewayServiceAccount" => gateway(
            json!({ "name": "user1", "vCluster": "vcluster1" }),
            json!({ "type": "EXTERNAL", "externalNames": ["externalName"] }),
        ),
        "GatewayGroup" => gateway(
            json!({ "name": "group1" }),
            json!({ "members": [{ "vCluster": "vcluster1", "name": "user1" }], "externalGroups": ["GROUP_READER"] }),
        ),
        "Quota" => own(
            json!({ "name": "quota1", "vCluster": "vcluster1" }),
            json!({ "user": "user1", "produceBytesPerSecond": 1_048_576, "fetchBytesPerSecond": 2_097_152 }),
        ),
        "UpstreamCluster" => {
            own(json!({ "name": "failover" }), json!({ "bootstrapServers": ["kafka-dr:9092"], "role": "failover" }))
        }
        "IdentityProvider" => own(
            json!({ "name": "login" }),
            json!({
                "jwksUrl": "https://login.example.com/keys",
                "issuer": "https://login.example.com/",
                "audiences": ["kafka"],
            }),
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use contract::resources::{KINDS, Resource};

    use super::*;

    #[test]
    fn every_kind_has_operations_and_an_example_that_is_one() {
        let ParameterKind::Word(words) = KIND.kind else { panic!() };
        assert_eq!(words, KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>());
        let operations = operations();
        for kind in KINDS {
            let example = example(kind.name).unwrap().to_string();
            let read = contract::strict::documents::read_all(&example);
            assert_eq!((read.0.len(), read.1), (1, Vec::new()), "{example}");
            assert!(Resource::from_json(kind.name, example.as_bytes()).unwrap().is_ok());
            // A physical cluster is a setting: it is shown, and not deleted.
            let verbs: &[&str] =
                if kind.name == "UpstreamCluster" { &["list", "put"] } else { &["list", "put", "delete"] };
            for id in verbs.iter().map(|verb| format!("{verb}{}", kind.name)) {
                assert!(operations.iter().any(|operation| operation.id == id), "{id}");
            }
        }
    }
}
