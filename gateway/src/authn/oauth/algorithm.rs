//! The signature algorithms of JSON Web Signatures that an identity provider may use (RFC 7518 section 3, RFC 8037).
//!
//! Asymmetric ones only. `none` and the HMAC family are not in the table: with a shared secret every service that checks
//! tokens could make them, and a public key taken for such a secret would let everybody.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, EcdsaVerificationAlgorithm,
    EdDSAParameters, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

/// One row of [`ALGORITHMS`].
#[derive(Debug)]
pub struct Algorithm {
    /// As the token's header and the key's `alg` write it.
    pub name: &'static str,
    /// The `kty` of its keys.
    pub(super) key_type: &'static str,
    /// The `crv` of its keys, except for RSA.
    pub(super) curve: Option<&'static str>,
    pub(super) check: Check,
}

/// What checks a signature.
#[derive(Debug)]
pub(super) enum Check {
    Rsa(&'static RsaParameters),
    Ecdsa(&'static EcdsaVerificationAlgorithm),
    EdDsa(&'static EdDSAParameters),
}

impl Algorithm {
    const fn rsa(name: &'static str, parameters: &'static RsaParameters) -> Self {
        Self { name, key_type: "RSA", curve: None, check: Check::Rsa(parameters) }
    }

    const fn ecdsa(name: &'static str, curve: &'static str, parameters: &'static EcdsaVerificationAlgorithm) -> Self {
        Self { name, key_type: "EC", curve: Some(curve), check: Check::Ecdsa(parameters) }
    }

    /// The algorithm of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALGORITHMS.iter().find(|algorithm| algorithm.name == name)
    }
}

/// THE TABLE of algorithms that can be allowed.
pub static ALGORITHMS: [Algorithm; 10] = [
    Algorithm::rsa("RS256", &RSA_PKCS1_2048_8192_SHA256),
    Algorithm::rsa("RS384", &RSA_PKCS1_2048_8192_SHA384),
    Algorithm::rsa("RS512", &RSA_PKCS1_2048_8192_SHA512),
    Algorithm::rsa("PS256", &RSA_PSS_2048_8192_SHA256),
    Algorithm::rsa("PS384", &RSA_PSS_2048_8192_SHA384),
    Algorithm::rsa("PS512", &RSA_PSS_2048_8192_SHA512),
    Algorithm::ecdsa("ES256", "P-256", &ECDSA_P256_SHA256_FIXED),
    Algorithm::ecdsa("ES384", "P-384", &ECDSA_P384_SHA384_FIXED),
    Algorithm::ecdsa("ES512", "P-521", &ECDSA_P521_SHA512_FIXED),
    Algorithm { name: "EdDSA", key_type: "OKP", curve: Some("Ed25519"), check: Check::EdDsa(&ED25519) },
];
