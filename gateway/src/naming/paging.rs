//! DescribeTopicPartitions: topics page by page, in the order of their physical names, in which a tenant's stand together.

use super::request::Refusal;
use crate::config::INTERNAL_TOPICS;
use serde_json::json;
use std::convert::Infallible;
use wire::plan::{Plan, Role};
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::value;
use wire::walk::{Action, Stop, Value, Visitor, walk_prefix};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The topics that it names.
    Named,
    /// All topics from its cursor on.
    From,
    /// All topics: the body is the request with a cursor without a name, which becomes the prefix as every name does.
    FromTheStart(Vec<u8>),
}

/// A request that names nothing has fewer fields; the others are tagged ones that nobody knows.
const MOST_VALUES: usize = 100;

/// Which page is asked for. Nothing is decoded of requests that name topics.
pub(super) fn page(plan: &Plan, version: i16, body: &[u8]) -> Result<Page, Stop<Refusal>> {
    let mut seen = Seen::default();
    let end = walk_prefix(plan, body, &mut seen, &mut Segments::default()).map_err(Stop::lift)?;
    if seen.topics > 0 {
        return Ok(Page::Named);
    }
    if seen.cursor {
        return Ok(Page::From);
    }
    let message = ApiKey::DescribeTopicPartitions.request();
    let written = value::decode_at_most(message, version, &body[..end], MOST_VALUES).and_then(|mut request| {
        request["Cursor"] = json!({ "TopicName": "", "PartitionIndex": 0 });
        value::encode(message, version, &request)
    });
    written.map(Page::FromTheStart).map_err(|_| Stop::Refused(Refusal::Unwritable))
}

#[derive(Debug, Default)]
struct Seen {
    topics: usize,
    cursor: bool,
}

impl Visitor for Seen {
    type Error = Infallible;

    fn field(&mut self, role: Role, _: Value<'_>) -> Result<Action<'_>, Infallible> {
        self.cursor |= role == Role::TopicCursor;
        Ok(Action::Keep)
    }

    fn element(&mut self) {
        self.topics += 1;
    }
}

/// A cursor behind the gateway's own topics: they end in a dot and more, and the slash follows the dot.
pub(super) fn behind_internal_topics() -> String {
    format!("{}/", INTERNAL_TOPICS.trim_end_matches('.'))
}
