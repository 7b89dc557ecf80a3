//! How much clients may take: limits, who shares them, and when a client has to wait. Pure: the clock is the caller's.
//!
//! What is taken is written down first and paid off at the pace of the limit; a client waits until its own share is paid off. So
//! all connections of an [`Entity`](rules::Entity) together get exactly its limit, and each its turn.

pub mod bucket;
pub mod ledger;
pub mod rules;
pub mod shares;
#[cfg(test)]
mod tests;
mod told;

/// What is limited by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// Bytes of Produce requests.
    Produce,
    /// Bytes of answers with records.
    Fetch,
    /// Requests of any kind.
    Requests,
}

impl Rate {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Produce, Self::Fetch, Self::Requests];

    /// As it stands in what nodes tell each other.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::Requests => "requests",
        }
    }
}
