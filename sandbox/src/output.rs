//! What people and programs see. Data goes to standard output and nothing else does; steps, notes and failures go to
//! standard error.

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::error::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// text for people
    #[default]
    Human,
    /// JSON for programs
    Json,
}

#[derive(Debug, Clone, Copy)]
pub struct Console {
    pub form: Form,
    /// No steps and notes.
    pub quiet: bool,
}

impl Console {
    /// Text or JSON for standard output, with its last line ended.
    pub fn data(&self, text: &str) {
        // Whoever reads may have seen enough and hung up, as `head` does: that is not a failure of ours.
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    }

    /// JSON for standard output.
    pub fn json(&self, value: &serde_json::Value) {
        self.data(&format!("{value:#}\n"));
    }

    /// Something was done, and how long it took.
    pub fn step(&self, what: &str, since: Instant, detail: &str) {
        self.note(&step_line(what, since.elapsed(), detail));
    }

    /// Something worth knowing.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// Why the command did not do what was asked; said even when quiet.
    pub fn failure(&self, failure: &Failure) {
        let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            let _ = writeln!(std::io::stderr(), "hint: {hint}");
        }
    }
}

fn step_line(what: &str, took: Duration, detail: &str) -> String {
    format!("  ok  {what:<20} {:>6}  {detail}", seconds(took)).trim_end().to_owned()
}

/// A time as people read it: `0.25s`, `12s`.
pub fn seconds(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2}s") } else { format!("{seconds:.0}s") }
}

/// A count with its noun: `1 topic`, `2 topics`, `2 sandboxes`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('x') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// Rows under a head, each column as wide as its widest cell.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or_default()
    };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let line = cells.enumerate().map(|(column, cell)| format!("{cell:<0$}  ", width(column))).collect::<String>();
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_line_up() {
        assert_eq!(
            step_line("broker", Duration::from_millis(3140), "pid 7"),
            "  ok  broker                3.14s  pid 7"
        );
        assert_eq!(step_line("jars", Duration::from_secs(41), ""), "  ok  jars                    41s");
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = vec![vec!["demo".to_owned(), "ready".to_owned()], vec!["longer-name".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME         STATE\ndemo         ready\nlonger-name  x\n");
    }
}
