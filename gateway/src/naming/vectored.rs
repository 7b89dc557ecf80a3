//! One vectored write for a frame: what stands before the body, and the body's pieces.

use std::io::{self, IoSlice};
use tokio::net::TcpStream;
use wire::segments::Segments;

/// The kernel takes up to 1,024 pieces at a time; frames with more are written in several calls.
const PIECES: usize = 64;

/// Writes `before` and then the segments over `body`, to the last byte.
///
/// # Errors
/// The connection's.
pub async fn write(stream: &TcpStream, before: &[&[u8]], segments: &Segments, body: &[u8]) -> io::Result<()> {
    let total = before.iter().map(|b| b.len()).sum::<usize>() + segments.len();
    let mut written = 0;
    while written < total {
        match write_some(stream, before, segments, body, written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes as much as the socket takes of what follows the first `skip` bytes.
fn write_some(
    stream: &TcpStream,
    before: &[&[u8]],
    segments: &Segments,
    body: &[u8],
    mut skip: usize,
) -> io::Result<usize> {
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut n = 0;
    for mut slice in before.iter().map(|b| IoSlice::new(b)).chain(segments.slices(body)) {
        if skip >= slice.len() {
            skip -= slice.len();
            continue;
        }
        slice.advance(std::mem::take(&mut skip));
        pieces[n] = slice;
        n += 1;
        if n == PIECES {
            break;
        }
    }
    stream.try_write_vectored(&pieces[..n])
}
