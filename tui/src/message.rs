//! The only way in: everything that can happen to the model.

use std::time::Duration;

use crossterm::event::KeyEvent;

use crate::snapshot::Reading;

#[derive(Debug)]
pub(crate) enum Message {
    Key(KeyEvent),
    /// The terminal has another size: only a redraw is needed.
    Resized,
    /// Time has passed since the program started.
    Tick(Duration),
    /// The gateway answered, or did not.
    Read(Result<Reading, String>),
}
