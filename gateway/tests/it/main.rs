//! What the gateway does with messages, without sockets: the cases under `tests/cases`, what must hold for
//! every API, and another encoder's opinion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod cases;
mod filler;
mod ids;
mod independent;
mod model;
mod observability;
mod runner;
mod sentinel;
mod sessions;
mod spec;
mod stores;
