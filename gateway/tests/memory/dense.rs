//! Frames with as many elements as fit: for each array of a message one, and the smallest elements that it can have.

use serde_json::{Map, Value, json};
use wire::read::put_varint;
use wire::schema::{Field, Message, Type};
use wire::value;

/// What the elements look like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Elements {
    /// Every field has its default: a byte or two each.
    Empty,
    /// Names of one letter, which grow the most in proportion.
    Short,
    /// Names that are too long to be copied: each is a piece of its own.
    Long,
    /// In every array within stands one empty element.
    Nested,
}

pub(crate) const KINDS: [Elements; 4] = [Elements::Empty, Elements::Short, Elements::Long, Elements::Nested];

/// One dense message for each array of `message`, about `length` bytes long, with the array's name.
pub(crate) fn bodies(
    message: &'static Message,
    version: i16,
    kind: Elements,
    length: usize,
) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut paths = Vec::new();
    arrays(message.fields, version, &mut Vec::new(), &mut paths);
    paths.into_iter().map(move |path| {
        let name = path.iter().map(|field| field.name).collect::<Vec<_>>().join(".");
        (name, body(message, version, kind, &path, length))
    })
}

/// A message that says nothing, with as many tagged fields behind it as fit and nobody knows.
pub(crate) fn tags(message: &'static Message, version: i16, length: usize) -> Option<Vec<u8>> {
    let said = Value::Object(defaults(message.fields, version));
    let mut body = value::encode(message, version, &said).unwrap();
    // None, it says at its end.
    (message.flexible.contains(version) && body.pop() == Some(0)).then(|| {
        let count = u32::try_from(length / 4).unwrap();
        put_varint(&mut body, count);
        for tag in 100..100 + count {
            put_varint(&mut body, tag);
            put_varint(&mut body, 0);
        }
        body
    })
}

/// The arrays below `fields`, each as the way to it.
fn arrays(fields: &'static [Field], version: i16, way: &mut Vec<&'static Field>, found: &mut Vec<Vec<&'static Field>>) {
    for field in fields.iter().filter(|f| f.versions.contains(version)) {
        way.push(field);
        let mut ty = field.ty;
        if let Type::Array(element) = ty {
            found.push(way.clone());
            ty = *element;
        }
        if let Type::Struct(inner) = ty {
            arrays(inner, version, way, found);
        }
        let _ = way.pop();
    }
}

/// The elements are repeated as bytes: three are encoded, and the difference to two is one.
fn body(message: &'static Message, version: i16, kind: Elements, way: &[&'static Field], length: usize) -> Vec<u8> {
    let with =
        |count: usize| value::encode(message, version, &around(message.fields, version, kind, way, count)).unwrap();
    let (two, three) = (with(2), with(3));
    let element = three.len() - two.len();
    if way[0].tagged.contains(version) || way.iter().any(|field| field.tagged.contains(version)) {
        // The size before a tagged field counts with it.
        return with(length / 10 / element.max(1));
    }
    let at = two.iter().zip(&three).position(|(a, b)| a != b).unwrap();
    let count = length / element;
    let mut out = Vec::with_capacity(length + two.len());
    if message.flexible.contains(version) {
        out.extend_from_slice(&three[..at]);
        put_varint(&mut out, u32::try_from(count + 1).unwrap());
    } else {
        out.extend_from_slice(&three[..at - 3]);
        out.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
    }
    (0..count).for_each(|_| out.extend_from_slice(&three[at + 1..at + 1 + element]));
    out.extend_from_slice(&three[at + 1 + 3 * element..]);
    out
}

/// A message in which the array at the end of `way` has `count` elements.
fn around(fields: &[Field], version: i16, kind: Elements, way: &[&'static Field], count: usize) -> Value {
    let mut map = defaults(fields, version);
    let (field, further) = way.split_first().unwrap();
    let value = match (&field.ty, further.is_empty()) {
        (Type::Array(element), true) => (0..count).map(|_| one(element, version, kind)).collect(),
        (Type::Array(Type::Struct(inner)), false) => json!([around(inner, version, kind, further, count)]),
        (Type::Struct(inner), _) => around(inner, version, kind, further, count),
        other => panic!("{other:?} is on the way to an array"),
    };
    let _ = map.insert(field.name.to_owned(), value);
    Value::Object(map)
}

/// What has to be said so that a struct that can be null is left out.
fn defaults(fields: &[Field], version: i16) -> Map<String, Value> {
    let nulls = fields
        .iter()
        .filter(|f| f.versions.contains(version) && f.nullable.contains(version) && matches!(f.ty, Type::Struct(_)));
    nulls.map(|f| (f.name.to_owned(), Value::Null)).collect()
}

fn one(ty: &'static Type, version: i16, kind: Elements) -> Value {
    match (ty, kind) {
        (Type::Struct(fields), _) => {
            let mut map = defaults(fields, version);
            for field in fields.iter().filter(|f| f.versions.contains(version) && !f.tagged.contains(version)) {
                if let Some(value) = filled(field, version, kind) {
                    let _ = map.insert(field.name.to_owned(), value);
                }
            }
            Value::Object(map)
        }
        (Type::String, Elements::Short) => json!("x"),
        (Type::String, Elements::Long) => json!("x".repeat(60)),
        (Type::String | Type::Bytes | Type::Records, _) => json!(""),
        (Type::Uuid, _) => json!(value::uuid_text(&[0x77; 16])),
        (Type::Bool, _) => json!(false),
        _ => json!(1),
    }
}

fn filled(field: &'static Field, version: i16, kind: Elements) -> Option<Value> {
    match (&field.ty, kind) {
        (Type::String | Type::Uuid | Type::Int32, Elements::Short | Elements::Long) => {
            Some(one(&field.ty, version, kind))
        }
        (Type::Bytes | Type::Records, Elements::Long) => Some(json!("A".repeat(80))),
        (Type::Array(element), Elements::Nested) => Some(json!([one(element, version, kind)])),
        _ => None,
    }
}
