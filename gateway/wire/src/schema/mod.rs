//! The schema table: what Kafka's message definitions say, as constants.
//!
//! The table itself (`table.rs`) is generated from the kafka-clients jar by `examples/generate.rs`; this file defines its
//! vocabulary. A version of a newer Kafka is a new row there, and a new API is a new variant of [`ApiKey`], so that every
//! exhaustive match over the keys stops compiling until somebody decides about it.

#[allow(clippy::too_many_lines, reason = "generated: one line per API")]
mod table;

pub use table::{ApiKey, KAFKA_VERSION, MESSAGES};

/// An inclusive range of versions; empty when `min > max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Lowest version of the range.
    pub min: i16,
    /// Highest version of the range; `i16::MAX` for "and all that follow".
    pub max: i16,
}

impl Versions {
    /// The empty range.
    pub const NONE: Self = Self { min: 0, max: -1 };

    /// Whether `version` lies in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether no version lies in the range.
    pub const fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// The versions that lie in both ranges.
    pub const fn intersect(self, other: Self) -> Self {
        let min = if self.min > other.min { self.min } else { other.min };
        let max = if self.max < other.max { self.max } else { other.max };
        Self { min, max }
    }
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From a client to a broker.
    Request,
    /// From a broker to a client.
    Response,
    /// Embedded in the bytes of another message (the consumer protocol).
    Data,
}

/// The type of a field on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// One byte, 0 or 1.
    Bool,
    /// One byte, signed.
    Int8,
    /// Two bytes, signed.
    Int16,
    /// Two bytes, unsigned.
    Uint16,
    /// Four bytes, signed.
    Int32,
    /// Eight bytes, signed.
    Int64,
    /// Eight bytes, IEEE 754.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// UTF-8 with a length before it.
    String,
    /// Bytes with a length before them.
    Bytes,
    /// Record batches with a length before them.
    Records,
    /// The fields in order.
    Struct(&'static [Field]),
    /// A count and that many elements.
    Array(&'static Type),
}

/// What Kafka's definitions say a field names (`entityType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// `topicName`
    TopicName,
    /// `groupId`
    GroupId,
    /// `transactionalId`
    TransactionalId,
    /// `producerId`
    ProducerId,
    /// `brokerId`
    BrokerId,
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name in Kafka's definitions, in CamelCase.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// The versions of the message in which it exists.
    pub versions: Versions,
    /// The versions in which it can be null.
    pub nullable: Versions,
    /// The versions in which it is a tagged field (KIP-482).
    pub tagged: Versions,
    /// Its tag where it is tagged.
    pub tag: u32,
    /// The entity that the definitions mark it with.
    pub entity: Option<Entity>,
    /// The default as the definitions spell it; empty for the type's zero.
    pub default: &'static str,
}

/// A field of all versions, never null, not tagged; the generated table refines it.
const fn field(name: &'static str, ty: Type, min: i16, max: i16) -> Field {
    Field {
        name,
        ty,
        versions: Versions { min, max },
        nullable: Versions::NONE,
        tagged: Versions::NONE,
        tag: 0,
        entity: None,
        default: "",
    }
}

impl Field {
    const fn nullable(mut self, min: i16, max: i16) -> Self {
        self.nullable = Versions { min, max };
        self
    }
    const fn tagged(mut self, min: i16, max: i16, tag: u32) -> Self {
        self.tagged = Versions { min, max };
        self.tag = tag;
        self
    }
    const fn entity(mut self, entity: Entity) -> Self {
        self.entity = Some(entity);
        self
    }
    const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

/// One message: a request, a response, or embedded data.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// The name in Kafka's definitions, for example `FetchRequest`.
    pub name: &'static str,
    /// Request, response, or embedded.
    pub kind: Kind,
    /// The key of the API; -1 for embedded data.
    pub key: i16,
    /// The versions that exist.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
    /// Whether the newest version is marked unstable.
    pub latest_unstable: bool,
    /// The fields in order.
    pub fields: &'static [Field],
}

impl Message {
    /// The message of this name, if the table has it.
    pub fn named(name: &str) -> Option<&'static Self> {
        MESSAGES.iter().find(|message| message.name == name)
    }
}

impl ApiKey {
    /// The request of this API. Every key of the table has one.
    pub fn request(self) -> &'static Message {
        &MESSAGES[self.index() * 2]
    }

    /// The response of this API. Every key of the table has one.
    pub fn response(self) -> &'static Message {
        &MESSAGES[self.index() * 2 + 1]
    }

    /// The versions that the table describes: those of the request.
    pub fn versions(self) -> Versions {
        self.request().versions
    }

    /// The version of the request's header: 2 with tagged fields, else 1.
    pub fn request_header(self, version: i16) -> i16 {
        if self.request().flexible.contains(version) { 2 } else { 1 }
    }

    /// The version of the response's header: 1 with tagged fields, else 0. That of ApiVersions is always 0, since a
    /// client reads it before it knows what the broker speaks (KIP-511).
    pub fn response_header(self, version: i16) -> i16 {
        if self != Self::ApiVersions && self.response().flexible.contains(version) { 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_stand_in_pairs_in_the_order_of_the_keys() {
        for (i, key) in ApiKey::ALL.iter().enumerate() {
            assert_eq!(key.index(), i);
            assert_eq!(key.request().kind, Kind::Request, "{key:?}");
            assert_eq!(key.response().kind, Kind::Response, "{key:?}");
            assert_eq!(key.request().key, key.code());
            assert_eq!(key.response().key, key.code());
            assert_eq!(ApiKey::from_code(key.code()), Some(*key));
        }
        assert_eq!(ApiKey::from_code(10_000), None);
        assert_eq!(ApiKey::from_code(4), None, "LeaderAndIsr left the protocol with Kafka 4.0");
    }

    #[test]
    fn headers_follow_the_flexible_versions_except_for_api_versions() {
        assert_eq!((ApiKey::Fetch.request_header(11), ApiKey::Fetch.response_header(11)), (1, 0));
        assert_eq!((ApiKey::Fetch.request_header(12), ApiKey::Fetch.response_header(12)), (2, 1));
        assert_eq!((ApiKey::ApiVersions.request_header(3), ApiKey::ApiVersions.response_header(3)), (2, 0));
    }
}
