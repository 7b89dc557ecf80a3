//! SASL mechanisms as state machines: bytes in, bytes out.
//!
//! [`Authenticator::start`] picks the mechanism of SaslHandshake; each SaslAuthenticate is one [`SaslExchange::step`].

mod plain;
mod scram;

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use super::credentials::Hash;
use super::tokens::TokenKey;
use super::{AccountLookup, Failure, Identity};
use plain::Plain;
use scram::Scram;

/// The mechanisms, in the order in which they are offered.
pub const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// No honest message of these mechanisms is longer.
const LONGEST_MESSAGE: usize = 4 * 1024;

/// What all logins of a process share.
pub struct Authenticator {
    tokens: TokenKey,
    /// Makes the salts of users that do not exist.
    nobody: [u8; 32],
}

/// A mechanism was asked for that is not in [`MECHANISMS`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client asked for a SASL mechanism that is not served; served are {}", MECHANISMS.join(", "))]
pub struct UnknownMechanism;

/// What follows from a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes; the client will answer.
    Continue(Vec<u8>),
    /// Send these bytes; the client is who it says.
    Done { answer: Vec<u8>, identity: Identity },
    /// Tell the client [`Failure::message`] and close the connection.
    Failed(Failure),
}

impl Authenticator {
    pub fn new(tokens: TokenKey) -> Result<Self, Unspecified> {
        let mut nobody = [0; 32];
        rand::fill(&mut nobody)?;
        Ok(Self { tokens, nobody })
    }

    pub fn tokens(&self) -> &TokenKey {
        &self.tokens
    }

    /// Begins a login with the mechanism that the client has chosen.
    pub fn start(
        self: &Arc<Self>,
        mechanism: &str,
        accounts: Arc<dyn AccountLookup>,
    ) -> Result<SaslExchange, UnknownMechanism> {
        let scram = |hash, accounts| Mechanism::Scram(Scram::new(hash, Arc::clone(self), accounts));
        let mechanism = match mechanism {
            "PLAIN" => Mechanism::Plain(Plain::new(Arc::clone(self), accounts)),
            "SCRAM-SHA-256" => scram(Hash::Sha256, accounts),
            "SCRAM-SHA-512" => scram(Hash::Sha512, accounts),
            _ => return Err(UnknownMechanism),
        };
        Ok(SaslExchange { mechanism })
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator(***)")
    }
}

/// One login under way.
pub struct SaslExchange {
    mechanism: Mechanism,
}

enum Mechanism {
    Plain(Plain),
    Scram(Scram),
    Ended,
}

impl SaslExchange {
    /// Takes a client's message. PLAIN takes some milliseconds of CPU: run it off the threads that serve other clients.
    pub fn step(&mut self, message: &[u8]) -> Step {
        if message.len() > LONGEST_MESSAGE {
            self.mechanism = Mechanism::Ended;
            return Step::Failed(Failure::TooLong);
        }
        let step = match &mut self.mechanism {
            Mechanism::Plain(plain) => plain.step(message),
            Mechanism::Scram(scram) => scram.step(message),
            Mechanism::Ended => Step::Failed(Failure::OutOfTurn),
        };
        if !matches!(step, Step::Continue(_)) {
            self.mechanism = Mechanism::Ended;
        }
        step
    }
}

impl std::fmt::Debug for SaslExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.mechanism {
            Mechanism::Plain(_) => "SaslExchange(PLAIN)",
            Mechanism::Scram(_) => "SaslExchange(SCRAM)",
            Mechanism::Ended => "SaslExchange(ended)",
        })
    }
}

#[cfg(test)]
pub(super) mod fixtures {
    use std::collections::BTreeMap;

    use contract::resources::GatewayServiceAccount;

    use super::*;
    use crate::authn::Account;
    use crate::authn::credentials::Credentials;

    #[derive(Default)]
    pub(super) struct Accounts(BTreeMap<String, Arc<Account>>);

    impl Accounts {
        pub(super) fn with(mut self, username: &str, virtual_cluster: &str, credentials: Option<Credentials>) -> Self {
            let declared = GatewayServiceAccount::local(username, virtual_cluster, None);
            self.0.insert(username.to_owned(), Arc::new(Account::new(declared, credentials)));
            self
        }
    }

    impl AccountLookup for Accounts {
        fn account(&self, username: &str) -> Option<Arc<Account>> {
            self.0.get(username).cloned()
        }
    }

    pub(super) fn authenticator() -> Arc<Authenticator> {
        Arc::new(Authenticator::new(TokenKey::random().unwrap()).unwrap())
    }

    pub(super) fn jdoe() -> Arc<Accounts> {
        let credentials = Credentials::from_password("pencil").unwrap();
        Arc::new(Accounts::default().with("jdoe", "dev", Some(credentials)).with("tokens-only", "dev", None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_mechanism_is_answered_with_the_known_ones() {
        let error = fixtures::authenticator().start("GSSAPI", fixtures::jdoe()).unwrap_err();
        assert!(error.to_string().ends_with("served are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"), "{error}");
    }

    #[test]
    fn every_mechanism_offered_starts() {
        for mechanism in MECHANISMS {
            fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
        }
    }

    #[test]
    fn an_exchange_ends_with_its_first_failure() {
        for mechanism in MECHANISMS {
            let mut exchange = fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
            assert_eq!(exchange.step(&[0; LONGEST_MESSAGE + 1]), Step::Failed(Failure::TooLong));
            assert_eq!(exchange.step(b"\0jdoe\0pencil"), Step::Failed(Failure::OutOfTurn));
            let mut exchange = fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
            assert_eq!(exchange.step(b"?"), Step::Failed(Failure::Malformed));
            assert_eq!(exchange.step(b"?"), Step::Failed(Failure::OutOfTurn));
        }
    }
}
