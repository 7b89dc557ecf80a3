//! SASL mechanisms as state machines: bytes in, bytes out.
//!
//! [`Authenticator::start`] picks the mechanism of SaslHandshake; each SaslAuthenticate is one [`SaslExchange::step`].

mod oauthbearer;
mod plain;
mod scram;
pub mod seen;

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

use super::credentials::Hash;
use super::oauth::OAuth;
use super::tokens::TokenKey;
use super::{AccountLookup, Failure, Identity};
use crate::config::{Logins, OAUTHBEARER, Unmapped};
use oauthbearer::OAuthBearer;
use plain::Plain;
use scram::Scram;

/// No honest message is longer, except where it carries somebody else's token.
const LONGEST_MESSAGE: usize = 4 * 1024;

/// What all logins of a process share.
pub struct Authenticator {
    tokens: TokenKey,
    /// Makes the salts of users that do not exist.
    nobody: [u8; 32],
    mechanisms: Vec<&'static str>,
    oauth: Option<Arc<OAuth>>,
    /// The identity providers that are declared as resources; `None` where the settings want no tokens.
    declared: Option<RwLock<Vec<Arc<OAuth>>>>,
    unmapped: Unmapped,
}

/// A mechanism was asked for that is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the client asked for a SASL mechanism that is not served; served are {}", .offered.join(", "))]
pub struct UnknownMechanism {
    /// Those that are.
    pub offered: Vec<&'static str>,
}

/// What follows from a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes; the client will answer.
    Continue(Vec<u8>),
    /// Send these bytes; the client is who it says.
    Done { answer: Vec<u8>, identity: Identity },
    /// The login has failed, and the mechanism has a message of its own that says so. Send it; whatever the client answers,
    /// the next step is [`Step::Failed`] with the same failure.
    Refused { answer: Vec<u8>, failure: Failure },
    /// Tell the client [`Failure::message`] and close the connection.
    Failed(Failure),
}

impl Authenticator {
    /// Offers the mechanisms that need nobody else.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new(tokens: TokenKey) -> Result<Self, Unspecified> {
        let mut nobody = [0; 32];
        rand::fill(&mut nobody)?;
        let Logins { mechanisms, unmapped, .. } = Logins::default();
        Ok(Self { tokens, nobody, mechanisms, oauth: None, declared: None, unmapped })
    }

    /// The same with the mechanisms that the settings name. Tokens are taken where `oauth` checks them.
    #[must_use]
    pub fn with_logins(self, logins: &Logins, oauth: Option<Arc<OAuth>>) -> Self {
        let declared = logins.declared_providers.then(RwLock::default);
        Self { mechanisms: logins.mechanisms.clone(), unmapped: logins.unmapped, oauth, declared, ..self }
    }

    /// Takes tokens of these identity providers too from now on, where the settings allow it.
    pub fn set_declared_providers(&self, providers: Vec<Arc<OAuth>>) {
        if let Some(declared) = &self.declared {
            *declared.write().unwrap_or_else(PoisonError::into_inner) = providers;
        }
    }

    /// All that check tokens, those of the settings first.
    fn providers(&self) -> Vec<Arc<OAuth>> {
        let declared = self.declared.as_ref().map(|declared| declared.read().unwrap_or_else(PoisonError::into_inner));
        self.oauth.iter().chain(declared.iter().flat_map(|declared| declared.iter())).cloned().collect()
    }

    /// The mechanisms, in the order in which they are offered.
    pub fn mechanisms(&self) -> Vec<&'static str> {
        let mut mechanisms = self.mechanisms.clone();
        if !mechanisms.contains(&OAUTHBEARER) && !self.providers().is_empty() {
            mechanisms.push(OAUTHBEARER);
        }
        mechanisms
    }

    /// What becomes of identities that somebody else vouches for and no account names.
    pub fn unmapped(&self) -> Unmapped {
        self.unmapped
    }

    /// What checks the tokens of the identity provider, if there is one.
    pub fn oauth(&self) -> Option<&Arc<OAuth>> {
        self.oauth.as_ref()
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
        let this = || Arc::clone(self);
        let offered = self.mechanisms().into_iter().find(|offered| *offered == mechanism);
        let mechanism = match (offered, self.providers()) {
            (Some("PLAIN"), _) => Mechanism::Plain(Plain::new(this(), accounts)),
            (Some("SCRAM-SHA-256"), _) => Mechanism::Scram(Scram::new(Hash::Sha256, this(), accounts)),
            (Some("SCRAM-SHA-512"), _) => Mechanism::Scram(Scram::new(Hash::Sha512, this(), accounts)),
            (Some(OAUTHBEARER), providers) if !providers.is_empty() => {
                Mechanism::OAuthBearer(OAuthBearer::new(this(), providers, accounts))
            }
            _ => return Err(UnknownMechanism { offered: self.mechanisms() }),
        };
        Ok(SaslExchange { mechanism, principal: None })
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authenticator(***)")
    }
}

/// One login under way; without any, one that has ended.
#[derive(Default)]
pub struct SaslExchange {
    mechanism: Mechanism,
    principal: Option<String>,
}

#[derive(Default)]
enum Mechanism {
    Plain(Plain),
    Scram(Scram),
    OAuthBearer(OAuthBearer),
    #[default]
    Ended,
}

impl SaslExchange {
    /// The longest message that is looked at, in bytes.
    pub fn longest_message(&self) -> usize {
        match &self.mechanism {
            Mechanism::OAuthBearer(oauthbearer) => oauthbearer.longest_message(),
            Mechanism::Plain(_) | Mechanism::Scram(_) | Mechanism::Ended => LONGEST_MESSAGE,
        }
    }

    /// Whom somebody else vouches for in a message that was taken, also where that one is refused.
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// Before [`Self::step`] with the same message: waits where something has to be fetched for it, seconds at most.
    pub async fn prepare(&self, message: &[u8]) {
        if let Mechanism::OAuthBearer(oauthbearer) = &self.mechanism
            && message.len() <= self.longest_message()
        {
            oauthbearer.prepare(message).await;
        }
    }

    /// Takes a client's message. PLAIN takes some milliseconds of CPU: run it off the threads that serve other clients.
    pub fn step(&mut self, message: &[u8]) -> Step {
        if message.len() > self.longest_message() {
            self.mechanism = Mechanism::Ended;
            return Step::Failed(Failure::TooLong);
        }
        let step = match &mut self.mechanism {
            Mechanism::Plain(plain) => plain.step(message),
            Mechanism::Scram(scram) => scram.step(message),
            Mechanism::OAuthBearer(oauthbearer) => oauthbearer.step(message, &mut self.principal),
            Mechanism::Ended => Step::Failed(Failure::OutOfTurn),
        };
        if matches!(step, Step::Done { .. } | Step::Failed(_)) {
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
            Mechanism::OAuthBearer(_) => "SaslExchange(OAUTHBEARER)",
            Mechanism::Ended => "SaslExchange(ended)",
        })
    }
}

#[cfg(test)]
pub(in crate::authn) mod fixtures {
    use std::collections::BTreeMap;

    use contract::resources::GatewayServiceAccount;

    use super::*;
    use crate::authn::Account;
    use crate::authn::credentials::Credentials;

    #[derive(Default)]
    pub(in crate::authn) struct Accounts(BTreeMap<String, Arc<Account>>);

    impl Accounts {
        pub(in crate::authn) fn with_external(mut self, username: &str, virtual_cluster: &str, name: &str) -> Self {
            let declared = GatewayServiceAccount::external(username, virtual_cluster, name);
            self.0.insert(username.to_owned(), Arc::new(Account::new(declared, None)));
            self
        }

        pub(in crate::authn) fn with(
            mut self,
            username: &str,
            virtual_cluster: &str,
            credentials: Option<Credentials>,
        ) -> Self {
            let declared = GatewayServiceAccount::local(username, virtual_cluster, None);
            self.0.insert(username.to_owned(), Arc::new(Account::new(declared, credentials)));
            self
        }
    }

    impl AccountLookup for Accounts {
        fn account(&self, username: &str) -> Option<Arc<Account>> {
            self.0.get(username).cloned()
        }

        fn by_external_name(&self, name: &str) -> Option<Arc<Account>> {
            self.0.values().find(|account| account.external_names().iter().any(|known| known == name)).cloned()
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
    fn a_mechanism_that_is_not_chosen_does_not_start() {
        let logins = Logins { mechanisms: vec!["SCRAM-SHA-512"], ..Logins::default() };
        let chosen = Authenticator::new(TokenKey::random().unwrap()).unwrap().with_logins(&logins, None);
        let chosen = Arc::new(chosen);
        assert!(chosen.start("SCRAM-SHA-512", fixtures::jdoe()).is_ok());
        let error = chosen.start("PLAIN", fixtures::jdoe()).unwrap_err();
        assert!(error.to_string().ends_with("; served are SCRAM-SHA-512"), "{error}");
    }

    #[test]
    fn every_mechanism_offered_starts() {
        for mechanism in fixtures::authenticator().mechanisms() {
            fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
        }
    }

    #[test]
    fn an_exchange_ends_with_its_first_failure() {
        for mechanism in fixtures::authenticator().mechanisms() {
            let mut exchange = fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
            assert_eq!(exchange.step(&[0; LONGEST_MESSAGE + 1]), Step::Failed(Failure::TooLong));
            assert_eq!(exchange.step(b"\0jdoe\0pencil"), Step::Failed(Failure::OutOfTurn));
            let mut exchange = fixtures::authenticator().start(mechanism, fixtures::jdoe()).unwrap();
            assert_eq!(exchange.step(b"?"), Step::Failed(Failure::Malformed));
            assert_eq!(exchange.step(b"?"), Step::Failed(Failure::OutOfTurn));
        }
    }
}
