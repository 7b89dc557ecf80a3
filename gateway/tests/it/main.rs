//! What the gateway does with messages, without sockets: the cases under `tests/cases` and checks against another encoder.

mod cases;
mod model;
mod runner;
