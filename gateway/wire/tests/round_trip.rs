//! Every message of the table at every version: random values are encoded, walked to their end, and come out as they went
//! in; with a role on every field a rewriting walk agrees with the value codec; damaged bytes never panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use wire::plan::{Plan, Role};
use wire::schema::{Field, MESSAGES, Message, Type};
use wire::segments::Segments;
use wire::value;
use wire::walk::{Action, KeepAll, Visitor, walk, walk_open, walk_prefix};

/// Every string is a topic, every uuid a topic id, and some numbers stand out as well: the plan with the most to look at.
fn all_roles(place: wire::plan::Place<'_>) -> Option<Role> {
    let mut ty = place.field.ty;
    while let Type::Array(inner) = ty {
        ty = *inner;
    }
    match ty {
        Type::String => Some(Role::Topic),
        Type::Uuid => Some(Role::TopicId),
        Type::Bytes => Some(Role::Assignment),
        Type::Int64 => Some(Role::VolumeBytes),
        Type::Bool => Some(Role::ReadOnly),
        _ => None,
    }
}

/// A small deterministic generator: what matters is that all shapes occur, not their distribution.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn any(dice: &mut Dice, fields: &'static [Field], version: i16) -> Value {
    let mut map = Map::new();
    for field in fields.iter().filter(|f| f.versions.contains(version)) {
        let nullable = field.nullable.contains(version);
        if nullable && dice.roll(5) == 0 {
            let _ = map.insert(field.name.to_owned(), Value::Null);
        } else {
            let _ = map.insert(field.name.to_owned(), one(dice, &field.ty, version));
        }
    }
    Value::Object(map)
}

fn one(dice: &mut Dice, ty: &'static Type, version: i16) -> Value {
    match ty {
        Type::Bool => json!(dice.roll(2) == 0),
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::Uint16 => json!(dice.roll(100)),
        Type::Float64 => json!(0.5),
        Type::Uuid => json!(value::uuid_text(&[u8::try_from(2 + dice.roll(250)).unwrap(); 16])),
        Type::String => json!("x".repeat(usize::try_from(1 + dice.roll(200)).unwrap())),
        Type::Bytes | Type::Records => json!("AAEC"),
        Type::Struct(fields) => any(dice, fields, version),
        Type::Array(element) => (0..dice.roll(4)).map(|_| one(dice, element, version)).collect(),
    }
}

fn each_version(mut check: impl FnMut(&'static Message, i16)) {
    for message in MESSAGES {
        for version in message.versions.min..=message.versions.max {
            check(message, version);
        }
    }
}

#[test]
fn a_walk_that_changes_nothing_gives_the_same_bytes() {
    let mut out = Segments::default();
    each_version(|message, version| {
        for plan in [Plan::compile(message, version, &|_| None), Plan::compile(message, version, &all_roles)] {
            for seed in 0..8 {
                let given = any(&mut Dice(seed), message.fields, version);
                let body = value::encode(message, version, &given).unwrap();
                out.clear(1024);
                walk(&plan, &body, &mut KeepAll, &mut out)
                    .unwrap_or_else(|e| panic!("{} {version}: {e} in {given}", message.name));
                assert_eq!(out.to_vec(&body), body, "{} {version}", message.name);
                assert_eq!(out.len(), body.len());
                assert!(value::decode(message, version, &body).is_ok());
            }
        }
    });
}

/// Puts `p.` before every topic, and drops elements and nullable structs whose topic is of even length.
struct Prefix {
    drop_even: bool,
    buffer: String,
}

impl Visitor for Prefix {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: wire::walk::Value<'_>) -> Result<Action<'_>, Infallible> {
        Ok(match (role, value) {
            (Role::Topic, wire::walk::Value::Str(Some(name))) if self.drop_even && name.len() % 2 == 0 => Action::Drop,
            (Role::Topic, wire::walk::Value::Str(Some(name))) => {
                self.buffer = format!("p.{name}");
                Action::Str(&self.buffer)
            }
            (Role::TopicId, wire::walk::Value::Uuid(id)) => Action::Uuid(id.map(|b| b ^ 1)),
            (Role::Assignment, wire::walk::Value::Bytes(Some(_))) => Action::Bytes(b"longer than before"),
            (Role::VolumeBytes, wire::walk::Value::Long(n)) => Action::Long(n * -3),
            (Role::ReadOnly, wire::walk::Value::Int(_)) => Action::Int(0),
            _ => Action::Keep,
        })
    }
}

/// The same change on the decoded value; `None` where the element is dropped.
fn rename(fields: &'static [Field], version: i16, value: &Value) -> Option<Value> {
    let mut map = value.as_object().unwrap().clone();
    for field in fields.iter().filter(|f| f.versions.contains(version)) {
        if let Some(inner) = map.get_mut(field.name) {
            let nullable = matches!(field.ty, Type::Struct(_)) && field.nullable.contains(version);
            *inner = match rename_one(&field.ty, version, inner) {
                None if nullable => Value::Null,
                renamed => renamed?,
            };
        }
    }
    Some(Value::Object(map))
}

fn rename_one(ty: &'static Type, version: i16, value: &Value) -> Option<Value> {
    Some(match (ty, value) {
        (_, Value::Null) => Value::Null,
        (Type::String, Value::String(s)) if s.len() % 2 == 0 => return None,
        (Type::String, Value::String(s)) => json!(format!("p.{s}")),
        (Type::Uuid, Value::String(s)) => json!(value::uuid_text(&value::uuid_from_text(s).unwrap().map(|b| b ^ 1))),
        (Type::Bytes, _) => json!("bG9uZ2VyIHRoYW4gYmVmb3Jl"),
        (Type::Int64, Value::Number(n)) => json!(n.as_i64().unwrap() * -3),
        (Type::Bool, _) => json!(false),
        (Type::Struct(fields), inner) => rename(fields, version, inner)?,
        (Type::Array(element), Value::Array(list)) => {
            list.iter().filter_map(|item| rename_one(element, version, item)).collect()
        }
        (_, other) => other.clone(),
    })
}

#[test]
fn a_rewriting_walk_agrees_with_the_value_codec() {
    let mut out = Segments::default();
    let mut compared = 0;
    each_version(|message, version| {
        let plan = Plan::compile(message, version, &all_roles);
        for seed in 100..116 {
            let given = any(&mut Dice(seed), message.fields, version);
            let body = value::encode(message, version, &given).unwrap();
            out.clear(1024);
            let walked = walk(&plan, &body, &mut Prefix { drop_even: true, buffer: String::new() }, &mut out);
            // A drop outside of every array is refused by the walker; there is nothing to compare then.
            let Some(expected) = rename(message.fields, version, &given) else {
                assert!(walked.is_err(), "{} {version}", message.name);
                continue;
            };
            walked.unwrap_or_else(|e| panic!("{} {version}: {e} in {given}", message.name));
            let bytes = out.to_vec(&body);
            // A tagged array whose elements were all dropped is there and empty; the codec leaves it out. Compare the values.
            let canonical = value::encode(message, version, &value::decode(message, version, &bytes).unwrap()).unwrap();
            let expected = value::encode(message, version, &expected).unwrap();
            assert!(canonical == expected, "{} {version} seed {seed}: {given}", message.name);
            assert_eq!(out.len(), bytes.len());
            compared += 1;
        }
    });
    assert!(compared > 2000, "only {compared} messages had something to compare");
}

#[test]
fn unknown_tagged_fields_survive_a_rewrite() {
    let message = Message::named("MetadataRequest").unwrap();
    let given = json!({"Topics": [{"Name": "odd", "_tags": {"77": "AAEC"}}], "_tags": {"99": "AwQ="}});
    let body = value::encode(message, 12, &given).unwrap();
    let mut out = Segments::default();
    let plan = Plan::compile(message, 12, &all_roles);
    walk(&plan, &body, &mut Prefix { drop_even: false, buffer: String::new() }, &mut out).unwrap();
    let back = value::decode(message, 12, &out.to_vec(&body)).unwrap();
    assert_eq!(back["Topics"][0]["Name"], "p.odd");
    assert_eq!(back["Topics"][0]["_tags"]["77"], "AAEC");
    assert_eq!(back["_tags"]["99"], "AwQ=");
}

#[test]
fn bytes_behind_the_last_field_are_refused_left_out_or_kept_as_asked() {
    let plan = Plan::compile(Message::named("MetadataRequest").unwrap(), 13, &all_roles);
    // All topics, as librdkafka 2.16 asks for them.
    let body = [0, 0, 0, 0, 1, 0, 0];
    assert!(walk(&plan, &body, &mut KeepAll, &mut Segments::default()).is_err());
    let mut out = Segments::default();
    assert_eq!(walk_prefix(&plan, &body, &mut KeepAll, &mut out), Ok(4));
    assert_eq!(out.to_vec(&body), [0, 0, 0, 0]);
    let mut out = Segments::default();
    walk_open(&plan, &body, &mut KeepAll, &mut out).unwrap();
    assert_eq!(out.to_vec(&body), body);
}

#[test]
fn every_truncation_of_a_message_is_refused() {
    each_version(|message, version| {
        let body = value::encode(message, version, &any(&mut Dice(3), message.fields, version)).unwrap();
        let plan = Plan::compile(message, version, &all_roles);
        for end in 0..body.len().min(300) {
            assert!(
                walk(&plan, &body[..end], &mut KeepAll, &mut Segments::default()).is_err(),
                "{} {version}",
                message.name
            );
        }
    });
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic_and_never_grow(index in 0..MESSAGES.len(), seed: u64, at: prop::sample::Index, byte: u8) {
        let message = &MESSAGES[index];
        for version in message.versions.min..=message.versions.max {
            let mut body = value::encode(message, version, &any(&mut Dice(seed), message.fields, version)).unwrap();
            if body.is_empty() { continue; }
            let at = at.index(body.len());
            body[at] = byte;
            let mut out = Segments::default();
            let plan = Plan::compile(message, version, &all_roles);
            if walk(&plan, &body, &mut KeepAll, &mut out).is_ok() {
                // Lengths may be written in more bytes than they need; they come out in the fewest.
                prop_assert!(out.len() <= body.len());
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(index in 0..MESSAGES.len(), body: Vec<u8>) {
        let message = &MESSAGES[index];
        for version in message.versions.min..=message.versions.max {
            let plan = Plan::compile(message, version, &all_roles);
            let _ = walk(&plan, &body, &mut KeepAll, &mut Segments::default());
        }
    }
}
