//! OAUTHBEARER (RFC 7628, KIP-255): one message with a token of an identity provider.
//!
//! A token that is not taken is answered with a challenge that says so in JSON; the client says that it has read it, and
//! the exchange ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;

use super::scram::decode_name;
use super::{Authenticator, Step};
use crate::authn::oauth::{OAuth, Rejection};
use crate::authn::{AccountLookup, Failure, Identity, external};

/// Separates the fields of a message.
const SEPARATOR: char = '\u{1}';
/// What surrounds the token: the header and the names of the fields, and what clients add to it (KIP-342).
const AROUND_A_TOKEN: usize = 4 * 1024;

pub(super) struct OAuthBearer {
    authenticator: Arc<Authenticator>,
    /// At least one.
    providers: Vec<Arc<OAuth>>,
    accounts: Arc<dyn AccountLookup>,
    refused: Option<Failure>,
}

/// What a client's message says.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    /// As whom the client wants to act, if it says so.
    authorization_id: Option<String>,
    token: &'a str,
}

impl OAuthBearer {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        providers: Vec<Arc<OAuth>>,
        accounts: Arc<dyn AccountLookup>,
    ) -> Self {
        Self { authenticator, providers, accounts, refused: None }
    }

    /// Who checks a token: the provider that it names, or the first, which then says what is wrong with it.
    fn provider_of(&self, token: &str) -> Option<&Arc<OAuth>> {
        let named = self.providers.iter().find(|provider| self.providers.len() > 1 && provider.is_named_by(token));
        named.or(self.providers.first())
    }

    /// The longest message that is taken, in bytes.
    pub(super) fn longest_message(&self) -> usize {
        self.providers.iter().map(|provider| provider.longest_token()).max().unwrap_or(0) + AROUND_A_TOKEN
    }

    /// Waits for the key of the token in the message, where it is not known yet.
    pub(super) async fn prepare(&self, message: &[u8]) {
        if let Ok(Message { token, .. }) = read(message)
            && let Some(provider) = self.provider_of(token)
        {
            provider.prepare(token).await;
        }
    }

    /// `principal` becomes whom a token is about that is to be believed.
    pub(super) fn step(&mut self, message: &[u8], principal: &mut Option<String>) -> Step {
        // Whatever comes behind the challenge: it was the end.
        if let Some(failure) = self.refused.take() {
            return Step::Failed(failure);
        }
        match self.login(message, principal) {
            Ok(step) => step,
            Err(failure) => {
                let status =
                    if let Failure::Token(rejection) = &failure { rejection.status() } else { "invalid_token" };
                self.refused = Some(failure.clone());
                Step::Refused { answer: json!({ "status": status }).to_string().into_bytes(), failure }
            }
        }
    }

    fn login(&self, message: &[u8], principal: &mut Option<String>) -> Result<Step, Failure> {
        let message = match read(message) {
            Ok(message) => message,
            // What is no message of this mechanism ends the exchange at once, as with Kafka.
            Err(failure) => return Ok(Step::Failed(failure)),
        };
        let refused = |rejection: Rejection| Failure::Token(Box::new(rejection));
        let Some(provider) = self.provider_of(message.token) else {
            return Ok(Step::Failed(Failure::InvalidCredentials));
        };
        let verified = provider.verify(message.token, SystemTime::now()).map_err(refused)?;
        *principal = Some(verified.principal.clone());
        let unmapped = self.authenticator.unmapped;
        let found = external::identity(&*self.accounts, &verified.principal, Some(verified.expires_at), unmapped);
        let identity = Identity { provider: provider.basis(), ..found? };
        if let Some(wanted) = message.authorization_id
            && wanted != verified.principal
            && *wanted != *identity.username
        {
            return Ok(Step::Failed(Failure::OtherAuthorizationId));
        }
        Ok(Step::Done { answer: Vec::new(), identity })
    }
}

/// The token in a message.
///
/// # Errors
/// As for a login with it.
pub(super) fn token(message: &[u8]) -> Result<&str, Failure> {
    read(message).map(|message| message.token)
}

/// `n,[a=<who>],` and behind it fields, each `<name>=<value>` with a separator before and one behind the last.
fn read(message: &[u8]) -> Result<Message<'_>, Failure> {
    let malformed = Failure::Malformed;
    let message = std::str::from_utf8(message).map_err(|_| malformed.clone())?;
    let (header, fields) = message.split_once(SEPARATOR).ok_or(malformed.clone())?;
    let mut header = header.split(',');
    match header.next() {
        Some("n") => {}
        Some(binding) if binding == "y" || binding.starts_with("p=") => return Err(Failure::ChannelBinding),
        _ => return Err(malformed),
    }
    let authorization_id = match (header.next(), header.next(), header.next()) {
        (Some(""), Some(""), None) => None,
        (Some(who), Some(""), None) => {
            let name = who.strip_prefix("a=").and_then(decode_name).filter(|name| !name.is_empty());
            Some(name.ok_or(malformed.clone())?)
        }
        _ => return Err(malformed),
    };
    let fields = fields.strip_suffix(SEPARATOR).ok_or(malformed.clone())?;
    let fields = fields.strip_suffix(SEPARATOR).ok_or(malformed.clone())?;
    let (mut names, mut token) = (BTreeSet::new(), None);
    for field in fields.split(SEPARATOR) {
        let (name, value) = field.split_once('=').ok_or(malformed.clone())?;
        let legal = |byte: u8| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n');
        let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !named || !value.bytes().all(legal) || !names.insert(name) {
            return Err(malformed);
        }
        // Other fields are extensions (KIP-342) for whoever understands them; nothing here depends on one.
        if name == "auth" {
            token = Some(bearer(value).ok_or(malformed.clone())?);
        }
    }
    Ok(Message { authorization_id, token: token.ok_or(malformed)? })
}

/// The token behind `Bearer`, whose letters may be of either case (RFC 7235 section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Accounts, authenticator};
    use super::*;
    use crate::authn::oauth::fixtures::{Issuer, claims};
    use crate::authn::sasl::SaslExchange;
    use crate::authn::tokens::TokenKey;
    use crate::config::{Logins, MECHANISMS, Unmapped};

    fn start(issuer: &Issuer, unmapped: Unmapped) -> SaslExchange {
        let logins = Logins { mechanisms: MECHANISMS.to_vec(), unmapped, ..Logins::default() };
        let made = Authenticator::new(TokenKey::random().unwrap()).unwrap();
        let made = made.with_logins(&logins, Some(Arc::new(issuer.oauth())));
        let accounts = Arc::new(Accounts::default().with_external("app", "dev", "0oa1"));
        Arc::new(made).start("OAUTHBEARER", accounts).unwrap()
    }

    fn message(token: &str) -> Vec<u8> {
        format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes()
    }

    #[test]
    fn a_token_is_who_its_account_is_until_it_expires() {
        let issuer = Issuer::rsa("k1");
        let token = issuer.sign(&claims("0oa1", 600));
        for message in [
            message(&token),
            format!("n,a=0oa1,\u{1}auth=bearer  {token}\u{1}traceId=1-2\u{1}\u{1}").into_bytes(),
            format!("n,a=app,\u{1}traceId=\u{1}auth=BEARER {token}\u{1}\u{1}").into_bytes(),
        ] {
            let Step::Done { answer, identity } = start(&issuer, Unmapped::Refuse).step(&message) else {
                panic!("{message:?}")
            };
            assert_eq!((answer.len(), &*identity.username, &*identity.virtual_cluster), (0, "app", "dev"));
            let left = identity.expires_at.unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
            assert!((590..=600).contains(&left), "{left}");
        }
    }

    #[test]
    fn a_declared_provider_is_believed_for_as_long_as_it_is_declared() {
        let issuer = Issuer::rsa("k1");
        let made = Authenticator::new(TokenKey::random().unwrap()).unwrap().with_logins(&Logins::default(), None);
        let made = Arc::new(made);
        let accounts = || Arc::new(Accounts::default().with_external("app", "dev", "0oa1"));
        assert!(made.start("OAUTHBEARER", accounts()).is_err(), "nobody checks tokens");
        made.set_declared_providers(vec![Arc::new(issuer.oauth())]);
        let mut exchange = made.start("OAUTHBEARER", accounts()).unwrap();
        let step = exchange.step(&message(&issuer.sign(&claims("0oa1", 600))));
        assert!(matches!(step, Step::Done { .. }), "{step:?}");
        made.set_declared_providers(Vec::new());
        assert!(made.start("OAUTHBEARER", accounts()).is_err());
    }

    #[test]
    fn a_refusal_is_a_challenge_and_then_the_end() {
        let issuer = Issuer::rsa("k1");
        for (token, status, start_of_message) in [
            (issuer.sign(&claims("0oa1", -1)), "invalid_token", "Authentication failed: the token has expired"),
            (issuer.sign(&claims("other", 600)), "invalid_token", "Authentication failed: no service account has"),
            ("a.b".to_owned(), "invalid_request", "Authentication failed: the token is not a signed"),
        ] {
            let mut exchange = start(&issuer, Unmapped::Refuse);
            let Step::Refused { answer, failure: told } = exchange.step(&message(&token)) else { panic!("{token}") };
            assert_eq!(String::from_utf8(answer).unwrap(), format!(r#"{{"status":"{status}"}}"#));
            let Step::Failed(failure) = exchange.step(&[1]) else { panic!("{token}") };
            assert!(failure.message().starts_with(start_of_message), "{}", failure.message());
            assert_eq!(failure, told);
            assert_eq!(exchange.step(&message(&token)), Step::Failed(Failure::OutOfTurn));
        }
        let mut stubborn = start(&issuer, Unmapped::Refuse);
        assert!(matches!(stubborn.step(&message("a.b")), Step::Refused { .. }));
        let good = message(&issuer.sign(&claims("0oa1", 600)));
        assert!(matches!(stubborn.step(&good), Step::Failed(Failure::Token(_))), "there is no second attempt");
    }

    #[test]
    fn an_identity_without_an_account_is_in_passthrough_only_where_the_operator_says_so() {
        let issuer = Issuer::rsa("k1");
        let other = message(&issuer.sign(&claims("somebody", 600)));
        assert!(matches!(start(&issuer, Unmapped::Refuse).step(&other), Step::Refused { .. }));
        let Step::Done { identity, .. } = start(&issuer, Unmapped::Passthrough).step(&other) else { panic!() };
        assert_eq!((&*identity.username, &*identity.virtual_cluster), ("somebody", "passthrough"));
        let own = message(&issuer.sign(&claims("app", 600)));
        assert!(
            matches!(start(&issuer, Unmapped::Passthrough).step(&own), Step::Refused { .. }),
            "an account's own name"
        );
    }

    #[test]
    fn acting_as_somebody_else_is_refused() {
        let issuer = Issuer::rsa("k1");
        let token = issuer.sign(&claims("0oa1", 600));
        let message = format!("n,a=admin,\u{1}auth=Bearer {token}\u{1}\u{1}");
        let refused = start(&issuer, Unmapped::Refuse).step(message.as_bytes());
        assert_eq!(refused, Step::Failed(Failure::OtherAuthorizationId));
    }

    #[test]
    fn other_messages_are_refused() {
        let issuer = Issuer::rsa("k1");
        for (message, failure) in [
            ("y,,\u{1}auth=Bearer x\u{1}\u{1}", Failure::ChannelBinding),
            ("p=tls-unique,,\u{1}auth=Bearer x\u{1}\u{1}", Failure::ChannelBinding),
            ("", Failure::Malformed),
            ("\u{1}", Failure::Malformed),
            ("n,,", Failure::Malformed),
            ("n,,\u{1}\u{1}", Failure::Malformed),
            ("n,\u{1}auth=Bearer x\u{1}\u{1}", Failure::Malformed),
            ("n,,,\u{1}auth=Bearer x\u{1}\u{1}", Failure::Malformed),
            ("n,a=,\u{1}auth=Bearer x\u{1}\u{1}", Failure::Malformed),
            ("n,b=c,\u{1}auth=Bearer x\u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}auth=Bearer x\u{1}", Failure::Malformed),
            ("n,,\u{1}auth=Bearer x", Failure::Malformed),
            ("n,,\u{1}auth=Bearer \u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}auth=Basic x\u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}a b=c\u{1}auth=Bearer x\u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}other=x\u{1}\u{1}", Failure::Malformed),
            ("n,,\u{1}auth=Bearer x\u{7f}\u{1}\u{1}", Failure::Malformed),
        ] {
            let step = start(&issuer, Unmapped::Refuse).step(message.as_bytes());
            assert_eq!(step, Step::Failed(failure), "{message:?}");
        }
        let long = message(&"x".repeat(100_000));
        assert_eq!(start(&issuer, Unmapped::Refuse).step(&long), Step::Failed(Failure::TooLong));
    }

    #[test]
    fn without_a_provider_the_mechanism_is_not_served() {
        let accounts = Arc::new(Accounts::default());
        let error = authenticator().start("OAUTHBEARER", accounts).unwrap_err();
        assert!(error.to_string().ends_with("served are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"), "{error}");
    }
}
