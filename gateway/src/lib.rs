//! The gateway: Kafka's protocol in, Kafka's protocol out, and virtual clusters in between.

pub mod apis;
pub mod authn;
pub mod authz;
pub mod naming;
pub mod observe;
pub mod routing;
pub mod upstream;
