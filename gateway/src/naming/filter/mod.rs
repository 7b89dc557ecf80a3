//! Which records of a topic a virtual cluster sees: an expression over key, headers and the fields of JSON values.
//!
//! ```text
//! headers.region == "eu" and (key startsWith "acme-" or value.customer.id in [7, 8]) and not value.internal == true
//! ```
//!
//! A record is shown only where the expression is certainly true. What is not there, is no JSON or is of another type than what
//! it is compared with makes a comparison neither true nor false, and so does `not` of that: in doubt a record stays here.

mod batches;
mod codec;
mod parse;
pub mod records;

use serde_json::{Number, Value};
use std::cmp::Ordering;

pub use parse::Fault;

/// An expression that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    expression: Expression,
    /// Whether the value has to be read as JSON.
    reads_value: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Field, Test),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Key,
    Header(String),
    Value(Vec<Step>),
}

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Is(Literal),
    IsNot(Literal),
    In(Vec<Literal>),
    /// Less, at most, more, at least.
    Order(&'static [Ordering], Literal),
    Starts(String),
    Ends(String),
    Contains(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
}

/// A record, as far as expressions look at it.
#[derive(Debug, Clone, Copy)]
struct Record<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// The bytes behind the headers' count.
    headers: records::Headers<'a>,
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let expression = parse::parse(text)?;
        let reads_value = expression.reads_value();
        Ok(Self { expression, reads_value })
    }

    fn shows(&self, record: &Record<'_>) -> bool {
        let json =
            if self.reads_value { record.value.and_then(|value| serde_json::from_slice(value).ok()) } else { None };
        self.expression.holds(record, json.as_ref()) == Some(true)
    }
}

impl Expression {
    fn reads_value(&self) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::reads_value),
            Self::Not(part) => part.reads_value(),
            Self::Test(field, _) => matches!(field, Field::Value(_)),
        }
    }

    /// `None` where it can't be said.
    fn holds(&self, record: &Record<'_>, json: Option<&Value>) -> Option<bool> {
        match self {
            Self::All(parts) => decided(parts.iter().map(|part| part.holds(record, json)), false),
            Self::Any(parts) => decided(parts.iter().map(|part| part.holds(record, json)), true),
            Self::Not(part) => part.holds(record, json).map(|holds| !holds),
            Self::Test(Field::Key, test) => test.of_text(record.key),
            Self::Test(Field::Header(name), test) => match record.headers.only(name) {
                Ok(header) => test.of_text(header.flatten()),
                // Two of one name: which one counts is for each reader to say.
                Err(records::Several) if *test == Test::Exists => Some(true),
                Err(records::Several) => None,
            },
            Self::Test(Field::Value(path), test) => {
                // Whether something is in it can't be said of what is no JSON.
                let found = path.iter().try_fold(json?, |value, step| match step {
                    Step::Member(name) => value.get(name),
                    Step::Item(at) => value.get(at),
                });
                test.of_json(found)
            }
        }
    }
}

impl Test {
    fn of_text(&self, bytes: Option<&[u8]>) -> Option<bool> {
        if *self == Self::Exists {
            return Some(bytes.is_some());
        }
        let text = std::str::from_utf8(bytes?).ok()?;
        self.of_string(text)
    }

    fn of_string(&self, text: &str) -> Option<bool> {
        let same = |literal: &Literal| match literal {
            Literal::Text(other) => Some(text == other),
            _ => None,
        };
        match self {
            Self::Exists => Some(true),
            Self::Is(literal) => same(literal),
            Self::IsNot(literal) => same(literal).map(|same| !same),
            Self::In(literals) => decided(literals.iter().map(same), true),
            Self::Order(wanted, Literal::Text(other)) => Some(wanted.contains(&text.cmp(other))),
            Self::Order(..) => None,
            Self::Starts(start) => Some(text.starts_with(start.as_str())),
            Self::Ends(end) => Some(text.ends_with(end.as_str())),
            Self::Contains(part) => Some(text.contains(part.as_str())),
        }
    }

    fn of_json(&self, value: Option<&Value>) -> Option<bool> {
        if *self == Self::Exists {
            return Some(value.is_some());
        }
        let value = value?;
        if let Value::String(text) = value {
            return self.of_string(text);
        }
        match self {
            Self::Is(literal) => literal.is(value),
            Self::IsNot(literal) => literal.is(value).map(|same| !same),
            Self::In(literals) => decided(literals.iter().map(|literal| literal.is(value)), true),
            Self::Order(wanted, Literal::Number(other)) => Some(wanted.contains(&order(value.as_number()?, other)?)),
            _ => None,
        }
    }
}

/// One that is `decisive` decides, and else one that can't be said does.
fn decided(tests: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut all = Some(!decisive);
    for test in tests {
        match test {
            Some(test) if test == decisive => return Some(decisive),
            Some(_) => {}
            None => all = None,
        }
    }
    all
}

impl Literal {
    /// `None` where they are of different types.
    fn is(&self, value: &Value) -> Option<bool> {
        match (self, value) {
            (Self::Null, value) => Some(value.is_null()),
            (Self::Bool(left), Value::Bool(right)) => Some(left == right),
            (Self::Number(left), Value::Number(right)) => order(right, left).map(|order| order == Ordering::Equal),
            _ => None,
        }
    }
}

/// How two numbers compare; whole ones exactly.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(filter: &str, key: Option<&str>, headers: &[(&str, Option<&str>)], value: &str) -> bool {
        let bytes = records::tests::headers(headers);
        let headers = records::Headers::of(&bytes, headers.len());
        let record = Record { key: key.map(str::as_bytes), value: Some(value.as_bytes()), headers };
        Filter::parse(filter).unwrap().shows(&record)
    }

    #[test]
    fn a_record_is_shown_where_the_expression_is_certainly_true() {
        let value = r#"{"customer":{"id":7,"name":"Acme"},"tags":["a","b"],"paid":true,"none":null,"amount":12.5}"#;
        let headers = [("region", Some("eu")), ("empty", None), ("two", Some("a")), ("two", Some("b"))];
        let shows = |filter: &str| shows(filter, Some("acme-1"), &headers, value);
        for filter in [
            r#"key == "acme-1""#,
            r#"key startsWith "acme-" and headers.region == "eu""#,
            r#"key endsWith "-1" and key contains "me" and key exists"#,
            r#"headers.region in ["us", "eu"]"#,
            r#"headers["region"] != "us""#,
            r#"headers.two exists"#,
            r#"value.customer.id == 7 and value.customer.id < 8 and value.customer.id >= 7.0"#,
            r#"value.customer["name"] == "Acme" or value.nothing == 1"#,
            r#"value.tags[1] == "b" and value.paid == true and value.none == null"#,
            r#"not value.paid == false and not headers.nothing exists"#,
            r#"value.amount > 12 and value.amount <= 12.5"#,
            r#"not (key == "x" or (value.customer.id == 8))"#,
        ] {
            assert!(shows(filter), "{filter}");
        }
        for filter in [
            r#"key == "acme-2""#,
            // What is not there, and what is of another type, is neither true nor false.
            r#"value.nothing == 1"#,
            r#"not value.nothing == 1"#,
            r#"value.nothing != 1"#,
            r#"value.customer.id == "7""#,
            r#"value.customer.id != "7""#,
            r#"not value.customer.id in ["7", 8]"#,
            r#"headers.empty == "x""#,
            r#"headers.two == "a""#,
            r#"not headers.two == "c""#,
            r#"value.tags[2] exists"#,
            r#"value.paid == true and value.nothing == 1"#,
        ] {
            assert!(!shows(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_no_json_is_shown_by_no_test_of_its_value() {
        let shows = |filter: &str| shows(filter, None, &[], "not json");
        assert!(!shows("value.a exists") && !shows("not value.a exists") && !shows(r#"not value.a == "x""#));
        assert!(!shows("key exists") && shows("not key exists"));
        assert!(shows("not key exists or value.a == 1"));
    }
}
