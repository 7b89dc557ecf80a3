//! What the program knows. Meaning only: no colours, no widths, no terminal.

use std::time::Duration;

use crate::snapshot::{Reading, Snapshot};

#[derive(Debug)]
pub(crate) struct Model {
    pub gateway: String,
    pub interval: Duration,
    /// Time since the program started, as the last tick told.
    pub now: Duration,
    pub last: Option<Reading>,
    /// What is shown. While paused it stays, and readings go on.
    pub shown: Option<Snapshot>,
    /// Readings taken since the screen was paused.
    pub held_back: usize,
    pub paused: bool,
    /// Why the last reading failed; the values shown are then old.
    pub trouble: Option<String>,
    /// A reading is under way.
    pub reading: bool,
    /// When the next reading is due.
    pub due: Duration,
    /// The selected tenant, by name: the selection follows it when rows come and go.
    pub selected: Option<String>,
    pub help: bool,
    pub quit: bool,
}

impl Model {
    pub(crate) fn new(gateway: String, interval: Duration) -> Self {
        Self {
            gateway,
            interval,
            now: Duration::ZERO,
            last: None,
            shown: None,
            held_back: 0,
            paused: false,
            trouble: None,
            reading: false,
            due: Duration::ZERO,
            selected: None,
            help: false,
            quit: false,
        }
    }

    /// The row of the selected tenant; the first one if it is gone.
    pub(crate) fn selected_row(&self) -> usize {
        let tenants = self.shown.as_ref().map_or(&[][..], |shown| &shown.tenants);
        tenants.iter().position(|tenant| Some(&tenant.name) == self.selected.as_ref()).unwrap_or(0)
    }

    /// How old the last successful reading is.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.last.as_ref().map(|last| self.now.saturating_sub(last.at))
    }
}
