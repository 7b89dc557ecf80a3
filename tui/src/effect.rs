//! The I/O: reading the admin API, keys and the clock. Everything comes back as a message.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use contract::client::{AdminClient, ClientError};
use crossterm::event::{self, Event};

use crate::message::Message;
use crate::snapshot::Reading;
use crate::update::Effect;

/// Reads everything that is shown.
pub(crate) fn read(client: &AdminClient, started: Instant) -> Result<Reading, ClientError> {
    let snapshot = client.snapshot()?;
    Ok(Reading::new(started.elapsed(), &snapshot))
}

/// Starts the threads that carry out effects and watch the terminal. They end with the program.
pub(crate) fn start(client: AdminClient, started: Instant) -> (Sender<Effect>, Receiver<Message>) {
    let (effects, orders) = channel();
    let (messages, inbox) = channel();
    let answers: Sender<Message> = messages.clone();
    thread::spawn(move || {
        for order in orders {
            let answer = match order {
                Effect::Read => Message::Read(read(&client, started).map_err(|error| error.to_string())),
            };
            if answers.send(answer).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || watch_terminal(&messages, started));
    (effects, inbox)
}

/// Keys as they come; without one, a tick four times a second keeps ages and deadlines moving.
fn watch_terminal(messages: &Sender<Message>, started: Instant) {
    loop {
        let message = match event::poll(Duration::from_millis(250)) {
            Ok(true) => match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(_) => Message::Resized,
                Err(_) => return,
            },
            Ok(false) => Message::Tick(started.elapsed()),
            // The terminal is gone; dropping the sender ends the program.
            Err(_) => return,
        };
        if messages.send(message).is_err() {
            return;
        }
    }
}
