//! The log: lines on standard error, for people or for programs. `RUST_LOG` says how much.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Begins to log, as objects or for people. What is called a second time in a process has no effect.
pub fn begin(as_json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // Who began first goes on.
    let _ = if as_json {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        log.with_ansi(stderr().is_terminal()).try_init()
    };
}
