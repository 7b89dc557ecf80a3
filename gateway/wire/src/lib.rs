//! Kafka bytes: frames, headers, the schema table, plans, the walker.
//!
//! Nothing here opens a socket or decides a policy. [`schema`] holds the facts of Kafka's message definitions, [`plan`]
//! compiles them per version, [`walk`] checks a frame against its plan in one pass and lets a visitor rewrite it, and
//! [`value`] turns a message into a JSON value and back for what is not on the hot path.

pub mod frame;
pub mod plan;
pub mod read;
pub mod schema;
pub mod segments;
pub mod value;
pub mod walk;
