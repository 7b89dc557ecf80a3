//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the server's side.
//!
//! An unknown user goes through the same two rounds, with a salt that stays the same, and fails in the second.

use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Authenticator, Step};
use crate::authn::credentials::{Hash, Verifier};
use crate::authn::{Account, AccountLookup, Failure, Identity};

/// 18 bytes make 24 characters without padding.
const NONCE_BYTES: usize = 18;

pub(super) struct Scram {
    hash: Hash,
    authenticator: Arc<Authenticator>,
    accounts: Arc<dyn AccountLookup>,
    state: State,
}

enum State {
    ExpectFirst,
    ExpectFinal(Box<Challenge>),
}

/// What the second round needs from the first.
struct Challenge {
    account: Option<Arc<Account>>,
    verifier: Verifier,
    gs2_header: String,
    nonce: String,
    /// The same behind the client's nonce once more: librdkafka before 2.6.1 answers so. It holds the server's nonce all
    /// the same, so a proof made for one exchange fits no other.
    doubled_nonce: String,
    /// client-first-message-bare "," server-first-message
    messages: String,
}

impl Scram {
    pub(super) fn new(hash: Hash, authenticator: Arc<Authenticator>, accounts: Arc<dyn AccountLookup>) -> Self {
        Self { hash, authenticator, accounts, state: State::ExpectFirst }
    }

    pub(super) fn step(&mut self, message: &[u8]) -> Step {
        let Ok(message) = std::str::from_utf8(message) else {
            return Step::Failed(Failure::Malformed);
        };
        let result = match &self.state {
            State::ExpectFirst => self.first(message, server_nonce()),
            State::ExpectFinal(challenge) => challenge.finish(message),
        };
        result.unwrap_or_else(Step::Failed)
    }

    fn first(&mut self, message: &str, server_nonce: Result<String, Unspecified>) -> Result<Step, Failure> {
        let first = ClientFirst::parse(message)?;
        let account = self.accounts.account(&first.username);
        // Made for known users too, so that both take the same time.
        let nobody = Verifier::of_nobody(self.hash, &self.authenticator.nobody, &first.username);
        let credentials = account.as_ref().and_then(|account| account.credentials.as_ref());
        let verifier = credentials.map_or(nobody, |credentials| credentials.verifier(self.hash).clone());
        let nonce = format!("{}{}", first.nonce, server_nonce.map_err(|Unspecified| Failure::NoRandomness)?);
        let salt = BASE64_STANDARD.encode(verifier.salt());
        let answer = format!("r={nonce},s={salt},i={}", verifier.iterations());
        let messages = format!("{},{answer}", first.bare);
        let gs2_header = first.gs2_header.to_owned();
        let doubled_nonce = format!("{}{nonce}", first.nonce);
        let challenge = Challenge { account, verifier, gs2_header, nonce, doubled_nonce, messages };
        self.state = State::ExpectFinal(Box::new(challenge));
        Ok(Step::Continue(answer.into_bytes()))
    }
}

impl Challenge {
    fn finish(&self, message: &str) -> Result<Step, Failure> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Failure::Malformed)?;
        let proof = BASE64_STANDARD.decode(proof).map_err(|_| Failure::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|part| part.strip_prefix("c=")).ok_or(Failure::Malformed)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(Failure::Malformed)?;
        let binding = BASE64_STANDARD.decode(binding).map_err(|_| Failure::Malformed)?;
        if binding != self.gs2_header.as_bytes() {
            return Err(Failure::ChannelBinding);
        }
        let auth_message = format!("{},{without_proof}", self.messages);
        let proven = self.verifier.is_proof(auth_message.as_bytes(), &proof);
        let fresh = nonce == self.nonce || nonce == self.doubled_nonce;
        match &self.account {
            Some(account) if proven && fresh => {
                let signature = self.verifier.server_signature(auth_message.as_bytes());
                let identity = Identity {
                    username: Arc::clone(&account.username),
                    virtual_cluster: Arc::clone(&account.virtual_cluster),
                    expires_at: None,
                    provider: None,
                };
                Ok(Step::Done { answer: format!("v={}", BASE64_STANDARD.encode(signature)).into_bytes(), identity })
            }
            _ => Err(Failure::InvalidCredentials),
        }
    }
}

/// `gs2-header [reserved-mext ","] "n=" user "," "r=" nonce ["," extensions]`
pub(super) struct ClientFirst<'a> {
    gs2_header: &'a str,
    pub(super) bare: &'a str,
    pub(super) username: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, Failure> {
        let mut parts = message.splitn(3, ',');
        let (flag, authorization_id) = (parts.next().unwrap_or_default(), parts.next().ok_or(Failure::Malformed)?);
        let bare = parts.next().ok_or(Failure::Malformed)?;
        match flag {
            // "y": the client could bind to a channel and believes that the server cannot, which is so.
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(Failure::ChannelBinding),
            _ => return Err(Failure::Malformed),
        }
        let gs2_header = message.strip_suffix(bare).ok_or(Failure::Malformed)?;
        // A mandatory extension ("m=") comes first and is thereby not understood, as the RFC asks.
        let mut attributes = bare.split(',');
        let username = attributes.next().and_then(|part| part.strip_prefix("n=")).ok_or(Failure::Malformed)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(Failure::Malformed)?;
        let username = decode_name(username).ok_or(Failure::Malformed)?;
        let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if nonce.is_empty() || !printable || username.is_empty() {
            return Err(Failure::Malformed);
        }
        if !authorization_id.is_empty() {
            let id = authorization_id.strip_prefix("a=").and_then(decode_name).ok_or(Failure::Malformed)?;
            if id != username {
                return Err(Failure::OtherAuthorizationId);
            }
        }
        Ok(Self { gs2_header, bare, username, nonce })
    }
}

/// Undoes the escapes `=2C` for a comma and `=3D` for an equals sign; any other equals sign is an error.
pub(super) fn decode_name(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        decoded.push(character);
        decoded.push_str(rest);
    }
    Some(decoded)
}

fn server_nonce() -> Result<String, Unspecified> {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes)?;
    Ok(BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::fixtures::{Accounts, authenticator, jdoe};
    use super::*;
    use crate::authn::credentials::{Credentials, salted_password, sign};

    const BOTH: [(&str, Hash); 2] = [("SCRAM-SHA-256", Hash::Sha256), ("SCRAM-SHA-512", Hash::Sha512)];

    /// The client's last message and the server's signature it will expect.
    fn client_final(hash: Hash, password: &str, gs2: &str, bare: &str, server_first: &str) -> (String, String) {
        client_final_with("", hash, password, gs2, bare, server_first)
    }

    /// The same with something before the nonce.
    fn client_final_with(
        prefix: &str,
        hash: Hash,
        password: &str,
        gs2: &str,
        bare: &str,
        server_first: &str,
    ) -> (String, String) {
        let attribute = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
        let salt = BASE64_STANDARD.decode(attribute("s=")).unwrap();
        let iterations = attribute("i=").parse::<NonZeroU32>().unwrap();
        let salted = salted_password(hash, password.as_bytes(), &salt, iterations);
        let client_key = sign(hash, &salted, b"Client Key");
        let algorithm = match hash {
            Hash::Sha256 => &aws_lc_rs::digest::SHA256,
            Hash::Sha512 => &aws_lc_rs::digest::SHA512,
        };
        let stored_key = aws_lc_rs::digest::digest(algorithm, &client_key);
        let without_proof = format!("c={},r={prefix}{}", BASE64_STANDARD.encode(gs2), attribute("r="));
        let auth_message = format!("{bare},{server_first},{without_proof}");
        let signature = sign(hash, stored_key.as_ref(), auth_message.as_bytes());
        let proof = client_key.iter().zip(&signature).map(|(left, right)| left ^ right).collect::<Vec<_>>();
        let server_key = sign(hash, &salted, b"Server Key");
        let expected = BASE64_STANDARD.encode(sign(hash, &server_key, auth_message.as_bytes()));
        (format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)), format!("v={expected}"))
    }

    fn login(mechanism: (&str, Hash), gs2: &str, username: &str, password: &str) -> (Step, String) {
        let mut exchange = authenticator().start(mechanism.0, jdoe()).unwrap();
        let bare = format!("n={username},r=rOprNGfwEbeRWgbNEkqO");
        let Step::Continue(answer) = exchange.step(format!("{gs2}{bare}").as_bytes()) else { panic!("refused early") };
        let server_first = String::from_utf8(answer).unwrap();
        let (message, expected) = client_final(mechanism.1, password, gs2, &bare, &server_first);
        (exchange.step(message.as_bytes()), expected)
    }

    #[test]
    fn the_password_logs_in_and_the_server_proves_itself() {
        for mechanism in BOTH {
            for gs2 in ["n,,", "y,,", "n,a=jdoe,"] {
                let (step, expected) = login(mechanism, gs2, "jdoe", "pencil");
                let Step::Done { answer, identity } = step else { panic!("{gs2}: {step:?}") };
                assert_eq!(String::from_utf8(answer).unwrap(), expected);
                assert_eq!((&*identity.username, &*identity.virtual_cluster), ("jdoe", "dev"));
            }
        }
    }

    #[test]
    fn unknown_users_and_wrong_passwords_fail_alike_in_the_second_round() {
        for mechanism in BOTH {
            for (username, password) in [("jdoe", "pen"), ("ghost", "pencil"), ("tokens-only", "pencil")] {
                let (step, _) = login(mechanism, "n,,", username, password);
                assert_eq!(step, Step::Failed(Failure::InvalidCredentials), "{username}");
            }
        }
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = Verifier::derive(Hash::Sha256, b"pencil", salt, NonZeroU32::new(4096).unwrap());
        let mut credentials = Credentials::from_password("pencil").unwrap();
        credentials.sha256 = verifier;
        let accounts = Arc::new(Accounts::default().with("user", "dev", Some(credentials)));
        let mut scram = Scram::new(Hash::Sha256, authenticator(), accounts);
        let nonce = Ok("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned());
        let Ok(Step::Continue(answer)) = scram.first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", nonce) else { panic!() };
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let step = scram.step(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        let Step::Done { answer, .. } = step else { panic!("{step:?}") };
        assert_eq!(String::from_utf8(answer).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_proof_fits_no_other_exchange() {
        let mut exchange = authenticator().start("SCRAM-SHA-256", jdoe()).unwrap();
        let Step::Continue(first) = exchange.step(b"n,,n=jdoe,r=abc") else { panic!() };
        let (message, _) =
            client_final(Hash::Sha256, "pencil", "n,,", "n=jdoe,r=abc", &String::from_utf8(first).unwrap());
        let mut other = authenticator().start("SCRAM-SHA-256", jdoe()).unwrap();
        assert!(matches!(other.step(b"n,,n=jdoe,r=abc"), Step::Continue(_)));
        assert_eq!(other.step(message.as_bytes()), Step::Failed(Failure::InvalidCredentials));
    }

    #[test]
    fn the_nonce_of_old_librdkafka_is_accepted_and_no_other() {
        for (prefix, accepted) in [("abc", true), ("", true), ("abcabc", false), ("x", false)] {
            let mut exchange = authenticator().start("SCRAM-SHA-256", jdoe()).unwrap();
            let Step::Continue(first) = exchange.step(b"n,,n=jdoe,r=abc") else { panic!() };
            let first = String::from_utf8(first).unwrap();
            let (message, _) = client_final_with(prefix, Hash::Sha256, "pencil", "n,,", "n=jdoe,r=abc", &first);
            let done = matches!(exchange.step(message.as_bytes()), Step::Done { .. });
            assert_eq!(done, accepted, "{prefix}");
        }
    }

    #[test]
    fn a_changed_gs2_header_is_noticed() {
        let mut exchange = authenticator().start("SCRAM-SHA-256", jdoe()).unwrap();
        let Step::Continue(first) = exchange.step(b"y,,n=jdoe,r=abc") else { panic!() };
        let (message, _) =
            client_final(Hash::Sha256, "pencil", "n,,", "n=jdoe,r=abc", &String::from_utf8(first).unwrap());
        assert_eq!(exchange.step(message.as_bytes()), Step::Failed(Failure::ChannelBinding));
    }

    #[test]
    fn other_first_messages_are_refused() {
        let cases = [
            ("p=tls-unique,,n=jdoe,r=abc", Failure::ChannelBinding),
            ("n,a=admin,n=jdoe,r=abc", Failure::OtherAuthorizationId),
            ("n,,m=x,n=jdoe,r=abc", Failure::Malformed),
            ("n,,n=jdoe", Failure::Malformed),
            ("n,,n=,r=abc", Failure::Malformed),
            ("n,,n=jdoe,r=", Failure::Malformed),
            ("n,,n=a=41,r=abc", Failure::Malformed),
            ("n,b=x,n=jdoe,r=abc", Failure::Malformed),
            ("x,,n=jdoe,r=abc", Failure::Malformed),
            ("n,,", Failure::Malformed),
            ("", Failure::Malformed),
        ];
        for (message, failure) in cases {
            let mut exchange = authenticator().start("SCRAM-SHA-512", jdoe()).unwrap();
            assert_eq!(exchange.step(message.as_bytes()), Step::Failed(failure), "{message}");
        }
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(decode_name("a=2Cb=3Dc").as_deref(), Some("a,b=c"));
        assert_eq!(decode_name("a="), None);
        assert_eq!(decode_name("a=2c"), None);
    }
}
