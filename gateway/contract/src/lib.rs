//! What Anabranch's programs say to each other: the resources of the admin API and a client for it.
//!
//! The gateway, the sandbox and the terminal dashboard share these types, so a field is spelled once. No policy lives
//! here: whether a resource is acceptable is decided by the gateway alone.
#![warn(missing_docs)]

pub mod client;
pub mod health;
pub mod resources;
pub mod secret;
pub mod strict;
