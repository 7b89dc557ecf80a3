//! Encryption of what is kept.

pub mod sealed;
