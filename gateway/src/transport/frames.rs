//! Frames from a connection: read into a buffer that is given back while nothing comes.

use super::connection::Connection;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// A fresh buffer.
const BUFFER: usize = 64 << 10;
/// Buffers that grew beyond this are freed, not kept.
const KEPT: usize = 1 << 20;
/// As many buffers are kept for the next reader; idle connections hold none.
const POOL: usize = 16;

static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke, or ended inside a frame.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The frame is longer than its kind may be, or of negative length.
    #[error("a frame of {length} bytes; at most {most} are taken")]
    TooLong {
        /// The claimed length.
        length: i32,
        /// The bound.
        most: usize,
    },
}

/// Reads frames. Memory grows with what has arrived, never with what is claimed.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
}

impl Drop for FrameReader {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl FrameReader {
    /// Waits for a whole frame; its range is without the four bytes of length. `None` where the connection ends between
    /// frames. `most` tells the bound by the first two bytes of the frame: the API key of a request.
    ///
    /// # Errors
    /// [`FrameError`]
    pub async fn next(
        &mut self,
        connection: &Connection,
        most: impl Fn(i16) -> usize,
    ) -> Result<Option<Range<usize>>, FrameError> {
        loop {
            if let Some(range) = self.whole(&most)? {
                return Ok(Some(range));
            }
            if self.fill(connection).await? == 0 {
                return if self.buffered() == 0 {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                };
            }
        }
    }

    /// A whole frame that has arrived already, if there is one.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]
    pub fn arrived(&self, most: impl Fn(i16) -> usize) -> Result<Option<Range<usize>>, FrameError> {
        self.whole(&most)
    }

    /// The bytes of a frame that [`Self::next`] returned and that was not consumed.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The same, to change in place.
    pub fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.buffer[range]
    }

    /// Goes on behind a frame.
    pub fn consume(&mut self, range: &Range<usize>) {
        self.start = range.end;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// How many bytes have arrived that were not consumed.
    pub const fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Waits for bytes and takes them in; 0 at the end of the connection.
    ///
    /// # Errors
    /// The connection's.
    pub async fn fill(&mut self, connection: &Connection) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(connection, cx)).await
    }

    fn poll_fill(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        let read = connection.poll_read(cx, &mut self.buffer);
        if read.is_pending() && self.buffered() == 0 {
            self.give_back();
        }
        read
    }

    fn make_room(&mut self) {
        if self.buffer.capacity() == 0 {
            let kept = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
            self.buffer = kept.unwrap_or_else(|| Vec::with_capacity(BUFFER));
        }
        if self.buffer.len() == self.buffer.capacity() {
            if self.start > 0 {
                let _ = self.buffer.drain(..self.start);
                self.start = 0;
            } else {
                self.buffer.reserve_exact(self.buffer.capacity());
            }
        }
    }

    fn give_back(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.start = 0;
        buffer.clear();
        if (BUFFER..=KEPT).contains(&buffer.capacity()) {
            let mut pool = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < POOL {
                pool.push(buffer);
            }
        }
    }

    fn whole(&self, most: &impl Fn(i16) -> usize) -> Result<Option<Range<usize>>, FrameError> {
        let [a, b, c, d, k, l, ..] = self.buffer[self.start..] else {
            // A frame too short to have a key is caught when its header is read.
            return Ok(match self.buffer[self.start..] {
                [0, 0, 0, n, ..] if n < 2 && self.buffered() >= 4 + usize::from(n) => {
                    Some(self.start + 4..self.start + 4 + usize::from(n))
                }
                _ => None,
            });
        };
        let length = i32::from_be_bytes([a, b, c, d]);
        let most = most(i16::from_be_bytes([k, l]));
        match usize::try_from(length) {
            Ok(n) if n <= most => {
                let start = self.start + 4;
                Ok((self.buffer.len() - start >= n).then_some(start..start + n))
            }
            _ => Err(FrameError::TooLong { length, most }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::tests::pair;
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn frames_arrive_whole_however_they_are_split() {
        let (mut client, server) = pair().await;
        let sent: Vec<Vec<u8>> =
            [2usize, 7, 70_000, 300_000, 3].iter().map(|n| vec![u8::try_from(n % 7).unwrap(); *n]).collect();
        let bytes: Vec<u8> =
            sent.iter().flat_map(|f| [&u32::try_from(f.len()).unwrap().to_be_bytes()[..], f].concat()).collect();
        let writer = tokio::spawn(async move {
            for chunk in bytes.chunks(1_013) {
                client.write_all(chunk).await.unwrap();
            }
        });
        let mut reader = FrameReader::default();
        for expected in &sent {
            let range = reader.next(&server, |_| 1 << 20).await.unwrap().unwrap();
            assert!(reader.bytes(range.clone()) == expected);
            reader.consume(&range);
        }
        writer.await.unwrap();
        assert!(reader.next(&server, |_| 10).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_is_refused_by_its_first_six_bytes() {
        let (mut client, server) = pair().await;
        client.write_all(&[0x7f, 0xff, 0xff, 0xff, 0, 3]).await.unwrap();
        let refused = FrameReader::default().next(&server, |key| if key == 3 { 100 } else { usize::MAX }).await;
        assert!(matches!(refused, Err(FrameError::TooLong { length: i32::MAX, most: 100 })));
    }
}
