//! Identity providers: each of an issuer of its own, so that a token has one that checks it.

use contract::resources::{Declared as _, IdentityProvider, Resource};

use super::{Problem, ProblemKind, World};
use crate::config::OAuth;

/// Each is asked for its keys, again and again.
const MOST: usize = 32;

/// Takes the declared identity providers into the world.
pub(super) fn put_in_place<'a>(
    others: impl Iterator<Item = &'a Resource>,
    world: &mut World,
    problems: &mut Vec<Problem>,
) {
    for provider in others.filter_map(|resource| <&IdentityProvider>::try_from(resource).ok()) {
        let mut problem = |kind, path: &'static str, message| {
            problems.push(Problem { kind, resource: provider.key().to_string(), path: path.into(), message });
        };
        let oauth = match OAuth::declared(&provider.spec) {
            Ok(oauth) => oauth,
            Err(wrong) => {
                wrong.into_iter().for_each(|(path, message)| problem(ProblemKind::Invalid, path, message));
                continue;
            }
        };
        let same = world.identity_providers.iter().find(|(_, known)| known.expected_issuer == oauth.expected_issuer);
        if let Some((other, _)) = same {
            let message = format!("'{}' is the issuer of identity provider '{other}' already", provider.spec.issuer);
            problem(ProblemKind::Conflict, "spec.issuer", message);
        } else if world.identity_providers.len() >= MOST {
            problem(ProblemKind::Conflict, "metadata.name", format!("there are {MOST} identity providers already"));
        } else {
            world.identity_providers.insert(provider.metadata.name.clone(), oauth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::build;

    fn provider(name: &str, url: &str, issuer: &str, audiences: &str) -> Resource {
        let json = format!(
            r#"{{ "kind": "IdentityProvider", "apiVersion": "anabranch/v1", "metadata": {{ "name": "{name}" }},
                "spec": {{ "jwksUrl": "{url}", "issuer": "{issuer}", "audiences": [{audiences}] }} }}"#
        );
        Resource::from_json("IdentityProvider", json.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn an_issuer_has_one_provider_and_keys_come_safely() {
        let good = provider("one", "https://login.example.com/keys", "https://login.example.com/", r#""kafka""#);
        let world = build([], [], [], [&good]).unwrap();
        assert_eq!(world.identity_providers()["one"].expected_audiences, ["kafka"]);
        let told = |second: Resource| {
            let problems = build([], [], [], [&good, &second]).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        for (url, issuer, audiences, expected) in [
            (
                "https://x/keys",
                "https://login.example.com/",
                r#""kafka""#,
                "two spec.issuer: 'https://login.example.com/' is",
            ),
            ("http://x/keys", "i", r#""kafka""#, "two spec.jwksUrl: 'http://x/keys' is not https"),
            ("file:///etc/passwd", "i", r#""kafka""#, "two spec.jwksUrl: names a file"),
            ("https://x/keys", "i", "", "two spec.audiences: must name"),
            ("https://x/keys", "", r#""kafka""#, "two spec.issuer: is empty"),
        ] {
            let told = told(provider("two", url, issuer, audiences));
            assert!(told.contains(expected), "{told}");
        }
    }
}
