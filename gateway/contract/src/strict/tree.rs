//! A document as a tree. Keys that stand twice are noticed, which ordinary readers overlook.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Flaw, under};

/// No document of ours has so many flaws; whoever sends one that has learns of these.
pub(super) const MOST_FLAWS: usize = 100;

/// Reads one document; flaws that leave a tree are noted.
///
/// # Errors
/// What the format's own reader says: then there is no tree.
pub(super) fn read<'de, D: Deserializer<'de>>(document: D, flaws: &mut Vec<Flaw>) -> Result<Value, D::Error> {
    let noted = RefCell::new(Vec::new());
    let value = Tree { path: "", noted: &noted }.deserialize(document)?;
    flaws.append(&mut noted.into_inner());
    Ok(value)
}

#[derive(Clone, Copy)]
struct Tree<'a> {
    path: &'a str,
    noted: &'a RefCell<Vec<Flaw>>,
}

impl Tree<'_> {
    fn note(&self, path: &str, message: &str) {
        let mut noted = self.noted.borrow_mut();
        if noted.len() < MOST_FLAWS {
            noted.push(Flaw::new(path, message));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    /// No field of ours is as large: what becomes of it is as large, and no whole number any more.
    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        if number.is_none() {
            self.note(self.path, "is no finite number");
        }
        Ok(number.map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = under(self.path, &format!("[{}]", list.len()));
            match entries.next_element_seed(Tree { path: &path, ..self })? {
                Some(value) => list.push(value),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        // A key is whatever YAML takes it for.
        let no_notes = RefCell::new(Vec::new());
        while let Some(key) = entries.next_key_seed(Tree { path: "", noted: &no_notes })? {
            let Value::String(key) = key else {
                self.note(self.path, "holds a key that is not text: put it in quotes");
                let _ = entries.next_value_seed(Tree { path: "", noted: &no_notes })?;
                continue;
            };
            let path = under(self.path, &key);
            let value = entries.next_value_seed(Tree { path: &path, ..self })?;
            if map.contains_key(&key) {
                self.note(&path, "stands twice: keep one of them");
            } else {
                map.insert(key, value);
            }
        }
        Ok(map.into())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("a tag (!…) has no meaning here"))
    }
}
