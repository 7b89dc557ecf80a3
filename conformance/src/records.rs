//! Record batches as clients write them (magic 2), well and badly formed, and read back.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Where the CRC of a batch stands, and where what it covers starts.
const CRC_AT: usize = 17;
const COVERED_FROM: usize = 21;
/// Where the records start.
const RECORDS_FROM: usize = 61;

/// The attributes of a batch that are used here.
pub mod attributes {
    /// The records are compressed with gzip.
    pub const GZIP: i16 = 1;
    /// The batch belongs to a transaction.
    pub const TRANSACTIONAL: i16 = 1 << 4;
    /// The batch is a marker, which only brokers write.
    pub const CONTROL: i16 = 1 << 5;
}

/// A batch to be written. The default is one of a plain producer.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Key and value of each record.
    pub records: Vec<(Vec<u8>, Vec<u8>)>,
    /// See [`attributes`].
    pub attributes: i16,
    /// -1 where the producer has none.
    pub producer_id: i64,
    /// -1 where the producer has none.
    pub producer_epoch: i16,
    /// -1 where the producer has none.
    pub base_sequence: i32,
    /// What the batch claims to hold; else what it holds.
    pub claimed_count: Option<i32>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            claimed_count: None,
        }
    }
}

impl Batch {
    /// A batch of one record.
    pub fn of(key: &str, value: &str) -> Self {
        Self { records: vec![(key.into(), value.into())], ..Self::default() }
    }

    /// The batch as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut records = Vec::new();
        for (number, (key, value)) in self.records.iter().enumerate() {
            record(&mut records, i32::try_from(number).unwrap_or(i32::MAX), key, value);
        }
        if self.attributes & attributes::GZIP != 0 {
            records = gzip(&records);
        }
        let count = i32::try_from(self.records.len()).unwrap_or(i32::MAX);
        let mut out = vec![0; 8];
        out.extend_from_slice(&[0; 4]); // the length, set below
        out.extend_from_slice(&(-1i32).to_be_bytes()); // partition leader epoch
        out.push(2); // magic
        out.extend_from_slice(&[0; 4]); // the CRC, set below
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&(count - 1).max(0).to_be_bytes()); // last offset delta
        let now = now().to_be_bytes();
        out.extend_from_slice(&[now, now].concat()); // first and last timestamp
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.claimed_count.unwrap_or(count).to_be_bytes());
        out.extend_from_slice(&records);
        seal(&mut out);
        out
    }
}

/// Now: what is older than its topic keeps would be gone before it is read.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(since).unwrap_or(0)
}

/// Sets length and CRC of a batch to what it holds now.
fn seal(batch: &mut [u8]) {
    let length = u32::try_from(batch.len() - 12).unwrap_or(u32::MAX);
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[COVERED_FROM..]);
    batch[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
}

fn record(out: &mut Vec<u8>, offset_delta: i32, key: &[u8], value: &[u8]) {
    let mut body = vec![0]; // attributes
    varint(&mut body, 0); // timestamp delta
    varint(&mut body, offset_delta.into());
    for part in [key, value] {
        varint(&mut body, i64::try_from(part.len()).unwrap_or(i64::MAX));
        body.extend_from_slice(part);
    }
    varint(&mut body, 0); // no headers
    varint(out, i64::try_from(body.len()).unwrap_or(i64::MAX));
    out.extend_from_slice(&body);
}

fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    out.push(left.to_le_bytes()[0]);
}

/// What gzip makes of the bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// The first offset of each batch in what Fetch brought, and the bytes of its records as they were stored.
pub fn batches(mut bytes: &[u8]) -> Vec<(i64, &[u8])> {
    let mut found = Vec::new();
    while let (Some(offset), Some(length)) = (number::<8>(bytes, 0), number::<4>(bytes, 8)) {
        let end = 12 + usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        // The last batch may be cut off.
        let Some(batch) = bytes.get(..end).filter(|batch| batch.len() > RECORDS_FROM) else { break };
        found.push((i64::from_be_bytes(offset), &batch[RECORDS_FROM..]));
        bytes = &bytes[end..];
    }
    found
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_says_its_length_and_carries_its_records() {
        let bytes = Batch::of("k", "hello").bytes();
        assert_eq!(i32::from_be_bytes(number(&bytes, 8).unwrap()), i32::try_from(bytes.len()).unwrap() - 12);
        let two = [bytes.clone(), bytes[..30].to_vec()].concat();
        let found = batches(&two);
        assert_eq!(found.len(), 1, "the cut one is left out");
        assert!(found[0].1.windows(5).any(|w| w == b"hello"));
    }

    #[test]
    fn gzip_hides_a_text_and_the_crc_is_castagnoli() {
        let bytes = Batch { attributes: attributes::GZIP, ..Batch::of("k", &"hello".repeat(20)) }.bytes();
        assert!(!bytes.windows(10).any(|w| w == b"hellohello"));
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
