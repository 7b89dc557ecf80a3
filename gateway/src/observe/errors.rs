//! Kafka's error codes, put together by what they mean to whoever watches: a label with a hundred values tells less.

/// What errors have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorClass {
    /// The broker does not know what went wrong, or its answer could not be given.
    Server,
    /// Too few replicas, no disk, no broker.
    Unavailable,
    /// Somebody else leads or coordinates; clients look again.
    Leadership,
    /// It took too long.
    Timeout,
    /// A topic, group, id or offset that is not there.
    NotFound,
    /// Logins.
    Authentication,
    /// A right is missing.
    Authorization,
    /// A quota.
    Throttled,
    /// Members of groups: rebalances and who was left behind.
    Group,
    /// Producers and transactions: epochs, sequences, states.
    Transaction,
    /// Fetch and share sessions, begun anew by clients.
    Session,
    /// A request that cannot be served as it is: its version, its values, its records.
    Request,
}

impl ErrorClass {
    /// Each once, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Server,
        Self::Unavailable,
        Self::Leadership,
        Self::Timeout,
        Self::NotFound,
        Self::Authentication,
        Self::Authorization,
        Self::Throttled,
        Self::Group,
        Self::Transaction,
        Self::Session,
        Self::Request,
    ];

    /// As it stands in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Unavailable => "unavailable",
            Self::Leadership => "leadership",
            Self::Timeout => "timeout",
            Self::NotFound => "not_found",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Throttled => "throttled",
            Self::Group => "group",
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Request => "request",
        }
    }

    /// The class of a code of Kafka's `Errors`; `None` for 0, no error.
    pub const fn of(code: i16) -> Option<Self> {
        Some(match code {
            0 => return None,
            -1 => Self::Server,
            8 | 9 | 13 | 19 | 20 | 56 | 72 => Self::Unavailable,
            5 | 6 | 14 | 15 | 16 | 41 | 74 | 75 | 80 | 129 => Self::Leadership,
            7 => Self::Timeout,
            1 | 3 | 69 | 91 | 100 | 105 => Self::NotFound,
            33 | 34 | 58 => Self::Authentication,
            29 | 30 | 31 | 53 | 65 => Self::Authorization,
            89 => Self::Throttled,
            22..=27 | 79 | 81 | 82 | 110..=113 => Self::Group,
            45..=52 | 59 | 67 | 90 | 120 => Self::Transaction,
            70 | 71 | 122 | 123 | 133 => Self::Session,
            _ => Self::Request,
        })
    }
}

/// Some classes, each at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorClasses(u16);

impl ErrorClasses {
    /// Adds the class of a code, if it is one of an error.
    pub const fn add(&mut self, code: i16) {
        if let Some(class) = ErrorClass::of(code) {
            self.0 |= 1 << class as u8;
        }
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are there.
    pub fn iter(self) -> impl Iterator<Item = ErrorClass> {
        ErrorClass::ALL.into_iter().filter(move |class| self.0 & (1 << *class as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_number_a_label_and_a_code() {
        for (number, class) in ErrorClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
            assert!((-1..140).any(|code| ErrorClass::of(code) == Some(class)), "{class:?}");
        }
        let mut classes = ErrorClasses::default();
        [0, 29, 3, 29].into_iter().for_each(|code| classes.add(code));
        assert_eq!(classes.iter().map(ErrorClass::label).collect::<Vec<_>>(), ["not_found", "authorization"]);
    }
}
