//! Record batches of Kafka's second format (KIP-98), the only one that brokers still write.

use super::codec;
use crc32c::crc32c;

/// How long a batch is without its records.
pub(super) const HEADER: usize = 61;

const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
/// The checksum covers everything from here on.
const ATTRIBUTES: usize = 21;
const COUNT: usize = 57;

const CODEC: i16 = 0b111;
const CONTROL: i16 = 0b10_0000;

/// A batch whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) bytes: &'a [u8],
}

/// What stands at the start of some records.
pub(super) enum Next<'a> {
    /// A whole batch, and what follows it.
    Batch(Batch<'a>, &'a [u8]),
    /// Nothing, or the beginning of a batch that was cut off: brokers send as much as was asked for.
    End,
    /// Something else.
    Unreadable,
}

pub(super) fn next(records: &[u8]) -> Next<'_> {
    let Some(length) = number(records, LENGTH) else { return Next::End };
    let whole = usize::try_from(length).ok().and_then(|length| length.checked_add(LENGTH + 4));
    let Some(whole) = whole.filter(|whole| *whole >= HEADER) else { return Next::Unreadable };
    let Some((bytes, rest)) = records.split_at_checked(whole) else { return Next::End };
    // What is written anew gets a new checksum, which must not cover up that the old one was wrong.
    let checksum = number(bytes, CRC).map(i32::cast_unsigned);
    if bytes[MAGIC] != 2 || checksum != Some(crc32c(&bytes[ATTRIBUTES..])) {
        return Next::Unreadable;
    }
    Next::Batch(Batch { bytes }, rest)
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|number| i32::from_be_bytes(*number))
}

impl<'a> Batch<'a> {
    fn attributes(&self) -> i16 {
        i16::from_be_bytes([self.bytes[ATTRIBUTES], self.bytes[ATTRIBUTES + 1]])
    }

    /// Whether it holds the markers of transactions, which readers need whatever they see.
    pub(super) fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// How many records it holds; `None` for a number that is none.
    pub(super) fn count(&self) -> Option<usize> {
        usize::try_from(number(self.bytes, COUNT)?).ok()
    }

    /// Its records; `None` where they can't be decompressed.
    pub(super) fn records(&self) -> Option<std::borrow::Cow<'a, [u8]>> {
        let records = &self.bytes[HEADER..];
        match self.attributes() & CODEC {
            0 => Some(records.into()),
            codec => codec::decompressed(codec, records, codec::LARGEST).map(Into::into),
        }
    }

    /// Writes it with `count` of its records, which are not compressed, as a compaction leaves it: offsets, times and producer
    /// are those of the whole.
    pub(super) fn put(&self, count: usize, records: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes[..HEADER]);
        out.extend_from_slice(records);
        let batch = &mut out[start..];
        let length = u32::try_from(batch.len() - LENGTH - 4).unwrap_or(u32::MAX);
        batch[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        let attributes = self.attributes() & !CODEC;
        batch[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
        batch[COUNT..COUNT + 4].copy_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
        let checksum = crc32c(&batch[ATTRIBUTES..]);
        batch[CRC..CRC + 4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// A batch of records for tests: `attributes` say how `records` are compressed.
#[cfg(test)]
pub(super) fn batch(base_offset: i64, attributes: i16, count: usize, last: i32, records: &[u8]) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    header[..8].copy_from_slice(&base_offset.to_be_bytes());
    header[MAGIC] = 2;
    header[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
    header[23..27].copy_from_slice(&last.to_be_bytes());
    header[43..51].copy_from_slice(&77_i64.to_be_bytes());
    let mut out = Vec::new();
    Batch { bytes: &header }.put(count, records, &mut out);
    out[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
    let checksum = crc32c(&out[ATTRIBUTES..]);
    out[CRC..CRC + 4].copy_from_slice(&checksum.to_be_bytes());
    out
}
