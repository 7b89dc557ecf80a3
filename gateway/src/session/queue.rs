//! The exchanges of a session that wait for their answers, bounded in number and in memory.

use super::SessionError;
use super::enforce::Apart;
use super::throttle::Owed;
use crate::authz::Authorizer;
use crate::naming::Tenant;
use crate::naming::request::Asked;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use wire::schema::ApiKey;

/// What is kept for the answers of one connection: answers that were made here, and what the others need to know. Of a
/// client that does not read, nothing more is read.
const HELD: usize = 1 << 20;

/// One request in flight: everything that its answer needs lives here.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The broker answers. Boxed, since a queue keeps room for many and an idle connection needs none.
    Upstream(Box<Awaited>),
    /// The broker answers the gateway itself, which waits for the body.
    Own(ApiKey, i16, oneshot::Sender<Vec<u8>>),
    /// The answer was made here: a whole frame.
    Local(Vec<u8>),
}

impl Exchange {
    /// How much memory it holds beside itself, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Upstream(awaited) => {
                awaited.asked.held() + awaited.apart.as_ref().map_or(0, |apart| apart.body.len())
            }
            Self::Own(..) => 0,
            Self::Local(answer) => answer.len(),
        }
    }
}

/// What an answer from the broker must be the answer to.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) asked: Asked,
    /// What was refused of the request.
    pub(super) apart: Option<Apart>,
    /// The rights with which records were asked for, which may be others when they come.
    pub(super) then: Option<Arc<Authorizer>>,
    /// What the answer is written down in, where a quota holds.
    pub(super) owed: Option<Box<Owed>>,
    /// The names that the request was in.
    pub(super) tenant: Arc<Tenant>,
    /// The client's answer has more to it, which the broker answers next.
    pub(super) more: bool,
}

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
