//! How a command fails: what to say, what to do next, and the exit code that scripts rely on.

use std::fmt;

/// What kind of failure it is. Each kind has one exit code; usage errors of the command line itself (2) come from clap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that should not happen: a file that cannot be written, an answer that makes no sense.
    Internal,
    /// The call is wrong: no name, a name that cannot be used.
    Usage,
    /// No such sandbox.
    NotFound,
    /// It exists but not as asked, or something else holds what is needed.
    Conflict,
    /// Refused: wrong user, password or right.
    Denied,
    /// Not ready in time; it may still become ready.
    TimedOut,
    /// A server, a broker or what is needed to start one cannot be had.
    Unreachable,
    /// The state is not the one that was asked about.
    Different,
    /// `exec` failed before the command could start.
    NotStarted,
    /// `exec`: the command cannot be executed.
    NotExecutable,
    /// `exec`: no such command.
    CommandNotFound,
}

impl Kind {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Denied => 5,
            Self::TimedOut => 7,
            Self::Unreachable => 8,
            Self::Different => 10,
            Self::NotStarted => 125,
            Self::NotExecutable => 126,
            Self::CommandNotFound => 127,
        }
    }
}

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// What happened, to what, with which value.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// A file or directory that could not be used.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Kind::Internal, format!("cannot {doing} {}: {error}", path.display()))
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<contract::client::ClientError> for Failure {
    fn from(error: contract::client::ClientError) -> Self {
        use contract::client::ClientError;
        let kind = match &error {
            ClientError::Unreachable { .. } => Kind::Unreachable,
            ClientError::Address { .. } | ClientError::Authorities { .. } => Kind::Usage,
            ClientError::Unauthorized { .. } => Kind::Denied,
            ClientError::Api { status: 403, .. } => Kind::Denied,
            ClientError::Api { status: 404, .. } => Kind::NotFound,
            ClientError::Api { status: 409, .. } => Kind::Conflict,
            ClientError::Api { .. } | ClientError::Unexpected { .. } => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_contract() {
        let codes = [
            (Kind::Internal, 1),
            (Kind::Usage, 2),
            (Kind::NotFound, 3),
            (Kind::Conflict, 4),
            (Kind::Denied, 5),
            (Kind::TimedOut, 7),
            (Kind::Unreachable, 8),
            (Kind::Different, 10),
            (Kind::NotStarted, 125),
            (Kind::NotExecutable, 126),
            (Kind::CommandNotFound, 127),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }
}
