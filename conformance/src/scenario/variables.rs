//! `${name.field}` in a step: fields of a sandbox's connection or of a result that was kept.

use serde_json::{Map, Value, json};

/// Replaces every `${name.field}`; a text that is nothing but one keeps the type of what it names.
pub(super) fn expand(value: &Value, known: &Map<String, Value>) -> Result<Value, String> {
    match value {
        Value::String(text) => expand_text(text, known),
        Value::Array(elements) => elements.iter().map(|element| expand(element, known)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| Ok((key.clone(), expand(value, known)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

fn expand_text(text: &str, known: &Map<String, Value>) -> Result<Value, String> {
    if let Some(name) =
        text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).filter(|name| !name.contains('$'))
    {
        return lookup(name, known).cloned();
    }
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("'{text}' opens ${{ and does not close it"))?;
        expanded.push_str(before);
        match lookup(name, known)? {
            Value::String(found) => expanded.push_str(found),
            found => expanded.push_str(&found.to_string()),
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Value::String(expanded))
}

fn lookup<'a>(name: &str, known: &'a Map<String, Value>) -> Result<&'a Value, String> {
    let (object, field) =
        name.split_once('.').ok_or_else(|| format!("${{{name}}} is not of the form ${{name.field}}"))?;
    let fields = known.get(object).ok_or_else(|| {
        let names: Vec<_> = known.keys().map(String::as_str).collect();
        format!("${{{name}}}: nothing is called '{object}'; known are {}", names.join(", "))
    })?;
    fields.get(field).ok_or_else(|| format!("${{{name}}}: '{object}' has no field '{field}'"))
}

/// `records: { count: 3, prefix: a- }` means three records with the values a-0, a-1, a-2 and the keys 0, 1, 2;
/// wherever values are compared, `{ count, prefix }` means their values.
pub(super) fn spread(field: &str, value: &Value) -> Value {
    let (Some(count), Some(prefix)) =
        (value.get("count").and_then(Value::as_u64), value.get("prefix").and_then(Value::as_str))
    else {
        return value.clone();
    };
    (0..count)
        .map(|number| {
            let value = format!("{prefix}{number}");
            if field == "records" { json!({ "key": number.to_string(), "value": value }) } else { json!(value) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Map<String, Value> {
        let Value::Object(known) = json!({ "pay": { "prefix": "sb_a.", "port": 6969 } }) else { unreachable!() };
        known
    }

    #[test]
    fn names_are_replaced_everywhere() {
        let step = json!({ "topic": "${pay.prefix}orders", "ports": ["${pay.port}", "x${pay.port}"] });
        let expanded = expand(&step, &known()).unwrap();
        assert_eq!(expanded, json!({ "topic": "sb_a.orders", "ports": [6969, "x6969"] }));
    }

    #[test]
    fn an_unknown_name_is_told() {
        let problem = expand(&json!("${shop.prefix}"), &known()).unwrap_err();
        assert_eq!(problem, "${shop.prefix}: nothing is called 'shop'; known are pay");
        assert!(expand(&json!("a${pay.prefix"), &known()).is_err());
    }

    #[test]
    fn records_are_spread_out() {
        let short = json!({ "count": 2, "prefix": "a-" });
        assert_eq!(spread("records", &short), json!([{ "key": "0", "value": "a-0" }, { "key": "1", "value": "a-1" }]));
        assert_eq!(spread("values", &short), json!(["a-0", "a-1"]));
    }
}
