//! New ids and passwords. An id is never used twice, so nothing of a deleted sandbox can be met again.

use aws_lc_rs::rand;

use crate::error::{Failure, Kind, Result};

/// No `l`, `o`, `0`, `1`: an id is read aloud and typed.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// `sb_` and ten characters; begins every physical name of the sandbox.
pub fn sandbox_id() -> Result<String> {
    Ok(format!("sb_{}", text(10)?))
}

/// 160 bits, only of characters that need no quoting anywhere.
pub fn password() -> Result<String> {
    text(32)
}

/// Random text of that length.
pub fn text(length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes).map_err(|_| Failure::new(Kind::Internal, "the system gives no random numbers"))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_shape_and_is_new_each_time() {
        let (one, other) = (sandbox_id().unwrap(), sandbox_id().unwrap());
        assert_eq!(one.len(), 13);
        assert!(one.starts_with("sb_"));
        assert_ne!(one, other);
    }
}
