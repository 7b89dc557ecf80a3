//! What operators are given to watch the gateway: names of metrics, alerts, a dashboard. All of it must go with what the gateway
//! says; `promtool` judges it, where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway::observe::brokers::Spent;
use gateway::observe::errors::ErrorClasses;
use gateway::observe::metrics::{CertificateExpiry, Metrics};
use gateway::observe::upstreams::UpstreamState;
use regex::Regex;
use serde_json::Value;
use wire::schema::ApiKey;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("observability")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// The text of a gateway in which everything has happened once.
fn exposition() -> String {
    let metrics = Arc::<Metrics>::default();
    let _open = metrics.connection_opened();
    let tenant = metrics.tenant_connection_opened(&Arc::from("a \"b\"\\\n"));
    let mut errors = ErrorClasses::default();
    errors.add(29);
    tenant.metrics().request(Some(ApiKey::Produce), 100);
    tenant.metrics().answer(Some(ApiKey::Produce), 50, errors);
    tenant.metrics().took(Duration::from_millis(2));
    tenant.metrics().denied("TOPIC");
    let broker = metrics.upstream_connected(1);
    broker.metrics().request(100);
    broker.metrics().took(Duration::from_millis(1));
    let part = Duration::from_micros(300);
    metrics.request_took(ApiKey::Produce, &Spent { gateway: part, upstream: part, client: part });
    metrics.authenticated("PLAIN", false, true);
    metrics.nodes.heard("gateway", 2);
    let upstream = |name: &str, active| UpstreamState { name: name.into(), active, reachable: true };
    metrics.upstreams.set(vec![upstream("main", true), upstream("failover", false)], 1);
    metrics.audit.event("AUTHENTICATION");
    metrics.world_published(1, |_| true);
    let place = "/etc/gateway/gateway.pem".to_owned();
    metrics.set_certificates(vec![CertificateExpiry { place, subject: "CN=gateway".into(), not_after: 2_000_000_000 }]);
    metrics.render()
}

/// Type and help of each family.
fn families() -> BTreeMap<String, (String, String)> {
    let text = exposition();
    let mut families: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let before = families.insert(name.to_owned(), (String::new(), help.to_owned()));
            assert_eq!(before, None, "{name} is there twice");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.get_mut(name).unwrap().0 = kind.to_owned();
        }
    }
    families
}

/// The names of metrics that a text uses and nobody has.
fn unknown(text: &str) -> BTreeSet<String> {
    let families = families();
    let exists = |name: &str| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        families.contains_key(name)
            || of_histogram.filter_map(|family| families.get(family)).any(|(kind, _)| kind == "histogram")
    };
    let names = Regex::new(r"\b(?:gateway|process)_[a-z_]+\b").unwrap();
    let found: BTreeSet<String> = names.find_iter(text).map(|name| name.as_str().to_owned()).collect();
    assert!(found.len() > 10, "{found:?}");
    found.into_iter().filter(|name| !exists(name)).collect()
}

/// The expressions of the dashboard, with something in the place of its variables.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned());
    let variables = [("$__rate_interval", "5m"), ("$instance", ".*"), ("$virtual_cluster", ".*")];
    let with_values = |text: String| variables.iter().fold(text, |text, (name, value)| text.replace(name, value));
    expressions.map(with_values).collect()
}

/// Runs promtool on a text; says by name where it is not installed.
fn promtool(test: &str, arguments: &[&str], input: &str) {
    let mut run = Command::new("promtool");
    let run = run.args(arguments).current_dir(folder());
    let run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut run = match run {
        Ok(run) => run,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED {test}: promtool is not installed (Debian: prometheus)");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // One that does not read has nothing to say about it.
    let _ = run.stdin.take().unwrap().write_all(input.as_bytes());
    let done = run.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(done.status.success(), "{said}");
}

#[test]
fn alerts_and_dashboard_use_metrics_that_there_are() {
    assert_eq!(unknown(&file("alerts.yaml")), BTreeSet::new());
    assert_eq!(unknown(&expressions().join("\n")), BTreeSet::new());
    assert_eq!(unknown(&file("alerts.test.yaml")), BTreeSet::new());
    // That the comparison sees something.
    let wrong = expressions().join("\n").replace("gateway_requests_total", "gateway_request_total");
    assert_eq!(unknown(&wrong), BTreeSet::from(["gateway_request_total".to_owned()]));
}

#[test]
fn every_alert_has_a_test_of_firing_and_one_of_silence() {
    let tests = file("alerts.test.yaml");
    let names = Regex::new(r"- alert: (\w+)").unwrap();
    let alerts: Vec<String> = names.captures_iter(&file("alerts.yaml")).map(|found| found[1].to_owned()).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        for what in ["fires", "stays quiet"] {
            assert!(tests.contains(&format!("- name: {alert} {what}\n")), "{alert} has no test '{what}'");
        }
    }
}

#[test]
fn the_list_of_metrics_is_as_the_gateway_tells() {
    let mut list = "# Metrics of the gateway\n\nWhat `GET /metrics` of the admin API tells. Written by a test: \
                    `UPDATE_SNAPSHOTS=1 cargo test -p gateway --test it observability`.\n\n| name | type | meaning |\n\
                    | --- | --- | --- |\n"
        .to_owned();
    for (name, (kind, help)) in families() {
        list.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
    }
    let path = folder().join("metrics.md");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), list, "UPDATE_SNAPSHOTS=1 writes it anew");
}

#[test]
fn promtool_takes_the_metrics() {
    promtool("promtool_takes_the_metrics", &["check", "metrics"], &exposition());
}

#[test]
fn promtool_takes_the_alerts() {
    promtool("promtool_takes_the_alerts", &["check", "rules", "alerts.yaml"], "");
    promtool("promtool_takes_the_alerts", &["test", "rules", "alerts.test.yaml"], "");
}

#[test]
fn promtool_takes_the_expressions_of_the_dashboard() {
    let rule =
        |(at, expression): (usize, String)| serde_json::json!({ "record": format!("panel:{at}"), "expr": expression });
    let rules: Vec<Value> = expressions().into_iter().enumerate().map(rule).collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let place = std::env::temp_dir().join(format!("dashboard-{}.yaml", std::process::id()));
    std::fs::write(&place, groups.to_string()).unwrap();
    promtool("promtool_takes_the_expressions_of_the_dashboard", &["check", "rules", place.to_str().unwrap()], "");
    std::fs::remove_file(place).unwrap();
}
