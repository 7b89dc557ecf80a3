//! The end of all sessions, when the gateway is told to stop: what has arrived is answered, and nothing more is read.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::transport::connection::Connection;

/// Who has not logged in by then has nothing in flight.
const TO_LOG_IN: Duration = Duration::from_secs(2);
/// Whoever was told that the connection ends may take this long to hang up. Closed before, what is still on its way from
/// there would have the system take back answers that were not read yet.
const TO_HANG_UP: Duration = Duration::from_secs(2);

/// Whether it has begun. To look costs a task nothing: it is woken when it begins.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    attending: Mutex<Attending>,
}

#[derive(Debug, Default)]
struct Attending {
    next: u64,
    tasks: HashMap<u64, Waker>,
}

/// A task that will be woken.
#[derive(Debug)]
pub struct Attendance<'a> {
    drain: &'a Drain,
    number: u64,
}

impl Drain {
    /// Begins, and wakes all tasks that attend.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
        let tasks = std::mem::take(&mut self.lock().tasks);
        tasks.into_values().for_each(Waker::wake);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// From now on this task is woken when it begins, until the result is dropped.
    pub async fn attend(&self) -> Attendance<'_> {
        poll_fn(|cx| {
            let mut attending = self.lock();
            let number = attending.next;
            attending.next += 1;
            let _ = attending.tasks.insert(number, cx.waker().clone());
            Poll::Ready(Attendance { drain: self, number })
        })
        .await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Attending> {
        self.attending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attendance<'_> {
    /// Returns when it has begun.
    pub async fn begun(&self) {
        poll_fn(|_| if self.drain.has_begun() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// What comes of a connection on which nobody has logged in yet; `None` when that took too long after the beginning.
    pub async fn until_known<T>(&self, known: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            known = known => Some(known),
            () = async { self.begun().await; tokio::time::sleep(TO_LOG_IN).await } => None,
        }
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        let _ = self.drain.lock().tasks.remove(&self.number);
    }
}

/// Says that nothing more comes, and waits until the client has hung up.
pub(super) async fn hang_up(client: &Connection) {
    let _ = tokio::time::timeout(TO_HANG_UP, client.finish()).await;
}
