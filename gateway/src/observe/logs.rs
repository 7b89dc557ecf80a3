//! The log: lines on standard error, for people or for programs. `RUST_LOG` says how much.

use std::io::{IsTerminal as _, stderr};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

/// How much is logged where nobody says it.
const DEFAULT: &str = "info";

/// Has another filter hold.
static RELOAD: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Begins to log, as objects or for people, at a level. What is called a second time in a process has no effect.
pub fn begin(as_json: bool, level: Option<&str>) {
    let log = tracing_subscriber::fmt().with_writer(stderr);
    // Who began first goes on.
    if as_json {
        let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let log = log.with_env_filter(filter(level)).with_filter_reloading();
        let handle = log.reload_handle();
        let _ = RELOAD.set(Box::new(move |filter| drop(handle.reload(filter))));
        let _ = log.try_init();
    } else {
        let log = log.with_ansi(stderr().is_terminal()).with_env_filter(filter(level)).with_filter_reloading();
        let handle = log.reload_handle();
        let _ = RELOAD.set(Box::new(move |filter| drop(handle.reload(filter))));
        let _ = log.try_init();
    }
}

/// Goes on at another level.
pub fn set_level(level: Option<&str>) {
    if let Some(reload) = RELOAD.get() {
        reload(filter(level));
    }
}

/// What the environment says holds before what the settings say.
fn filter(level: Option<&str>) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.unwrap_or(DEFAULT)))
}
