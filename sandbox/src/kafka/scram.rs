//! The client's side of SCRAM-SHA-512 (RFC 5802): proves the password without sending it, and checks that the server
//! knows it too.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Credentials;
use crate::identity;

/// The header of a client that asks for no channel binding, and its base64.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";
/// More would only be asked for by a server that wants to keep us busy.
const MAX_ITERATIONS: u32 = 1_000_000;

pub(super) struct Exchange {
    password: String,
    nonce: String,
    first_bare: String,
    server_signature: Option<hmac::Tag>,
}

impl Exchange {
    /// The exchange and the first message to send.
    pub(super) fn begin(credentials: &Credentials) -> Result<(Self, Vec<u8>), String> {
        let nonce = identity::text(32).map_err(|failure| failure.message)?;
        Ok(Self::with_nonce(credentials, nonce))
    }

    fn with_nonce(credentials: &Credentials, nonce: String) -> (Self, Vec<u8>) {
        let name = credentials.username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={name},r={nonce}");
        let message = format!("{GS2_HEADER}{first_bare}").into_bytes();
        let password = credentials.password.reveal().to_owned();
        (Self { password, nonce, first_bare, server_signature: None }, message)
    }

    /// The proof, for the server's challenge.
    pub(super) fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "its challenge is not text".to_owned())?;
        let nonce = attribute(challenge, 'r')?;
        if !nonce.starts_with(&self.nonce) {
            return Err("its challenge is for another login".to_owned());
        }
        let salt = decoded(attribute(challenge, 's')?)?;
        let iterations = attribute(challenge, 'i')?
            .parse::<NonZeroU32>()
            .ok()
            .filter(|iterations| iterations.get() <= MAX_ITERATIONS)
            .ok_or_else(|| "its number of iterations makes no sense".to_owned())?;

        let mut salted = [0; digest::SHA512_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, &salt, self.password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA512, client_key.as_ref());
        let without_proof = format!("c={GS2_HEADER_BASE64},r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.first_bare);
        let signature = sign(stored_key.as_ref(), signed.as_bytes());
        let proof =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, mask)| key ^ mask).collect::<Vec<_>>();
        let server_key = sign(&salted, b"Server Key");
        self.server_signature = Some(sign(server_key.as_ref(), signed.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes())
    }

    /// Checks the server's own proof.
    pub(super) fn finish(self, verdict: &[u8]) -> Result<(), String> {
        let verdict = std::str::from_utf8(verdict).map_err(|_| "its verdict is not text".to_owned())?;
        if let Ok(reason) = attribute(verdict, 'e') {
            return Err(reason.to_owned());
        }
        let given = decoded(attribute(verdict, 'v')?)?;
        let expected = self.server_signature.ok_or_else(|| "its verdict came too early".to_owned())?;
        // Not secret any more: the server has the password's proof by now.
        if given == expected.as_ref() { Ok(()) } else { Err("it does not know the password itself".to_owned()) }
    }
}

fn attribute(message: &str, name: char) -> Result<&str, String> {
    message
        .split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        .ok_or_else(|| format!("its message lacks '{name}'"))
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD.decode(text).map_err(|_| "its message is not base64".to_owned())
}

fn sign(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), message)
}

#[cfg(test)]
mod tests {
    use contract::secret::Secret;

    use super::*;
    use crate::kafka::Mechanism;

    fn begin() -> Exchange {
        let credentials = Credentials {
            mechanism: Mechanism::ScramSha512,
            username: "a,b=c".to_owned(),
            password: Secret::new("pencil"),
        };
        let (exchange, first) = Exchange::with_nonce(&credentials, "nonce".to_owned());
        assert_eq!(String::from_utf8(first).unwrap(), "n,,n=a=2Cb=3Dc,r=nonce");
        exchange
    }

    /// What a server that has only the stored and the server key computes must agree with the client.
    #[test]
    fn both_sides_agree() {
        let mut exchange = begin();
        let challenge = "r=nonceserver,s=c2FsdA==,i=4096";
        let answer = String::from_utf8(exchange.answer(challenge.as_bytes()).unwrap()).unwrap();
        let (without_proof, proof) = answer.split_once(",p=").unwrap();

        let mut salted = [0; 64];
        let iterations = NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, b"salt", b"pencil", &mut salted);
        let stored = digest::digest(&digest::SHA512, sign(&salted, b"Client Key").as_ref());
        let signed = format!("n=a=2Cb=3Dc,r=nonce,{challenge},{without_proof}");
        let mask = sign(stored.as_ref(), signed.as_bytes());
        let proof = BASE64_STANDARD.decode(proof).unwrap();
        let key = proof.iter().zip(mask.as_ref()).map(|(proof, mask)| proof ^ mask).collect::<Vec<_>>();
        assert_eq!(digest::digest(&digest::SHA512, &key).as_ref(), stored.as_ref());

        let own = sign(sign(&salted, b"Server Key").as_ref(), signed.as_bytes());
        exchange.finish(format!("v={}", BASE64_STANDARD.encode(own)).as_bytes()).unwrap();
    }

    #[test]
    fn a_bad_server_is_refused() {
        assert!(begin().answer(b"r=othernonce,s=c2FsdA==,i=4096").unwrap_err().contains("another login"));
        assert!(begin().answer(b"r=nonceserver,s=c2FsdA==,i=0").unwrap_err().contains("iterations"));
        assert!(begin().answer(b"r=nonceserver,s=c2FsdA==,i=4000000000").unwrap_err().contains("iterations"));
        assert!(begin().answer(b"r=nonceserver,i=4096").unwrap_err().contains("'s'"));
        let mut exchange = begin();
        exchange.answer(b"r=nonceserver,s=c2FsdA==,i=4096").unwrap();
        assert!(exchange.finish(b"v=AAAA").unwrap_err().contains("does not know"));
        assert_eq!(begin().finish(b"e=invalid-proof").unwrap_err(), "invalid-proof");
    }
}
