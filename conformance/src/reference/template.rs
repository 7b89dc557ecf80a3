//! Variables and made bytes in the bodies of scripts.
//!
//! A string that is `$name` is that variable's value, of whatever type; inside a longer string it is written `${name}`.
//! An object with one key that begins with `$` is made into bytes: `$batch` a record batch, `$embed` a message of the
//! consumer protocol with its version before it, `$repeat` a long string.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use wire::schema::Message;
use wire::value;

use super::batch;

const MADE: [&str; 3] = ["$batch", "$embed", "$repeat"];

/// Whether an object stands for bytes and not for fields.
pub(super) fn is_made(map: &Map<String, Value>) -> bool {
    map.len() == 1 && map.keys().all(|key| MADE.contains(&key.as_str()))
}

/// Why a body cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FillError {
    /// A variable that nothing kept.
    #[error("nothing kept a value for ${0}")]
    Missing(String),
    /// Bytes that cannot be made as they are described.
    #[error("{0}")]
    Made(String),
}

/// Fills in what is known and leaves the rest as it is written.
pub(super) fn fill_known(template: &Value, known: &Map<String, Value>) -> Value {
    match template {
        Value::String(text) => string(text, |name| known.get(name).cloned()).unwrap_or_else(|_| template.clone()),
        Value::Array(list) => list.iter().map(|item| fill_known(item, known)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), fill_known(value, known))).collect())
        }
        other => other.clone(),
    }
}

/// Fills in everything and makes the bytes.
///
/// # Errors
/// [`FillError`]
pub(super) fn fill(
    template: &Value,
    bound: &Map<String, Value>,
    kept: &Map<String, Value>,
) -> Result<Value, FillError> {
    Ok(match template {
        // What is bound may itself name what was kept.
        Value::String(text) => string(text, |name| match bound.get(name) {
            Some(value @ (Value::String(_) | Value::Object(_) | Value::Array(_))) if value != template => {
                let mut rest = bound.clone();
                let _ = rest.remove(name);
                fill(value, &rest, kept).ok()
            }
            Some(value) => Some(value.clone()),
            None => kept.get(name).cloned(),
        })?,
        Value::Array(list) => list.iter().map(|item| fill(item, bound, kept)).collect::<Result<_, _>>()?,
        Value::Object(map) => {
            let filled = |(key, value): (&String, &Value)| Ok((key.clone(), fill(value, bound, kept)?));
            let filled: Map<_, _> = map.iter().map(filled).collect::<Result<_, _>>()?;
            if is_made(&filled) { made(&filled, kept)? } else { Value::Object(filled) }
        }
        other => other.clone(),
    })
}

fn string(text: &str, of: impl Fn(&str) -> Option<Value>) -> Result<Value, FillError> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if let Some(name) = text.strip_prefix('$').filter(|name| is_name(name)) {
        return of(name).ok_or_else(|| FillError::Missing(name.to_owned()));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}').filter(|(name, _)| is_name(name)) else { break };
        out.push_str(before);
        match of(name).ok_or_else(|| FillError::Missing(name.to_owned()))? {
            Value::String(value) => out.push_str(&value),
            other => out.push_str(&other.to_string()),
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(Value::String(out))
}

fn made(map: &Map<String, Value>, kept: &Map<String, Value>) -> Result<Value, FillError> {
    let problem = |text: String| FillError::Made(text);
    let Some((kind, what)) = map.iter().next() else { return Ok(Value::Null) };
    let bytes = match kind.as_str() {
        "$repeat" => {
            let text = what[0].as_str().zip(what[1].as_u64());
            let (text, count) = text.ok_or_else(|| problem(format!("$repeat takes a text and a count, not {what}")))?;
            return Ok(Value::String(text.repeat(usize::try_from(count).unwrap_or_default())));
        }
        "$batch" => batch::encode(what, kept.get("now").and_then(Value::as_i64)).map_err(problem)?,
        _ => {
            let name = what["message"].as_str().unwrap_or_default();
            let message = Message::named(name).ok_or_else(|| problem(format!("there is no message '{name}'")))?;
            let version = what["version"].as_i64().and_then(|n| i16::try_from(n).ok()).unwrap_or_default();
            let body = value::encode(message, version, &what["body"]).map_err(|error| problem(error.to_string()))?;
            [&version.to_be_bytes()[..], &body].concat()
        }
    };
    Ok(Value::String(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_keep_their_type_alone_and_are_text_inside_of_text() {
        let bound = json!({ "v": 3, "topic": "t-${id}" });
        let kept = json!({ "id": 7 });
        let (bound, kept) = (bound.as_object().unwrap(), kept.as_object().unwrap());
        let filled = fill(&json!(["$v", "a${v}b", "$topic", "$$", "costs $", "${x", "$id"]), bound, kept);
        assert_eq!(filled, Ok(json!([3, "a3b", "t-7", "$$", "costs $", "${x", 7])));
        assert_eq!(fill(&json!("$gone"), bound, kept), Err(FillError::Missing("gone".to_owned())));
        assert_eq!(fill_known(&json!("$gone"), bound), json!("$gone"));
    }

    #[test]
    fn bytes_are_made() {
        let none = Map::new();
        let fill = |value: Value| fill(&value, &none, &none);
        assert_eq!(fill(json!({ "$repeat": ["ab", 3] })), Ok(json!("ababab")));
        let embedded = json!({ "$embed": { "message": "ConsumerProtocolSubscription", "version": 0,
                                           "body": { "Topics": ["t"], "UserData": null } } });
        let bytes = STANDARD.encode([0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(fill(embedded), Ok(json!(bytes)));
    }
}
