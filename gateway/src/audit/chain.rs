//! The hash chain: each line says which line it follows, so that one that was changed, removed or moved shows.
//!
//! A line is a JSON object whose last member is `chain`, and the last member of that is `hash`:
//!
//! ```text
//! {"id":…,"node":"gw-1","chain":{"id":"<uuid>","algorithm":"SHA-256","sequence":17,"previous":"<64 hex>","hash":"<64 hex>"}}
//! ```
//!
//! What is hashed are the bytes of the line without `,"hash":"<64 hex>"` (and without the line's end): the line up to there,
//! and then `}}`. So a shell can do it: `sed 's/,"hash":"[0-9a-f]*"}}$/}}/' | tr -d '\n' | sha256sum`. `previous` is the `hash` of the
//! line before, or 64 zeros for the first; `sequence` counts from 1. With a key `algorithm` is `HMAC-SHA-256`.
//!
//! Without a key the chain shows that lines were changed by somebody who did not bother to compute the hashes of all later
//! lines anew. With one it shows changes by everybody who does not have the key. Neither shows that lines at the end are
//! missing: that takes the hash or the number of the last line, kept elsewhere (`gateway audit verify --last HASH`).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

/// What the first line of a chain follows.
pub const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// How lines name the hash that takes a key, and the one that takes none.
pub(super) const KEYED: &str = "HMAC-SHA-256";
const PLAIN: &str = "SHA-256";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;
const BEFORE_HASH: &str = ",\"hash\":\"";
const AFTER_HASH: &str = "\"}}";

/// How lines are hashed: with or without a key.
#[derive(Clone)]
pub struct Hasher(Option<hmac::Key>);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Hasher {
    /// With a key where there is one.
    pub fn new(key: Option<&[u8]>) -> Self {
        Self(key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// How lines name it.
    pub fn algorithm(&self) -> &'static str {
        if self.0.is_some() { KEYED } else { PLAIN }
    }

    /// The hash of what a line holds beside it.
    pub fn hash(&self, canonical: &[u8]) -> String {
        match &self.0 {
            Some(key) => hex(hmac::sign(key, canonical).as_ref()),
            None => hex(digest(&SHA256, canonical).as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Where a chain stands.
#[derive(Debug, Clone)]
pub struct Chain {
    hasher: Hasher,
    /// Tells it from the other chains in the same place.
    id: String,
    sequence: u64,
    previous: String,
}

impl Chain {
    /// One that has no line yet.
    pub fn new(hasher: Hasher, id: String) -> Self {
        Self { hasher, id, sequence: 0, previous: NOTHING_BEFORE.to_owned() }
    }

    /// One that goes on behind a line.
    pub fn behind(hasher: Hasher, id: String, sequence: u64, hash: String) -> Self {
        Self { hasher, id, sequence, previous: hash }
    }

    /// Gives a record, which is a JSON object, its place in the chain.
    pub fn seal(&mut self, record: &str) -> String {
        self.sequence = self.sequence.saturating_add(1);
        let open = record.strip_suffix('}').unwrap_or(record);
        let (id, algorithm) = (&self.id, self.hasher.algorithm());
        let mut line = format!(
            r#"{open},"chain":{{"id":"{id}","algorithm":"{algorithm}","sequence":{},"previous":"{}""#,
            self.sequence, self.previous
        );
        let unfinished = line.len();
        line.push_str("}}");
        let hash = self.hasher.hash(line.as_bytes());
        line.truncate(unfinished);
        line.push_str(BEFORE_HASH);
        line.push_str(&hash);
        line.push_str(AFTER_HASH);
        self.previous = hash;
        line
    }
}

/// What was hashed of a line, and the hash that it claims; `None` where it does not end as a line of a chain.
pub fn split(line: &[u8]) -> Option<(Vec<u8>, &str)> {
    let start = line.len().checked_sub(BEFORE_HASH.len() + DIGITS + AFTER_HASH.len())?;
    let (canonical, end) = line.split_at(start);
    let hash = std::str::from_utf8(end).ok()?.strip_prefix(BEFORE_HASH)?.strip_suffix(AFTER_HASH)?;
    Some(([canonical, b"}}"].concat(), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_hashes_to_what_it_says() {
        let mut chain = Chain::new(Hasher::new(None), "c".into());
        let (first, second) = (chain.seal(r#"{"a":1}"#), chain.seal(r#"{"a":2}"#));
        // As printed by sha256sum.
        let hashed = format!(
            r#"{{"a":1,"chain":{{"id":"c","algorithm":"SHA-256","sequence":1,"previous":"{NOTHING_BEFORE}"}}}}"#
        );
        let (canonical, hash) = split(first.as_bytes()).unwrap();
        assert_eq!(canonical, hashed.as_bytes());
        assert_eq!(hash, hex(digest(&SHA256, hashed.as_bytes()).as_ref()));
        assert!(second.contains(&format!(r#""sequence":2,"previous":"{hash}""#)), "{second}");
        assert!(serde_json::from_str::<serde_json::Value>(&second).is_ok(), "{second}");
    }

    #[test]
    fn a_key_makes_another_hash() {
        // RFC 4231, test case 2.
        let hash = Hasher::new(Some(b"Jefe")).hash(b"what do ya want for nothing?");
        assert_eq!(hash, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(format!("{:?}", Hasher::new(Some(b"Jefe"))), "HMAC-SHA-256");
    }

    #[test]
    fn other_lines_have_no_hash() {
        for line in ["", "{}", "\"}}", &"x".repeat(200), &format!("{{\"a\":1,\"hash\":\"{}\"}}", "0".repeat(64))] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
