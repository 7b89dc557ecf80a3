//! Which errors an answer holds: a look over the whole of it that writes nothing and allocates nothing.

use std::sync::{LazyLock, OnceLock};

use wire::plan::{Op, Place, Plan, Role, Shape, Tagged};
use wire::read::{Cursor, Malformed};
use wire::schema::{ApiKey, Kind, Type};

use crate::observe::errors::ErrorClasses;

/// More versions than any API has.
const VERSIONS: usize = 32;

static PLANS: LazyLock<Vec<OnceLock<Codes>>> =
    LazyLock::new(|| (0..ApiKey::ALL.len() * VERSIONS).map(|_| OnceLock::new()).collect());

/// Where the codes stand in an answer.
#[derive(Debug)]
struct Codes {
    plan: Plan,
    /// How many of its steps matter: behind the last code there is nothing to look for.
    steps: usize,
}

/// The classes of the errors in an answer's body. Of one that is malformed those that were found before.
pub fn classes(key: ApiKey, version: i16, body: &[u8]) -> ErrorClasses {
    let slot = usize::try_from(version).unwrap_or(0).min(VERSIONS - 1);
    let codes = PLANS[key.index() * VERSIONS + slot].get_or_init(|| Codes::compile(key, version));
    let mut look = Look { cursor: Cursor::new(body), flexible: codes.plan.flexible, found: ErrorClasses::default() };
    // An answer that breaks off was refused before, or will be.
    let _ = look.ops(&codes.plan.ops[..codes.steps]);
    look.found
}

impl Codes {
    fn compile(key: ApiKey, version: i16) -> Self {
        let plan = Plan::compile(key.response(), version, &role_of);
        let steps = plan.ops.iter().rposition(holds_codes).map_or(0, |last| last + 1);
        Self { plan, steps }
    }
}

fn role_of(place: Place<'_>) -> Option<Role> {
    let is_code = place.message.kind == Kind::Response
        && place.field.name.ends_with("ErrorCode")
        && matches!(place.field.ty, Type::Int16);
    is_code.then_some(Role::ErrorCode)
}

fn holds_codes(op: &Op) -> bool {
    match op {
        Op::Field { .. } => true,
        Op::Array { element: ops, .. } | Op::NullableStruct(ops) => ops.iter().any(holds_codes),
        Op::Tags(known) => known.iter().any(|tagged| tagged.ops.iter().any(holds_codes)),
        Op::Skip(_) | Op::SkipSized { .. } => false,
    }
}

struct Look<'a> {
    cursor: Cursor<'a>,
    flexible: bool,
    found: ErrorClasses,
}

impl Look<'_> {
    fn ops(&mut self, ops: &[Op]) -> Result<(), Malformed> {
        for op in ops {
            match op {
                Op::Skip(n) => {
                    let _ = self.cursor.take(*n)?;
                }
                Op::SkipSized { short, nullable } => {
                    if let Some(n) = self.cursor.length(self.flexible, *short, *nullable)? {
                        let _ = self.cursor.take(n)?;
                    }
                }
                Op::Field { shape: Shape::Int16, .. } => self.found.add(self.cursor.i16()?),
                // Nothing else has a role here.
                Op::Field { .. } => {}
                Op::Array { nullable, element_min, element, .. } => {
                    let count = self.cursor.count(self.flexible, *nullable, *element_min)?.unwrap_or(0);
                    if let [Op::Skip(n)] = &element[..] {
                        let _ = self.cursor.take(n * count)?;
                        continue;
                    }
                    for _ in 0..count {
                        self.ops(element)?;
                    }
                }
                Op::NullableStruct(inner) => {
                    if self.cursor.i8()? == 1 {
                        self.ops(inner)?;
                    }
                }
                Op::Tags(known) => self.tags(known)?,
            }
        }
        Ok(())
    }

    fn tags(&mut self, known: &[Tagged]) -> Result<(), Malformed> {
        for _ in 0..self.cursor.varint()? {
            let tag = self.cursor.varint()?;
            let size = self.cursor.varint()? as usize;
            match known.iter().find(|tagged| tagged.tag == tag) {
                Some(tagged) if tagged.ops.iter().any(holds_codes) => self.ops(&tagged.ops)?,
                _ => {
                    let _ = self.cursor.take(size)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::value;

    use super::*;
    use crate::observe::errors::ErrorClass;

    fn found(key: ApiKey, version: i16, answer: &Value) -> Vec<ErrorClass> {
        let body = value::encode(key.response(), version, answer).unwrap();
        classes(key, version, &body).iter().collect()
    }

    #[test]
    fn errors_are_found_wherever_they_stand() {
        let produced = json!({ "Responses": [{ "Name": "a", "PartitionResponses": [
            { "Index": 0, "ErrorCode": 0 }, { "Index": 1, "ErrorCode": 29 }, { "Index": 2, "ErrorCode": 6 },
        ] }] });
        for version in [3, 8, 9, 11] {
            let both = [ErrorClass::Leadership, ErrorClass::Authorization];
            assert_eq!(found(ApiKey::Produce, version, &produced), both, "{version}");
        }
        assert_eq!(found(ApiKey::Heartbeat, 4, &json!({ "ErrorCode": 27 })), [ErrorClass::Group]);
        assert_eq!(found(ApiKey::Heartbeat, 0, &json!({})), []);
        let created = json!({ "Topics": [{ "Name": "a", "ErrorCode": 0, "TopicConfigErrorCode": 29 }] });
        assert_eq!(found(ApiKey::CreateTopics, 7, &created), [ErrorClass::Authorization], "in a tagged field");
    }

    #[test]
    fn every_served_answer_without_an_error_is_looked_through_to_its_last_code() {
        for key in ApiKey::ALL {
            for version in key.versions().min..=key.versions().max {
                let Ok(body) = value::encode(key.response(), version, &json!({})) else { continue };
                assert!(classes(*key, version, &body).is_empty(), "{key:?} {version}");
            }
        }
    }

    #[test]
    fn any_bytes_end_the_look() {
        for length in 0..64 {
            let _ = classes(ApiKey::Fetch, 12, &vec![0xff; length]);
            let _ = classes(ApiKey::Produce, 3, &vec![0x7f; length]);
        }
    }
}
