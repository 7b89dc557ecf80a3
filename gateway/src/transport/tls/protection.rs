//! Password-based encryption of keys and key stores: PBES2 (RFC 8018) and the older schemes of PKCS#12 (RFC 7292, B).

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, InnerIvInit as _, KeyIvInit as _};
use rc2::Rc2;

use super::der::{self, Malformed, Reader};
use super::stores::StoreProblem;

/// keytool and openssl take 10,000 and 2,048; more than this is a file that wants to keep the process busy.
const MOST_ITERATIONS: u32 = 5_000_000;
/// What is written with.
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// 1.2.840.113549.1.5.13
pub(super) const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
/// 1.2.840.113549.1.5.12
pub(super) const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// 1.2.840.113549.2, the digests with keys behind it
pub(super) const RSA_DIGESTS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2];
/// 2.16.840.1.101.3.4.1, the modes of AES behind it
pub(super) const AES: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1];
/// 1.2.840.113549.3.7
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];
/// 1.2.840.113549.1.12.1, the schemes of PKCS#12 behind it
const PKCS12_SCHEMES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1];

/// Opens an EncryptedPrivateKeyInfo (RFC 5208); `None` when the password is not the right one.
pub(super) fn decrypt_key(bytes: &[u8], password: &str) -> Result<Option<Vec<u8>>, StoreProblem> {
    let parts = || {
        let mut info = Reader::new(bytes).inside(der::SEQUENCE)?;
        Ok((info.expect(der::SEQUENCE)?.content, info.octets()?))
    };
    let (algorithm, encrypted) = parts().map_err(damaged)?;
    let key = decrypt(algorithm, encrypted, password)?;
    // A wrong password may give right padding by chance, but not the beginning of a key.
    Ok(key.filter(|key| Reader::new(key).inside(der::SEQUENCE).and_then(|mut key| key.number()).is_ok()))
}

fn damaged(_: Malformed) -> StoreProblem {
    StoreProblem::Damaged("what is encrypted in it is not described by DER")
}

/// Decrypts by an AlgorithmIdentifier's content; `None` when the padding is wrong, which is a wrong password.
pub(super) fn decrypt(algorithm: &[u8], encrypted: &[u8], password: &str) -> Result<Option<Vec<u8>>, StoreProblem> {
    let mut reader = Reader::new(algorithm);
    let scheme = reader.object_id().map_err(damaged)?;
    if scheme == PBES2 {
        let mut parameters = reader.inside(der::SEQUENCE).map_err(damaged)?;
        return pbes2(&mut parameters, encrypted, password);
    }
    let Some((PKCS12_SCHEMES, [scheme])) = scheme.split_at_checked(PKCS12_SCHEMES.len()) else {
        return Err(unsupported(scheme));
    };
    let mut parameters = || {
        let mut parameters = reader.inside(der::SEQUENCE)?;
        Ok((parameters.octets()?, parameters.number()?))
    };
    let (salt, iterations) = parameters().map_err(damaged)?;
    let iterations = bounded(iterations)?;
    let derive = |id, length| pkcs12_kdf(&digest::SHA1_FOR_LEGACY_USE_ONLY, id, password, salt, iterations, length);
    let iv = derive(2, 8);
    Ok(match scheme {
        3 => triple_des(&derive(1, 24), &iv, encrypted),
        4 => {
            let key = derive(1, 16);
            triple_des(&[&key[..], &key[..8]].concat(), &iv, encrypted)
        }
        5 => rc2(&derive(1, 16), &iv, encrypted),
        6 => rc2(&derive(1, 5), &iv, encrypted),
        _ => return Err(unsupported(&[PKCS12_SCHEMES, &[*scheme]].concat())),
    })
}

fn unsupported(algorithm: &[u8]) -> StoreProblem {
    let name = der::dotted(algorithm).unwrap_or_else(|| "without a name".to_owned());
    let hint = "encrypt it by PBES2 with AES, as openssl 3 and Java 17 do by themselves";
    StoreProblem::Unsupported(format!("the encryption {name}"), hint)
}

pub(super) fn bounded(iterations: u32) -> Result<NonZeroU32, StoreProblem> {
    NonZeroU32::new(iterations)
        .filter(|iterations| iterations.get() <= MOST_ITERATIONS)
        .ok_or(StoreProblem::Damaged("its count of iterations is out of all bounds"))
}

fn pbes2(parameters: &mut Reader<'_>, encrypted: &[u8], password: &str) -> Result<Option<Vec<u8>>, StoreProblem> {
    let mut parts = || {
        let derivation = parameters.expect(der::SEQUENCE)?.content;
        let mut cipher = parameters.inside(der::SEQUENCE)?;
        Ok((derivation, cipher.object_id()?, cipher.octets()?))
    };
    let (derivation, cipher, iv) = parts().map_err(damaged)?;
    let aes: Option<(&'static Algorithm, usize)> = match cipher.split_at_checked(AES.len()) {
        Some((AES, [2])) => Some((&AES_128, 16)),
        Some((AES, [22])) => Some((&AES_192, 24)),
        Some((AES, [42])) => Some((&AES_256, 32)),
        _ if cipher == DES_EDE3_CBC => None,
        _ => return Err(unsupported(cipher)),
    };
    let key = pbkdf2_key(derivation, password, aes.map_or(24, |(_, length)| length))?;
    Ok(match aes {
        Some((algorithm, _)) => open_aes(algorithm, &key, iv, encrypted),
        None => triple_des(&key, iv, encrypted),
    })
}

/// The key that PBKDF2's AlgorithmIdentifier describes.
pub(super) fn pbkdf2_key(algorithm: &[u8], password: &str, length: usize) -> Result<Vec<u8>, StoreProblem> {
    let mut reader = Reader::new(algorithm);
    let name = reader.object_id().map_err(damaged)?;
    if name != PBKDF2 {
        return Err(unsupported(name));
    }
    let mut parts = || {
        let mut parameters = reader.inside(der::SEQUENCE)?;
        let (salt, iterations) = (parameters.octets()?, parameters.number()?);
        parameters.optional(der::INTEGER)?;
        let prf = if parameters.is_empty() { None } else { Some(parameters.inside(der::SEQUENCE)?.object_id()?) };
        Ok((salt, iterations, prf))
    };
    let (salt, iterations, prf) = parts().map_err(damaged)?;
    let prf = match prf {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(prf) => match prf.split_at_checked(RSA_DIGESTS.len()) {
            Some((RSA_DIGESTS, [7])) => pbkdf2::PBKDF2_HMAC_SHA1,
            Some((RSA_DIGESTS, [9])) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some((RSA_DIGESTS, [10])) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some((RSA_DIGESTS, [11])) => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(unsupported(prf)),
        },
    };
    let mut key = vec![0; length];
    pbkdf2::derive(prf, bounded(iterations)?, salt, password.as_bytes(), &mut key);
    Ok(key)
}

fn open_aes(algorithm: &'static Algorithm, key: &[u8], iv: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let mut bytes = encrypted.to_vec();
    let length = key.decrypt(&mut bytes, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn triple_des(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
}

fn rc2(key: &[u8], iv: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let cipher = Rc2::new_with_eff_key_len(key, key.len() * 8);
    cbc::Decryptor::inner_iv_slice_init(cipher, iv).ok()?.decrypt_padded_vec::<Pkcs7>(encrypted).ok()
}

/// The key derivation of PKCS#12 (RFC 7292, B.2). `id` is 1 for a key, 2 for an initial vector, 3 for a MAC's key.
pub(super) fn pkcs12_kdf(
    algorithm: &'static digest::Algorithm,
    id: u8,
    password: &str,
    salt: &[u8],
    iterations: NonZeroU32,
    length: usize,
) -> Vec<u8> {
    let block = algorithm.block_len();
    let password = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let filled =
        |text: &[u8]| -> Vec<u8> { text.iter().copied().cycle().take(text.len().div_ceil(block) * block).collect() };
    let mut input = [filled(salt), filled(&password)].concat();
    let mut output = Vec::with_capacity(length);
    loop {
        let mut context = digest::Context::new(algorithm);
        context.update(&vec![id; block]);
        context.update(&input);
        let mut hash = context.finish();
        for _ in 1..iterations.get() {
            hash = digest::digest(algorithm, hash.as_ref());
        }
        output.extend_from_slice(hash.as_ref());
        if output.len() >= length {
            output.truncate(length);
            return output;
        }
        // Each block of the input becomes block + hash (repeated) + 1, as one big number.
        for piece in input.chunks_mut(block) {
            let mut carry = 1u16;
            for (at, byte) in piece.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(hash.as_ref()[at % hash.as_ref().len()]) + carry;
                *byte = sum.to_be_bytes()[1];
                carry = sum >> 8;
            }
        }
    }
}
