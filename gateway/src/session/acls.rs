//! DescribeAcls, CreateAcls and DeleteAcls: the rules of the client's own virtual cluster, in the words of a broker.
//!
//! Names in rules are the tenant's own, and so are all rules that it is shown: nothing here is renamed. What a broker refuses is
//! refused with its code and text.

use super::{SessionError, local};
use crate::apis::check::Checked;
use crate::audit::caller;
use crate::authz::acl::{
    AclBinding, AclFilter, CLUSTER_NAME, PatternFilter, PatternType, PermissionType, ResourcePattern,
};
use crate::authz::{Operation, Requester, ResourceType};
use crate::world::{VirtualCluster, check_rule};
use contract::resources::acl::AclMode;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use wire::schema::ApiKey;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const REQUEST_TIMED_OUT: i16 = 7;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;
const SECURITY_DISABLED: i16 = 54;

/// What Kafka's enumerations have beside the values that a rule can have.
const UNKNOWN: i64 = 0;
const ANY: i64 = 1;
const MATCH: i64 = 2;

/// Where the rules are kept that clients make. A session asks for changes and learns of them as everybody does: by the world,
/// which has them when the future ends.
pub trait AclKeeper: std::fmt::Debug + Send + Sync {
    /// Adds rules to a virtual cluster, all or none; those that are there already stay.
    fn create(self: Arc<Self>, virtual_cluster: Arc<str>, rules: Vec<AclBinding>) -> Kept<()>;

    /// Removes the rules that any of the filters means; tells for each filter which those were.
    fn delete(self: Arc<Self>, virtual_cluster: Arc<str>, filters: Vec<AclFilter>) -> Kept<Vec<Vec<AclBinding>>>;
}

/// What becomes of a change of rules.
pub type Kept<T> = Pin<Box<dyn Future<Output = Result<T, NotKept>> + Send>>;

/// Why rules were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// The rules cannot be, for a reason that lasts.
    #[error("{0}")]
    Refused(String),
    /// What keeps them is out of reach; the same may work later.
    #[error("{0}")]
    Unavailable(String),
}

impl NotKept {
    const fn code(&self) -> i16 {
        match self {
            Self::Refused(_) => POLICY_VIOLATION,
            Self::Unavailable(_) => REQUEST_TIMED_OUT,
        }
    }
}

/// Why a request is refused as a whole: Kafka's code, and a text.
type Refused = (i16, String);

/// The answer to a client that is `who` in this virtual cluster.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub async fn answer(
    request: &Checked<'_>,
    who: &Requester<'_>,
    cluster: &VirtualCluster,
    keeper: &Arc<dyn AclKeeper>,
) -> Result<Vec<u8>, SessionError> {
    let asked = local::asked(request)?;
    let body = match request.key() {
        ApiKey::DescribeAcls => describe(&asked, who, cluster).unwrap_or_else(|(code, text)| refusal(code, &text)),
        ApiKey::CreateAcls => {
            let created = create(&asked, who, cluster, keeper).await;
            json!({ "Results": each(&asked["Creations"], created) })
        }
        _ => {
            let deleted = delete(&asked, who, cluster, keeper).await;
            json!({ "FilterResults": each(&asked["Filters"], deleted) })
        }
    };
    local::answer(request, &body)
}

/// The answer where Kafka's own rules are the only ones, which stand under physical names.
///
/// # Errors
/// As [`answer`].
pub fn left_to_kafka(request: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
    const TEXT: &str = "The ACLs are those of the Kafka behind the gateway (KAFKA_MANAGED): ask its brokers.";
    let asked = local::asked(request)?;
    let refused = || Err((SECURITY_DISABLED, TEXT.to_owned()));
    let body = match request.key() {
        ApiKey::DescribeAcls => refusal(SECURITY_DISABLED, TEXT),
        ApiKey::CreateAcls => json!({ "Results": each(&asked["Creations"], refused()) }),
        _ => json!({ "FilterResults": each(&asked["Filters"], refused()) }),
    };
    local::answer(request, &body)
}

fn refusal(code: i16, text: &str) -> Value {
    json!({ "ErrorCode": code, "ErrorMessage": text })
}

/// One result for each element, also where all of them are refused together.
fn each(asked: &Value, results: Result<Vec<Value>, Refused>) -> Vec<Value> {
    results.unwrap_or_else(|(code, text)| elements(asked).iter().map(|_| refusal(code, &text)).collect())
}

fn elements(asked: &Value) -> &[Value] {
    asked.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a client may do this with the rules, and whether there are any.
fn permitted(who: &Requester<'_>, cluster: &VirtualCluster, operation: Operation, text: &str) -> Result<(), Refused> {
    let authorizer = &cluster.authorizer;
    if authorizer.is_unrestricted() {
        return Err((SECURITY_DISABLED, text.to_owned()));
    }
    if !authorizer.allows(who, operation, ResourceType::Cluster, CLUSTER_NAME) {
        return Err((CLUSTER_AUTHORIZATION_FAILED, "Cluster authorization failed.".to_owned()));
    }
    if operation != Operation::Describe && cluster.acl_mode == AclMode::RestApi {
        let text =
            "The ACLs of this virtual cluster are kept by its operator (aclMode REST_API): change its spec.acls.";
        return Err((SECURITY_DISABLED, text.to_owned()));
    }
    Ok(())
}

fn describe(asked: &Value, who: &Requester<'_>, cluster: &VirtualCluster) -> Result<Value, Refused> {
    permitted(who, cluster, Operation::Describe, "No Authorizer is configured on the broker")?;
    let filter = filter(asked)?;
    // A broker finds nothing by what it does not know.
    let found = cluster.authorizer.rules().filter(|rule| filter.as_ref().is_ok_and(|filter| filter.matches(rule)));
    let mut resources: Vec<Value> = Vec::new();
    let mut last: Option<&ResourcePattern> = None;
    for rule in found {
        let pattern = &rule.resource_pattern;
        if last != Some(pattern) {
            resources.push(json!({
                "ResourceType": pattern.resource_type.code(), "ResourceName": pattern.name,
                "PatternType": pattern.pattern_type.code(), "Acls": [],
            }));
            last = Some(pattern);
        }
        if let Some(Value::Array(acls)) = resources.last_mut().map(|resource| &mut resource["Acls"]) {
            acls.push(entry(rule));
        }
    }
    Ok(json!({ "ErrorMessage": "", "Resources": resources }))
}

fn entry(rule: &AclBinding) -> Value {
    json!({
        "Principal": rule.principal, "Host": rule.host, "Operation": rule.operation.code(),
        "PermissionType": rule.permission_type.code(),
    })
}

async fn create(
    asked: &Value,
    who: &Requester<'_>,
    cluster: &VirtualCluster,
    keeper: &Arc<dyn AclKeeper>,
) -> Result<Vec<Value>, Refused> {
    let creations = elements(&asked["Creations"]);
    permitted(who, cluster, Operation::Alter, "No Authorizer is configured.")?;
    for creation in creations {
        known(creation, ["ResourceType", "ResourcePatternType", "Operation", "PermissionType"])?;
    }
    if let Some(text) = creations.iter().find_map(means_many) {
        return Err((UNKNOWN_SERVER_ERROR, text));
    }
    let read: Vec<Result<AclBinding, String>> = creations.iter().map(binding).collect();
    let rules = read.iter().filter_map(|read| read.as_ref().ok().cloned()).collect::<Vec<_>>();
    if !rules.is_empty() {
        finished(Arc::clone(keeper).create(Arc::clone(&cluster.name), rules)).await?;
    }
    let result = |read: &Result<AclBinding, String>| match read {
        Ok(_) => refusal(0, ""),
        Err(text) => refusal(INVALID_REQUEST, text),
    };
    Ok(read.iter().map(result).collect())
}

async fn delete(
    asked: &Value,
    who: &Requester<'_>,
    cluster: &VirtualCluster,
    keeper: &Arc<dyn AclKeeper>,
) -> Result<Vec<Value>, Refused> {
    permitted(who, cluster, Operation::Alter, "No Authorizer is configured.")?;
    let filters = elements(&asked["Filters"]).iter().map(filter).collect::<Result<Vec<_>, _>>()?;
    let valid = filters.iter().filter_map(|filter| filter.as_ref().ok().cloned()).collect::<Vec<_>>();
    let deleted = match valid.is_empty() {
        true => Vec::new(),
        false => finished(Arc::clone(keeper).delete(Arc::clone(&cluster.name), valid)).await?,
    };
    let mut deleted = deleted.into_iter();
    let result = |filter: &Result<AclFilter, &str>| match filter {
        Ok(_) => json!({
            "ErrorMessage": null,
            "MatchingAcls": deleted.next().unwrap_or_default().iter().map(matching).collect::<Vec<_>>(),
        }),
        Err(text) => refusal(INVALID_REQUEST, text),
    };
    Ok(filters.iter().map(result).collect())
}

fn matching(rule: &AclBinding) -> Value {
    let mut matching = entry(rule);
    let pattern = &rule.resource_pattern;
    matching["ErrorMessage"] = Value::Null;
    matching["ResourceType"] = json!(pattern.resource_type.code());
    matching["ResourceName"] = json!(pattern.name);
    matching["PatternType"] = json!(pattern.pattern_type.code());
    matching
}

/// A change goes to its end, even if the client leaves meanwhile: half of one would stay in the log.
async fn finished<T: Send + 'static>(kept: Kept<T>) -> Result<T, Refused> {
    let ended_early =
        |_| Err(NotKept::Unavailable("the gateway is stopping; the change may or may not hold".to_owned()));
    tokio::spawn(caller::carried(kept)).await.unwrap_or_else(ended_early).map_err(|not| (not.code(), not.to_string()))
}

/// Kafka's own number for "unknown" is nothing that a client may send; a broker closes the connection on it, without a word.
fn known(asked: &Value, fields: [&str; 4]) -> Result<(), Refused> {
    let unknown = fields.into_iter().find(|field| number(asked, field) == UNKNOWN);
    unknown.map_or(Ok(()), |field| Err((INVALID_REQUEST, format!("{field} is 0, which stands for UNKNOWN"))))
}

fn number(asked: &Value, field: &str) -> i64 {
    asked[field].as_i64().unwrap_or_default()
}

fn text(asked: &Value, field: &str) -> String {
    asked[field].as_str().unwrap_or_default().to_owned()
}

fn code(asked: &Value, field: &str) -> i8 {
    i8::try_from(number(asked, field)).unwrap_or_default()
}

/// Why a rule would be about more than one thing, where it would be. A broker refuses the whole request for it.
fn means_many(creation: &Value) -> Option<String> {
    let many = |field: &str| match number(creation, field) {
        ANY => Some("ANY"),
        MATCH if field == "ResourcePatternType" => Some("MATCH"),
        _ => None,
    };
    let fields = [
        ("ResourceType", "resourceType"),
        ("ResourcePatternType", "patternType"),
        ("Operation", "operation"),
        ("PermissionType", "permissionType"),
    ];
    fields.into_iter().find_map(|(field, name)| Some(format!("Invalid {name} {}: it belongs to filters", many(field)?)))
}

/// The rule of a creation, or what a broker says of it; in a broker's order.
fn binding(creation: &Value) -> Result<AclBinding, String> {
    let (ty, name) = (ResourceType::from_code(code(creation, "ResourceType")), text(creation, "ResourceName"));
    if ty == Some(ResourceType::Cluster) && name != CLUSTER_NAME {
        return Err(format!("The only valid name for the CLUSTER resource is {CLUSTER_NAME}"));
    }
    if name.is_empty() {
        return Err("Invalid empty resource name".to_owned());
    }
    let invalid = |what: &str| format!("Invalid {what} UNKNOWN");
    let resource_type = ty.ok_or_else(|| invalid("resourceType"))?;
    let pattern_type = PatternType::from_code(code(creation, "ResourcePatternType"));
    let pattern_type = pattern_type.ok_or_else(|| invalid("patternType"))?;
    let operation = Operation::from_code(code(creation, "Operation")).ok_or_else(|| invalid("operation"))?;
    let permission_type = PermissionType::from_code(code(creation, "PermissionType"));
    let permission_type = permission_type.ok_or_else(|| invalid("permissionType"))?;
    let principal = text(creation, "Principal");
    if !principal.contains(':') {
        return Err(format!(
            "Could not parse principal from `{principal}` (no colon is present separating the principal type from the \
             principal name)"
        ));
    }
    let resource_pattern = ResourcePattern { resource_type, name, pattern_type };
    let host = text(creation, "Host");
    let rule = AclBinding { resource_pattern, principal, host, operation, permission_type };
    check_rule(&rule).map(|()| rule).map_err(|(path, message)| format!("Invalid ACL: {path} {message}"))
}

/// The filter of a request, or what a broker says of it when it deletes.
fn filter(asked: &Value) -> Result<Result<AclFilter, &'static str>, Refused> {
    const PATTERN: &str = "Unknown patternFilter.";
    const ENTRY: &str = "Unknown entryFilter.";
    known(asked, ["ResourceTypeFilter", "PatternTypeFilter", "Operation", "PermissionType"])?;
    let text = |field: &str| asked[field].as_str().map(str::to_owned);
    let pattern = match number(asked, "PatternTypeFilter") {
        ANY => Some(PatternFilter::Any),
        MATCH => Some(PatternFilter::Match),
        _ => PatternType::from_code(code(asked, "PatternTypeFilter")).map(PatternFilter::Only),
    };
    Ok((|| {
        Ok(AclFilter {
            resource_type: any_or(asked, "ResourceTypeFilter", ResourceType::from_code).ok_or(PATTERN)?,
            pattern: pattern.ok_or(PATTERN)?,
            name: text("ResourceNameFilter"),
            principal: text("PrincipalFilter"),
            host: text("HostFilter"),
            operation: any_or(asked, "Operation", Operation::from_code).ok_or(ENTRY)?,
            permission_type: any_or(asked, "PermissionType", PermissionType::from_code).ok_or(ENTRY)?,
        })
    })())
}

/// `Some(None)` for Kafka's `ANY`, `None` for what it does not know.
fn any_or<T>(asked: &Value, field: &str, read: fn(i8) -> Option<T>) -> Option<Option<T>> {
    if number(asked, field) == ANY { Some(None) } else { read(code(asked, field)).map(Some) }
}
