//! DescribeClientQuotas: a virtual cluster has no quotas of its own, so that none is what there is; those of the physical
//! cluster are its operators'.

use super::{SessionError, local};
use crate::apis::check::Checked;
use crate::naming::prefix::Namespace;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;

/// Longer requests than any honest one are not decoded.
const LONGEST: usize = 64 << 10;

/// The answer to a client. The transparent virtual cluster shows the physical one, of whose quotas nothing is known here: to it
/// "none" would be a lie.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub fn describe(request: &Checked<'_>, namespace: &Namespace) -> Result<Vec<u8>, SessionError> {
    let refused = |code: i16, text: String| {
        local::answer(request, &json!({ "ErrorCode": code, "ErrorMessage": text, "Entries": null }))
    };
    if namespace.is_transparent() {
        let text = "The quotas of the physical cluster are not shown here; ask its brokers.";
        return refused(CLUSTER_AUTHORIZATION_FAILED, text.to_owned());
    }
    if request.body().len() > LONGEST {
        return refused(INVALID_REQUEST, format!("The request is longer than {LONGEST} bytes."));
    }
    let asked = local::asked(request)?;
    match check(&asked) {
        Ok(()) => local::answer(request, &json!({ "ErrorMessage": null, "Entries": [] })),
        Err((code, text)) => refused(code, text),
    }
}

/// Refuses a filter that brokers refuse, in their words.
fn check(asked: &Value) -> Result<(), (i16, String)> {
    let invalid = |text: String| Err((INVALID_REQUEST, text));
    let mut seen = BTreeSet::new();
    for component in asked["Components"].as_array().into_iter().flatten() {
        let ty = component["EntityType"].as_str().unwrap_or_default();
        if ty.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if !seen.insert(ty) {
            return invalid(format!("Entity type {ty} cannot appear more than once in the filter."));
        }
        if !matches!(ty, "user" | "client-id" | "ip") {
            return Err((UNSUPPORTED_VERSION, format!("Unsupported entity type {ty}")));
        }
        let specified = |kind: &str| format!("Request specified {kind}, but also specified a match string.");
        match (component["MatchType"].as_i64(), component["Match"].is_null()) {
            (Some(0), false) | (Some(1 | 2), true) => {}
            (Some(0), true) => {
                return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned());
            }
            (Some(1), false) => return invalid(specified("MATCH_TYPE_DEFAULT")),
            (Some(2), false) => return invalid(specified("MATCH_TYPE_SPECIFIED")),
            (other, _) => return invalid(format!("Unknown match type {}", other.unwrap_or_default())),
        }
    }
    if seen.contains("ip") && seen.len() > 1 {
        let text = "Invalid entity filter component combination. IP filter component should not be used with user or \
                    clientId filter component.";
        return invalid(text.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_brokers_refuse_is_refused() {
        let component =
            |ty: &str, kind: i8, name: Option<&str>| json!({ "EntityType": ty, "MatchType": kind, "Match": name });
        let code = |components: &[Value]| check(&json!({ "Components": components })).err().map(|(code, _)| code);
        assert_eq!(code(&[]), None);
        assert_eq!(code(&[component("user", 2, None), component("client-id", 0, Some("app"))]), None);
        for refused in [
            &[component("", 0, Some("x"))][..],
            &[component("user", 1, None), component("user", 2, None)],
            &[component("user", 0, None)],
            &[component("user", 1, Some("x"))],
            &[component("user", 2, Some("x"))],
            &[component("user", 3, None)],
            &[component("ip", 1, None), component("user", 1, None)],
        ] {
            assert_eq!(code(refused), Some(INVALID_REQUEST), "{refused:?}");
        }
        assert_eq!(code(&[component("team", 0, Some("x"))]), Some(UNSUPPORTED_VERSION));
    }
}
