//! Reading primitives that check every length against the bytes that are left.

/// Why bytes are not the message that they claim to be. Offsets count from the start of the walked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field reaches past the end.
    #[error("truncated at byte {at}: {need} more bytes are claimed, {left} are left")]
    Truncated {
        /// Offset of the field.
        at: usize,
        /// Bytes that it claims.
        need: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A length or count below -1, or null where the definitions do not allow it.
    #[error("length {length} at byte {at} is not allowed here")]
    Length {
        /// Offset of the length.
        at: usize,
        /// The claimed length.
        length: i64,
    },
    /// A count that the bytes left can't hold.
    #[error("{count} elements are claimed at byte {at}, {left} bytes are left")]
    Count {
        /// Offset of the count.
        at: usize,
        /// The claimed count.
        count: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A variable-length integer of more than five bytes.
    #[error("a varint at byte {at} does not end")]
    Varint {
        /// Offset of the integer.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string at byte {at} is not UTF-8")]
    Utf8 {
        /// Offset of the string's length.
        at: usize,
    },
    /// Tags that do not ascend, or a tagged field whose content is not as long as it says.
    #[error("the tagged fields at byte {at} are inconsistent")]
    Tags {
        /// Offset of the tagged field.
        at: usize,
    },
    /// Bytes follow the last field.
    #[error("{left} bytes follow the last field at byte {at}")]
    Trailing {
        /// Offset of the first byte too many.
        at: usize,
        /// Their number.
        left: usize,
    },
}

/// A position in a body.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// All bytes, those that were passed too.
    pub const fn input(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes `n` bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        if n > self.left() {
            return Err(Malformed::Truncated { at: self.at, need: n, left: self.left() });
        }
        let start = self.at;
        self.at += n;
        Ok(&self.bytes[start..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N)?;
        let mut out = [0; N];
        out.copy_from_slice(bytes);
        Ok(out)
    }

    /// One signed byte.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// An identifier of sixteen bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]
    pub fn uuid(&mut self) -> Result<[u8; 16], Malformed> {
        self.array()
    }

    /// An unsigned variable-length integer of 32 bits.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::Varint`]
    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let start = self.at;
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint { at: start })
    }

    /// The length before a string (`short`: two bytes where not compact) or before bytes and arrays; `None` for null.
    ///
    /// # Errors
    /// [`Malformed::Length`] for a null that is not allowed or a negative length, [`Malformed::Truncated`] and
    /// [`Malformed::Varint`] for the length itself. Whether the bytes are there shows in the next [`Self::take`].
    pub fn length(&mut self, compact: bool, short: bool, nullable: bool) -> Result<Option<usize>, Malformed> {
        let at = self.at;
        let length = if compact {
            i64::from(self.varint()?) - 1
        } else if short {
            i64::from(self.i16()?)
        } else {
            i64::from(self.i32()?)
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 && nullable => Ok(None),
            Err(_) => Err(Malformed::Length { at, length }),
        }
    }

    /// The count before an array, checked against the bytes left when each element takes at least `element_min`.
    ///
    /// # Errors
    /// As [`Self::length`], and [`Malformed::Count`].
    pub fn count(&mut self, compact: bool, nullable: bool, element_min: usize) -> Result<Option<usize>, Malformed> {
        let at = self.at;
        let Some(count) = self.length(compact, false, nullable)? else { return Ok(None) };
        if count > self.left() / element_min.max(1) {
            return Err(Malformed::Count { at, count, left: self.left() });
        }
        Ok(Some(count))
    }
}

/// Appends an unsigned variable-length integer.
pub fn put_varint(out: &mut Vec<u8>, value: u32) {
    let mut bytes = [0; 5];
    let n = write_varint(&mut bytes, value);
    out.extend_from_slice(&bytes[..n]);
}

/// Writes an unsigned variable-length integer to the front of `out`; returns how many bytes it took.
pub fn write_varint(out: &mut [u8; 5], mut value: u32) -> usize {
    let mut n = 0;
    while value >= 0x80 {
        #[allow(clippy::cast_possible_truncation)]
        let low = (value & 0x7f) as u8;
        out[n] = low | 0x80;
        value >>= 7;
        n += 1;
    }
    #[allow(clippy::cast_possible_truncation)]
    let last = value as u8;
    out[n] = last;
    n + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value: u32) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.left(), 0);
        }
    }

    #[test]
    fn a_varint_of_more_than_32_bits_is_refused() {
        assert_eq!(Cursor::new(&[0xff; 6]).varint(), Err(Malformed::Varint { at: 0 }));
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), Err(Malformed::Varint { at: 0 }));
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_reserved() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(
            Cursor::new(&bytes).count(false, false, 2),
            Err(Malformed::Count { at: 0, count: 0x7fff_ffff, left: 2 })
        );
    }
}
