//! What may differ, and why: two reviewed lists.
//!
//! `normalizations.yaml` says which fields differ between any two Kafkas (random ids, addresses, times, orders that Kafka
//! does not define) and how they are compared instead. `deliberate.yaml` says where a virtual cluster answers otherwise on
//! purpose. A line that nothing needs any more fails the run, so that the lists only shrink.

use serde::Deserialize;
use serde_json::Value;
use wire::schema::Versions;

/// How the values of a field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The same value on one side is always the same value on the other, and the other way round.
    OneToOne,
    /// Both are times of this run, or both say that there is none.
    Time,
    /// Record batches, compared field by field.
    Records,
    /// A list without an order: sorted by `by` on both sides.
    Unordered,
    /// Both are numbers that are not negative: a size of the machine.
    Size,
}

/// A field that differs between any two Kafkas.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// The field's name, or its path from the top (`Topics[].Partitions[]`).
    pub field: String,
    /// Only in answers of these APIs; empty for all.
    #[serde(default)]
    pub apis: Vec<String>,
    /// How it is compared.
    pub is: How,
    /// Fields of one class share one mapping.
    #[serde(default)]
    pub class: String,
    /// Values that stand for nothing and must be equal.
    #[serde(default)]
    pub none: Vec<Value>,
    /// What the elements of a list are sorted by; nothing for elements that are themselves values.
    #[serde(default)]
    pub by: Vec<String>,
    /// Why it differs.
    pub why: String,
}

/// An answer of a virtual cluster that differs on purpose.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deliberate {
    /// The API.
    pub api: String,
    /// The versions; all if it is not said.
    #[serde(default)]
    pub versions: Option<[i16; 2]>,
    /// The path of the value (`Topics[].ErrorCode`).
    pub path: String,
    /// Only in steps whose label contains one of these.
    #[serde(default, rename = "where")]
    pub labels: Vec<String>,
    /// What the reference answers: fields that an object has, one of several values in a list, or a value.
    #[serde(default)]
    pub reference: Option<Value>,
    /// What the virtual cluster answers, in the same form.
    #[serde(default)]
    pub r#virtual: Option<Value>,
    /// The element of a list stands only on this side.
    #[serde(default)]
    pub only: Option<Side>,
    /// How the two numbers stand to each other.
    #[serde(default)]
    pub relation: Option<Relation>,
    /// Why.
    pub why: String,
}

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The dedicated Kafka.
    Reference,
    /// The virtual cluster.
    Virtual,
}

/// How the virtual cluster's number stands to the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It is smaller.
    Lower,
    /// It is larger.
    Higher,
}

/// Both lists.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What differs between any two Kafkas.
    pub normalizations: Vec<Normalization>,
    /// What differs on purpose.
    pub deliberate: Vec<Deliberate>,
}

impl Rules {
    /// As [`Self::reviewed`], for answers that depend on rights.
    ///
    /// # Errors
    /// What is wrong with a list.
    pub fn of_rights() -> Result<Self, serde_yaml::Error> {
        Ok(Self {
            normalizations: serde_yaml::from_str(include_str!("rights/normalizations.yaml"))?,
            deliberate: serde_yaml::from_str(include_str!("rights/deliberate.yaml"))?,
        })
    }

    /// The lists that were reviewed.
    ///
    /// # Errors
    /// What is wrong with a list.
    pub fn reviewed() -> Result<Self, serde_yaml::Error> {
        Ok(Self {
            normalizations: serde_yaml::from_str(include_str!("normalizations.yaml"))?,
            deliberate: serde_yaml::from_str(include_str!("deliberate.yaml"))?,
        })
    }
}

/// Where a value stands: the answer and the path in it.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The API's name.
    pub api: &'a str,
    /// Its version.
    pub version: i16,
    /// The label of the step.
    pub label: &'a str,
    /// The path with `[]` for any element.
    pub path: String,
    /// The path with the elements' numbers, for people.
    pub shown: String,
}

impl Place<'_> {
    /// The place of a field in the object here.
    pub fn field(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), shown: format!("{}{dot}{name}", self.shown), ..self.clone() }
    }

    /// The place of an element of the list here.
    pub fn element(&self, at: usize) -> Self {
        Self { path: format!("{}[]", self.path), shown: format!("{}[{at}]", self.shown), ..self.clone() }
    }
}

impl Normalization {
    /// Whether it is about this place.
    pub fn is_at(&self, place: &Place<'_>) -> bool {
        let last = || place.path.rsplit(['.']).next() == Some(&self.field);
        (self.apis.is_empty() || self.apis.iter().any(|api| api == place.api)) && (self.field == place.path || last())
    }
}

impl Deliberate {
    /// Whether it is about this place.
    pub fn is_at(&self, place: &Place<'_>) -> bool {
        let [min, max] = self.versions.unwrap_or([i16::MIN, i16::MAX]);
        self.api == place.api
            && self.path == place.path
            && Versions { min, max }.contains(place.version)
            && (self.labels.is_empty() || self.labels.iter().any(|part| place.label.contains(part.as_str())))
    }

    /// Whether the two values differ in the way that was reviewed.
    pub fn explains(&self, reference: &Value, r#virtual: &Value) -> bool {
        let related = match (self.relation, reference.as_i64(), r#virtual.as_i64()) {
            (None, _, _) => true,
            (Some(Relation::Lower), Some(reference), Some(found)) => found < reference,
            (Some(Relation::Higher), Some(reference), Some(found)) => found > reference,
            (Some(_), _, _) => false,
        };
        let fits = |wanted: &Option<Value>, found| wanted.as_ref().is_none_or(|wanted| fits(wanted, found));
        self.only.is_none() && related && fits(&self.reference, reference) && fits(&self.r#virtual, r#virtual)
    }

    /// Whether this element may stand on one side alone.
    pub fn excuses(&self, side: Side, element: &Value) -> bool {
        let wanted = match side {
            Side::Reference => &self.reference,
            Side::Virtual => &self.r#virtual,
        };
        self.only == Some(side) && wanted.as_ref().is_none_or(|wanted| fits(wanted, element))
    }
}

/// Whether a value has the described form: an object has these fields, `{any: [...]}` is one of several, a text that
/// begins with `~` is contained, anything else is equal.
fn fits(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(map), _) if map.len() == 1 && map.contains_key("any") => {
            map["any"].as_array().into_iter().flatten().any(|one| fits(one, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| fits(value, found)))
        }
        (Value::String(wanted), Value::String(found)) if wanted.starts_with('~') => found.contains(&wanted[1..]),
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_reviewed_lists_are_lists_with_a_reason_each() {
        let rules = Rules::reviewed().unwrap();
        let whys = rules.normalizations.iter().map(|n| &n.why).chain(rules.deliberate.iter().map(|d| &d.why));
        assert!(whys.into_iter().all(|why| why.len() > 20), "a reason is a sentence");
    }

    #[test]
    fn a_deliberate_difference_is_no_wider_than_it_says() {
        let entry = |yaml: &str| serde_yaml::from_str::<Deliberate>(yaml).unwrap();
        let lower = entry("{ api: A, path: P, relation: lower, why: w }");
        assert!(lower.explains(&json!(3), &json!(2)));
        assert!(!lower.explains(&json!(2), &json!(3)) && !lower.explains(&json!(2), &json!(null)));
        let refused = entry("{ api: A, path: P, virtual: { ErrorCode: 31, ErrorMessage: '~Only' }, why: w }");
        assert!(refused.explains(&json!({}), &json!({ "ErrorCode": 31, "ErrorMessage": "Only this.", "More": 1 })));
        assert!(!refused.explains(&json!({}), &json!({ "ErrorCode": 0, "ErrorMessage": "Only this." })));
        let only = entry("{ api: A, path: P, only: reference, reference: { Name: { any: [x, y] } }, why: w }");
        assert!(only.excuses(Side::Reference, &json!({ "Name": "y" })));
        assert!(!only.excuses(Side::Virtual, &json!({ "Name": "y" })));
        assert!(!only.excuses(Side::Reference, &json!({ "Name": "z" })));
        assert!(!only.explains(&json!(1), &json!(2)), "an element too many explains no value");
        let place = Place { api: "A", version: 3, label: "t: x", path: "P".into(), shown: "P".into() };
        let narrow = entry("{ api: A, path: P, versions: [4, 5], where: [x], why: w }");
        assert!(!narrow.is_at(&place));
        assert!(narrow.is_at(&Place { version: 4, ..place.clone() }));
        assert!(!narrow.is_at(&Place { version: 4, label: "t: z", ..place }));
    }
}
