//! The command line against a gateway: what it prints, and its exit codes.

use std::fs;

use serde_json::Value;

use crate::stand::{Stand, configs, program, stderr, stdout};

fn get(stand: &Stand, arguments: &[&str]) -> Value {
    let (code, text, told) = stand.asks(&stand.folder, &[arguments, &["-o", "json"]].concat());
    assert_eq!(code, Some(0), "{told}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_is_exported_can_be_applied_elsewhere() {
    let (first, second) = (Stand::start(), Stand::start());
    let folder = configs("valid/resources");
    let (code, _, told) = first.asks(&folder, &["apply", "."]);
    assert_eq!(code, Some(0), "{told}");
    let (code, exported, told) = first.asks(&folder, &["export"]);
    assert_eq!(code, Some(0), "{told}");
    fs::write(second.folder.join("all.yaml"), &exported).unwrap();
    let (code, table, told) = second.asks(&second.folder, &["apply", "all.yaml"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(table.matches("CREATED").count(), 13, "{table}");
    assert_eq!(second.asks(&second.folder, &["export"]).1, exported);
    assert_eq!(second.asks(&second.folder, &["diff", "all.yaml"]).0, Some(0));
}

#[test]
fn a_change_shows_its_lines_and_prune_what_goes() {
    let stand = Stand::start();
    let write = |text: &str| fs::write(stand.folder.join("team.yaml"), text).unwrap();
    let cluster = |name: &str, spec: &str| {
        format!(
            "apiVersion: gateway/v2\nkind: VirtualCluster\nmetadata: {{ name: {name}, labels: {{ team: a }} }}\n{spec}"
        )
    };
    write(&format!("{}---\n{}", cluster("one", ""), cluster("two", "")));
    assert_eq!(stand.asks(&stand.folder, &["apply", "team.yaml"]).0, Some(0));
    write(&cluster("one", "spec: { aclEnabled: true }\n"));
    let (code, text, told) = stand.asks(&stand.folder, &["diff", "team.yaml", "--prune", "team=a"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(text.contains("VirtualCluster/one changes\n") && text.contains("+   aclEnabled: true\n"), "{text}");
    assert!(text.contains("VirtualCluster/two goes\n"), "{text}");
    let (code, table, told) = stand.asks(&stand.folder, &["apply", "team.yaml", "--prune", "team=a"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(table.contains("UPDATED") && table.contains("DELETED"), "{table}");
    assert_eq!(stand.asks(&stand.folder, &["get", "virtual-cluster", "two"]).0, Some(1));
    assert_eq!(get(&stand, &["get", "virtual-cluster", "one"])[0]["spec"]["aclEnabled"], true);
}

#[test]
fn resources_are_shown_in_three_forms_and_deleted_in_their_order() {
    let stand = Stand::start();
    let folder = configs("valid/resources");
    assert_eq!(stand.asks(&folder, &["apply", "every-kind.yaml"]).0, Some(0));
    let (_, table, _) = stand.asks(&folder, &["get", "quotas", "--vcluster", "shop"]);
    let lines = table.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("KIND   VIRTUAL CLUSTER  NAME         WHAT IT SAYS"), "{table}");
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(get(&stand, &["get", "quota", "one-client", "--vcluster", "shop"])[0]["spec"]["clientId"], "importer");
    let (_, yaml, _) = stand.asks(&folder, &["get", "group", "shop-people", "-o", "yaml"]);
    assert!(yaml.contains("kind: GatewayGroup\n") && !yaml.contains("---"), "{yaml}");
    let all = get(&stand, &["get"]);
    assert!(all.as_array().unwrap().len() >= 9, "{all:#}");

    let (code, _, told) = stand.asks(&folder, &["delete", "virtual-cluster", "shop"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("shop-app"), "who refers to it is told: {told}");
    let (code, text, _) = stand.asks(&folder, &["delete", "-f", "every-kind.yaml", "--dry-run"]);
    assert_eq!((code, text.matches(" would be deleted\n").count()), (Some(0), 8), "{text}");
    let (code, text, told) = stand.asks(&folder, &["delete", "-f", "every-kind.yaml"]);
    assert_eq!((code, text.matches(" is deleted\n").count()), (Some(0), 8), "{text}{told}");
    let (code, _, told) = stand.asks(&folder, &["delete", "-f", "every-kind.yaml"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("there is no VirtualCluster 'shop'"), "{told}");
    assert_eq!(stand.asks(&folder, &["delete", "-f", "every-kind.yaml", "--ignore-missing"]).0, Some(0));
}

#[test]
fn who_cannot_ask_is_told_2() {
    let stand = Stand::start();
    fs::write(stand.folder.join("wrong"), "wrong").unwrap();
    let ask = |arguments: &[&str]| program(&stand.folder, arguments);
    let wrong = ask(&["get", "--server", &stand.url(), "--password-file", "wrong"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("refused user 'admin'"), "{}", stderr(&wrong));
    for (arguments, told) in [
        (&["get", "--server", "http://127.0.0.1:1"][..], "no gateway answers at http://127.0.0.1:1"),
        (&["get", "--server", "ftp://127.0.0.1:1"], "must begin with http:// or https://"),
        (&["get", "--password-file", "nowhere"], "cannot read nowhere"),
        (&["get", "--server", "https://127.0.0.1:1", "--ca-file", "wrong"], "the certificates in wrong"),
        (&["get", "virtual-clutser"], "did you mean VirtualCluster?"),
        (&["apply", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (&["diff", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (&["apply", "x.yaml", "--prune", "=x"], "a label is needed"),
        (&["delete"], "<KIND>"),
        (&["delete", "virtual-cluster", "x", "--vcluster", "y"], "belongs to no virtual cluster"),
        (&["validate", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ] {
        let done = ask(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {}", stderr(&done));
        assert!(stderr(&done).contains(told), "{arguments:?}: {}", stderr(&done));
    }
}

#[test]
fn a_secret_is_never_printed() {
    let stand = Stand::start();
    let account = "apiVersion: gateway/v2\nkind: GatewayServiceAccount\nmetadata: { name: app }\nspec: { type: LOCAL, \
                   password: hunter2-hunter2 }\n";
    fs::write(stand.folder.join("app.yaml"), account).unwrap();
    for arguments in [
        &["validate", "app.yaml"][..],
        &["diff", "app.yaml"],
        &["apply", "app.yaml", "-o", "yaml"],
        &["diff", "app.yaml"],
        &["get", "-o", "yaml"],
        &["export"],
    ] {
        let (code, text, told) = match arguments[0] {
            "validate" => {
                let done = program(&stand.folder, arguments);
                (done.status.code(), stdout(&done), stderr(&done))
            }
            _ => stand.asks(&stand.folder, arguments),
        };
        assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {told}");
        assert!(!text.contains("hunter2") && !told.contains("hunter2"), "{arguments:?}: {text}{told}");
    }
    fs::write(stand.folder.join("app.yaml"), account.replace("hunter2-hunter2", "hunter3-hunter3")).unwrap();
    let (code, text, _) = stand.asks(&stand.folder, &["diff", "app.yaml"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("GatewayServiceAccount/passthrough/app changes in what is secret\n"), "{text}");
}

#[test]
fn the_schemas_are_those_that_are_committed() {
    let stand = Stand::start();
    assert_eq!(program(&stand.folder, &["schema", "--folder", "schemas"]).status.code(), Some(0));
    let committed = configs("../../gateway/contract/schemas");
    for name in crate::stand::files(&committed, &[".json"]) {
        let written = fs::read_to_string(stand.folder.join("schemas").join(&name)).unwrap();
        assert_eq!(written, fs::read_to_string(committed.join(&name)).unwrap());
    }
    let one = program(&stand.folder, &["schema", "quota"]);
    assert_eq!(stdout(&one), fs::read_to_string(committed.join("Quota.json")).unwrap());
}
