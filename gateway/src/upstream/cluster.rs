//! The physical clusters behind a gateway, of which one at a time serves clients.
//!
//! What a session, a topic id or a position in a topic means is known of one [`Physical`] only. Whoever keeps such a thing holds
//! the `Physical` that it belongs to; [`Cluster`] is for whoever wants the one that serves now.

use std::sync::Arc;

use tokio::sync::watch;

use super::broker::BrokerError;
use super::metadata::Topology;
use super::physical::{Physical, REFRESH, RETRY};
use super::security::Link;
use super::switch::Switch;

/// The one that serves clients, and since which switch.
#[derive(Debug)]
pub struct Active {
    /// The physical cluster.
    pub physical: Arc<Physical>,
    /// What made it so; `None` where nobody ever switched.
    pub switch: Option<Switch>,
}

/// All physical clusters of a gateway; most gateways have one.
#[derive(Debug)]
pub struct Cluster {
    main: Arc<Physical>,
    others: Vec<Arc<Physical>>,
    active: watch::Sender<Arc<Active>>,
}

impl Cluster {
    /// `main` serves clients until somebody switches.
    pub fn new(main: Arc<Physical>, others: Vec<Arc<Physical>>) -> Self {
        let active = Arc::new(Active { physical: Arc::clone(&main), switch: None });
        Self { main, others, active: watch::Sender::new(active) }
    }

    /// The one that serves unless somebody switches.
    pub const fn main(&self) -> &Arc<Physical> {
        &self.main
    }

    /// All of them, `main` first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Physical>> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// Whether there is one to switch to.
    pub const fn is_switchable(&self) -> bool {
        !self.others.is_empty()
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Physical>> {
        self.all().find(|physical| **physical.name() == *name)
    }

    /// The one that serves clients now.
    pub fn active(&self) -> Arc<Physical> {
        Arc::clone(&self.active.borrow().physical)
    }

    /// The same, with what made it so, and each change of it.
    pub fn follow(&self) -> watch::Receiver<Arc<Active>> {
        self.active.subscribe()
    }

    /// Lets a later switch hold. Returns whether it is one that others do not supersede.
    pub fn activate(&self, switch: &Switch) -> bool {
        let Some(physical) = self.named(&switch.to) else { return false };
        self.active.send_if_modified(|active| {
            let later = active.switch.as_ref().is_none_or(|known| known.is_before(switch));
            if later {
                let physical = Arc::clone(physical);
                *active = Arc::new(Active { physical, switch: Some(switch.clone()) });
            }
            later
        })
    }

    /// What is known now of the one that serves; without brokers as long as none has answered.
    pub fn topology(&self) -> Arc<Topology> {
        self.active().topology()
    }

    /// As [`Physical::connect`], to the one that serves.
    ///
    /// # Errors
    /// [`BrokerError`] of the last broker that was tried.
    pub async fn connect(&self, broker: i32) -> Result<Link, BrokerError> {
        self.active().connect(broker).await
    }

    /// As [`Physical::refresh`], of the one that serves.
    ///
    /// # Errors
    /// [`BrokerError`] of the last broker that was asked.
    pub async fn refresh(&self) -> Result<(), BrokerError> {
        self.active().refresh().await
    }

    /// Keeps the view of one of them fresh for as long as it is polled; `report` hears of each look, and whether the cluster serves
    /// clients.
    pub async fn watch(&self, physical: &Arc<Physical>, report: impl Fn(bool, Result<&Topology, &BrokerError>)) {
        let mut changes = self.follow();
        loop {
            let serves = Arc::ptr_eq(&changes.borrow_and_update().physical, physical);
            let pause = match physical.refresh().await {
                Ok(()) => {
                    report(serves, Ok(&physical.topology()));
                    REFRESH
                }
                Err(e) => {
                    report(serves, Err(&e));
                    if serves { RETRY } else { REFRESH }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
            }
        }
    }
}
