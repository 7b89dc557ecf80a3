//! Each invalid file is refused with the text beside it, offline, and by a gateway with its problems.

use std::fs;

use crate::stand::{Stand, configs, files, program, stderr, stdout};

/// Offline; and a gateway says the same of it.
fn is_refused(file: &str) {
    let folder = configs("invalid/resources");
    let checked = program(&folder, &["validate", file]);
    let text = folder.join(file).with_extension("txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&text, &checked.stderr).unwrap();
    }
    let expected = fs::read_to_string(&text).unwrap_or_default();
    assert_eq!((checked.status.code(), stderr(&checked)), (Some(1), expected), "{}", stdout(&checked));
}

macro_rules! refused {
    ($($name:ident: $file:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            is_refused($file);
        })+

        const FILES: &[&str] = &[$($file),+];
    };
}

refused! {
    acls: "acls.yaml",
    acls_without_mode: "acls-without-mode.yaml",
    alias_missing_virtual_cluster: "alias-missing-virtual-cluster.yaml",
    alias_unknown_field: "alias-unknown-field.yaml",
    external_name_clash: "external-name-clash.yaml",
    external_without_name: "external-without-name.yaml",
    interceptor_create_topic_policy: "interceptor-create-topic-policy.yaml",
    interceptor_encryption: "interceptor-encryption.yaml",
    key_twice: "key-twice.yaml",
    member_missing: "member-missing.yaml",
    missing_fields: "missing-fields.yaml",
    missing_virtual_cluster: "missing-virtual-cluster.yaml",
    name_clash: "name-clash.yaml",
    names: "names.yaml",
    no_kind: "no-kind.yaml",
    not_json: "not-json.json",
    not_yaml: "not-yaml.yaml",
    numbers_of_quota: "numbers-of-quota.yaml",
    passwords: "passwords.yaml",
    prefix_clash: "prefix-clash.yaml",
    resource_twice: "resource-twice.yaml",
    tag: "tag.yaml",
    unknown_field: "unknown-field.yaml",
    unknown_kind: "unknown-kind.yaml",
    words: "words.yaml",
    wrong_types: "wrong-types.yaml",
    wrong_version: "wrong-version.yaml",
}

#[test]
fn no_file_is_left_out() {
    let mut named = FILES.to_vec();
    named.sort_unstable();
    assert_eq!(files(&configs("invalid/resources"), &[".yaml", ".json"]), named);
}

#[test]
fn a_gateway_refuses_each_with_the_same_problems_and_declares_none_of_it() {
    let stand = Stand::start();
    let before = stand.shell(&export());
    for file in FILES {
        let folder = configs("invalid/resources");
        let path = folder.join(file);
        let script = format!(
            "curl --silent --user admin:conduktor --data-binary @'{}' http://localhost:8888/anabranch/v1/apply",
            path.display()
        );
        let answer = stand.shell(&script);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{file}: {answer}"));
        let told = answer["cause"].as_str().unwrap_or_default();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        // As `validate` tells them: without the file's name.
        for problem in expected.lines().skip(1) {
            let (_, problem) = problem.split_once(&format!("{file}: ")).unwrap();
            let problem = problem.replace(&format!("{file}: "), "");
            assert!(told.contains(problem.as_str()), "{file}: {problem}\n is not in\n{answer:#}");
        }
    }
    assert_eq!(stand.shell(&export()), before);
}

fn export() -> String {
    "curl --silent --user admin:conduktor http://localhost:8888/anabranch/v1/export".to_owned()
}
