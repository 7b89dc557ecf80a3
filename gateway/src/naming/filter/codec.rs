//! Compressed records, decompressed up to a bound.

use std::io::Read;

/// A batch is never decompressed to more than this: what brokers take of a producer is a small part of it.
pub(super) const LARGEST: usize = 32 << 20;

/// The numbers of the attributes (KIP-110).
const GZIP: i16 = 1;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;
const ZSTD: i16 = 4;

/// What Java's Snappy writes before its blocks: a magic and two versions.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;

/// The records of a batch with this number for its compression; `None` where they can't be had, or are larger than
/// `largest`.
pub(super) fn decompressed(codec: i16, bytes: &[u8], largest: usize) -> Option<Vec<u8>> {
    match codec {
        GZIP => bounded(flate2::bufread::MultiGzDecoder::new(bytes), largest),
        SNAPPY => snappy(bytes, largest),
        LZ4 => bounded(lz4_flex::frame::FrameDecoder::new(bytes), largest),
        ZSTD => zstd(bytes, largest),
        _ => None,
    }
}

fn bounded(reader: impl Read, largest: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let _ = reader.take(largest as u64 + 1).read_to_end(&mut out).ok()?;
    (out.len() <= largest).then_some(out)
}

/// One block, or blocks with their lengths before them.
fn snappy(bytes: &[u8], largest: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut add = |block: &[u8]| {
        let length = snap::raw::decompress_len(block).ok()?;
        let start = out.len();
        if start + length > largest {
            return None;
        }
        out.resize(start + length, 0);
        let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).ok()?;
        (written == length).then_some(())
    };
    let Some(mut blocks) = bytes.strip_prefix(XERIAL_MAGIC).and_then(|_| bytes.get(XERIAL_HEADER..)) else {
        add(bytes)?;
        return Some(out);
    };
    while !blocks.is_empty() {
        let (length, behind) = blocks.split_first_chunk()?;
        let (block, rest) = behind.split_at_checked(usize::try_from(i32::from_be_bytes(*length)).ok()?)?;
        add(block)?;
        blocks = rest;
    }
    Some(out)
}

/// A decoder keeps as much as the frame's window says, before anything is read.
fn zstd(bytes: &[u8], largest: usize) -> Option<Vec<u8>> {
    let mut rest = bytes;
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    decoder.init(&mut rest).ok()?;
    let mut out = Vec::new();
    loop {
        decoder.decode_blocks(&mut rest, ruzstd::decoding::BlockDecodingStrategy::UptoBlocks(1)).ok()?;
        let ready = decoder.can_collect();
        if out.len() + ready > largest {
            return None;
        }
        out.extend(decoder.collect().unwrap_or_default());
        if decoder.is_finished() {
            return Some(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn xerial(bytes: &[u8]) -> Vec<u8> {
        let mut out = [XERIAL_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for block in bytes.chunks(1000) {
            let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
            out.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
            out.extend(block);
        }
        out
    }

    fn zstd_of(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn what_producers_compress_is_decompressed() {
        let text = b"a record, and another record, and one more. ".repeat(100);
        let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        for (codec, bytes) in
            [(GZIP, gzip(&text)), (SNAPPY, xerial(&text)), (SNAPPY, raw), (LZ4, lz4(&text)), (ZSTD, zstd_of(&text))]
        {
            assert_eq!(decompressed(codec, &bytes, LARGEST).as_deref(), Some(&text[..]), "{codec}");
            // What is cut off is not taken for less.
            let _ = decompressed(codec, &bytes[..bytes.len() / 2], LARGEST).is_none_or(|cut| cut.len() < text.len());
            assert_eq!(decompressed(codec, b"nothing of the kind", LARGEST), None, "{codec}");
        }
        assert_eq!(decompressed(5, &text, LARGEST), None);
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        const MOST: usize = 100_000;
        let zeros = vec![0; MOST + 1];
        for (codec, bytes) in
            [(GZIP, gzip(&zeros)), (SNAPPY, xerial(&zeros)), (LZ4, lz4(&zeros)), (ZSTD, zstd_of(&zeros))]
        {
            assert!(bytes.len() < MOST / 5, "{codec}: {}", bytes.len());
            assert_eq!(decompressed(codec, &bytes, MOST), None, "{codec}");
            assert!(decompressed(codec, &bytes, MOST + 1).is_some(), "{codec}");
        }
    }
}
