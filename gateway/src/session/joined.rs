//! Two answers as one: what a broker served, and what was refused here. Only bytes are moved, of records none at all.

use super::denied::list;
use serde_json::Value;
use wire::read::{Cursor, Malformed, put_varint};
use wire::schema::{ApiKey, Field, Type};
use wire::value::{self, ValueError};

/// Answers whose lists stand in lists are decoded. More than this no broker says of the groups of one request.
const MOST_VALUES: usize = 200_000;

/// Where the list of an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    /// Where its count stands.
    count_at: usize,
    /// Where its first element stands.
    elements_at: usize,
    /// How many there are.
    count: usize,
}

/// What stands in a served answer in place of its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Front {
    /// The new bytes.
    pub(super) bytes: Vec<u8>,
    /// How many bytes they stand for.
    pub(super) replaces: usize,
}

/// The front of an answer with the elements of `refused` in it; `None` where the answer is an error as a whole, which stands
/// alone. Of `served`, the bytes before the first element are enough.
pub(super) fn front(key: ApiKey, version: i16, served: &[u8], refused: &[u8]) -> Result<Option<Front>, Malformed> {
    let (Some(ours), Some(theirs)) = (start(key, version, served)?, start(key, version, refused)?) else {
        return Ok(None);
    };
    let mut bytes = served[..ours.count_at].to_vec();
    let count = u32::try_from(ours.count + theirs.count).unwrap_or(u32::MAX);
    if key.response().flexible.contains(version) {
        put_varint(&mut bytes, count.saturating_add(1));
    } else {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    let end = end(key, version, refused, theirs)?;
    bytes.extend_from_slice(&refused[theirs.elements_at..end]);
    Ok(Some(Front { bytes, replaces: ours.elements_at }))
}

/// As [`front`], for a whole body.
pub(super) fn joined(key: ApiKey, version: i16, served: &[u8], refused: &[u8]) -> Result<Vec<u8>, ValueError> {
    if is_nested(key) {
        return nested(key, version, served, refused);
    }
    Ok(match front(key, version, served, refused)? {
        Some(front) => [&front.bytes, &served[front.replaces..]].concat(),
        None => served.to_vec(),
    })
}

const fn is_nested(key: ApiKey) -> bool {
    matches!(key, ApiKey::OffsetFetch | ApiKey::DescribeShareGroupOffsets)
}

/// Topics that were refused in groups that were served stand in the group's own list.
fn nested(key: ApiKey, version: i16, served: &[u8], refused: &[u8]) -> Result<Vec<u8>, ValueError> {
    let mut answer = value::decode_at_most(key.response(), version, served, MOST_VALUES)?;
    let mut refused = value::decode_at_most(key.response(), version, refused, MOST_VALUES)?;
    if answer.get("Groups").is_none() {
        if answer["ErrorCode"].as_i64().unwrap_or_default() == 0 {
            append(&mut answer["Topics"], &mut refused["Topics"]);
        }
        return value::encode(key.response(), version, &answer);
    }
    let groups = refused["Groups"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for mut group in groups {
        let of = |there: &&mut Value| there["GroupId"] == group["GroupId"];
        let there = answer["Groups"].as_array_mut().and_then(|groups| groups.iter_mut().find(of));
        match there {
            Some(there) if there["ErrorCode"] == 0 => append(&mut there["Topics"], &mut group["Topics"]),
            Some(_) => {}
            None => append(&mut answer["Groups"], &mut Value::Array(vec![group])),
        }
    }
    value::encode(key.response(), version, &answer)
}

fn append(list: &mut Value, more: &mut Value) {
    if let (Value::Array(list), Value::Array(more)) = (list, more) {
        list.append(more);
    }
}

/// Where the list begins; `None` where an error stands before it.
fn start(key: ApiKey, version: i16, body: &[u8]) -> Result<Option<Start>, Malformed> {
    let message = key.response();
    let flexible = message.flexible.contains(version);
    let Some(list) = list(key, version) else { return Ok(None) };
    let mut skipper = Skipper { version, flexible, cursor: Cursor::new(body) };
    for field in untagged(message.fields, version, flexible) {
        if field.name == list.name {
            let count_at = skipper.cursor.at();
            let count = skipper.cursor.length(flexible, false, field.nullable.contains(version))?.unwrap_or_default();
            return Ok(Some(Start { count_at, elements_at: skipper.cursor.at(), count }));
        }
        if field.name == "ErrorCode" && skipper.cursor.i16()? != 0 {
            return Ok(None);
        }
        if field.name != "ErrorCode" {
            skipper.field(field)?;
        }
    }
    Ok(None)
}

/// Where the elements of a list end.
fn end(key: ApiKey, version: i16, body: &[u8], start: Start) -> Result<usize, Malformed> {
    let flexible = key.response().flexible.contains(version);
    let mut skipper = Skipper { version, flexible, cursor: Cursor::new(body) };
    let _ = skipper.cursor.take(start.elements_at)?;
    if let Some(Field { ty: Type::Array(element), .. }) = list(key, version) {
        for _ in 0..start.count {
            skipper.value(element, false)?;
        }
    }
    Ok(skipper.cursor.at())
}

fn untagged(fields: &'static [Field], version: i16, flexible: bool) -> impl Iterator<Item = &'static Field> {
    let stands = move |f: &&Field| f.versions.contains(version) && !(flexible && f.tagged.contains(version));
    fields.iter().filter(stands)
}

/// Passes over fields by their types.
struct Skipper<'a> {
    version: i16,
    flexible: bool,
    cursor: Cursor<'a>,
}

impl Skipper<'_> {
    fn fields(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        for field in untagged(fields, self.version, self.flexible) {
            self.field(field)?;
        }
        if self.flexible {
            for _ in 0..self.cursor.varint()? {
                let _tag = self.cursor.varint()?;
                let size = self.cursor.varint()? as usize;
                let _ = self.cursor.take(size)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field) -> Result<(), Malformed> {
        self.value(&field.ty, field.nullable.contains(self.version))
    }

    fn value(&mut self, ty: &'static Type, nullable: bool) -> Result<(), Malformed> {
        let size = match ty {
            Type::Bool | Type::Int8 => 1,
            Type::Int16 | Type::Uint16 => 2,
            Type::Int32 => 4,
            Type::Int64 | Type::Float64 => 8,
            Type::Uuid => 16,
            Type::String => self.cursor.length(self.flexible, true, nullable)?.unwrap_or_default(),
            Type::Bytes | Type::Records => self.cursor.length(self.flexible, false, nullable)?.unwrap_or_default(),
            Type::Struct(_) if nullable && self.cursor.i8()? < 0 => 0,
            Type::Struct(fields) => return self.fields(fields),
            Type::Array(element) => {
                for _ in 0..self.cursor.count(self.flexible, nullable, 1)?.unwrap_or_default() {
                    self.value(element, false)?;
                }
                0
            }
        };
        self.cursor.take(size).map(drop)
    }
}
