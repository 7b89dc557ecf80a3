//! What a token with a right signature must say to be taken, and whom it is about.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Verified;
use super::rejection::Rejection;
use crate::config::{OAuth, RequiredClaim};
use crate::observe::shown::Shown;

/// No provider's subject is longer (OpenID Connect Core allows 255 characters of ASCII).
const LONGEST_PRINCIPAL: usize = 1024;

/// Checks the claims against the settings.
pub(super) fn check(claims: Map<String, Value>, rules: &OAuth, now: SystemTime) -> Result<Verified, Rejection> {
    let claims = Value::Object(claims);
    let issuer = text(&claims, "iss")?;
    if issuer != rules.expected_issuer {
        return Err(Rejection::Issuer(Shown::from(issuer)));
    }
    check_audience(&claims, rules)?;
    let expires_at = check_times(&claims, rules, now)?;
    for RequiredClaim { name, value } in &rules.required_claims {
        if !find(&claims, name).is_some_and(|found| holds(found, value)) {
            return Err(Rejection::RequiredClaim(name.clone()));
        }
    }
    let scopes = find(&claims, &rules.scope_claim).map(words).unwrap_or_default();
    if let Some(missing) = rules.required_scopes.iter().find(|scope| !scopes.contains(&scope.as_str())) {
        return Err(Rejection::Scope(missing.clone()));
    }
    let principal = text(&claims, &rules.principal_claim)?;
    let printable = !principal.is_empty() && !principal.chars().any(char::is_control);
    if !printable || principal.len() > LONGEST_PRINCIPAL {
        return Err(Rejection::Claim(rules.principal_claim.clone()));
    }
    Ok(Verified { principal: principal.to_owned(), expires_at })
}

/// RFC 7519 section 4.1.3: one text or several; one of them must be ours, unless everybody's tokens are taken.
fn check_audience(claims: &Value, rules: &OAuth) -> Result<(), Rejection> {
    if rules.expected_audiences.is_empty() {
        return Ok(());
    }
    let audiences = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Err(Rejection::Claim("aud".to_owned())),
    };
    if audiences.iter().any(|audience| rules.expected_audiences.iter().any(|expected| expected == audience)) {
        return Ok(());
    }
    Err(Rejection::Audience(Shown::from(audiences.join("', '"))))
}

/// The skew is for clocks that are ahead of this one. `exp` gets none: no session may outlive its token.
fn check_times(claims: &Value, rules: &OAuth, now: SystemTime) -> Result<SystemTime, Rejection> {
    let expires_at = time(claims, "exp")?.ok_or_else(|| Rejection::Claim("exp".to_owned()))?;
    if let Ok(since) = now.duration_since(expires_at) {
        return Err(Rejection::Expired(since.as_secs()));
    }
    let beyond_skew = |at: SystemTime| {
        let ahead = at.duration_since(now).unwrap_or_default();
        ahead.checked_sub(rules.clock_skew).map(|left| left.as_secs()).filter(|_| ahead > rules.clock_skew)
    };
    if let Some(seconds) = time(claims, "nbf")?.and_then(beyond_skew) {
        return Err(Rejection::NotYetValid(seconds));
    }
    if let Some(seconds) = time(claims, "iat")?.and_then(beyond_skew) {
        return Err(Rejection::FromTheFuture(seconds));
    }
    Ok(expires_at)
}

/// A NumericDate (RFC 7519 section 2), whose fraction does not matter here.
fn time(claims: &Value, name: &str) -> Result<Option<SystemTime>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.floor()).ok());
    let at = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    at.map(Some).ok_or_else(|| Rejection::Claim(name.to_owned()))
}

fn text<'a>(claims: &'a Value, name: &str) -> Result<&'a str, Rejection> {
    find(claims, name).and_then(Value::as_str).ok_or_else(|| Rejection::Claim(name.to_owned()))
}

/// A claim by its name, or inside others by a JSON Pointer (RFC 6901) such as `/realm_access/roles`.
fn find<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) }
}

/// Whether a claim is, or as a list contains, the value. Numbers and truths are compared as they are written.
fn holds(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Array(several) => several.iter().any(|one| !one.is_array() && holds(one, wanted)),
        Value::Number(number) => number.to_string() == wanted,
        Value::Bool(truth) => truth.to_string() == wanted,
        Value::Object(_) | Value::Null => false,
    }
}

/// The words of a scope claim: separated by spaces (RFC 8693 section 4.2), or a list as some providers write it.
fn words(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authn::oauth::fixtures::{rules, seconds};

    const NOW: u64 = 1_000_000;

    fn claims(changes: Value) -> Map<String, Value> {
        let base = json!({ "iss": "https://login.test", "aud": ["other", "kafka"], "sub": "0oa1", "exp": NOW + 60 });
        let (Value::Object(mut claims), Value::Object(changes)) = (base, changes) else { unreachable!() };
        claims.extend(changes);
        claims.retain(|_, value| !value.is_null());
        claims
    }

    fn checked(changes: Value) -> Result<Verified, Rejection> {
        check(claims(changes), &rules(), seconds(NOW))
    }

    fn claim(name: &str) -> Result<Verified, Rejection> {
        Err(Rejection::Claim(name.to_owned()))
    }

    #[test]
    fn a_token_for_us_names_its_subject_until_it_expires() {
        let verified = checked(json!({})).unwrap();
        assert_eq!(verified, Verified { principal: "0oa1".to_owned(), expires_at: seconds(NOW + 60) });
        for fits in [json!({ "aud": "kafka" }), json!({ "exp": (NOW + 60) as f64 + 0.9 }), json!({ "iat": NOW + 30 })] {
            assert_eq!(checked(fits).unwrap(), verified);
        }
    }

    #[test]
    fn other_issuers_and_audiences_are_refused() {
        assert_eq!(checked(json!({ "iss": "https://evil" })), Err(Rejection::Issuer("https://evil".into())));
        assert_eq!(checked(json!({ "iss": "https://login.test/" })).unwrap_err().status(), "invalid_token");
        assert_eq!(checked(json!({ "iss": null })), claim("iss"));
        assert_eq!(checked(json!({ "aud": "web" })), Err(Rejection::Audience("web".into())));
        assert_eq!(checked(json!({ "aud": ["a", "b", 7] })), Err(Rejection::Audience("a', 'b".into())));
        assert_eq!(checked(json!({ "aud": [] })), Err(Rejection::Audience("".into())));
        assert_eq!(checked(json!({ "aud": null })), claim("aud"));
        assert_eq!(checked(json!({ "aud": 7 })), claim("aud"));
        let everybody = OAuth { expected_audiences: Vec::new(), ..rules() };
        assert!(check(claims(json!({ "aud": null })), &everybody, seconds(NOW)).is_ok());
    }

    #[test]
    fn times_count_with_skew_only_for_clocks_that_are_ahead() {
        assert_eq!(checked(json!({ "exp": NOW })), Err(Rejection::Expired(0)));
        assert_eq!(checked(json!({ "exp": NOW - 5 })), Err(Rejection::Expired(5)));
        assert_eq!(checked(json!({ "nbf": NOW + 37 })), Err(Rejection::NotYetValid(7)));
        assert_eq!(checked(json!({ "iat": NOW + 31 })), Err(Rejection::FromTheFuture(1)));
        assert!(checked(json!({ "nbf": NOW + 30, "iat": NOW + 30 })).is_ok());
        for wrong in [json!(null), json!("soon"), json!(-1), json!(1e300), json!([1])] {
            assert_eq!(checked(json!({ "exp": wrong })), claim("exp"), "{wrong}");
        }
        assert_eq!(checked(json!({ "nbf": "x" })), claim("nbf"));
    }

    #[test]
    fn the_principal_is_one_printable_text() {
        for wrong in [json!(null), json!(""), json!(7), json!("a\nb"), json!("x".repeat(LONGEST_PRINCIPAL + 1))] {
            assert_eq!(checked(json!({ "sub": wrong })), claim("sub"), "{wrong}");
        }
        let nested = OAuth { principal_claim: "/act/name".to_owned(), ..rules() };
        let found = check(claims(json!({ "act": { "name": "app" } })), &nested, seconds(NOW)).unwrap();
        assert_eq!(found.principal, "app");
    }

    #[test]
    fn required_claims_and_scopes() {
        let required = |name: &str, value: &str| OAuth {
            required_claims: vec![RequiredClaim { name: name.to_owned(), value: value.to_owned() }],
            ..rules()
        };
        let given = || claims(json!({ "team": "data", "groups": ["a", "b"], "ra": { "roles": ["k"] }, "n": 7 }));
        for (name, value) in [("team", "data"), ("groups", "b"), ("/ra/roles", "k"), ("n", "7")] {
            assert!(check(given(), &required(name, value), seconds(NOW)).is_ok(), "{name}");
        }
        for (name, value) in [("team", "dat"), ("groups", "c"), ("/ra/roles", ""), ("ra", "k"), ("missing", "x")] {
            let expected = Err(Rejection::RequiredClaim(name.to_owned()));
            assert_eq!(check(given(), &required(name, value), seconds(NOW)), expected, "{name}");
        }
        let scoped = OAuth { required_scopes: vec!["kafka".to_owned()], ..rules() };
        for scope in [json!("openid kafka"), json!(["kafka"])] {
            assert!(check(claims(json!({ "scope": scope })), &scoped, seconds(NOW)).is_ok());
        }
        for scope in [json!("kafka.admin"), json!(""), json!(null), json!(["openid kafka"])] {
            let refused = check(claims(json!({ "scope": scope })), &scoped, seconds(NOW)).unwrap_err();
            assert_eq!((refused.status(), &refused), ("insufficient_scope", &Rejection::Scope("kafka".to_owned())));
        }
    }
}
