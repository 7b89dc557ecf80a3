//! Two answers that must not differ: the asked names replaced, what is random or a time left out.

use serde_json::{Value, json};

/// Random, a time, or counted up by every request: only whether there is something is compared.
const VOLATILE: [&str; 9] = [
    "ThrottleTimeMs",
    "MemberId",
    "Leader",
    "ProducerId",
    "TopicId",
    "MemberEpoch",
    "LogAppendTimeMs",
    "GenerationId",
    "AcquisitionLockTimeoutMs",
];

/// The answer with each first name replaced by the second one.
pub fn comparable(answer: &Value, names: &[(&str, &str)]) -> Value {
    match answer {
        Value::Object(map) => {
            let fields = map.iter().map(|(field, value)| {
                let value = match field.as_str() {
                    // No session is 0, and any other number is drawn by the broker.
                    "SessionId" => json!(if *value == 0 { "none" } else { "some" }),
                    field if VOLATILE.contains(&field) => presence(value),
                    _ => comparable(value, names),
                };
                (field.clone(), value)
            });
            Value::Object(fields.collect())
        }
        Value::Array(list) => list.iter().map(|item| comparable(item, names)).collect(),
        Value::String(text) => json!(names.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to))),
        other => other.clone(),
    }
}

fn presence(value: &Value) -> Value {
    match value {
        Value::Number(_) => json!(if value.as_i64().is_some_and(|n| n < 0) { "none" } else { "some" }),
        Value::String(text) => {
            json!(if text.is_empty() || text.bytes().all(|b| b == b'A') { "none" } else { "some" })
        }
        other => other.clone(),
    }
}

/// The error codes at any depth, in order.
pub fn errors(answer: &Value) -> Vec<i64> {
    let mut found = Vec::new();
    gather(answer, &mut found);
    found
}

fn gather(value: &Value, found: &mut Vec<i64>) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                if field.ends_with("ErrorCode") {
                    found.extend(value.as_i64());
                }
                gather(value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

/// The error texts at any depth.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(field, value)| match value {
                Value::String(text) if field.ends_with("ErrorMessage") => vec![text.clone()],
                other => texts(other),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_equal_but_for_names_and_chance() {
        let one =
            json!({ "Name": "a.orders", "ErrorCode": 3, "ThrottleTimeMs": 1, "TopicId": "AAAAAAAAAAAAAAAAAAAAAA" });
        let two =
            json!({ "Name": "a.nobody", "ErrorCode": 3, "ThrottleTimeMs": 9, "TopicId": "AAAAAAAAAAAAAAAAAAAAAA" });
        assert_eq!(comparable(&one, &[("orders", "nobody")]), comparable(&two, &[]));
        let known =
            json!({ "Name": "a.nobody", "ErrorCode": 3, "ThrottleTimeMs": 9, "TopicId": "x0AAAAAAAAAAAAAAAAAAAA" });
        assert_ne!(comparable(&two, &[]), comparable(&known, &[]));
        assert_eq!(errors(&json!({ "ErrorCode": 0, "T": [{ "PartitionErrorCode": 7 }] })), [0, 7]);
        assert_eq!(texts(&json!({ "T": [{ "ErrorMessage": "no" }, { "ErrorMessage": null }] })), ["no"]);
    }
}
