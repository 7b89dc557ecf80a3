//! May they: a request becomes [`Permitted`].
//!
//! A session that got here is authenticated and belongs to one virtual cluster, within which it may do everything that the
//! table serves; there are no rules inside a virtual cluster yet.

use crate::apis::check::Checked;
use crate::authn::Identity;

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
