//! Clients of a TLS listener that say who they are by their certificate. The handshake has verified it; here it gets a name.

use std::sync::Arc;
use std::time::SystemTime;

use super::audited::Attempt;
use super::{SessionError, Shared, handshake};
use crate::authn::principal::PrincipalRules;
use crate::authn::{Identity, external};
use crate::config::Unmapped;
use crate::transport::connection::Connection;

/// What the audit calls this way of logging in.
const MECHANISM: &str = "SSL";

/// How a listener takes certificates.
#[derive(Debug)]
pub struct ByCertificate {
    /// What subjects are called.
    pub rules: Arc<PrincipalRules>,
    /// What becomes of those whom no account names.
    pub unmapped: Unmapped,
    /// The virtual cluster of clients without a certificate, where the settings name one.
    pub anonymous: Option<Arc<str>>,
}

/// Who the client is.
///
/// # Errors
/// [`SessionError::Authentication`] where the certificate names nobody who may be here, or there is none.
pub fn identity(client: &Connection, login: &ByCertificate, shared: &Shared) -> Result<Identity, SessionError> {
    let mut attempt = Attempt::default();
    attempt.begin(MECHANISM);
    let found = known(client, login, shared, &mut attempt);
    shared.metrics.authenticated(MECHANISM, false, found.is_ok());
    match found {
        Ok(identity) => {
            shared.audit.record(attempt.succeeded(client, &identity));
            Ok(identity)
        }
        Err(reason) => {
            shared.audit.record(attempt.failed(client, &reason));
            Err(SessionError::Authentication(reason))
        }
    }
}

fn known(
    client: &Connection,
    login: &ByCertificate,
    shared: &Shared,
    attempt: &mut Attempt,
) -> Result<Identity, String> {
    let Some(certificate) = client.peer_certificate() else {
        let anonymous = login.anonymous.as_ref().map(handshake::anonymous);
        return anonymous.ok_or_else(|| "the client has shown no certificate, and 'anonymous' is not set".to_owned());
    };
    let principal = login.rules.principal(&certificate, SystemTime::now()).map_err(|error| error.to_string())?;
    attempt.is(&principal.name);
    let world = shared.world.borrow().clone();
    let identity = external::identity(&*world, &principal.name, Some(principal.expires_at), login.unmapped);
    identity.map_err(|failure| failure.reason().into_owned())
}
