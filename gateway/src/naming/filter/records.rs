//! The records of an answer without those that do not leave the gateway.
//!
//! A batch keeps its first and last offset, its times and its producer, as after a compaction: readers go on behind it, however
//! little is left in it, and the sequence numbers of a producer are nobody's business who reads.

use super::batches::{self, Next};
use super::{Filter, Record};

/// What filtered records of one answer take at most, in bytes. More comes with the reader's next request.
pub const ROOM: usize = 32 << 20;

/// What became of the records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All of them stay, as they are.
    All,
    /// What stays was written anew.
    Rewritten,
}

/// Nobody can tell what the records hold: an old format, an unknown compression, one that unpacks to too much, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the records can't be read")]
pub struct Unreadable;

/// Writes to `out` what of the records `filter` shows, where that is not all; up to `room` bytes. What can't be read ends it, and
/// is an error where it comes first.
///
/// # Errors
/// [`Unreadable`]
pub fn filtered(filter: &Filter, records: &[u8], out: &mut Vec<u8>, room: usize) -> Result<Kept, Unreadable> {
    out.clear();
    let (mut rest, mut rewritten) = (records, false);
    loop {
        let at = records.len() - rest.len();
        let (batch, behind) = match batches::next(rest) {
            Next::Batch(batch, behind) => (batch, behind),
            Next::End if rewritten || rest.is_empty() => break,
            Next::Unreadable if at == 0 => return Err(Unreadable),
            Next::End | Next::Unreadable => {
                unchanged(records, at, out, &mut rewritten);
                break;
            }
        };
        let kept = if batch.is_control() { Some(Shown::All) } else { shown(filter, batch) };
        let Some(kept) = kept else {
            if at == 0 {
                return Err(Unreadable);
            }
            unchanged(records, at, out, &mut rewritten);
            break;
        };
        let length = match &kept {
            Shown::All => batch.bytes.len(),
            Shown::Some(_, shown) => batches::HEADER + shown.len(),
        };
        // The first batch of an answer goes out whole, so that readers get on.
        if (rewritten || matches!(kept, Shown::Some(..)))
            && out.len().max(at) + length > room
            && (at > 0 || room < ROOM)
        {
            unchanged(records, at, out, &mut rewritten);
            break;
        }
        match kept {
            Shown::All if rewritten => out.extend_from_slice(batch.bytes),
            Shown::All => {}
            Shown::Some(count, shown) => {
                unchanged(records, at, out, &mut rewritten);
                batch.put(count, &shown, out);
            }
        }
        rest = behind;
    }
    Ok(if rewritten { Kept::Rewritten } else { Kept::All })
}

/// Takes over what stands before, once something is not as it was.
fn unchanged(records: &[u8], at: usize, out: &mut Vec<u8>, rewritten: &mut bool) {
    if !*rewritten {
        out.extend_from_slice(&records[..at]);
        *rewritten = true;
    }
}

/// What is shown of a batch.
enum Shown {
    All,
    /// So many records, and their bytes.
    Some(usize, Vec<u8>),
}

/// `None` where it can't be read.
fn shown(filter: &Filter, batch: batches::Batch<'_>) -> Option<Shown> {
    let (records, count) = (batch.records()?, batch.count()?);
    let (mut rest, mut kept, mut bytes) = (&*records, 0, Vec::new());
    for _ in 0..count {
        let (record, raw, behind) = record(rest)?;
        if filter.shows(&record) {
            bytes.extend_from_slice(raw);
            kept += 1;
        }
        rest = behind;
    }
    // Behind the last record there is nothing that somebody else could find.
    if !rest.is_empty() {
        return None;
    }
    Some(if kept == count { Shown::All } else { Shown::Some(kept, bytes) })
}

/// A record, its bytes and what follows them.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8], &[u8])> {
    let mut cursor = Bytes(bytes);
    let length = usize::try_from(cursor.varint()?).ok()?;
    let mut inside = Bytes(cursor.take(length)?);
    let _attributes = inside.take(1)?;
    let (_time, _offset) = (inside.varint()?, inside.varint()?);
    let (key, value) = (inside.bytes()?, inside.bytes()?);
    let count = usize::try_from(inside.varint()?).ok()?;
    let headers = Headers { count, bytes: inside.0 };
    let mut each = inside;
    for _ in 0..count {
        let _header = each.header()?;
    }
    let end = bytes.len() - cursor.0.len();
    each.0.is_empty().then_some((Record { key, value, headers }, &bytes[..end], cursor.0))
}

/// The headers of a record, which were read once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// There is more than one header of a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Several;

impl<'a> Headers<'a> {
    #[cfg(test)]
    pub(super) const fn of(bytes: &'a [u8], count: usize) -> Self {
        Self { count, bytes }
    }

    /// The value of the header of this name: there may be none, or one without a value.
    pub(super) fn only(&self, name: &str) -> Result<Option<Option<&'a [u8]>>, Several> {
        let (mut bytes, mut found) = (Bytes(self.bytes), None);
        for _ in 0..self.count {
            let Some((key, value)) = bytes.header() else { break };
            if key == name.as_bytes() && found.replace(value).is_some() {
                return Err(Several);
            }
        }
        Ok(found)
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of up to 64 bits, in zigzag.
    fn varint(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        None
    }

    /// Bytes with their length before them, which is negative for none.
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            ..0 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn header(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let key = self.bytes()??;
        Some((key, self.bytes()?))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::batches::batch;
    use super::*;
    use proptest::prelude::*;

    fn put_varint(out: &mut Vec<u8>, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        out.push(rest.to_le_bytes()[0]);
    }

    fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
        put_varint(out, bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap()));
        out.extend_from_slice(bytes.unwrap_or_default());
    }

    pub(in super::super) fn headers(headers: &[(&str, Option<&str>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in headers {
            put_bytes(&mut out, Some(name.as_bytes()));
            put_bytes(&mut out, value.map(str::as_bytes));
        }
        out
    }

    fn record_of(offset: i64, key: &str, value: &[u8]) -> Vec<u8> {
        let mut inside = vec![0];
        put_varint(&mut inside, 0);
        put_varint(&mut inside, offset);
        put_bytes(&mut inside, Some(key.as_bytes()));
        put_bytes(&mut inside, Some(value));
        put_varint(&mut inside, 1);
        inside.extend(headers(&[("h", Some("x"))]));
        let mut out = Vec::new();
        put_varint(&mut out, i64::try_from(inside.len()).unwrap());
        out.extend(inside);
        out
    }

    /// A batch of records with these keys.
    fn keyed(base: i64, keys: &[&str]) -> Vec<u8> {
        let records = keys.iter().zip(0..).flat_map(|(key, at)| record_of(at, key, b"{}")).collect::<Vec<_>>();
        batch(base, 0, keys.len(), i32::try_from(keys.len()).unwrap() - 1, &records)
    }

    fn mine() -> Filter {
        Filter::parse(r#"key startsWith "a""#).unwrap()
    }

    fn run(records: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut out = Vec::new();
        Ok(match filtered(&mine(), records, &mut out, ROOM)? {
            Kept::All => None,
            Kept::Rewritten => Some(out),
        })
    }

    fn batches_of(mut bytes: &[u8]) -> Vec<(i64, i32, Vec<String>)> {
        let mut found = Vec::new();
        while let Next::Batch(batch, behind) = batches::next(bytes) {
            let base = i64::from_be_bytes(*batch.bytes.first_chunk().unwrap());
            let last = i32::from_be_bytes(*batch.bytes[23..].first_chunk().unwrap());
            let (records, mut keys) = (batch.records().unwrap(), Vec::new());
            let mut rest = &*records;
            for _ in 0..batch.count().unwrap() {
                let (record, _, behind) = record(rest).unwrap();
                keys.push(String::from_utf8(record.key.unwrap().to_vec()).unwrap());
                rest = behind;
            }
            assert!(rest.is_empty());
            assert_eq!(i64::from_be_bytes(*batch.bytes[43..].first_chunk().unwrap()), 77, "the producer");
            found.push((base, last, keys));
            bytes = behind;
        }
        assert!(bytes.is_empty());
        found
    }

    #[test]
    fn records_go_and_offsets_stay() {
        let all = [keyed(10, &["a1", "a2"]), keyed(12, &["b1", "a3", "b2"]), keyed(15, &["b3"])].concat();
        let out = run(&all).unwrap().unwrap();
        let expected = [(10, 1, vec!["a1", "a2"]), (12, 2, vec!["a3"]), (15, 0, vec![])];
        let expected = expected.map(|(base, last, keys)| (base, last, keys.into_iter().map(str::to_owned).collect()));
        assert_eq!(batches_of(&out), expected);
        assert_eq!(run(&keyed(0, &["a"])), Ok(None), "nothing is copied where everything is shown");
        assert_eq!(run(&[]), Ok(None));
    }

    #[test]
    fn compressed_batches_are_looked_into_and_sent_plain() {
        let records = [record_of(0, "a", b"{}"), record_of(1, "b", b"{}")].concat();
        let snappy = snap::raw::Encoder::new().compress_vec(&records).unwrap();
        let out = run(&batch(5, 2, 2, 1, &snappy)).unwrap().unwrap();
        assert_eq!(batches_of(&out), [(5, 1, vec!["a".to_owned()])]);
        let snappy = snap::raw::Encoder::new().compress_vec(&records[..records.len() / 2]).unwrap();
        assert_eq!(run(&batch(5, 2, 1, 0, &snappy)), Ok(None), "all of it is shown as it is");
    }

    #[test]
    fn markers_of_transactions_stay() {
        let marker = batch(9, 0x30, 1, 0, &record_of(0, "\0\0\0\u{1}", b"\0\0\0\0\0\0"));
        let out = run(&[keyed(8, &["b"]), marker.clone()].concat()).unwrap().unwrap();
        assert!(out.ends_with(&marker));
    }

    #[test]
    fn what_cant_be_read_is_refused_and_what_stands_before_it_is_not() {
        let good = keyed(0, &["a"]);
        let mut damaged = keyed(1, &["a"]);
        *damaged.last_mut().unwrap() ^= 1;
        let bad = [
            damaged,
            batch(1, 2, 1, 0, b"no snappy"),
            batch(1, 7, 1, 0, b""),
            batch(1, 0, 2, 0, &record_of(0, "a", b"{}")),
            batch(1, 0, 1, 0, &[record_of(0, "a", b"{}"), vec![0]].concat()),
            batch(1, 0, 1, 0, &[2, 0]),
        ];
        for bad in bad {
            assert_eq!(run(&bad), Err(Unreadable));
            assert_eq!(run(&[good.clone(), bad].concat()), Ok(Some(good.clone())));
        }
        let mut old = good.clone();
        old[16] = 1;
        assert_eq!(run(&old), Err(Unreadable));
        // What was cut off comes again.
        assert_eq!(run(&[&good, &good[..30]].concat()), Ok(Some(good.clone())));
    }

    #[test]
    fn an_answer_takes_no_more_than_its_room() {
        let both = [keyed(0, &["a", "b"]), keyed(2, &["a", "b"])].concat();
        let mut out = Vec::new();
        assert_eq!(filtered(&mine(), &both, &mut out, 60), Ok(Kept::Rewritten));
        assert_eq!(out, [0; 0], "another partition took it");
        assert_eq!(filtered(&mine(), &both, &mut out, ROOM), Ok(Kept::Rewritten));
        assert_eq!(batches_of(&out).len(), 2);
    }

    proptest! {
        #[test]
        fn whatever_is_cut_or_damaged_shows_nothing_of_others(at in 0_usize..400, bit in 0_u8..8, cut in 0_usize..400) {
            let mut all = [keyed(0, &["a-mine", "b-secret"]), keyed(2, &["b-secret", "a-mine"])].concat();
            let at = at % all.len();
            all[at] ^= 1 << bit;
            all.truncate(all.len() - cut % all.len());
            match run(&all) {
                Ok(Some(out)) => prop_assert!(!out.windows(8).any(|window| window == b"b-secret")),
                Ok(None) => prop_assert!(!all.windows(8).any(|window| window == b"b-secret"), "kept as it is"),
                Err(Unreadable) => {}
            }
        }
    }
}
