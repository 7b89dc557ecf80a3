//! Messages with something in every field, by the schema table: always the same one, or ever another by the throw of dice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::apis::roles;
use serde_json::{Map, Value, json};
use wire::plan::{Place, Role};
use wire::schema::{Field, Message, Type};
use wire::value;

/// A topic id that is nobody's of the tenant.
pub(crate) const FOREIGN: [u8; 16] = [0xEE; 16];

/// A small generator whose numbers a seed repeats.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

/// Fills every field of a message: names and topic ids with those given, the rest with what is harmless. Without dice there is one element
/// in every array and nothing is null.
#[derive(Debug)]
pub(crate) struct Filler<'a> {
    pub(crate) message: &'static Message,
    pub(crate) version: i16,
    pub(crate) names: &'a [&'a str],
    pub(crate) ids: &'a [[u8; 16]],
    pub(crate) dice: Option<Dice>,
}

impl Filler<'_> {
    pub(crate) fn body(&mut self) -> Vec<u8> {
        value::encode(self.message, self.version, &self.fields(self.message.fields, "")).unwrap()
    }

    fn fields(&mut self, fields: &'static [Field], path: &str) -> Value {
        let mut map = Map::new();
        let version = self.version;
        for field in fields.iter().filter(|f| f.versions.contains(version)) {
            let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            let null = field.nullable.contains(version) && self.one_in(5);
            let value = if null { Value::Null } else { self.one(field, &field.ty, &path) };
            let _ = map.insert(field.name.to_owned(), value);
        }
        if self.message.flexible.contains(version) && self.one_in(8) {
            let _ = map.insert("_tags".to_owned(), json!({ "77": STANDARD.encode("nobody knows it") }));
        }
        Value::Object(map)
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.dice.as_mut().is_some_and(|dice| dice.roll(sides) == 0)
    }

    /// The first, or any where there are dice.
    fn any<T: Copy>(&mut self, of: &[T]) -> T {
        self.dice.as_mut().map_or(of[0], |dice| dice.pick(of))
    }

    fn one(&mut self, field: &'static Field, ty: &'static Type, path: &str) -> Value {
        let role = roles::role_of(Place { message: self.message, path, field });
        match ty {
            Type::Array(element) => (0..self.any(&[1, 0, 2, 3])).map(|_| self.one(field, element, path)).collect(),
            Type::Struct(fields) => self.fields(fields, path),
            Type::Bool => json!(self.any(&[false, true])),
            Type::Float64 => json!(0.5),
            Type::Uuid if role == Some(Role::TopicId) => {
                json!(value::uuid_text(&self.any(self.ids)))
            }
            Type::Uuid => json!(value::uuid_text(&[7; 16])),
            Type::Bytes | Type::Records => json!(STANDARD.encode(self.bytes(role))),
            Type::String => match role {
                Some(Role::Topic | Role::TopicCursor | Role::Group) => json!(self.any(self.names)),
                Some(Role::TransactionalId | Role::CoordinatorKey | Role::ResourceName) => json!(self.any(self.names)),
                Some(Role::ProtocolType) => json!(self.any(&["consumer", "connect"])),
                _ => json!(self.any(&["other", "", "a text that is longer than forty-eight bytes, which are copied"])),
            },
            _ => match role {
                Some(Role::ResourceType) => json!(self.any(&[2, 32, 4])),
                Some(Role::FetchSessionId) => json!(self.any(&[0, 42, 43])),
                Some(Role::CoordinatorType) => json!(self.any(&[1, 0, 2])),
                _ => json!(self.any(&[1, 0, 2, 100])),
            },
        }
    }

    fn bytes(&mut self, role: Option<Role>) -> Vec<u8> {
        let name = self.any(self.names);
        let (message, fields) = match role {
            Some(Role::Subscription) => {
                let owned = json!([{ "Topic": name, "Partitions": [0] }]);
                ("ConsumerProtocolSubscription", json!({ "Topics": [name], "OwnedPartitions": owned }))
            }
            Some(Role::Assignment) => {
                ("ConsumerProtocolAssignment", json!({ "AssignedPartitions": [{ "Topic": name, "Partitions": [0] }] }))
            }
            _ => {
                return self
                    .any(&["other", "", "bytes that are longer than forty-eight bytes, which are copied"])
                    .into();
            }
        };
        let mut bytes = 1i16.to_be_bytes().to_vec();
        bytes.extend(value::encode(Message::named(message).unwrap(), 1, &fields).unwrap());
        bytes
    }
}
