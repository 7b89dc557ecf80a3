//! What brokers say in their own words, for the eyes of one tenant.
//!
//! A text may name anything of the physical cluster: another's topics and groups, hosts, ids. So each word of it is left out
//! unless it is harmless for a reason: it is the tenant's own name, which loses its prefix, or a number, or one of the words
//! that brokers make their sentences of, or the client itself said it.

use super::prefix::{Namespace, TOPIC_NAME_MAX};
use super::regex;
use crate::apis::roles::role_of;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::LazyLock;
use wire::plan::{Place, Role};
use wire::schema::{Field, Message, Type};
use wire::value;

/// Stands for a word that is not shown.
const HIDDEN: &str = "***";

/// Of requests that hold more values than this, nothing is shown again: each takes some hundred bytes of memory.
const MOST_VALUES: usize = 2_000;

/// What brokers make their sentences of: the words of Kafka's own error messages, and the names of settings of topics and groups.
static VOCABULARY: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("words.txt").split_whitespace().collect());

/// What a request said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Words that name nothing: of settings, members and the like.
    words: HashSet<String>,
    /// Names that are more than a word.
    names: Vec<String>,
}

/// The broker's text as the tenant is shown it. `said` tells what the client itself said, if that is needed.
pub fn shown<'s>(namespace: &Namespace, text: &str, said: impl FnOnce() -> &'s Said) -> String {
    // The transparent one sees every physical name under some name of its own.
    if namespace.is_transparent() {
        return text.to_owned();
    }
    let text = with_own_patterns(namespace, text);
    let said = LazyLock::new(said);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(in_words) {
        let (between, from) = rest.split_at(start);
        let (word, behind) = from.split_at(from.find(|c| !in_words(c)).unwrap_or(from.len()));
        out.push_str(between);
        rest = behind;
        let bare = word.trim_end_matches(is_punctuation);
        if let Some(lent) = namespace.unmap_lent(bare) {
            out.push_str(lent);
            out.push_str(&word[bare.len()..]);
            continue;
        }
        match namespace.unmap_id(word) {
            // A bare prefix is an empty name, unless it is a word at the end of a sentence: "it has no data."
            Some(name) if !name.is_empty() || !is_harmless(word) => {
                let whole = &from[word.len() - name.len()..];
                let long =
                    said.names.iter().filter(|long| whole.starts_with(long.as_str())).max_by_key(|long| long.len());
                let name = long.map_or(name, String::as_str);
                out.push_str(name);
                rest = &whole[name.len()..];
            }
            _ if is_harmless(word) || said.words.contains(stem(word)) => out.push_str(word),
            _ => {
                out.push_str(HIDDEN);
                out.push_str(&word[word.trim_end_matches(is_punctuation).len()..]);
                rest = without_port(rest);
            }
        }
    }
    out.push_str(rest);
    let limit = TOPIC_NAME_MAX.saturating_sub(namespace.prefix().len());
    out.replace("max allowed length 249", &format!("max allowed length {limit}"))
}

/// What a request said. What it calls a topic or a group has the prefix before it on the broker, and is none of its words.
pub fn said(message: &'static Message, version: i16, body: &[u8]) -> Said {
    let mut said = Said::default();
    // A request may have bytes behind its last field; then it has said nothing.
    if let Ok(request) = value::decode_at_most(message, version, body, MOST_VALUES) {
        collect(message, message.fields, "", &request, &mut said);
    }
    said
}

fn collect(message: &'static Message, fields: &'static [Field], path: &str, from: &Value, said: &mut Said) {
    for field in fields {
        let Some(given) = from.get(field.name) else { continue };
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let items = match given {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let ty = match field.ty {
            Type::Array(element) => *element,
            one => one,
        };
        match ty {
            Type::Struct(fields) => {
                items.iter().for_each(|item| collect(message, fields, &path, item, said));
            }
            Type::String => {
                let texts = items.iter().filter_map(Value::as_str);
                match role_of(Place { message, path: &path, field }) {
                    None
                    | Some(
                        Role::TopicRegex
                        | Role::TransactionalIdRegex
                        | Role::ProtocolType
                        | Role::SettingName
                        | Role::SettingValue,
                    ) => {
                        let words = texts.flat_map(|text| text.split(|c| !in_words(c)));
                        said.words.extend(words.map(|word| stem(word).to_owned()));
                    }
                    Some(_) => said.names.extend(texts.filter(|text| !text.chars().all(in_words)).map(str::to_owned)),
                }
            }
            _ => {}
        }
    }
}

/// Brokers quote patterns as `…`.
fn with_own_patterns(namespace: &Namespace, text: &str) -> String {
    let Some((before, quoted)) = text.split_once('`') else { return text.to_owned() };
    let Some((pattern, behind)) = quoted.rsplit_once('`') else { return text.to_owned() };
    match regex::restore(namespace, pattern) {
        Some(own) => format!("{before}`{own}`{behind}"),
        None => text.to_owned(),
    }
}

/// Of a host, the port is not shown either.
fn without_port(behind: &str) -> &str {
    let Some(port) = behind.strip_prefix(':') else { return behind };
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    if end == 0 { behind } else { &port[end..] }
}

/// What names of topics, hosts, ids and addresses are made of.
fn in_words(c: char) -> bool {
    c.is_alphanumeric() || is_punctuation(c) || c == '_'
}

const fn is_punctuation(c: char) -> bool {
    matches!(c, '.' | '-')
}

/// A word without the punctuation around it.
fn stem(word: &str) -> &str {
    word.trim_matches(is_punctuation)
}

fn is_harmless(word: &str) -> bool {
    let stem = stem(word);
    let number =
        stem.bytes().all(|b| b.is_ascii_digit() || b == b'.') && stem.bytes().filter(|b| *b == b'.').count() < 2;
    number || stem == "_" || VOCABULARY.contains(stem.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    static NOTHING: LazyLock<Said> = LazyLock::new(Said::default);
    use proptest::prelude::*;
    use serde_json::json;
    use wire::schema::ApiKey;

    fn shown_to(prefix: &str, text: &str) -> String {
        shown(&Namespace::new(Some(prefix.into())), text, || &NOTHING)
    }

    #[test]
    fn texts_speak_of_virtual_names_and_of_the_tenants_own_limit() {
        for (text, expected) in [
            ("Topic 'team-a.orders' already exists.", "Topic 'orders' already exists."),
            ("Group team-a.billing not found.", "Group billing not found."),
            ("Internal topics are missing: [team-a.x, team-a.y]", "Internal topics are missing: [x, y]"),
            (
                "Received member epoch 3 is newer than current member epoch -1.",
                "Received member epoch 3 is newer than current member epoch -1.",
            ),
            ("Number of partitions must be at least 1.", "Number of partitions must be at least 1."),
            (
                "Topic name is invalid: the length of 'team-a.x' is longer than the max allowed length 249",
                "Topic name is invalid: the length of 'x' is longer than the max allowed length 242",
            ),
            (
                "SubscribedTopicRegex `team\\-a\\.(?:is)` is not a valid regular expression: duplicate.",
                "SubscribedTopicRegex `is` is not a valid regular expression: duplicate.",
            ),
        ] {
            assert_eq!(shown_to("team-a.", text), expected);
        }
    }

    #[test]
    fn the_prefix_begins_a_word_and_does_not_end_it() {
        assert_eq!(
            shown_to("data.", "No metadata. The topic data.orders has no data."),
            "No metadata. The topic orders has no data."
        );
    }

    #[test]
    fn what_is_foreign_is_not_shown() {
        for (text, expected) in [
            ("Topic 'team-b.orders' collides with payments.", "Topic '***' collides with ***."),
            (
                "Topic 'team-a.x.y' collides with existing topics: team-a_x_y, team-a.x_y.",
                "Topic 'x.y' collides with existing topics: ***, x_y.",
            ),
            ("Disconnected from broker-1.internal:9092 (id: 1)", "Disconnected from *** (id: 1)"),
            ("Connection to /10.1.2.3:9092 failed", "Connection to /*** failed"),
            ("No such topic id as kZ8Wn1XtSFqkK7rZlqkO9w", "No such topic id as ***"),
            ("Group \u{e9}t\u{e9} not found", "Group *** not found"),
            ("Group xteam-a.orders not found", "Group *** not found"),
        ] {
            assert_eq!(shown_to("team-a.", text), expected);
        }
    }

    #[test]
    fn the_transparent_virtual_cluster_is_shown_everything() {
        let text = "Topic 'team-b.orders' on broker-1:9092";
        assert_eq!(shown(&Namespace::new(None), text, || &NOTHING), text);
    }

    #[test]
    fn the_clients_own_words_are_shown_but_not_what_it_calls_a_topic() {
        let request = json!({ "Topics": [{
            "Name": "secret",
            "Configs": [{ "Name": "retention.millis", "Value": "for-ever" }],
        }] });
        let message = ApiKey::CreateTopics.request();
        let body = value::encode(message, 5, &request).unwrap();
        let text = "Unknown topic config name: retention.millis, for-ever, secret.";
        let words = said(message, 5, &body);
        let shown = shown(&Namespace::new(Some("a.".into())), text, || &words);
        assert_eq!(shown, "Unknown topic config name: retention.millis, for-ever, ***.");
        assert_eq!(said(message, 5, &body[1..]), Said::default());
    }

    #[test]
    fn a_name_of_several_words_is_shown_whole() {
        let message = ApiKey::DescribeGroups.request();
        let body = value::encode(message, 5, &json!({ "Groups": ["my own/group", "my own"] })).unwrap();
        let said = said(message, 5, &body);
        let shown = |text| shown(&Namespace::new(Some("a.".into())), text, || &said);
        assert_eq!(shown("Group a.my own/group not found."), "Group my own/group not found.");
        assert_eq!(shown("Group b.my own/group not found."), "Group *** ***/group not found.");
    }

    proptest! {
        #[test]
        fn no_canary_comes_through(
            before in "[ a-z.,:'`()\\[\\]]{0,20}", behind in "([ .,:;'`/=()\\[\\]].{0,20})?", canary in "[a-z]{3}-?[0-9][a-z0-9._-]{3}[a-z0-9]",
        ) {
            let text = format!("{before} {canary}{behind}");
            let out = shown_to("team-a.", &text);
            prop_assert!(!out.contains(&canary), "{} became {}", text, out);
        }
    }
}
