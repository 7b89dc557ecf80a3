//! One vectored write for a frame: what stands before the body, and the body's pieces.

use std::io::{self, IoSlice};
use tokio::net::TcpStream;
use wire::segments::Segments;

/// The kernel takes up to 1,024 pieces at a time; frames with more are written in several calls.
const PIECES: usize = 64;

/// Writes `before` and then the segments over `body`, to the last byte. Other tasks get their turn in between, however fast
/// the socket takes it.
///
/// # Errors
/// The connection's.
pub async fn write(stream: &TcpStream, before: &[&[u8]], segments: &Segments, body: &[u8]) -> io::Result<()> {
    let (mut first, mut skip) = (0, 0);
    let pieces = before.len() + segments.count();
    while first < pieces {
        match write_some(stream, before, segments, body, first, skip) {
            Ok((0, 0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok((whole, partly)) => {
                skip = if whole == 0 { skip + partly } else { partly };
                first += whole;
                tokio::task::coop::consume_budget().await;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Writes what the socket takes of the pieces from `first` on, without the first `skip` bytes of that one. Returns how many
/// pieces went out to their end, and how many bytes of the one behind them.
fn write_some(
    stream: &TcpStream,
    before: &[&[u8]],
    segments: &Segments,
    body: &[u8],
    first: usize,
    skip: usize,
) -> io::Result<(usize, usize)> {
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut n = 0;
    let heads = before.iter().skip(first).map(|b| IoSlice::new(b));
    for slice in heads.chain(segments.slices(body, first.saturating_sub(before.len()))).take(PIECES) {
        slices[n] = slice;
        n += 1;
    }
    if skip > 0 {
        slices[0].advance(skip);
    }
    let mut written = stream.try_write_vectored(&slices[..n])?;
    let mut whole = 0;
    // Empty pieces go out with the one before them.
    while whole < n && written >= slices[whole].len() {
        written -= slices[whole].len();
        whole += 1;
    }
    Ok((whole, written))
}
