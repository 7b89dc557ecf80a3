//! Proves what a virtual cluster promises, with real clients against real brokers.
//!
//! It sees the gateway only as clients and people do: through sockets, and through the `sandbox` program.

pub mod drivers;
pub mod gateways;
pub mod records;
pub mod reference;
pub mod report;
pub mod sandboxes;
pub mod scenario;
pub mod suites;
