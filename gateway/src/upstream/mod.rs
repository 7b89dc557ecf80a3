//! The physical cluster: its brokers, its topics, and connections to it.

mod batches;
pub mod broker;
pub mod cluster;
pub mod metadata;
pub mod sasl;
pub mod security;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod topic_log;
