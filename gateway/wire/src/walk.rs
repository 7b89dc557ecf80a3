//! The walker: one pass over a body that checks it, shows each field with a role to a visitor, and writes what the visitor
//! makes of it.
//!
//! Every claimed length and count is checked against the bytes that are left before anything is reserved; nothing is
//! allocated on the way but what the output's buffers grow by, and record bytes are never copied.

use crate::plan::{Op, Plan, Role, Shape, Tagged};
use crate::read::{Cursor, Malformed, write_varint};
use crate::segments::{Mark, Segments};

/// The content of a field with a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string, or null.
    Str(Option<&'a str>),
    /// Bytes, or null.
    Bytes(Option<&'a [u8]>),
    /// An identifier.
    Uuid([u8; 16]),
    /// An integer of one, two or four bytes; a truth value is 0 or 1.
    Int(i32),
    /// An integer of eight bytes.
    Long(i64),
}

/// What a visitor does with a field. A replacement must be of the field's own kind; another kind is a [`Stop::Kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'v> {
    /// It stays as it is.
    Keep,
    /// The string becomes this one.
    Str(&'v str),
    /// The bytes become these.
    Bytes(&'v [u8]),
    /// The string or the bytes become null.
    Null,
    /// The identifier becomes this one.
    Uuid([u8; 16]),
    /// The integer becomes this one; it must fit.
    Int(i32),
    /// The integer of eight bytes becomes this one.
    Long(i64),
    /// The element of the nearest array around the field is left out; where a struct that can be null is nearer, it becomes
    /// null.
    Drop,
}

/// Looks at the fields that have a role.
///
/// - Fields come in the order in which they stand in the message, each once.
/// - After [`Action::Drop`] the remaining fields of that element are checked but not shown.
/// - An error ends the walk.
pub trait Visitor {
    /// Why a visitor ends a walk.
    type Error;

    /// Decides about one field.
    ///
    /// # Errors
    /// Whatever makes the message one that must not be forwarded.
    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Self::Error>;

    /// An element of an array that holds fields with roles begins.
    fn element(&mut self) {}
}

/// Why a walk ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop<E> {
    /// The bytes are not what they claim to be.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The visitor refused.
    #[error("refused")]
    Refused(E),
    /// A replacement does not fit the field: another kind, a string too long for its length, or null where the
    /// definitions do not allow it.
    #[error("a replacement does not fit a field of role {0:?}")]
    Kind(Role),
    /// The visitor dropped an element where no array is around the field.
    #[error("no array is around the field that was to be dropped")]
    NothingToDrop,
}

impl Stop<std::convert::Infallible> {
    /// The stop of a visitor that never refuses, among those of one that does.
    pub fn lift<E>(self) -> Stop<E> {
        match self {
            Self::Malformed(malformed) => Stop::Malformed(malformed),
            Self::Kind(role) => Stop::Kind(role),
            Self::NothingToDrop => Stop::NothingToDrop,
            Self::Refused(never) => match never {},
        }
    }
}

/// Walks `body` by `plan`; the output is in `out`, over `body`.
///
/// # Errors
/// [`Stop`]; what is in `out` is then of no use.
pub fn walk<V: Visitor>(plan: &Plan, body: &[u8], visitor: &mut V, out: &mut Segments) -> Result<(), Stop<V::Error>> {
    let end = walk_prefix(plan, body, visitor, out)?;
    if end < body.len() {
        return Err(Malformed::Trailing { at: end, left: body.len() - end }.into());
    }
    Ok(())
}

/// As [`walk`], but bytes may follow the last field; they are taken over. So a newer version of embedded data, which appends
/// fields, is read as an older one.
///
/// # Errors
/// [`Stop`]
pub fn walk_open<V: Visitor>(
    plan: &Plan,
    body: &[u8],
    visitor: &mut V,
    out: &mut Segments,
) -> Result<(), Stop<V::Error>> {
    let _ = walk_prefix(plan, body, visitor, out)?;
    out.flush(body, body.len());
    Ok(())
}

/// As [`walk`], but bytes may follow the last field; they are left out. Brokers ignore them in requests, and librdkafka
/// writes three too many when it asks for all topics. Returns where the last field ends.
///
/// # Errors
/// [`Stop`]
pub fn walk_prefix<V: Visitor>(
    plan: &Plan,
    body: &[u8],
    visitor: &mut V,
    out: &mut Segments,
) -> Result<usize, Stop<V::Error>> {
    let mut walker = Walker { cursor: Cursor::new(body), flexible: plan.flexible, visitor, out, muted: false };
    walker.ops(&plan.ops)?;
    if walker.muted {
        return Err(Stop::NothingToDrop);
    }
    let end = walker.cursor.at();
    walker.out.flush(body, end);
    Ok(end)
}

/// Walks `body` by `plan` for what the visitor sees, not for an output. Bytes may follow the last field.
///
/// # Errors
/// As [`walk_prefix`].
pub fn scan<V: Visitor>(plan: &Plan, body: &[u8], visitor: &mut V) -> Result<(), Stop<V::Error>> {
    walk_prefix(plan, body, visitor, &mut Segments::default()).map(drop)
}

/// Where the last field of `body` ends that is not a tagged one: elements for an array that stands there can be put in.
///
/// # Errors
/// [`Stop::Malformed`]
pub fn untagged_end(plan: &Plan, body: &[u8]) -> Result<usize, Stop<std::convert::Infallible>> {
    let ops = match plan.ops.split_last() {
        Some((Op::Tags(_), before)) => before,
        _ => &plan.ops,
    };
    let (mut visitor, mut out) = (KeepAll, Segments::default());
    let mut walker = Walker {
        cursor: Cursor::new(body),
        flexible: plan.flexible,
        visitor: &mut visitor,
        out: &mut out,
        // What is not shown is not written either.
        muted: true,
    };
    walker.ops(ops)?;
    Ok(walker.cursor.at())
}

/// A visitor that keeps everything: the walk is then a check of the frame.
#[derive(Debug, Default)]
pub struct KeepAll;

impl Visitor for KeepAll {
    type Error = std::convert::Infallible;

    fn field(&mut self, _: Role, _: Value<'_>) -> Result<Action<'_>, Self::Error> {
        Ok(Action::Keep)
    }
}

struct Walker<'a, 'o, V> {
    cursor: Cursor<'a>,
    flexible: bool,
    visitor: &'o mut V,
    out: &'o mut Segments,
    /// The element around the cursor is dropped: its rest is checked, not shown.
    muted: bool,
}

impl<V: Visitor> Walker<'_, '_, V> {
    fn ops(&mut self, ops: &[Op]) -> Result<(), Stop<V::Error>> {
        for op in ops {
            match op {
                Op::Skip(n) => drop(self.cursor.take(*n)?),
                Op::SkipSized { short, nullable } => {
                    if let Some(n) = self.cursor.length(self.flexible, *short, *nullable)? {
                        let _ = self.cursor.take(n)?;
                    }
                }
                Op::Field { role, shape } => self.field(*role, *shape)?,
                Op::Array { nullable, element_min, droppable, element } => {
                    self.array(*nullable, *element_min, *droppable, element)?;
                }
                Op::NullableStruct(inner) => self.nullable_struct(inner)?,
                Op::Tags(known) => self.tags(known)?,
            }
        }
        Ok(())
    }

    fn nullable_struct(&mut self, inner: &[Op]) -> Result<(), Stop<V::Error>> {
        let (mark, from, outer) = (self.out.mark(), self.cursor.at(), self.muted);
        match self.cursor.i8()? {
            1 => self.ops(inner)?,
            -1 => return Ok(()),
            other => return Err(Malformed::Length { at: from, length: other.into() }.into()),
        }
        if self.muted && !outer {
            self.muted = false;
            self.drop_element(mark, from);
            self.out.put(&(-1i8).to_be_bytes());
        }
        Ok(())
    }

    fn array(&mut self, nullable: bool, min: usize, droppable: bool, element: &[Op]) -> Result<(), Stop<V::Error>> {
        let start = self.cursor.at();
        let Some(count) = self.cursor.count(self.flexible, nullable, min)? else { return Ok(()) };
        if let [Op::Skip(n)] = element {
            let _ = self.cursor.take(n * count)?;
            return Ok(());
        }
        if !droppable || self.muted {
            for _ in 0..count {
                self.ops(element)?;
            }
            return Ok(());
        }
        self.out.flush(self.cursor.input(), start);
        self.out.omit(self.cursor.at());
        let hole = self.out.hole(self.cursor.at() - start);
        let mut kept = 0u32;
        for _ in 0..count {
            let (mark, from) = (self.out.mark(), self.cursor.at());
            self.visitor.element();
            self.ops(element)?;
            if std::mem::take(&mut self.muted) {
                self.drop_element(mark, from);
            } else {
                kept += 1;
            }
        }
        if self.flexible {
            self.out.fill_varint(hole, kept + 1);
        } else {
            self.out.fill(hole, &kept.to_be_bytes());
        }
        Ok(())
    }

    fn drop_element(&mut self, mark: Mark, from: usize) {
        self.out.rewind(mark);
        self.out.flush(self.cursor.input(), from);
        self.out.omit(self.cursor.at());
    }

    fn tags(&mut self, known: &[Tagged]) -> Result<(), Stop<V::Error>> {
        let at = self.cursor.at();
        let count = self.cursor.varint()? as usize;
        if count > self.cursor.left() / 2 {
            return Err(Malformed::Count { at, count, left: self.cursor.left() }.into());
        }
        let mut previous = None;
        for _ in 0..count {
            let at = self.cursor.at();
            let tag = self.cursor.varint()?;
            if previous.is_some_and(|p| tag <= p) {
                return Err(Malformed::Tags { at }.into());
            }
            previous = Some(tag);
            let before_size = self.cursor.at();
            let size = self.cursor.varint()? as usize;
            let start = self.cursor.at();
            if size > self.cursor.left() {
                return Err(Malformed::Truncated { at, need: size, left: self.cursor.left() }.into());
            }
            match known.iter().find(|t| t.tag == tag) {
                Some(tagged) if tagged.roles && !self.muted => self.resized(tagged, before_size)?,
                Some(tagged) => self.ops(&tagged.ops)?,
                None => drop(self.cursor.take(size)?),
            }
            if self.cursor.at() != start + size {
                return Err(Malformed::Tags { at }.into());
            }
        }
        Ok(())
    }

    /// A tagged field whose size may change with its content. Its size, which was read, is written anew.
    fn resized(&mut self, tagged: &Tagged, before_size: usize) -> Result<(), Stop<V::Error>> {
        self.out.flush(self.cursor.input(), before_size);
        self.out.omit(self.cursor.at());
        let hole = self.out.hole(self.cursor.at() - before_size);
        self.ops(&tagged.ops)?;
        // Dropped with the element around it: the hole is rewound with the rest.
        if !self.muted {
            let size = self.out.len_after(hole, self.cursor.at());
            self.out.fill_varint(hole, u32::try_from(size).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn field(&mut self, role: Role, shape: Shape) -> Result<(), Stop<V::Error>> {
        let start = self.cursor.at();
        let value = match shape {
            Shape::String { nullable } => Value::Str(match self.cursor.length(self.flexible, true, nullable)? {
                Some(n) => {
                    let bytes = self.cursor.take(n)?;
                    Some(std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8 { at: start })?)
                }
                None => None,
            }),
            Shape::Bytes { nullable } => Value::Bytes(match self.cursor.length(self.flexible, false, nullable)? {
                Some(n) => Some(self.cursor.take(n)?),
                None => None,
            }),
            Shape::Uuid => Value::Uuid(self.cursor.uuid()?),
            Shape::Int8 => Value::Int(self.cursor.i8()?.into()),
            Shape::Int16 => Value::Int(self.cursor.i16()?.into()),
            Shape::Int32 => Value::Int(self.cursor.i32()?),
            Shape::Int64 => Value::Long(self.cursor.i64()?),
        };
        if self.muted {
            return Ok(());
        }
        let action = self.visitor.field(role, value).map_err(Stop::Refused)?;
        match action {
            Action::Keep => return Ok(()),
            Action::Drop => {
                self.muted = true;
                return Ok(());
            }
            _ => {}
        }
        self.out.flush(self.cursor.input(), start);
        self.out.omit(self.cursor.at());
        if put(self.out, self.flexible, shape, &action) { Ok(()) } else { Err(Stop::Kind(role)) }
    }
}

/// Writes a replacement; `false` where it does not fit.
fn put(out: &mut Segments, flexible: bool, shape: Shape, action: &Action<'_>) -> bool {
    match (shape, action) {
        (Shape::String { .. }, Action::Str(text)) => put_sized(out, flexible, true, text.as_bytes()),
        (Shape::Bytes { .. }, Action::Bytes(bytes)) => put_sized(out, flexible, false, bytes),
        (Shape::String { nullable: true }, Action::Null) => {
            out.put(if flexible { &[0] } else { &[0xff, 0xff] });
            true
        }
        (Shape::Bytes { nullable: true }, Action::Null) => {
            out.put(if flexible { &[0] } else { &[0xff; 4] });
            true
        }
        (Shape::Uuid, Action::Uuid(id)) => {
            out.put(id);
            true
        }
        (Shape::Int8, Action::Int(n)) => i8::try_from(*n).map(|n| out.put(&n.to_be_bytes())).is_ok(),
        (Shape::Int16, Action::Int(n)) => i16::try_from(*n).map(|n| out.put(&n.to_be_bytes())).is_ok(),
        (Shape::Int32, Action::Int(n)) => {
            out.put(&n.to_be_bytes());
            true
        }
        (Shape::Int64, Action::Long(n)) => {
            out.put(&n.to_be_bytes());
            true
        }
        _ => false,
    }
}

fn put_sized(out: &mut Segments, flexible: bool, short: bool, bytes: &[u8]) -> bool {
    if short && bytes.len() > i16::MAX as usize {
        return false;
    }
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    let mut head = [0; 5];
    if flexible {
        let n = write_varint(&mut head, len + 1);
        out.put(&head[..n]);
    } else if short {
        #[allow(clippy::cast_possible_truncation)]
        out.put(&(len as u16).to_be_bytes());
    } else {
        out.put(&len.to_be_bytes());
    }
    out.put(bytes);
    true
}
