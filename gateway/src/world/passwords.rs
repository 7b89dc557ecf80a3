//! Which accounts may be given a password. A world holds none, so this is asked before one is built.

use contract::resources::{AccountType, Declared as _, GatewayServiceAccount};

use super::{Problem, ProblemKind};

/// Finds out whether the password that an account is declared with, if any, can be one.
///
/// # Errors
/// Why not. The password is not in it.
pub fn check_password(account: &GatewayServiceAccount) -> Result<(), Problem> {
    let Some(password) = &account.spec.password else { return Ok(()) };
    let message = match account.spec.account_type {
        AccountType::External => {
            "an EXTERNAL account proves who it is elsewhere and has no password here: leave it out, or declare a LOCAL one"
        }
        AccountType::Local if password.reveal().is_empty() => "is empty; leave it out to keep the one that is set",
        AccountType::Local => return Ok(()),
    };
    let resource = account.key().to_string();
    Err(Problem { kind: ProblemKind::Invalid, resource, path: "spec.password".into(), message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use contract::secret::Secret;

    use super::*;

    #[test]
    fn only_local_accounts_have_one_and_it_is_not_empty() {
        let local = |password: Option<&str>| GatewayServiceAccount::local("app", "dev", password.map(Secret::new));
        assert_eq!(check_password(&local(None)), Ok(()));
        assert_eq!(check_password(&local(Some("pencil"))), Ok(()));
        let told = |account: &GatewayServiceAccount| check_password(account).unwrap_err().to_string();
        assert!(told(&local(Some(""))).starts_with("GatewayServiceAccount/dev/app spec.password: is empty; "));
        let mut external = GatewayServiceAccount::external("app", "dev", "CN=app");
        assert_eq!(check_password(&external), Ok(()));
        external.spec.password = Some(Secret::new("pencil"));
        let told = told(&external);
        assert!(
            told.starts_with("GatewayServiceAccount/dev/app spec.password: an EXTERNAL account ")
                && !told.contains("pencil")
        );
    }
}
