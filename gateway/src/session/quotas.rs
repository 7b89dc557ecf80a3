//! DescribeClientQuotas and AlterClientQuotas: the quotas of a virtual cluster's own users and client ids.
//!
//! Clients set bytes a second within what the operator allows, and lift none of the operator's quotas, which they are shown where
//! those are less. The quotas of the physical cluster are its operators'.

use super::acls::{Kept, NotKept};
use super::{SessionError, local};
use crate::apis::check::Checked;
use crate::naming::prefix::Namespace;
use crate::quotas::Rate;
use crate::quotas::rules::{Entity, Name, Rules};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const REQUEST_TIMED_OUT: i16 = 7;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;

/// Longer requests than any honest one are not decoded.
const LONGEST: usize = 64 << 10;
/// What clients may set, and what it is here.
const KEYS: [(&str, Rate); 2] = [("producer_byte_rate", Rate::Produce), ("consumer_byte_rate", Rate::Fetch)];
/// What clients may set at a Kafka of their own and not here.
const NOT_KEPT: [&str; 2] = ["request_percentage", "controller_mutation_rate"];
/// No limit is larger: 2^53, up to where a float of Kafka's counts bytes one by one.
const LARGEST: f64 = 9_007_199_254_740_992.0;
const PHYSICAL: &str = "The quotas of the physical cluster are not shown here; ask its brokers.";

/// One limit that a client sets, or takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whose.
    pub entity: Entity,
    /// Of what.
    pub rate: Rate,
    /// Units a second; `None` for no limit.
    pub limit: Option<u64>,
}

/// Where the quotas are kept that clients set.
pub trait QuotaKeeper: std::fmt::Debug + Send + Sync {
    /// Sets all of these or none.
    fn set(self: Arc<Self>, virtual_cluster: Arc<str>, settings: Vec<Setting>) -> Kept<()>;
}

/// The answer to DescribeClientQuotas. The transparent virtual cluster shows the physical one, of whose quotas nothing is known
/// here: to it "none" would be a lie.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub fn describe(request: &Checked<'_>, namespace: &Namespace, rules: Option<&Rules>) -> Result<Vec<u8>, SessionError> {
    let refused = |code: i16, text: String| {
        local::answer(request, &json!({ "ErrorCode": code, "ErrorMessage": text, "Entries": null }))
    };
    if namespace.is_transparent() {
        return refused(CLUSTER_AUTHORIZATION_FAILED, PHYSICAL.to_owned());
    }
    if request.body().len() > LONGEST {
        return refused(INVALID_REQUEST, format!("The request is longer than {LONGEST} bytes."));
    }
    let asked = local::asked(request)?;
    match check(&asked) {
        Ok(()) => local::answer(request, &json!({ "ErrorMessage": "", "Entries": entries(&asked, rules) })),
        Err((code, text)) => refused(code, text),
    }
}

/// The quotas that a filter means, each with the least of the operator's and the clients' own.
fn entries(asked: &Value, rules: Option<&Rules>) -> Vec<Value> {
    let mut limits: BTreeMap<&Entity, [Option<u64>; KEYS.len()]> = BTreeMap::new();
    for (entity, rates) in rules.into_iter().flat_map(|rules| rules.operator.iter().chain(&rules.clients)) {
        let known = limits.entry(entity).or_default();
        for (known, (_, rate)) in known.iter_mut().zip(KEYS) {
            *known = known.iter().copied().chain(rates[rate as usize]).min();
        }
    }
    let set =
        limits.into_iter().filter(|(entity, limits)| limits.iter().any(Option::is_some) && is_meant(asked, entity));
    set.map(|(entity, limits)| {
        let named = parts(entity).into_iter().filter(|(_, name)| **name != Name::Any);
        let named = named.map(|(ty, name)| {
            let name = if let Name::Is(name) = name { Some(&**name) } else { None };
            json!({ "EntityType": ty, "EntityName": name })
        });
        #[allow(clippy::cast_precision_loss, reason = "Kafka's own type for them")]
        let value =
            |((key, _), limit): ((&str, Rate), Option<u64>)| Some(json!({ "Key": key, "Value": limit? as f64 }));
        let values: Vec<Value> = KEYS.into_iter().zip(limits).filter_map(value).collect();
        json!({ "Entity": named.collect::<Vec<_>>(), "Values": values })
    })
    .collect()
}

const fn parts(entity: &Entity) -> [(&'static str, &Name); 2] {
    [("user", &entity.user), ("client-id", &entity.client_id)]
}

fn is_meant(asked: &Value, entity: &Entity) -> bool {
    let components = asked["Components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |ty: &str| components.iter().find(|component| component["EntityType"] == *ty);
    if of("ip").is_some() {
        return false;
    }
    parts(entity).into_iter().all(|(ty, name)| match of(ty) {
        None => asked["Strict"] != true || *name == Name::Any || components.is_empty(),
        Some(component) => match component["MatchType"].as_i64() {
            Some(0) => matches!(name, Name::Is(name) if component["Match"].as_str() == Some(name)),
            Some(1) => *name == Name::Default,
            _ => *name != Name::Any,
        },
    })
}

/// The answer to AlterClientQuotas.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub async fn alter(
    request: &Checked<'_>,
    namespace: &Namespace,
    virtual_cluster: &Arc<str>,
    rules: Option<&Rules>,
    keeper: &Arc<dyn QuotaKeeper>,
) -> Result<Vec<u8>, SessionError> {
    let asked = local::asked(request)?;
    let mut results = Vec::new();
    for entry in asked["Entries"].as_array().into_iter().flatten() {
        let settings = if namespace.is_transparent() {
            Err((CLUSTER_AUTHORIZATION_FAILED, PHYSICAL.to_owned()))
        } else {
            settings(entry, rules)
        };
        let done = match settings {
            Ok(settings) if asked["ValidateOnly"] != true => {
                let kept = Arc::clone(keeper).set(Arc::clone(virtual_cluster), settings).await;
                kept.map_err(|not| (not_kept(&not), not.to_string()))
            }
            checked => checked.map(drop),
        };
        let (code, text) = done.err().map_or((0, None), |(code, text)| (code, Some(text)));
        results.push(json!({ "ErrorCode": code, "ErrorMessage": text, "Entity": entry["Entity"] }));
    }
    local::answer(request, &json!({ "Entries": results }))
}

const fn not_kept(not: &NotKept) -> i16 {
    match not {
        NotKept::Refused(_) => POLICY_VIOLATION,
        NotKept::Unavailable(_) => REQUEST_TIMED_OUT,
    }
}

/// What one entry sets, unless brokers or the operator would not have it.
fn settings(entry: &Value, rules: Option<&Rules>) -> Result<Vec<Setting>, (i16, String)> {
    let invalid = |text: String| (INVALID_REQUEST, text);
    let mut entity = Entity { user: Name::Any, client_id: Name::Any };
    let named = entry["Entity"].as_array().map(Vec::as_slice).unwrap_or_default();
    if named.is_empty() {
        return Err(invalid("Invalid empty client quota entity".to_owned()));
    }
    for part in named {
        let ty = part["EntityType"].as_str().unwrap_or_default();
        let place = match ty {
            "user" => &mut entity.user,
            "client-id" => &mut entity.client_id,
            "ip" => {
                let text = "The addresses that clients come from are the gateway operator's to limit.";
                return Err((POLICY_VIOLATION, text.to_owned()));
            }
            other => return Err(invalid(format!("Unhandled client quota entity type: {other}"))),
        };
        if *place != Name::Any {
            return Err(invalid(format!("Duplicate {ty} in the client quota entity")));
        }
        *place = match part["EntityName"].as_str() {
            None => Name::Default,
            Some("" | "*") => return Err(invalid(format!("Invalid {ty}: to mean each, use the default entity"))),
            Some(name) => Name::Is(name.into()),
        };
    }
    let ops = entry["Ops"].as_array().map(Vec::as_slice).unwrap_or_default();
    ops.iter().map(|op| setting(op, &entity, rules)).collect()
}

fn setting(op: &Value, entity: &Entity, rules: Option<&Rules>) -> Result<Setting, (i16, String)> {
    let key = op["Key"].as_str().unwrap_or_default();
    let Some((_, rate)) = KEYS.into_iter().find(|(known, _)| *known == key) else {
        if !NOT_KEPT.contains(&key) {
            return Err((INVALID_REQUEST, format!("Invalid configuration key {key}")));
        }
        let known = KEYS.map(|(key, _)| key).join(" and ");
        return Err((
            POLICY_VIOLATION,
            format!("A virtual cluster keeps {known}, and no '{key}': the gateway's operator limits requests"),
        ));
    };
    if op["Remove"] == true {
        return Ok(Setting { entity: entity.clone(), rate, limit: None });
    }
    let value = op["Value"].as_f64().unwrap_or_default();
    if !(1.0..=LARGEST).contains(&value) {
        return Err((INVALID_REQUEST, format!("Quota {key} must be at least 1 and at most 2^53, not {value}")));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in between")]
    let limit = value as u64;
    if let Some(most) = rules.and_then(|rules| rules.ceiling(rate, entity)).filter(|most| limit > *most) {
        let text =
            format!("Quota {key} may be at most {most} here, not {limit}: the gateway's operator set that limit");
        return Err((POLICY_VIOLATION, text));
    }
    Ok(Setting { entity: entity.clone(), rate, limit: Some(limit) })
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

    fn entity(user: Option<&str>, client_id: Option<&str>) -> Entity {
        Entity { user: Name::declared(user), client_id: Name::declared(client_id) }
    }

    fn rules() -> Rules {
        let mut rules = Rules { whole: [Some(1000), None, None], ..Rules::default() };
        let _ = rules.operator.insert(entity(Some("alice"), None), [Some(500), Some(70), Some(3)]);
        let _ = rules.clients.insert(entity(Some("alice"), None), [Some(600), Some(50), None]);
        let _ = rules.clients.insert(entity(Some("*"), Some("app")), [Some(9), None, None]);
        let _ = rules.operator.insert(entity(None, Some("*")), [None, None, Some(1)]);
        rules
    }

    #[test]
    fn a_filter_means_what_it_means_to_brokers() {
        let component =
            |ty: &str, kind: i8, name: Option<&str>| json!({ "EntityType": ty, "MatchType": kind, "Match": name });
        let count = |components: &[Value], strict: bool| {
            entries(&json!({ "Components": components, "Strict": strict }), Some(&rules())).len()
        };
        assert_eq!((count(&[], false), count(&[], true)), (2, 2));
        let users = component("user", 2, None);
        assert_eq!((count(std::slice::from_ref(&users), false), count(&[users], true)), (2, 1));
        assert_eq!(count(&[component("user", 1, None)], false), 1);
        assert_eq!(count(&[component("user", 0, Some("alice"))], true), 1);
        assert_eq!(count(&[component("user", 0, Some("bob"))], false), 0);
        assert_eq!(count(&[component("client-id", 0, Some("app"))], true), 0);
        assert_eq!(count(&[component("ip", 2, None)], false), 0);
        let alice = entries(&json!({ "Components": [component("user", 0, Some("alice"))] }), Some(&rules()));
        let values =
            json!([{ "Key": "producer_byte_rate", "Value": 500.0 }, { "Key": "consumer_byte_rate", "Value": 50.0 }]);
        assert_eq!(alice[0]["Values"], values);
        assert_eq!(entries(&json!({ "Components": [] }), None).len(), 0);
    }

    #[test]
    fn clients_set_less_than_the_operator_and_nothing_else() {
        let set = |named: Value, key: &str, value: f64| {
            settings(
                &json!({ "Entity": named, "Ops": [{ "Key": key, "Value": value, "Remove": false }] }),
                Some(&rules()),
            )
        };
        let alice = json!([{ "EntityType": "user", "EntityName": "alice" }]);
        let bob = json!([{ "EntityType": "user", "EntityName": "bob" }]);
        let expected = Setting { entity: entity(Some("alice"), None), rate: Rate::Produce, limit: Some(500) };
        assert_eq!(set(alice.clone(), "producer_byte_rate", 500.0), Ok(vec![expected]));
        let code = |result: Result<Vec<Setting>, (i16, String)>| result.err().map(|(code, _)| code);
        assert_eq!(code(set(alice.clone(), "producer_byte_rate", 501.0)), Some(POLICY_VIOLATION));
        assert_eq!(code(set(bob.clone(), "producer_byte_rate", 1000.0)), None);
        assert_eq!(code(set(bob.clone(), "producer_byte_rate", 1001.0)), Some(POLICY_VIOLATION));
        assert_eq!(code(set(bob.clone(), "consumer_byte_rate", 1e12)), None);
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(code(set(bob.clone(), "consumer_byte_rate", value)), Some(INVALID_REQUEST), "{value}");
        }
        assert_eq!(code(set(bob.clone(), "request_percentage", 5.0)), Some(POLICY_VIOLATION));
        assert_eq!(code(set(bob.clone(), "no_such_rate", 5.0)), Some(INVALID_REQUEST));
        assert_eq!(code(set(json!([]), "producer_byte_rate", 5.0)), Some(INVALID_REQUEST));
        assert_eq!(code(set(json!([{ "EntityType": "ip", "EntityName": "::1" }]), "x", 5.0)), Some(POLICY_VIOLATION));
        let twice = json!([{ "EntityType": "user", "EntityName": "a" }, { "EntityType": "user", "EntityName": "b" }]);
        assert_eq!(code(set(twice, "producer_byte_rate", 5.0)), Some(INVALID_REQUEST));
        let each = json!([{ "EntityType": "user", "EntityName": null }]);
        assert_eq!(set(each, "producer_byte_rate", 5.0).unwrap()[0].entity, entity(Some("*"), None));
    }
}
