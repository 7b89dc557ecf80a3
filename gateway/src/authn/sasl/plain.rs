//! PLAIN (RFC 4616): one message with user name and password. The password may be a token.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Authenticator, Step};
use crate::authn::credentials::{Hash, Verifier};
use crate::authn::{AccountLookup, Failure, Identity};

pub(super) struct Plain {
    authenticator: Arc<Authenticator>,
    accounts: Arc<dyn AccountLookup>,
}

impl Plain {
    pub(super) fn new(authenticator: Arc<Authenticator>, accounts: Arc<dyn AccountLookup>) -> Self {
        Self { authenticator, accounts }
    }

    pub(super) fn step(&self, message: &[u8]) -> Step {
        let parts = message.split(|byte| *byte == 0).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
        let Ok([authorization_id, username, password]) = parts.as_deref() else {
            return Step::Failed(Failure::Malformed);
        };
        if username.is_empty() || password.is_empty() {
            return Step::Failed(Failure::Malformed);
        }
        if !authorization_id.is_empty() && authorization_id != username {
            return Step::Failed(Failure::OtherAuthorizationId);
        }
        match self.by_token(username, password).or_else(|| self.by_password(username, password)) {
            Some(identity) => Step::Done { answer: Vec::new(), identity },
            None => Step::Failed(Failure::InvalidCredentials),
        }
    }

    fn by_token(&self, username: &str, token: &str) -> Option<Identity> {
        let claims = self.authenticator.tokens.verify(token, SystemTime::now())?;
        // A token of an account that was local before it became external holds no longer.
        let account = self.accounts.account(username).filter(|account| account.is_local())?;
        let same = claims.username == username && claims.vcluster == *account.virtual_cluster;
        same.then(|| Identity {
            username: Arc::clone(&account.username),
            virtual_cluster: Arc::clone(&account.virtual_cluster),
            expires_at: claims.expires_at(),
            provider: None,
        })
    }

    /// Derives from the password once whether or not there is such an account, so that both take the same time.
    fn by_password(&self, username: &str, password: &str) -> Option<Identity> {
        let account = self.accounts.account(username);
        let nobody = Verifier::of_nobody(Hash::Sha512, &self.authenticator.nobody, username);
        let credentials = account.as_ref().and_then(|account| account.credentials.as_ref());
        let verifier = credentials.map_or(&nobody, |credentials| credentials.verifier(Hash::Sha512));
        let fits = verifier.is_password(password.as_bytes());
        let account = account.as_ref().filter(|_| fits);
        account.map(|account| Identity {
            username: Arc::clone(&account.username),
            virtual_cluster: Arc::clone(&account.virtual_cluster),
            expires_at: None,
            provider: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{authenticator, jdoe};
    use super::*;
    use crate::authn::tokens::Claims;

    fn login(authenticator: &Arc<Authenticator>, message: &[u8]) -> Step {
        authenticator.start("PLAIN", jdoe()).unwrap().step(message)
    }

    fn failure(message: &[u8]) -> Failure {
        match login(&authenticator(), message) {
            Step::Failed(failure) => failure,
            other => panic!("{message:?} gave {other:?}"),
        }
    }

    #[test]
    fn the_password_logs_in() {
        for message in [&b"\0jdoe\0pencil"[..], b"jdoe\0jdoe\0pencil"] {
            let Step::Done { answer, identity } = login(&authenticator(), message) else { panic!("refused") };
            assert_eq!((answer.len(), &*identity.username, &*identity.virtual_cluster), (0, "jdoe", "dev"));
            assert_eq!(identity.expires_at, None);
        }
    }

    #[test]
    fn unknown_users_and_wrong_passwords_look_the_same() {
        for message in [&b"\0jdoe\0pen"[..], b"\0ghost\0pencil", b"\0tokens-only\0pencil"] {
            assert_eq!(failure(message), Failure::InvalidCredentials);
        }
    }

    #[test]
    fn other_messages_are_refused() {
        assert_eq!(failure(b"admin\0jdoe\0pencil"), Failure::OtherAuthorizationId);
        for message in [&b""[..], b"jdoe", b"\0jdoe", b"\0jdoe\0", b"\0\0pencil", b"\0jdoe\0pencil\0", b"\0jd\xffe\0x"]
        {
            assert_eq!(failure(message), Failure::Malformed, "{message:?}");
        }
    }

    #[test]
    fn a_token_logs_in_its_own_account_only() {
        let authenticator = authenticator();
        let token = |username: &str, vcluster: &str, exp: u64| {
            let claims = Claims { username: username.into(), vcluster: vcluster.into(), exp };
            authenticator.tokens().issue(&claims).unwrap().reveal().to_owned()
        };
        let good = token("tokens-only", "dev", 4_000_000_000);
        let Step::Done { identity, .. } = login(&authenticator, format!("\0tokens-only\0{good}").as_bytes()) else {
            panic!("refused")
        };
        assert!(identity.expires_at.is_some());
        for message in [
            format!("\0jdoe\0{good}"),
            format!("\0tokens-only\0{}", token("tokens-only", "prod", 4_000_000_000)),
            format!("\0tokens-only\0{}", token("tokens-only", "dev", 1)),
            format!("\0ghost\0{}", token("ghost", "dev", 4_000_000_000)),
        ] {
            assert_eq!(login(&authenticator, message.as_bytes()), Step::Failed(Failure::InvalidCredentials));
        }
    }
}
