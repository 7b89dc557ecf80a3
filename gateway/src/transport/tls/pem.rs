//! PEM (RFC 7468): certificates, keys and revocation lists as text.
//!
//! As in Kafka's own reader, any white space separates the lines, so that a key in one line of a properties file is fine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::protection;
use super::stores::{KeyEntry, StoreProblem, Wanted};

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

struct Section<'a> {
    label: &'a str,
    /// Of the bytes; the headers of an old encrypted key are in it too.
    text: &'a str,
}

impl Section<'_> {
    fn bytes(&self) -> Result<Vec<u8>, StoreProblem> {
        let text = self.text.split_whitespace().collect::<String>();
        STANDARD.decode(text).map_err(|_| StoreProblem::Damaged("a section of the PEM is not base64"))
    }
}

/// What is between the BEGIN and END lines; words around them are comments.
fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>, StoreProblem> {
    let mut rest = std::str::from_utf8(bytes).map_err(|_| StoreProblem::Damaged("the PEM is not text"))?;
    let mut sections = Vec::new();
    while let Some(start) = rest.find(BEGIN) {
        let unfinished = || StoreProblem::Damaged("a section of the PEM has no end");
        let (label, behind) = rest[start + BEGIN.len()..].split_once(DASHES).ok_or_else(unfinished)?;
        let end = format!("-----END {label}-----");
        let (text, behind) = behind.split_once(&end).ok_or_else(unfinished)?;
        sections.push(Section { label: label.trim(), text });
        rest = behind;
    }
    Ok(sections)
}

pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let sections = sections(bytes)?.into_iter();
    let wanted = sections.filter(|section| matches!(section.label, "CERTIFICATE" | "X509 CERTIFICATE"));
    wanted.map(|section| section.bytes().map(CertificateDer::from)).collect()
}

pub(super) fn revocations(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, StoreProblem> {
    let wanted = sections(bytes)?.into_iter().filter(|section| section.label == "X509 CRL");
    wanted.map(|section| section.bytes().map(CertificateRevocationListDer::from)).collect()
}

/// The certificates of one text and the key of another, which may be the same.
pub(super) fn identity(chain: &[u8], key: &[u8], wanted: &Wanted<'_>) -> Result<KeyEntry, StoreProblem> {
    let chain = certificates(chain)?;
    let sections = sections(key)?;
    let mut keys = sections.iter().filter(|section| section.label.ends_with("PRIVATE KEY"));
    let (Some(section), more) = (keys.next(), keys.count()) else { return Err(StoreProblem::NoKey) };
    if more > 0 {
        return Err(StoreProblem::Damaged("the PEM holds several private keys; leave one"));
    }
    Ok(KeyEntry { key: private_key(section, wanted)?, chain })
}

fn private_key(section: &Section<'_>, wanted: &Wanted<'_>) -> Result<PrivateKeyDer<'static>, StoreProblem> {
    if section.text.contains("Proc-Type:") {
        let hint = "turn the key into PKCS#8: openssl pkcs8 -topk8 -in OLD -out NEW";
        return Err(StoreProblem::Unsupported("OpenSSL's old encryption of keys".to_owned(), hint));
    }
    let bytes = section.bytes()?;
    match section.label {
        "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(bytes.into())),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(bytes.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(bytes.into())),
        "ENCRYPTED PRIVATE KEY" => {
            let password = wanted.key_password.ok_or(StoreProblem::KeyPasswordMissing)?;
            let key = protection::decrypt_key(&bytes, password.reveal())?;
            Ok(PrivateKeyDer::Pkcs8(key.ok_or(StoreProblem::WrongKeyPassword(None))?.into()))
        }
        other => Err(StoreProblem::Unsupported(
            format!("a private key of the form '{other}'"),
            "turn it into PKCS#8: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW",
        )),
    }
}
