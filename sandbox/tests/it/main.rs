//! The `sandbox` binary as a user runs it. Nothing here needs a broker, a JDK, Docker or a network.

mod bad_input;
mod process;
mod snapshots;
