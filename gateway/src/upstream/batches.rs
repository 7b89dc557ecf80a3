//! Records of a topic of the gateway's own as batches, and back.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::topic_log::Entry;

/// A batch is not made longer than this unless one record alone is.
const BATCH_BYTES: usize = 900_000;
/// What a record takes up beside its key and value, at most.
const RECORD_OVERHEAD: usize = 32;
/// Base offset and length, which stand before each batch.
const BATCH_HEADER: usize = 12;
/// Where a batch says how far behind its base offset its last record is, or was before compaction.
const LAST_OFFSET_DELTA: std::ops::Range<usize> = 23..27;
/// Where a batch says how many records it has.
const RECORD_COUNT: std::ops::Range<usize> = 57..61;

/// The whole batches of an answer.
#[derive(Debug, Default)]
pub(super) struct Batches {
    pub(super) records: Vec<Record>,
    /// Where to read on; `None` where there is no whole batch.
    pub(super) next: Option<i64>,
    /// Batches that are none: their base offsets, and what is wrong.
    pub(super) damaged: Vec<(i64, String)>,
}

/// Cuts records into pieces that a broker takes as one batch (`max.message.bytes`, 1 MiB unless it is set).
pub(super) fn in_batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let (mut batches, mut room) = (vec![Vec::new()], BATCH_BYTES);
    for (key, value) in entries {
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len) + RECORD_OVERHEAD;
        if bytes > room {
            batches.push(Vec::new());
            room = BATCH_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(batch) = batches.last_mut() {
            batch.push((key, value));
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

pub(super) fn encode_batch(entries: Vec<Entry>) -> Result<Bytes, io::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let timestamp = i64::try_from(now).unwrap_or(i64::MAX);
    let records = entries.into_iter().zip(0..).map(|((key, value), offset)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        // The encoder puts records with consecutive sequences in one batch.
        sequence: i32::try_from(offset).unwrap_or(0),
        timestamp,
        key: Some(Bytes::from(key)),
        value: value.map(Bytes::from),
        headers: Default::default(),
    });
    let records = records.collect::<Vec<_>>();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records.iter(), &options).map_err(io::Error::other)?;
    Ok(batch.freeze())
}

/// Reads all whole batches; a broker may cut the last one off. A batch goes on to the offset that it had at first, whatever
/// compaction has left of it.
pub(super) fn decode_batches(mut bytes: Bytes) -> Batches {
    let mut read = Batches::default();
    while bytes.len() >= BATCH_HEADER {
        let base = (&bytes[..8]).get_i64();
        let length = (&bytes[8..BATCH_HEADER]).get_u32() as usize + BATCH_HEADER;
        if bytes.len() < length {
            break;
        }
        let batch = bytes.split_to(length);
        let last = batch.get(LAST_OFFSET_DELTA).map_or(0, |mut delta| delta.get_i32());
        let next = base.saturating_add(i64::from(last.max(0))).saturating_add(1);
        read.next = Some(read.next.map_or(next, |before| before.max(next)));
        match decode_batch(batch) {
            Ok(records) => read.records.extend(records),
            Err(error) => read.damaged.push((base, error.to_string())),
        }
    }
    read
}

fn decode_batch(mut batch: Bytes) -> Result<Vec<Record>, io::Error> {
    let claimed = batch.get(RECORD_COUNT).map_or(0, |mut count| count.get_u32()) as usize;
    if claimed > batch.len() {
        return Err(io::Error::other(format!("a batch of {} bytes claims {claimed} records", batch.len())));
    }
    Ok(RecordBatchDecoder::decode(&mut batch).map_err(io::Error::other)?.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![("a".into(), Some(b"1".to_vec())), ("b".into(), None), ("c".into(), Some(Vec::new()))]
    }

    #[test]
    fn batches_hold_what_was_put_in() {
        let batch = encode_batch(entries()).unwrap();
        let read = decode_batches(batch);
        assert_eq!((read.next, read.damaged.len()), (Some(3), 0));
        let found = read.records.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>();
        let expected = entries().into_iter().map(|(key, value)| (Some(Bytes::from(key)), value.map(Bytes::from)));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn many_records_are_cut_into_batches_that_a_broker_takes() {
        let entries = (0..30_000).map(|n| (format!("{n:0>100}"), Some(b"{}".to_vec()))).collect::<Vec<_>>();
        let batches = in_batches(entries.clone());
        assert!(batches.len() > 3, "{}", batches.len());
        for batch in &batches {
            assert!(encode_batch(batch.clone()).unwrap().len() < 1 << 20);
        }
        assert_eq!(batches.concat(), entries, "in the same order");
        assert_eq!(in_batches(vec![("long".into(), Some(vec![0; 2 << 20])), ("k".into(), None)]).len(), 2);
        assert_eq!(in_batches(Vec::new()).len(), 0);
    }

    #[test]
    fn a_batch_that_claims_more_records_than_it_has_bytes_is_refused_before_they_are_reserved() {
        let mut batch = BytesMut::from(&encode_batch(entries()).unwrap()[..]);
        batch[RECORD_COUNT].copy_from_slice(&i32::MAX.to_be_bytes());
        batch.extend_from_slice(&encode_batch(entries()).unwrap());
        let read = decode_batches(batch.freeze());
        let [(0, why)] = read.damaged.as_slice() else { panic!("{read:?}") };
        assert!(why.ends_with("claims 2147483647 records"), "{why}");
        assert_eq!(read.records.len(), 3, "the batch behind it is read");
    }

    #[test]
    fn a_batch_cut_off_is_left_for_the_next_read() {
        let whole = encode_batch(entries()).unwrap();
        let mut two = BytesMut::from(&whole[..]);
        two.extend_from_slice(&whole[..whole.len() - 1]);
        assert_eq!(decode_batches(two.freeze()).records.len(), 3);
        let nothing = decode_batches(Bytes::new());
        assert_eq!((nothing.records.len(), nothing.next), (0, None));
    }

    #[test]
    fn a_batch_that_compaction_has_shortened_is_read_past() {
        let mut batch = BytesMut::from(&encode_batch(entries()).unwrap()[..]);
        batch[..8].copy_from_slice(&100i64.to_be_bytes());
        // The record that was the last one is gone; the batch says so, and its checksum is over that.
        batch[LAST_OFFSET_DELTA].copy_from_slice(&9i32.to_be_bytes());
        let checksum = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        let read = decode_batches(batch.freeze());
        let offsets = read.records.iter().map(|record| record.offset).collect::<Vec<_>>();
        assert_eq!((offsets, read.next), (vec![100, 101, 102], Some(110)), "{:?}", read.damaged);
    }

    #[test]
    fn a_batch_with_a_wrong_checksum_is_told() {
        let mut batch = BytesMut::from(&encode_batch(entries()).unwrap()[..]);
        let last = batch.len() - 1;
        batch[last] ^= 1;
        let read = decode_batches(batch.freeze());
        assert_eq!((read.records.len(), read.damaged.len(), read.next), (0, 1, Some(3)));
    }

    /// CRC-32C, bit by bit.
    fn crc32c(bytes: &[u8]) -> u32 {
        let byte = |crc: u32, byte: &u8| {
            let one = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            (0..8).fold(crc ^ u32::from(*byte), one)
        };
        !bytes.iter().fold(u32::MAX, byte)
    }
}
