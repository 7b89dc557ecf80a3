//! The curl lines that people copy, run by a shell as they stand.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::stand::{Stand, configs, files};

fn request(name: &str) -> String {
    fs::read_to_string(configs("valid/requests").join(name)).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_service_account_is_answered_as_shown() {
    let stand = Stand::start();
    assert_eq!(json(&stand.shell(&request("service-account.sh"))), json(&request("service-account.json")));
    let again = json(&stand.shell(&request("service-account.sh")));
    assert_eq!(again["upsertResult"], "NOT_CHANGED");
}

#[test]
fn a_token_says_who_where_and_until_when() {
    let stand = Stand::start();
    stand.shell(&request("service-account.sh"));
    let answer = json(&stand.shell(&request("token.sh")));
    let token = answer["token"].as_str().unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims = json(std::str::from_utf8(&claims).unwrap());
    assert_eq!((&claims["username"], &claims["vcluster"]), (&"jdoe".into(), &"passthrough".into()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let lasts = claims["exp"].as_u64().unwrap() - now;
    assert!((3_500_000..=3_600_000).contains(&lasts), "{lasts}");
    // Tools that keep the answer as their state send it back.
    let again = request("token.sh").replace("\"username\"", &format!("\"token\": \"{token}\", \"username\""));
    assert!(json(&stand.shell(&again))["token"].is_string());
}

#[test]
fn every_yaml_block_is_one_call() {
    let stand = Stand::start();
    for (file, path) in [
        ("virtual-cluster-with-acls.yaml", "virtual-cluster"),
        ("virtual-cluster-copied.yaml", "virtual-cluster"),
        ("service-account-external.yaml", "service-account"),
    ] {
        let file = configs("valid/resources").join(file);
        let script = format!(
            "curl --silent --request PUT --user admin:conduktor --data-binary @'{}' \
             http://localhost:8888/gateway/v2/{path}",
            file.display()
        );
        assert_eq!(json(&stand.shell(&script))["upsertResult"], "CREATED", "{}", file.display());
    }
}

#[test]
fn a_switch_without_a_second_cluster_is_refused_as_json() {
    let stand = Stand::start();
    let refused = json(&stand.shell(&request("switch-to-failover.sh")));
    assert!(refused["title"].is_string() && refused["msg"].is_string(), "{refused}");
    let same = json(&stand.shell(&request("switch-to-main.sh")));
    assert_eq!((&same["result"], &same["to"]), (&"NOT_CHANGED".into(), &"main".into()), "{same}");
}

#[test]
fn no_request_is_left_out() {
    let known = ["service-account.sh", "switch-to-failover.sh", "switch-to-main.sh", "token.sh"];
    assert_eq!(files(&configs("valid/requests"), &[".sh"]), known);
}
