//! The physical clusters: their brokers, their topics, connections to them, and which of them serves.

mod batches;
pub mod broker;
pub mod cluster;
pub mod metadata;
pub mod physical;
pub mod sasl;
pub mod security;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod topic_log;
