//! What an answer says only after the field that it decides about, read before the walk.

use crate::apis::plans;
use std::collections::BTreeSet;
use std::convert::Infallible;
use wire::plan::Role;
use wire::read::Malformed;
use wire::schema::ApiKey;
use wire::walk::{Action, Stop, Value, Visitor, scan};

/// What was read ahead; nothing for most answers.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The type of each resource, which follows its name.
    pub(super) kinds: Vec<i32>,
    /// The directories of the broker, in order.
    pub(super) log_dirs: Vec<String>,
    /// The directories while they are read: each is kept once, however often it comes.
    seen: BTreeSet<String>,
    /// The coordinator, whose id follows the error.
    pub(super) coordinator: Option<i32>,
}

impl Ahead {
    /// Reads what has to be known of this answer.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(super) fn read(key: ApiKey, version: i16, body: &[u8]) -> Result<Self, Malformed> {
        let mut ahead = Self::default();
        match key {
            ApiKey::ListConfigResources | ApiKey::DescribeLogDirs => {}
            // From version 4 on the id comes first.
            ApiKey::FindCoordinator if version < 4 => {}
            _ => return Ok(ahead),
        }
        match scan(plans::response(key, version), body, &mut ahead) {
            Ok(()) => {}
            Err(Stop::Malformed(malformed)) => return Err(malformed),
            // It keeps everything, so that nothing else can be in the way.
            Err(Stop::Kind(_) | Stop::NothingToDrop) => {}
            Err(Stop::Refused(never)) => match never {},
        }
        ahead.log_dirs = std::mem::take(&mut ahead.seen).into_iter().collect();
        Ok(ahead)
    }
}

impl Visitor for Ahead {
    type Error = Infallible;

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        match (role, value) {
            (Role::ResourceType, Value::Int(kind)) => self.kinds.push(kind),
            (Role::LogDir, Value::Str(Some(path))) if !self.seen.contains(path) => {
                let _ = self.seen.insert(path.to_owned());
            }
            (Role::BrokerId, Value::Int(id)) => self.coordinator = Some(id),
            _ => {}
        }
        Ok(Action::Keep)
    }
}
