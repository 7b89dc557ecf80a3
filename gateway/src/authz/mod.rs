//! May they: a request becomes [`Permitted`], by the rules of its virtual cluster.
//!
//! [`Authorizer`] decides as Kafka's own `StandardAuthorizer` does. It must not know what a request is, nor where rules are kept.

mod access;
pub mod acl;
pub mod answer;
pub mod authorizer;
#[cfg(test)]
mod decisions;
mod judge;
pub mod needs;
mod permit;
mod rules;
#[cfg(test)]
mod tests;

pub use access::{Access, Topics};
pub use acl::{Operation, ResourceType};
pub use authorizer::{Authorizer, Requester};
pub use judge::Denial;
pub use permit::{Decision, Permitted, Refused, permit};
