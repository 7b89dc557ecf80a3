//! For every served API at every version, without a case: whatever field names an entity is renamed on the way in, and
//! nothing of another tenant comes out.

use crate::runner::{self, BROKER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::apis::{self, Verdict, roles};
use gateway::naming::request::Asked;
use gateway::naming::response;
use serde_json::{Map, Value, json};
use wire::plan::{Place, Role};
use wire::schema::{ApiKey, Field, Message, Type};
use wire::segments::Segments;
use wire::value;

/// A topic id that is nobody's of the tenant.
const FOREIGN: [u8; 16] = [0xEE; 16];

/// Fills every field of a message: names with `name`, topic ids with `id`, the rest with what is harmless.
pub(crate) struct Filler<'a> {
    pub(crate) message: &'static Message,
    pub(crate) version: i16,
    pub(crate) name: &'a str,
    pub(crate) id: [u8; 16],
}

impl Filler<'_> {
    pub(crate) fn body(&self) -> Vec<u8> {
        value::encode(self.message, self.version, &self.fields(self.message.fields, "")).unwrap()
    }

    fn fields(&self, fields: &'static [Field], path: &str) -> Value {
        let mut map = Map::new();
        for field in fields.iter().filter(|f| f.versions.contains(self.version)) {
            let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            let _ = map.insert(field.name.to_owned(), self.one(field, &field.ty, &path));
        }
        Value::Object(map)
    }

    fn one(&self, field: &'static Field, ty: &'static Type, path: &str) -> Value {
        let role = roles::role_of(Place { message: self.message, path, field });
        match ty {
            Type::Array(element) => json!([self.one(field, element, path)]),
            Type::Struct(fields) => self.fields(fields, path),
            Type::Bool => json!(false),
            Type::Float64 => json!(0.5),
            Type::Uuid if role == Some(Role::TopicId) => json!(value::uuid_text(&self.id)),
            Type::Uuid => json!(value::uuid_text(&[7; 16])),
            Type::Bytes | Type::Records => json!(STANDARD.encode(self.bytes(role))),
            Type::String => match role {
                Some(Role::Topic | Role::TopicCursor | Role::Group) => json!(self.name),
                Some(Role::TransactionalId | Role::CoordinatorKey | Role::ResourceName) => json!(self.name),
                Some(Role::ProtocolType) => json!("consumer"),
                _ => json!("other"),
            },
            _ => match role {
                Some(Role::ResourceType) => json!(2),
                Some(Role::FetchSessionId) => json!(0),
                _ => json!(1),
            },
        }
    }

    fn bytes(&self, role: Option<Role>) -> Vec<u8> {
        let (message, fields) = match role {
            Some(Role::Subscription) => {
                let owned = json!([{ "Topic": self.name, "Partitions": [0] }]);
                ("ConsumerProtocolSubscription", json!({ "Topics": [self.name], "OwnedPartitions": owned }))
            }
            Some(Role::Assignment) => (
                "ConsumerProtocolAssignment",
                json!({ "AssignedPartitions": [{ "Topic": self.name, "Partitions": [0] }] }),
            ),
            _ => return b"other".to_vec(),
        };
        let mut bytes = 1i16.to_be_bytes().to_vec();
        bytes.extend(value::encode(Message::named(message).unwrap(), 1, &fields).unwrap());
        bytes
    }
}

pub(crate) fn count(body: &[u8], what: &[u8]) -> usize {
    body.windows(what.len()).filter(|window| *window == what).count()
}

pub(crate) fn mapped() -> impl Iterator<Item = (ApiKey, i16)> {
    apis::served()
        .filter(|(key, _)| apis::row(*key).verdict == Verdict::Map)
        .flat_map(|(key, range)| (range.min..=range.max).map(move |version| (key, version)))
}

#[test]
fn every_name_in_every_request_gets_the_prefix_and_no_foreign_id_goes_through() {
    let mut names = 0;
    for (key, version) in mapped() {
        let body = Filler { message: key.request(), version, name: "sentinel", id: FOREIGN }.body();
        let sent =
            runner::forwarded("team-a.", key, version, &body).unwrap_or_else(|why| panic!("{key:?} {version}: {why}"));
        assert_eq!(count(&sent, b"team-a.sentinel"), count(&body, b"sentinel"), "{key:?} {version}");
        assert_eq!(count(&sent, &FOREIGN), 0, "{key:?} {version}: a foreign topic id");
        names += count(&body, b"sentinel");
    }
    assert!(names > 200, "only {names} names");
}

#[test]
fn every_name_in_every_answer_loses_the_prefix_and_nothing_foreign_comes_out() {
    let map = |key: ApiKey, version: i16, body: &[u8]| {
        // A name of the tenant's own tells that the id beside it is, which the next answer must not inherit.
        let tenant = runner::tenant_of("team-a.");
        let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
        response::map(key, version, body, &Asked::default(), &tenant, BROKER, &mut memory, &mut segments)
            .unwrap_or_else(|why| panic!("{key:?} {version}: {why}"));
        segments.to_vec(body)
    };
    for (key, version) in mapped() {
        let ours = Filler { message: key.response(), version, name: "team-a.sentinel", id: FOREIGN }.body();
        let got = map(key, version, &ours);
        assert_eq!(count(&got, b"sentinel"), count(&ours, b"sentinel"), "{key:?} {version}");
        assert_eq!(count(&got, b"team-a."), 0, "{key:?} {version}: the prefix");

        let theirs = Filler { message: key.response(), version, name: "team-b.sentinel", id: FOREIGN }.body();
        let got = map(key, version, &theirs);
        assert_eq!(count(&got, b"sentinel"), 0, "{key:?} {version}: a foreign name");
        assert_eq!(count(&got, &FOREIGN), 0, "{key:?} {version}: a foreign topic id");
    }
}

#[test]
fn a_message_that_is_cut_off_is_refused_everywhere() {
    for (key, version) in mapped() {
        let body = Filler { message: key.request(), version, name: "sentinel", id: FOREIGN }.body();
        for end in 0..body.len() {
            assert!(
                runner::forwarded("team-a.", key, version, &body[..end]).is_err(),
                "{key:?} {version} cut at {end}"
            );
        }
    }
}
