//! What a step must come to, and in which words it did not.
//!
//! Passwords come along in results, so values are shown through `shown`, which hides them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::drivers::Outcome;

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The step must fail with one of these codes. Empty: it must succeed.
    #[serde(default)]
    pub fails: Vec<String>,
    /// What the fields of the result must be.
    #[serde(default)]
    pub result: BTreeMap<String, Matcher>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matcher {
    #[serde(default)]
    pub is: Option<Value>,
    #[serde(default)]
    pub is_not: Option<Value>,
    /// These elements and no others, in any order.
    #[serde(default)]
    pub are: Option<Value>,
    #[serde(default)]
    pub have: Option<Value>,
    #[serde(default)]
    pub lack: Option<Value>,
}

impl Expect {
    /// Every way in which the outcome is not the expected one.
    pub fn complaints(&self, outcome: &Outcome) -> Vec<String> {
        match outcome {
            Err(refusal) if self.fails.contains(&refusal.code) => Vec::new(),
            Err(refusal) if self.fails.is_empty() => vec![format!("failed with {refusal}")],
            Err(refusal) => vec![format!("failed with {refusal}, expected {}", self.fails.join(" or "))],
            Ok(_) if !self.fails.is_empty() => vec![format!("succeeded, expected {}", self.fails.join(" or "))],
            Ok(result) => self
                .result
                .iter()
                .flat_map(|(field, matcher)| match result.get(field) {
                    Some(found) => matcher.complaints(field, found),
                    None => vec![format!("the result has no field '{field}'")],
                })
                .collect(),
        }
    }
}

impl Matcher {
    fn complaints(&self, field: &str, found: &Value) -> Vec<String> {
        let hidden = |value: &Value| shown(field, value);
        let mut complaints = Vec::new();
        if let Some(wanted) = self.is.as_ref().filter(|wanted| *wanted != found) {
            complaints.push(format!("{field} is {}, expected {}", hidden(found), hidden(wanted)));
        }
        if self.is_not.as_ref() == Some(found) {
            complaints.push(format!("{field} is {}, expected another value", hidden(found)));
        }
        if let Some(wanted) = self.are.as_ref().filter(|wanted| sorted(wanted) != sorted(found)) {
            complaints.push(format!("{field} are {}, expected exactly {}", hidden(found), hidden(wanted)));
        }
        for wanted in elements(self.have.as_ref()).filter(|wanted| !contains(found, wanted)) {
            complaints.push(format!("{field} lack {}: {}", hidden(wanted), hidden(found)));
        }
        for unwanted in elements(self.lack.as_ref()).filter(|unwanted| contains(found, unwanted)) {
            complaints.push(format!("{field} have {}: {}", hidden(unwanted), hidden(found)));
        }
        complaints
    }
}

fn elements(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

fn contains(list: &Value, element: &Value) -> bool {
    elements(Some(list)).any(|one| one == element)
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<String> = elements(Some(list)).map(Value::to_string).collect();
    texts.sort();
    texts
}

fn shown(field: &str, value: &Value) -> String {
    const LONGEST: usize = 400;
    if field == "password" {
        return "***".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::drivers::Refusal;

    fn expect(yaml: &str) -> Expect {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn success_is_expected_unless_said_otherwise() {
        let refused: Outcome = Err(Refusal { code: "TIMED_OUT".into(), message: "late".into() });
        assert_eq!(Expect::default().complaints(&refused).len(), 1);
        assert!(expect("fails: [TIMED_OUT, TRANSPORT]").complaints(&refused).is_empty());
        assert_eq!(expect("fails: [TRANSPORT]").complaints(&refused).len(), 1);
        assert_eq!(expect("fails: [TRANSPORT]").complaints(&Ok(json!({}))).len(), 1);
    }

    #[test]
    fn elements_are_compared_in_any_order_and_counted() {
        let two: Outcome = Ok(json!({ "values": ["b", "a"] }));
        assert!(expect("result: { values: { are: [a, b] } }").complaints(&two).is_empty());
        let twice: Outcome = Ok(json!({ "values": ["a", "a", "b"] }));
        assert_eq!(expect("result: { values: { are: [a, b] } }").complaints(&twice).len(), 1);
        assert_eq!(expect("result: { values: { lack: [a] } }").complaints(&two).len(), 1);
        assert_eq!(expect("result: { values: { have: [c] } }").complaints(&two).len(), 1);
        assert_eq!(expect("result: { value: { is: 1 } }").complaints(&two), ["the result has no field 'value'"]);
    }

    #[test]
    fn a_password_is_never_shown() {
        let found: Outcome = Ok(json!({ "password": "s3cret" }));
        let complaints = expect("result: { password: { is: other } }").complaints(&found);
        assert_eq!(complaints, ["password is ***, expected ***"]);
    }
}
