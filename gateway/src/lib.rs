//! The gateway: Kafka's protocol in, Kafka's protocol out, and virtual clusters in between.

pub mod authn;
pub mod config;
pub mod observe;
