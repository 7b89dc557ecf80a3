//! The profile `isolation`: an attacker with valid credentials of one sandbox against a victim on the same broker.
//!
//! A check is a function in one of the files here and a line in the table below.

mod doors;
mod entering;
mod frames;
mod hints;
mod memory;
mod names;
mod outliving;
mod patterns;
mod powers;
mod removing;
mod rights;
mod seeing;
mod siege;
mod stored;
mod timing;
mod touching;

use serde_json::json;
use wire::schema::ApiKey;

use super::arena::Trouble;
use super::scene::Scene;
use super::{Body, Check, Level};

/// The profile's name.
pub const PROFILE: &str = "isolation";

const fn check(id: &'static str, body: Body, title: &'static str) -> Check {
    Check { id, title, level: Level::Must, profile: PROFILE, body: Some(body) }
}

const fn planned(id: &'static str, title: &'static str) -> Check {
    Check { id, title, level: Level::Must, profile: PROFILE, body: None }
}

/// The attacks.
pub const CHECKS: [Check; 46] = [
    check("I-01", seeing::i_01, "list everything there is"),
    check("I-02", seeing::i_02, "name the victim's topics, groups and transactions as the broker stores them"),
    check("I-03", seeing::i_03, "the victim's topic ids in each API that takes one; guessed ids"),
    check("I-04", seeing::i_04, "continue the victim's fetch session or share session"),
    check("I-05", seeing::i_05, "describe the victim's groups: members, hosts, assignments"),
    check("I-06", seeing::i_06, "describe the victim's transactions and producers"),
    check("I-07", hints::i_07, "existence oracles: shapes, taken names, length limits, times"),
    check("I-08", hints::i_08, "error texts"),
    check("I-09", hints::i_09, "hosts, racks, cluster id, controller, node endpoints, quorum"),
    check("I-10", hints::i_10, "metrics and admin API with a sandbox's credentials"),
    check("I-11", hints::i_11, "client telemetry: subscriptions and metrics of the victim"),
    planned("I-12", "audit, logs and dead letters of the victim"),
    planned("I-13", "schema registry: enumeration of ids, contexts of subjects"),
    check("I-14", hints::i_14, "side channels: internal topics, gaps between producer ids"),
    check("I-15", touching::i_15, "write with the victim's transactional id, producer id and epoch"),
    check("I-16", touching::i_16, "fence the victim's producers, end its transactions, commit to its groups"),
    check("I-17", powers::i_17, "APIs between brokers and controllers"),
    check("I-18", removing::i_18, "commit or delete the victim's offsets, delete its groups, remove its members"),
    check("I-19", removing::i_19, "delete, alter or extend the victim's topics, delete its records"),
    check("I-20", powers::i_20, "ACLs that reach the victim: wildcard, empty and prefixed patterns"),
    check(
        "I-21",
        powers::i_21,
        "settings of brokers, cluster, client metrics and the victim's groups; features; brokers",
    ),
    check("I-22", rights::i_22, "quotas and SCRAM credentials of the victim or of everybody"),
    check("I-23", rights::i_23, "delegation tokens"),
    check("I-24", names::i_24, "tenants whose names start with each other, separators"),
    check("I-25", names::i_25, "internal topics and names that are no names"),
    check("I-26", names::i_26, "group and transactional ids: empty, NUL, huge, look-alikes, prefixes"),
    check("I-27", names::i_27, "regular expressions that climb out of the tenant"),
    check("I-28", names::i_28, "case folding, principals with separators, forged client ids"),
    check("I-29", doors::i_29, "server names of the victim with the attacker's credentials"),
    check("I-30", entering::i_30, "requests before, during and after the login; another login; weaker mechanisms"),
    check("I-31", outliving::i_31, "expired and revoked credentials, connections that outlive them"),
    check("I-32", entering::i_32, "forged proxy headers, the admin port from the client's listener"),
    check(
        "I-33",
        frames::i_33,
        "request smuggling: lying lengths, trailing bytes, equal correlation ids, answers that never come",
    ),
    check("I-34", frames::i_34, "huge counts, negative lengths, endless frames"),
    check("I-35", frames::i_35, "mix-up of answers under many concurrent requests with equal correlation ids"),
    check("I-36", frames::i_36, "malformed batches: bad CRC, control batches, wrong counts, compressed bombs"),
    planned("I-37", "connection storm, slow and half-open connections"),
    planned("I-38", "storms of metadata, created topics and partitions"),
    planned("I-39", "floods of writes and reads, evasion of quotas"),
    planned("I-40", "storms of group joins, exhausted sessions, locked out users, full disks"),
    planned("I-41", "write through an alias or the base of a fork"),
    planned("I-42", "delete or alter the base through an alias"),
    planned("I-43", "records of the base after the fork, or outside of filter and mask"),
    planned("I-44", "a name made anew sees nothing old"),
    planned("I-45", "fork another team's cluster without a grant"),
    planned("I-46", "injection into terminals, logs, tables and metric labels"),
];

/// What has to work for any check to mean something.
///
/// # Errors
/// [`Trouble`]
pub fn sanity(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let (own, id) = (scene.arena.own.topic.clone(), scene.arena.own.topic_id.clone());
    let metadata =
        scene.ask(ApiKey::Metadata, 10, &json!({ "Topics": [{ "Name": own }], "AllowAutoTopicCreation": false }))?;
    let topic = &metadata.value()["Topics"][0];
    let found = topic["ErrorCode"] == 0 && topic["TopicId"] == *id;
    scene.expect(found, || format!("the attacker's own topic {own} is not served: {metadata:?}"));
    let partition = json!({ "Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20 });
    let body = json!({ "MaxWaitMs": 500, "MinBytes": 1, "Topics": [{ "Topic": own, "Partitions": [partition] }] });
    let fetched = scene.ask(ApiKey::Fetch, 4, &body)?;
    let records = &fetched.value()["Responses"][0]["Partitions"][0]["Records"];
    scene.expect(records.as_str().is_some_and(|r| !r.is_empty()), || {
        format!("the attacker cannot read its own records: {fetched:?}")
    });
    let secret = &scene.arena.victim.secret.name;
    let body = json!({ "Topics": [{ "Name": secret }], "AllowAutoTopicCreation": false });
    let denied = scene.ask(ApiKey::Metadata, 4, &body)?;
    scene.expect(denied.value()["Topics"][0]["ErrorCode"] != 0, || "the victim's topic is served".into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_all_attacks_in_order() {
        for (number, check) in CHECKS.iter().enumerate() {
            assert_eq!(check.id, format!("I-{:02}", number + 1));
        }
    }

    /// A check that is written and not in the table would never run.
    #[test]
    fn each_function_has_its_line() {
        let sources = [
            include_str!("seeing.rs"),
            include_str!("hints.rs"),
            include_str!("touching.rs"),
            include_str!("removing.rs"),
            include_str!("powers.rs"),
            include_str!("rights.rs"),
            include_str!("names.rs"),
            include_str!("doors.rs"),
            include_str!("entering.rs"),
            include_str!("outliving.rs"),
            include_str!("frames.rs"),
        ];
        let functions = sources.iter().flat_map(|s| s.lines()).filter_map(|line| line.strip_prefix("pub(super) fn i_"));
        let mut written: Vec<String> =
            functions.map(|rest| format!("I-{}", rest.split('(').next().unwrap_or_default())).collect();
        written.sort();
        let listed: Vec<&str> = CHECKS.iter().filter(|check| check.body.is_some()).map(|check| check.id).collect();
        assert_eq!(written, listed);
        let table: String = include_str!("mod.rs").split_whitespace().collect();
        for id in listed {
            let function = id.to_lowercase().replace('-', "_");
            let line = |file: &&str| table.contains(&format!("\"{id}\",{file}::{function},"));
            let files = [
                "seeing",
                "hints",
                "touching",
                "removing",
                "powers",
                "rights",
                "names",
                "frames",
                "entering",
                "outliving",
                "doors",
            ];
            assert!(files.iter().any(line), "{id} has another check's function");
        }
    }
}
