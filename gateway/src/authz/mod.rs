//! May they: a request becomes [`Permitted`], by the rules of its virtual cluster.
//!
//! [`Authorizer`] decides as Kafka's own `StandardAuthorizer` does. It must not know what a request is, nor where rules are kept.

pub mod acl;
pub mod authorizer;
mod rules;
#[cfg(test)]
mod tests;

use crate::apis::check::Checked;
use crate::authn::Identity;

pub use acl::{Operation, ResourceType};
pub use authorizer::{Authorizer, Requester};

/// A request that its identity may make. Only [`permit`] makes one, and only for an identity.
#[derive(Debug, Clone, Copy)]
pub struct Permitted<'a>(Checked<'a>);

/// Decides about a request.
pub const fn permit<'a>(checked: Checked<'a>, _identity: &Identity) -> Permitted<'a> {
    Permitted(checked)
}

impl<'a> Permitted<'a> {
    /// The request.
    pub const fn request(&self) -> Checked<'a> {
        self.0
    }
}
