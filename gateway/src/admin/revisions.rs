//! Revisions: the entity tag of a resource (RFC 9110, section 8.8.3), the same at every gateway, another after every change.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use contract::resources::{Resource, ResourceKey};

use super::answer::ApiError;
use super::stored;
use crate::store::Declarations;

/// Bytes of a digest that tell revisions apart.
const LENGTH: usize = 16;

/// The entity tag of what is stored.
pub(super) fn of(resource: &Resource, declared: &Declarations) -> String {
    let text = resource.to_json().map(|json| json.to_string()).unwrap_or_default();
    // Another password is another revision, and has another salt.
    let salt = match resource {
        Resource::GatewayServiceAccount(account) => {
            let key = (account.virtual_cluster().to_owned(), account.metadata.name.clone());
            let credentials = declared.accounts.get(&key).and_then(|account| account.credentials.as_ref());
            credentials.map(|credentials| credentials.sha512.salt().to_vec()).unwrap_or_default()
        }
        Resource::VirtualCluster(_)
        | Resource::AliasTopic(_)
        | Resource::GatewayGroup(_)
        | Resource::Quota(_)
        | Resource::UpstreamCluster(_)
        | Resource::IdentityProvider(_) => Vec::new(),
    };
    let digest = digest(&SHA256, &[text.as_bytes(), &[0], &salt].concat());
    let hex = digest.as_ref()[..LENGTH].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("\"{hex}\"")
}

/// What a request asks of the present revision before it changes anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    matches: Option<Tags>,
    matches_none: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

impl Tags {
    /// What is no tag has never been anybody's, so that nothing is changed by it.
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut found = Vec::new();
        for value in headers.get_all(name) {
            match value.to_str().unwrap_or_default().trim() {
                "*" => return Some(Self::Any),
                text => found.extend(text.split(',').map(|tag| tag.trim().trim_start_matches("W/").to_owned())),
            }
        }
        Some(Self::These(found)).filter(|_| headers.contains_key(name))
    }

    fn hold(&self, present: Option<&str>) -> bool {
        match (self, present) {
            (Self::Any, present) => present.is_some(),
            (Self::These(tags), Some(present)) => tags.iter().any(|tag| tag == present),
            (Self::These(_), None) => false,
        }
    }
}

impl Condition {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        Self { matches: Tags::read(headers, &IF_MATCH), matches_none: Tags::read(headers, &IF_NONE_MATCH) }
    }

    /// Whether what is declared now is what the request was made for.
    pub(super) fn check(&self, key: &ResourceKey, declared: &Declarations) -> Result<(), ApiError> {
        if *self == Self::default() {
            return Ok(());
        }
        let present = stored::find(declared, key).map(|resource| of(&resource, declared));
        let fails = self.matches.as_ref().is_some_and(|tags| !tags.hold(present.as_deref()))
            || self.matches_none.as_ref().is_some_and(|tags| tags.hold(present.as_deref()));
        if !fails {
            return Ok(());
        }
        Err(ApiError::precondition(match present {
            Some(tag) => format!("{key} has the revision {tag} now: read it again, and send the change with that"),
            None => format!("there is no {key}"),
        }))
    }
}

/// The header that tells a revision.
pub(super) fn header(tag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(tag).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_a_whole() {
        let tags = |text: &'static str| {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(text))]);
            Condition::read(&headers).matches.unwrap()
        };
        assert!(tags("*").hold(Some("\"a\"")) && !tags("*").hold(None));
        assert!(tags("\"a\", W/\"b\"").hold(Some("\"b\"")) && !tags("\"ab\"").hold(Some("\"a\"")));
        assert!(!tags("\"a\"").hold(None));
        for wrong in ["a", "\"", "\"b", ""] {
            assert!(!tags(wrong).hold(Some("\"a\"")) && !tags(wrong).hold(None), "{wrong}");
        }
        assert_eq!(Condition::read(&HeaderMap::new()), Condition::default());
    }
}
