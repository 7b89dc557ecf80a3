//! A message as a JSON value and back, by the schema table: for answers that are made here, for tests as data, for a wire
//! driver. Not for the hot path.
//!
//! Structs are objects with the field names of Kafka's definitions, uuids are 22 characters of URL-safe base64 as Kafka
//! prints them, bytes and records are base64. A field that is left out has its default. Unknown tagged fields are kept
//! under `_tags`.

use crate::read::{Cursor, Malformed, put_varint};
use crate::schema::{Field, Message, Type};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Number, Value, json};

const TAGS: &str = "_tags";

/// Why a value is not the message that it should be.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The bytes are not the message.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The value does not fit the field.
    #[error("{path}: expected {expected}, got {got}")]
    Kind {
        /// The field's path.
        path: String,
        /// What the definitions want.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// The message holds more values than were to be decoded.
    #[error("more than {most} values")]
    TooMany {
        /// How many were allowed.
        most: usize,
    },
    /// The message has no such field at this version.
    #[error("{path}: no such field at version {version}")]
    Unknown {
        /// The field's path.
        path: String,
        /// The version.
        version: i16,
    },
}

/// Decodes the body of `message` at `version`.
///
/// # Errors
/// [`ValueError::Malformed`]
pub fn decode(message: &'static Message, version: i16, body: &[u8]) -> Result<Value, ValueError> {
    decode_at_most(message, version, body, usize::MAX)
}

/// As [`decode`], for bytes of strangers: a value takes some hundred bytes of memory, also where it took one in the frame.
///
/// # Errors
/// [`ValueError::Malformed`], and [`ValueError::TooMany`] as soon as there are more than `most` values.
pub fn decode_at_most(message: &'static Message, version: i16, body: &[u8], most: usize) -> Result<Value, ValueError> {
    let flexible = message.flexible.contains(version);
    let mut decoder = Decoder { version, flexible, cursor: Cursor::new(body), values: 0, most };
    let value = decoder.fields(message.fields)?;
    match decoder.cursor.left() {
        0 => Ok(value),
        left => Err(Malformed::Trailing { at: decoder.cursor.at(), left }.into()),
    }
}

/// Encodes `value` as the body of `message` at `version`.
///
/// # Errors
/// [`ValueError::Kind`] and [`ValueError::Unknown`], with the field's path.
pub fn encode(message: &'static Message, version: i16, value: &Value) -> Result<Vec<u8>, ValueError> {
    let mut encoder =
        Encoder { version, flexible: message.flexible.contains(version), path: vec![message.name], out: Vec::new() };
    encoder.fields(message.fields, value)?;
    Ok(encoder.out)
}

/// An id as Kafka prints it.
pub fn uuid_text(id: &[u8; 16]) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// Reads an id that Kafka printed.
pub fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

struct Decoder<'a> {
    version: i16,
    flexible: bool,
    cursor: Cursor<'a>,
    values: usize,
    most: usize,
}

impl Decoder<'_> {
    fn count_value(&mut self) -> Result<(), ValueError> {
        self.values += 1;
        if self.values > self.most { Err(ValueError::TooMany { most: self.most }) } else { Ok(()) }
    }

    fn fields(&mut self, fields: &'static [Field]) -> Result<Value, ValueError> {
        let mut map = Map::new();
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|f| f.versions.contains(version)) {
            if self.flexible && field.tagged.contains(version) {
                tagged.push(field);
            } else {
                let value = self.one(&field.ty, field.nullable.contains(self.version))?;
                let _ = map.insert(field.name.to_owned(), value);
            }
        }
        if self.flexible {
            self.tags(&tagged, &mut map)?;
        }
        Ok(Value::Object(map))
    }

    fn tags(&mut self, known: &[&'static Field], map: &mut Map<String, Value>) -> Result<(), ValueError> {
        let mut unknown = Map::new();
        for _ in 0..self.cursor.varint()? {
            let (tag, size) = (self.cursor.varint()?, self.cursor.varint()? as usize);
            if let Some(field) = known.iter().find(|f| f.tag == tag) {
                let value = self.one(&field.ty, field.nullable.contains(self.version))?;
                let _ = map.insert(field.name.to_owned(), value);
            } else {
                self.count_value()?;
                let _ = unknown.insert(tag.to_string(), Value::String(STANDARD.encode(self.cursor.take(size)?)));
            }
        }
        if !unknown.is_empty() {
            let _ = map.insert(TAGS.to_owned(), Value::Object(unknown));
        }
        Ok(())
    }

    fn one(&mut self, ty: &'static Type, nullable: bool) -> Result<Value, ValueError> {
        self.count_value()?;
        let flexible = self.flexible;
        Ok(match ty {
            Type::Bool => Value::Bool(self.cursor.i8()? != 0),
            Type::Int8 => json!(self.cursor.i8()?),
            Type::Int16 => json!(self.cursor.i16()?),
            Type::Uint16 => json!(self.cursor.i16()?.cast_unsigned()),
            Type::Int32 => json!(self.cursor.i32()?),
            Type::Int64 => json!(self.cursor.i64()?),
            Type::Float64 => json!(f64::from_bits(self.cursor.i64()?.cast_unsigned())),
            Type::Uuid => Value::String(uuid_text(&self.cursor.uuid()?)),
            Type::String => match self.cursor.length(flexible, true, nullable)? {
                Some(n) => {
                    let at = self.cursor.at();
                    let text = std::str::from_utf8(self.cursor.take(n)?).map_err(|_| Malformed::Utf8 { at })?;
                    Value::String(text.to_owned())
                }
                None => Value::Null,
            },
            Type::Bytes | Type::Records => match self.cursor.length(flexible, false, nullable)? {
                Some(n) => Value::String(STANDARD.encode(self.cursor.take(n)?)),
                None => Value::Null,
            },
            Type::Struct(_) if nullable && self.cursor.i8()? < 0 => Value::Null,
            Type::Struct(fields) => self.fields(fields)?,
            Type::Array(element) => match self.cursor.count(flexible, nullable, 1)? {
                Some(n) => Value::Array((0..n).map(|_| self.one(element, false)).collect::<Result<_, _>>()?),
                None => Value::Null,
            },
        })
    }
}

struct Encoder {
    version: i16,
    flexible: bool,
    path: Vec<&'static str>,
    out: Vec<u8>,
}

impl Encoder {
    fn fields(&mut self, fields: &'static [Field], value: &Value) -> Result<(), ValueError> {
        let map = match value {
            Value::Object(map) => map,
            other => return self.kind("an object", other),
        };
        let version = self.version;
        let present = |f: &&Field| f.versions.contains(version);
        if let Some(name) = map.keys().find(|k| *k != TAGS && !fields.iter().filter(present).any(|f| f.name == **k)) {
            let path = format!("{}.{name}", self.path.join("."));
            return Err(ValueError::Unknown { path, version: self.version });
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(present) {
            let given = map.get(field.name);
            self.path.push(field.name);
            if self.flexible && field.tagged.contains(self.version) {
                if let Some(given) = given.filter(|g| **g != self.default(field)) {
                    let before = std::mem::take(&mut self.out);
                    self.one(&field.ty, field.nullable.contains(self.version), given)?;
                    tagged.push((field.tag, std::mem::replace(&mut self.out, before)));
                }
            } else {
                let default;
                let given = if let Some(given) = given {
                    given
                } else {
                    default = self.default(field);
                    &default
                };
                self.one(&field.ty, field.nullable.contains(self.version), given)?;
            }
            let _ = self.path.pop();
        }
        if self.flexible {
            self.tags(tagged, map)?;
        }
        Ok(())
    }

    fn tags(&mut self, mut tagged: Vec<(u32, Vec<u8>)>, map: &Map<String, Value>) -> Result<(), ValueError> {
        for (tag, bytes) in map.get(TAGS).and_then(Value::as_object).into_iter().flatten() {
            match (tag.parse(), bytes.as_str().map(|b| STANDARD.decode(b))) {
                (Ok(tag), Some(Ok(bytes))) => tagged.push((tag, bytes)),
                _ => return self.kind("a tag number and base64", bytes),
            }
        }
        tagged.sort_by_key(|(tag, _)| *tag);
        self.varint(tagged.len());
        for (tag, bytes) in tagged {
            put_varint(&mut self.out, tag);
            self.varint(bytes.len());
            self.out.extend_from_slice(&bytes);
        }
        Ok(())
    }

    fn one(&mut self, ty: &'static Type, nullable: bool, value: &Value) -> Result<(), ValueError> {
        if let (Type::String | Type::Bytes | Type::Records | Type::Array(_), Value::Null) = (ty, value) {
            if !nullable {
                return self.kind("a value (null is not allowed)", value);
            }
            match ty {
                _ if self.flexible => self.out.push(0),
                Type::String => self.out.extend_from_slice(&(-1i16).to_be_bytes()),
                _ => self.out.extend_from_slice(&(-1i32).to_be_bytes()),
            }
            return Ok(());
        }
        match ty {
            Type::Bool => match value {
                Value::Bool(b) => self.out.push((*b).into()),
                other => return self.kind("true or false", other),
            },
            Type::Int8 => self.int::<i8>(value, |out, n| out.extend_from_slice(&n.to_be_bytes()))?,
            Type::Int16 => self.int::<i16>(value, |out, n| out.extend_from_slice(&n.to_be_bytes()))?,
            Type::Uint16 => self.int::<u16>(value, |out, n| out.extend_from_slice(&n.to_be_bytes()))?,
            Type::Int32 => self.int::<i32>(value, |out, n| out.extend_from_slice(&n.to_be_bytes()))?,
            Type::Int64 => self.int::<i64>(value, |out, n| out.extend_from_slice(&n.to_be_bytes()))?,
            Type::Float64 => match value.as_f64() {
                Some(n) => self.out.extend_from_slice(&n.to_be_bytes()),
                None => return self.kind("a number", value),
            },
            Type::Uuid => match value.as_str().and_then(uuid_from_text) {
                Some(id) => self.out.extend_from_slice(&id),
                None => return self.kind("an id of 22 characters", value),
            },
            Type::String => match value.as_str() {
                Some(text) => self.sized(true, text.as_bytes()),
                None => return self.kind("a string", value),
            },
            Type::Bytes | Type::Records => match value.as_str().map(|b| STANDARD.decode(b)) {
                Some(Ok(bytes)) => self.sized(false, &bytes),
                _ => return self.kind("base64", value),
            },
            Type::Struct(fields) => {
                if nullable {
                    self.out.push(if value.is_null() { 0xff } else { 1 });
                    if value.is_null() {
                        return Ok(());
                    }
                }
                self.fields(fields, value)?;
            }
            Type::Array(element) => self.array(element, value)?,
        }
        Ok(())
    }

    fn array(&mut self, element: &'static Type, value: &Value) -> Result<(), ValueError> {
        let Value::Array(list) = value else { return self.kind("a list", value) };
        self.length(false, list.len());
        list.iter().try_for_each(|item| self.one(element, false, item))
    }

    fn int<T: TryFrom<i64>>(&mut self, value: &Value, put: impl Fn(&mut Vec<u8>, T)) -> Result<(), ValueError> {
        match value.as_i64().and_then(|n| T::try_from(n).ok()) {
            Some(n) => {
                put(&mut self.out, n);
                Ok(())
            }
            None => self.kind("an integer in range", value),
        }
    }

    fn sized(&mut self, short: bool, bytes: &[u8]) {
        self.length(short, bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn length(&mut self, short: bool, n: usize) {
        if self.flexible {
            self.varint(n + 1);
        } else if short {
            self.out.extend_from_slice(&i16::try_from(n).unwrap_or(i16::MAX).to_be_bytes());
        } else {
            self.out.extend_from_slice(&i32::try_from(n).unwrap_or(i32::MAX).to_be_bytes());
        }
    }

    fn varint(&mut self, n: usize) {
        put_varint(&mut self.out, u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn default(&self, field: &'static Field) -> Value {
        if field.default == "null" {
            return if field.nullable.contains(self.version) { Value::Null } else { zero(&field.ty) };
        }
        match field.ty {
            _ if field.default.is_empty() => zero(&field.ty),
            Type::String => Value::String(field.default.to_owned()),
            Type::Bool => Value::Bool(field.default == "true"),
            Type::Float64 => field.default.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
            _ => integer(field.default).map_or_else(|| zero(&field.ty), |n| json!(n)),
        }
    }

    fn kind<T>(&self, expected: &'static str, got: &Value) -> Result<T, ValueError> {
        Err(ValueError::Kind { path: self.path.join("."), expected, got: got.to_string() })
    }
}

fn integer(text: &str) -> Option<i64> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| i64::from_str_radix(hex, 16).ok())
}

fn zero(ty: &Type) -> Value {
    match ty {
        Type::Bool => Value::Bool(false),
        Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Int64 => json!(0),
        Type::Float64 => json!(0.0),
        Type::Uuid => Value::String(uuid_text(&[0; 16])),
        Type::String | Type::Bytes | Type::Records => json!(""),
        Type::Struct(_) => json!({}),
        Type::Array(_) => json!([]),
    }
}
