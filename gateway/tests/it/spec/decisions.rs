//! Every field that can carry a name has a role or a reviewed reason for none, in every message of every Kafka.

use super::kafkas::{self, Kafka};
use super::table::{ELSEWHERE, GONE};
use gateway::apis::roles::{self, Decision};
use std::cell::RefCell;
use std::collections::BTreeMap;
use wire::plan::{Place, Plan};
use wire::schema::{Field, Message, Type};

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
