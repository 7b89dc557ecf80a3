//! Identities that somebody else vouches for: an identity provider's subject, a certificate's name, Kafka's principal.

use std::sync::Arc;
use std::time::SystemTime;

use contract::resources::PASSTHROUGH;

use super::{Account, AccountLookup, Failure, Identity};
use crate::config::Unmapped;

/// No name that an account can have is longer, in bytes.
pub const LONGEST_NAME: usize = 1024;

/// Who that is here: the account that has the name among its `externalNames`. It alone decides the virtual cluster.
///
/// Whoever calls this has the proof that the client is `name`; whose proof it was makes no difference.
///
/// # Errors
/// [`Failure::Unmapped`] where no account has the name, unless `unmapped` lets such identities be in `passthrough`. Even
/// then a name is refused that is an account's own: what is allowed to that account must not be allowed to somebody else.
pub fn identity(
    accounts: &dyn AccountLookup,
    name: &str,
    expires_at: Option<SystemTime>,
    unmapped: Unmapped,
) -> Result<Identity, Failure> {
    if let Some(account) = accounts.by_external_name(name) {
        let (username, virtual_cluster) = (Arc::clone(&account.username), Arc::clone(&account.virtual_cluster));
        return Ok(Identity { username, virtual_cluster, expires_at, provider: None });
    }
    let is_somebody_elses = || accounts.account(name).is_some();
    match unmapped {
        Unmapped::Passthrough if check_name(name).is_ok() && !is_somebody_elses() => {
            let (username, virtual_cluster) = (Arc::from(name), Arc::from(PASSTHROUGH));
            Ok(Identity { username, virtual_cluster, expires_at, provider: None })
        }
        _ => Err(Failure::Unmapped),
    }
}

/// The account that an identity rests on, if it is one's; when it changes, sessions of the identity must end.
pub fn basis(accounts: &dyn AccountLookup, identity: &Identity) -> Option<Arc<Account>> {
    accounts.account(&identity.username).or_else(|| accounts.by_external_name(&identity.username))
}

/// What is wrong with an external name, if anything.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.trim() != name || name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("must have 1 to {LONGEST_NAME} bytes and no blank at its ends"));
    }
    if name.chars().any(char::is_control) {
        return Err("must hold no control character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::sasl::fixtures::Accounts;

    fn accounts() -> Accounts {
        Accounts::default().with("jdoe", "dev", None).with_external("app", "prod", "CN=app,O=Acme")
    }

    fn found(name: &str, unmapped: Unmapped) -> Result<(String, String), Failure> {
        let identity = identity(&accounts(), name, None, unmapped)?;
        Ok((identity.username.to_string(), identity.virtual_cluster.to_string()))
    }

    #[test]
    fn an_account_with_the_name_is_who_it_is() {
        for unmapped in [Unmapped::Refuse, Unmapped::Passthrough] {
            assert_eq!(found("CN=app,O=Acme", unmapped), Ok(("app".to_owned(), "prod".to_owned())));
            assert_eq!(found("jdoe", unmapped), Err(Failure::Unmapped), "a local account is not to be had by name");
            assert_eq!(found("app", unmapped), Err(Failure::Unmapped), "nor an external one by its name here");
        }
    }

    #[test]
    fn others_are_refused_unless_passthrough_is_theirs() {
        assert_eq!(found("CN=other", Unmapped::Refuse), Err(Failure::Unmapped));
        assert_eq!(found("CN=other", Unmapped::Passthrough), Ok(("CN=other".to_owned(), "passthrough".to_owned())));
        for name in ["", " x", "a\nb", &"x".repeat(LONGEST_NAME + 1)] {
            assert_eq!(found(name, Unmapped::Passthrough), Err(Failure::Unmapped), "{name:?}");
        }
    }

    #[test]
    fn an_external_account_has_no_password_even_if_one_is_brought_along() {
        let declared = contract::resources::GatewayServiceAccount::external("app", "dev", "CN=app");
        let credentials = crate::authn::credentials::Credentials::from_password("pencil").unwrap();
        assert_eq!(Account::new(declared, Some(credentials)).credentials, None);
    }

    #[test]
    fn an_identity_rests_on_its_account() {
        let identity = |username: &str| Identity {
            username: username.into(),
            virtual_cluster: "passthrough".into(),
            expires_at: None,
            provider: None,
        };
        assert_eq!(basis(&accounts(), &identity("app")).unwrap().username.as_ref(), "app");
        assert_eq!(basis(&accounts(), &identity("CN=other")), None);
        let later = accounts().with_external("other", "dev", "CN=other");
        assert!(basis(&later, &identity("CN=other")).is_some(), "it belongs to somebody now");
    }
}
