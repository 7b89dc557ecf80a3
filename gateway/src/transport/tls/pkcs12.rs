//! PKCS#12 (RFC 7292): what openssl and keytool write, by password; PBMAC1 (RFC 9579) too.

use aws_lc_rs::{digest, hmac};
use contract::secret::Secret;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::Certificate;
use super::der::{self, Malformed, Reader};
use super::protection::{self, bounded, pkcs12_kdf};
use super::stores::{KeyEntry, StoreProblem, Wanted, belongs};

/// 1.2.840.113549.1.7, content types behind it: 1 data, 6 encrypted data
pub(super) const CONTENT_TYPES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7];
/// 1.2.840.113549.1.12.10.1, kinds of bags behind it
pub(super) const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1];
/// 1.2.840.113549.1.9.22.1
pub(super) const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 22, 1];
/// 1.2.840.113549.1.9.20
pub(super) const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 20];
/// 1.2.840.113549.1.9.21
pub(super) const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 21];
/// 2.16.840.1.113894.746875.1.1: Java marks the certificates that it trusts.
pub(super) const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 1, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 1, 1];
/// 1.2.840.113549.1.5.14
const PBMAC1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 14];
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
/// 2.16.840.1.101.3.4.2, the SHA-2s behind it
pub(super) const SHA2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];
/// 1.2.840.113549.2, HMACs behind it
const HMACS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2];
/// Bags within bags.
const DEEPEST: usize = 4;

pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    let version = Reader::new(bytes).inside(der::SEQUENCE).and_then(|mut pfx| pfx.number());
    // BER's open length is what some exporters write; it is told apart here so that the message can say so.
    version == Ok(3) || bytes.starts_with(&[der::SEQUENCE, 0x80])
}

/// The certificates that Java would trust: those with its mark, or all where none has it.
pub(super) fn certificates(
    bytes: &[u8],
    password: Option<&Secret>,
) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let contents = Contents::read(bytes, password)?;
    let marked = contents.certificates.iter().any(|bag| bag.trusted);
    let wanted = contents.certificates.into_iter().filter(|bag| bag.trusted || !marked);
    Ok(wanted.map(|bag| bag.certificate).collect())
}

pub(super) fn identity(bytes: &[u8], wanted: &Wanted<'_>) -> Result<KeyEntry, StoreProblem> {
    let contents = Contents::read(bytes, wanted.password)?;
    let aliases = contents.keys.iter().map(KeyBag::alias).collect::<Vec<_>>();
    let bag = &contents.keys[wanted.choose(&aliases)?];
    let key = match &bag.key {
        Sealed::Open(key) => key.clone(),
        Sealed::Encrypted(key) => {
            let password = wanted.key_password.ok_or(StoreProblem::KeyPasswordMissing)?;
            let key = protection::decrypt_key(key, password.reveal())?;
            key.ok_or_else(|| StoreProblem::WrongKeyPassword(Some(bag.alias())))?
        }
    };
    let key = PrivateKeyDer::Pkcs8(key.into());
    let chain = contents.chain(bag, &key)?;
    Ok(KeyEntry { key, chain })
}

#[derive(Default)]
struct Contents {
    keys: Vec<KeyBag>,
    certificates: Vec<CertificateBag>,
}

struct KeyBag {
    key: Sealed,
    attributes: Attributes,
}

enum Sealed {
    Open(Vec<u8>),
    Encrypted(Vec<u8>),
}

struct CertificateBag {
    certificate: CertificateDer<'static>,
    attributes: Attributes,
    trusted: bool,
}

#[derive(Default)]
struct Attributes {
    name: Option<String>,
    key_id: Option<Vec<u8>>,
    trusted: bool,
}

impl KeyBag {
    fn alias(&self) -> String {
        self.attributes.name.clone().unwrap_or_else(|| "(no name)".to_owned())
    }
}

fn damaged(_: Malformed) -> StoreProblem {
    StoreProblem::Damaged("it is not a PKCS12 in DER; write it anew by openssl pkcs12 or keytool")
}

impl Contents {
    fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Self, StoreProblem> {
        let parts = || {
            let mut pfx = Reader::new(bytes).inside(der::SEQUENCE)?;
            pfx.number()?;
            let mut info = pfx.inside(der::SEQUENCE)?;
            let kind = info.object_id()?;
            let content = info.inside(der::CONTEXT_0)?;
            Ok((kind, content, pfx))
        };
        let (kind, mut content, mac) = parts().map_err(damaged)?;
        if kind != [CONTENT_TYPES, &[1]].concat() {
            let hint = "use one whose integrity is kept by a password";
            return Err(StoreProblem::Unsupported("a signature in place of a password".to_owned(), hint));
        }
        let safe = content.octets().map_err(damaged)?;
        let password = password.map(Secret::reveal);
        if !mac.is_empty() {
            verify(mac, safe, password.ok_or(StoreProblem::PasswordMissing)?)?;
        }
        let mut contents = Self::default();
        let mut infos = Reader::new(safe).inside(der::SEQUENCE).map_err(damaged)?;
        while !infos.is_empty() {
            let info = infos.inside(der::SEQUENCE).map_err(damaged)?;
            let bags = content_info(info, password)?;
            contents.bags(&bags, 0)?;
        }
        Ok(contents)
    }

    fn bags(&mut self, bytes: &[u8], depth: usize) -> Result<(), StoreProblem> {
        if depth > DEEPEST {
            return Err(StoreProblem::Damaged("its bags lie too deep in each other"));
        }
        let mut bags = Reader::new(bytes).inside(der::SEQUENCE).map_err(damaged)?;
        while !bags.is_empty() {
            let mut parts = || {
                let mut bag = bags.inside(der::SEQUENCE)?;
                let kind = bag.object_id()?;
                let value = bag.inside(der::CONTEXT_0)?.any()?.whole;
                let attributes = if bag.is_empty() { Attributes::default() } else { Attributes::read(bag)? };
                Ok((kind, value, attributes))
            };
            let (kind, value, attributes) = parts().map_err(damaged)?;
            match kind.strip_prefix(BAGS) {
                Some([1]) => self.keys.push(KeyBag { key: Sealed::Open(value.to_vec()), attributes }),
                Some([2]) => self.keys.push(KeyBag { key: Sealed::Encrypted(value.to_vec()), attributes }),
                Some([3]) => {
                    if let Some(certificate) = certificate(value).map_err(damaged)? {
                        let (certificate, trusted) = (certificate.to_vec().into(), attributes.trusted);
                        self.certificates.push(CertificateBag { certificate, attributes, trusted });
                    }
                }
                Some([6]) => self.bags(value, depth + 1)?,
                // Revocation lists, symmetric keys and what others have invented.
                _ => {}
            }
        }
        Ok(())
    }

    /// The key's certificate first, then all others, of which the issuers are chosen later.
    fn chain(
        &self,
        key: &KeyBag,
        opened: &PrivateKeyDer<'static>,
    ) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
        let same_id =
            |bag: &CertificateBag| bag.attributes.key_id.is_some() && bag.attributes.key_id == key.attributes.key_id;
        let mine = self.certificates.iter().position(same_id).or_else(|| {
            let end_entity = |bag: &CertificateBag| Certificate::read(&bag.certificate).is_some();
            self.certificates.iter().position(|bag| end_entity(bag) && belongs(opened, &bag.certificate))
        });
        let mine = mine.ok_or(StoreProblem::NoCertificate)?;
        let others = self.certificates.iter().enumerate().filter(|(at, _)| *at != mine);
        let own = std::iter::once(self.certificates[mine].certificate.clone());
        Ok(own.chain(others.map(|(_, bag)| bag.certificate.clone())).collect())
    }
}

/// The bags of a ContentInfo, decrypted.
fn content_info(mut info: Reader<'_>, password: Option<&str>) -> Result<Vec<u8>, StoreProblem> {
    let mut parts = || Ok((info.object_id()?, info.inside(der::CONTEXT_0)?));
    let (kind, mut content) = parts().map_err(damaged)?;
    match kind.strip_prefix(CONTENT_TYPES) {
        Some([1]) => content.octets().map(<[u8]>::to_vec).map_err(damaged),
        Some([6]) => {
            let mut parts = || {
                let mut data = content.inside(der::SEQUENCE)?;
                data.number()?;
                let mut encrypted = data.inside(der::SEQUENCE)?;
                encrypted.object_id()?;
                let algorithm = encrypted.expect(der::SEQUENCE)?.content;
                Ok((algorithm, encrypted.expect(der::IMPLICIT_0)?.content))
            };
            let (algorithm, encrypted) = parts().map_err(damaged)?;
            let password = password.ok_or(StoreProblem::PasswordMissing)?;
            protection::decrypt(algorithm, encrypted, password)?.ok_or(StoreProblem::WrongPassword)
        }
        _ => {
            let hint = "use one that is encrypted by a password";
            Err(StoreProblem::Unsupported("encryption by a public key".to_owned(), hint))
        }
    }
}

fn certificate(value: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut bag = Reader::new(value).inside(der::SEQUENCE)?;
    if bag.object_id()? != X509 {
        return Ok(None);
    }
    bag.inside(der::CONTEXT_0)?.octets().map(Some)
}

impl Attributes {
    fn read(mut bag: Reader<'_>) -> Result<Self, Malformed> {
        let mut attributes = Self::default();
        let mut set = bag.inside(der::SET)?;
        while !set.is_empty() {
            let mut attribute = set.inside(der::SEQUENCE)?;
            let kind = attribute.object_id()?;
            let mut values = attribute.inside(der::SET)?;
            if kind == FRIENDLY_NAME {
                let units = values.expect(der::BMP_STRING)?.content.chunks(2);
                let units = units.map(|unit| unit.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
                attributes.name = Some(String::from_utf16_lossy(&units.collect::<Vec<_>>()));
            } else if kind == LOCAL_KEY_ID {
                attributes.key_id = Some(values.octets()?.to_vec());
            } else if kind == TRUSTED_KEY_USAGE {
                attributes.trusted = true;
            }
        }
        Ok(attributes)
    }
}

/// The MAC over everything: whether the password is the right one.
fn verify(mut mac: Reader<'_>, safe: &[u8], password: &str) -> Result<(), StoreProblem> {
    let mut parts = || {
        let mut data = mac.inside(der::SEQUENCE)?;
        let mut info = data.inside(der::SEQUENCE)?;
        let algorithm = info.inside(der::SEQUENCE)?;
        let (expected, salt) = (info.octets()?, data.octets()?);
        let iterations = if data.is_empty() { 1 } else { data.number()? };
        Ok((algorithm, expected, salt, iterations))
    };
    let (mut algorithm, expected, salt, iterations) = parts().map_err(damaged)?;
    let name = algorithm.object_id().map_err(damaged)?;
    let (hmac, key) = if name == PBMAC1 {
        pbmac1(algorithm, password)?
    } else {
        let (digest, hmac) = mac_digest(name)?;
        (hmac, pkcs12_kdf(digest, 3, password, salt, bounded(iterations)?, digest.output_len()))
    };
    hmac::verify(&hmac::Key::new(hmac, &key), safe, expected).map_err(|_| StoreProblem::WrongPassword)
}

fn mac_digest(name: &[u8]) -> Result<(&'static digest::Algorithm, hmac::Algorithm), StoreProblem> {
    Ok(match name.strip_prefix(SHA2) {
        _ if name == SHA1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Some([1]) => (&digest::SHA256, hmac::HMAC_SHA256),
        Some([2]) => (&digest::SHA384, hmac::HMAC_SHA384),
        Some([3]) => (&digest::SHA512, hmac::HMAC_SHA512),
        _ => return Err(unsupported_mac(name)),
    })
}

fn pbmac1(mut algorithm: Reader<'_>, password: &str) -> Result<(hmac::Algorithm, Vec<u8>), StoreProblem> {
    let mut parts = || {
        let mut parameters = algorithm.inside(der::SEQUENCE)?;
        Ok((parameters.expect(der::SEQUENCE)?.content, parameters.inside(der::SEQUENCE)?.object_id()?))
    };
    let (derivation, mac) = parts().map_err(damaged)?;
    let (hmac, length) = match mac.strip_prefix(HMACS) {
        Some([9]) => (hmac::HMAC_SHA256, 32),
        Some([10]) => (hmac::HMAC_SHA384, 48),
        Some([11]) => (hmac::HMAC_SHA512, 64),
        _ => return Err(unsupported_mac(mac)),
    };
    Ok((hmac, protection::pbkdf2_key(derivation, password, length)?))
}

fn unsupported_mac(name: &[u8]) -> StoreProblem {
    let name = der::dotted(name).unwrap_or_else(|| "without a name".to_owned());
    StoreProblem::Unsupported(
        format!("the integrity check {name}"),
        "write it anew with SHA-256: openssl pkcs12 -macalg sha256",
    )
}
