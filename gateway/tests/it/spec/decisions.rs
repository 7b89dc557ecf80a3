//! Every field that can carry a name has a role or a reviewed reason for none, in every message of every Kafka.

use super::kafkas::{self, Kafka};
use super::table::{ELSEWHERE, GONE};
use gateway::apis::roles::{self, Decision};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use wire::plan::{Place, Plan};
use wire::schema::{Field, MESSAGES, Message, Type};

/// What was decided about the fields of one Kafka: by message and path.
#[derive(Default)]
pub(super) struct Decided {
    /// All fields that are no structs.
    pub(super) fields: BTreeMap<(&'static str, String), Option<Decision>>,
    /// Those without a decision that need one.
    pub(super) missing: Vec<String>,
}

impl Decided {
    /// How many fields have a role.
    pub(super) fn roles(&self) -> usize {
        self.fields.values().filter(|decision| matches!(decision, Some(Decision::Role(_)))).count()
    }
}

/// Fields that left Kafka with their versions, or have another name now; the table has no such field.
const LEFT: &[&str] = &[
    "AlterPartitionRequest.Topics.TopicName",
    "AlterPartitionResponse.Topics.TopicName",
    "ListClientMetricsResourcesResponse.ClientMetricsResources.Name",
    "VoteRequest.Topics.Partitions.CandidateDirectoryId",
    "VoteRequest.Topics.Partitions.CandidateId",
];

/// Whether a field can carry a name, or is said to name something.
fn names(field: &Field) -> bool {
    let mut ty = &field.ty;
    while let Type::Array(element) = ty {
        ty = element;
    }
    field.entity.is_some() || matches!(ty, Type::String | Type::Bytes | Type::Records | Type::Uuid)
}

/// Whether the roles have to cover a message: not what no client sends or gets.
fn covered(message: &Message) -> bool {
    !ELSEWHERE.iter().any(|(name, _)| *name == message.name) && !GONE.iter().any(|(_, key)| *key == message.key)
}

/// What `decide` says of each field of a Kafka.
pub(super) fn decided(kafka: &'static Kafka, decide: &dyn Fn(Place<'_>) -> Option<Decision>) -> Decided {
    let found = RefCell::new(Decided::default());
    for message in kafka.messages().filter(|message| covered(message)) {
        for version in message.versions.min..=message.versions.max {
            let _ = Plan::compile(message, version, &|place| {
                let (decision, mut found) = (decide(place), found.borrow_mut());
                if decision.is_none() && names(place.field) {
                    let (kafka, name, path) = (&kafka.version, message.name, place.path);
                    found.missing.push(format!("Kafka {kafka}: {name}.{path} at version {version}"));
                }
                let _ = found.fields.insert((message.name, place.path.to_owned()), decision);
                None
            });
        }
    }
    found.into_inner()
}

#[test]
fn every_field_that_can_carry_a_name_has_a_role_or_a_reason_for_none() {
    for kafka in kafkas::needed_by("every_field_that_can_carry_a_name_has_a_role_or_a_reason_for_none") {
        let decided = decided(kafka, &roles::decide);
        assert!(decided.missing.is_empty(), "no decision about\n{}", decided.missing.join("\n"));
        assert!(decided.roles() > 300, "only {} fields have a role", decided.roles());
    }
}

/// The decisions about all fields that have one, each a line.
fn told(
    messages: impl Iterator<Item = &'static Message>,
    decide: &dyn Fn(Place<'_>) -> Option<Decision>,
) -> BTreeSet<String> {
    let found = RefCell::new(BTreeSet::new());
    for message in messages {
        for version in message.versions.min..=message.versions.max {
            let _ = Plan::compile(message, version, &|place| {
                let said = decide(place).map(|decision| match decision {
                    Decision::Role(role) => format!("{role:?}"),
                    Decision::None(reason) => format!("- ({reason})"),
                });
                found.borrow_mut().extend(said.map(|said| format!("{}.{} {said}", message.name, place.path)));
                None
            });
        }
    }
    found.into_inner()
}

/// The decisions that were reviewed.
fn reviewed() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/field_roles.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let lines: Vec<String> = told(MESSAGES.iter(), &roles::decide).into_iter().collect();
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Roles and reasons go by the names of fields, so that a new field may come by one that was not meant for it.
#[test]
fn every_decision_was_reviewed() {
    let (reviewed, told) = (reviewed(), told(MESSAGES.iter(), &roles::decide));
    let (new, gone): (Vec<_>, Vec<_>) = (told.difference(&reviewed).collect(), reviewed.difference(&told).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "to be reviewed: {new:#?}\nno longer so: {gone:#?}\nUPDATE_SNAPSHOTS=1 takes it over"
    );
}

#[test]
fn no_kafka_has_a_field_that_is_decided_otherwise() {
    let (reviewed, mut left) = (reviewed(), BTreeSet::new());
    let kafkas = kafkas::needed_by("no_kafka_has_a_field_that_is_decided_otherwise");
    for kafka in kafkas {
        let told = told(kafka.messages().filter(|message| covered(message)), &roles::decide);
        left.extend(told.difference(&reviewed).filter_map(|line| line.split(' ').next()).map(str::to_owned));
    }
    let left: Vec<&str> = left.iter().map(String::as_str).collect();
    assert!(kafkas.is_empty() || left == LEFT, "only {LEFT:#?} left Kafka, not {left:#?}");
}

#[test]
fn a_field_that_nobody_thought_of_is_named() {
    let kafka = Kafka::of(&[r#"{
        "apiKey": 3, "type": "request", "name": "MetadataRequest", "validVersions": "0-99", "flexibleVersions": "9+",
        "fields": [{ "name": "Topics", "type": "[]MetadataRequestTopic", "versions": "0+", "fields": [
            { "name": "Name", "type": "string", "versions": "0+", "entityType": "topicName" },
            { "name": "ArchiveOf", "type": "string", "versions": "99+" } // from another cluster
        ]}]
    }"#]);
    let decided = decided(kafka, &roles::decide);
    assert_eq!(decided.missing, ["Kafka of a test: MetadataRequest.Topics.ArchiveOf at version 99"]);
    assert_eq!((decided.fields.len(), decided.roles()), (2, 1));
}

/// `Name` has a reason that was not meant for this one.
#[test]
fn a_field_with_the_name_of_another_is_named() {
    let kafka = Kafka::of(&[r#"{
        "apiKey": 18, "type": "request", "name": "ApiVersionsRequest", "validVersions": "0-99", "flexibleVersions": "3+",
        "fields": [{ "name": "Name", "type": "string", "versions": "99+" }]
    }"#]);
    assert!(decided(kafka, &roles::decide).missing.is_empty());
    let told = told(kafka.messages(), &roles::decide);
    assert!(told.len() == 1 && told.is_disjoint(&reviewed()), "{told:?}");
}

#[test]
fn a_role_that_was_forgotten_is_named() {
    let Some(kafka) = kafkas::needed_by("a_role_that_was_forgotten_is_named").last() else { return };
    let forgetful = |place: Place<'_>| {
        let forgotten = place.message.name == "OffsetDeleteRequest" && place.path == "Topics.Name";
        if forgotten { None } else { roles::decide(place) }
    };
    let missing = decided(kafka, &forgetful).missing;
    assert_eq!(missing, [format!("Kafka {}: OffsetDeleteRequest.Topics.Name at version 0", kafka.version)]);
}
