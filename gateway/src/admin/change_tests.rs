//! Changes: conditions, many at once, what is refused, and what tools that speak this API send.

use serde_json::{Value, json};

use super::access_tests::{ask, basic, send};
use super::tests::Gateway;

const CLUSTERS: &str = "/gateway/v2/virtual-cluster";
const APPLY: &str = "/anabranch/v1/apply";

fn cluster(name: &str, spec: Value) -> Value {
    json!({ "kind": "VirtualCluster", "apiVersion": "gateway/v2", "metadata": { "name": name }, "spec": spec })
}

fn group(name: &str, member: &str) -> Value {
    json!({ "kind": "GatewayGroup", "apiVersion": "gateway/v2", "metadata": { "name": name },
        "spec": { "members": [{ "name": member, "vCluster": "dev" }] } })
}

#[test]
fn a_change_can_ask_for_a_revision() {
    let gateway = Gateway::start();
    let put = |condition: &str, super_user: &str| {
        let body = cluster("dev", json!({ "superUsers": [super_user] })).to_string();
        send(&gateway, &[&basic("root"), condition], "PUT", CLUSTERS, &body)
    };
    assert_eq!(put("if-match: *", "a").status, 412, "it is not there");
    let created = put("if-none-match: *", "a");
    assert_eq!(created.status, 200);
    let first = created.header("etag").unwrap().to_owned();
    let shown = ask(&gateway, "root", "GET", &format!("{CLUSTERS}/dev"), &Value::Null);
    assert_eq!(shown.header("etag"), Some(first.as_str()));
    assert_eq!(put("if-none-match: *", "b").status, 412, "it is there");
    let second = put(&format!("if-match: {first}"), "b");
    assert_eq!(second.status, 200);
    let late = put(&format!("if-match: {first}"), "c");
    let second = second.header("etag").unwrap();
    assert!(late.status == 412 && late.msg().contains(second), "{}", late.body);
    assert_eq!(put("if-match: nonsense", "c").status, 412);
    let delete =
        |condition: &str| send(&gateway, &[&basic("root"), condition], "DELETE", &format!("{CLUSTERS}/dev"), "");
    assert_eq!(delete(&format!("if-match: {first}")).status, 412);
    assert_eq!(delete(&format!("if-match: {second}")).status, 204);
}

#[test]
fn a_new_password_is_a_new_revision_of_its_account() {
    let gateway = Gateway::start();
    let tag = |password: &str| {
        let account = json!({ "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2",
            "metadata": { "name": "app" }, "spec": { "type": "LOCAL", "password": password } });
        let answer = ask(&gateway, "root", "PUT", "/gateway/v2/service-account", &account);
        answer.header("etag").unwrap().to_owned()
    };
    let first = tag("one");
    assert_eq!(tag("one"), first);
    assert_ne!(tag("two"), first);
}

#[test]
fn many_documents_are_applied_as_a_whole_or_not_at_all() {
    let gateway = Gateway::start();
    let yaml = "
kind: GatewayGroup
apiVersion: gateway/v2
metadata: { name: team, labels: { app: shop } }
spec: { members: [{ name: app, vCluster: dev }] }
---
kind: GatewayServiceAccount
apiVersion: gateway/v2
metadata: { name: app, vCluster: dev, labels: { app: shop } }
spec: { type: LOCAL, password: pencil }
---
kind: VirtualCluster
apiVersion: gateway/v2
metadata: { name: dev, labels: { app: shop } }
";
    let apply = |query: &str, body: &str| send(&gateway, &[&basic("root")], "POST", &format!("{APPLY}{query}"), body);
    let results = |answer: &Value| {
        answer.as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let tried = apply("?dryMode=true", yaml);
    assert_eq!(results(&tried.json()), ["CREATED"; 3], "the order of the documents does not matter");
    assert!(gateway.client().get_virtual_cluster("dev").unwrap().is_none());
    assert_eq!(apply("", yaml).status, 200);
    let again = apply("?prune=app=shop", yaml);
    assert_eq!(results(&again.json()), ["NOT_CHANGED"; 3], "{}", again.body);

    // What is wrong with any is told of all, and nothing holds.
    let wrong = "kind: VirtualCluster\napiVersion: gateway/v2\nmetadata: { name: new }\n---\n\
                 kind: VirtualCluster\napiVersion: gateway/v2\nmetadata: { nam: dev }\n---\n\
                 kind: Interceptor\napiVersion: gateway/v2\nmetadata: { name: x }\n";
    let refused = apply("", wrong);
    let cause = refused.json()["cause"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 400);
    assert!(
        cause.contains("document 2") && cause.contains("did you mean 'name'?") && cause.contains("document 3"),
        "{cause}"
    );
    let dangling = json!([cluster("new", json!({})), group("team", "ghost")]).to_string();
    let refused = apply("", &dangling);
    assert!(refused.status == 404 && refused.body.contains("ghost"), "{}", refused.body);
    let twice = json!([cluster("new", json!({})), cluster("new", json!({}))]).to_string();
    assert_eq!(apply("", &twice).status, 400);
    assert!(gateway.client().get_virtual_cluster("new").unwrap().is_none());

    // Without the group's document, it goes; the account, which nobody applies any more, is kept by a group of others.
    let rest = yaml.split_once("---\n").unwrap().1;
    let pruned = apply("?prune=app=shop&dryMode=true", rest);
    assert_eq!(results(&pruned.json()), ["NOT_CHANGED", "NOT_CHANGED", "DELETED"], "{}", pruned.body);
    assert_eq!(ask(&gateway, "root", "PUT", "/gateway/v2/group", &group("others", "app")).status, 200);
    let kept = apply("?prune=app", "[]");
    assert!(kept.status == 409 && kept.msg().contains("GatewayGroup/others"), "{}", kept.body);
    assert_eq!(apply("?prune=", yaml).status, 400, "without a name everything would be meant");
    assert_eq!(results(&apply("?prune=app=other", "[]").json()), [""; 0]);
    assert_eq!(apply("?prune=app=other", " ").status, 400, "an empty file is a mistake");
}

#[test]
fn what_is_exported_can_be_applied() {
    let gateway = Gateway::start();
    let labelled = json!({ "kind": "VirtualCluster", "apiVersion": "gateway/v2",
        "metadata": { "name": "dev", "labels": { "app": "shop" } }, "spec": { "aclEnabled": true } });
    let bodies = json!([labelled, { "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2",
        "metadata": { "name": "app", "vCluster": "dev" }, "spec": { "type": "LOCAL", "password": "pencil" } }]);
    assert_eq!(ask(&gateway, "root", "POST", APPLY, &bodies).status, 200);
    for query in ["", "?format=yaml"] {
        let exported = ask(&gateway, "root", "GET", &format!("/anabranch/v1/export{query}"), &Value::Null);
        assert!(!exported.body.contains("pencil") && !exported.body.contains("bootstrapServers"), "{}", exported.body);
        let again = send(&gateway, &[&basic("root")], "POST", APPLY, &exported.body);
        assert!(again.status == 200 && again.body.matches("NOT_CHANGED").count() == 2, "{}", again.body);
    }
    let one = |query: &str| ask(&gateway, "root", "GET", &format!("/anabranch/v1/export?{query}"), &Value::Null).json();
    assert_eq!(one("label=app").as_array().unwrap().len(), 1);
    assert_eq!(one("kind=GatewayServiceAccount")[0]["metadata"]["name"], "app");
    assert_eq!(ask(&gateway, "root", "GET", "/anabranch/v1/export?kind=Nonsense", &Value::Null).status, 400);
}

#[test]
fn what_is_referred_to_stays_and_who_refers_is_told() {
    let gateway = Gateway::start();
    let account = json!({ "kind": "GatewayServiceAccount", "apiVersion": "gateway/v2",
        "metadata": { "name": "app", "vCluster": "dev" }, "spec": { "type": "LOCAL" } });
    let all = json!([cluster("dev", json!({})), account, group("team", "app")]);
    assert_eq!(ask(&gateway, "root", "POST", APPLY, &all).status, 200);
    let id = json!({ "name": "app", "vCluster": "dev" });
    let refused = ask(&gateway, "root", "DELETE", "/gateway/v2/service-account", &id);
    assert!(refused.status == 409 && refused.msg().contains("GatewayGroup/team"), "{}", refused.body);
    let refused = ask(&gateway, "root", "DELETE", &format!("{CLUSTERS}/dev"), &Value::Null);
    assert!(refused.status == 409 && refused.msg().contains("GatewayServiceAccount/dev/app"), "{}", refused.body);
    assert_eq!(ask(&gateway, "root", "DELETE", "/gateway/v2/group/team?dryMode=true", &Value::Null).status, 204);
    assert_eq!(ask(&gateway, "root", "DELETE", "/gateway/v2/group/team", &Value::Null).status, 204);
    assert_eq!(ask(&gateway, "root", "DELETE", "/gateway/v2/service-account", &id).status, 204);
    assert_eq!(ask(&gateway, "root", "DELETE", &format!("{CLUSTERS}/passthrough"), &Value::Null).status, 400);
}

#[test]
fn too_much_and_unknown_parameters_are_refused() {
    let gateway = Gateway::start();
    let long = cluster(&"a".repeat(300 * 1024), json!({}));
    let refused = ask(&gateway, "root", "PUT", CLUSTERS, &long);
    assert_eq!((refused.status, refused.json()["title"].as_str()), (413, Some("Too large")));
    let one = |n: u32| {
        let labels = json!({ "about": "a".repeat(4000) });
        json!({ "kind": "VirtualCluster", "apiVersion": "gateway/v2",
            "metadata": { "name": format!("vc-{n}-x"), "labels": labels } })
    };
    let many = json!((0..200).map(one).collect::<Vec<_>>());
    let tried = ask(&gateway, "root", "POST", &format!("{APPLY}?dryMode=true"), &many);
    assert_eq!(tried.status, 200, "many may be longer: {}", tried.body);
    let refused = ask(&gateway, "root", "PUT", &format!("{CLUSTERS}?dryMod=true"), &cluster("dev", json!({})));
    assert!(refused.status == 400 && refused.msg().contains("did you mean 'dryMode'?"), "{}", refused.body);
    assert!(gateway.client().get_virtual_cluster("dev").unwrap().is_none());
    let refused = ask(&gateway, "root", "POST", CLUSTERS, &json!({}));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("get,head,put")));
}

#[test]
fn kinds_that_are_not_there_yet_are_empty_and_a_put_says_so() {
    let gateway = Gateway::start();
    for path in ["interceptor?name=x&global=false&vcluster=y", "plugin", "concentration-rule", "concentrated-topic"] {
        let answer = ask(&gateway, "root", "GET", &format!("/gateway/v2/{path}"), &Value::Null);
        assert_eq!((answer.status, answer.body.as_str()), (200, "[]"), "{path}");
    }
    let resolved = ask(&gateway, "root", "POST", "/gateway/v2/interceptor/resolve", &json!({ "vCluster": "dev" }));
    assert_eq!((resolved.status, resolved.body.as_str()), (200, "[]"));
    for path in ["interceptor", "concentration-rule"] {
        let answer = ask(&gateway, "root", "PUT", &format!("/gateway/v2/{path}"), &json!({ "kind": "Interceptor" }));
        assert!(answer.status == 400 && answer.msg().contains("not supported yet"), "{}", answer.body);
    }
    assert_eq!(ask(&gateway, "root", "DELETE", "/gateway/v2/interceptor/x", &Value::Null).status, 404);
}

#[test]
fn an_alias_is_on_a_cluster_that_is_there() {
    let gateway = Gateway::start();
    let alias = |name: &str, spec: Value| json!({ "kind": "AliasTopic", "apiVersion": "gateway/v2", "metadata": { "name": name }, "spec": spec });
    let on = |cluster: &str| json!({ "physicalName": "b", "physicalCluster": cluster });
    for (spec, status, told) in [
        (on("gone"), 404, "spec.physicalCluster: there is no physical cluster 'gone'; there are 'main', 'failover'"),
        (on("failover"), 400, "spec.physicalCluster: 'failover' only stands in: "),
        (on("main"), 200, "CREATED"),
        (json!({ "physicalName": "b" }), 200, "UPDATED"),
    ] {
        let said = ask(&gateway, "root", "PUT", "/gateway/v2/alias-topic", &alias("a", spec));
        assert!(said.status == status && said.body.contains(told), "{} {}", said.status, said.body);
    }
    let upstream = json!({ "kind": "UpstreamCluster", "apiVersion": "anabranch/v1", "metadata": { "name": "gone" },
        "spec": { "bootstrapServers": ["h:1"] } });
    let said = ask(&gateway, "root", "POST", APPLY, &json!([alias("c", on("gone")), upstream]));
    for told in
        ["AliasTopic/passthrough/c spec.physicalCluster: ", "UpstreamCluster/gone metadata.name: there are 'main', "]
    {
        assert!(said.body.contains(told), "both are told: {}", said.body);
    }
    let said = ask(&gateway, "shop-team", "POST", APPLY, &json!([upstream]));
    assert!(said.status == 403 && !said.body.contains("main"), "{} {}", said.status, said.body);
}
