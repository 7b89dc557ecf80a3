//! `kafka-acls` against virtual clusters: what it makes holds for clients at once, at every gateway, and nowhere else.

use conformance::drivers::Connection;
use serde_json::{Value, json};

use super::broker::Broker;
use super::needs;
use super::node::Node;
use super::stand::{TeamClient, records, start, values};

const JAVA: &str = "java-clients";
const TENANTS: [&str; 2] = ["payments", "search"];
/// Who may write to no topic at all gets no producer id either.
const NOT_PERMITTED: &[&str] = &["TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"];
const NO_GROUP: &[&str] = &["GROUP_AUTHORIZATION_FAILED"];

/// A gateway whose declarations are kept in a topic.
fn started(broker: &Broker) -> Node {
    Node::start(broker, &json!({ "state": { "store": "topic" } }))
}

/// `root` may do everything in its virtual cluster, and `app` nothing unless a rule says so.
fn declare(node: &Node, tenant: &str, mode: &Value) {
    let mut spec = json!({ "aclEnabled": true, "superUsers": [format!("{tenant}-root")] });
    spec.as_object_mut().unwrap().extend(mode.as_object().unwrap().clone());
    node.gateway.virtual_cluster(tenant, &spec).unwrap();
    for user in ["root", "app"] {
        node.account(tenant, &format!("{tenant}-{user}"));
    }
}

fn client(node: &Node, tenant: &str, user: &str) -> TeamClient {
    let connection = node.connection(&format!("{tenant}-{user}"));
    start(JAVA, &Connection { mechanism: "SCRAM-SHA-256".to_owned(), ..connection })
}

/// What `kafka-acls` prints when it ends well.
fn acls(client: &mut TeamClient, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let result = client.does("tool", json!({ "tool": "kafka-acls", "arguments": arguments }));
    assert_eq!(result["status"], 0, "kafka-acls {arguments:?}: {result}");
    let printed = result["stdout"].as_str().unwrap().to_owned();
    assert!(!printed.contains("Error while executing"), "kafka-acls {arguments:?}: {printed}");
    printed
}

/// What it says when it does not.
fn acls_refused(client: &mut TeamClient, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let result = client.does("tool", json!({ "tool": "kafka-acls", "arguments": arguments }));
    let said = result.to_string();
    assert!(result["status"] != 0 && said.contains("Error while executing"), "kafka-acls {arguments:?}: {said}");
    said
}

fn rules(printed: &str) -> usize {
    printed.lines().filter(|line| line.contains("(principal=")).count()
}

#[test]
fn kafka_acls_says_what_clients_may() {
    if !needs::met("kafka_acls_says_what_clients_may", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    TENANTS.iter().for_each(|tenant| declare(&node, tenant, &json!({})));
    let [mut root, mut app] = ["root", "app"].map(|user| client(&node, TENANTS[0], user));
    let mut neighbour = client(&node, TENANTS[1], "root");
    root.does("create_topic", json!({ "topic": "orders" }));
    let send = || json!({ "topic": "orders", "records": records("order-", 2) });
    app.fails("produce", send(), NOT_PERMITTED);

    // A literal rule, and a client that is connected already.
    acls(&mut root, "--add --allow-principal User:payments-app --operation Write --topic orders");
    app.does("produce", send());
    let read = json!({ "topic": "orders", "group": "billing.eu", "count": 2 });
    app.fails("consume", read.clone(), &[NOT_PERMITTED, NO_GROUP].concat());

    // Prefixed rules.
    let prefixed = "--add --allow-principal User:payments-app --operation Read --resource-pattern-type prefixed";
    acls(&mut root, &format!("{prefixed} --topic ord"));
    app.fails("consume", read.clone(), NO_GROUP);
    acls(&mut root, &format!("{prefixed} --group billing."));
    assert_eq!(app.consumes_with(read.clone()), values("order-", 2));

    // One that denies outweighs them, also as a wildcard for everybody.
    acls(&mut root, "--add --deny-principal User:* --operation Write --topic *");
    app.fails("produce", send(), NOT_PERMITTED);
    assert_eq!(rules(&acls(&mut root, "--list")), 4);
    assert_eq!(rules(&acls(&mut root, "--list --topic orders --resource-pattern-type match")), 3);
    acls(&mut root, "--remove --force --topic * --deny-principal User:* --operation Write");
    app.does("produce", send());

    // Who may not alter the cluster changes nothing and sees nothing; nor does another tenant.
    assert!(acls_refused(&mut app, "--list").contains("ClusterAuthorizationException"));
    assert!(
        acls_refused(&mut app, "--add --allow-principal User:payments-app --operation All --topic orders")
            .contains("ClusterAuthorizationException")
    );
    assert_eq!(rules(&acls(&mut neighbour, "--list")), 0);
    acls(&mut neighbour, "--remove --force --topic orders --resource-pattern-type any");
    assert_eq!(rules(&acls(&mut root, "--list")), 3);

    // Another gateway has the same rules, and each sees what the other changes.
    let other = started(&broker);
    let mut elsewhere = client(&other, TENANTS[0], "root");
    assert_eq!(rules(&acls(&mut elsewhere, "--list")), 3);
    acls(&mut elsewhere, "--remove --force --group billing. --resource-pattern-type prefixed");
    let gone = (0..50).any(|_| rules(&acls(&mut root, "--list")) == 2);
    assert!(gone, "a rule that was removed at one gateway stays at the other");
}

#[test]
fn rules_of_the_operator_are_not_changed_by_kafka_acls() {
    if !needs::met("rules_of_the_operator_are_not_changed_by_kafka_acls", &[JAVA]) {
        return;
    }
    let broker = Broker::start();
    let node = started(&broker);
    let rule = |operation: &str| {
        json!({
            "resourcePattern": { "resourceType": "TOPIC", "name": "orders", "patternType": "LITERAL" },
            "principal": "User:payments-app", "host": "*", "operation": operation, "permissionType": "ALLOW",
        })
    };
    declare(&node, TENANTS[0], &json!({ "aclMode": "REST_API", "acls": [rule("WRITE")] }));
    let [mut root, mut app] = ["root", "app"].map(|user| client(&node, TENANTS[0], user));
    root.does("create_topic", json!({ "topic": "orders" }));
    let send = || json!({ "topic": "orders", "records": records("order-", 1) });
    app.does("produce", send());
    assert_eq!(rules(&acls(&mut root, "--list")), 1);
    let said = acls_refused(&mut root, "--add --allow-principal User:payments-app --operation Read --topic orders");
    assert!(said.contains("aclMode REST_API"), "{said}");
    declare(&node, TENANTS[0], &json!({ "aclMode": "REST_API", "acls": [rule("READ")] }));
    app.fails("produce", send(), NOT_PERMITTED);
}
