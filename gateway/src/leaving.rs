//! How a node ends on SIGTERM and SIGINT: clients go elsewhere first, then what is in flight is answered. A second signal ends it
//! at once.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::nodes::Members;
use crate::observe::health::Health;
use crate::session::drain::Drain;

/// The signals that end a gateway.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal; then has clients go elsewhere and sessions end. Returns when those that are left have to be cut off.
    pub async fn leave(
        mut self,
        members: &Members,
        health: &Health,
        drain: &Drain,
        at_most: impl FnOnce() -> Duration,
    ) {
        self.next().await;
        let at_most = at_most();
        tracing::info!("stopping: no new clients, and what is in flight is answered");
        health.set_draining();
        let leaving = async {
            members.leave().await;
            if members.has_others() {
                // Until the others send nobody here any more.
                tokio::time::sleep(members.until_known()).await;
            }
            drain.begin();
            tokio::time::sleep(at_most).await;
            tracing::info!(seconds = at_most.as_secs(), "connections that are still open are cut off");
        };
        tokio::select! {
            () = leaving => {}
            () = self.next() => tracing::info!("stopping at once, at a second signal"),
        }
    }
}
