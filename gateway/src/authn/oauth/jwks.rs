//! The keys that an identity provider publishes: a JSON Web Key Set (RFC 7517).

use aws_lc_rs::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{ALGORITHMS, Algorithm, Check};

/// Providers publish a handful; whoever publishes more than this published something else.
const MOST_KEYS: usize = 200;

/// In bytes, of an RSA modulus: no signature by a shorter key is believed, so that such a key is none.
const SHORTEST_MODULUS: usize = 256;

/// The keys of a provider at one moment.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Entries that are no keys for signatures: of an unknown type, secret, for encryption, or broken.
    pub unusable: usize,
}

/// A public key, and the algorithms it may be used with.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<&'static Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// An uncompressed point, or the bytes of an Ed25519 key.
    Point(Vec<u8>),
}

/// Why a token's header leads to no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// No key has this id.
    UnknownId,
    /// The key with this id is for other algorithms.
    OtherAlgorithm,
    /// The token names no key, and more or fewer than one fit.
    NotNamed,
}

/// An entry as it is published.
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys in a document. An entry that is not understood is left out (RFC 7517 section 5) and counted.
    ///
    /// # Errors
    /// What the document is instead of a key set.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document = serde_json::from_slice::<Document>(document)
            .map_err(|error| format!("it is not a JSON Web Key Set ({error})"))?;
        if document.keys.len() > MOST_KEYS {
            return Err(format!("it holds {} keys; at most {MOST_KEYS} are taken", document.keys.len()));
        }
        let entries = document.keys.len();
        let keys = document.keys.into_iter().filter_map(Key::read).collect::<Vec<_>>();
        Ok(Self { unusable: entries - keys.len(), keys })
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a token that names this key, or none, may find it here.
    pub(super) fn knows(&self, id: Option<&str>) -> bool {
        match id {
            Some(_) => self.keys.iter().any(|key| key.id.as_deref() == id),
            None => !self.keys.is_empty(),
        }
    }

    /// The key that signed a token with this header. One without an id is taken only if there is no doubt which it is.
    pub(super) fn find(&self, id: Option<&str>, algorithm: &Algorithm) -> Result<&Key, NoKey> {
        let fits = |key: &&Key| key.algorithms.iter().any(|known| known.name == algorithm.name);
        let Some(id) = id else {
            let mut fitting = self.keys.iter().filter(fits);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                _ => Err(NoKey::NotNamed),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
        if named.peek().is_none() {
            return Err(NoKey::UnknownId);
        }
        named.find(fits).ok_or(NoKey::OtherAlgorithm)
    }
}

impl Key {
    fn read(entry: Value) -> Option<Self> {
        let published = Published::deserialize(entry).ok()?;
        let for_signatures = published.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && published.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        // Whatever the token says, a key serves only the algorithms of its type, and only its own if it names one.
        let fits = |algorithm: &&Algorithm| {
            algorithm.key_type == published.kty
                && algorithm.curve.is_none_or(|curve| published.crv.as_deref() == Some(curve))
                && published.alg.as_deref().is_none_or(|name| name == algorithm.name)
        };
        let algorithms = ALGORITHMS.iter().filter(fits).collect::<Vec<_>>();
        if !for_signatures || algorithms.is_empty() {
            return None;
        }
        let material = published.material()?;
        Some(Self { id: published.kid, algorithms, material })
    }

    /// Whether this key made the signature of that message.
    pub(super) fn signed(&self, algorithm: &Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&algorithm.check, &self.material) {
            (Check::Rsa(parameters), Material::Rsa(key)) => key.verify(parameters, message, signature),
            (Check::Ecdsa(parameters), Material::Point(point)) => {
                UnparsedPublicKey::new(*parameters, point).verify(message, signature)
            }
            (Check::EdDsa(parameters), Material::Point(point)) => {
                UnparsedPublicKey::new(*parameters, point).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Published {
    fn material(&self) -> Option<Material> {
        let bytes = |text: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        match self.kty.as_str() {
            "RSA" => {
                let n = bytes(&self.n)?;
                // Some providers write the zero before it that ASN.1 needs.
                let n = n.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(n);
                let long = n.len() >= SHORTEST_MODULUS;
                long.then_some(Material::Rsa(RsaPublicKeyComponents { n, e: bytes(&self.e)? }))
            }
            "EC" => {
                // The first byte says that both coordinates follow (SEC 1 section 2.3.3).
                let mut point = vec![4];
                point.extend(bytes(&self.x)?);
                point.extend(bytes(&self.y)?);
                Some(Material::Point(point))
            }
            "OKP" => Some(Material::Point(bytes(&self.x)?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7515, appendix A.3.
    const RFC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const RFC_MESSAGE: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                               cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RFC_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn set(keys: &[&str]) -> KeySet {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_holds() {
        let set = set(&[RFC_KEY]);
        let algorithm = Algorithm::named("ES256").unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(RFC_SIGNATURE).unwrap();
        let key = set.find(None, algorithm).unwrap();
        assert!(key.signed(algorithm, RFC_MESSAGE.as_bytes(), &signature));
        assert!(!key.signed(algorithm, &RFC_MESSAGE.as_bytes()[1..], &signature));
        assert!(!key.signed(algorithm, RFC_MESSAGE.as_bytes(), &signature[1..]));
        assert!(!key.signed(Algorithm::named("RS256").unwrap(), RFC_MESSAGE.as_bytes(), &signature));
        assert_eq!(set.find(Some("other"), algorithm).unwrap_err(), NoKey::UnknownId);
        assert_eq!(set.find(None, Algorithm::named("ES384").unwrap()).unwrap_err(), NoKey::NotNamed);
    }

    #[test]
    fn what_is_no_public_key_for_signatures_is_left_out() {
        let with = |more: &str| RFC_KEY.replace("\"kty\"", &format!("{more},\"kty\""));
        let entries = [
            with(r#""kid":"good","use":"sig","alg":"ES256","key_ops":["verify"],"x5c":["?"]"#),
            with(r#""use":"enc""#),
            with(r#""key_ops":["sign"]"#),
            with(r#""alg":"HS256""#),
            with(r#""alg":"none""#),
            with(r#""kid":7"#),
            RFC_KEY.replace("P-256", "secp256k1"),
            r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
            r#"{"kty":"RSA","n":"!","e":"AQAB"}"#.to_owned(),
            r#"{"kty":"RSA","e":"AQAB"}"#.to_owned(),
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, "_".repeat(171)),
            r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(),
            "7".to_owned(),
        ];
        let set = set(&entries.each_ref().map(String::as_str));
        assert_eq!((set.len(), set.unusable), (1, entries.len() - 1), "{set:?}");
        assert!(set.knows(Some("good")) && set.knows(None) && !set.knows(Some("bad")));
    }

    #[test]
    fn other_documents_are_refused() {
        for document in ["", "[]", "{}", r#"{"keys":7}"#, "<html>"] {
            let error = KeySet::parse(document.as_bytes()).unwrap_err();
            assert!(error.starts_with("it is not a JSON Web Key Set ("), "{error}");
        }
        let many = format!(r#"{{"keys":[{}1]}}"#, "1,".repeat(MOST_KEYS));
        assert_eq!(KeySet::parse(many.as_bytes()).unwrap_err(), "it holds 201 keys; at most 200 are taken");
        assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn without_an_id_a_key_is_taken_only_if_it_is_the_only_one() {
        let one = RFC_KEY.replace("\"kty\"", r#""kid":"1","kty""#);
        let two = RFC_KEY.replace("\"kty\"", r#""kid":"2","kty""#);
        let algorithm = Algorithm::named("ES256").unwrap();
        assert!(set(&[&one]).find(None, algorithm).is_ok());
        let both = set(&[&one, &two]);
        assert_eq!(both.find(None, algorithm).unwrap_err(), NoKey::NotNamed);
        assert!(both.find(Some("2"), algorithm).is_ok());
        assert_eq!(both.find(Some("2"), Algorithm::named("RS256").unwrap()).unwrap_err(), NoKey::OtherAlgorithm);
    }
}
