//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the client's side. The broker has to prove itself too.

use super::{LoginError, Step};
use crate::authn::credentials::{Hash, salted_password, sign};
use crate::config::upstream::{Password, ScramHash};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use contract::secret::Secret;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// 18 bytes make 24 characters without padding.
const NONCE_BYTES: usize = 18;
/// What RFC 7677 and Kafka ask for at least: fewer would let a false broker find the password sooner.
const ITERATIONS_MIN: u32 = 4096;
/// Some seconds of CPU. Kafka itself takes no more than 16,384.
const ITERATIONS_MAX: u32 = 1_000_000;

impl From<ScramHash> for Hash {
    fn from(hash: ScramHash) -> Self {
        match hash {
            ScramHash::Sha256 => Self::Sha256,
            ScramHash::Sha512 => Self::Sha512,
        }
    }
}

/// A user name and its password, and what was made of it last.
#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    login: Password,
    salted: Arc<Mutex<Option<Salted>>>,
}

/// A salted password costs milliseconds, and brokers repeat salt and iterations until the password changes.
struct Salted {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    key: Vec<u8>,
}

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salted(***)")
    }
}

impl Scram {
    pub(super) fn new(hash: Hash, login: Password) -> Self {
        Self { hash, login, salted: Arc::default() }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self.hash {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub(super) fn username(&self) -> &str {
        &self.login.username
    }

    pub(super) fn start(&self) -> Result<Exchange, LoginError> {
        let mut bytes = [0; NONCE_BYTES];
        rand::fill(&mut bytes)
            .map_err(|_| LoginError::Credentials("the operating system gives no random bytes".to_owned()))?;
        Ok(self.start_with(BASE64_STANDARD.encode(bytes)))
    }

    fn start_with(&self, nonce: String) -> Exchange {
        let name = self.login.username.replace('=', "=3D").replace(',', "=2C");
        // Users of delegation tokens say so by this extension (KIP-48).
        let extension = if self.login.delegation_token { ",tokenauth=true" } else { "" };
        Exchange {
            hash: self.hash,
            password: self.login.password.clone(),
            salted: Arc::clone(&self.salted),
            bare: format!("n={name},r={nonce}{extension}"),
            nonce,
            state: State::Challenge,
        }
    }
}

/// One login.
#[derive(Debug)]
pub(super) struct Exchange {
    hash: Hash,
    password: Secret,
    salted: Arc<Mutex<Option<Salted>>>,
    bare: String,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Challenge,
    /// The broker's proof must be this.
    Proof(Vec<u8>),
    Ended,
}

impl Exchange {
    pub(super) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    pub(super) fn step(&mut self, message: &[u8]) -> Result<Step, LoginError> {
        let message = std::str::from_utf8(message).map_err(|_| LoginError::Malformed("it is not UTF-8"))?;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Challenge => self.prove(message),
            State::Proof(expected) => verify(message, &expected),
            State::Ended => Err(LoginError::Malformed("the exchange has ended")),
        }
    }

    fn prove(&mut self, server_first: &str) -> Result<Step, LoginError> {
        let challenge = Challenge::parse(server_first)?;
        // Otherwise the message is another exchange's, played again.
        if !challenge.nonce.starts_with(&self.nonce) || challenge.nonce.len() == self.nonce.len() {
            return Err(LoginError::Malformed("its nonce does not continue ours"));
        }
        let salted = self.salted(challenge.salt, challenge.iterations);
        let client_key = sign(self.hash, &salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        let without_proof = format!("c=biws,r={}", challenge.nonce);
        let auth_message = format!("{},{server_first},{without_proof}", self.bare);
        let signature = sign(self.hash, stored_key.as_ref(), auth_message.as_bytes());
        let proof = client_key.iter().zip(&signature).map(|(left, right)| left ^ right).collect::<Vec<_>>();
        let server_key = sign(self.hash, &salted, b"Server Key");
        self.state = State::Proof(sign(self.hash, &server_key, auth_message.as_bytes()));
        Ok(Step::Say(format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes()))
    }

    fn salted(&self, salt: Vec<u8>, iterations: NonZeroU32) -> Vec<u8> {
        let mut kept = self.salted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(salted) = kept.as_ref().filter(|kept| kept.salt == salt && kept.iterations == iterations) {
            return salted.key.clone();
        }
        let key = salted_password(self.hash, self.password.reveal().as_bytes(), &salt, iterations);
        *kept = Some(Salted { salt, iterations, key: key.clone() });
        key
    }
}

fn verify(server_final: &str, expected: &[u8]) -> Result<Step, LoginError> {
    let signature = server_final.split(',').next().and_then(|part| part.strip_prefix("v="));
    let signature = signature.ok_or(LoginError::Malformed("it holds no signature of the server"))?;
    let signature =
        BASE64_STANDARD.decode(signature).map_err(|_| LoginError::Malformed("its signature is not base64"))?;
    verify_slices_are_equal(&signature, expected).map_err(|_| LoginError::Unproven)?;
    Ok(Step::Done)
}

/// `r=nonce,s=salt,i=iterations`, and extensions behind it.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> Challenge<'a> {
    fn parse(message: &'a str) -> Result<Self, LoginError> {
        let mut parts = message.split(',');
        // A mandatory extension ("m=") would come first and is thereby not understood, as the RFC asks.
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or(LoginError::Malformed("it does not begin with a nonce"))?;
        let salt = part("s=").ok_or(LoginError::Malformed("no salt follows the nonce"))?;
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| LoginError::Malformed("its salt is not base64"))?;
        let iterations = part("i=").and_then(|text| text.parse::<u32>().ok());
        let iterations = iterations.filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count));
        let iterations = iterations
            .and_then(NonZeroU32::new)
            .ok_or(LoginError::Malformed("its iterations are not a number from 4096 to 1000000"))?;
        Ok(Self { nonce, salt, iterations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scram(hash: Hash) -> Scram {
        let login = Password { username: "user".to_owned(), password: Secret::new("pencil"), delegation_token: false };
        Scram::new(hash, login)
    }

    /// The exchange of RFC 7677, section 3.
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    #[test]
    fn the_example_of_rfc_7677() {
        let scram = scram(Hash::Sha256);
        for _ in 0..2 {
            let mut exchange = scram.start_with("rOprNGfwEbeRWgbNEkqO".to_owned());
            assert_eq!(exchange.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
            let Step::Say(last) = exchange.step(SERVER_FIRST.as_bytes()).unwrap() else { panic!() };
            assert_eq!(
                String::from_utf8(last).unwrap(),
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            );
            assert_eq!(exchange.step(SERVER_FINAL), Ok(Step::Done));
            assert!(exchange.step(SERVER_FINAL).is_err(), "an exchange ends");
        }
    }

    /// The salted passwords of RFC 5802's structure, with SHA-512: both sides are ours, so that each checks the other
    /// one's proof.
    #[test]
    fn sha_512_agrees_with_the_servers_side() {
        let mut exchange = scram(Hash::Sha512).start_with("abc".to_owned());
        let server_first = "r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let Step::Say(last) = exchange.step(server_first.as_bytes()).unwrap() else { panic!() };
        let last = String::from_utf8(last).unwrap();
        let auth_message = format!("n=user,r=abc,{server_first},c=biws,r=abcdef");
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted_password(Hash::Sha512, b"pencil", &salt, NonZeroU32::new(4096).unwrap());
        let proof = BASE64_STANDARD.decode(last.rsplit_once("p=").unwrap().1).unwrap();
        let client_key = sign(Hash::Sha512, &salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA512, &client_key);
        let signature = sign(Hash::Sha512, stored_key.as_ref(), auth_message.as_bytes());
        assert_eq!(proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect::<Vec<_>>(), client_key);
        let server_key = sign(Hash::Sha512, &salted, b"Server Key");
        let server = BASE64_STANDARD.encode(sign(Hash::Sha512, &server_key, auth_message.as_bytes()));
        assert_eq!(exchange.step(format!("v={server}").as_bytes()), Ok(Step::Done));
    }

    #[test]
    fn a_broker_without_the_password_is_found_out() {
        let mut exchange = scram(Hash::Sha256).start_with("rOprNGfwEbeRWgbNEkqO".to_owned());
        let _ = exchange.step(SERVER_FIRST.as_bytes()).unwrap();
        let forged = format!("v={}", BASE64_STANDARD.encode([7; 32]));
        assert_eq!(exchange.step(forged.as_bytes()), Err(LoginError::Unproven));
        let mut exchange = scram(Hash::Sha256).start_with("rOprNGfwEbeRWgbNEkqO".to_owned());
        let _ = exchange.step(SERVER_FIRST.as_bytes()).unwrap();
        assert!(exchange.step(b"").is_err(), "an empty message proves nothing");
    }

    #[test]
    fn other_challenges_are_refused() {
        for challenge in [
            "",
            "r=abc,s=AAAA,i=4096",
            "r=xyzdef,s=AAAA,i=4096",
            "r=abcdef,s=A,i=4096",
            "r=abcdef,s=AAAA,i=4095",
            "r=abcdef,s=AAAA,i=1000001",
            "r=abcdef,s=AAAA,i=x",
            "r=abcdef,s=AAAA",
            "m=x,r=abcdef,s=AAAA,i=4096",
            "e=other-error",
        ] {
            let mut exchange = scram(Hash::Sha256).start_with("abc".to_owned());
            assert!(matches!(exchange.step(challenge.as_bytes()), Err(LoginError::Malformed(_))), "{challenge}");
        }
    }

    #[test]
    fn names_are_escaped_and_nothing_secret_is_shown() {
        let login = Password { username: "a,b=c".to_owned(), password: Secret::new("pencil"), delegation_token: true };
        let scram = Scram::new(Hash::Sha256, login);
        let mut exchange = scram.start_with("abc".to_owned());
        assert_eq!(exchange.first(), b"n,,n=a=2Cb=3Dc,r=abc,tokenauth=true");
        let _ = exchange.step(b"r=abcdef,s=AAAA,i=4096").unwrap();
        assert!(!format!("{scram:?} {:?}", exchange.salted).contains("pencil"));
        assert_eq!(format!("{:?}", scram.salted.lock().unwrap()), "Some(Salted(***))");
    }
}
