//! Java's own key store, JKS, as `sun.security.provider.JavaKeyStore` writes it.
//!
//! Numbers are big-endian: magic, version, count of entries; an entry is a tag, an alias, a time, and either an encrypted
//! key with its chain or a certificate; at the end stands SHA-1 over the password and all that came before. A private key
//! is XORed with a stream of SHA-1s that a salt and the password begin, and followed by SHA-1 over password and key.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use contract::secret::Secret;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::{self, Reader};
use super::stores::{KeyEntry, StoreProblem, Wanted};

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// JCEKS, of Sun's extension, has the same shape but other ciphers.
const MAGIC_JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1
const KEY_PROTECTOR: &[u8] = &[0x2b, 6, 1, 4, 1, 42, 2, 17, 1, 1];
const TRUNCATED: StoreProblem = StoreProblem::Damaged("the JKS ends too early or its lengths are wrong");

pub(super) fn is_jks(bytes: &[u8]) -> Result<bool, StoreProblem> {
    if bytes.starts_with(&MAGIC_JCEKS) {
        let hint = "make it PKCS12: keytool -importkeystore -srcstoretype JCEKS -deststoretype PKCS12";
        return Err(StoreProblem::Unsupported("the form JCEKS".to_owned(), hint));
    }
    Ok(bytes.starts_with(&MAGIC))
}

struct Entry<'a> {
    alias: String,
    /// Encrypted; a trusted certificate has none.
    key: Option<&'a [u8]>,
    chain: Vec<CertificateDer<'static>>,
}

/// All certificates that are entries of their own, as Java's trust managers see them: a key's own chain counts by its first.
pub(super) fn certificates(
    bytes: &[u8],
    password: Option<&Secret>,
) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let entries = entries(bytes, password)?;
    Ok(entries.into_iter().filter_map(|entry| entry.chain.into_iter().next()).collect())
}

pub(super) fn identity(bytes: &[u8], wanted: &Wanted<'_>) -> Result<KeyEntry, StoreProblem> {
    let mut keys = entries(bytes, wanted.password)?;
    keys.retain(|entry| entry.key.is_some());
    let aliases = keys.iter().map(|entry| entry.alias.clone()).collect::<Vec<_>>();
    let entry = keys.swap_remove(wanted.choose(&aliases)?);
    let password = wanted.key_password.ok_or(StoreProblem::KeyPasswordMissing)?;
    let key = decrypt(entry.key.unwrap_or_default(), password.reveal())?;
    let key = key.ok_or(StoreProblem::WrongKeyPassword(Some(entry.alias)))?;
    Ok(KeyEntry { key: PrivateKeyDer::Pkcs8(key.into()), chain: entry.chain })
}

/// Without a password nothing is verified, as Java does it for certificates.
fn entries<'a>(bytes: &'a [u8], password: Option<&Secret>) -> Result<Vec<Entry<'a>>, StoreProblem> {
    let (body, digest) = bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or(TRUNCATED)?;
    if let Some(password) = password {
        let computed = sha1(&[&utf16(password.reveal()), WHITENER, body]);
        if computed != digest {
            return Err(StoreProblem::WrongPassword);
        }
    }
    let mut body = Bytes(body.get(MAGIC.len()..).ok_or(TRUNCATED)?);
    let version = body.number()?;
    if !(1..=2).contains(&version) {
        return Err(StoreProblem::Damaged("the JKS is of an unknown version"));
    }
    let count = body.number()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let tag = body.number()?;
        let alias = body.text()?;
        body.take(8)?;
        let (key, certificates) = match tag {
            1 => (Some(body.block()?), body.number()?),
            2 => (None, 1),
            _ => return Err(StoreProblem::Damaged("the JKS holds an entry of an unknown kind")),
        };
        let mut chain = Vec::new();
        for _ in 0..certificates {
            if version == 2 {
                body.text()?;
            }
            chain.push(CertificateDer::from(body.block()?.to_vec()));
        }
        entries.push(Entry { alias, key, chain });
    }
    Ok(entries)
}

/// `None` when the password is not the key's.
fn decrypt(bytes: &[u8], password: &str) -> Result<Option<Vec<u8>>, StoreProblem> {
    let sealed = sealed(bytes).map_err(|_| StoreProblem::Damaged("the private key in the JKS is not DER"))?;
    let Some(sealed) = sealed else {
        let hint = "make it PKCS12: keytool -importkeystore -deststoretype PKCS12";
        return Err(StoreProblem::Unsupported("an unknown protection of the key".to_owned(), hint));
    };
    if sealed.len() < 2 * DIGEST {
        return Err(TRUNCATED);
    }
    let (salt, rest) = sealed.split_at(DIGEST);
    let (encrypted, digest) = rest.split_at(rest.len() - DIGEST);
    let password = utf16(password);
    let mut block = salt.to_vec();
    let mut key = Vec::with_capacity(encrypted.len());
    for piece in encrypted.chunks(DIGEST) {
        block = sha1(&[&password, &block]);
        key.extend(piece.iter().zip(&block).map(|(left, right)| left ^ right));
    }
    Ok((sha1(&[&password, &key]) == digest).then_some(key))
}

fn sealed(bytes: &[u8]) -> Result<Option<&[u8]>, der::Malformed> {
    let mut info = Reader::new(bytes).inside(der::SEQUENCE)?;
    let protector = info.inside(der::SEQUENCE)?.object_id()?;
    let sealed = info.octets()?;
    Ok((protector == KEY_PROTECTOR).then_some(sealed))
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StoreProblem> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, StoreProblem> {
        let bytes = self.take(4)?.try_into().map_err(|_| TRUNCATED)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn block(&mut self) -> Result<&'a [u8], StoreProblem> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| TRUNCATED)?)
    }

    /// Java's modified UTF-8; what it does not share with UTF-8 shows as a replacement character.
    fn text(&mut self) -> Result<String, StoreProblem> {
        let length = self.take(2)?.try_into().map_err(|_| TRUNCATED)?;
        Ok(String::from_utf8_lossy(self.take(usize::from(u16::from_be_bytes(length)))?).into_owned())
    }
}
