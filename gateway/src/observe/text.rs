//! Prometheus' text format.

use std::fmt::{self, Write as _};

/// The text under construction. Writing to a `String` cannot fail, hence the ignored results.
#[derive(Debug)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::with_capacity(16 << 10))
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    /// A family begins; it is told also where it has no sample yet, so that whoever asks sees what there is.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}
