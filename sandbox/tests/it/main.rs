//! The `sandbox` binary as a user runs it. Nothing here needs a broker, a JDK, Docker or a network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test whose ground gives way has failed")]

mod bad_input;
mod process;
mod snapshots;
