//! One vectored write for a frame: what stands before the body, and the body's pieces.

use super::connection::Connection;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use wire::segments::Segments;

/// The kernel takes up to 1,024 pieces at a time; frames with more are written in several calls.
const PIECES: usize = 64;

/// Writes `before` and then the segments over `body`, to the last byte. Other tasks get their turn in between, however fast
/// the socket takes it.
///
/// # Errors
/// The connection's.
pub async fn write(connection: &Connection, before: &[&[u8]], segments: &Segments, body: &[u8]) -> io::Result<()> {
    let (mut first, mut skip) = (0, 0);
    let pieces = before.len() + segments.count();
    while first < pieces {
        // The list of pieces is made at each poll: kept over a wait, it would be a KiB of every session.
        let (whole, partly) = poll_fn(|cx| poll_some(cx, connection, before, segments, body, first, skip)).await?;
        if (whole, partly) == (0, 0) {
            return Err(io::ErrorKind::WriteZero.into());
        }
        skip = if whole == 0 { skip + partly } else { partly };
        first += whole;
        tokio::task::coop::consume_budget().await;
    }
    connection.flush().await
}

/// Writes what the connection takes of the pieces from `first` on, without the first `skip` bytes of that one. Returns how
/// many pieces went out to their end, and how many bytes of the one behind them.
fn poll_some(
    cx: &mut Context<'_>,
    connection: &Connection,
    before: &[&[u8]],
    segments: &Segments,
    body: &[u8],
    first: usize,
    skip: usize,
) -> Poll<io::Result<(usize, usize)>> {
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
    let mut written = ready!(connection.poll_write_vectored(cx, &slices[..n]))?;
    let mut whole = 0;
    // Empty pieces go out with the one before them.
    while whole < n && written >= slices[whole].len() {
        written -= slices[whole].len();
        whole += 1;
    }
    Poll::Ready(Ok((whole, written)))
}

#[cfg(test)]
mod tests {
    use super::super::connection::tests::pair;
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use wire::plan::{Plan, Role};
    use wire::schema::{Message, Type};
    use wire::walk::{Action, Value, Visitor, walk};

    /// Replaces every name by one of the same length, so that the output has as many pieces as there are names.
    struct Shout(String);

    impl Visitor for Shout {
        type Error = std::convert::Infallible;

        fn field(&mut self, _: Role, value: Value<'_>) -> Result<Action<'_>, Self::Error> {
            let Value::Str(Some(name)) = value else { return Ok(Action::Keep) };
            self.0 = name.to_uppercase();
            Ok(Action::Str(&self.0))
        }
    }

    #[tokio::test]
    async fn every_piece_arrives_once_and_in_order_however_slowly_it_is_read() {
        let message = Message::named("DeleteTopicsRequest").unwrap();
        // Long names and short ones: pieces of the input, of the scratch buffer, and merged ones.
        let names: Vec<String> = (0..5_000).map(|n| "n".repeat(1 + n * 7 % 150)).collect();
        let request = serde_json::json!({ "TopicNames": names, "TimeoutMs": 1 });
        let body = wire::value::encode(message, 5, &request).unwrap();
        let plan = Plan::compile(message, 5, &|place| match place.field.ty {
            Type::Array(Type::String) => Some(Role::Topic),
            _ => None,
        });
        let mut segments = Segments::default();
        walk(&plan, &body, &mut Shout(String::new()), &mut segments).unwrap();
        let expected = [b"head".to_vec(), segments.to_vec(&body)].concat();

        let (mut reader, stream) = pair().await;
        let writing = async move {
            write(&stream, &[b"he", b"", b"ad"], &segments, &body).await.unwrap();
            drop(stream);
        };
        let mut arrived = Vec::new();
        let reading = async {
            let mut some = [0; 333];
            while let Ok(n @ 1..) = reader.read(&mut some).await {
                arrived.extend_from_slice(&some[..n]);
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::join!(writing, reading);
        assert!(arrived == expected, "{} bytes instead of {}", arrived.len(), expected.len());
    }
}
