//! The schema table describes every version of every message of every Kafka exactly, or the difference is in a list here.

use super::kafkas::{self, Kafka};
use std::collections::BTreeSet;
use wire::schema::{Field, Kind, MESSAGES, Message, Type};

/// Definitions that are no API's message and are not embedded in one: the table has no row for them.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("RequestHeader", "read by wire::frame, which the bytes of Kafka's own classes are a test of"),
    ("ResponseHeader", "read by wire::frame, as above"),
    ("DefaultPrincipalData", "inside an Envelope between brokers"),
    ("AbortedTxn", "in a broker's index files"),
    ("ControlRecordTypeSchema", "the key of a control record; record batches are never decoded"),
    ("EndTxnMarker", "the value of a control record"),
    ("LeaderChangeMessage", "the value of a control record of the controllers' log"),
    ("SnapshotHeaderRecord", "the value of a control record of the controllers' log"),
    ("SnapshotFooterRecord", "the value of a control record of the controllers' log"),
    ("KRaftVersionRecord", "the value of a control record of the controllers' log"),
    ("VotersRecord", "the value of a control record of the controllers' log"),
];

/// APIs that left Kafka, by key: no key of the table, so that a frame of theirs closes the connection.
pub(super) const GONE: &[(&str, i16)] =
    &[("LeaderAndIsr", 4), ("StopReplica", 5), ("UpdateMetadata", 6), ("ControlledShutdown", 7)];

/// Versions that left Kafka, first and last: not in the table, so that they are neither advertised nor taken.
const DROPPED: &[(&str, i16, i16)] = &[
    ("Produce", 0, 2),
    ("Fetch", 0, 3),
    ("ListOffsets", 0, 0),
    ("OffsetCommit", 0, 1),
    ("OffsetFetch", 0, 0),
    ("CreateTopics", 0, 1),
    ("DeleteTopics", 0, 0),
    ("OffsetForLeaderEpoch", 0, 1),
    ("WriteTxnMarkers", 0, 0),
    ("DescribeAcls", 0, 0),
    ("CreateAcls", 0, 0),
    ("DeleteAcls", 0, 0),
    ("DescribeConfigs", 0, 0),
    ("AlterReplicaLogDirs", 0, 0),
    ("DescribeLogDirs", 0, 0),
    ("CreateDelegationToken", 0, 0),
    ("RenewDelegationToken", 0, 0),
    ("ExpireDelegationToken", 0, 0),
    ("DescribeDelegationToken", 0, 0),
    ("AlterPartition", 0, 1),
    ("ShareGroupHeartbeat", 0, 0),
    ("ShareGroupDescribe", 0, 0),
    ("ShareFetch", 0, 0),
    ("ShareAcknowledge", 0, 0),
];

/// What an older Kafka calls otherwise: message, its word, the table's. Names do not travel.
const RENAMED: &[(&str, &str, &str)] = &[
    ("ListClientMetricsResourcesRequest", "", "ListConfigResourcesRequest"),
    ("ListClientMetricsResourcesResponse", "", "ListConfigResourcesResponse"),
    ("ListClientMetricsResourcesResponse", "ClientMetricsResources", "ConfigResources"),
    ("ListClientMetricsResourcesResponse", "ClientMetricsResources.Name", "ConfigResources.ResourceName"),
    ("TxnOffsetCommitRequest", "GenerationId", "GenerationIdOrMemberEpoch"),
    ("StreamsGroupHeartbeatResponse", "AcceptableRecoveryLag", "AcceptableRecoveryLagLegacy"),
    ("VoteRequest", "Topics.Partitions.CandidateEpoch", "Topics.Partitions.ReplicaEpoch"),
    ("VoteRequest", "Topics.Partitions.CandidateId", "Topics.Partitions.ReplicaId"),
    ("VoteRequest", "Topics.Partitions.CandidateDirectoryId", "Topics.Partitions.ReplicaDirectoryId"),
];

/// What changed in a version while it was unstable: no released Kafka speaks it unless `unstable.api.versions.enable` is
/// set, which is for the developers of Kafka. A difference in a version that was stable is never excused.
const UNSTABLE: &[(&str, &str)] = &[
    ("StreamsGroupHeartbeatResponse", "Status"),
    ("ReadShareGroupStateSummaryResponse", "Results.Partitions.LeaderEpoch"),
];

/// What is said of one field at one version, one line a field, in the order on the wire.
fn describe(fields: &[Field], version: i16, flexible: bool, path: &str, lines: &mut Vec<String>) {
    for field in fields.iter().filter(|field| field.versions.contains(version)) {
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let (arrays, element) = element(&field.ty);
        let name = if matches!(element, Type::Struct(_)) { "struct".to_owned() } else { format!("{element:?}") };
        let nullable = field.nullable.contains(version);
        let tag = (flexible && field.tagged.contains(version)).then_some(field.tag);
        let (entity, default) = (field.entity, field.default);
        lines.push(format!(
            "{path}: {}{name}, nullable {nullable}, tag {tag:?}, entity {entity:?}, default {default:?}",
            "[]".repeat(arrays)
        ));
        if let Type::Struct(own) = element {
            describe(own, version, flexible, &path, lines);
        }
    }
}

fn element(ty: &Type) -> (usize, &Type) {
    match ty {
        Type::Array(inner) => {
            let (arrays, element) = element(inner);
            (arrays + 1, element)
        }
        other => (0, other),
    }
}

/// The same of a whole message.
fn described(message: &Message, version: i16) -> Vec<String> {
    let flexible = message.flexible.contains(version);
    let mut lines = vec![format!("(flexible): {flexible}")];
    describe(message.fields, version, flexible, "", &mut lines);
    lines
}

/// The same in the words of the table, where it has that word at this version.
fn in_words_of(ours: &[String], message: &str, line: String) -> String {
    let Some((path, rest)) = line.split_once(": ") else { return line };
    let words = RENAMED.iter().filter(|(name, theirs, _)| *name == message && *theirs == path);
    let known = |word: &&str| ours.iter().any(|line| line.starts_with(&format!("{word}: ")));
    match words.map(|(_, _, word)| *word).find(known) {
        Some(word) => format!("{word}: {rest}"),
        None => line,
    }
}

/// One difference between a Kafka and the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    NoMessage,
    Name(&'static str),
    NoVersion(i16),
    /// At a version, which was unstable or not, this line of a description is only here (`Kafka`) or there (`table`).
    Field {
        version: i16,
        unstable: bool,
        whose: &'static str,
        line: String,
    },
    Order(i16),
}

type Found = BTreeSet<(&'static str, Difference)>;

/// The message of a table that one of a Kafka is.
pub(super) fn ours(theirs: &Message, table: &'static [Message]) -> Option<&'static Message> {
    table.iter().find(|ours| match theirs.kind {
        Kind::Data => ours.name == theirs.name,
        kind => (ours.kind, ours.key) == (kind, theirs.key),
    })
}

/// What the table says otherwise than `kafka`.
fn differences(kafka: &'static Kafka, table: &'static [Message]) -> Found {
    let mut found = Found::new();
    for theirs in kafka.messages() {
        let Some(ours) = ours(theirs, table) else {
            let _ = found.insert((theirs.name, Difference::NoMessage));
            continue;
        };
        if ours.name != theirs.name {
            let _ = found.insert((theirs.name, Difference::Name(ours.name)));
        }
        let unstable = kafka.unstable(theirs);
        for version in theirs.versions.min..=theirs.versions.max {
            found.extend(
                at_version(theirs, ours, version, unstable == Some(version)).into_iter().map(|d| (theirs.name, d)),
            );
        }
    }
    found
}

/// Whether a message has another layout in a Kafka than in the table, at the version that was unstable then.
pub(super) fn was_unstable(kafka: &'static Kafka, theirs: &Message, version: i16) -> bool {
    kafka.unstable(theirs) == Some(version) && UNSTABLE.iter().any(|(name, _)| *name == theirs.name)
}

fn at_version(theirs: &Message, ours: &Message, version: i16, unstable: bool) -> Vec<Difference> {
    if !ours.versions.contains(version) {
        return vec![Difference::NoVersion(version)];
    }
    let (ours, told) = (described(ours, version), described(theirs, version));
    let theirs: Vec<String> = told.into_iter().map(|line| in_words_of(&ours, theirs.name, line)).collect();
    let only = |whose, a: &[String], b: &[String]| -> Vec<Difference> {
        let lines = a.iter().filter(|line| !b.contains(line)).cloned();
        lines.map(|line| Difference::Field { version, unstable, whose, line }).collect()
    };
    let found = [only("table", &ours, &theirs), only("Kafka", &theirs, &ours)].concat();
    if found.is_empty() && ours != theirs { vec![Difference::Order(version)] } else { found }
}

/// The entry of a list above that accounts for a difference.
fn accounted(message: &str, difference: &Difference) -> Option<String> {
    let api = message.trim_end_matches("Request").trim_end_matches("Response");
    match difference {
        Difference::NoMessage if ELSEWHERE.iter().any(|(name, _)| *name == message) => {
            Some(format!("ELSEWHERE {message}"))
        }
        Difference::NoMessage => GONE.iter().find(|(name, _)| *name == api).map(|(name, _)| format!("GONE {name}")),
        Difference::Name(ours) => {
            let entry = RENAMED.iter().find(|entry| (entry.0, entry.1, entry.2) == (message, "", *ours));
            entry.map(|_| format!("RENAMED {message}  {ours}"))
        }
        Difference::NoVersion(version) => DROPPED
            .iter()
            .find(|(name, first, last)| *name == api && (*first..=*last).contains(version))
            .map(|_| format!("DROPPED {api} {version}")),
        Difference::Field { unstable: true, line, .. } => {
            let path = line.split(':').next().unwrap_or_default();
            UNSTABLE.contains(&(message, path)).then(|| format!("UNSTABLE {message} {path}"))
        }
        Difference::Field { .. } | Difference::Order(_) => None,
    }
}

/// Every entry of the lists, as [`accounted`] spells it; what a field's own name became is used by [`in_words_of`].
fn entries() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    all.extend(ELSEWHERE.iter().map(|(name, _)| format!("ELSEWHERE {name}")));
    all.extend(GONE.iter().map(|(name, _)| format!("GONE {name}")));
    all.extend(RENAMED.iter().filter(|e| e.1.is_empty()).map(|(name, _, ours)| format!("RENAMED {name}  {ours}")));
    all.extend(
        DROPPED.iter().flat_map(|(api, first, last)| (*first..=*last).map(move |v| format!("DROPPED {api} {v}"))),
    );
    all.extend(UNSTABLE.iter().map(|(name, path)| format!("UNSTABLE {name} {path}")));
    all
}

fn has_field(message: &Message, path: &str) -> bool {
    (message.versions.min..=message.versions.max).any(|version| {
        let mut lines = Vec::new();
        describe(message.fields, version, message.flexible.contains(version), "", &mut lines);
        lines.iter().any(|line| line.starts_with(&format!("{path}: ")))
    })
}

#[test]
fn the_table_describes_every_version_of_every_kafka() {
    let kafkas = kafkas::needed_by("the_table_describes_every_version_of_every_kafka");
    let (mut unaccounted, mut used) = (Vec::new(), BTreeSet::new());
    for kafka in kafkas {
        for (message, difference) in differences(kafka, MESSAGES) {
            match accounted(message, &difference) {
                Some(entry) => drop(used.insert(entry)),
                None => unaccounted.push(format!("Kafka {}: {message}: {difference:?}", kafka.version)),
            }
        }
    }
    assert!(unaccounted.is_empty(), "the table is not Kafka's:\n{}", unaccounted.join("\n"));
    if kafkas.is_empty() {
        return;
    }
    let spare: Vec<String> = entries().difference(&used).cloned().collect();
    assert!(spare.is_empty(), "no Kafka differs so any more, remove {spare:#?}");
    for (message, theirs, _) in RENAMED.iter().filter(|entry| !entry.1.is_empty()) {
        let known = |kafka: &'static Kafka| kafka.messages().any(|m| m.name == *message && has_field(m, theirs));
        assert!(kafkas.iter().any(known), "no Kafka has {message}.{theirs} any more, remove it");
    }
}

#[test]
fn the_newest_kafka_has_nothing_but_what_is_in_the_table() {
    let Some(newest) = kafkas::needed_by("the_newest_kafka_has_nothing_but_what_is_in_the_table").last() else {
        return;
    };
    for ours in MESSAGES {
        let theirs = newest.messages().find(|theirs| theirs.name == ours.name);
        let theirs = theirs.unwrap_or_else(|| panic!("the newest Kafka has no {}", ours.name));
        assert_eq!(
            (ours.versions, ours.flexible, ours.latest_unstable),
            (theirs.versions, theirs.flexible, theirs.latest_unstable),
            "{}",
            ours.name
        );
    }
}

/// The complaints about a table that holds `table`, where Kafka defines `kafka`.
fn complaints(table: &str, kafka: &str) -> Vec<String> {
    let table: Vec<Message> = Kafka::of(&[table]).messages().copied().collect();
    let found = differences(Kafka::of(&[kafka]), Vec::leak(table));
    found.into_iter().filter(|(name, d)| accounted(name, d).is_none()).map(|(_, d)| format!("{d:?}")).collect()
}

#[test]
fn whatever_the_table_says_otherwise_is_named() {
    let told = r#"{ "apiKey": 8, "type": "request", "name": "OffsetCommitRequest", "validVersions": "2-9", "flexibleVersions": "8+",
        "fields": [
            { "name": "GroupId", "type": "string", "versions": "0+", "entityType": "groupId" },
            { "name": "Reason", "type": "string", "versions": "8+", "nullableVersions": "8+", "taggedVersions": "8+", "tag": 0, "default": "null" },
            { "name": "Topics", "type": "[]Topic", "versions": "0+", "fields": [
                { "name": "Epoch", "type": "int32", "versions": "6+", "default": "-1" },
                { "name": "Offset", "type": "int32", "versions": "0+" }
            ]}
        ] }"#;
    assert_eq!(complaints(told, told), Vec::<String>::new());
    let changes = [
        (r#""[]Topic""#, r#""Topic""#, "Topics: struct"),
        (r#""type": "int32", "versions": "6+""#, r#""type": "int64", "versions": "6+""#, "Topics.Epoch: Int64"),
        (r#""versions": "6+""#, r#""versions": "7+""#, "version: 6"),
        (r#""nullableVersions": "8+", "#, "", "nullable false"),
        (r#""tag": 0"#, r#""tag": 1"#, "tag Some(1)"),
        (r#""taggedVersions": "8+", "tag": 0, "#, "", "tag None"),
        (r#", "entityType": "groupId""#, "", "entity None"),
        (r#""default": "-1""#, r#""default": "-2""#, "-2"),
        (r#""flexibleVersions": "8+""#, r#""flexibleVersions": "9+""#, "(flexible): false"),
        (r#""validVersions": "2-9""#, r#""validVersions": "2-10""#, "NoVersion(10)"),
        (r#""name": "Offset""#, r#""name": "At""#, "Topics.At"),
        (r#""apiKey": 8"#, r#""apiKey": 9"#, "NoMessage"),
        (
            r#""fields": [
            {"#,
            r#""fields": [ { "name": "New", "type": "bool", "versions": "9+" },
            {"#,
            "New: Bool",
        ),
    ];
    for (from, to, expected) in changes {
        assert!(told.contains(from), "{from}");
        let wrong = complaints(told, &told.replacen(from, to, 1)).join("\n");
        assert!(wrong.contains(expected), "{to} is told as: {wrong}");
    }
    // The same fields in another order are other bytes.
    let swapped = told.replace("Epoch", "E").replace("Offset", "Epoch").replace("\"E\"", "\"Offset\"");
    assert!(!complaints(told, &swapped).is_empty());
}

#[test]
fn a_field_that_the_table_forgets_is_named_whichever_it_is() {
    let Some(newest) = kafkas::needed_by("a_field_that_the_table_forgets_is_named_whichever_it_is").last() else {
        return;
    };
    let mut forgotten = 0;
    for (at, message) in MESSAGES.iter().enumerate() {
        for field in message.fields {
            let mut table = MESSAGES.to_vec();
            table[at].fields = Vec::leak(message.fields.iter().filter(|other| *other != field).copied().collect());
            let theirs = newest.messages().find(|theirs| theirs.name == message.name).unwrap();
            let wrong = (message.versions.min..=message.versions.max)
                .flat_map(|version| at_version(theirs, &table[at], version, false));
            let told = wrong.map(|difference| format!("{difference:?}")).collect::<String>();
            assert!(told.contains(&format!("{}: ", field.name)), "{}.{}: {told}", message.name, field.name);
            forgotten += 1;
        }
    }
    assert!(forgotten > 600, "only {forgotten} fields");
}
