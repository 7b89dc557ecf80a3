//! An identity provider for tests: keys that it makes, tokens that it signs.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::*;
use crate::config::{JwksSource, TOKEN_ALGORITHMS};

pub(in crate::authn) fn seconds(since: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(since)
}

pub(in crate::authn) fn rules() -> config::OAuth {
    config::OAuth {
        jwks: JwksSource::Url("https://login.test/keys".to_owned()),
        ca_file: None,
        expected_issuer: "https://login.test".to_owned(),
        expected_audiences: vec!["kafka".to_owned()],
        algorithms: TOKEN_ALGORITHMS.map(str::to_owned).to_vec(),
        principal_claim: "sub".to_owned(),
        scope_claim: "scope".to_owned(),
        required_scopes: Vec::new(),
        required_claims: Vec::new(),
        clock_skew: Duration::from_secs(30),
        refresh: Duration::from_secs(300),
        longest_token: 32 * 1024,
    }
}

/// The claims of a token that lasts so many seconds from now.
pub(in crate::authn) fn claims(subject: &str, lasts: i64) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    json!({ "iss": "https://login.test", "aud": "kafka", "sub": subject, "exp": now.checked_add_signed(lasts).unwrap() })
}

pub(in crate::authn) struct Issuer {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Issuer {
    pub(in crate::authn) fn rsa(id: &str) -> Self {
        Self { id: id.to_owned(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(in crate::authn) fn ecdsa(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { id: id.to_owned(), pair: Pair::Ecdsa(pair) }
    }

    pub(in crate::authn) fn ed25519(id: &str) -> Self {
        Self { id: id.to_owned(), pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    /// The entry of its key in a key set.
    pub(in crate::authn) fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Rsa(pair) => {
                // Of 2048 bits, always in the same places of the DER (RFC 8017, appendix A.1.1).
                let der = pair.public_key().as_ref();
                let (n, e) = (text(&der[9..265]), text(&der[267..]));
                json!({ "kty": "RSA", "use": "sig", "kid": self.id, "n": n, "e": e })
            }
            Pair::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.id, "x": text(x), "y": text(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": text(pair.public_key().as_ref()) })
            }
        }
    }

    pub(in crate::authn) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({ "alg": self.algorithm(), "kid": self.id, "typ": "at+jwt" }), claims)
    }

    pub(in crate::authn) fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ecdsa(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    pub(in crate::authn) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(claims));
        let (message, random) = (signed.as_bytes(), SystemRandom::new());
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// What checks the tokens of this issuer.
    pub(in crate::authn) fn oauth(&self) -> OAuth {
        oauth_of(&[self], rules())
    }
}

/// What checks the tokens of these issuers.
pub(in crate::authn) fn oauth_of(issuers: &[&Issuer], rules: config::OAuth) -> OAuth {
    let oauth = OAuth::new(rules, Arc::default());
    publish(&oauth, issuers);
    oauth
}

/// A fetch that brought the keys of these issuers and no others.
pub(in crate::authn) fn publish(oauth: &OAuth, issuers: &[&Issuer]) {
    let keys = issuers.iter().map(|issuer| issuer.jwk()).collect::<Vec<_>>();
    let set = jwks::KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    oauth.keys().fetched(tokio::time::Instant::now(), set);
}
