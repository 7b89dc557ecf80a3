//! Messages as values: filled by the definitions, with one field changed, with the element around a field left out.
//!
//! A path names a field through the arrays and structs around it. Arrays are filled with two elements, and what is done at a
//! path is done in the last of each, so that the first tells whether anything else changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use wire::plan::{Place, Plan, Role};
use wire::schema::{Field, Message, Type};
use wire::value;

/// A field with a role.
pub(super) struct Leaf {
    pub(super) path: String,
    pub(super) role: Role,
    pub(super) nullable: bool,
}

impl Leaf {
    /// The path of the struct around it; empty for the message.
    pub(super) fn parent(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(parent, _)| parent)
    }
}

/// The fields with a role of a message at a version, in order.
pub(super) fn leaves(
    message: &'static Message,
    version: i16,
    role_of: &dyn Fn(Place<'_>) -> Option<Role>,
) -> Vec<Leaf> {
    let found = RefCell::new(Vec::new());
    let _ = Plan::compile(message, version, &|place| {
        // What can be null is the array, not what stands in it.
        let array = matches!(place.field.ty, Type::Array(_));
        let (path, nullable) = (place.path.to_owned(), !array && place.field.nullable.contains(version));
        found.borrow_mut().extend(role_of(place).map(|role| Leaf { path, role, nullable }));
        None
    });
    found.into_inner()
}

/// A message with every field set: by `of` where it has something to say, else to what means nothing.
pub(super) fn filled(message: &'static Message, version: i16, of: &dyn Fn(Place<'_>) -> Option<Value>) -> Value {
    Filler { message, version, of }.fields(message.fields, "")
}

struct Filler<'a> {
    message: &'static Message,
    version: i16,
    of: &'a dyn Fn(Place<'_>) -> Option<Value>,
}

impl Filler<'_> {
    fn fields(&self, fields: &'static [Field], path: &str) -> Value {
        let mut map = Map::new();
        for field in fields.iter().filter(|field| field.versions.contains(self.version)) {
            let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            let _ = map.insert(field.name.to_owned(), self.one(field, &field.ty, &path));
        }
        Value::Object(map)
    }

    fn one(&self, field: &'static Field, ty: &'static Type, path: &str) -> Value {
        match ty {
            Type::Array(element) => {
                let element = self.one(field, element, path);
                json!([element, element])
            }
            Type::Struct(fields) => self.fields(fields, path),
            scalar => (self.of)(Place { message: self.message, path, field }).unwrap_or_else(|| nothing(*scalar)),
        }
    }
}

fn nothing(ty: Type) -> Value {
    match ty {
        Type::Bool => json!(false),
        Type::Float64 => json!(0.5),
        Type::Uuid => json!(value::uuid_text(&[7; 16])),
        Type::String => json!("word"),
        Type::Bytes | Type::Records => json!(STANDARD.encode(b"bytes")),
        _ => json!(1),
    }
}

/// What is unlike every default, for [`filled`].
pub(super) fn words(place: Place<'_>, version: i16) -> Option<Value> {
    Some(match place.field.ty {
        Type::Array(Type::String) | Type::String => json!(format!("é€ {} {version}", place.path)),
        Type::Int64 => json!(-5_000_000_000_i64),
        Type::Uint16 => json!(40_000),
        Type::Bool => json!(true),
        _ => return None,
    })
}

/// The same with everything null that can be.
pub(super) fn with_nulls(fields: &'static [Field], version: i16, given: &Value) -> Value {
    let Value::Object(map) = given else { return given.clone() };
    let mut map = map.clone();
    for field in fields.iter().filter(|field| field.versions.contains(version)) {
        let Some(inner) = map.get_mut(field.name) else { continue };
        if field.nullable.contains(version) {
            *inner = Value::Null;
            continue;
        }
        match (&field.ty, inner) {
            (Type::Struct(own), inner) => *inner = with_nulls(own, version, inner),
            (Type::Array(Type::Struct(own)), Value::Array(list)) => {
                list.iter_mut().for_each(|element| *element = with_nulls(own, version, element));
            }
            _ => {}
        }
    }
    Value::Object(map)
}

/// The same with a tagged field that nobody knows in every struct.
pub(super) fn with_tags(fields: &'static [Field], given: &Value) -> Value {
    let Value::Object(map) = given else { return given.clone() };
    let mut map = map.clone();
    for field in fields {
        match (&field.ty, map.get_mut(field.name)) {
            (Type::Struct(own), Some(inner)) if !inner.is_null() => *inner = with_tags(own, inner),
            (Type::Array(Type::Struct(own)), Some(Value::Array(list))) => {
                list.iter_mut().for_each(|element| *element = with_tags(own, element));
            }
            _ => {}
        }
    }
    let _ = map.insert("_tags".to_owned(), json!({ "10007": "AAEC", "70000": "" }));
    Value::Object(map)
}

/// Sets the field at a path.
pub(super) fn set(root: &mut Value, path: &str, to: Value) {
    let mut at = root;
    for name in path.split('.') {
        at = last(&mut at[name]);
    }
    *at = to;
}

/// The field at a path, if all around it is there.
pub(super) fn get<'v>(root: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(root, |at, name| match at.get(name)? {
        Value::Array(list) => list.last(),
        other => Some(other),
    })
}

fn last(value: &mut Value) -> &mut Value {
    match value {
        Value::Array(list) => list.last_mut().unwrap(),
        other => other,
    }
}

/// Takes out the array element nearest around a field, or makes the struct null that is nearer and can be; `false` where
/// there is neither.
pub(super) fn drop_around(message: &Message, version: i16, root: &mut Value, path: &str) -> bool {
    let names: Vec<&str> = path.split('.').collect();
    let nearest = (0..names.len()).rev().find_map(|end| {
        let field = field_at(message, &names[..=end]);
        let null = matches!(field.ty, Type::Struct(_)) && field.nullable.contains(version);
        (null || matches!(field.ty, Type::Array(_))).then_some((end, null))
    });
    let Some((end, null)) = nearest else { return false };
    let mut at = root;
    for name in &names[..end] {
        at = last(&mut at[*name]);
    }
    let around = &mut at[names[end]];
    if null {
        *around = Value::Null;
    } else if let Value::Array(list) = around {
        let _ = list.pop();
    }
    true
}

fn field_at(message: &Message, names: &[&str]) -> &'static Field {
    let mut fields = message.fields;
    let mut found = None;
    for name in names {
        let field = fields.iter().find(|field| field.name == *name).unwrap();
        found = Some(field);
        let mut ty = &field.ty;
        while let Type::Array(element) = ty {
            ty = element;
        }
        if let Type::Struct(own) = ty {
            fields = own;
        }
    }
    found.unwrap()
}
