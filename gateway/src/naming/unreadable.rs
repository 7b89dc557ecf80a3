//! Partitions of an answer of which nobody can tell which records may leave: they are refused, with no records.
//!
//! That is known only at the records, behind the code of their partition. So they are marked, and what has marks is walked once
//! more.

use crate::apis::{plans, roles::role_of};
use std::convert::Infallible;
use wire::plan::{Place, Plan, Role};
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, scan, walk};

/// Stands for records that can't be read. No batch is as short.
pub(super) const MARK: &[u8] = b"\xff";

/// A reader gets no further, and is told why: to go on without these records is for its owner to decide.
const CORRUPT_MESSAGE: i32 = 2;

/// The answer with each marked partition refused, and how many these are.
///
/// # Errors
/// [`Stop::Malformed`] for a body that is not the answer.
pub fn refused(key: ApiKey, version: i16, body: &[u8]) -> Result<(Vec<u8>, usize), Stop<Infallible>> {
    let mut marks = Marks::default();
    scan(plans::response(key, version), body, &mut marks)?;
    let count = marks.marked.iter().filter(|marked| **marked).count();
    let with_codes = |place: Place<'_>| match place.path {
        "Responses.Partitions.ErrorCode" => Some(Role::ErrorCode),
        _ => role_of(place),
    };
    let plan = Plan::compile(key.response(), version, &with_codes);
    let (mut refusal, mut segments) = (Refusal { marks: marks.marked, codes: 0 }, Segments::default());
    walk(&plan, body, &mut refusal, &mut segments)?;
    Ok((segments.to_vec(body), count))
}

/// Whether the records of each partition are marked.
#[derive(Default)]
struct Marks {
    marked: Vec<bool>,
}

impl Visitor for Marks {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        if let (Role::Records, Value::Bytes(bytes)) = (role, value) {
            self.marked.push(bytes == Some(MARK));
        }
        Ok(Action::Keep)
    }
}

struct Refusal {
    marks: Vec<bool>,
    /// How many partitions began.
    codes: usize,
}

impl Visitor for Refusal {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        Ok(match (role, value) {
            (Role::ErrorCode, Value::Int(_)) => {
                self.codes += 1;
                let marked = self.marks.get(self.codes - 1) == Some(&true);
                if marked { Action::Int(CORRUPT_MESSAGE) } else { Action::Keep }
            }
            (Role::Records, Value::Bytes(Some(MARK))) => Action::Bytes(&[]),
            _ => Action::Keep,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;
    use wire::value;

    #[test]
    fn the_code_stands_on_the_marked_partition_alone() {
        for (key, versions) in [(ApiKey::Fetch, 4..=18), (ApiKey::ShareFetch, 1..=2)] {
            for version in versions {
                let mark = BASE64_STANDARD.encode(MARK);
                let partition = |index: i32, records: &str| json!({ "PartitionIndex": index, "Records": records });
                let answer = json!({ "Responses": [
                    { "Partitions": [partition(0, "AAAA"), partition(1, &mark)] },
                    { "Partitions": [partition(0, &mark), partition(1, "AAAA")] },
                ] });
                let body = value::encode(key.response(), version, &answer).unwrap();
                let (out, count) = refused(key, version, &body).unwrap();
                assert_eq!(count, 2);
                let out = value::decode(key.response(), version, &out).unwrap();
                let of = |topic: usize, partition: usize| {
                    let partition = &out["Responses"][topic]["Partitions"][partition];
                    (partition["ErrorCode"].clone(), partition["Records"].clone())
                };
                for (topic, good, bad) in [(0, 0, 1), (1, 1, 0)] {
                    assert_eq!(of(topic, good), (json!(0), json!("AAAA")), "{key:?} {version}");
                    assert_eq!(of(topic, bad), (json!(2), json!("")), "{key:?} {version}");
                }
                assert_eq!(out["ErrorCode"].as_i64().unwrap_or_default(), 0);
            }
        }
    }
}
