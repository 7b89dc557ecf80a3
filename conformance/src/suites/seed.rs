//! Chance that can be repeated: one 64-bit seed for a run, one derived from it for each check.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a run draws everything random from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed that no run had before.
    pub fn fresh() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut dice = Dice(u64::try_from(nanos & u128::from(u64::MAX)).unwrap_or(0) ^ u64::from(std::process::id()));
        Self(dice.next())
    }

    /// The dice of one check: a check that is run alone throws as it did among all others.
    pub fn dice(self, id: &str) -> Dice {
        // FNV-1a.
        let hash = id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Dice(self.0 ^ hash)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// SplitMix64: small, and good enough to choose names with.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "dice never end; an iterator would have to say so each time")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// A word of `length` letters and digits, starting with a letter. Twelve of them meet nothing by chance.
    pub fn word(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
        let letter = |dice: &mut Self, among| char::from(LETTERS[dice.below(among)]);
        (0..length).map(|at| if at == 0 { letter(self, 26) } else { letter(self, LETTERS.len()) }).collect()
    }

    /// Sixteen random bytes with the marks of a random UUID.
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next().to_be_bytes());
        id[8..].copy_from_slice(&self.next().to_be_bytes());
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_checks_differ() {
        let throw = |id| Seed(7).dice(id).word(12);
        assert_eq!(throw("I-01"), throw("I-01"));
        assert_ne!(throw("I-01"), throw("I-02"));
        assert_ne!(Seed(8).dice("I-01").word(12), throw("I-01"));
        assert_ne!(Seed::fresh(), Seed::fresh());
    }
}
