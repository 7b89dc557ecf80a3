//! Plans: a message at one version, compiled to what a walk has to look at.
//!
//! Runs of fixed-size fields without a role become one skip; only fields with a role stand out.

use crate::schema::{Field, Message, Type};

/// What a field carries, as far as anybody who forwards it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A topic's name.
    Topic,
    /// The topic at which a page begins, which need not exist.
    TopicCursor,
    /// A topic's id (KIP-516).
    TopicId,
    /// A group's id, of whatever group protocol.
    Group,
    /// A transactional id.
    TransactionalId,
    /// The host name of a broker.
    Host,
    /// The port of a broker; it follows the host.
    Port,
    /// The rack of a broker.
    Rack,
    /// The id of a broker whose host and port follow.
    BrokerId,
    /// The id of a broker that asks as a follower; clients are none.
    ReplicaId,
    /// The id of the physical cluster.
    ClusterId,
    /// Text that the broker wrote, in which names may stand.
    ErrorText,
    /// A regular expression of topic names, resolved by the broker.
    TopicRegex,
    /// A regular expression of transactional ids, resolved by the broker.
    TransactionalIdRegex,
    /// The type that says what the next `ResourceName` is.
    ResourceType,
    /// A name whose meaning the resource type beside it tells.
    ResourceName,
    /// The type that says what a `CoordinatorKey` is.
    CoordinatorType,
    /// A key whose meaning the coordinator type beside it tells.
    CoordinatorKey,
    /// The protocol type of a classic group.
    ProtocolType,
    /// Subscription bytes of the consumer protocol.
    Subscription,
    /// Assignment bytes of the consumer protocol.
    Assignment,
    /// A principal.
    Principal,
    /// The id of a fetch session.
    FetchSessionId,
    /// The epoch of a fetch session.
    FetchSessionEpoch,
    /// The epoch of a share session that records are fetched in.
    ShareSessionEpoch,
    /// Record batches.
    Records,
    /// The acknowledgements that a produce request asks for.
    Acks,
    /// An error code of the whole answer or of an element.
    ErrorCode,
    /// Authentication bytes.
    AuthBytes,
    /// The name of a SASL mechanism.
    Mechanism,
    /// The path of a directory on a broker.
    LogDir,
    /// The size of a volume of a broker.
    VolumeBytes,
    /// The name of a setting.
    SettingName,
    /// The value of the setting whose name stands before it.
    SettingValue,
    /// Whether a setting can't be changed.
    ReadOnly,
    /// Whether a topic that is asked for and absent is to be made.
    AutoCreation,
    /// What the client may do on the resource around it (KIP-430).
    AuthorizedOperations,
    /// What the client may do on the cluster (KIP-430).
    ClusterOperations,
}

/// Where a field stands: its message, the names of the arrays and structs around it joined by dots, and itself.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The message, for example `MetadataResponse`.
    pub message: &'static Message,
    /// The path, for example `Topics.Name`.
    pub path: &'a str,
    /// The field at the end of the path.
    pub field: &'static Field,
}

/// How the bytes of a field with a role are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String {
        /// Whether it can be null at this version.
        nullable: bool,
    },
    /// Bytes or record batches.
    Bytes {
        /// Whether they can be null at this version.
        nullable: bool,
    },
    /// Sixteen bytes.
    Uuid,
    /// One byte: a number or a truth value.
    Int8,
    /// Two bytes.
    Int16,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
}

/// One step of a walk.
#[derive(Debug, Clone)]
pub enum Op {
    /// So many bytes of no interest.
    Skip(usize),
    /// A string (`short`) or bytes of no interest.
    SkipSized {
        /// Whether a two-byte length stands before it where it is not compact.
        short: bool,
        /// Whether it can be null.
        nullable: bool,
    },
    /// A field with a role.
    Field {
        /// What it carries.
        role: Role,
        /// How it is laid out.
        shape: Shape,
    },
    /// An array.
    Array {
        /// Whether it can be null.
        nullable: bool,
        /// The least number of bytes that an element takes.
        element_min: usize,
        /// Whether a visitor may drop elements: some field of the element has a role.
        droppable: bool,
        /// The steps of one element.
        element: Vec<Op>,
    },
    /// A struct that can be null, marked by a byte.
    NullableStruct(Vec<Op>),
    /// The tagged fields at the end of a struct.
    Tags(Vec<Tagged>),
}

/// A tagged field that the table knows.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// Its tag.
    pub tag: u32,
    /// Whether a field with a role is inside, so that its size can change.
    pub roles: bool,
    /// Its steps.
    pub ops: Vec<Op>,
}

/// A message at one version.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether lengths are compact at this version.
    pub flexible: bool,
    /// The steps of the body.
    pub ops: Vec<Op>,
    /// The roles that occur in it, in the order of the fields, without repetition.
    pub roles: Vec<Role>,
}

impl Plan {
    /// Compiles `message` at `version`; `role_of` tells what each field carries.
    pub fn compile(message: &'static Message, version: i16, role_of: &dyn Fn(Place<'_>) -> Option<Role>) -> Self {
        let flexible = message.flexible.contains(version);
        let mut compiler = Compiler { message, version, flexible, role_of, path: String::new(), roles: Vec::new() };
        let mut ops = Vec::new();
        compiler.fields(message.fields, &mut ops);
        Self { flexible, ops, roles: compiler.roles }
    }

    /// Whether some field of this role occurs.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

struct Compiler<'a> {
    message: &'static Message,
    version: i16,
    flexible: bool,
    role_of: &'a dyn Fn(Place<'_>) -> Option<Role>,
    path: String,
    roles: Vec<Role>,
}

impl Compiler<'_> {
    fn fields(&mut self, fields: &'static [Field], ops: &mut Vec<Op>) {
        let mut tagged = Vec::new();
        for field in fields {
            if !field.versions.contains(self.version) {
                continue;
            }
            let before = self.path.len();
            if before > 0 {
                self.path.push('.');
            }
            self.path.push_str(field.name);
            if self.flexible && field.tagged.contains(self.version) {
                let (seen, mut inner) = (self.roles.len(), Vec::new());
                self.one(field, &field.ty, &mut inner);
                let roles = self.roles.len() > seen || has_role(&inner);
                tagged.push(Tagged { tag: field.tag, roles, ops: inner });
            } else {
                self.one(field, &field.ty, ops);
            }
            self.path.truncate(before);
        }
        if self.flexible {
            tagged.sort_by_key(|t| t.tag);
            ops.push(Op::Tags(tagged));
        }
    }

    fn one(&mut self, field: &'static Field, ty: &'static Type, ops: &mut Vec<Op>) {
        let nullable = field.nullable.contains(self.version);
        match ty {
            Type::Array(element) => {
                let mut inner = Vec::new();
                self.element(field, element, &mut inner);
                let element_min = min_size(&inner, self.flexible).max(1);
                ops.push(Op::Array { nullable, element_min, droppable: has_role(&inner), element: inner });
            }
            Type::Struct(fields) if nullable => {
                let mut inner = Vec::new();
                self.fields(fields, &mut inner);
                ops.push(Op::NullableStruct(inner));
            }
            Type::Struct(fields) => self.fields(fields, ops),
            scalar => self.scalar(field, *scalar, nullable, ops),
        }
    }

    /// The element of an array is never null, only the array is.
    fn element(&mut self, field: &'static Field, ty: &'static Type, ops: &mut Vec<Op>) {
        match ty {
            Type::Struct(fields) => self.fields(fields, ops),
            Type::Array(_) => self.one(field, ty, ops),
            scalar => self.scalar(field, *scalar, false, ops),
        }
    }

    fn scalar(&mut self, field: &'static Field, ty: Type, nullable: bool, ops: &mut Vec<Op>) {
        let role = (self.role_of)(Place { message: self.message, path: &self.path, field });
        let shape = match ty {
            Type::String => Some(Shape::String { nullable }),
            Type::Bytes | Type::Records => Some(Shape::Bytes { nullable }),
            Type::Uuid => Some(Shape::Uuid),
            Type::Int8 | Type::Bool => Some(Shape::Int8),
            Type::Int16 => Some(Shape::Int16),
            Type::Int32 => Some(Shape::Int32),
            Type::Int64 => Some(Shape::Int64),
            _ => None,
        };
        if let (Some(role), Some(shape)) = (role, shape) {
            if !self.roles.contains(&role) {
                self.roles.push(role);
            }
            ops.push(Op::Field { role, shape });
            return;
        }
        match ty {
            Type::String => ops.push(Op::SkipSized { short: true, nullable }),
            Type::Bytes | Type::Records => ops.push(Op::SkipSized { short: false, nullable }),
            fixed => skip(ops, fixed_size(fixed)),
        }
    }
}

fn skip(ops: &mut Vec<Op>, n: usize) {
    if let Some(Op::Skip(run)) = ops.last_mut() {
        *run += n;
    } else {
        ops.push(Op::Skip(n));
    }
}

fn fixed_size(ty: Type) -> usize {
    match ty {
        Type::Bool | Type::Int8 => 1,
        Type::Int16 | Type::Uint16 => 2,
        Type::Int32 => 4,
        Type::Int64 | Type::Float64 => 8,
        Type::Uuid => 16,
        Type::String | Type::Bytes | Type::Records | Type::Struct(_) | Type::Array(_) => 0,
    }
}

fn has_role(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Field { .. } => true,
        Op::Array { element, .. } => has_role(element),
        Op::NullableStruct(inner) => has_role(inner),
        Op::Tags(tags) => tags.iter().any(|t| t.roles),
        Op::Skip(_) | Op::SkipSized { .. } => false,
    })
}

/// The least number of bytes that these steps take.
fn min_size(ops: &[Op], flexible: bool) -> usize {
    let length = |short: bool| {
        if flexible {
            1
        } else if short {
            2
        } else {
            4
        }
    };
    ops.iter()
        .map(|op| match op {
            Op::Skip(n) => *n,
            Op::SkipSized { short, .. } => length(*short),
            Op::Field { shape, .. } => match shape {
                Shape::String { .. } => length(true),
                Shape::Bytes { .. } => length(false),
                Shape::Uuid => 16,
                Shape::Int8 => 1,
                Shape::Int16 => 2,
                Shape::Int32 => 4,
                Shape::Int64 => 8,
            },
            Op::Array { .. } => length(false),
            Op::NullableStruct(_) | Op::Tags(_) => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ApiKey;

    #[test]
    fn a_message_without_roles_is_a_few_skips() {
        let plan = Plan::compile(ApiKey::Heartbeat.response(), 4, &|_| None);
        assert!(matches!(plan.ops[..], [Op::Skip(6), Op::Tags(_)]), "{:?}", plan.ops);
    }

    #[test]
    fn a_role_is_asked_for_by_path() {
        let paths = std::cell::RefCell::new(Vec::new());
        let _ = Plan::compile(ApiKey::Metadata.response(), 1, &|place| {
            paths.borrow_mut().push(place.path.to_owned());
            None
        });
        assert!(paths.borrow().contains(&"Topics.Partitions.LeaderId".to_owned()), "{paths:?}");
        assert!(!paths.borrow().contains(&"Topics.TopicId".to_owned()), "not in version 1");
    }
}
