//! Two answers to the same request: equal, equal after a reviewed normalization, different on purpose, or different.
//!
//! Nothing is blanked: a random id has to stand for the same id wherever it comes again, on both sides.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::batch;
use super::rules::{Deliberate, How, Normalization, Place, Rules, Side};

/// What stands for "none" in every field that carries an id.
const ZERO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// Texts that are shorter are not looked for inside of others.
const LONG_ENOUGH: usize = 8;
/// 13 September 2020: what is smaller is no time of a run.
const FIRST_TIME: i64 = 1_600_000_000_000;
/// Both sides take a step within this time (ms).
const SAME_TIME: i64 = 600_000;

/// Two values that nothing explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where in the answer.
    pub path: String,
    /// What the dedicated Kafka says.
    pub reference: Value,
    /// What the virtual cluster says.
    pub r#virtual: Value,
    /// What else is to be said about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remark: String,
}

/// Which value of one side is which of the other.
#[derive(Debug, Default)]
struct Mapping {
    to_virtual: HashMap<Value, Value>,
    to_reference: HashMap<Value, Value>,
}

/// Compares the answers of one run, in order: what was seen before is known.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    rules: &'a Rules,
    mappings: BTreeMap<&'a str, Mapping>,
    /// How often each normalization was needed.
    pub normalized: Vec<usize>,
    /// How often each had something to compare: an order may be the same by chance.
    pub tried: Vec<usize>,
    /// How often each deliberate difference was seen.
    pub deliberate: Vec<usize>,
    found: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    /// Nothing compared yet.
    pub(super) fn new(rules: &'a Rules) -> Self {
        let (normalized, deliberate) = (vec![0; rules.normalizations.len()], vec![0; rules.deliberate.len()]);
        Self { rules, mappings: BTreeMap::new(), tried: normalized.clone(), normalized, deliberate, found: Vec::new() }
    }

    /// What differs without a reason between two answers.
    pub(super) fn answers(&mut self, place: &Place<'_>, reference: &Value, found: &Value) -> Vec<Difference> {
        self.value(place, reference, found);
        std::mem::take(&mut self.found)
    }

    fn value(&mut self, place: &Place<'_>, reference: &Value, found: &Value) {
        let rules = self.rules;
        let explained = |entry: &&Deliberate| entry.is_at(place) && entry.explains(reference, found);
        if reference != found
            && let Some(at) = rules.deliberate.iter().position(|entry| explained(&entry))
        {
            self.deliberate[at] += 1;
            return;
        }
        if let Some(at) = rules.normalizations.iter().position(|rule| rule.is_at(place)) {
            let handled = self.normalize(&rules.normalizations[at], place, reference, found);
            self.tried[at] += usize::from(handled);
            self.normalized[at] += usize::from(handled && reference != found);
            if handled {
                return;
            }
        }
        match (reference, found) {
            (Value::Object(left), Value::Object(right)) => {
                let more = right.keys().filter(|name| !left.contains_key(*name));
                for name in left.keys().chain(more) {
                    let of = |map: &serde_json::Map<_, _>| map.get(name).cloned();
                    match (of(left), of(right)) {
                        (Some(left), Some(right)) => self.value(&place.field(name), &left, &right),
                        (left, right) => self.differs(
                            &place.field(name),
                            &left.unwrap_or_default(),
                            &right.unwrap_or_default(),
                            "one side does not have this field",
                        ),
                    }
                }
            }
            (Value::Array(left), Value::Array(right)) => self.lists(place, left, right),
            _ if reference == found || self.same_text(reference, found) => {}
            _ => self.differs(place, reference, found, ""),
        }
    }

    fn differs(&mut self, place: &Place<'_>, reference: &Value, found: &Value, remark: &str) {
        let remark = remark.to_owned();
        let path = place.shown.clone();
        self.found.push(Difference { path, reference: reference.clone(), r#virtual: found.clone(), remark });
    }

    /// Whether the rule settled it; a list without an order is still to be compared element by element.
    fn normalize(&mut self, rule: &'a Normalization, place: &Place<'_>, reference: &Value, found: &Value) -> bool {
        match rule.is {
            How::OneToOne => {
                let is_none = |value: &Value| {
                    value.is_null() || *value == ZERO_ID || *value == "" || *value == -1 || rule.none.contains(value)
                };
                if !is_none(reference) && !is_none(found) {
                    self.one_to_one(rule, place, reference, found);
                } else if reference != found {
                    self.differs(place, reference, found, "one side has none");
                }
                true
            }
            How::Time => match (reference.as_i64(), found.as_i64()) {
                (Some(left), Some(right)) => {
                    left.min(right) > FIRST_TIME && left.abs_diff(right) < SAME_TIME.unsigned_abs()
                }
                _ => false,
            },
            How::Size => reference.as_i64().zip(found.as_i64()).is_some_and(|(left, right)| left >= 0 && right >= 0),
            How::Records => {
                match (reference.as_str().and_then(batch::decode), found.as_str().and_then(batch::decode)) {
                    (Some(left), Some(right)) => {
                        self.value(place, &left, &right);
                        true
                    }
                    _ => false,
                }
            }
            How::Unordered => match (reference, found) {
                (Value::Array(left), Value::Array(right)) => {
                    let sorted = self.sorted(rule, left, right);
                    self.lists(place, &sorted.0, &sorted.1);
                    true
                }
                _ => false,
            },
        }
    }

    fn one_to_one(&mut self, rule: &'a Normalization, place: &Place<'_>, reference: &Value, found: &Value) {
        let mapping = self.mappings.entry(rule.class.as_str()).or_default();
        let known = mapping.to_virtual.get(reference).cloned();
        let back = mapping.to_reference.get(found).cloned();
        match (known, back) {
            (None, None) => {
                let _ = mapping.to_virtual.insert(reference.clone(), found.clone());
                let _ = mapping.to_reference.insert(found.clone(), reference.clone());
            }
            (Some(known), _) if known == *found => {}
            (Some(known), _) => {
                let remark = format!("the reference's stood for {known} before");
                self.differs(place, reference, found, &remark);
            }
            (None, Some(back)) => {
                let remark = format!("the virtual cluster's stood for {back} before");
                self.differs(place, reference, found, &remark);
            }
        }
    }

    /// Whether two texts are the same once the ids of one side are read as those of the other.
    fn same_text(&self, reference: &Value, found: &Value) -> bool {
        let (Value::String(reference), Value::String(found)) = (reference, found) else { return false };
        let mut text = reference.clone();
        for (left, right) in self.mappings.values().flat_map(|mapping| &mapping.to_virtual) {
            if let (Value::String(left), Value::String(right)) = (left, right)
                && left.len() >= LONG_ENOUGH
            {
                text = text.replace(left, right);
            }
        }
        text == *found
    }

    fn sorted(&self, rule: &Normalization, left: &[Value], right: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let mapped = |value: &Value| {
            // Numbers of one class are also numbers of others.
            let known =
                self.mappings.values().find_map(|mapping| mapping.to_virtual.get(value).filter(|_| value.is_string()));
            known.unwrap_or(value).to_string()
        };
        let key = |value: &Value, translate: bool| -> Vec<String> {
            let part = |part: &Value| if translate { mapped(part) } else { part.to_string() };
            if rule.by.is_empty() { vec![part(value)] } else { rule.by.iter().map(|name| part(&value[name])).collect() }
        };
        let (mut left, mut right) = (left.to_vec(), right.to_vec());
        left.sort_by_cached_key(|value| key(value, true));
        right.sort_by_cached_key(|value| key(value, false));
        (left, right)
    }

    fn lists(&mut self, place: &Place<'_>, left: &[Value], right: &[Value]) {
        let left = self.without_excused(place, Side::Reference, left, right);
        let right = self.without_excused(place, Side::Virtual, right, &left);
        for (at, (left, right)) in left.iter().zip(&right).enumerate() {
            self.value(&place.element(at), left, right);
        }
        let common = left.len().min(right.len());
        for (at, element) in left.iter().enumerate().skip(common) {
            self.differs(&place.element(at), element, &Value::Null, "only the reference has this element");
        }
        for (at, element) in right.iter().enumerate().skip(common) {
            self.differs(&place.element(at), &Value::Null, element, "only the virtual cluster has this element");
        }
    }

    /// Leaves out elements that one side alone may have, and has: what both have is compared.
    fn without_excused(&mut self, place: &Place<'_>, side: Side, list: &[Value], other: &[Value]) -> Vec<Value> {
        let at = place.element(0);
        let mut kept = Vec::new();
        for element in list {
            let excuse = |entry: &Deliberate| entry.is_at(&at) && entry.excuses(side, element);
            match self.rules.deliberate.iter().position(excuse) {
                Some(entry) if !other.iter().any(|other| same_name(element, other)) => self.deliberate[entry] += 1,
                _ => kept.push(element.clone()),
            }
        }
        kept
    }
}

/// Whether two elements are about the same thing: whatever names them is the same.
fn same_name(left: &Value, right: &Value) -> bool {
    const NAMES: [&str; 6] = ["Name", "ApiKey", "GroupId", "TransactionalId", "ResourceName", "ResourceType"];
    let name = |value: &Value| NAMES.iter().filter_map(|name| value.get(name).cloned()).collect::<Vec<_>>();
    match (name(left), name(right)) {
        (left_name, right_name) if left_name.is_empty() || right_name.is_empty() => left == right,
        (left_name, right_name) => left_name == right_name,
    }
}
