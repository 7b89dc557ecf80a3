//! A virtual cluster answers as a Kafka of one's own, but for what the reviewed lists say.

use conformance::drivers::Connection;
use conformance::reference::{self, Brought, Report, Rules};

use super::broker::Broker;
use super::needs;
use super::stand::log_is_calm;

#[test]
fn a_virtual_cluster_answers_as_a_kafka_of_ones_own() {
    if !needs::met("a_virtual_cluster_answers_as_a_kafka_of_ones_own", &[]) {
        return;
    }
    let mut report = compare();
    if !report.is_good() {
        // What Kafka does in the background can overtake a script; a difference of the gateway's comes again.
        println!("once more, with other brokers");
        report = compare();
    }
    assert!(report.is_good(), "{} answers differ, see above", report.findings.len());
    // Less would mean that scripts were left out.
    assert!(report.requests > 5_000 && report.apis >= 30, "{} requests, {} APIs", report.requests, report.apis);
}

fn compare() -> Report {
    let (shared, alone) = std::thread::scope(|scope| {
        let brokers = [scope.spawn(Broker::start), scope.spawn(Broker::start)];
        let [shared, alone] = brokers.map(|broker| broker.join().unwrap());
        (shared, alone)
    });
    let program = needs::sandbox_program();
    let brought = Brought::up(&program, &shared.address, &alone.address).unwrap();
    let report = reference::run(&brought.stand, &Rules::reviewed().unwrap()).unwrap();
    println!("{}", report.human());
    let log = std::fs::read_to_string(brought.gateway_log().unwrap()).expect("the gateway's log");
    brought.finish().unwrap_or_else(|problem| panic!("not everything was taken down: {problem}"));
    log_is_calm(&log, &[]);
    report
}

/// A comparison that finds nothing proves nothing: two Kafkas that differ are told apart.
#[test]
fn a_kafka_that_differs_is_found() {
    if !needs::met("a_kafka_that_differs_is_found", &[]) {
        return;
    }
    let (shared, alone) = (Broker::start(), Broker::start());
    let program = needs::sandbox_program();
    let brought = Brought::up(&program, &shared.address, &alone.address).unwrap();
    let mut stand = brought.stand.clone();
    let proxy = super::lying_proxy::start(&stand.r#virtual.bootstrap);
    stand.r#virtual = Connection { bootstrap: proxy, ..stand.r#virtual };
    let chosen = |script: &str| ["warm-up", "groups"].contains(&script);
    let report = reference::run_some(&stand, &Rules::reviewed().unwrap(), chosen).unwrap();
    brought.finish().unwrap_or_else(|problem| panic!("not everything was taken down: {problem}"));
    let lies: Vec<_> = report.findings.iter().map(|finding| finding.api).collect();
    assert!(!lies.is_empty(), "a lie went unnoticed");
    assert!(lies.iter().all(|api| *api == "Heartbeat"), "{}", report.human());
}
