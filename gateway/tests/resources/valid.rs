//! Each valid file holds offline and at a gateway; applied twice it changes nothing, and says so.

use crate::stand::{Stand, configs, files, program, stderr};

/// A block that people copy, and the blocks that it refers to.
fn holds(before: &[&str], file: &str) {
    let folder = configs("valid/resources");
    let all = [before, &[file]].concat();
    let checked = program(&folder, &[&["validate"][..], &all].concat());
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));

    let stand = Stand::start();
    if !before.is_empty() {
        assert_eq!(stand.asks(&folder, &[&["apply"][..], before].concat()).0, Some(0));
    }
    let apply = |more: &[&str]| stand.asks(&folder, &[&["apply", file][..], more].concat());
    let results = |text: &str| {
        let lines = text.lines().skip(1).map(|line| line.rsplit(' ').next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    let (code, table, told) = apply(&["--dry-run"]);
    let count = results(&table).len();
    assert_eq!((code, results(&table)), (Some(0), vec!["CREATED".to_owned(); count]), "{told}");
    assert!(count > 0, "{table}");
    let (code, differences, told) = stand.asks(&folder, &["diff", file]);
    assert_eq!(code, Some(1), "a dry run declares nothing: {told}");
    assert_eq!(differences.matches(" is new\n").count(), count, "{differences}");
    let (code, table, told) = apply(&[]);
    assert_eq!((code, results(&table)), (Some(0), vec!["CREATED".to_owned(); count]), "{told}");
    let (code, table, told) = apply(&[]);
    assert_eq!((code, results(&table)), (Some(0), vec!["NOT_CHANGED".to_owned(); count]), "{told}");
    assert_eq!(stand.asks(&folder, &["diff", file]), (Some(0), String::new(), String::new()));
}

macro_rules! held {
    ($($name:ident: [$($before:literal),*] $file:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            holds(&[$($before),*], $file);
        })+

        const FILES: &[&str] = &[$($file),+];
    };
}

held! {
    every_kind: [] "every-kind.yaml",
    list: [] "list.json",
    service_account_external: ["virtual-cluster-with-acls.yaml"] "service-account-external.yaml",
    virtual_cluster_copied: ["virtual-cluster-with-acls.yaml"] "virtual-cluster-copied.yaml",
    virtual_cluster_with_acls: [] "virtual-cluster-with-acls.yaml",
}

#[test]
fn no_file_is_left_out() {
    let mut named = FILES.to_vec();
    named.sort_unstable();
    assert_eq!(files(&configs("valid/resources"), &[".yaml", ".json"]), named);
}
