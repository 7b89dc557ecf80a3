//! Writes PKCS#12 for Java's clients, encrypted as keytool and openssl do today: PBES2 with AES-256, MAC by SHA-256.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};

use super::der::{self, element, integer};
use super::pkcs12::{BAGS, CONTENT_TYPES, FRIENDLY_NAME, LOCAL_KEY_ID, SHA2, TRUSTED_KEY_USAGE, X509};
use super::protection::{AES, ITERATIONS, PBES2, PBKDF2, RSA_DIGESTS, pkcs12_kdf};

/// 2.5.29.37.0: trusted for everything.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0];
const NULL: &[u8] = &[5, 0];

/// A key store: a private key (PKCS#8) and its chain, under a name.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn key_store(name: &str, key: &[u8], chain: &[&[u8]], password: &str) -> Result<Vec<u8>, Unspecified> {
    let id = attribute(LOCAL_KEY_ID, &element(der::OCTET_STRING, &[&[1]]));
    let named = friendly_name(name);
    let bags = chain.iter().enumerate().map(|(at, certificate)| match at {
        0 => certificate_bag(certificate, &[&named, &id]),
        _ => certificate_bag(certificate, &[]),
    });
    let certificates = encrypted_data(&bags.collect::<Vec<_>>().concat(), password)?;
    let (algorithm, encrypted) = encrypt(key, password)?;
    let shrouded = element(der::SEQUENCE, &[&algorithm, &element(der::OCTET_STRING, &[&encrypted])]);
    let key_bag = bag(2, &shrouded, &[&named, &id]);
    let keys = data(&element(der::SEQUENCE, &[&key_bag]));
    pfx(&[&certificates, &keys], password)
}

/// A trust store: certificates under their names.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn trust_store(certificates: &[(&str, &[u8])], password: &str) -> Result<Vec<u8>, Unspecified> {
    let trusted = attribute(TRUSTED_KEY_USAGE, &element(der::OBJECT_ID, &[ANY_USAGE]));
    let bags = certificates
        .iter()
        .map(|(name, certificate)| certificate_bag(certificate, &[&friendly_name(name), &trusted]))
        .collect::<Vec<_>>();
    pfx(&[&encrypted_data(&bags.concat(), password)?], password)
}

fn pfx(contents: &[&[u8]], password: &str) -> Result<Vec<u8>, Unspecified> {
    let safe = element(der::SEQUENCE, contents);
    let salt = salt()?;
    let key = pkcs12_kdf(&digest::SHA256, 3, password, &salt, ITERATIONS, digest::SHA256.output_len());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &safe);
    let sha256 = element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[SHA2, &[1]]), NULL]);
    let info = element(der::SEQUENCE, &[&sha256, &element(der::OCTET_STRING, &[tag.as_ref()])]);
    let mac = element(der::SEQUENCE, &[&info, &element(der::OCTET_STRING, &[&salt]), &integer(ITERATIONS.get())]);
    Ok(element(der::SEQUENCE, &[&integer(3), &data(&safe), &mac]))
}

/// A ContentInfo in the clear.
fn data(content: &[u8]) -> Vec<u8> {
    let octets = element(der::OCTET_STRING, &[content]);
    element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[CONTENT_TYPES, &[1]]), &element(der::CONTEXT_0, &[&octets])])
}

/// A ContentInfo whose bags are encrypted.
fn encrypted_data(bags: &[u8], password: &str) -> Result<Vec<u8>, Unspecified> {
    let (algorithm, encrypted) = encrypt(&element(der::SEQUENCE, &[bags]), password)?;
    let content = element(
        der::SEQUENCE,
        &[&element(der::OBJECT_ID, &[CONTENT_TYPES, &[1]]), &algorithm, &element(der::IMPLICIT_0, &[&encrypted])],
    );
    let encrypted = element(der::SEQUENCE, &[&integer(0), &content]);
    let kind = element(der::OBJECT_ID, &[CONTENT_TYPES, &[6]]);
    Ok(element(der::SEQUENCE, &[&kind, &element(der::CONTEXT_0, &[&encrypted])]))
}

fn certificate_bag(certificate: &[u8], attributes: &[&[u8]]) -> Vec<u8> {
    let octets = element(der::OCTET_STRING, &[certificate]);
    let value = element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[X509]), &element(der::CONTEXT_0, &[&octets])]);
    bag(3, &value, attributes)
}

fn bag(kind: u8, value: &[u8], attributes: &[&[u8]]) -> Vec<u8> {
    let kind = element(der::OBJECT_ID, &[BAGS, &[kind]]);
    let value = element(der::CONTEXT_0, &[value]);
    match attributes {
        [] => element(der::SEQUENCE, &[&kind, &value]),
        attributes => {
            // DER sorts a SET OF.
            let mut attributes = attributes.to_vec();
            attributes.sort();
            element(der::SEQUENCE, &[&kind, &value, &element(der::SET, &attributes)])
        }
    }
}

fn attribute(kind: &[u8], value: &[u8]) -> Vec<u8> {
    element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[kind]), &element(der::SET, &[value])])
}

fn friendly_name(name: &str) -> Vec<u8> {
    let text = name.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    attribute(FRIENDLY_NAME, &element(der::BMP_STRING, &[&text]))
}

/// The AlgorithmIdentifier and the encrypted bytes.
fn encrypt(plain: &[u8], password: &str) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let salt = salt()?;
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), &mut key);
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key)?)?;
    let mut encrypted = plain.to_vec();
    let DecryptionContext::Iv128(iv) = cipher.encrypt(&mut encrypted)? else { return Err(Unspecified) };
    let prf = element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[RSA_DIGESTS, &[9]]), NULL]);
    let parameters = element(
        der::SEQUENCE,
        &[&element(der::OCTET_STRING, &[&salt]), &integer(ITERATIONS.get()), &integer(32), &prf],
    );
    let derivation = element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[PBKDF2]), &parameters]);
    let aes = element(der::OBJECT_ID, &[AES, &[42]]);
    let scheme = element(der::SEQUENCE, &[&aes, &element(der::OCTET_STRING, &[iv.as_ref()])]);
    let parameters = element(der::SEQUENCE, &[&derivation, &scheme]);
    Ok((element(der::SEQUENCE, &[&element(der::OBJECT_ID, &[PBES2]), &parameters]), encrypted))
}

fn salt() -> Result<[u8; 20], Unspecified> {
    let mut salt = [0; 20];
    rand::fill(&mut salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls::Store;
    use crate::transport::tls::stores;
    use contract::secret::Secret;

    #[test]
    fn what_is_written_is_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        let path = std::env::temp_dir().join(format!("gateway-export-{}.p12", std::process::id()));
        let store = || Store { password: Some(Secret::new("pä ss")), ..Store::file(&path) };
        std::fs::write(&path, key_store("me", key.serialized_der(), &[certificate.der()], "pä ss").unwrap()).unwrap();
        let identity = stores::identity(&Store { alias: Some("me".to_owned()), ..store() }).unwrap();
        assert_eq!(identity.chain, [certificate.der().clone()]);
        assert_eq!(identity.key.secret_der(), key.serialized_der());
        std::fs::write(&path, trust_store(&[("ca", certificate.der())], "pä ss").unwrap()).unwrap();
        assert_eq!(stores::certificates(&store()).unwrap(), [certificate.der().clone()]);
        std::fs::remove_file(&path).unwrap();
    }
}
