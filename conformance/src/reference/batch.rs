//! Record batches (magic 2) as values: built for requests, and taken apart in answers so that what differs by nature (a
//! producer id, a time, and the checksum over them) can be compared by its own rule.
//!
//! Written by hand from Kafka's description of the format, so that no codec of ours judges itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// From the start of a batch to its length's end.
const PREAMBLE: usize = 12;
const HEADER: usize = 61;
/// What the checksum covers starts here: behind itself.
const COVERED: usize = 21;

/// The bytes of a batch at the time `now`, which is the same on both sides: `values` (texts, or null), `key`, `producer`, `epoch`, `sequence`, `transactional`,
/// `attributes`, and `spoil: true` for a wrong checksum.
///
/// # Errors
/// What is not a batch.
pub(super) fn encode(what: &Value, now: Option<i64>) -> Result<Vec<u8>, String> {
    let values = what["values"].as_array().ok_or_else(|| format!("$batch has no list `values`: {what}"))?;
    let number = |name: &str, absent: i64| what[name].as_i64().unwrap_or(absent);
    let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let time = now.unwrap_or(0);
    let transactional = if what["transactional"] == true { 0x10 } else { 0 };
    let last = narrow(i64::try_from(values.len()).unwrap_or_default() - 1);
    let mut covered = Vec::new();
    covered.extend(i16::try_from(number("attributes", 0) | transactional).unwrap_or_default().to_be_bytes());
    covered.extend(last.to_be_bytes());
    covered.extend(time.to_be_bytes());
    covered.extend((time + i64::from(last.max(0))).to_be_bytes());
    covered.extend(number("producer", -1).to_be_bytes());
    covered.extend(i16::try_from(number("epoch", -1)).unwrap_or(-1).to_be_bytes());
    covered.extend(narrow(number("sequence", -1)).to_be_bytes());
    covered.extend((last + 1).to_be_bytes());
    for (at, value) in values.iter().enumerate() {
        record(&mut covered, at, what["key"].as_str(), value.as_str());
    }
    let spoilt = u32::from(what["spoil"] == true);
    let mut out = 0i64.to_be_bytes().to_vec();
    out.extend(narrow(i64::try_from(covered.len() + COVERED - PREAMBLE).unwrap_or_default()).to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.push(2);
    out.extend((crc32c(&covered) ^ spoilt).to_be_bytes());
    out.extend(covered);
    Ok(out)
}

fn record(out: &mut Vec<u8>, at: usize, key: Option<&str>, value: Option<&str>) {
    let at = i64::try_from(at).unwrap_or_default();
    let mut body = vec![0];
    zigzag(&mut body, at);
    zigzag(&mut body, at);
    for part in [key, value] {
        zigzag(&mut body, part.map_or(-1, |part| i64::try_from(part.len()).unwrap_or_default()));
        body.extend(part.unwrap_or_default().as_bytes());
    }
    zigzag(&mut body, 0);
    zigzag(out, i64::try_from(body.len()).unwrap_or_default());
    out.extend(body);
}

fn zigzag(out: &mut Vec<u8>, n: i64) {
    let mut n = ((n << 1) ^ (n >> 63)).cast_unsigned();
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The batches in the bytes of an answer, as values; `None` where they aren't any.
pub(super) fn decode(base64: &str) -> Option<Value> {
    let bytes = STANDARD.decode(base64).ok()?;
    let (mut rest, mut batches) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = usize::try_from(i32::from_be_bytes(*rest.get(8..)?.first_chunk()?)).ok()?;
        let batch = rest.get(..PREAMBLE + length).filter(|batch| batch.len() >= HEADER && batch[16] == 2)?;
        batches.push(one(batch)?);
        rest = &rest[batch.len()..];
    }
    Some(Value::Array(batches))
}

fn one(batch: &[u8]) -> Option<Value> {
    let i16_at = |at: usize| Some(i16::from_be_bytes(*batch.get(at..)?.first_chunk()?));
    let i32_at = |at: usize| Some(i32::from_be_bytes(*batch.get(at..)?.first_chunk()?));
    let i64_at = |at: usize| Some(i64::from_be_bytes(*batch.get(at..)?.first_chunk()?));
    let checksum = u32::from_be_bytes(*batch.get(17..)?.first_chunk()?);
    Some(json!({
        "BaseOffset": i64_at(0)?, "LeaderEpoch": i32_at(12)?, "ChecksumIsRight": checksum == crc32c(&batch[COVERED..]),
        "Attributes": i16_at(21)?, "LastOffsetDelta": i32_at(23)?, "BatchTimestamp": i64_at(27)?,
        "BatchMaxTimestamp": i64_at(35)?, "ProducerId": i64_at(43)?, "ProducerEpoch": i16_at(51)?,
        "BaseSequence": i32_at(53)?, "Count": i32_at(57)?, "RecordBytes": STANDARD.encode(&batch[HEADER..]),
    }))
}

/// CRC-32C (Castagnoli), bit by bit: batches here are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let one = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_batch_reads_back() {
        let bytes = encode(
            &json!({ "values": ["a", null], "producer": 7, "epoch": 1, "sequence": 3, "transactional": true }),
            None,
        );
        let text = STANDARD.encode(bytes.unwrap().repeat(2));
        let batches = decode(&text).unwrap();
        assert_eq!(batches[1]["ProducerId"], 7);
        assert_eq!((&batches[0]["Count"], &batches[0]["Attributes"]), (&json!(2), &json!(0x10)));
        assert_eq!(batches[0]["ChecksumIsRight"], true);
        assert_eq!(batches[0]["RecordBytes"], STANDARD.encode([14, 0, 0, 0, 1, 2, b'a', 0, 12, 0, 2, 2, 1, 1, 0]));
        let spoilt = encode(&json!({ "values": ["a"], "spoil": true }), None).unwrap();
        assert_eq!(decode(&STANDARD.encode(spoilt)).unwrap()[0]["ChecksumIsRight"], false);
        assert_eq!(decode("AAAA"), None);
        assert_eq!(decode(""), Some(json!([])));
    }
}
