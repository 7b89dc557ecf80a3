//! How the model changes. No I/O here: what has to be done is returned.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::message::Message;
use crate::model::Model;
use crate::plain::plain;
use crate::snapshot::Snapshot;

/// What the outside has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Read the admin API and send the answer back.
    Read,
}

/// The keys, for the footer and the help page.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("q", "quit"),
    ("space", "pause"),
    ("r", "read now"),
    ("j k", "down, up"),
    ("g G", "first, last"),
    ("+ -", "interval"),
    ("?", "help"),
];

const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

pub(crate) fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) if key.kind == KeyEventKind::Release => {}
        Message::Key(key) => on_key(model, key),
        Message::Resized => {}
        Message::Tick(now) => model.now = now,
        Message::Read(Ok(reading)) => {
            model.reading = false;
            model.trouble = None;
            let snapshot = Snapshot::between(&model.gateway, model.last.as_ref(), &reading);
            if model.paused {
                model.held_back += 1;
            } else {
                model.shown = Some(snapshot);
            }
            model.last = Some(reading);
        }
        Message::Read(Err(reason)) => {
            model.reading = false;
            model.trouble = Some(plain(&reason));
        }
    }
    if model.quit || model.reading || model.now < model.due {
        return Vec::new();
    }
    model.reading = true;
    model.due = model.now + model.interval;
    vec![Effect::Read]
}

fn on_key(model: &mut Model, key: KeyEvent) {
    let row = model.selected_row();
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => model.quit = true,
        KeyCode::Esc if model.help => model.help = false,
        KeyCode::Char('q') => model.quit = true,
        KeyCode::Char('?') => model.help = !model.help,
        KeyCode::Char(' ') => {
            model.paused = !model.paused;
            model.held_back = 0;
        }
        KeyCode::Char('r') => model.due = model.now,
        KeyCode::Char('+') => change_interval(model, model.interval.as_secs() + 1),
        KeyCode::Char('-') => change_interval(model, model.interval.as_secs().saturating_sub(1)),
        KeyCode::Char('j') | KeyCode::Down => select(model, row + 1),
        KeyCode::Char('k') | KeyCode::Up => select(model, row.saturating_sub(1)),
        KeyCode::Char('g') | KeyCode::Home => select(model, 0),
        KeyCode::Char('G') | KeyCode::End => select(model, usize::MAX),
        _ => {}
    }
}

fn change_interval(model: &mut Model, seconds: u64) {
    model.interval = Duration::from_secs(seconds.clamp(*INTERVALS.start(), *INTERVALS.end()));
    model.due = model.due.min(model.now + model.interval);
}

fn select(model: &mut Model, row: usize) {
    let tenants = model.shown.as_ref().map_or(&[][..], |shown| &shown.tenants);
    model.selected = tenants.get(row).or(tenants.last()).map(|tenant| tenant.name.clone());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::snapshot::tests::reading;

    pub(crate) fn press(model: &mut Model, code: KeyCode) -> Vec<Effect> {
        update(model, Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    pub(crate) fn model() -> Model {
        let mut model = Model::new("http://127.0.0.1:8888".into(), Duration::from_secs(2));
        update(&mut model, Message::Read(Ok(reading(1, 100))));
        update(&mut model, Message::Read(Ok(reading(3, 500))));
        model.now = Duration::from_secs(3);
        model.due = Duration::from_secs(5);
        model.reading = false;
        model
    }

    #[test]
    fn reads_at_once_then_once_per_interval_and_never_twice_at_a_time() {
        let mut model = Model::new("http://g".into(), Duration::from_secs(2));
        assert_eq!(update(&mut model, Message::Tick(Duration::ZERO)), [Effect::Read]);
        assert!(update(&mut model, Message::Tick(Duration::from_secs(9))).is_empty());
        assert_eq!(update(&mut model, Message::Read(Err("gone".into()))), [Effect::Read]);
        assert!(update(&mut model, Message::Read(Ok(reading(9, 1)))).is_empty());
        assert!(update(&mut model, Message::Tick(Duration::from_secs(10))).is_empty());
        assert_eq!(update(&mut model, Message::Tick(Duration::from_secs(11))), [Effect::Read]);
    }

    #[test]
    fn trouble_keeps_the_last_values() {
        let mut model = model();
        update(&mut model, Message::Read(Err("nobody \x1b[2J answers".into())));
        assert_eq!(model.trouble.as_deref(), Some("nobody ·[2J answers"));
        assert_eq!(model.shown.as_ref().unwrap().tenants.len(), 2);
        update(&mut model, Message::Read(Ok(reading(5, 500))));
        assert_eq!(model.trouble, None);
    }

    #[test]
    fn pause_holds_the_screen_and_counts() {
        let mut model = model();
        press(&mut model, KeyCode::Char(' '));
        let shown = model.shown.clone();
        update(&mut model, Message::Read(Ok(reading(5, 900))));
        assert_eq!((model.held_back, &model.shown), (1, &shown));
        press(&mut model, KeyCode::Char(' '));
        update(&mut model, Message::Read(Ok(reading(7, 900))));
        assert_ne!(model.shown, shown);
    }

    #[test]
    fn the_selection_stays_within_the_rows() {
        let mut model = model();
        for (code, row) in [('k', 0), ('j', 1), ('j', 1), ('g', 0), ('G', 1)] {
            press(&mut model, KeyCode::Char(code));
            assert_eq!(model.selected_row(), row, "after {code}");
        }
        let mut empty = Model::new("http://g".into(), Duration::from_secs(2));
        press(&mut empty, KeyCode::Char('G'));
        assert_eq!(empty.selected_row(), 0);
    }

    #[test]
    fn keys_change_the_interval_within_bounds_and_quit() {
        let mut model = model();
        for _ in 0..100 {
            press(&mut model, KeyCode::Char('+'));
        }
        assert_eq!(model.interval, Duration::from_secs(60));
        for _ in 0..100 {
            press(&mut model, KeyCode::Char('-'));
        }
        assert_eq!(model.interval, Duration::from_secs(1));
        assert!(press(&mut model, KeyCode::Char('q')).is_empty() && model.quit);
    }
}
