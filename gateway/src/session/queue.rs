//! The exchanges of a session that wait for their answers, bounded in number and in memory.

use super::SessionError;
use super::pipeline::Exchange;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What is kept for the answers of one connection: answers that were made here, and what the others need to know. Of a
/// client that does not read, nothing more is read.
const HELD: usize = 1 << 20;

/// The queue between the two sides of a session, bounded in number and in memory.
pub(super) struct Queue {
    sender: mpsc::Sender<Held>,
    room: Arc<Semaphore>,
}

/// An exchange, and the room that it takes up for as long as it exists.
pub(super) type Held = (Exchange, Option<OwnedSemaphorePermit>);

impl Queue {
    pub(super) fn new(most: usize) -> (Self, mpsc::Receiver<Held>) {
        let (sender, receiver) = mpsc::channel(most);
        (Self { sender, room: Arc::new(Semaphore::new(HELD)) }, receiver)
    }

    pub(super) async fn put(&self, exchange: Exchange) -> Result<(), SessionError> {
        const ENDED: SessionError = SessionError::Ended("the answering side ended");
        // One that is larger than all the room waits until it is alone.
        let room = match u32::try_from(exchange.held().min(HELD)) {
            Ok(0) | Err(_) => None,
            Ok(held) => Some(Arc::clone(&self.room).acquire_many_owned(held).await.map_err(|_| ENDED)?),
        };
        self.sender.send((exchange, room)).await.map_err(|_| ENDED)
    }
}
